//! How a port is set up.

use std::fmt;
use std::sync::Arc;

use fourtuple_nic::{MacAddr, Promises};

/// What one port is like. Change what a test is about; the rest is as an ordinary port has it.
#[derive(Clone, Debug)]
pub struct MemOptions {
    /// What people call it.
    pub name: String,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet, in bytes; longer frames are dropped and counted as `tx_errors`.
    pub mtu: u16,
    /// How many queue pairs.
    pub queues: u16,
    /// Buffers for received frames, each queue.
    pub receive_pool: u32,
    /// Buffers for payload that is to be sent, each queue.
    pub payload_pool: u32,
    /// Buffers for headers and attached segments, each queue.
    pub transmit_pool: u32,
    /// Buffers are made when they are needed for the first time: for worlds that live shortly.
    pub lazy: bool,
    /// Places of each RX ring.
    pub rx_ring: usize,
    /// Places of each TX ring.
    pub tx_ring: usize,
    /// Bytes that a buffer holds.
    pub buffer_room: usize,
    /// Bits per second at which frames leave the TX rings of all queues together; `None`: at once.
    pub line_rate: Option<u64>,
    /// Attached payload stays where it is until the frame has left; else it is copied, and counted as `tx_linearised`.
    pub multi_seg: bool,
    /// Payload is copied behind the headers at once where it fits, as a ring port of DPDK does.
    pub copies: bool,
    /// Checksums are filled in when a frame asks.
    pub tx_checksum: bool,
    /// Checksums of received TCP segments are verified and told.
    pub rx_checksum: bool,
    /// Promised as it stands here; nothing else depends on it.
    pub kernel_peer: bool,
    /// Promised as it stands here; the way of frames is [`spread`](Self::spread).
    pub rss: bool,
    /// How received frames are spread over the queues.
    pub spread: Spread,
}

impl Default for MemOptions {
    fn default() -> Self {
        Self {
            name: "mem".to_owned(),
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            queues: 1,
            receive_pool: 1024,
            payload_pool: 1024,
            transmit_pool: 1024,
            lazy: false,
            rx_ring: 512,
            tx_ring: 512,
            buffer_room: 2048,
            line_rate: None,
            multi_seg: true,
            copies: false,
            tx_checksum: false,
            rx_checksum: false,
            kernel_peer: false,
            rss: false,
            spread: Spread::AllTo(0),
        }
    }
}

impl MemOptions {
    pub(crate) fn promises(&self) -> Promises {
        Promises {
            name: self.name.clone(),
            mac: self.mac,
            mtu: self.mtu,
            queues: self.queues,
            buffer_room: self.buffer_room,
            buffer_space: self.buffer_room + BUFFER_OVERHEAD,
            rx_checksum: self.rx_checksum,
            tx_checksum: self.tx_checksum,
            multi_seg: self.multi_seg,
            kernel_peer: self.kernel_peer,
            rss: self.rss,
        }
    }

    /// Longest frame that leaves: the MTU, an Ethernet header and one VLAN tag.
    pub(crate) fn frame_most(&self) -> usize {
        usize::from(self.mtu) + 18
    }
}

/// A number made of a frame's bytes.
pub type FrameHash = Arc<dyn Fn(&[u8]) -> u32 + Send + Sync>;

/// How received frames are spread over a port's queues.
#[derive(Clone)]
pub enum Spread {
    /// By a number made of the frame's bytes, modulo the number of queues.
    ByHash(FrameHash),
    /// All to one queue; to the last one when there are not as many.
    AllTo(u16),
    /// One to each queue in turn.
    RoundRobin,
}

impl Spread {
    /// By a number made of the frame's bytes, modulo the number of queues.
    pub fn by_hash(hash: impl Fn(&[u8]) -> u32 + Send + Sync + 'static) -> Self {
        Self::ByHash(Arc::new(hash))
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByHash(_) => f.write_str("ByHash"),
            Self::AllTo(queue) => write!(f, "AllTo({queue})"),
            Self::RoundRobin => f.write_str("RoundRobin"),
        }
    }
}

/// Bytes of pool memory beside the room of a buffer: descriptor and headroom, as an mbuf has them.
pub(crate) const BUFFER_OVERHEAD: usize = 256;
