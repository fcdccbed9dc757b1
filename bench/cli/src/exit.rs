//! How the command ends: INTERFACE's exit codes, each with one line on stderr.

use fourtuple::{ConfigError, NicError, StartError};
use fourtuple_loadgen::PlanError;

/// Why the command did not end well.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// The run failed: 1.
    #[error("{0}")]
    Run(String),
    /// The command line or the configuration is wrong: 2.
    #[error("{0}")]
    Usage(String),
    /// This machine or port is not usable as asked: 3.
    #[error("{0}")]
    Unusable(String),
    /// The rate of errors is over the limit: 4.
    #[error("{0}")]
    ErrorRate(String),
    /// A signal ended it; what there was has been told: 130.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Run(_) => 1,
            Self::Usage(_) => 2,
            Self::Unusable(_) => 3,
            Self::ErrorRate(_) => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            error => Self::Unusable(one_line(&error.to_string())),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(match error {
            ConfigError::Field { field, problem } => format!("--{field}: {problem}"),
            error => one_line(&error.to_string()),
        })
    }
}

impl From<NicError> for Failure {
    fn from(error: NicError) -> Self {
        Self::Unusable(one_line(&error.to_string()))
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Usage(match error.field {
            "target" => error.to_string(),
            field => format!("--{field}: {}", error.problem),
        })
    }
}

/// Stdout is gone: the reader went away, or the disk is full.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(format!("the result could not be written: {error}"))
    }
}

/// A message of several lines as one.
fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_code() {
        let stats = StartError::Stats {
            address: "127.0.0.1:9464".parse().unwrap(),
            reason: "taken".into(),
        };
        let cases = [
            (Failure::Run(String::new()), 1),
            (ConfigError::PortTaken(7).into(), 2),
            (StartError::Config(ConfigError::PortTaken(7)).into(), 2),
            (
                PlanError {
                    field: "size",
                    problem: "none".into(),
                }
                .into(),
                2,
            ),
            (stats.into(), 3),
            (
                StartError::TooManyWorkers {
                    asked: 9,
                    available: vec![0],
                }
                .into(),
                3,
            ),
            (
                NicError::Unknown {
                    port: "x".into(),
                    remedy: "y".into(),
                }
                .into(),
                3,
            ),
            (Failure::ErrorRate(String::new()), 4),
            (Failure::Interrupted, 130),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\n  b\n\nc"), "a; b; c");
    }
}
