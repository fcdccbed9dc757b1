//! Properties: no segment in any state does harm, and the fast path changes nothing.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

mod any_segment;
mod fast_is_slow;
mod steps;
#[path = "../support/mod.rs"]
mod support;
