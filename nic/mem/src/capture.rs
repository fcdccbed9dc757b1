//! Every frame that left a port, kept for tests and for tools that read pcap.

use std::io::{self, Write};

use crate::End;

/// What became of a frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives; at the receiver a ring or a pool may still be exhausted.
    Delivered,
    /// Lost by chance.
    Lost,
    /// Lost because the test's filter said so.
    Filtered,
    /// Dropped because the way is too narrow for it.
    TooBig,
    /// Dropped because the bottleneck's queue was full.
    QueueFull,
}

/// One frame as it left its port, before anything happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// When it left.
    pub at_ns: u64,
    /// Whose port it left.
    pub from: End,
    /// What became of it.
    pub fate: Fate,
    /// Its bytes, checksums filled in.
    pub bytes: Vec<u8>,
}

/// Writes frames as a pcap file of Ethernet frames with nanoseconds, which tshark and tcpdump read.
///
/// # Errors
/// Whatever `into` reports.
pub fn write_pcap<'a>(
    into: &mut impl Write,
    frames: impl IntoIterator<Item = &'a CapturedFrame>,
) -> io::Result<()> {
    let header = [MAGIC_NANOSECONDS, VERSION_2_4, 0, 0, SNAP_LEN, LINK_ETHERNET];
    into.write_all(&header.map(u32::to_le_bytes).concat())?;
    for frame in frames {
        let len = frame.bytes.len() as u32;
        let seconds = (frame.at_ns / 1_000_000_000) as u32;
        let nanos = (frame.at_ns % 1_000_000_000) as u32;
        into.write_all(&[seconds, nanos, len, len].map(u32::to_le_bytes).concat())?;
        into.write_all(&frame.bytes)?;
    }
    Ok(())
}

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Major 2 in the lower half, minor 4 in the upper.
const VERSION_2_4: u32 = 4 << 16 | 2;
const SNAP_LEN: u32 = 0x0004_0000;
const LINK_ETHERNET: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_header_and_records() {
        let frame = CapturedFrame {
            at_ns: 3_000_000_007,
            from: End::A,
            fate: Fate::Lost,
            bytes: vec![1, 2, 3],
        };
        let mut file = Vec::new();
        write_pcap(&mut file, [&frame, &frame]).unwrap();
        assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[20..24], [1, 0, 0, 0]);
        let record = [3, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(file[24..43], record);
        assert_eq!(file[43..], record);
    }
}
