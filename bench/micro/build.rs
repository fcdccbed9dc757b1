//! Tells the program which compiler it was built by, for which processor, and with which crates on the packets' way: instruction
//! counts hold for those alone.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // `-C target-cpu=X` is two words, or one without the blank.
    let cpu = flags
        .split('\u{1f}')
        .filter_map(|word| {
            word.strip_prefix("-C")
                .unwrap_or(word)
                .strip_prefix("target-cpu=")
        })
        .next_back()
        .unwrap_or("x86-64");
    println!("cargo:rustc-env=MICRO_RUSTC={version}");
    println!("cargo:rustc-env=MICRO_CPU={cpu}");
    println!("cargo:rustc-env=MICRO_CRATES={}", crates_on_the_way());
    let profile = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=MICRO_OPT_LEVEL={profile}");
}

/// Others' crates whose code runs for a packet, with their versions: `arrayvec-0.7.6 hashbrown-0.16.0 …`.
fn crates_on_the_way() -> String {
    const LOCK: &str = "../../Cargo.lock";
    println!("cargo:rerun-if-changed={LOCK}");
    let lock = std::fs::read_to_string(LOCK).unwrap_or_default();
    let mut found = Vec::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let of = |line: &str, key| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
        if let Some(name) = of(line, "name = ")
            && ON_THE_WAY.contains(&name.as_str())
            && let Some(version) = lines.next().and_then(|line| of(line, "version = "))
        {
            found.push(format!("{name}-{version}"));
        }
    }
    found.join(" ")
}

const ON_THE_WAY: [&str; 6] = [
    "arrayvec",
    "fearless_simd",
    "foldhash",
    "hashbrown",
    "rtrb",
    "siphasher",
];
