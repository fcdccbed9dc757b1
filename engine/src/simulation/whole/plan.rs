//! What a world is made of, drawn from its seed: hosts, links, and how long trouble lasts.

use std::time::Duration;

use fourtuple_nic_mem::{BurstLoss, WireConditions};
use fourtuple_tcp::{CongestionKind, Ecn, KeepAlive, Pacing, Profile};

use super::draw::Draw;
use super::extras::Extras;
use super::faults::{self, Fault};
use super::script::{self, Conversation};
use super::{KEPT, MS, SECOND, Without};

/// A world before it begins.
#[derive(Clone, Debug)]
pub(super) struct WorldPlan {
    pub(super) seed: u64,
    /// The first is the hub, to which all others are linked.
    pub(super) hosts: Vec<HostPlan>,
    /// The link of the same number joins the hub and the host behind it.
    pub(super) links: Vec<LinkPlan>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) faults: Vec<Fault>,
    /// From then on nothing goes wrong any more, and nobody dawdles.
    pub(super) calm_at: u64,
    /// Time that a round takes in which something happened.
    pub(super) grain: u64,
    /// Percent of rounds in which a shard or an endpoint is passed over.
    pub(super) passed_over: u64,
}

/// One host.
#[derive(Clone, Debug)]
pub(super) struct HostPlan {
    pub(super) workers: u16,
    pub(super) endpoints: usize,
    /// Buffers of each kind of each queue.
    pub(super) buffers: u32,
    pub(super) connections: u32,
    pub(super) mesh_ring: usize,
    pub(super) ring: usize,
    pub(super) multi_seg: bool,
    /// Its ports copy payload at once, as ring ports do.
    pub(super) copies: bool,
    pub(super) checksums: bool,
    /// How frames are spread over workers: by their hash, all to one, or in turn.
    pub(super) spread: u64,
    /// What its clock shows at the beginning, in nanoseconds.
    pub(super) clock: u64,
    pub(super) events: u32,
    pub(super) lent: u32,
    /// Connections that may wait at an endpoint of it to be taken.
    pub(super) handed: u32,
    /// Workers sleep while there is nothing to do.
    pub(super) sleeps: bool,
    pub(super) profile: Profile,
}

/// One link.
#[derive(Clone, Debug)]
pub(super) struct LinkPlan {
    /// From the hub, and to it.
    pub(super) conditions: [WireConditions; 2],
    /// The same once nothing goes wrong any more.
    pub(super) calm: [WireConditions; 2],
    pub(super) mtu: u16,
}

impl WorldPlan {
    pub(super) fn draw(seed: u64, without: &Without) -> Self {
        let mut draw = Draw::new(seed, 1);
        let leaves = draw.one_of(&[1, 1, 1, 1, 2, 3]);
        // One world in a hundred is large: more connections, longer transfers.
        let large = draw.percent(1);
        let calm_at = draw.span_ns(50, 20_000);
        let msl = draw.one_of(&[50, 200, 1_000, 3_000]);
        let hosts: Vec<_> = (0..=leaves)
            .map(|at| HostPlan {
                handed: Draw::new(seed, 5_000 + at).one_of(&[1, 3, 64]),
                // Worlds that are kept stay what they were.
                copies: !KEPT.iter().any(|(kept, _)| *kept == seed)
                    && Draw::new(seed, 7_000 + at).percent(40),
                ..HostPlan::draw(&mut Draw::new(seed, 100 + at), msl)
            })
            .collect();
        let mut links: Vec<_> = (0..leaves)
            .map(|at| LinkPlan::draw(&mut Draw::new(seed, 200 + at)))
            .collect();
        let grain = draw.one_of(&[300, 2_000, 2_000, 20_000, 200_000, 2_000_000]);
        let passed_over = draw.one_of(&[0, 0, 10, 50]);
        let count = if large {
            draw.between(8, 24)
        } else {
            draw.size(1, 8)
        };
        let mut conversations: Vec<_> = (0..count)
            .map(|at| {
                script::draw(
                    &mut Draw::new(seed, 1_000 + at),
                    at as u16,
                    &hosts,
                    large,
                    calm_at,
                    msl,
                )
            })
            .collect();
        for conversation in conversations.iter_mut().filter(|_| !without.extras) {
            let draw = &mut Draw::new(seed, 6_000 + u64::from(conversation.number));
            Extras::draw(draw, conversation, &hosts);
        }
        conversations.retain(|conversation| without.conversations >> (conversation.number % 64) & 1 == 0);
        let mut faults = faults::draw(&mut Draw::new(seed, 3), &hosts, calm_at);
        if without.faults {
            faults.clear();
            links.iter_mut().for_each(|link| link.conditions = link.calm);
        }
        Self {
            seed,
            hosts,
            links,
            conversations,
            faults,
            calm_at,
            grain,
            passed_over,
        }
    }
}

impl HostPlan {
    fn draw(draw: &mut Draw, msl: u64) -> Self {
        let buffers = draw.one_of(&[48, 96, 256, 256, 512]);
        // Ticks of a millisecond go round a circle of 32 bits: some hosts live to see it.
        let turn_of_ticks = (1 << 32) * MS;
        let clock = draw.one_of(&[
            0,
            0,
            turn_of_ticks - 2 * SECOND,
            turn_of_ticks / 2 - SECOND,
            77 * SECOND,
        ]);
        Self {
            workers: draw.one_of(&[1, 1, 2, 3, 4]),
            endpoints: draw.one_of(&[0, 1, 1, 2]),
            buffers,
            connections: draw.one_of(&[3, 8, 16, 32]),
            mesh_ring: draw.one_of(&[4, 64, 256]),
            ring: draw.one_of(&[16, 64, 256]),
            multi_seg: draw.percent(70),
            copies: false,
            checksums: draw.percent(40),
            spread: draw.below(3),
            clock,
            events: draw.one_of(&[2, 16, 256]),
            lent: draw.one_of(&[8, 64, 256]),
            handed: 64,
            profile: profile(draw, msl, false),
            sleeps: draw.percent(75),
        }
    }
}

impl LinkPlan {
    fn draw(draw: &mut Draw) -> Self {
        let delay = Duration::from_micros(draw.one_of(&[2, 20, 500, 5_000, 40_000]));
        let rate = draw.one_of(&[None, None, Some(2_000_000), Some(20_000_000), Some(1_000_000_000)]);
        let calm = WireConditions {
            delay,
            rate,
            queue_limit: 100,
            ..WireConditions::default()
        };
        let one = rough(draw, &calm);
        // Both ways alike, or one way rough alone.
        let other = match draw.below(3) {
            0 => one,
            1 => calm,
            _ => rough(draw, &calm),
        };
        Self {
            conditions: [one, other],
            calm: [calm; 2],
            mtu: draw.one_of(&[1500, 1500, 1280, 1400]),
        }
    }
}

/// What a way does to frames while things may go wrong.
pub(super) fn rough(draw: &mut Draw, calm: &WireConditions) -> WireConditions {
    let mut way = *calm;
    if draw.percent(25) {
        return way;
    }
    let chance = |draw: &mut Draw, percent, most| {
        if draw.percent(percent) {
            draw.size(100, most) as u32
        } else {
            0
        }
    };
    way.loss = chance(draw, 50, 150_000);
    way.duplicate = chance(draw, 30, 100_000);
    way.corrupt = chance(draw, 30, 30_000);
    way.reorder = chance(draw, 40, 200_000);
    way.mark = chance(draw, 20, 300_000);
    way.reorder_by = draw.span(1, 30);
    if draw.percent(40) {
        way.jitter = draw.span(1, 20);
    }
    if draw.percent(25) {
        way.burst = Some(BurstLoss {
            enter: draw.size(1_000, 50_000) as u32,
            leave: draw.size(50_000, 600_000) as u32,
            loss: draw.between(300_000, 1_000_000) as u32,
        });
    }
    if way.rate.is_some() {
        way.queue_limit = draw.size(4, 100) as usize;
        way.mark_above = draw.one_of(&[usize::MAX, 4, 20]);
    }
    way
}

/// Options of a connection; with `short_lives`, such that a connection may end by a time limit while things go wrong.
pub(super) fn profile(draw: &mut Draw, msl_ms: u64, short_lives: bool) -> Profile {
    let span = Duration::from_millis;
    let buffer = |draw: &mut Draw| draw.one_of(&[2_500, 5_000, 16_384, 65_535, 65_536, 262_144, 1_000_000]);
    let mut profile = Profile::default().with(|profile| {
        profile.nodelay = draw.percent(30);
        profile.delayed_ack = span(draw.one_of(&[40, 40, 1, 200, 499]));
        profile.min_rto = span(draw.one_of(&[200, 200, 20, 1_000]));
        profile.max_rto = span(draw.one_of(&[2_000, 5_000, 8_000]));
        profile.initial_rto = span(draw.one_of(&[1_000, 1_000, 300]));
        profile.r1 = draw.one_of(&[3, 3, 1]);
        profile.msl = span(msl_ms);
        profile.receive_buffer = buffer(draw);
        profile.send_buffer = buffer(draw);
        profile.window_scaling = draw.percent(85);
        profile.timestamps = draw.percent(80);
        profile.sack = draw.percent(80);
        profile.congestion = draw.one_of(CONGESTION);
        profile.ecn = draw.one_of(&[Ecn::Passive, Ecn::On, Ecn::Off]);
        profile.pacing = draw.one_of(&[Pacing::Auto, Pacing::Auto, Pacing::On, Pacing::Off]);
        profile.initial_window_segments = draw.one_of(&[10, 10, 1, 3]);
        profile.reassembly_chunks = draw.one_of(&[512, 512, 3]);
        profile.header_prediction = draw.percent(80);
    });
    if draw.percent(15) {
        profile.keepalive = Some(KeepAlive::new(
            draw.span(500, 5_000),
            draw.span(500, 2_000),
            // Without short lives it outlasts any trouble.
            if short_lives {
                draw.between(1, 5) as u8
            } else {
                200
            },
        ));
    }
    if short_lives {
        profile.user_timeout = draw.percent(50).then(|| draw.span(1_000, 20_000));
        profile.fin_wait_2_timeout = draw.span(500, 20_000);
        profile.orphan_timeout = draw.span(500, 20_000);
        profile.connect_timeout = draw.span(1_000, 20_000);
        profile.syn_record_timeout = draw.span(1_000, 20_000);
    }
    profile
}

/// Those that there are.
const CONGESTION: &[CongestionKind] = &[
    CongestionKind::Cubic,
    CongestionKind::NewReno,
    CongestionKind::Bbr,
    CongestionKind::Dctcp,
];
