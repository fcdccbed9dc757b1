//! What the EAL is told: options in, command-line words out. Pure, so that it is tested without an EAL.

/// Which memory the EAL takes its pools from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Memory {
    /// Huge pages where enough of them are free and may be used, else ordinary pages.
    #[default]
    Auto,
    /// Huge pages, mapped without files (`--in-memory`). Fails when there are none.
    HugePages,
    /// Ordinary pages (`--no-huge`): no privilege, no preparation; about twice the cost of touching an mbuf.
    OrdinaryPages,
}

/// How the EAL of this process is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EalOptions {
    /// Which memory pools lie in.
    pub memory: Memory,
    /// Megabytes reserved at start; `None`: on huge pages as much as the ports need, on ordinary pages up to
    /// [`ORDINARY_MEGABYTES`] (reserved, not touched).
    pub megabytes: Option<u32>,
    /// PCI addresses of devices to take over, as `0000:01:00.0`. With none, the EAL looks at no PCI device at all.
    pub pci: Vec<String>,
    /// More EAL words, given on as they are.
    pub extra: Vec<String>,
}

/// Upper bound of the pools on ordinary pages, in megabytes, unless told otherwise.
///
/// Address space only, until touched: room for a dozen ports of four queues with the pools of [`crate::PortOptions`].
pub const ORDINARY_MEGABYTES: u32 = 1024;

/// [`Memory`] after looking at the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    Huge,
    Ordinary,
}

impl EalOptions {
    /// The words, without the program's name and without the choice of core, which says nothing of the options.
    pub(crate) fn words(&self, backing: Backing) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut say = |word: &str| words.push(word.to_owned());
        match backing {
            Backing::Huge => say("--in-memory"),
            // `--in-memory` is refused together with `--no-huge`; this is what is left of it.
            Backing::Ordinary => {
                say("--no-huge");
                say("--no-shconf");
            }
        }
        let megabytes = match backing {
            Backing::Huge => self.megabytes,
            Backing::Ordinary => Some(self.megabytes.unwrap_or(ORDINARY_MEGABYTES)),
        };
        if let Some(megabytes) = megabytes {
            say("-m");
            say(&megabytes.to_string());
        }
        say("--no-telemetry");
        if self.pci.is_empty() {
            // Else the EAL would take the machine's own NIC away from the kernel's view.
            say("--no-pci");
            say("--iova-mode=va");
        }
        for device in &self.pci {
            say("-a");
            say(device);
        }
        self.extra.iter().for_each(|word| say(word));
        words
    }

    /// Whether the extra words choose the EAL's cores themselves.
    pub(crate) fn chooses_cores(&self) -> bool {
        let chooses = |word: &String| ["-l", "-c", "--lcores"].iter().any(|flag| word.starts_with(flag));
        self.extra.iter().any(chooses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(options: &EalOptions, backing: Backing) -> String {
        options.words(backing).join(" ")
    }

    #[test]
    fn the_words_follow_from_options_and_machine() {
        let plain = EalOptions::default();
        let sized = EalOptions {
            megabytes: Some(128),
            ..EalOptions::default()
        };
        let device = EalOptions {
            pci: vec!["0000:01:00.0".into()],
            ..EalOptions::default()
        };
        let extra = EalOptions {
            extra: vec!["--log-level=8".into()],
            ..EalOptions::default()
        };
        let rows = [
            (
                &plain,
                Backing::Huge,
                "--in-memory --no-telemetry --no-pci --iova-mode=va",
            ),
            (
                &plain,
                Backing::Ordinary,
                "--no-huge --no-shconf -m 1024 --no-telemetry --no-pci --iova-mode=va",
            ),
            (
                &sized,
                Backing::Huge,
                "--in-memory -m 128 --no-telemetry --no-pci --iova-mode=va",
            ),
            (
                &device,
                Backing::Huge,
                "--in-memory --no-telemetry -a 0000:01:00.0",
            ),
            (
                &extra,
                Backing::Huge,
                "--in-memory --no-telemetry --no-pci --iova-mode=va --log-level=8",
            ),
        ];
        for (options, backing, expected) in rows {
            assert_eq!(joined(options, backing), expected);
        }
    }

    #[test]
    fn extra_words_may_choose_the_cores() {
        let with = |word: &str| EalOptions {
            extra: vec![word.into()],
            ..EalOptions::default()
        };
        assert!(with("--lcores=1@1").chooses_cores());
        assert!(with("-l").chooses_cores());
        assert!(!with("--log-level=8").chooses_cores());
    }
}
