//! What workers say to each other: one SPSC ring for each ordered pair (D8, D10).
//!
//! A frame that the port gave to the wrong worker goes to its owner; worker 0, which answers for the host, tells the others
//! what it learned of neighbours; shares of a listener's backlog move to where the connections come in. A full ring never makes
//! a worker wait: a frame is dropped and counted, the rest is said again later by whoever needs it.

use std::net::IpAddr;
use std::sync::Arc;

use fourtuple_nic::Queue;
use fourtuple_wire::EtherAddr;

use crate::host::Solicit;
use crate::idle::Sleeper;
use crate::listener::ListenerId;
use crate::port_number::PortNumber;
use crate::shortage::Shortage;

/// Messages that wait for one worker from one other.
pub(crate) const RING: usize = 1024;

/// From one worker to another.
#[derive(Debug)]
pub(crate) enum MeshMessage<Q: Queue> {
    /// A frame that the receiver owns, the port where it came in, and how short of buffers the sender is there.
    Frame(PortNumber, Q::Rx, Shortage),
    /// A fragment of a packet that the receiver owns, all of which is there; the last one comes as [`Frame`](Self::Frame).
    Piece(PortNumber, Q::Rx),
    /// Worker 0 learned where a neighbour is on the link of this port; or, to worker 0, this worker shook hands with it there.
    Neighbour(PortNumber, IpAddr, EtherAddr),
    /// Please find out where this neighbour is, or whether it is still at this station (to worker 0).
    Resolve(PortNumber, Solicit),
    /// Please give some of your spare backlog of this listener.
    WantShare(ListenerId),
    /// Here is so much of it.
    Share(ListenerId, u32),
}

/// To one other worker: its ring, and how it is woken.
type Way<Q> = (rtrb::Producer<MeshMessage<Q>>, Arc<Sleeper>);

/// One worker's ends of the rings.
pub(crate) struct Mesh<Q: Queue> {
    to: Vec<Option<Way<Q>>>,
    from: Vec<Option<rtrb::Consumer<MeshMessage<Q>>>>,
    /// Who was given something this turn and may be asleep.
    touched: Vec<bool>,
    next: usize,
}

impl<Q: Queue> std::fmt::Debug for Mesh<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh")
            .field("workers", &self.to.len())
            .finish_non_exhaustive()
    }
}

impl<Q: Queue> Mesh<Q> {
    /// The meshes of all workers, each with the others' sleepers; rings of `ring` messages.
    pub(crate) fn all(sleepers: &[Arc<Sleeper>], ring: usize) -> Vec<Self> {
        let workers = sleepers.len();
        let mut meshes: Vec<Self> = (0..workers)
            .map(|_| Self {
                to: (0..workers).map(|_| None).collect(),
                from: (0..workers).map(|_| None).collect(),
                touched: vec![false; workers],
                next: 0,
            })
            .collect();
        for from in 0..workers {
            for (to, sleeper) in sleepers.iter().enumerate() {
                if from != to {
                    let (producer, consumer) = rtrb::RingBuffer::new(ring);
                    meshes[from].to[to] = Some((producer, Arc::clone(sleeper)));
                    meshes[to].from[from] = Some(consumer);
                }
            }
        }
        meshes
    }

    /// Says something to another worker; gives it back when the ring is full or there is no such worker.
    pub(crate) fn try_say(&mut self, to: u16, message: MeshMessage<Q>) -> Result<(), MeshMessage<Q>> {
        match self.to.get_mut(usize::from(to)) {
            Some(Some((producer, _))) => {
                producer
                    .push(message)
                    .map_err(|rtrb::PushError::Full(message)| message)?;
                self.touched[usize::from(to)] = true;
                Ok(())
            }
            _ => Err(message),
        }
    }

    /// The next message from any other worker, taking turns between them.
    pub(crate) fn poll(&mut self) -> Option<(u16, MeshMessage<Q>)> {
        for _ in 0..self.from.len() {
            let from = self.next;
            self.next = (self.next + 1) % self.from.len();
            if let Some(Some(consumer)) = self.from.get_mut(from)
                && let Ok(message) = consumer.pop()
            {
                return Some((from as u16, message));
            }
        }
        None
    }

    /// Something waits to be polled.
    pub(crate) fn has_work(&self) -> bool {
        self.from.iter().flatten().any(|consumer| !consumer.is_empty())
    }

    /// End of turn: wakes those that were given something and sleep.
    pub(crate) fn finish_turn(&mut self) {
        for (touched, to) in self.touched.iter_mut().zip(&self.to) {
            if std::mem::take(touched)
                && let Some((_, sleeper)) = to
            {
                sleeper.wake_if_sleeping();
            }
        }
    }
}
