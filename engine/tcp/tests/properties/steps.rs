//! Steps that a peer, an application and time may take, drawn near the edges where rules change.

use fourtuple_tcp::{Arrival, State};
use fourtuple_wire::{SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps};
use proptest::prelude::*;

use crate::support::{ACK, End, FIN, SYN, Sent, Setup, seg};

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    Segment(AnySegment),
    /// The next text in order, with a sound acknowledgment of so many of the octets outstanding.
    InOrder {
        len: usize,
        acked: u32,
        window: u16,
    },
    Write(usize),
    Read,
    Pass(u64),
    Fire,
    Poll,
    Shutdown,
    Close,
    Abort,
}

/// A segment, its numbers as offsets from what was last told.
#[derive(Clone, Debug)]
pub struct AnySegment {
    pub seq: i32,
    pub ack: i32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    pub len: usize,
    pub timestamp: Option<(i32, i32)>,
    pub sack: Vec<(i32, i32)>,
    pub mss: Option<u16>,
    pub shift: Option<u8>,
}

fn near_an_edge() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => Just(0),
        4 => -3..4i32,
        2 => -3_000..3_000i32,
        2 => 59_990..60_010i32,
        1 => Just(i32::MIN),
        1 => any::<i32>(),
    ]
}

pub fn any_segment() -> impl Strategy<Value = AnySegment> {
    let flags = prop_oneof![4 => Just(ACK.0), 2 => Just(ACK.0 | FIN.0), 4 => any::<u8>()];
    let len = prop_oneof![3 => Just(0usize), 2 => 1..4usize, 2 => 1..2_000usize];
    let window = prop_oneof![2 => Just(0u16), 4 => Just(60_000u16), 2 => any::<u16>()];
    let timestamp = proptest::option::weighted(0.7, (near_an_edge(), near_an_edge()));
    let sack = proptest::collection::vec((near_an_edge(), near_an_edge()), 0..5);
    let options = (
        timestamp,
        sack,
        proptest::option::of(any::<u16>()),
        proptest::option::of(any::<u8>()),
    );
    (
        near_an_edge(),
        near_an_edge(),
        flags,
        window,
        any::<u16>(),
        len,
        options,
    )
        .prop_map(
            |(seq, ack, flags, window, urgent, len, (timestamp, mut sack, mss, shift))| {
                sack.truncate(4);
                AnySegment {
                    seq,
                    ack,
                    flags,
                    window,
                    urgent,
                    len,
                    timestamp,
                    sack,
                    mss,
                    shift,
                }
            },
        )
}

pub fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_segment().prop_map(Step::Segment),
        6 => in_order(),
        3 => (0..4_000usize).prop_map(Step::Write),
        2 => Just(Step::Read),
        2 => (0..2_000u64).prop_map(Step::Pass),
        2 => Just(Step::Fire),
        4 => Just(Step::Poll),
        1 => Just(Step::Shutdown),
        1 => prop_oneof![Just(Step::Close), Just(Step::Abort)],
    ]
}

/// Mostly what an honest peer does, so that the fast path is taken often.
pub fn honest_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => in_order(),
        1 => any_segment().prop_map(Step::Segment),
        6 => (1..4_000usize).prop_map(Step::Write),
        2 => (4_000..40_000usize).prop_map(Step::Write),
        3 => Just(Step::Read),
        2 => (0..300u64).prop_map(Step::Pass),
        8 => Just(Step::Poll),
    ]
}

fn in_order() -> impl Strategy<Value = Step> {
    let window = prop_oneof![6 => Just(60_000u16), 1 => Just(0u16), 1 => 1..3_000u16];
    let acked = prop_oneof![4 => 0..6_000u32, 1 => 0..40_000u32];
    (0..1_500usize, acked, window).prop_map(|(len, acked, window)| Step::InOrder { len, acked, window })
}

/// An end, and what its last segments told.
pub struct Player {
    pub end: End,
    /// SND.NXT, SND.UNA and RCV.NXT as far as the peer knows them.
    nxt: SeqNum,
    una: SeqNum,
    rcv_nxt: SeqNum,
    /// The right edge that was advertised last.
    edge: Option<SeqNum>,
    peer_timestamp: u32,
    last_timestamp: u32,
    timestamps: bool,
    shift: u8,
}

/// What a connection has agreed on, or is about to: all options, or none.
fn setup(options: bool, prediction: bool) -> Setup {
    let mut setup = Setup::default();
    setup.profile.header_prediction = prediction;
    setup.profile.timestamps = options;
    setup.profile.sack = options;
    setup.profile.window_scaling = options;
    setup.profile.receive_buffer = if options { 100_000 } else { 60_000 };
    if options {
        setup.peer_syn = seg(SYN)
            .mss(1000)
            .sack_permitted()
            .window_scale(2)
            .timestamps(1_000, 0);
    }
    setup
}

impl Player {
    /// A connection in one of the states, by the shortest way.
    pub fn in_state(state: State, options: bool, prediction: bool) -> Self {
        let setup = setup(options, prediction);
        let mut player = Self::new(
            match state {
                State::SynSent => setup.syn_sent(),
                State::SynReceived => setup.syn_received(),
                State::Closed
                | State::Listen
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
                | State::Closing
                | State::LastAck
                | State::TimeWait => setup.established(),
            },
            options,
        );
        player.go_on_to(state);
        player
    }

    /// A passive open for which the ACK that ends its handshake is still to come.
    pub fn accepting(options: bool, prediction: bool) -> Self {
        Self::new(setup(options, prediction).accepting(), options)
    }

    fn new(end: End, options: bool) -> Self {
        let (nxt, rcv_nxt) = (end.iss + 1, end.irs + 1);
        let una = if end.state() == State::Established {
            nxt
        } else {
            end.iss
        };
        let last_timestamp = 7 + end.now.as_millis() as u32;
        Self {
            end,
            nxt,
            una,
            rcv_nxt,
            edge: None,
            peer_timestamp: 1_000,
            last_timestamp,
            timestamps: options,
            shift: u8::from(options),
        }
    }

    fn go_on_to(&mut self, state: State) {
        let fin = AnySegment {
            flags: (ACK | FIN).0,
            ..AnySegment::bare()
        };
        match state {
            State::Closed => self.end.abort(),
            State::FinWait1 => self.end.shutdown(),
            State::FinWait2 => {
                self.go_on_to(State::FinWait1);
                self.take_all();
                let _ = self.segment(&AnySegment::bare());
            }
            State::CloseWait => {
                let _ = self.segment(&fin);
            }
            State::Closing => {
                self.end.shutdown();
                self.take_all();
                let unacknowledged = AnySegment { ack: -1, ..fin };
                let _ = self.segment(&unacknowledged);
            }
            State::LastAck => {
                let _ = self.segment(&fin);
                self.end.shutdown();
            }
            State::TimeWait => {
                self.go_on_to(State::FinWait2);
                let _ = self.segment(&fin);
            }
            State::Listen | State::SynSent | State::SynReceived | State::Established => {}
        }
        self.take_all();
        if state != State::Listen {
            assert_eq!(self.end.state(), state);
        }
    }

    /// Does a step; what it told, and what went out.
    pub fn play(&mut self, step: &Step) -> (Option<Arrival>, Vec<Sent>) {
        let arrival = match step {
            Step::Segment(segment) => Some(self.segment(segment)),
            Step::InOrder { len, acked, window } => Some(self.in_order(*len, *acked, *window)),
            Step::Write(len) => {
                let _ = self.end.try_write(&vec![7; *len]);
                None
            }
            Step::Read => {
                self.end.read();
                None
            }
            Step::Pass(ms) => Some(self.end.pass(*ms)),
            Step::Fire => {
                let stands = self.end.tcb.deadline(self.end.now) != fourtuple_wire::Instant::FAR_FUTURE;
                stands.then(|| self.end.fire())
            }
            Step::Poll => return (None, self.take_all()),
            Step::Shutdown => {
                self.end.shutdown();
                None
            }
            Step::Close => {
                self.end.close();
                None
            }
            Step::Abort => {
                self.end.abort();
                None
            }
        };
        (arrival, Vec::new())
    }

    /// Everything that goes out; edges never go back.
    fn take_all(&mut self) -> Vec<Sent> {
        let sent = self.end.drain();
        for segment in &sent {
            let header = &segment.header;
            let len = header.seq_len(segment.payload.len());
            self.nxt = self.nxt.later(header.seq + len);
            if let Some(timestamps) = header.options.timestamps {
                self.last_timestamp = timestamps.value;
            }
            if !header.flags.contains(TcpFlags::ACK) || header.flags.contains(TcpFlags::RST) {
                continue;
            }
            self.rcv_nxt = self.rcv_nxt.later(header.ack);
            let shift = if header.flags.contains(TcpFlags::SYN) {
                0
            } else {
                self.shift
            };
            let edge = header.ack + (u32::from(header.window) << shift);
            if let Some(before) = self.edge {
                assert!(edge.at_or_after(before), "the window shrank: {header:?}");
            }
            self.edge = Some(edge);
        }
        assert!(sent.len() < 200, "output has an end");
        sent
    }

    fn segment(&mut self, segment: &AnySegment) -> Arrival {
        let times = (self.peer_timestamp, self.last_timestamp);
        let header = segment.header(self.rcv_nxt, self.nxt, self.una, times, self.timestamps);
        let before = self.end.state();
        let arrival = self.end.arrives_raw(&header, &vec![7; segment.len]);
        if before == State::SynSent && self.end.state() != before {
            // Scaling is what both SYNs offered.
            self.shift = if segment.shift.is_some() { self.shift } else { 0 };
        }
        arrival
    }

    fn in_order(&mut self, len: usize, acked: u32, window: u16) -> Arrival {
        self.una = self.una + acked.min(self.nxt.distance_from(self.una));
        self.peer_timestamp += 1;
        let mut header = TcpHeader {
            seq: self.rcv_nxt,
            ack: self.una,
            flags: ACK,
            window,
            ..TcpHeader::default()
        };
        if self.timestamps {
            header.options.timestamps = Some(Timestamps {
                value: self.peer_timestamp,
                echo: self.last_timestamp,
            });
        }
        let arrival = self.end.arrives_raw(&header, &vec![7; len]);
        if arrival.verdict.is_ok() {
            self.rcv_nxt += len as u32;
        }
        arrival
    }
}

impl AnySegment {
    /// Its header, with the numbers that its offsets count from; `stamped`: with timestamps when it says none.
    pub fn header(
        &self,
        rcv_nxt: SeqNum,
        nxt: SeqNum,
        una: SeqNum,
        (value_now, echo_now): (u32, u32),
        stamped: bool,
    ) -> TcpHeader {
        let at = |base: SeqNum, offset: i32| SeqNum(base.0.wrapping_add(offset as u32));
        let mut header = TcpHeader {
            seq: at(rcv_nxt, self.seq),
            ack: at(nxt, self.ack),
            flags: TcpFlags(self.flags),
            window: self.window,
            urgent: self.urgent,
            ..TcpHeader::default()
        };
        header.options.mss = self.mss;
        header.options.window_scale = self.shift;
        header.options.sack_permitted = self.mss.is_some();
        header.options.timestamps = match self.timestamp {
            Some((value, echo)) => Some(Timestamps {
                value: value_now.wrapping_add(value as u32),
                echo: echo_now.wrapping_add(echo as u32),
            }),
            None => stamped.then_some(Timestamps {
                value: value_now,
                echo: echo_now,
            }),
        };
        for (left, right) in &self.sack {
            header.options.sack.push(SackBlock {
                left: at(una, *left),
                right: at(nxt, *right),
            });
        }
        header
    }

    pub fn bare() -> Self {
        Self {
            seq: 0,
            ack: 0,
            flags: ACK.0,
            window: 60_000,
            urgent: 0,
            len: 0,
            timestamp: None,
            sack: Vec::new(),
            mss: None,
            shift: None,
        }
    }
}
