//! Trains: full segments of one connection that leave behind one another, with headers alike in all but sequence number and checksum.
//!
//! TCP is asked once how many may go ([`Tcb::train_behind`]); what is left to do for each is its frame.

use fourtuple_nic::{Queue, TxFrame};
use fourtuple_tcp::{Env, Outgoing, Tcb};

use super::ports::AttachedPort;
use super::transmit::FrameOf;
use crate::buffer::PortBuffers;

/// What left, for the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Payload bytes that were copied into frames.
    pub(super) copied: u64,
    /// Segments whose frame could not be built: they count as lost.
    pub(super) deferred: u64,
    /// Segments behind the first.
    pub(super) cars: usize,
}

impl Left {
    /// A frame goes to its port.
    #[inline]
    pub(super) fn count(&mut self, frame: &impl TxFrame) {
        self.frames += 1;
        self.bytes += frame.frame_len() as u64;
    }
}

/// As many of `cars` segments behind `car`, which just went, as there are frames and slots for.
pub(super) fn leave<Q: Queue>(
    tcb: &mut Tcb<PortBuffers<Q>>,
    attached: &mut AttachedPort<Q>,
    frame_of: &FrameOf<'_>,
    mut car: Outgoing,
    cars: u32,
    env: &mut Env<'_, PortBuffers<Q>>,
    left: &mut Left,
) {
    for _ in 0..cars {
        if attached.is_backed_up() {
            break;
        }
        let Some(frame) = attached.queue.tx_frame() else {
            break;
        };
        tcb.next_of_train(&mut car, env);
        left.cars += 1;
        if let Some(frame) = frame_of.outgoing(frame, &car, tcb, env.pools, &mut attached.queue, left) {
            left.count(&frame);
            attached.tx.push(frame);
        }
    }
    tcb.end_of_train(env);
}
