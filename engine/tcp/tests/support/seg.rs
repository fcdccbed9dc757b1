//! Segments as a test writes them: only what matters, with relative sequence numbers.

use fourtuple_wire::{SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps};

/// A segment to be sent, or the pattern of one that is expected.
#[derive(Clone, Debug, Default)]
pub struct Seg {
    pub flags: TcpFlags,
    pub seq: Option<u32>,
    pub ack: Option<u32>,
    pub window: Option<u16>,
    pub payload: Vec<u8>,
    pub len: Option<usize>,
    pub urgent: u16,
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    pub timestamps: Option<Timestamps>,
    pub sack: Vec<(u32, u32)>,
    pub check_sack: bool,
}

pub fn seg(flags: TcpFlags) -> Seg {
    Seg {
        flags,
        ..Seg::default()
    }
}

impl Seg {
    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = Some(seq);
        self
    }

    pub fn ack(mut self, ack: u32) -> Self {
        self.ack = Some(ack);
        self
    }

    pub fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }

    pub fn text(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self.len = Some(payload.len());
        self
    }

    /// So many octets of the test's byte stream, of which octet `seq` is `seq % 251`.
    pub fn octets(self, len: usize) -> Self {
        let from = self.seq.unwrap_or(1) as usize;
        let payload: Vec<u8> = (from..from + len).map(|at| (at % 251) as u8).collect();
        self.text(&payload)
    }

    /// As a pattern: so many octets, whatever they are.
    pub fn len(mut self, len: usize) -> Self {
        self.len = Some(len);
        self
    }

    pub fn urgent(mut self, urgent: u16) -> Self {
        self.urgent = urgent;
        self
    }

    pub fn mss(mut self, mss: u16) -> Self {
        self.mss = Some(mss);
        self
    }

    pub fn window_scale(mut self, shift: u8) -> Self {
        self.window_scale = Some(shift);
        self
    }

    pub fn sack_permitted(mut self) -> Self {
        self.sack_permitted = true;
        self
    }

    pub fn timestamps(mut self, value: u32, echo: u32) -> Self {
        self.timestamps = Some(Timestamps { value, echo });
        self
    }

    /// SACK blocks, relative to the sequence numbers of the acknowledged direction.
    pub fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        self.sack = blocks.to_vec();
        self.check_sack = true;
        self
    }

    /// The header on the wire, with the zero points of both directions.
    pub fn header(&self, sender: SeqNum, receiver: SeqNum, window: u16) -> TcpHeader {
        let mut header = TcpHeader {
            seq: sender + self.seq.unwrap_or(0),
            ack: if self.flags.contains(TcpFlags::ACK) {
                receiver + self.ack.unwrap_or(0)
            } else {
                SeqNum(0)
            },
            flags: self.flags,
            window: self.window.unwrap_or(window),
            urgent: self.urgent,
            ..TcpHeader::default()
        };
        header.options.mss = self.mss;
        header.options.window_scale = self.window_scale;
        header.options.sack_permitted = self.sack_permitted;
        header.options.timestamps = self.timestamps;
        for (left, right) in &self.sack {
            header.options.sack.push(SackBlock {
                left: receiver + *left,
                right: receiver + *right,
            });
        }
        header
    }
}

/// A segment that went out.
#[derive(Clone, Debug)]
pub struct Sent {
    pub header: TcpHeader,
    pub payload: Vec<u8>,
    pub retransmission: bool,
    /// Its IP header says ECT(0).
    pub ect: bool,
}

impl Sent {
    /// Compares with a pattern; PSH is only looked at when the pattern has it.
    #[track_caller]
    pub fn check(&self, pattern: &Seg, sender: SeqNum, receiver: SeqNum) {
        let header = &self.header;
        let ignored = if pattern.flags.contains(TcpFlags::PSH) {
            0
        } else {
            TcpFlags::PSH.0
        };
        assert_eq!(
            TcpFlags(header.flags.0 & !ignored),
            pattern.flags,
            "flags of {self:?}"
        );
        if let Some(seq) = pattern.seq {
            assert_eq!(header.seq.distance_from(sender), seq, "SEG.SEQ of {self:?}");
        }
        if let Some(ack) = pattern.ack {
            assert_eq!(header.ack.distance_from(receiver), ack, "SEG.ACK of {self:?}");
        }
        if let Some(window) = pattern.window {
            assert_eq!(header.window, window, "SEG.WND of {self:?}");
        }
        if !pattern.payload.is_empty() {
            assert_eq!(self.payload, pattern.payload, "text of {self:?}");
        }
        assert_eq!(self.payload.len(), pattern.len.unwrap_or(0), "octets of {self:?}");
        if pattern.mss.is_some() {
            assert_eq!(header.options.mss, pattern.mss);
        }
        if pattern.window_scale.is_some() {
            assert_eq!(header.options.window_scale, pattern.window_scale);
        }
        if pattern.timestamps.is_some() {
            assert_eq!(header.options.timestamps, pattern.timestamps);
        }
        if pattern.check_sack {
            let blocks: Vec<_> = header
                .options
                .sack
                .iter()
                .map(|block| {
                    (
                        block.left.distance_from(receiver),
                        block.right.distance_from(receiver),
                    )
                })
                .collect();
            assert_eq!(blocks, pattern.sack, "SACK of {self:?}");
        }
    }
}
