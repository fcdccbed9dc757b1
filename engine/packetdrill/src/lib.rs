//! Fourtuple's TCP under packetdrill, in virtual time.
//!
//! packetdrill runs scripts of system calls and packets against a TCP and says where it differs. With `--so_filename` the TCP is
//! a shared object: this one. What a script sends goes into a stepped shard, what the shard sends goes to the script, and time
//! passes only where the script waits, so that a script of minutes takes milliseconds and gives the same every time.
//!
//! | file | idea |
//! |---|---|
//! | interface | the table of functions, as packetdrill declares it |
//! | calls | those functions: pointers and errno outside, slices and `Result` inside |
//! | stack | the shard with its clock, and calls that block |
//! | sockets, streams | what POSIX calls mean here |
//! | options, tcp_info | socket options |
//! | app | the handler that keeps account of connections |
//! | addresses | socket addresses as octets |
//! | flags | what stands in `--so_flags` |
//!
//! Test equipment: it is not part of the engine, and the only crate outside nic/ with `unsafe`, which the C interface needs.

mod addresses;
mod app;
mod calls;
mod flags;
mod interface;
mod options;
mod sockets;
mod stack;
mod streams;
mod tcp_info;

pub use calls::packetdrill_interface_init;
pub use interface::{Interface, Userdata};
