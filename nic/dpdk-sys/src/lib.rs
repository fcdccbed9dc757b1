//! Raw bindings to the system's DPDK (22.11 or newer), generated at build time.
//!
//! What it is: every `rte_*` symbol that `nic/dpdk` needs, and `shim_*`, DPDK's inline functions given a
//! symbol (`shim.h`). What it is not: safe, or a place for logic. `fourtuple-nic-dpdk` is the only crate
//! that may depend on it; all others meet DPDK through the contract in `fourtuple-nic`.
//!
//! The build needs `libdpdk-dev` and `libclang-dev`; `scripts/setup` installs both.

// Generated code follows C's names and C's idea of documentation.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
