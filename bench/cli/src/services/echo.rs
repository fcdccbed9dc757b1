//! Echo (RFC 862): what comes goes back, to the last byte behind the peer's FIN.
//!
//! At most one received piece is held back: while the send queue is full nothing more is taken, and the peer's window closes.

use super::pipe::Pipe;

/// One connection's echo.
pub(crate) struct Echo<H> {
    held: Option<H>,
    at_end: bool,
}

impl<H> Default for Echo<H> {
    fn default() -> Self {
        Self {
            held: None,
            at_end: false,
        }
    }
}

impl<H> Echo<H> {
    pub(crate) fn on_readable<P: Pipe<Held = H>>(&mut self, pipe: &mut P) {
        while self.held.is_none()
            && let Some(received) = pipe.receive()
        {
            self.held = pipe.send_held(P::hold(received)).err();
        }
    }

    pub(crate) fn on_writable<P: Pipe<Held = H>>(&mut self, pipe: &mut P) {
        if let Some(held) = self.held.take() {
            self.held = pipe.send_held(held).err();
        }
        self.on_readable(pipe);
        self.end(pipe);
    }

    pub(crate) fn on_peer_closed<P: Pipe<Held = H>>(&mut self, pipe: &mut P) {
        self.at_end = true;
        self.end(pipe);
    }

    /// Something waits for room.
    pub(crate) fn waits(&self) -> bool {
        self.held.is_some()
    }

    fn end<P: Pipe<Held = H>>(&mut self, pipe: &mut P) {
        if self.at_end && self.held.is_none() {
            pipe.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Script;
    use super::*;

    #[test]
    fn everything_goes_back_before_the_end_however_small_the_room() {
        let mut pipe = Script {
            room: 3,
            ..Script::receiving(&[b"hello", b" ", b"world"])
        };
        let mut echo = Echo::default();
        echo.on_readable(&mut pipe);
        assert!(echo.waits());
        assert_eq!(pipe.sent, b"hel");
        assert_eq!(pipe.unread(), 2, "back-pressure: nothing more is taken");
        echo.on_peer_closed(&mut pipe);
        assert!(!pipe.closed, "bytes are left");
        while echo.waits() {
            pipe.room = 3;
            echo.on_writable(&mut pipe);
        }
        assert_eq!(pipe.sent, b"hello world");
        assert!(pipe.closed);
    }
}
