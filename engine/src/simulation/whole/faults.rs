//! What goes wrong, and when: to links, workers, clocks, endpoints and whole hosts.

use super::draw::Draw;
use super::plan::HostPlan;
use super::{MS, SECOND};

/// Something that goes wrong at a time of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) what: Trouble,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// Nothing passes, one way (0: from the hub, 1: to it) or both (2), for so long.
    Blackout { link: usize, way: u8, span: u64 },
    /// Packets of more than so many bytes don't pass for so long, and a router says so or not.
    Narrow {
        link: usize,
        most: u16,
        told: bool,
        span: u64,
    },
    /// The ways of a link change.
    Change { link: usize },
    /// The first of a link is spread over the hub's workers in another way.
    Spread { host: usize },
    /// A worker is not stepped for so long.
    Stall { host: usize, worker: usize, span: u64 },
    /// All clocks leap, and with them everything that was under way arrives.
    Leap { span: u64 },
    /// One host's clock leaps.
    LeapOf { host: usize, span: u64 },
    /// A host forgets everything and begins anew.
    Reboot { host: usize },
    /// An endpoint is dropped with all that it has.
    EndOfEndpoint { host: usize, endpoint: usize },
}

/// As many as not, none; else some, the harmless ones more often.
pub(super) fn draw(draw: &mut Draw, hosts: &[HostPlan], calm_at: u64) -> Vec<Fault> {
    let count = draw.one_of(&[0, 0, 1, 2, 4]);
    let mut faults: Vec<_> = (0..count)
        .map(|_| {
            let at = draw.below(calm_at);
            let what = trouble(draw, hosts);
            Fault { at, what }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn trouble(draw: &mut Draw, hosts: &[HostPlan]) -> Trouble {
    let link = draw.below(hosts.len() as u64 - 1) as usize;
    let host = draw.below(hosts.len() as u64) as usize;
    let span = draw.span_ns(5, 8_000);
    match draw.below(20) {
        0..=3 => Trouble::Blackout {
            link,
            way: draw.below(3) as u8,
            span,
        },
        4..=6 => Trouble::Narrow {
            link,
            most: draw.between(1_280, 1_450) as u16,
            told: draw.percent(70),
            span,
        },
        7..=9 => Trouble::Change { link },
        10 => Trouble::Spread { host },
        11..=13 => Trouble::Stall {
            host,
            worker: draw.below(u64::from(hosts[host].workers)) as usize,
            span: span.min(3 * SECOND),
        },
        14 => Trouble::Leap {
            span: draw.between(MS, 6 * SECOND),
        },
        15 => Trouble::LeapOf {
            host,
            span: draw.between(MS, 6 * SECOND),
        },
        16 | 17 => Trouble::Reboot { host },
        _ if hosts[host].endpoints > 0 => Trouble::EndOfEndpoint {
            host,
            endpoint: draw.below(hosts[host].endpoints as u64) as usize,
        },
        _ => Trouble::Change { link },
    }
}
