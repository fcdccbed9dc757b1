//! Futures that are dropped half-way: nothing is lost, nothing comes twice.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::engines::{Engines, one_thread, pattern, remote};

/// Polls a future `times` times, and drops it then.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
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
