//! Every byte comes back, once and in order, whichever way it is read and written.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_buf};
use tokio::task::JoinSet;

use super::engines::{Engines, MemStream, one_thread, pattern, remote, runtimes};

/// Echoes until the end of file, by one of four ways, and says how many bytes it were.
async fn echo(mut stream: MemStream, way: usize) -> io::Result<u64> {
    match way % 4 {
        // Lent and copied once.
        0 => {
            let (mut reader, mut writer) = stream.into_split();
            let count = copy_buf(&mut reader, &mut writer).await?;
            writer.shutdown().await?;
            Ok(count)
        }
        // Copied in and out; the write half's end is the FIN.
        1 => {
            let (mut reader, mut writer) = stream.into_split();
            let mut count = 0;
            let mut buffer = [0; 1777];
            loop {
                match reader.read(&mut buffer).await? {
                    0 => return Ok(count),
                    read => writer.write_all(&buffer[..read]).await?,
                }
                count += 1;
            }
        }
        // Not copied at all.
        2 => {
            let mut count = 0;
            while let Some(chunk) = stream.recv_chunk().await? {
                count += chunk.len() as u64;
                stream.send_chunk(chunk).await?;
            }
            Ok(count)
        }
        // All of it at the end of file: behind a half-close.
        _ => {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            stream.write_all(&all).await?;
            Ok(all.len() as u64)
        }
    }
}

#[test]
fn a_thousand_streams_at_a_time_echo_exact_bytes_and_half_close() {
    const STREAMS: usize = 1000;
    for runtime in runtimes() {
        let engines = Engines::start();
        runtime.block_on(async {
            let (listener, client) = engines.ends();
            let server = tokio::spawn(async move {
                let mut echoes = JoinSet::new();
                for way in 0..STREAMS {
                    let (stream, peer) = listener.accept().await.unwrap();
                    assert_eq!(stream.peer(), peer);
                    echoes.spawn(echo(stream, way));
                }
                while let Some(done) = echoes.join_next().await {
                    done.unwrap().unwrap();
                }
            });
            let mut clients = JoinSet::new();
            for seed in 0..STREAMS {
                let client = client.clone();
                clients.spawn(async move {
                    let sent = pattern(seed as u64, seed * 37 % 20_000);
                    let (mut reader, mut writer) = client.connect(remote()).await.unwrap().into_split();
                    let writing = async {
                        writer.write_all(&sent).await.unwrap();
                        writer.shutdown().await.unwrap();
                    };
                    let mut received = Vec::new();
                    let (read, ()) = tokio::join!(reader.read_to_end(&mut received), writing);
                    assert_eq!(read.unwrap(), sent.len());
                    assert!(received == sent, "stream {seed}");
                });
            }
            while let Some(done) = clients.join_next().await {
                done.unwrap();
            }
            server.await.unwrap();
        });
        engines.until_empty();
    }
}

#[test]
fn no_wake_up_is_lost_in_twenty_thousand_rounds() {
    const ROUNDS: u32 = 20_000;
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let answering = async {
            for _ in 0..ROUNDS {
                let number = server.read_u32().await.unwrap();
                server.write_u32(number + 1).await.unwrap();
            }
        };
        let asking = async {
            let mut number = 0;
            while number < ROUNDS {
                client.write_u32(number).await.unwrap();
                number = client.read_u32().await.unwrap();
            }
            number
        };
        assert_eq!(tokio::join!(asking, answering).0, ROUNDS);
    });
}

#[test]
fn parts_of_a_vectored_write_go_out_in_order() {
    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        assert!(tokio::io::AsyncWrite::is_write_vectored(&client));
        let (head, body) = (pattern(1, 300), pattern(2, 60_000));
        let parts = [
            io::IoSlice::new(&head),
            io::IoSlice::new(&[]),
            io::IoSlice::new(&body),
        ];
        let written = client.write_vectored(&parts).await.unwrap();
        assert!(written > head.len(), "more than one part at a time: {written}");
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == [head, body].concat()[..written]);
    });
}

#[cfg(feature = "async-futures-io")]
#[test]
fn the_traits_of_futures_io_read_and_write_the_same_bytes() {
    use std::future::poll_fn;
    use std::pin::Pin;

    use futures_io::{AsyncRead, AsyncWrite};

    let engines = Engines::start();
    one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let sent = pattern(4, 1000);
        let written = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut client), cx, &sent)).await;
        assert_eq!(written.unwrap(), sent.len());
        poll_fn(|cx| AsyncWrite::poll_close(Pin::new(&mut client), cx))
            .await
            .unwrap();
        let (mut received, mut buffer) = (Vec::new(), [0; 333]);
        loop {
            let count = poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut server), cx, &mut buffer)).await;
            match count.unwrap() {
                0 => break,
                count => received.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(received, sent);
    });
}
