//! Any bytes as TCP options of a segment that is right otherwise.
//!
//! The script's format, and what is held against it, is in `engine/src/simulation/fuzz/`; `scripts/fuzz options` runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::options(script));
