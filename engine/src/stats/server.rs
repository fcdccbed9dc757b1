//! The HTTP endpoint for operators, on a thread and a kernel socket of its own. HTTP/1.1, GET and HEAD, no bodies taken.
//!
//! It only reads published blocks: a scrape never stops a worker. Bounded everywhere: [`MAX_CONNECTIONS`] at once (more wait
//! in the kernel's backlog), one request a connection, 8 KiB of request head, [`HEAD_WITHIN`] for it and [`DONE_WITHIN`] for
//! the whole exchange. Paths are documented in docs/stats.md.

use std::convert::Infallible;
use std::fmt;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::exposition;
use super::scoreboard::Scoreboard;
use super::snapshot::Snapshot;
use crate::error::StartError;

/// Where the numbers come from.
pub trait Source: Send + Sync + 'static {
    /// The numbers now.
    fn snapshot(&self) -> Snapshot;
}

/// A running endpoint; stops when it is dropped.
#[derive(Debug)]
pub struct StatsServer {
    address: SocketAddr,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl StatsServer {
    /// Listens at `address` (port 0: any free one) and serves what `source` tells.
    ///
    /// # Errors
    /// [`StartError::Stats`] when the address can't be bound, [`StartError::System`] when there can be no thread for it.
    pub fn start(address: SocketAddr, source: Arc<dyn Source>) -> Result<Self, StartError> {
        let unbound = |error: std::io::Error| StartError::Stats {
            address,
            reason: error.to_string(),
        };
        let listener = StdListener::bind(address).map_err(unbound)?;
        listener.set_nonblocking(true).map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let refused = |error: std::io::Error| StartError::System {
            what: "a thread for the stats endpoint",
            reason: error.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(unbound)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("fourtuple-stats".into())
            .spawn(move || runtime.block_on(serve(listener, source, stopped)))
            .map_err(refused)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only fails when the thread has panicked, and then it has stopped as well.
            let _ = thread.join();
        }
    }
}

/// Connections served at once.
pub const MAX_CONNECTIONS: usize = 32;
/// How long a client may take for the head of its request.
pub const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may take for all, the reading of the answer included.
pub const DONE_WITHIN: Duration = Duration::from_secs(10);
/// A worker that did not turn for longer is not healthy; one that sleeps still turns four times a second.
pub const TURNED_WITHIN: Duration = Duration::from_secs(1);
/// Largest head of a request; hyper takes no smaller figure.
const HEAD_BYTES: usize = 8 * 1024;
const HEADERS: usize = 64;
/// How often the scoreboard looks.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// After a failure to accept (no descriptors left), how long to wait before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

struct Service {
    source: Arc<dyn Source>,
    scoreboard: std::sync::Mutex<Scoreboard>,
}

/// Runs until the other end of `stopped` is dropped; the runtime goes then, and every task with it.
async fn serve(listener: TcpListener, source: Arc<dyn Source>, stopped: oneshot::Receiver<Infallible>) {
    let service = Arc::new(Service {
        source,
        scoreboard: std::sync::Mutex::default(),
    });
    tokio::spawn(sample(Arc::clone(&service)));
    tokio::spawn(accept(listener, service));
    let _ = stopped.await;
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    exchange(stream, service).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Keeps the scoreboard's last minute.
async fn sample(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = service.source.snapshot();
        service.scoreboard().sample(&snapshot);
    }
}

async fn exchange(stream: TcpStream, service: Arc<Service>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = service.answer(request.method(), request.uri().path(), request.uri().query());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that goes away, or is too slow, is its own affair: there is nobody to tell.
    let _ = tokio::time::timeout(DONE_WITHIN, connection).await;
}

type Answer = Response<Full<Bytes>>;

impl Service {
    fn scoreboard(&self) -> std::sync::MutexGuard<'_, Scoreboard> {
        self.scoreboard
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> Answer {
        let worker = path.strip_prefix("/api/v1/workers/");
        if worker.is_none() && !PATHS.contains(&path) {
            return plain(
                StatusCode::NOT_FOUND,
                format!("there is no {path} here; there are {PATHS:?}"),
            );
        }
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{path} takes GET and HEAD, not {method}"),
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        let snapshot = self.source.snapshot();
        match (worker, path) {
            (Some(number), _) => match number.parse().ok().and_then(|number| snapshot.worker(number)) {
                Some(worker) => json(&worker),
                None => plain(
                    StatusCode::NOT_FOUND,
                    format!(
                        "there is no worker {number}; there are {}, from 0",
                        snapshot.workers.len()
                    ),
                ),
            },
            (None, "/metrics") => match exposition::encode(snapshot) {
                Ok(text) => response(StatusCode::OK, exposition::CONTENT_TYPE, text.into_bytes()),
                Err(fmt::Error) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the text could not be written"),
            },
            (None, "/api/v1/stats") => json(&snapshot),
            (None, "/healthz") => match snapshot.stalled(TURNED_WITHIN) {
                None => plain(StatusCode::OK, "ok"),
                Some((worker, silence)) => plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "worker {worker} has not turned for {:.1} s",
                        silence.as_secs_f64()
                    ),
                ),
            },
            (None, "/readyz") if snapshot.facts.draining => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "draining")
            }
            (None, "/readyz") => plain(StatusCode::OK, "ready"),
            (None, _) => {
                let scoreboard = self.scoreboard();
                if query.is_some_and(|query| query.split('&').any(|word| word == "auto")) {
                    response(StatusCode::OK, TEXT, scoreboard.lines(&snapshot).into_bytes())
                } else {
                    response(
                        StatusCode::OK,
                        "text/html; charset=utf-8",
                        scoreboard.page(&snapshot).into_bytes(),
                    )
                }
            }
        }
    }
}

/// What is served, beside `/api/v1/workers/N`.
const PATHS: [&str; 5] = ["/", "/metrics", "/api/v1/stats", "/healthz", "/readyz"];
const TEXT: &str = "text/plain; charset=utf-8";

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => response(StatusCode::OK, "application/json", body),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn plain(status: StatusCode, text: impl fmt::Display) -> Answer {
    response(status, TEXT, format!("{text}\n").into_bytes())
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(all(test, not(loom)))]
mod tests;
