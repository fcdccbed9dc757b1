//! The messages by which two ends of a memif agree on shared memory: 128 bytes each over a unix socket, some with a descriptor.
//!
//! ```text
//!   server: HELLO ─────────────► client: INIT, ADD_REGION …, ADD_RING …, CONNECT
//!   server: an ACK for each, then CONNECTED       either: DISCONNECT
//! ```
//! Only what the go-between has to know of them is read (memif 2.0; fields are packed, in the machine's byte order).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

const BYTES: usize = 128;

/// Where a secret lies in an INIT: behind type, version, identifier and mode.
const SECRET: std::ops::Range<usize> = 9..33;

/// Where the reason lies in a DISCONNECT: behind type and code.
const REASON: std::ops::Range<usize> = 6..102;

/// Where HELLO tells how many rings are possible, less one: behind type, name, two versions and the number of regions.
const MOST_TO_CLIENT: usize = 40;
const MOST_TO_SERVER: usize = 42;

const CONNECTED: u16 = 7;
const DISCONNECT: u16 = 8;

/// One message with what comes along.
#[derive(Debug)]
pub(super) struct Message {
    bytes: [u8; BYTES],
    descriptor: Option<OwnedFd>,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The server can have so many rings in each direction.
    Hello {
        to_client: u32,
        to_server: u32,
    },
    Init {
        secret: [u8; 24],
    },
    /// One ring more, of those that the client fills or of those that it empties.
    Ring {
        to_server: bool,
    },
    Connect,
    Connected,
    Disconnect(String),
    /// Nothing that matters here.
    Other,
}

impl Message {
    pub(super) fn disconnect(reason: &str) -> Self {
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&DISCONNECT.to_ne_bytes());
        // The last byte stays a NUL.
        for (place, byte) in bytes[REASON]
            .iter_mut()
            .zip(reason.bytes().take(REASON.len() - 1))
        {
            *place = byte;
        }
        Self {
            bytes,
            descriptor: None,
        }
    }

    pub(super) fn said(&self) -> Said {
        let word = |at: usize| u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]);
        match word(0) {
            2 => Said::Hello {
                to_client: u32::from(word(MOST_TO_CLIENT)) + 1,
                to_server: u32::from(word(MOST_TO_SERVER)) + 1,
            },
            3 => {
                let mut secret = [0; 24];
                secret.copy_from_slice(&self.bytes[SECRET]);
                Said::Init { secret }
            }
            5 => Said::Ring {
                to_server: word(2) & 1 == 1,
            },
            6 => Said::Connect,
            CONNECTED => Said::Connected,
            DISCONNECT => {
                let reason = self.bytes[REASON]
                    .split(|&byte| byte == 0)
                    .next()
                    .unwrap_or_default();
                Said::Disconnect(String::from_utf8_lossy(reason).escape_debug().to_string())
            }
            _ => Said::Other,
        }
    }

    /// Writes another secret into an INIT.
    pub(super) fn replace_secret(&mut self, secret: &[u8; 24]) {
        self.bytes[SECRET].copy_from_slice(secret);
    }

    /// Sends it without waiting: who doesn't read is gone.
    pub(super) fn send(&self, socket: impl AsFd) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        let descriptors = self.descriptor.as_ref().map(|one| [one.as_fd()]);
        if let Some(descriptors) = &descriptors {
            along.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = rustix::net::sendmsg(
            socket,
            &[IoSlice::new(&self.bytes)],
            &mut along,
            SendFlags::NOSIGNAL,
        )?;
        if sent == BYTES {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// The next message; an error when the other end is gone or speaks something else.
    pub(super) fn receive(socket: impl AsFd) -> io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; BYTES];
        let got = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut along,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut descriptor = None;
        for message in along.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.last();
            }
        }
        match got.bytes {
            BYTES => Ok(Self { bytes, descriptor }),
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn message(kind: u16) -> Message {
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        Message {
            bytes,
            descriptor: None,
        }
    }

    #[test]
    fn a_reason_is_read_as_it_was_written_and_cut_where_it_must() {
        let row = |text: &str| Message::disconnect(text).said();
        assert_eq!(
            row("Secret required"),
            Said::Disconnect("Secret required".to_owned())
        );
        assert_eq!(row(&"x".repeat(200)), Said::Disconnect("x".repeat(95)));
        assert_eq!(
            row("a\nb"),
            Said::Disconnect("a\\nb".to_owned()),
            "no line of our log is forged"
        );
    }

    #[test]
    fn the_fields_lie_where_the_protocol_has_them() {
        let mut hello = message(2);
        hello.bytes[40..44].copy_from_slice(&[3, 0, 7, 0]);
        assert_eq!(
            hello.said(),
            Said::Hello {
                to_client: 4,
                to_server: 8
            }
        );
        let mut ring = message(5);
        assert_eq!(ring.said(), Said::Ring { to_server: false });
        ring.bytes[2] = 1;
        assert_eq!(ring.said(), Said::Ring { to_server: true });
        let mut init = message(3);
        init.replace_secret(&[7; 24]);
        assert_eq!(init.said(), Said::Init { secret: [7; 24] });
        assert_eq!((init.bytes[8], init.bytes[33]), (0, 0));
        assert_eq!(message(6).said(), Said::Connect);
        assert_eq!(message(7).said(), Said::Connected);
        for kind in [0, 1, 4, 9, u16::MAX] {
            assert_eq!(message(kind).said(), Said::Other);
        }
    }

    #[test]
    fn a_descriptor_comes_along() {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut sent = message(5);
        sent.descriptor = Some(one.try_clone().unwrap().into());
        sent.send(&one).unwrap();
        assert!(Message::receive(&other).unwrap().descriptor.is_some());
        one.send(b"short").unwrap();
        assert_eq!(
            Message::receive(&other).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
