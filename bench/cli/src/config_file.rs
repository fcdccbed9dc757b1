//! The TOML file of `--config`: its keys are the flags' names, and its values take the place of their defaults.
//!
//! So a flag beats the environment beats the file beats what is built in, and each value is checked by its flag's own rules.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Command};
use toml::{Table, Value};

use crate::exit::Failure;

/// The command with the file's values as defaults, if a file was named.
pub(crate) fn apply(command: Command, words: &[OsString]) -> Result<Command, Failure> {
    let Some(path) = named(words) else {
        return Ok(command);
    };
    let wrong = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].lines().count().max(1)
        });
        wrong(format!("line {line}: {}", error.message()))
    })?;
    let Some(name) = words
        .iter()
        .skip(1)
        .find_map(|word| command.find_subcommand(word))
        .map(Command::get_name)
    else {
        return Ok(command);
    };
    let name = name.to_owned();
    let mut failed = Ok(());
    let command = command.mut_subcommand(name, |subcommand| {
        table.iter().fold(subcommand, |subcommand, (key, value)| {
            match default(subcommand.clone(), key, value) {
                Ok(subcommand) => subcommand,
                Err(problem) => {
                    failed = Err(wrong(problem));
                    subcommand
                }
            }
        })
    });
    failed.map(|()| command)
}

/// The file that is named by flag or environment.
fn named(words: &[OsString]) -> Option<PathBuf> {
    for (place, word) in words.iter().enumerate() {
        if word == "--config" {
            return words.get(place + 1).map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    std::env::var_os("FOURTUPLE_CONFIG").map(PathBuf::from)
}

/// The command with this default in place of its own.
fn default(command: Command, key: &str, value: &Value) -> Result<Command, String> {
    let known = |arg: &&clap::Arg| {
        let long = arg
            .get_long()
            .is_some_and(|long| long == key && !matches!(long, "help" | "version" | "config"));
        long || (arg.is_positional() && arg.get_id() == key)
    };
    let Some(arg) = command.get_arguments().find(known) else {
        let keys: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        return Err(format!(
            "unknown key `{key}`; the keys are the flags of `{}`: {}",
            command.get_name(),
            keys.join(", ")
        ));
    };
    let (id, many) = (
        arg.get_id().clone(),
        matches!(arg.get_action(), ArgAction::Append) || arg.is_positional(),
    );
    let values = match value {
        Value::Array(values) if many => values
            .iter()
            .map(|value| text(key, value))
            .collect::<Result<Vec<_>, _>>()?,
        value => vec![text(key, value)?],
    };
    Ok(command.mut_arg(id, |arg| arg.required(false).default_values(values)))
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => Err(format!(
            "`{key}` takes a text or a number, as on the command line"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn matches(toml: &str, words: &str) -> Result<clap::ArgMatches, String> {
        let folder = std::env::temp_dir().join(format!("fourtuple-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let name: String = format!("{toml}{words}")
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .take(80)
            .collect();
        let path = folder.join(name);
        std::fs::write(&path, toml).unwrap();
        let mut all: Vec<OsString> = "fourtuple serve".split(' ').map(OsString::from).collect();
        all.extend(["--config".into(), path.clone().into()]);
        all.extend(words.split_whitespace().map(OsString::from));
        let applied = apply(args::command(), &all).map_err(|failure| failure.to_string());
        std::fs::remove_file(path).unwrap();
        let matches = applied?
            .try_get_matches_from(all)
            .map_err(|error| error.to_string())?;
        Ok(matches.subcommand_matches("serve").unwrap().clone())
    }

    #[test]
    fn a_flag_beats_the_file_beats_the_default() {
        let matches = matches(
            "workers = 2\nbacklog = \"1k\"\nip = [\"10.0.0.2/24\", \"fd99::2/64\"]\nservices = [\"echo\"]",
            "--workers 3",
        )
        .unwrap();
        assert_eq!(matches.get_one::<u16>("workers"), Some(&3));
        assert_eq!(matches.get_one::<u32>("backlog"), Some(&1_000));
        assert_eq!(matches.get_one::<u32>("syn_queue"), Some(&1_024));
        assert_eq!(
            matches
                .get_many::<fourtuple::AtPort<ipnet::IpNet>>("ip")
                .unwrap()
                .count(),
            2
        );
        assert_eq!(
            matches
                .get_many::<crate::services::Service>("services")
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        let cases = [
            ("frobnicate = 1", "frobnicate"),
            ("wrokers = 2", "wrokers"),
            ("config = 'x'", "config"),
            ("workers = 'two'", "two"),
            ("workers = [1]", "workers"),
            ("ip = ", "line 1"),
        ];
        for (toml, named) in cases {
            let error = matches(toml, "echo").expect_err(toml);
            assert!(error.contains(named), "{toml}: {error}");
        }
    }

    #[test]
    fn what_a_command_works_on_can_stand_in_the_file() {
        let file = File::new("target", "pattern = 'rr'\ntarget = '10.0.0.1:7'\n");
        let words = [
            OsString::from("fourtuple"),
            "load".into(),
            "--config".into(),
            file.0.clone().into(),
        ];
        let matches = apply(args::command(), &words)
            .unwrap()
            .try_get_matches_from(&words)
            .unwrap();
        let load = matches.subcommand_matches("load").unwrap();
        assert_eq!(
            load.get_one::<std::net::SocketAddr>("target"),
            Some(&"10.0.0.1:7".parse().unwrap())
        );
    }

    /// A file that goes with the test.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fourtuple-{}-{name}.toml", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Values of all kinds; each flag takes some of them.
    const VALUES: [&str; 22] = [
        "true",
        "2",
        "3",
        "10.9.9.9/24",
        "10.9.8.8/24",
        "10.9.9.1",
        "10.9.9.2",
        "02:00:00:00:00:09",
        "02:00:00:00:00:0a",
        "9s",
        "8s",
        "9s,9s,9",
        "8s,8s,8",
        "threads=3",
        "threads=4",
        "127.0.0.1:9999",
        "127.0.0.1:9998",
        "0.25",
        "0.5",
        "5000-5001",
        "vdev:net_null0",
        "/x",
    ];

    /// What these commands are given without flags.
    const COMMANDS: [&str; 3] = ["serve echo", "load rr 10.0.0.1:7", "demo rr"];

    /// Two values that a flag takes, by trying; one for a switch.
    fn samples(words: &str, arg: &clap::Arg, long: &str) -> Vec<String> {
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return vec!["true".into()];
        }
        let possible: Vec<_> = arg
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let all = possible.into_iter().chain(VALUES.map(str::to_owned));
        let takes = |value: &String| {
            let line = format!("fourtuple {words} --{long}={value}");
            args::command().try_get_matches_from(line.split(' ')).is_ok()
        };
        let taken: Vec<_> = all.filter(takes).collect();
        assert!(
            !taken.is_empty(),
            "`{words} --{long}` takes none of VALUES: add one"
        );
        // The last ones: the first may be the default.
        taken.into_iter().rev().take(2).collect()
    }

    fn flags(words: &str) -> Vec<clap::Arg> {
        let name = words.split(' ').next().unwrap();
        let command = args::command();
        let flags = command.find_subcommand(name).unwrap().get_arguments();
        let named = |arg: &&clap::Arg| {
            arg.get_long()
                .is_some_and(|long| !matches!(long, "help" | "version" | "config"))
        };
        flags.filter(named).cloned().collect()
    }

    fn raw(matches: &clap::ArgMatches, arg: &clap::Arg) -> Option<String> {
        matches
            .get_raw(arg.get_id().as_str())?
            .next()
            .map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn each_flag_can_be_set_by_the_file_and_the_environment() {
        for words in COMMANDS {
            let name = words.split(' ').next().unwrap();
            let (mut toml, mut expected, mut environment) = (String::new(), Vec::new(), Vec::new());
            for arg in flags(words) {
                let long = arg.get_long().unwrap();
                let samples = samples(words, &arg, long);
                let in_file = samples.last().unwrap();
                toml.push_str(&format!("{long} = '{in_file}'\n"));
                expected.push((arg.clone(), in_file.clone()));
                // A time and a count at once are refused from the environment, as on the command line.
                if long != "count" {
                    environment.push((arg.get_env().unwrap().to_owned(), samples[0].clone()));
                }
            }
            let file = File::new(name, &toml);
            let mut line: Vec<OsString> = std::iter::once("fourtuple")
                .chain(words.split(' '))
                .map(OsString::from)
                .collect();
            line.extend(["--config".into(), file.0.clone().into()]);
            let matches = apply(args::command(), &line)
                .unwrap()
                .try_get_matches_from(&line)
                .unwrap();
            let matches = matches.subcommand_matches(name).unwrap();
            for (arg, value) in &expected {
                assert_eq!(raw(matches, arg).as_ref(), Some(value), "{name}: {arg}");
            }
            // A process of its own for its environment, in which the test below is not idle.
            let done = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "config_file::tests::the_environment_beats_the_file",
                    "--nocapture",
                ])
                .envs(environment)
                .env("FOURTUPLE_CONFIG", &file.0)
                .env(WORDS, words)
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{words}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
        }
    }

    /// Says that the process was started by the test above, and for which command.
    const WORDS: &str = "CONFIG_TEST_WORDS";

    #[test]
    fn the_environment_beats_the_file() {
        let Ok(words) = std::env::var(WORDS) else {
            return;
        };
        let line: Vec<OsString> = std::iter::once("fourtuple")
            .chain(words.split(' '))
            .map(OsString::from)
            .collect();
        let matches = apply(args::command(), &line)
            .unwrap()
            .try_get_matches_from(&line)
            .unwrap();
        let matches = matches.subcommand_matches(&line[1].to_string_lossy()).unwrap();
        for arg in flags(&words) {
            let Some(value) = arg.get_env().and_then(std::env::var_os) else {
                continue;
            };
            assert_eq!(raw(matches, &arg), value.into_string().ok(), "{arg}");
            assert_eq!(
                matches.value_source(arg.get_id().as_str()),
                Some(clap::parser::ValueSource::EnvVariable),
                "{arg}"
            );
        }
    }
}
