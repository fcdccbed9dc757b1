//! What others may see of a running engine: the facts and the numbers, from any thread, without asking a worker.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use fourtuple_wire::Instant;

use crate::attach::Reports;
use crate::listener::ListenerId;
use crate::stats::{Facts, PortRange, Reader, Snapshot};

/// Where a listener listens: one address or all, and its ports.
type Bound = (Option<IpAddr>, RangeInclusive<u16>);

/// A running engine as its watchers see it.
pub(crate) struct Watch {
    /// What people call each port.
    pub(crate) ports: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) listening: Mutex<BTreeMap<ListenerId, Bound>>,
    pub(crate) draining: AtomicBool,
    pub(crate) readers: Vec<Reader>,
    pub(crate) started: Instant,
    pub(crate) clock: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) reports: Reports,
}

impl Watch {
    /// The numbers now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = PortRange::union(listening.values().map(|(_, ports)| ports.clone()));
        drop(listening);
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION"),
            ports: self.ports.clone(),
            addresses: self.addresses.clone(),
            listening: ports,
            draining: self.draining.load(Ordering::Relaxed),
        };
        Snapshot {
            ports: (self.reports)(),
            ..Snapshot::take(facts, &self.readers, self.started, (self.clock)())
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "stats-server")]
impl crate::stats::Source for Watch {
    fn snapshot(&self) -> Snapshot {
        Watch::snapshot(self)
    }
}
