//! Requests and answers between two shards, whose server is an application of one of four kinds: what each kind costs is
//! counted in instructions (`engine/examples/exchange.rs`, docs/embedding-async.md).
//!
//! One thread steps everything: workers, link, endpoint and runtime take turns, so the same run takes the same instructions, but
//! for those of the runtime's own poll. A client's handler keeps one request outstanding on each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use super::handlers::Echo;
use super::{Plan, Side, World};
use crate::asynchronous::{AsyncEndpoint, AsyncStream};
use crate::handler::{Handler, NoHandler};
use crate::handoff::{Endpoint, EndpointLimits, Listener, Stream, pair};
use crate::idle::Sleeper;
use crate::listener::Listen;
use crate::shard::{ConnectOptions, Connection, Control, WorkerCalls};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A handler on the worker, that sends back what came in its buffers.
    Handler,
    /// A thread with an endpoint, that copies in and out.
    Thread,
    /// A task for each connection, that copies in and out: `AsyncRead` and `AsyncWrite`.
    Tasks,
    /// A task for each connection, that sends back chunks.
    Chunks,
}

/// Runs until so many answers have come, and says how many they were.
///
/// # Panics
/// When the world comes to a halt before: the test that runs each kind once says so.
pub fn run(server: Server, connections: u32, exchanges: u64, bytes: usize) -> u64 {
    let done = Arc::new(AtomicU64::new(0));
    let asker = Asker {
        to_open: connections,
        request: vec![b'x'; bytes],
        done: Arc::clone(&done),
    };
    let mut asker = Some(asker);
    let make = |_| asker.take().expect("one client");
    let plan = Plan {
        connections: connections + 64,
        pools: 8192,
        ..Plan::default()
    };
    let count = || done.load(Ordering::Relaxed);
    if server == Server::Handler {
        let mut world = World::new(&plan, |_| Echo::default(), make);
        world.server.listen(0, &Listen::on(7));
        world.run_until(LIMIT, |_| count() >= exchanges);
        return count();
    }
    let mut world = World::new(&plan, |_| NoHandler, make);
    let listen = Listen {
        backlog: connections,
        ..Listen::on(7).for_endpoints()
    };
    let listener = Listener::new(world.server.listen(0, &listen), 7, listen.backlog);
    let endpoint = endpoint(&mut world.server);
    match server {
        Server::Handler | Server::Thread => {
            let mut streams = Vec::new();
            world.run_until(LIMIT, |_| {
                serve(&endpoint, listener, &mut streams);
                count() >= exchanges
            });
        }
        Server::Tasks | Server::Chunks => {
            let runtime = Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = AsyncEndpoint::new(endpoint)
                    .expect("a runtime")
                    .listener(listener);
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        if server == Server::Tasks {
                            tokio::spawn(copying(stream));
                        } else {
                            tokio::spawn(forwarding(stream));
                        }
                    }
                });
                while count() < exchanges {
                    assert!(world.step(), "something is always to come");
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    count()
}

/// One look at everything, as a thread's loop of calls that don't wait.
fn serve(endpoint: &Endpoint<MemQueue>, listener: Listener, streams: &mut Vec<Stream<MemQueue>>) {
    let mut buffer = [0; BUFFER];
    endpoint.step();
    while let Ok(stream) = listener.try_accept(endpoint) {
        stream.watch(crate::Token(streams.len() as u64), crate::Interest::READABLE);
        streams.push(stream);
    }
    let mut ready = Vec::with_capacity(64);
    endpoint.poll(&mut ready, Duration::ZERO);
    for told in &ready {
        let Some(stream) = streams.get(told.token.0 as usize) else {
            continue;
        };
        if let Ok(count) = stream.recv_into(&mut buffer, Duration::ZERO) {
            let _ = stream.send_all(&buffer[..count], Duration::ZERO);
        }
    }
}

async fn copying(mut stream: AsyncStream<MemQueue>) {
    let mut buffer = [0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn forwarding(mut stream: AsyncStream<MemQueue>) {
    while let Ok(Some(chunk)) = stream.recv_chunk().await {
        if stream.send_chunk(chunk).await.is_err() {
            return;
        }
    }
}

fn endpoint(side: &mut Side<NoHandler>) -> Endpoint<MemQueue> {
    let sleeper = Arc::new(Sleeper::new().expect("a descriptor"));
    let (core, ends) = pair(
        &side.sleepers,
        &EndpointLimits::default(),
        Arc::clone(&sleeper),
        channel().0,
    );
    for (shard, end) in side.shards.iter_mut().zip(ends) {
        shard.work.control(Control::Attach(Box::new(end)));
    }
    Endpoint::new(core, sleeper)
}

/// Opens connections, and keeps a request outstanding on each.
struct Asker {
    to_open: u32,
    request: Vec<u8>,
    done: Arc<AtomicU64>,
}

impl Handler<MemQueue> for Asker {
    /// Bytes of the answer that have come.
    type State = usize;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut usize) {
        connection.send(&self.request);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, came: &mut usize) {
        while let Some(bytes) = connection.receive() {
            *came += bytes.bytes().len();
        }
        if *came >= self.request.len() {
            *came = 0;
            self.done.fetch_add(1, Ordering::Relaxed);
            connection.send(&self.request);
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, usize>) {
        let remote = ([10, 0, 0, 1], 7).into();
        while self.to_open > 0 && worker.connect(remote, &ConnectOptions::default()).is_ok() {
            self.to_open -= 1;
        }
    }
}

/// Of virtual time: nothing runs so long.
const LIMIT: Duration = Duration::from_secs(100_000);
/// Larger than any request.
const BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_all_kinds_answer() {
        for server in [Server::Handler, Server::Thread, Server::Tasks, Server::Chunks] {
            for connections in [1, 20] {
                assert!(run(server, connections, 300, 100) >= 300, "{server:?}");
            }
        }
    }
}
