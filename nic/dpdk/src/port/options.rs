//! How a port is set up.

use fourtuple_nic::MacAddr;

/// How a port is set up; buffers are counted for each queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOptions {
    /// Buffers for received frames.
    pub rx_buffers: u32,
    /// Buffers for payload that was copied or handed out blank, kept until acknowledged.
    pub payload_buffers: u32,
    /// Buffers for headers and indirect segments on their way out.
    pub tx_buffers: u32,
    /// Bytes of frame or payload in one buffer.
    pub buffer_room: u16,
    /// Descriptors of each ring; the driver may take fewer.
    pub descriptors: u16,
    /// Largest IP packet in bytes; `None`: what the interface has, at most 1500.
    pub mtu: Option<u16>,
    /// Our Ethernet address; `None`: what the port has, or one of ours.
    pub mac: Option<MacAddr>,
    /// Payload of up to so many bytes is copied into a frame rather than attached to it; `None`: what measured best for the
    /// kind of port. Without effect where a frame is one segment anyway.
    pub copied_at_most: Option<u16>,
}

impl Default for PortOptions {
    /// 24 MB a queue: enough for some thousand segments on their way in each direction.
    fn default() -> Self {
        Self {
            rx_buffers: 4096,
            payload_buffers: 2048,
            tx_buffers: 4096,
            buffer_room: 2048,
            descriptors: 1024,
            mtu: None,
            mac: None,
            copied_at_most: None,
        }
    }
}
