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
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
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
        assert_eq!(matches.get_many::<ipnet::IpNet>("ip").unwrap().count(), 2);
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
}
