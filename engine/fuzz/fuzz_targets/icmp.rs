//! Any ICMP messages to a host with a connection under way.
//!
//! The script's format, and what is held against it, is in `engine/src/simulation/fuzz/`; `scripts/fuzz icmp` runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| fourtuple::fuzz::icmp(script));
