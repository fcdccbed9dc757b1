//! Two ports on one wire.

use fourtuple_nic::{MacAddr, Promises};

use crate::pool::Pool;
use crate::queue::Pools;
use crate::receiver::Receiver;
use crate::transmitter::Transmitter;
use crate::wire::Direction;
use crate::{End, MemOptions, MemQueue, Random, TimeSource, Wire, WireConditions};

/// One port of a wire. Its queues go to workers; the port itself may be dropped then.
#[derive(Debug)]
pub struct MemPort {
    end: End,
    promises: Promises,
    queues: Vec<MemQueue>,
    wire: Wire,
}

impl MemPort {
    /// Two like ports, `mem:a` with 02:00:00:00:00:0a and `mem:b` with 02:00:00:00:00:0b, and the same conditions both
    /// ways.
    pub fn pair(
        options: MemOptions,
        conditions: WireConditions,
        time: impl Into<TimeSource>,
        seed: u64,
    ) -> (Self, Self) {
        let like = |name: &str, last| MemOptions {
            name: name.to_owned(),
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            ..options.clone()
        };
        let (a, b) = (like("mem:a", 0x0a), like("mem:b", 0x0b));
        Self::join([a, b], [conditions; 2], time, seed)
    }

    /// Two ports that differ, A and B; the conditions are those of frames that leave A, and of those that leave B.
    pub fn join(
        [a, b]: [MemOptions; 2],
        [from_a, from_b]: [WireConditions; 2],
        time: impl Into<TimeSource>,
        seed: u64,
    ) -> (Self, Self) {
        let (pools_a, pools_b) = (pools(&a), pools(&b));
        let direction = |from: &MemOptions, conditions, salt, to: &MemOptions, pools: &[Pools]| {
            let receive = pools.iter().map(|pools| pools.receive.clone()).collect();
            let random = Random::new(Random::new(seed ^ salt).next_u64());
            Direction::new(
                Transmitter::new(from),
                conditions,
                random,
                Receiver::new(to, receive),
            )
        };
        let wire = Wire::new(
            time.into(),
            direction(&a, from_a, 0, &b, &pools_b),
            direction(&b, from_b, 1 << 63, &a, &pools_a),
        );
        (
            Self::new(End::A, &a, pools_a, &wire),
            Self::new(End::B, &b, pools_b, &wire),
        )
    }

    fn new(end: End, options: &MemOptions, pools: Vec<Pools>, wire: &Wire) -> Self {
        let promises = options.promises();
        let queues = pools.into_iter().enumerate().map(|(index, pools)| {
            let index = index as u16;
            MemQueue::new(wire.clone(), end, index, options, pools)
        });
        Self {
            end,
            queues: queues.collect(),
            promises,
            wire: wire.clone(),
        }
    }

    /// Which end of the wire it is.
    pub fn end(&self) -> End {
        self.end
    }

    /// What it promises.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Its queues, handed out once: a second call gives none.
    pub fn take_queues(&mut self) -> Vec<MemQueue> {
        std::mem::take(&mut self.queues)
    }

    /// The wire that it is on.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }
}

fn pools(options: &MemOptions) -> Vec<Pools> {
    let transmit_room = options.buffer_room.max(options.frame_most());
    let pools = || Pools {
        receive: Pool::new(options.receive_pool, options.buffer_room, options.lazy),
        payload: Pool::new(options.payload_pool, options.buffer_room, options.lazy),
        transmit: Pool::new(options.transmit_pool, transmit_room, options.lazy),
    };
    (0..options.queues).map(|_| pools()).collect()
}
