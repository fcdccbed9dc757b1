//! Tells the program which compiler it was built by and for which processor: instruction counts hold for one such pair.

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
    let profile = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=MICRO_OPT_LEVEL={profile}");
}
