//! What a stream can do beside reading and writing.

use std::io::{ErrorKind, IoSlice, Write};
use std::time::Duration;

use bytes::Bytes;
use fourtuple::{CongestionKind, ConnectOptions, ConnectionOption, EndpointLimits, State};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::cancelling::polled;
use super::engines::{Engines, one_thread, pattern, remote, runtimes};

#[test]
fn bytes_can_be_looked_at_and_are_read_afterwards() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let looking = async {
            let mut seen = [0; 8];
            // The second half comes later: who wants all of it waits for it.
            assert_eq!(server.peek_until(8, &mut seen).await.unwrap(), 8);
            assert_eq!(&seen, b"01234567");
            assert_eq!(server.peek(&mut seen[..3]).await.unwrap(), 3);
            // Some of it lent in place: what is behind that is seen, too.
            assert!(!server.fill_buf().await.unwrap().is_empty());
            server.consume(1);
            assert_eq!(server.peek_until(7, &mut seen).await.unwrap(), 7);
            assert_eq!(&seen[..7], b"1234567");
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"1234567");
            assert_eq!(server.peek(&mut seen).await.unwrap(), 0, "the end of file");
        };
        let sending = async {
            client.write_all(b"0123").await.unwrap();
            client.flushed().await.unwrap();
            client.write_all(b"4567").await.unwrap();
            // More than will ever come: the end of file ends the wait.
            client.shutdown().await.unwrap();
        };
        tokio::join!(looking, sending);
        drop(server);
    });
    engines.until_empty();
}

#[test]
fn a_look_for_more_than_comes_ends_with_what_there_is() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        client.write_all(b"short").await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = [0; 100];
        assert_eq!(server.peek_until(50, &mut seen).await.unwrap(), 5);
        assert_eq!(&seen[..5], b"short");
        // Half of it lent, then a reset: what there is comes before it.
        let (mut client, mut server) = engines.connection().await;
        client.write_all(b"half").await.unwrap();
        assert_eq!(server.fill_buf().await.unwrap(), b"half");
        client.abort();
        assert_eq!(server.peek_until(50, &mut seen).await.unwrap(), 4);
        server.consume(4);
        let error = server.peek(&mut seen).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            server.readable().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            server.writable().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn readiness_and_calls_that_do_not_wait_move_the_same_bytes() {
    for runtime in runtimes() {
        let engines = Engines::start();
        runtime.block_on(async {
            let (mut client, mut server) = engines.connection().await;
            assert_eq!(
                server.try_read(&mut [0; 8]).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            let sent = pattern(5, 2 << 20);
            let expected = sent.clone();
            let writing = tokio::spawn(async move {
                let (mut at, mut refused) = (0, 0);
                while at < sent.len() {
                    client.writable().await.unwrap();
                    let middle = (at + 700).min(sent.len());
                    let end = (at + 5_000).min(sent.len());
                    let parts = [IoSlice::new(&sent[at..middle]), IoSlice::new(&sent[middle..end])];
                    match client.try_write_vectored(&parts) {
                        Ok(count) => at += count,
                        Err(why) => {
                            assert_eq!(why.kind(), ErrorKind::WouldBlock);
                            refused += 1;
                        }
                    }
                }
                client.shutdown().await.unwrap();
                assert_eq!(client.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                refused
            });
            let (mut received, mut buffer) = (Vec::new(), [0; 4000]);
            loop {
                server.readable().await.unwrap();
                match server.try_read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(why) => panic!("it said that it is readable: {why}"),
                }
            }
            assert!(received == expected);
            writing.await.unwrap();
        });
        engines.until_empty();
    }
}

#[test]
fn shared_bytes_come_without_a_copy_and_go_with_one_that_is_counted() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, endpoint) = engines.ends();
        let (opened, accepted) = tokio::join!(endpoint.connect(remote()), listener.accept());
        let (mut client, mut server) = (opened.unwrap(), accepted.unwrap().0);
        let sent = Bytes::from(pattern(4, 1 << 20));
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let (mut left, mut dropped) = (sent, 0);
            // Dropped whenever it would wait: what was sent is off the front, and nothing goes twice.
            while !left.is_empty() {
                match polled(client.send_bytes(&mut left), 1).await {
                    Some(done) => done.unwrap(),
                    None => dropped += 1,
                }
            }
            client.shutdown().await.unwrap();
            assert_eq!(
                client
                    .send_bytes(&mut Bytes::from_static(b"x"))
                    .await
                    .unwrap_err()
                    .kind(),
                ErrorKind::BrokenPipe
            );
            (client, dropped)
        });
        let mut received = Vec::new();
        while let Some(bytes) = server.recv_bytes().await.unwrap() {
            assert!(!bytes.is_empty());
            // Parts of it live with others, on any thread, and go home by themselves.
            let (front, back) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
            received.extend_from_slice(&front);
            std::thread::spawn(move || drop(front)).join().unwrap();
            received.extend_from_slice(&back);
        }
        assert!(received == expected);
        let (client, dropped) = writing.await.unwrap();
        assert!(dropped > 0, "a mebibyte does not fit into the send buffer");
        assert_eq!(endpoint.tx_copied_bytes(), 1 << 20);
        drop((client, server));
    });
    engines.until_empty();
}

#[test]
fn registered_buffers_are_filled_by_tasks_and_sent_without_a_copy() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, endpoint) = engines.ends();
        let (opened, accepted) = tokio::join!(endpoint.connect(remote()), listener.accept());
        let (mut client, mut server) = (opened.unwrap(), accepted.unwrap().0);
        let writing = async {
            let (mut sent, mut held) = (Vec::new(), vec![client.tx_buffer().await.unwrap()]);
            // All that there are: who wants more waits, and gets what another gives back.
            while let Some(buffer) = polled(client.tx_buffer(), 1).await {
                held.push(buffer.unwrap());
            }
            let waiting = async { client.tx_buffer().await.unwrap() };
            let giving = async { held.truncate(held.len() / 2) };
            let (mut buffer, ()) = tokio::join!(waiting, giving);
            drop(held);
            for number in 0..200_u32 {
                writeln!(buffer, "line {number}").unwrap();
                sent.extend_from_slice(&buffer);
                client.send_chunk(buffer.into_chunk()).await.unwrap();
                buffer = client.tx_buffer().await.unwrap();
            }
            drop(buffer);
            client.shutdown().await.unwrap();
            sent
        };
        let reading = async {
            let mut received = Vec::new();
            server.read_to_end(&mut received).await.unwrap();
            received
        };
        let (sent, received) = tokio::join!(writing, reading);
        assert!(!sent.is_empty() && sent == received);
        assert_eq!(endpoint.tx_copied_bytes(), 0);
        drop((client, server));
    });
    engines.until_empty();
}

#[test]
fn urgent_bytes_are_announced_to_the_byte_and_come_in_line() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        client.write_all(b"before").await.unwrap();
        client.flushed().await.unwrap();
        assert_eq!(server.urgent_ahead(), None);
        let announced = tokio::spawn(async move {
            let ahead = server.urgent().await.unwrap();
            (server, ahead)
        });
        assert_eq!(client.write_urgent(b"now!").await.unwrap(), 4);
        client.write_all(b"after").await.unwrap();
        let (mut server, ahead) = announced.await.unwrap();
        assert_eq!(ahead, Some(10), "what is unread before it, and itself");
        // Lent bytes count until they are consumed.
        assert_eq!(server.fill_buf().await.unwrap()[..6], *b"before");
        assert_eq!(server.urgent_ahead(), Some(10));
        server.consume(6);
        assert_eq!(server.urgent_ahead(), Some(4));
        let mut urgent = [0; 4];
        server.read_exact(&mut urgent).await.unwrap();
        assert_eq!((&urgent, server.urgent_ahead()), (b"now!", None));
        client.shutdown().await.unwrap();
        assert_eq!(server.urgent().await.unwrap(), None, "nothing more comes");
        let mut rest = String::new();
        server.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "after");
        drop((client, server));
    });
    engines.until_empty();
}

#[test]
fn options_and_what_tcp_knows_are_those_of_the_connection() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let before = client.info().await.unwrap();
        assert_eq!(
            (before.state, before.congestion),
            (State::Established, CongestionKind::Cubic)
        );
        client
            .set(ConnectionOption::Congestion(CongestionKind::NewReno))
            .unwrap();
        client.set(ConnectionOption::MssClamp(600)).unwrap();
        // Behind the options, as all is that goes to the worker.
        let after = client.info().await.unwrap();
        assert_eq!(after.congestion, CongestionKind::NewReno);
        assert!(after.mss <= 600, "{after:?}");
        server.write_all(&pattern(6, 5000)).await.unwrap();
        server.flushed().await.unwrap();
        let charged = client.info().await.unwrap().charged;
        assert!(charged >= 5000, "{charged} bytes of buffers hold 5000");
        // As a part of the stream, and of each half, on another thread.
        let (mut reader, mut writer) = client.into_split();
        let told = tokio::spawn(async move { (reader.info().await.unwrap().charged, reader) });
        assert_eq!(writer.info().await.unwrap().state, State::Established);
        let (told, reader) = told.await.unwrap();
        assert_eq!(told, charged);
        drop((reader, writer));
        // Ended: why.
        while server.info().await.is_ok() {}
        assert_eq!(
            server.info().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn marks_bound_what_is_queued_and_tell_when_it_is_gone() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        client.set_marks(0, 10_000);
        let block = pattern(8, 50_000);
        let mut taken = 0;
        while let Ok(count) = client.try_write(&block[taken..]) {
            taken += count;
        }
        assert!((1..50_000).contains(&taken), "{taken} bytes were taken");
        let reading = async {
            let mut received = vec![0; taken];
            server.read_exact(&mut received).await.unwrap();
            assert!(received == block[..taken]);
        };
        let waiting = async {
            client.writable().await.unwrap();
            // The low mark is 0: all that was queued is acknowledged.
            client.flushed().await.unwrap();
        };
        tokio::join!(reading, waiting);
    });
    engines.until_empty();
}

#[test]
fn halves_are_lent_and_put_together_again() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let echoing = async {
            let (reader, writer) = server.halves();
            tokio::io::copy_buf(reader, writer).await.unwrap();
            // Nothing ended with the loan.
            server.write_all(b"!").await.unwrap();
            server.shutdown().await.unwrap();
        };
        let asking = async {
            let (reader, writer) = client.halves();
            let mut back = Vec::new();
            let sent = pattern(2, 300_000);
            let writing = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            tokio::join!(async { reader.read_to_end(&mut back).await.unwrap() }, writing);
            assert!(back == [&sent[..], b"!"].concat());
        };
        tokio::join!(echoing, asking);
        drop((client, server));
        // In halves, and whole again: no half's end is told, and the stream works.
        let (client, mut server) = engines.connection().await;
        let (other, _kept) = engines.connection().await;
        let ((reader, writer), (other_reader, other_writer)) = (client.into_split(), other.into_split());
        let (reader, other_writer) = reader.reunite(other_writer).expect_err("of two connections");
        let mut client = reader.reunite(writer).expect("of one");
        drop((other_reader, other_writer));
        client.write_all(b"whole").await.unwrap();
        let mut five = [0; 5];
        server.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"whole");
        assert_eq!(
            server.try_read(&mut five).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn connects_take_options_and_a_limit() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (listener, client) = engines.ends();
        let mut options = ConnectOptions::default();
        assert_eq!(options.local_port, None, "drawn, if nobody says");
        options.local_port = Some(4444);
        let (opened, accepted) = tokio::join!(client.connect_with(remote(), &options), listener.accept());
        let (opened, (_server, peer)) = (opened.unwrap(), accepted.unwrap());
        assert_eq!((opened.local().port(), peer.port()), (4444, 4444));
        let again = client.connect_with(remote(), &options).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        // Nobody answers there.
        let late = client
            .connect_within(([10, 0, 0, 77], 7).into(), Duration::from_millis(20))
            .await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        // Time enough.
        let soon = client.connect_within(remote(), Duration::from_secs(3600));
        let (opened, accepted) = tokio::join!(soon, listener.accept());
        assert_eq!(opened.unwrap().local(), accepted.unwrap().1);
    });
    engines.until_empty();
}

#[test]
fn one_endpoint_accepts_from_many_listeners_and_one_listener_for_many_endpoints() {
    const PORTS: usize = 8;
    let engines = Engines::start();
    one_thread().block_on(async {
        let listeners: Vec<_> = (0..PORTS)
            .map(|at| {
                let listen = fourtuple::Listen::on(100 + at as u16).for_endpoints();
                engines.server.listen(listen).unwrap()
            })
            .collect();
        let (first, client) = engines.endpoints();
        let (second, _) = engines.endpoints();
        let (told, mut came) = tokio::sync::mpsc::unbounded_channel();
        for endpoint in [&first, &second] {
            for listener in &listeners {
                let (listener, told) = (endpoint.listener(*listener), told.clone());
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let right = stream.local().port() == listener.port();
                        let _ = told.send((stream, right));
                    }
                });
            }
        }
        let mut opened = Vec::new();
        for round in 0..5 * PORTS {
            let port = 100 + (round % PORTS) as u16;
            opened.push(client.connect(([10, 0, 0, 1], port).into()).await.unwrap());
        }
        let mut accepted = Vec::new();
        while accepted.len() < opened.len() {
            let (stream, right) = came.recv().await.unwrap();
            assert!(right, "another listener's connection: {stream:?}");
            accepted.push(stream);
        }
        assert!(first.connections() > 0 && second.connections() > 0);
        assert_eq!(first.connections() + second.connections(), opened.len());
    });
}

#[test]
fn connections_that_threads_hand_over_are_taken_by_tasks_unread_bytes_included() {
    let engines = Engines::start();
    let threads = engines.server.endpoint(&EndpointLimits::default()).unwrap();
    one_thread().block_on(async {
        let (tasks, client) = engines.endpoints();
        let (listener, handle) = (engines.listener, tasks.handle());
        let dealing = tokio::task::spawn_blocking(move || {
            for mark in 0..3 {
                let stream = listener.accept(&threads, Duration::MAX).unwrap();
                stream.move_to(&handle, mark, Duration::MAX).unwrap();
            }
            threads
        });
        for mark in 0..3 {
            let mut opened = client.connect(remote()).await.unwrap();
            opened.write_all(&pattern(mark, 10_000)).await.unwrap();
            opened.shutdown().await.unwrap();
            let (mut stream, told) = tasks.take_handed().await.unwrap();
            assert_eq!((told, stream.peer()), (mark, opened.local()));
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            assert!(received == pattern(mark, 10_000));
        }
        drop(dealing.await.unwrap());
    });
    engines.until_empty();
}

#[cfg(feature = "async-futures-io")]
#[test]
fn a_listener_is_a_stream_of_connections() {
    use std::future::poll_fn;
    use std::pin::Pin;

    use futures_core::Stream;

    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut listener, client) = engines.ends();
        let opening = tokio::spawn(async move {
            let one = client.connect(remote()).await.unwrap();
            let two = client.connect(remote()).await.unwrap();
            [one.local(), two.local()]
        });
        let mut peers = Vec::new();
        for _ in 0..2 {
            let next = poll_fn(|cx| Pin::new(&mut listener).poll_next(cx)).await;
            peers.push(next.expect("it has no end").unwrap().1);
        }
        let mut opened = opening.await.unwrap();
        opened.sort_unstable();
        peers.sort_unstable();
        assert_eq!(peers, opened);
    });
}
