//! Tasks of a tokio runtime in place of threads (feature `async`): streams with `AsyncRead` and `AsyncWrite` (D9).
//!
//! ```text
//!   worker ═══ rings ═══ Endpoint ── AsyncEndpoint, AsyncListener, AsyncStream   (any task of the runtime, on any thread)
//!      │                    │ step, wakers
//!      └── rings its bell ──┴── driver: one task an endpoint; sleeps on the bell's descriptor in the runtime's own poll
//! ```
//!
//! A read takes what the driver brought in, and a write goes to the worker at once, on the task's own thread: nothing but news
//! from the workers passes through the driver. Received bytes stay in their buffers until they are read, so a task that does
//! not read closes its peer's window. Runtimes that run on one thread find the endpoint's lock free; those that run on
//! several share it for as long as a copy takes: one runtime and one endpoint a core scale best.
//!
//! Whatever a future of these types had not given when it was dropped is still there for the next: reads, writes and accepts
//! may stand in a `select!`. A dropped connect gives up.
//!
//! | file | idea |
//! |---|---|
//! | endpoint, held | what applications begin with; how the driver learns that nobody is left |
//! | driver | the task that moves messages |
//! | listener, waiting | accepting; a future that is one of several which wait for the same |
//! | link, reading, writing | a connection; bytes in; bytes out |
//! | halves, stream, bytes | each direction by itself; both; shared buffers and registered memory |
//! | traits, tokio_io | what the traits of all runtimes have alike; tokio's |
//! | hyper, futures | the traits of hyper 1, of `futures-io` and of `futures-core` (features) |

mod bytes;
mod driver;
mod endpoint;
#[cfg(feature = "async-futures-io")]
mod futures;
mod halves;
mod held;
#[cfg(feature = "async-hyper")]
mod hyper;
mod link;
mod listener;
mod reading;
mod stream;
mod tokio_io;
mod traits;
mod waiting;
mod writing;

pub use endpoint::AsyncEndpoint;
pub use halves::{AsyncReadHalf, AsyncWriteHalf};
pub use listener::AsyncListener;
pub use stream::AsyncStream;
