//! A task that does not read closes its peer's window, and costs bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::engines::{Engines, pattern, runtimes};

/// More than all buffers between the two tasks hold, many times over.
const ALL: usize = 48 << 20;
/// What the window, the send queue and all between may hold at most.
const HELD: usize = 16 << 20;

#[test]
fn a_reader_that_stops_stops_its_writer_and_loses_nothing() {
    for runtime in runtimes() {
        let engines = Engines::start();
        runtime.block_on(async {
            let (mut client, mut server) = engines.connection().await;
            let written = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&written);
            let writing = tokio::spawn(async move {
                let block = pattern(7, 1 << 20);
                while counted.load(Ordering::Relaxed) < ALL {
                    let at = counted.load(Ordering::Relaxed) % block.len();
                    let count = client.write(&block[at..]).await.unwrap();
                    counted.fetch_add(count, Ordering::Relaxed);
                }
            });
            // Until it stands still: if it never did, all would be written.
            let (mut before, mut still) = (0, 0);
            while still < 20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let now = written.load(Ordering::Relaxed);
                still = if now == before && now > 0 { still + 1 } else { 0 };
                before = now;
            }
            assert!(before < HELD, "{before} bytes were taken though nobody read");
            let block = pattern(7, 1 << 20);
            let mut buffer = vec![0; 100_000];
            let mut received = 0;
            loop {
                let count = server.read(&mut buffer).await.unwrap();
                if count == 0 {
                    break;
                }
                {
                    let part = &buffer[..count];
                    let at = received % block.len();
                    let first = part.len().min(block.len() - at);
                    assert!(
                        part[..first] == block[at..at + first]
                            && part[first..] == block[..part.len() - first]
                    );
                    received += part.len();
                }
            }
            assert_eq!(received, written.load(Ordering::Relaxed));
            writing.await.unwrap();
        });
        engines.until_empty();
    }
}

#[test]
fn a_task_that_reads_while_its_driver_sleeps_opens_the_window() {
    let engines = Engines::start();
    super::engines::one_thread().block_on(async {
        let (mut client, mut server) = engines.connection().await;
        let writing = tokio::spawn(async move {
            client.write_all(&pattern(9, 4 << 20)).await.unwrap();
        });
        let mut received = Vec::new();
        let mut buffer = vec![0; 4096];
        loop {
            // Long enough for the driver to sleep; what has come is read without it.
            if received.len() % (512 << 10) < buffer.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match server.read(&mut buffer).await.unwrap() {
                0 => break,
                count => received.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(received == pattern(9, 4 << 20));
        writing.await.unwrap();
    });
}
