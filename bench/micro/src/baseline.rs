//! Instruction counts that are committed, one file for each compiler and processor: `baselines/rustc-1.95.0-x86-64.toml`.

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

/// Where the baseline of this build is, in this folder.
pub(crate) fn file_in(folder: &Path) -> PathBuf {
    folder.join(format!("rustc-{RUSTC}-{CPU}.toml"))
}

/// The baseline of this build; `None` when there is none.
pub(crate) fn read(file: &Path) -> Result<Option<Counts>, Failure> {
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
    Ok(Some(
        counts
            .iter()
            .filter_map(|(stage, value)| Some((stage.clone(), number(value)?)))
            .collect(),
    ))
}

/// Writes a baseline.
pub(crate) fn write(file: &Path, counts: &Counts) -> Result<(), Failure> {
    let mut text = format!(
        "# Instructions an operation, counted by callgrind; scripts/test holds each stage within 3 % of these.\n\
         # Written by: fourtuple-micro counts --write\n\
         rustc = \"{RUSTC}\"\n\
         target_cpu = \"{CPU}\"\n\n\
         [instructions]\n"
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
        let written = counts(&[("exchange_64", 1234.5), ("parse_64", 200.0)]);
        write(&file, &written).unwrap();
        let read = read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read, Some(written));
        assert_eq!(super::read(&file).unwrap(), None);
    }
}
