//! ICMP errors about our segments: to the worker that owns the quoted four-tuple, and there to its connection.

use fourtuple_nic::Queue;
use fourtuple_tcp::PathError;
use fourtuple_wire::{DropReason, FourTuple, IcmpError, IcmpErrorKind};

use super::work::Work;
use crate::conn_id::SlotKind;

impl<Q: Queue> Work<Q> {
    /// The error's verdict. Half-open and TIME_WAIT records have nothing to learn from it.
    pub(crate) fn path_error(&mut self, error: &IcmpError) -> Result<(), DropReason> {
        let slot = self
            .records
            .find(&error.tuple)
            .filter(|slot| slot.kind() == SlotKind::Tcb)
            .ok_or(DropReason::IgnoredIcmp)?;
        let what = meaning(error).ok_or(DropReason::IgnoredIcmp)?;
        let (_, least_mss) = headers_and_least(&error.tuple);
        let arrival = self
            .with_tcb(slot, |tcb, env| tcb.path_error(what, error.seq, least_mss, env))
            .ok_or(DropReason::IgnoredIcmp)?;
        self.tell(slot, arrival.signals, arrival.ended);
        arrival.verdict
    }
}

/// What it means to TCP, if anything.
fn meaning(error: &IcmpError) -> Option<PathError> {
    match error.kind {
        IcmpErrorKind::PacketTooBig { mtu } => {
            let (headers, least) = headers_and_least(&error.tuple);
            // RFC 5927 §7.2: a packet that was no larger than that was not too large.
            if mtu >= u32::from(error.packet_len) {
                return None;
            }
            // RFC 1191 §5: routers older than it name no size. The least that any path carries will do.
            let room = if mtu == 0 {
                u32::from(least)
            } else {
                mtu.saturating_sub(headers)
            };
            Some(PathError::TooBig(room.min(u32::from(u16::MAX)) as u16))
        }
        IcmpErrorKind::Unreachable if error.is_hard() => Some(PathError::Hard),
        IcmpErrorKind::Unreachable | IcmpErrorKind::TimeExceeded | IcmpErrorKind::ParameterProblem { .. } => {
            Some(PathError::Soft)
        }
        // RFC 9293 §3.9.2.2, MUST-55: silently discarded.
        IcmpErrorKind::SourceQuench => None,
    }
}

/// Octets of the IP and TCP headers without options, and the MSS that every path of the family carries.
fn headers_and_least(tuple: &FourTuple) -> (u32, u16) {
    match tuple {
        FourTuple::V4(_) => (40, 536),
        FourTuple::V6(_) => (60, 1220),
    }
}
