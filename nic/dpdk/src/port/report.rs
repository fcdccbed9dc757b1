//! What a port tells of itself: its link and all that its driver counts. For control threads; a port is asked, not its workers.

use std::sync::{Arc, Weak};

use fourtuple_nic::PortReport;

use super::Inner;

/// Tells of a port while it is open. Does not keep it open.
#[derive(Clone, Debug)]
pub struct Reporter(Weak<Inner>);

impl Reporter {
    pub(super) fn of(port: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(port))
    }

    /// The port now; `None` when it is closed. Takes microseconds: it may enter the kernel or ask the device.
    pub fn report(&self) -> Option<PortReport> {
        let port = self.0.upgrade()?;
        let link = match &port.carrier {
            Some(carrier) => carrier.link(),
            None => port.devices.link(),
        };
        Some(PortReport {
            name: port.promises.name.clone(),
            link,
            counters: port.devices.extended_counters(),
        })
    }
}
