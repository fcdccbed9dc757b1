//! Fourtuple's traffic generator as a library: a [`fourtuple::Handler`] on each worker, and the thread that watches.
//!
//! ```text
//!   caller's thread                          worker w
//!   Plan ─► Run ─ generator(w) ────────────► Generator: slots, payload, recorder
//!            │  ◄─ live counters (atomics) ─┤   rr · crr · stream · hold · http, closed loop
//!            └─ drive: connect, warm up, measure, finish ─► phase (one atomic)
//!          Outcome ◄─ histograms, merged once at the end
//! ```
//!
//! | file | idea |
//! |---|---|
//! | plan | what is to be done, typed and checked |
//! | generator | the handler: when connections are opened and closed, and when operations have failed |
//! | opening | opening connections, evenly where that is asked for |
//! | drawing, order | which connection asks next, where not all do |
//! | exchange | what goes over one connection: requests, their echoes, blocks |
//! | http_request | the request of an HTTP run |
//! | http_answer | reading answers of HTTP: where one ends |
//! | http_exchange | answers of HTTP as operations |
//! | slots | what the generator knows of each of its connections |
//! | payload | bytes to send, and whether received ones are those |
//! | recorder | what one worker counts; one histogram |
//! | shared | what workers and the watching thread tell each other |
//! | run | the watching thread: phases, progress, the outcome |
//! | report | the object of `--json` (docs/load-json.md) |
//!
//! Nothing is allocated for an operation: slots, histogram and payload are there before the first.
//! What it is not: a user of the hand-off, or of the kernel's TCP.
#![forbid(unsafe_code)]

mod drawing;
mod exchange;
mod generator;
mod http_answer;
mod http_exchange;
mod http_request;
mod opening;
mod order;
mod payload;
mod plan;
mod recorder;
mod report;
mod run;
mod shared;
mod slots;

pub use generator::Generator;
pub use plan::{Close, Limit, Pattern, Plan, PlanError};
pub use recorder::{Counts, Errors};
pub use report::{BitsPerSecond, Held, Latency, Report, SCHEMA, ServerCost};
pub use run::{Ending, Outcome, Progress, Run, Stage, Watch};
