//! ICMP errors about our segments: to the worker that owns the quoted four-tuple, and there to its connection.

use fourtuple_nic::Queue;
use fourtuple_tcp::PathError;
use fourtuple_wire::{DropReason, FourTuple, IcmpError, IcmpErrorKind};

use super::work::Work;
use crate::conn_id::SlotKind;

impl<Q: Queue> Work<Q> {
    /// The error's verdict: it goes to the connection that sent what it quotes (RFC 9293 §3.9.2.2, MUST-54). Half-open and
    /// TIME_WAIT records have nothing to learn from it.
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
        // RFC 9293 §3.9.2.2, MUST-55, RFC 6633 §3: silently discarded. RFC 5927 §6.2.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: IcmpErrorKind, code: u8, v6: bool) -> IcmpError {
        let (local, remote) = if v6 {
            ("[fd00::1]:7", "[fd00::2]:40000")
        } else {
            ("10.0.0.1:7", "10.0.0.2:40000")
        };
        IcmpError {
            kind,
            code,
            tuple: FourTuple::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap(),
            seq: fourtuple_wire::SeqNum(9),
            packet_len: 1500,
        }
    }

    // proves: RFC 9293 MUST-55, MUST-56, SHLD-26, RFC 6633 §3, RFC 5927 §6.2, §7.2, RFC 1191 §5
    #[test]
    fn what_errors_mean_to_tcp() {
        use IcmpErrorKind::{PacketTooBig, ParameterProblem, SourceQuench, TimeExceeded, Unreachable};
        let soft = Some(PathError::Soft);
        for (what, kind, code, v6, expected) in [
            ("source quench", SourceQuench, 0, false, None),
            ("no route", Unreachable, 0, false, soft),
            ("no host", Unreachable, 1, false, soft),
            ("no protocol", Unreachable, 2, false, Some(PathError::Hard)),
            ("no port", Unreachable, 3, false, Some(PathError::Hard)),
            ("source route failed", Unreachable, 5, false, soft),
            ("time exceeded", TimeExceeded, 0, false, soft),
            ("a parameter", ParameterProblem { pointer: 9 }, 0, false, soft),
            // RFC 9293 §3.9.2.2 counts all three codes of ICMPv6 among the soft ones, "unrecognized next header" too.
            ("a parameter", ParameterProblem { pointer: 6 }, 0, true, soft),
            ("a next header", ParameterProblem { pointer: 6 }, 1, true, soft),
            ("an option", ParameterProblem { pointer: 6 }, 2, true, soft),
            ("no route", Unreachable, 0, true, soft),
            ("no port", Unreachable, 4, true, Some(PathError::Hard)),
            (
                "too big",
                PacketTooBig { mtu: 1400 },
                4,
                false,
                Some(PathError::TooBig(1360)),
            ),
            (
                "too big",
                PacketTooBig { mtu: 1400 },
                0,
                true,
                Some(PathError::TooBig(1340)),
            ),
            (
                "by an old router",
                PacketTooBig { mtu: 0 },
                4,
                false,
                Some(PathError::TooBig(536)),
            ),
            (
                "no smaller than it was",
                PacketTooBig { mtu: 1500 },
                4,
                false,
                None,
            ),
        ] {
            assert_eq!(meaning(&error(kind, code, v6)), expected, "{what}, IPv6: {v6}");
        }
    }
}
