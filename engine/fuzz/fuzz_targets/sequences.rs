//! Any segments of one peer at a TCB, from its SYN to the end of TIME_WAIT.
//!
//! The script's format, and what is held against it, is in `engine/src/simulation/fuzz/`; `scripts/fuzz sequences` runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::sequences(script));
