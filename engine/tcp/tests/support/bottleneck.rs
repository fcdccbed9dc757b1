//! Connections that share a bottleneck: a rate, a delay, a queue with a bound, loss, congestion marks. On virtual time; both ends
//! of each connection are the real thing, the senders always have something to send unless told otherwise.

use std::collections::VecDeque;
use std::time::Duration;

use fourtuple_tcp::{
    CongestionKind, Env, Path, Pools, Profile, Seeds, Status, SynArrival, SynRecord, Tcb, TcpCounters,
};
use fourtuple_wire::{Instant, Received, SeqNum, TcpHeader};

use super::{Bytes, Frame, POOLS, TestBuffers};

/// Octets of a segment's headers on the link.
const HEADERS: u64 = 60;
pub const MSS: u64 = 1000;

/// What lies between the ends.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Octets a second, headers included.
    pub rate: u64,
    /// There and back, without the queue.
    pub rtt: Duration,
    /// Octets that may wait; what comes beyond is dropped.
    pub queue: u64,
    /// Octets in the queue above which ECN-capable packets are marked.
    pub mark_above: u64,
    /// Loss in hundredths of a percent.
    pub loss: u64,
    pub seed: u64,
    /// Octets of a full segment's payload.
    pub mss: u64,
    /// What gets across arrives at multiples of this: in bursts, each of which is acknowledged once. Zero: one by one.
    pub grain: Duration,
}

impl Link {
    /// Megabits a second, milliseconds, a queue of so many packets; no loss, no marks.
    pub fn of(megabits: u64, rtt_ms: u64, packets: u64) -> Self {
        Self {
            rate: megabits * 125_000,
            rtt: Duration::from_millis(rtt_ms),
            queue: packets * (MSS + HEADERS),
            mark_above: u64::MAX,
            loss: 0,
            seed: 1,
            mss: MSS,
            grain: Duration::ZERO,
        }
    }
}

/// One end.
struct Side {
    tcb: Tcb<TestBuffers>,
    pools: Pools<TestBuffers>,
    counters: TcpCounters,
    profile: Profile,
}

impl Side {
    fn with<R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Tcb<TestBuffers>, &mut Env<'_, TestBuffers>) -> R,
    ) -> R {
        let mut env = Env {
            now,
            profile: &self.profile,
            pools: &mut self.pools,
            counters: &mut self.counters,
        };
        call(&mut self.tcb, &mut env)
    }
}

/// A connection; data goes from `sender` to `receiver`.
struct Flow {
    sender: Side,
    receiver: Side,
    delivered: u64,
    /// The application writes so much a second; everything it can when `None`.
    app_rate: Option<u64>,
    written: u64,
    began: Instant,
}

struct Packet {
    at: Instant,
    flow: usize,
    to_receiver: bool,
    header: TcpHeader,
    len: usize,
    marked: bool,
}

/// The bottleneck and the connections over it.
pub struct Bottleneck {
    pub link: Link,
    pub now: Instant,
    flows: Vec<Flow>,
    on_the_way: VecDeque<Packet>,
    free_at: Instant,
    random: u64,
    pub drops: u64,
    pub losses: u64,
    pub marks: u64,
    pub packets: u64,
    /// Octets that waited at most since it was last set to zero.
    pub most_queued: u64,
    /// Largest number of octets that one call of `transmit` put on the link, since it was last set to zero.
    pub largest_burst: u64,
}

impl Bottleneck {
    pub fn new(link: Link) -> Self {
        let now = Instant::from_millis(u64::from(u32::MAX) - 3_000);
        Self {
            link,
            now,
            flows: Vec::new(),
            on_the_way: VecDeque::new(),
            free_at: now,
            random: link.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            drops: 0,
            losses: 0,
            marks: 0,
            packets: 0,
            most_queued: 0,
            largest_burst: 0,
        }
    }

    /// A profile as connections over it have: SACK, timestamps, scaled windows, room for any window.
    pub fn profile(kind: CongestionKind) -> Profile {
        Profile::default().with(|profile| {
            profile.nodelay = true;
            profile.congestion = kind;
            profile.receive_buffer = 8 << 20;
            profile.send_buffer = 4 << 20;
        })
    }

    /// Opens a connection of this profile and brings it to ESTABLISHED, which takes a round trip; its number.
    pub fn open(&mut self, profile: &Profile) -> usize {
        let (start, number) = (self.now, self.flows.len() as u32);
        let path = Path {
            receive_mss: self.link.mss as u16 + 12,
            send_mss_limit: self.link.mss as u16 + 12,
            default_mss: 536,
        };
        let seeds = |iss: u32| Seeds {
            iss: SeqNum(iss),
            timestamp_offset: iss,
        };
        let sizes = fourtuple_tcp::PoolSizes {
            send_chunks: 8192,
            receive_chunks: 16_384,
            ..POOLS
        };
        let (mut pools, mut counters) = (Pools::new(&sizes), TcpCounters::default());
        let mut env = Env {
            now: start,
            profile,
            pools: &mut pools,
            counters: &mut counters,
        };
        let mut active = Tcb::connect(seeds(u32::MAX - 40_000 - number), &path, &mut env);
        let syn = active.poll_transmit(&mut env).expect("a SYN");
        let mut record = SynRecord::from_syn(&syn.header, seeds(1_000 + number), &path, profile, start);
        let answer = record.syn_ack(profile, start);
        // There and back; others go on meanwhile.
        self.run(self.link.rtt);
        let answered = self.now;
        let mut env = Env {
            now: answered,
            profile,
            pools: &mut pools,
            counters: &mut counters,
        };
        let arrival = active.segment_arrives(&answer, None, &mut env);
        assert_eq!(arrival.verdict, Ok(()));
        let last = active.poll_transmit(&mut env).expect("an ACK").header;
        let (mut their_pools, mut their_counters) = (Pools::new(&sizes), TcpCounters::default());
        let mut env = Env {
            now: answered,
            profile,
            pools: &mut their_pools,
            counters: &mut their_counters,
        };
        assert_eq!(
            record.segment_arrives(&last, 0, profile, answered),
            SynArrival::Establish
        );
        let mut passive = record.establish(&mut env);
        assert_eq!(passive.segment_arrives(&last, None, &mut env).verdict, Ok(()));
        let side = |tcb, pools, counters| Side {
            tcb,
            pools,
            counters,
            profile: profile.clone(),
        };
        self.flows.push(Flow {
            sender: side(active, pools, counters),
            receiver: side(passive, their_pools, their_counters),
            delivered: 0,
            app_rate: None,
            written: 0,
            began: answered,
        });
        self.flows.len() - 1
    }

    /// The application of this connection writes no more than so many octets a second from now on.
    pub fn limit_application(&mut self, flow: usize, rate: Option<u64>) {
        let now = self.now;
        let flow = &mut self.flows[flow];
        (flow.app_rate, flow.written, flow.began) = (rate, 0, now);
    }

    pub fn set_profile(&mut self, flow: usize, profile: Profile) {
        self.flows[flow].sender.profile = profile;
    }

    pub fn delivered(&self, flow: usize) -> u64 {
        self.flows[flow].delivered
    }

    pub fn status(&self, flow: usize) -> Status {
        let sender = &self.flows[flow].sender;
        sender.tcb.status(&sender.profile, self.now)
    }

    pub fn counters(&self, flow: usize) -> &TcpCounters {
        &self.flows[flow].sender.counters
    }

    /// Runs for so long; octets a second that each connection got across.
    pub fn run(&mut self, span: Duration) -> Vec<u64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.delivered).collect();
        let end = self.now + span;
        self.settle();
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.settle();
        }
        self.now = end;
        self.flows
            .iter()
            .zip(before)
            .map(|(flow, before)| (flow.delivered - before) * 1000 / span.as_millis() as u64)
            .collect()
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.on_the_way.front().map(|packet| packet.at);
        let now = self.now;
        let deadlines = self.flows.iter().flat_map(|flow| {
            let more = flow
                .app_rate
                .map_or(Instant::FAR_FUTURE, |_| now + Duration::from_millis(1));
            [
                flow.sender.tcb.deadline(now),
                flow.receiver.tcb.deadline(now),
                more,
            ]
        });
        // A deadline that is past was served in this moment.
        let later = now + Duration::from_micros(100);
        deadlines.map(|at| at.max(later)).chain(arrival).min()
    }

    /// Everything that is due now.
    fn settle(&mut self) {
        while self
            .on_the_way
            .front()
            .is_some_and(|packet| packet.at <= self.now)
        {
            if let Some(packet) = self.on_the_way.pop_front() {
                self.arrive(packet);
            }
        }
        for index in 0..self.flows.len() {
            let now = self.now;
            for sender in [true, false] {
                let flow = &mut self.flows[index];
                let side = if sender {
                    &mut flow.sender
                } else {
                    &mut flow.receiver
                };
                let arrival = side.with(now, |tcb, env| tcb.on_deadline(env));
                assert_eq!(arrival.ended, None, "a connection gave up");
            }
            self.write(index);
            self.transmit(index);
        }
    }

    fn arrive(&mut self, packet: Packet) {
        let now = self.now;
        let flow = &mut self.flows[packet.flow];
        let side = if packet.to_receiver {
            &mut flow.receiver
        } else {
            &mut flow.sender
        };
        let payload = (packet.len > 0).then(|| Frame::new(&ZEROS[..packet.len], packet.len));
        let arrival = side.with(now, |tcb, env| {
            if packet.marked {
                tcb.segment_arrives_marked(&packet.header, payload, env)
            } else {
                tcb.segment_arrives(&packet.header, payload, env)
            }
        });
        assert_eq!(arrival.ended, None, "a connection ended");
        while let Some(frame) = side.with(now, |tcb, env| tcb.receive(env)) {
            flow.delivered += frame.bytes().len() as u64;
            let space = frame.space();
            side.with(now, |tcb, env| tcb.release(space, env));
        }
        if let Some(header) = arrival.reply {
            self.send(packet.flow, packet.to_receiver, header, 0, false);
        }
    }

    fn write(&mut self, index: usize) {
        let now = self.now;
        let flow = &mut self.flows[index];
        let mut most = match flow.app_rate {
            Some(rate) => {
                (rate * now.since(flow.began).as_micros() as u64 / 1_000_000).saturating_sub(flow.written)
            }
            None => u64::MAX,
        };
        let side = &mut flow.sender;
        // Some round trips' worth is queued: a longer queue would only take time.
        while most >= MSS
            && side.tcb.queued_bytes() < 1 << 20
            && side.tcb.send_room(&side.profile, &side.pools) >= CHUNK
        {
            let len = (CHUNK as u64).min(most / MSS * MSS) as usize;
            let sent = side.with(now, |tcb, env| tcb.send(Bytes::new(&ZEROS[..len]), env));
            assert!(sent.is_ok());
            flow.written += len as u64;
            most -= len as u64;
        }
    }

    fn transmit(&mut self, index: usize) {
        let now = self.now;
        for from_sender in [true, false] {
            let mut burst = 0;
            loop {
                let flow = &mut self.flows[index];
                let side = if from_sender {
                    &mut flow.sender
                } else {
                    &mut flow.receiver
                };
                let Some(outgoing) = side.with(now, |tcb, env| tcb.poll_transmit(env)) else {
                    break;
                };
                let len = usize::from(outgoing.payload_len);
                burst += len as u64;
                self.send(index, !from_sender, outgoing.header, len, outgoing.ect);
            }
            self.largest_burst = self.largest_burst.max(burst);
        }
    }

    /// To the other end of the one at which it is: data over the bottleneck, ACKs by a way of their own.
    fn send(&mut self, flow: usize, at_receiver: bool, header: TcpHeader, len: usize, ect: bool) {
        let mut at = self.now + self.link.rtt / 2;
        let mut marked = false;
        if !at_receiver {
            self.packets += 1;
            let octets = len as u64 + HEADERS;
            let queued = self.free_at.since(self.now).as_nanos() as u64 * self.link.rate / 1_000_000_000;
            if queued + octets > self.link.queue {
                self.drops += 1;
                return;
            }
            self.most_queued = self.most_queued.max(queued);
            marked = ect && queued > self.link.mark_above;
            self.marks += u64::from(marked);
            let takes = Duration::from_nanos(octets * 1_000_000_000 / self.link.rate);
            self.free_at = self.free_at.max(self.now) + takes;
            if self.draw(10_000) < self.link.loss {
                self.losses += 1;
                return;
            }
            at = self.free_at + self.link.rtt / 2;
            let grain = self.link.grain.as_nanos().max(1) as u64;
            at = Instant::from_nanos(at.as_nanos().div_ceil(grain) * grain);
        }
        let packet = Packet {
            at,
            flow,
            to_receiver: !at_receiver,
            header,
            len,
            marked,
        };
        let place = self.on_the_way.partition_point(|other| other.at <= at);
        self.on_the_way.insert(place, packet);
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }
}

const CHUNK: usize = 10 * MSS as usize;
static ZEROS: [u8; CHUNK] = [0; CHUNK];
