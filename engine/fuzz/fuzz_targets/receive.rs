//! Any bytes through `receive` and later turns with timers; pools and tables are compared with the start.
//!
//! `scripts/fuzz receive` runs it; the script's format is in `engine/src/simulation/fuzz.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::run(script));
