//! Small applications for the tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use fourtuple_nic_mem::MemQueue;

use crate::error::ConnectionError;
use crate::handler::{Closed, Handler};
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// Sends back what it receives, within the room that there is.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) opened: u64,
    pub(crate) closed: Vec<Result<(), ConnectionError>>,
    /// Aborts every so many-th connection when it opens.
    pub(crate) panics_at: Option<u64>,
}

impl Handler<MemQueue> for Echo {
    type State = ();

    fn on_open(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.opened += 1;
        if self.panics_at == Some(self.opened) {
            panic!("a handler that panics");
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.send_room() >= 2048 {
            let Some(bytes) = connection.receive() else {
                return;
            };
            connection
                .send_shared(bytes.into_payload())
                .expect("there was room");
        }
        // No room: hear of it when there is some.
        connection.ask_for_room();
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.closed.push(closed.outcome);
    }
}

/// What a client is to do.
#[derive(Clone)]
pub(crate) struct Errand {
    pub(crate) remote: SocketAddr,
    pub(crate) connections: u32,
    pub(crate) bytes: usize,
}

/// What came of it.
#[derive(Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) opened: u32,
    pub(crate) finished: u32,
    pub(crate) failed: Vec<ConnectionError>,
    pub(crate) received: u64,
}

/// Opens connections, sends so many bytes on each, half-closes, and reads what comes back to the end.
pub(crate) struct Client {
    errands: Vec<Errand>,
    outcome: Arc<Mutex<Outcome>>,
}

#[derive(Default)]
pub(crate) struct Progress {
    to_send: usize,
    sent: usize,
    received: usize,
}

impl Client {
    pub(crate) fn new(errands: Vec<Errand>) -> (Self, Arc<Mutex<Outcome>>) {
        let outcome = Arc::new(Mutex::default());
        (
            Self {
                errands,
                outcome: Arc::clone(&outcome),
            },
            outcome,
        )
    }

    fn pump(connection: &mut Connection<'_, MemQueue>, progress: &mut Progress) {
        while progress.sent < progress.to_send {
            let len = (progress.to_send - progress.sent).min(4096);
            let bytes: Vec<u8> = (progress.sent..progress.sent + len).map(pattern).collect();
            let taken = connection.send(&bytes);
            progress.sent += taken;
            if taken < len {
                return;
            }
        }
        connection.shutdown();
    }
}

/// The byte at a place of the stream.
pub(crate) fn pattern(place: usize) -> u8 {
    (place * 31 + place / 251) as u8
}

impl Handler<MemQueue> for Client {
    type State = Progress;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, progress: &mut Progress) {
        self.outcome.lock().unwrap().opened += 1;
        progress.to_send = self.errands.first().map_or(0, |errand| errand.bytes);
        Self::pump(connection, progress);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, progress: &mut Progress) {
        Self::pump(connection, progress);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, progress: &mut Progress) {
        while let Some(bytes) = connection.receive() {
            for byte in bytes.bytes() {
                assert_eq!(*byte, pattern(progress.received), "byte {}", progress.received);
                progress.received += 1;
            }
            self.outcome.lock().unwrap().received += bytes.bytes().len() as u64;
        }
    }

    fn on_closed(&mut self, closed: Closed, progress: &mut Progress) {
        let mut outcome = self.outcome.lock().unwrap();
        match closed.outcome {
            Ok(()) => {
                assert_eq!(
                    progress.received, progress.to_send,
                    "everything came back before the end"
                );
                outcome.finished += 1;
            }
            Err(error) => outcome.failed.push(error),
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Progress>) {
        for errand in &mut self.errands {
            while errand.connections > 0 {
                if worker.connect(errand.remote, &ConnectOptions::default()).is_err() {
                    return;
                }
                errand.connections -= 1;
            }
        }
    }
}
