//! A connection that follows a script.

use std::collections::VecDeque;

use super::pipe::Pipe;

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) received: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<u8>,
    /// Bytes that may be sent now.
    pub(crate) room: usize,
    pub(crate) draining: bool,
    pub(crate) shut: bool,
    pub(crate) closed: bool,
}

impl Script {
    pub(crate) fn receiving(pieces: &[&[u8]]) -> Self {
        let received = pieces
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| piece.to_vec())
            .collect();
        Self {
            received,
            ..Self::default()
        }
    }

    pub(crate) fn unread(&self) -> usize {
        self.received.len()
    }
}

impl Pipe for Script {
    type Received = Vec<u8>;
    type Held = Vec<u8>;
    type Prepared = Vec<u8>;

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.received.pop_front()
    }

    fn bytes(received: &Vec<u8>) -> &[u8] {
        received
    }

    fn hold(received: Vec<u8>) -> Vec<u8> {
        received
    }

    fn send_held(&mut self, mut held: Vec<u8>) -> Result<(), Vec<u8>> {
        let sent = self.send(&held);
        held.drain(..sent);
        if held.is_empty() { Ok(()) } else { Err(held) }
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        assert!(!self.shut && !self.closed, "sent after the end");
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.sent.extend_from_slice(&bytes[..count]);
        count
    }

    fn prepare(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn send_prepared(&mut self, prepared: &Vec<u8>, from: usize, to: usize) -> usize {
        self.send(&prepared[from..to])
    }

    fn shutdown(&mut self) {
        self.shut = true;
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn is_draining(&self) -> bool {
        self.draining
    }

    fn now_ns(&self) -> u64 {
        0
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fourtuple-root-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("it is writable");
        std::fs::write(path, bytes).expect("it is writable");
    }

    pub(crate) fn link(&self, name: &str, to: impl AsRef<std::path::Path>) {
        std::os::unix::fs::symlink(to, self.0.join(name)).expect("it is writable");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
