//! Any ARP and neighbour discovery.
//!
//! The script's format, and what is held against it, is in `engine/src/simulation/fuzz/`; `scripts/fuzz neighbours` runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::neighbours(script));
