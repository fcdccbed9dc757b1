//! Fourtuple's NIC contract kept with DPDK.
//!
//! ```text
//!   Eal ── attaches ──► Port ── hands out ──► DpdkQueue     one for each worker
//!    │ one a process     │ promises, stats       │ rx_burst ─► Mbuf ─ into_shared ─► SharedMbuf
//!    │ never ended       │ closes on drop        │ tx_frame ─► TxMbuf ─ attach(&SharedMbuf) ─► tx_burst
//!    └ register_thread   └ rings, af_packet,     └ share_copy, blank, pool, reclaim, wait_fd
//!      (an lcore id)       tap, any vdev
//! ```
//!
//! What it is: a safe API. `unsafe` stays inside, each block says which invariant it stands on and who upholds it;
//! no raw pointer crosses this border. What it is not: a general DPDK wrapper. What the engine does not need is not here.
//!
//! Invariants, on which all modules stand:
//!
//! 1. **The EAL runs while any [`Eal`] exists**, since it is started once and never ended (D12).
//! 2. **An mbuf handle owns what it points to.** [`Mbuf`]: the only reference to a direct, single-segment mbuf.
//!    [`SharedMbuf`]: one counted reference; nobody writes to the bytes while there is one. [`TxMbuf`]: the only reference
//!    to a chain whose head we allocated.
//! 3. **A pool lives until all its buffers are back** (`pool/retired.rs`), so a handle may be dropped on any thread, at any time.
//! 4. **A queue index of a port is used by one [`DpdkQueue`] only**, by `&mut self`: bursts are never concurrent.
//! 5. **A port is stopped only when no queue of it is left**: each holds the port.
//!
//! The packet path neither allocates from the heap, nor locks, logs, or enters the kernel (except where the port *is* a kernel
//! socket). Attaching and detaching do all of these.

mod clock;
mod eal;
mod mbuf;
mod pages;
mod pool;
mod port;
mod queue;

pub use clock::TscClock;
pub use eal::{Eal, EalOptions, Memory, ORDINARY_MEGABYTES, WorkerThread};
pub use mbuf::{Mbuf, SharedMbuf, TxMbuf, foreign_frees};
pub use pages::TransparentHugePages;
pub use port::{Port, PortOptions, Reporter};
pub use queue::DpdkQueue;
