//! Tasks in place of threads, over workers that move bytes without TCP (feature `async`).

use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};

use super::model::{Gone, House, LIMITS, web};
use crate::handoff::EndpointLimits;
use crate::handoff::testing::{SPACE, TestQueue};
use crate::{AsyncEndpoint, AsyncListener, AsyncStream};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

/// Lets every task run until none has anything to do: the driver sleeps then.
async fn run_all() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// The one connection that waits.
async fn accepted(house: &mut House, listener: &AsyncListener<TestQueue>) -> AsyncStream<TestQueue> {
    let deliver = async {
        run_all().await;
        house.turn();
    };
    let (accepted, ()) = tokio::join!(listener.accept(), deliver);
    accepted.unwrap().0
}

#[test]
fn no_wake_up_is_lost_in_a_hundred_thousand_sleeps_of_the_driver() {
    const ROUNDS: u32 = 100_000;
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let serving = thread::spawn(move || {
        runtime().block_on(async {
            let listener = AsyncEndpoint::new(endpoint).unwrap().listener(web());
            let (mut stream, _) = listener.accept().await.unwrap();
            for round in 0..ROUNDS {
                assert_eq!(stream.read_u32().await.unwrap(), round);
                stream.write_all(&[round as u8]).await.unwrap();
            }
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        });
    });
    let id = house.workers[0].handshake();
    for round in 0..ROUNDS {
        let worker = &mut house.workers[0];
        while !worker.arrive(id, &round.to_be_bytes()) {
            worker.turn();
        }
        // One turn tells of it; what follows only waits for the answer.
        while worker.conn(id).sent.len() <= round as usize {
            worker.turn();
            thread::yield_now();
        }
    }
    house.workers[0].conn(id).peer_closed = true;
    while !serving.is_finished() {
        house.turn();
        thread::yield_now();
    }
    serving.join().unwrap();
    let mut left_behind = house.estates.try_recv().ok();
    while house.workers[0].conn(id).gone.is_none() {
        if let Some(estate) = &mut left_behind {
            estate.step();
        }
        house.turn();
    }
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: false })
    );
    let sent = &house.workers[0].conn(id).sent;
    assert!(sent.iter().enumerate().all(|(at, byte)| *byte == at as u8));
}

#[test]
fn what_is_read_while_the_driver_sleeps_opens_the_window_at_once() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    runtime().block_on(async {
        let listener = AsyncEndpoint::new(endpoint).unwrap().listener(web());
        let id = house.workers[0].handshake();
        let mut stream = accepted(&mut house, &listener).await;
        assert!(house.workers[0].arrive(id, b"first") && house.workers[0].arrive(id, b"second"));
        house.turn();
        run_all().await;
        house.turn();
        assert_eq!(house.workers[0].conn(id).charged, 2 * SPACE);
        // Both are there, and nobody will step.
        stream.read_exact(&mut [0; 5]).await.unwrap();
        house.turn();
        assert_eq!(house.workers[0].conn(id).charged, SPACE);
        drop(stream.recv_chunk().await.unwrap());
        run_all().await;
        house.turn();
        assert_eq!(house.workers[0].conn(id).charged, 0);
    });
}

#[test]
fn writers_share_few_blank_buffers_and_all_come_to_their_end() {
    const STREAMS: usize = 12;
    const BYTES: usize = 5_000;
    let limits = EndpointLimits {
        blanks: 3,
        commands: 4,
        ..LIMITS
    };
    let mut house = House::new(1);
    house.workers[0].credit = 200;
    let endpoint = house.endpoint(&limits);
    let ids: Vec<_> = (0..STREAMS).map(|_| house.workers[0].handshake()).collect();
    runtime().block_on(async {
        let listener = AsyncEndpoint::new(endpoint).unwrap().listener(web());
        let mut writers = JoinSet::new();
        let accepting = tokio::spawn(async move {
            for number in 0..STREAMS {
                let (mut stream, _) = listener.accept().await.unwrap();
                writers.spawn(async move {
                    let bytes = vec![number as u8; BYTES];
                    let written = stream.write_all(&bytes).await;
                    written.map(|()| stream)
                });
            }
            writers.join_all().await
        });
        while !accepting.is_finished() {
            house.turn();
            yield_now().await;
        }
        assert_eq!(
            accepting.await.unwrap().into_iter().filter(Result::is_ok).count(),
            STREAMS
        );
        run_all().await;
        house.turn();
    });
    for id in ids {
        assert_eq!(house.workers[0].conn(id).sent.len(), BYTES);
    }
}

#[test]
fn the_driver_ends_with_the_last_handle_and_the_endpoint_leaves() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let id = house.workers[0].handshake();
    let runtime = runtime();
    let metrics = runtime.metrics();
    runtime.block_on(async {
        let endpoint = AsyncEndpoint::new(endpoint).unwrap();
        let listener = endpoint.listener(web());
        drop(endpoint);
        let stream = accepted(&mut house, &listener).await;
        drop(listener);
        run_all().await;
        assert_eq!(metrics.num_alive_tasks(), 1, "a stream keeps it");
        drop(stream);
        run_all().await;
        assert_eq!(metrics.num_alive_tasks(), 0);
    });
    let mut estate = house.estates.try_recv().expect("it left");
    for _ in 0..10 {
        estate.step();
        house.turn();
    }
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: false })
    );
    assert_eq!(house.workers[0].detached.len(), 1);
    house.check_pools(0);
}

#[test]
fn futures_that_were_dropped_leave_no_waker_behind() {
    struct Counting;
    impl std::task::Wake for Counting {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    runtime().block_on(async {
        let endpoint = AsyncEndpoint::new(endpoint).unwrap();
        let listener = endpoint.listener(web());
        let task = std::sync::Arc::new(Counting);
        let waker = std::task::Waker::from(std::sync::Arc::clone(&task));
        let mut cx = std::task::Context::from_waker(&waker);
        {
            let (mut accepting, mut other) = (
                std::pin::pin!(listener.accept()),
                std::pin::pin!(listener.accept()),
            );
            let mut taking = std::pin::pin!(endpoint.take_handed());
            assert!(accepting.as_mut().poll(&mut cx).is_pending());
            assert!(accepting.as_mut().poll(&mut cx).is_pending());
            assert!(other.as_mut().poll(&mut cx).is_pending());
            assert!(taking.as_mut().poll(&mut cx).is_pending());
            // Ours, the waker's, and one for each future that waits.
            assert_eq!(std::sync::Arc::strong_count(&task), 5);
        }
        assert_eq!(std::sync::Arc::strong_count(&task), 2);
    });
}
