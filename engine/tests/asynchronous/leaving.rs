//! Ends of connections, runtimes and engines, in the middle of everything.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::engines::{Engines, one_thread, pattern, remote, runtimes};

#[test]
fn a_stream_that_is_dropped_unread_resets_and_one_that_was_read_finishes() {
    let engines = Engines::start();
    one_thread().block_on(async {
        for (read, lent) in [(3, false), (10, false), (3, true), (0, true), (10, true)] {
            let (mut client, mut server) = engines.connection().await;
            client.write_all(b"0123456789").await.unwrap();
            let mut whole = [0; 10];
            if lent {
                assert_eq!(server.fill_buf().await.unwrap(), b"0123456789");
                server.consume(read);
            } else {
                server.read_exact(&mut whole[..read]).await.unwrap();
            }
            drop(server);
            let end = client.read(&mut whole).await;
            if read == 10 {
                assert_eq!(end.unwrap(), 0, "a FIN");
            } else {
                assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
        }
    });
    engines.until_empty();
}

#[test]
fn halves_close_one_direction_each() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (client, mut server) = engines.connection().await;
        let (mut reader, writer) = client.into_split();
        drop(writer);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "the write half's FIN");
        server.write_all(b"still").await.unwrap();
        server.shutdown().await.unwrap();
        let error = server.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let mut received = String::new();
        reader.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "still");
    });
    engines.until_empty();
}

#[test]
fn a_runtime_that_is_dropped_in_the_middle_closes_its_connections_and_the_workers_serve_the_next() {
    let engines = Engines::start();
    for runtime in runtimes().into_iter().chain(runtimes()) {
        let client_runtime = one_thread();
        let (server, client) = {
            let _entered = runtime.enter();
            let server = engines.endpoints().0;
            let _entered = client_runtime.enter();
            (server, engines.endpoints().1)
        };
        let listener = server.listener(engines.listener);
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        runtime.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                // Reads some, answers, and is in the middle of both when its runtime goes.
                tokio::spawn(async move {
                    let mut buffer = [0; 1000];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        let _ = stream.write_all(&buffer).await;
                    }
                });
            }
        });
        let mut streams = client_runtime.block_on(async {
            let mut streams = Vec::new();
            for seed in 0..20 {
                let mut stream = client.connect(remote()).await.unwrap();
                stream.write_all(&pattern(seed, 5000)).await.unwrap();
                streams.push(stream);
            }
            streams
        });
        runtime.block_on(async {
            // Those that wait for an accept would wait for the next endpoint.
            while accepted.load(Ordering::Relaxed) < streams.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        drop(runtime);
        client_runtime.block_on(async {
            for stream in &mut streams {
                let mut rest = Vec::new();
                // The end of file, or a reset because something was unread; in any case an end.
                let _ = stream.read_to_end(&mut rest).await;
            }
        });
        assert_eq!(server.connections(), 0);
    }
    engines.until_empty();
}

#[test]
fn streams_that_outlive_their_runtime_say_so() {
    let engines = Engines::start();
    let (first, second) = (one_thread(), one_thread());
    let (mut client, server) = first.block_on(engines.connection());
    drop(first);
    second.block_on(async {
        assert_eq!(
            client.read(&mut [0; 4]).await.unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert_eq!(
            client.write(b"x").await.unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        client.shutdown().await.unwrap();
    });
    drop((client, server));
    engines.until_empty();
}

#[test]
fn tasks_that_wait_are_told_when_the_engine_stops() {
    let engines = Engines::start();
    let runtime = one_thread();
    let (mut client, server) = runtime.block_on(engines.connection());
    let listener = {
        let _entered = runtime.enter();
        engines.ends().0
    };
    let reading = runtime.spawn(async move { client.read(&mut [0; 4]).await });
    let accepting = runtime.spawn(async move { listener.accept().await.map(|_| ()) });
    runtime.block_on(async { tokio::task::yield_now().await });
    drop(engines);
    runtime.block_on(async {
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert_eq!(
            accepting.await.unwrap().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
    });
    drop(server);
}

#[test]
fn there_is_no_endpoint_without_a_runtime() {
    let engines = Engines::start();
    let endpoint = engines
        .server
        .endpoint(&fourtuple::EndpointLimits::default())
        .unwrap();
    assert!(fourtuple::AsyncEndpoint::new(endpoint).is_err());
}
