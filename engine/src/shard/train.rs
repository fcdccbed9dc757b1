//! Trains: full segments of one connection that leave behind one another, with headers alike in all but sequence number and checksum.
//!
//! TCP is asked once how many may go ([`Tcb::train_behind`]); what is left to do for each is its frame.

use fourtuple_nic::{Queue, TxFrame};
use fourtuple_tcp::{Env, Outgoing, Tcb};
use fourtuple_wire::{HeaderTemplate, Payload, Sum};

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
    let template = frame_of.template(&car.header, usize::from(car.payload_len));
    for _ in 0..cars {
        if attached.is_backed_up() {
            break;
        }
        let Some(mut frame) = attached.queue.tx_frame() else {
            break;
        };
        tcb.next_of_train(&mut car, env);
        left.cars += 1;
        let is_copied = template
            .as_ref()
            .is_some_and(|template| copy_into(&mut frame, template, &car, tcb, env));
        let built = if is_copied {
            Some(frame)
        } else {
            frame_of.outgoing(frame, &car, tcb, env.pools, &mut attached.queue, left)
        };
        if let Some(frame) = built {
            left.count(&frame);
            attached.tx.push(frame);
        }
    }
    if left.cars > 0 {
        tcb.end_of_train(env);
    }
}

/// Where the port would copy payload anyway: headers from the template, and payload that is summed as it is copied. `false`, and nothing
/// is written, where it would not, or there is no room.
#[inline]
fn copy_into<Q: Queue>(
    frame: &mut Q::Tx,
    template: &HeaderTemplate,
    car: &Outgoing,
    tcb: &Tcb<PortBuffers<Q>>,
    env: &Env<'_, PortBuffers<Q>>,
) -> bool {
    let len = usize::from(car.payload_len);
    if !frame.copies(len) {
        return false;
    }
    let Some(room) = frame.append(template.header_len() + len) else {
        return false;
    };
    let (headers, mut rest) = room.split_at_mut(template.header_len());
    let mut sum = Sum::default();
    tcb.each_payload(car, env.pools, |chunk, range| {
        let bytes = chunk.bytes().get(range).unwrap_or(&[]);
        if let Some(place) = rest.split_off_mut(..bytes.len()) {
            sum.add_copy(bytes, place);
        }
    });
    template.write(headers, car.header.seq, sum);
    true
}
