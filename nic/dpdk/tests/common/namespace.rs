//! A network namespace of the test's own, removed with all that is in it.

use std::process::{Command, Stdio};

/// A namespace named `ftdpdk-…`, gone on drop.
pub struct Namespace {
    /// `None`: this process runs inside one that another made.
    name: Option<String>,
}

impl Namespace {
    /// Makes one and runs `setup` in it, a line each of arguments to `ip`; `Err` says why that is not possible here.
    pub fn new(purpose: &str, setup: &[&str]) -> Result<Self, String> {
        let name = format!("ftdpdk-{purpose}-{}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        let namespace = Self {
            name: Some(name.clone()),
        };
        for line in setup {
            let mut arguments = vec!["-n", name.as_str()];
            arguments.extend(line.split(' '));
            run("ip", &arguments)?;
        }
        Ok(namespace)
    }

    /// The one that this process runs in.
    pub fn entered() -> Self {
        Self { name: None }
    }

    /// The same command, run in the namespace.
    pub fn enter(&self, command: Command) -> Command {
        let Some(name) = &self.name else { return command };
        let mut inside = Command::new("ip");
        inside
            .args(["netns", "exec", name])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = run("ip", &["netns", "del", name]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = told.map_err(|error| format!("`{program}` does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{program} {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
