//! The endpoint over real loopback connections.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::snapshot::tests::{facts, readers};
use super::super::{Publisher, Reader, SCHEMA};
use super::*;
use fourtuple_wire::Instant;

struct Numbers {
    readers: Vec<Reader>,
    _publishers: std::sync::Mutex<Vec<Publisher>>,
    now_ms: AtomicU64,
    draining: AtomicBool,
}

impl Source for Numbers {
    fn snapshot(&self) -> Snapshot {
        let mut facts = facts();
        facts.draining = self.draining.load(Ordering::Relaxed);
        Snapshot::take(
            facts,
            &self.readers,
            Instant::ZERO,
            Instant::from_millis(self.now_ms.load(Ordering::Relaxed)),
        )
    }
}

fn start() -> (Arc<Numbers>, StatsServer) {
    let (publishers, readers) = readers();
    let numbers = Arc::new(Numbers {
        readers,
        _publishers: publishers.into(),
        now_ms: 3_000.into(),
        draining: false.into(),
    });
    let source: Arc<dyn Source> = numbers.clone();
    let server = StatsServer::start("127.0.0.1:0".parse().unwrap(), source).expect("a free port");
    (numbers, server)
}

/// Sends `request` as it stands and reads until the end.
fn exchange_raw(address: SocketAddr, request: &str) -> String {
    let mut stream = StdStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // It answered and closed before it had read all that was sent.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(answer).expect("text")
}

/// Status, head and body.
fn ask(server: &StatsServer, method: &str, path: &str) -> (u16, String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = exchange_raw(server.address(), &request);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn each_path_answers_in_its_own_way() {
    let (_, server) = start();
    let cases = [
        (
            "GET",
            "/metrics",
            200,
            "application/openmetrics-text; version=1.0.0",
            "# EOF\n",
        ),
        (
            "GET",
            "/metrics?x=y",
            200,
            "application/openmetrics-text",
            "fourtuple_rx_packets_total{worker=\"1\"} 11",
        ),
        ("GET", "/api/v1/stats", 200, "application/json", SCHEMA),
        (
            "GET",
            "/api/v1/workers/1",
            200,
            "application/json",
            "\"rx_packets\":11",
        ),
        (
            "GET",
            "/api/v1/workers/2",
            404,
            "text/plain",
            "there is no worker 2; there are 2, from 0",
        ),
        ("GET", "/api/v1/workers/", 404, "text/plain", "there is no worker"),
        (
            "GET",
            "/api/v1/workers/-1",
            404,
            "text/plain",
            "there is no worker -1",
        ),
        ("GET", "/healthz", 200, "text/plain", "ok"),
        ("GET", "/readyz", 200, "text/plain", "ready"),
        ("GET", "/", 200, "text/html", "Worker 1"),
        ("GET", "/?auto", 200, "text/plain", "rx_packets: 21"),
        (
            "GET",
            "/nonsense",
            404,
            "text/plain",
            "there is no /nonsense here",
        ),
        (
            "POST",
            "/nonsense",
            404,
            "text/plain",
            "there is no /nonsense here",
        ),
        (
            "POST",
            "/metrics",
            405,
            "allow: get, head",
            "takes GET and HEAD, not POST",
        ),
        (
            "DELETE",
            "/api/v1/workers/0",
            405,
            "allow: get, head",
            "not DELETE",
        ),
        ("HEAD", "/metrics", 200, "content-length: ", ""),
    ];
    for (method, path, status, in_head, in_body) in cases {
        let (found, head, body) = ask(&server, method, path);
        assert_eq!(found, status, "{method} {path}: {head}");
        assert!(head.contains(in_head), "{method} {path}: {head}");
        assert!(body.contains(in_body), "{method} {path}: {body}");
        assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
    }
}

#[test]
fn a_worker_that_stands_still_makes_the_engine_unhealthy() {
    let (numbers, server) = start();
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
    numbers.now_ms.store(3_700, Ordering::Relaxed);
    let (status, _, body) = ask(&server, "GET", "/healthz");
    assert_eq!(
        (status, body.as_str()),
        (503, "worker 0 has not turned for 1.7 s\n")
    );
    assert_eq!(ask(&server, "GET", "/readyz").0, 200, "a matter of its own");
}

#[test]
fn draining_is_not_ready_but_healthy() {
    let (numbers, server) = start();
    numbers.draining.store(true, Ordering::Relaxed);
    let (status, _, body) = ask(&server, "GET", "/readyz");
    assert_eq!((status, body.as_str()), (503, "draining\n"));
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
    assert!(ask(&server, "GET", "/metrics").2.contains("fourtuple_draining 1"));
}

#[test]
fn a_port_that_is_taken_is_said_with_the_remedy() {
    let (numbers, server) = start();
    let error = StatsServer::start(server.address(), numbers).expect_err("it is taken");
    let text = error.to_string();
    assert!(
        text.contains(&server.address().to_string()) && text.contains("--stats"),
        "{text}"
    );
}

#[test]
fn an_endpoint_that_is_dropped_gives_its_port_back() {
    let (numbers, server) = start();
    let address = server.address();
    // One client holds its connection open.
    let _idle = StdStream::connect(address).unwrap();
    drop(server);
    assert!(StdStream::connect(address).is_err());
    assert!(StatsServer::start(address, numbers).is_ok());
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let (_, server) = start();
    let cases = [
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS + 1)),
        "no HTTP at all\r\n\r\n".to_owned(),
    ];
    for request in cases {
        let answer = exchange_raw(server.address(), &request);
        // A reset may overtake the refusal.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(ask(&server, "GET", "/healthz").0, 200, "it goes on");
}

#[test]
fn clients_that_hold_their_connections_do_not_keep_others_out_for_ever() {
    let (_, server) = start();
    let idle: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| StdStream::connect(server.address()).unwrap())
        .collect();
    // Served once the idle ones have used up their time for the head.
    assert_eq!(ask(&server, "GET", "/healthz").0, 200);
    drop(idle);
}
