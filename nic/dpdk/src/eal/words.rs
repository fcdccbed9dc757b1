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
    /// A port shares the pools themselves with another process (virtio_user): huge pages then lie in few files, of which
    /// that process takes eight at most.
    pub shared_memory: bool,
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
    /// What was asked for, be it by [`memory`](Self::memory) or by an extra word; `None` leaves it to the machine.
    pub(crate) fn backing(&self) -> Option<Backing> {
        match self.memory {
            Memory::HugePages => Some(Backing::Huge),
            Memory::OrdinaryPages => Some(Backing::Ordinary),
            Memory::Auto if self.says(&["--no-huge"]) => Some(Backing::Ordinary),
            Memory::Auto if self.says(&["--in-memory", "--huge-dir", "--socket-mem"]) => Some(Backing::Huge),
            Memory::Auto => None,
        }
    }

    /// The words, without the program's name and without the choice of core, which says nothing of the options. An extra word
    /// takes the place of ours.
    pub(crate) fn words(&self, backing: Backing) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut say = |word: &str| {
            if !self.says(&[word]) {
                words.push(word.to_owned());
            }
        };
        match backing {
            Backing::Huge => {
                say("--in-memory");
                if self.shared_memory {
                    say("--single-file-segments");
                }
            }
            // `--in-memory` is refused together with `--no-huge`; this is what is left of it.
            Backing::Ordinary => {
                say("--no-huge");
                say("--no-shconf");
            }
        }
        say("--no-telemetry");
        if self.pci.is_empty() && !self.says(&["-a", "--allow", "-b", "--block"]) {
            // Else the EAL would take the machine's own NIC away from the kernel's view.
            say("--no-pci");
            if !self.says(&["--iova-mode"]) {
                say("--iova-mode=va");
            }
        }
        let megabytes = match backing {
            Backing::Huge => self.megabytes,
            Backing::Ordinary => Some(self.megabytes.unwrap_or(ORDINARY_MEGABYTES)),
        };
        if let Some(megabytes) = megabytes.filter(|_| !self.says(&["-m", "--socket-mem"])) {
            words.extend(["-m".to_owned(), megabytes.to_string()]);
        }
        for device in &self.pci {
            words.extend(["-a".to_owned(), device.clone()]);
        }
        words.extend(self.extra.iter().cloned());
        words
    }

    /// Whether the extra words choose the EAL's cores themselves.
    pub(crate) fn chooses_cores(&self) -> bool {
        self.says(&["-l", "-c", "--lcores"])
    }

    /// One of `flags` is among the extra words: by itself, or with its value behind it, as `-m256` or `--lcores=1`.
    fn says(&self, flags: &[&str]) -> bool {
        let is = |word: &str, flag: &str| match word.strip_prefix(flag) {
            Some("") => true,
            Some(rest) => rest.starts_with('=') || (!flag.starts_with("--") && !rest.starts_with('-')),
            None => false,
        };
        self.extra
            .iter()
            .any(|word| flags.iter().any(|flag| is(word, flag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_follow_from_options_and_machine() {
        let with = |extra: &str| EalOptions {
            extra: extra.split_whitespace().map(str::to_owned).collect(),
            ..EalOptions::default()
        };
        let plain = EalOptions::default();
        let sized = EalOptions {
            megabytes: Some(128),
            ..EalOptions::default()
        };
        let device = EalOptions {
            pci: vec!["0000:01:00.0".into()],
            ..EalOptions::default()
        };
        let shared = EalOptions {
            shared_memory: true,
            ..EalOptions::default()
        };
        let usual = "--no-telemetry --no-pci --iova-mode=va";
        let rows = [
            (&plain, Backing::Huge, format!("--in-memory {usual}")),
            (
                &plain,
                Backing::Ordinary,
                format!("--no-huge --no-shconf {usual} -m 1024"),
            ),
            (&sized, Backing::Huge, format!("--in-memory {usual} -m 128")),
            (
                &shared,
                Backing::Huge,
                format!("--in-memory --single-file-segments {usual}"),
            ),
            (
                &shared,
                Backing::Ordinary,
                format!("--no-huge --no-shconf {usual} -m 1024"),
            ),
            (
                &device,
                Backing::Huge,
                "--in-memory --no-telemetry -a 0000:01:00.0".to_owned(),
            ),
            (
                &with("--log-level=8"),
                Backing::Huge,
                format!("--in-memory {usual} --log-level=8"),
            ),
            (
                &with("--no-huge -m 64"),
                Backing::Ordinary,
                format!("--no-shconf {usual} --no-huge -m 64"),
            ),
            (
                &with("-m64"),
                Backing::Ordinary,
                format!("--no-huge --no-shconf {usual} -m64"),
            ),
            (
                &with("-a 01:00.0"),
                Backing::Huge,
                "--in-memory --no-telemetry -a 01:00.0".to_owned(),
            ),
        ];
        for (options, backing, expected) in rows {
            assert_eq!(options.words(backing).join(" "), expected);
        }
    }

    #[test]
    fn an_extra_word_decides_on_memory_where_the_options_leave_it_open() {
        let with = |memory, word: &str| EalOptions {
            memory,
            extra: vec![word.into()],
            ..EalOptions::default()
        };
        let rows = [
            (with(Memory::Auto, "--log-level=8"), None),
            (with(Memory::Auto, "--no-huge"), Some(Backing::Ordinary)),
            (with(Memory::Auto, "--huge-dir=/mnt"), Some(Backing::Huge)),
            (with(Memory::HugePages, "--log-level=8"), Some(Backing::Huge)),
            (
                with(Memory::OrdinaryPages, "--log-level=8"),
                Some(Backing::Ordinary),
            ),
        ];
        for (options, expected) in rows {
            assert_eq!(options.backing(), expected, "{options:?}");
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
