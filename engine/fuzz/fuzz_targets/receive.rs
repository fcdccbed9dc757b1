//! Any bytes through `receive` and later turns with timers; pools and tables are compared with the start.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run receive seeds/receive` in engine/. The script's format is in `simulation/fuzz.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::run(script));
