//! Any bytes as a frame: read as every kind of port would, written again, read again.
//!
//! The script's format, and what is held against it, is in `engine/src/simulation/fuzz/`; `scripts/fuzz frames` runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::frames(script));
