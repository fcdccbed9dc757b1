//! Futures that are dropped half-way: nothing is lost, nothing comes twice.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::engines::{Engines, one_thread, pattern, remote};

/// Polls a future `times` times, and drops it then.
pub(crate) async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[test]
fn reads_and_writes_that_are_dropped_lose_nothing() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (client, server) = engines.connection().await;
        let sent = pattern(3, 3 << 20);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut client = client;
            let (mut at, mut dropped) = (0, 0);
            while at < sent.len() {
                let end = sent.len().min(at + 50_000);
                match polled(client.write(&sent[at..end]), 1).await {
                    Some(written) => at += written.unwrap(),
                    None => dropped += 1,
                }
            }
            dropped
        });
        let reading = tokio::spawn(async move {
            let mut server = server;
            let mut received = Vec::new();
            let mut buffer = [0; 3000];
            let mut dropped = 0;
            loop {
                match polled(server.read(&mut buffer), 1).await {
                    Some(Ok(0)) => return (received, dropped),
                    Some(count) => received.extend_from_slice(&buffer[..count.unwrap()]),
                    None => dropped += 1,
                }
            }
        });
        let dropped = writing.await.unwrap();
        let (received, dropped_reads) = reading.await.unwrap();
        assert!(received == expected);
        assert!(
            dropped > 0 && dropped_reads > 0,
            "{dropped} writes, {dropped_reads} reads were dropped"
        );
    });
    engines.until_empty();
}

#[test]
fn accepts_that_are_dropped_and_accepts_by_several_tasks_lose_no_connection() {
    const CONNECTIONS: usize = 60;
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, client) = engines.ends();
        let opening = tokio::spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                streams.push(client.connect(remote()).await.unwrap());
            }
            streams
        });
        let (told, mut came) = tokio::sync::mpsc::unbounded_channel();
        let tasks: Vec<_> = (1..4)
            .map(|patience| {
                let (listener, told) = (listener.clone(), told.clone());
                tokio::spawn(async move {
                    loop {
                        if let Some(accepted) = polled(listener.accept(), patience).await {
                            let _ = told.send(accepted.unwrap());
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        let mut accepted = Vec::new();
        while accepted.len() < CONNECTIONS {
            accepted.push(came.recv().await.unwrap());
        }
        let opened = opening.await.unwrap();
        let mut ports: Vec<_> = opened.iter().map(|stream| stream.local().port()).collect();
        let mut peers: Vec<_> = accepted.iter().map(|(_, peer)| peer.port()).collect();
        ports.sort_unstable();
        peers.sort_unstable();
        assert_eq!(ports, peers);
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    });
    engines.until_empty();
}

/// A task that does nothing when it is woken.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_listener_that_is_polled_by_one_task_after_another_keeps_the_last_alone() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, _client) = engines.ends();
        let tasks: Vec<Arc<Idle>> = (0..100).map(|_| Arc::new(Idle)).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            assert!(
                listener
                    .poll_accept(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let held = |task: &&Arc<Idle>| Arc::strong_count(task) > 1;
        assert_eq!(tasks.iter().filter(held).count(), 1);
        drop(listener);
        assert_eq!(tasks.iter().filter(held).count(), 0);
    });
    engines.until_empty();
}

#[test]
fn connects_that_are_dropped_leave_nothing() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, client) = engines.ends();
        for round in 0..40 {
            drop(polled(client.connect(remote()), round % 4).await);
        }
        // Nobody answers here: given up while it waits.
        assert!(
            polled(client.connect(([10, 0, 0, 77], 7).into()), 50)
                .await
                .is_none()
        );
        // One that is not dropped, among what those left behind.
        let mut stream = client.connect(remote()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        let mut greeted = false;
        while !greeted {
            let mut byte = [0];
            let mut accepted = listener.accept().await.unwrap().0;
            greeted = matches!(accepted.read(&mut byte).await, Ok(1));
        }
    });
    engines.until_empty();
}

#[test]
fn every_other_call_that_is_dropped_while_it_waits_leaves_the_stream_as_it_was() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let mut seen = [0; 8];
        // Nothing came, and nothing is urgent: each of these waits, and is dropped.
        for _ in 0..3 {
            assert!(polled(server.recv_chunk(), 2).await.is_none());
            assert!(polled(server.peek(&mut seen), 2).await.is_none());
            assert!(polled(server.peek_until(5, &mut seen), 2).await.is_none());
            assert!(polled(server.readable(), 2).await.is_none());
            assert!(polled(server.urgent(), 2).await.is_none());
        }
        // Asked, and dropped before the answer or with it.
        for patience in 0..20 {
            drop(polled(client.info(), patience).await);
        }
        client.set_marks(0, 4000);
        let sent = pattern(11, 400_000);
        let (mut at, mut dropped) = (0, [0; 3]);
        let reading = tokio::spawn(async move {
            let mut received = Vec::new();
            loop {
                match polled(server.recv_chunk(), 1).await {
                    Some(chunk) => match chunk.unwrap() {
                        Some(chunk) => received.extend_from_slice(&chunk),
                        None => return (received, server),
                    },
                    None => tokio::task::yield_now().await,
                }
            }
        });
        while at < sent.len() {
            dropped[0] += usize::from(polled(client.writable(), 1).await.is_none());
            dropped[1] += usize::from(polled(client.flushed(), 1).await.is_none());
            let end = sent.len().min(at + 1000);
            match polled(client.write_urgent(&sent[at..end]), 1).await {
                Some(written) => at += written.unwrap(),
                None => dropped[2] += 1,
            }
        }
        assert!(dropped.iter().all(|count| *count > 0), "{dropped:?} were dropped");
        client.flushed().await.unwrap();
        client.shutdown().await.unwrap();
        let (received, mut server) = reading.await.unwrap();
        assert!(received == sent);
        assert_eq!(server.info().await.unwrap().unread, 0);
        drop((client, server));
    });
    engines.until_empty();
}

#[test]
fn a_chunk_whose_sending_is_dropped_is_kept_by_who_polls_and_its_buffer_comes_home_in_any_case() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (client, mut server) = engines.connection().await;
        // Room for one small chunk at a time, so that most sendings wait.
        server.set_marks(0, 2000);
        let sent = pattern(12, 300_000);
        let expected = sent.clone();
        let asking = tokio::spawn(async move {
            let (mut reader, mut writer) = client.into_split();
            let writing = async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut back = Vec::new();
            let (count, ()) = tokio::join!(reader.read_to_end(&mut back), writing);
            count.unwrap();
            back
        });
        let mut dropped = 0;
        while let Some(chunk) = server.recv_chunk().await.unwrap() {
            let mut unsent = Some(chunk);
            while unsent.is_some() {
                let sending = std::future::poll_fn(|cx| server.poll_send_chunk(cx, &mut unsent));
                match polled(sending, 1).await {
                    Some(sent) => sent.unwrap(),
                    None => dropped += 1,
                }
            }
        }
        server.shutdown().await.unwrap();
        assert!(asking.await.unwrap() == expected);
        assert!(dropped > 0);
        drop(server);
        // A call that takes the chunk loses what it had not sent, and neither its buffer nor the connection.
        let (mut client, mut server) = engines.connection().await;
        server.set_marks(0, 1);
        client.write_all(&pattern(13, 100_000)).await.unwrap();
        client.shutdown().await.unwrap();
        while let Some(chunk) = server.recv_chunk().await.unwrap() {
            drop(polled(server.send_chunk(chunk), 1).await);
        }
        server.shutdown().await.unwrap();
        let mut some = Vec::new();
        client.read_to_end(&mut some).await.unwrap();
        assert!(some.len() <= 100_000);
    });
    engines.until_empty();
}

#[test]
fn what_is_handed_over_is_taken_though_others_gave_up() {
    let engines = Engines::start();
    let threads = engines
        .server
        .endpoint(&fourtuple::EndpointLimits::default())
        .unwrap();
    one_thread().block_on(async {
        let (tasks, client) = engines.endpoints();
        for patience in 0..4 {
            assert!(polled(tasks.take_handed(), patience).await.is_none());
        }
        let opening = client.connect(remote());
        let handle = tasks.handle();
        let listener = engines.listener;
        let dealing = tokio::task::spawn_blocking(move || {
            let stream = listener.accept(&threads, std::time::Duration::MAX).unwrap();
            stream.move_to(&handle, 5, std::time::Duration::MAX).unwrap();
            threads
        });
        let taking = async {
            loop {
                if let Some(handed) = polled(tasks.take_handed(), 3).await {
                    return handed.unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        let (opened, (stream, mark)) = tokio::join!(opening, taking);
        assert_eq!((opened.unwrap().local(), mark), (stream.peer(), 5));
        drop(dealing.await.unwrap());
    });
    engines.until_empty();
}

#[test]
fn tasks_that_are_ended_at_any_await_leave_nothing_behind() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, client) = engines.ends();
        for patience in 0..60 {
            let (listener, client) = (listener.clone(), client.clone());
            let serving = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await?;
                let mut buffer = [0; 100];
                stream.read_exact(&mut buffer).await?;
                stream.write_all(&buffer).await?;
                stream.flushed().await?;
                stream.shutdown().await
            });
            let asking = tokio::spawn(async move {
                let mut stream = client.connect(remote()).await?;
                stream.writable().await?;
                stream.write_all(&[7; 100]).await?;
                stream.info().await?;
                stream.readable().await?;
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await
            });
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
            // In the middle of whatever they do.
            serving.abort();
            asking.abort();
            let ended = tokio::join!(serving, asking);
            drop(ended);
        }
        // Those that were connected and not accepted yet are accepted, and closed.
        while engines.server.connections() + engines.client.connections() > 0 {
            drop(polled(listener.accept(), 10).await);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}
