//! Instruction counts that are committed, one file for each compiler and processor: `baselines/rustc-1.95.0-x86-64.toml`.
//!
//! What else decides about a count stands in the file: the versions of valgrind, of the C library, and of the crates on the packets'
//! way, and what the processor can do. Where one of them is another here, the file says nothing about this machine, and nothing is compared with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Failure;

/// A stage that takes more than this over its baseline has grown.
pub(crate) const GROWTH: f64 = 1.03;

/// Instructions an operation, by stage.
pub(crate) type Counts = BTreeMap<String, f64>;

/// The compiler's version and the processor that this program was built by and for.
pub(crate) const RUSTC: &str = env!("MICRO_RUSTC");
pub(crate) const CPU: &str = env!("MICRO_CPU");

/// What a count depends on, beside the compiler and the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) valgrind: String,
    pub(crate) libc: String,
    pub(crate) crates: String,
    /// What the processor can do that code asks for as it runs.
    pub(crate) processor: String,
}

impl Surroundings {
    /// Here and now.
    pub(crate) fn here() -> Self {
        Self {
            valgrind: crate::callgrind::version(),
            libc: crate::callgrind::libc_version(),
            crates: env!("MICRO_CRATES").to_owned(),
            processor: processor().to_owned(),
        }
    }

    fn of(table: &toml::Table) -> Self {
        let word = |key: &str| {
            let word = table.get(key).and_then(toml::Value::as_str);
            word.unwrap_or("unknown").to_owned()
        };
        Self {
            valgrind: word("valgrind"),
            libc: word("libc"),
            crates: word("crates"),
            processor: word("processor"),
        }
    }

    /// What is another than in `other`, in words.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let pairs = [
            (&self.valgrind, &other.valgrind),
            (&self.libc, &other.libc),
            (&self.crates, &other.crates),
            (&self.processor, &other.processor),
        ];
        let different = pairs.into_iter().filter(|(here, there)| here != there);
        different
            .map(|(here, there)| format!("{here} here, {there} there"))
            .collect()
    }
}

/// Checksums are summed otherwise where there is AVX2.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "avx2";
    }
    "plain"
}

/// A baseline, and what it was counted with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) counts: Counts,
    pub(crate) with: Surroundings,
}

/// Where the baseline of this build is, in this folder.
pub(crate) fn file_in(folder: &Path) -> PathBuf {
    folder.join(format!("rustc-{RUSTC}-{CPU}.toml"))
}

/// The baseline of this build; `None` when there is none.
pub(crate) fn read(file: &Path) -> Result<Option<Baseline>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::File(file.to_owned(), error.to_string())),
    };
    let wrong = |error: String| Failure::File(file.to_owned(), error);
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let counts = table.get("instructions").and_then(toml::Value::as_table);
    let counts = counts.ok_or_else(|| wrong("it has no table `instructions`".to_owned()))?;
    let number = |value: &toml::Value| {
        value
            .as_float()
            .or_else(|| value.as_integer().map(|count| count as f64))
    };
    let counts = counts
        .iter()
        .filter_map(|(stage, value)| Some((stage.clone(), number(value)?)));
    Ok(Some(Baseline {
        counts: counts.collect(),
        with: Surroundings::of(&table),
    }))
}

/// Writes a baseline.
pub(crate) fn write(file: &Path, baseline: &Baseline) -> Result<(), Failure> {
    let Baseline { counts, with } = baseline;
    let mut text = format!(
        "# Instructions an operation, counted by callgrind; scripts/test holds each stage within 3 % of these.\n\
         # Written by: fourtuple-micro counts --write\n\
         rustc = \"{RUSTC}\"\n\
         target_cpu = \"{CPU}\"\n\
         valgrind = \"{}\"\n\
         libc = \"{}\"\n\
         crates = \"{}\"\n\
         processor = \"{}\"\n\n\
         [instructions]\n",
        with.valgrind, with.libc, with.crates, with.processor
    );
    for (stage, count) in counts {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{stage} = {count:.1}");
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, text))
        .map_err(|error| Failure::File(file.to_owned(), error.to_string()))
}

/// Stages that have grown, with what they were and what they are; and those that are gone.
pub(crate) fn grown(before: &Counts, now: &Counts) -> Vec<String> {
    let grown = now.iter().filter_map(|(stage, count)| {
        let was = *before.get(stage)?;
        // Half an instruction is what rounding in the file may be off by, and a bit.
        (*count > was * GROWTH + 0.5).then(|| {
            let more = (count / was - 1.0) * 100.0;
            format!("{stage}: {was:.1} → {count:.1} instructions (+{more:.1} %)")
        })
    });
    let gone = before
        .keys()
        .filter(|stage| !now.contains_key(*stage))
        .map(|stage| format!("{stage}: it was not measured"));
    grown.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, f64)]) -> Counts {
        rows.iter()
            .map(|(stage, count)| ((*stage).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_stage_may_grow_by_three_per_cent_and_none_may_vanish() {
        let before = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 4.0)]);
        let now = counts(&[("a", 103.0), ("b", 104.0), ("d", 4.4), ("new", 9.0)]);
        let grown = grown(&before, &now);
        assert_eq!(grown.len(), 2, "{grown:?}");
        assert!(grown[0].starts_with("b: 100.0 → 104.0"));
        assert!(grown[1].starts_with("c: "));
    }

    #[test]
    fn what_is_written_is_read() {
        let file = std::env::temp_dir().join(format!("fourtuple-micro-test-{}.toml", std::process::id()));
        let written = Baseline {
            counts: counts(&[("exchange_64", 1234.5), ("parse_64", 200.0)]),
            with: Surroundings {
                valgrind: "valgrind-1".into(),
                libc: "glibc-2".into(),
                crates: "a-1 b-2".into(),
                processor: "plain".into(),
            },
        };
        write(&file, &written).unwrap();
        let read = read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read.as_ref(), Some(&written));
        let elsewhere = Surroundings {
            libc: "glibc-3".into(),
            ..written.with.clone()
        };
        assert_eq!(
            elsewhere.differences(&written.with),
            ["glibc-3 here, glibc-2 there"]
        );
        assert!(written.with.differences(&written.with).is_empty());
        assert_eq!(super::read(&file).unwrap(), None);
    }
}
