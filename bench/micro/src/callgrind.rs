//! Runs this very program under callgrind and reads how many instructions each measured function took.
//!
//! A file of callgrind's lists for each function what it called: `calls=COUNT POSITION`, and on the line behind it the
//! instructions of these calls, everything below them included. Names and positions are abbreviated; only names matter here.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::meter::PREFIX;

/// Instructions of all calls of each measured function, by its name without the prefix; and what the program printed.
pub(crate) fn run(arguments: &[&str]) -> Result<(HashMap<String, u64>, String), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::Run(error.to_string()))?;
    let file = std::env::temp_dir().join(format!("fourtuple-micro-{}.callgrind", std::process::id()));
    let output = Command::new("valgrind")
        .env("GLIBC_TUNABLES", PLAIN_LIBC)
        .arg("--tool=callgrind")
        .arg("--demangle=no")
        .arg("--quiet")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::NoValgrind(error.to_string()))?;
    let text = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    if !output.status.success() {
        return Err(Failure::Run(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = text.map_err(|error| Failure::Run(error.to_string()))?;
    Ok((read(&text), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The C library picks its `memcpy` and the like by what the processor can do: with these it picks the plainest ones on every
/// machine, so that one machine counts as another does. Where the library knows a word by another name, or is another library, nothing
/// happens.
const PLAIN_LIBC: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX2_Usable,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-RTM,-SSSE3,-SSE4_1,-SSE4_2";

/// The version of valgrind; what it says when it can't be asked.
pub(crate) fn version() -> String {
    said(Command::new("valgrind").arg("--version"))
}

/// The version of the C library, as `glibc-2.36`.
pub(crate) fn libc_version() -> String {
    said(Command::new("getconf").arg("GNU_LIBC_VERSION")).replace(' ', "-")
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match text {
        Ok(text) if !text.is_empty() => text,
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

/// Sums up the calls of measured functions.
fn read(text: &str) -> HashMap<String, u64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut sums: HashMap<String, u64> = HashMap::new();
    let (mut called, mut is_call) = (None, false);
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            called = line
                .starts_with("cfn=")
                .then(|| names.get(number).copied())
                .flatten();
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if is_call {
            is_call = false;
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            if let (Some(stage), Some(cost)) = (called.and_then(stage_of), cost) {
                *sums.entry(stage.to_owned()).or_default() += cost;
            }
        }
    }
    sums
}

/// The stage in a mangled name, where identifiers stand behind their length.
fn stage_of(mangled: &str) -> Option<&str> {
    let at = mangled.find(PREFIX)?;
    let digits = mangled[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
    let len: usize = mangled[at - digits..at].parse().ok()?;
    mangled.get(at + PREFIX.len()..at + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_measured_functions_are_summed_up() {
        let text = "version: 1\n\
                    events: Ir\n\
                    fn=(1) main\n\
                    16 3\n\
                    cfi=(2) a.rs\n\
                    cfn=(2) _ZN5micro17measured_parse_6417h0123456789abcdefE\n\
                    calls=2 +3\n\
                    17 400\n\
                    18 5\n\
                    cfn=(3) _RINvNvCs1_5micro1m18measured_parse_64bpE\n\
                    calls=1 +1\n\
                    * 7\n\
                    fn=(4) other\n\
                    cfn=(2)\n\
                    calls=1 9\n\
                    +1 23\n\
                    cfn=(5) puts\n\
                    calls=1 9\n\
                    +1 1000\n";
        let sums = read(text);
        assert_eq!(sums.get("parse_64"), Some(&423));
        assert_eq!(sums.get("parse_64b"), Some(&7));
        assert_eq!(sums.len(), 2);
    }
}
