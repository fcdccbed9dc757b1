//! What joins two ports: two directions, one clock, one lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourtuple_nic::{Clock, PortStats};

use crate::path::Path;
use crate::receiver::Receiver;
use crate::transmitter::Transmitter;
use crate::{
    CapturedFrame, MemBuf, MemFrame, Random, Spread, TimeSource, WireConditions, WireCounts, offload,
};

/// One of the two ends of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first port of a pair.
    A,
    /// The second.
    B,
}

impl End {
    /// The end across the wire.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A handle to the wire between two ports, for the test that holds the strings; clones are the same wire.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Joined>,
}

struct Joined {
    time: TimeSource,
    state: Mutex<State>,
}

struct State {
    from_a: Direction,
    from_b: Direction,
    captured: Option<Vec<CapturedFrame>>,
}

impl Wire {
    pub(crate) fn new(time: TimeSource, from_a: Direction, from_b: Direction) -> Self {
        let state = State {
            from_a,
            from_b,
            captured: None,
        };
        Self {
            shared: Arc::new(Joined {
                time,
                state: Mutex::new(state),
            }),
        }
    }

    /// Changes what happens to frames that leave `from` after now.
    pub fn set_conditions(&self, from: End, conditions: WireConditions) {
        self.up_to_now().direction(from).path.conditions = conditions;
    }

    /// Changes how frames that arrive at `to` are spread over its queues.
    pub fn set_spread(&self, to: End, spread: Spread) {
        self.up_to_now().direction(to.other()).receiver.spread = spread;
    }

    /// Lets a test decide of each frame that leaves `from` whether it passes.
    pub fn set_filter(&self, from: End, passes: impl FnMut(&[u8]) -> bool + Send + 'static) {
        self.up_to_now().direction(from).path.filter = Some(Box::new(passes));
    }

    /// Ends what [`set_filter`](Self::set_filter) began.
    pub fn clear_filter(&self, from: End) {
        self.up_to_now().direction(from).path.filter = None;
    }

    /// Frames that left `from` and were too big for the way since this was last asked, for who plays the router that tells.
    pub fn take_too_big(&self, from: End) -> Vec<Vec<u8>> {
        self.up_to_now().direction(from).path.take_too_big()
    }

    /// Sends a frame to `to` from somewhere on the way.
    pub fn inject(&self, to: End, bytes: &[u8]) {
        let now = self.shared.time.now_ns();
        self.up_to_now().direction(to.other()).path.inject(bytes, now);
    }

    /// What happened to frames that left `from`.
    pub fn counts(&self, from: End) -> WireCounts {
        self.up_to_now().direction(from).path.counts
    }

    /// When the next frame leaves a TX ring or arrives, in nanoseconds, always later than now; `None`: nothing is under
    /// way.
    pub fn next_event_ns(&self) -> Option<u64> {
        let state = self.up_to_now();
        let next = [&state.from_a, &state.from_b].map(Direction::next_at);
        next.into_iter().flatten().min()
    }

    /// Nothing is under way, and nothing waits in an RX ring.
    pub fn is_quiet(&self) -> bool {
        let state = self.up_to_now();
        [&state.from_a, &state.from_b]
            .iter()
            .all(|direction| direction.next_at().is_none() && direction.receiver.waiting() == 0)
    }

    /// Frames that wait in the RX rings of the first port and of the second.
    pub fn waiting(&self) -> [usize; 2] {
        let state = self.up_to_now();
        [state.from_b.receiver.waiting(), state.from_a.receiver.waiting()]
    }

    /// Starts to keep every frame that leaves either port.
    pub fn start_capture(&self) {
        self.up_to_now().captured.get_or_insert_default();
    }

    /// The frames captured so far, in the order of their leaving; they are kept no longer.
    pub fn take_captured(&self) -> Vec<CapturedFrame> {
        let mut state = self.up_to_now();
        let mut frames = match &mut state.captured {
            Some(frames) => std::mem::take(frames),
            None => Vec::new(),
        };
        // The two directions are moved one after the other.
        frames.sort_by_key(|frame| frame.at_ns);
        frames
    }

    /// Copies of the frames captured so far, in the order of their leaving.
    pub fn captured(&self) -> Vec<CapturedFrame> {
        let mut frames = self.up_to_now().captured.clone().unwrap_or_default();
        frames.sort_by_key(|frame| frame.at_ns);
        frames
    }

    pub(crate) fn send(&self, from: End, queue: usize, frames: &mut Vec<MemFrame>) -> usize {
        let mut state = self.up_to_now();
        let now = self.shared.time.now_ns();
        let taken = state.direction(from).transmitter.take(queue, frames, now);
        state.advance(now);
        taken
    }

    pub(crate) fn fetch(&self, to: End, queue: usize, into: &mut Vec<MemBuf>, max: usize) -> usize {
        let mut state = self.up_to_now();
        state.direction(to.other()).receiver.fetch(queue, into, max)
    }

    pub(crate) fn stats(&self, port: End) -> PortStats {
        let mut state = self.up_to_now();
        let sent = state.direction(port).transmitter.counts;
        let arrived = state.direction(port.other());
        let (received, way) = (arrived.receiver.counts, arrived.path.counts);
        PortStats {
            rx_packets: received.packets,
            tx_packets: sent.packets,
            rx_bytes: received.bytes,
            tx_bytes: sent.bytes,
            rx_missed: way.missed,
            rx_errors: way.too_long,
            tx_errors: sent.errors,
            rx_no_buffer: way.no_buffer,
            rx_flattened: 0,
            tx_linearised: sent.linearised,
        }
    }

    /// Moves everything that is due.
    pub(crate) fn advance(&self) {
        drop(self.up_to_now());
    }

    fn up_to_now(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(self.shared.time.now_ns());
        state
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("from_a", &self.counts(End::A))
            .field("from_b", &self.counts(End::B))
            .finish()
    }
}

impl State {
    fn direction(&mut self, from: End) -> &mut Direction {
        match from {
            End::A => &mut self.from_a,
            End::B => &mut self.from_b,
        }
    }

    fn advance(&mut self, now: u64) {
        self.from_a.advance(now, End::A, &mut self.captured);
        self.from_b.advance(now, End::B, &mut self.captured);
    }
}

/// One direction: from the TX rings of one port to the RX rings of the other.
pub(crate) struct Direction {
    transmitter: Transmitter,
    path: Path,
    receiver: Receiver,
}

impl Direction {
    pub(crate) fn new(
        transmitter: Transmitter,
        conditions: WireConditions,
        random: Random,
        receiver: Receiver,
    ) -> Self {
        Self {
            path: Path::new(conditions, random, transmitter.frame_most()),
            transmitter,
            receiver,
        }
    }

    fn next_at(&self) -> Option<u64> {
        let next = [self.transmitter.next_at(), self.path.next_at()];
        next.into_iter().flatten().min()
    }

    /// Leaves and arrivals up to `now`, each at its own time and in the order of time.
    fn advance(&mut self, now: u64, from: End, captured: &mut Option<Vec<CapturedFrame>>) {
        while let Some(at) = self.next_at().filter(|&at| at <= now) {
            if self.path.next_at() == Some(at) {
                self.arrive();
            } else {
                self.leave(from, captured);
            }
        }
    }

    fn leave(&mut self, from: End, captured: &mut Option<Vec<CapturedFrame>>) {
        let Some((at_ns, frame)) = self.transmitter.leave() else {
            return;
        };
        let mut bytes = self.path.storage();
        frame.flatten(&mut bytes);
        if let Some(request) = frame.requested_checksum() {
            offload::fill(&mut bytes, request);
        }
        // From here on the frame's buffers are free, as those of a real NIC are once a frame is sent.
        drop(frame);
        let copy = captured.is_some().then(|| bytes.clone());
        let fate = self.path.enter(bytes, at_ns);
        if let (Some(captured), Some(bytes)) = (captured, copy) {
            captured.push(CapturedFrame {
                at_ns,
                from,
                fate,
                bytes,
            });
        }
    }

    fn arrive(&mut self) {
        if let Some(bytes) = self.path.arrive() {
            self.receiver.accept(&bytes, &mut self.path.counts);
            self.path.recycle(bytes);
        }
    }
}
