//! A front that looks at the first bytes and hands each connection to the thread of its host:
//! `front IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] HOST...`. Needs CAP_NET_RAW.
//!
//! The worker only looks (`peek`): nothing is taken, so the thread reads the request from its first byte, as if it had accepted
//! the connection itself. A connection whose head does not come within five seconds, or is too large, or names a host that
//! nobody has, never costs a thread anything. With TLS it would look for the server's name in the ClientHello instead.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fourtuple::{
    Config, Connection, Endpoint, EndpointHandle, EndpointLimits, Engine, Handler, Listen, Stream,
};

/// Most bytes of a request's head.
const MOST_HEAD: usize = 8 << 10;
/// Most header lines.
const MOST_LINES: usize = 64;
/// Longest time until the head is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// By host. It is filled before anybody listens.
type Rooms = OnceLock<HashMap<String, EndpointHandle>>;

struct Front {
    rooms: Arc<Rooms>,
}

impl Handler for Front {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        connection.set_timer(Some(PATIENCE));
    }

    fn on_readable(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        let head: Vec<u8> = connection.peek().flatten().take(MOST_HEAD).copied().collect();
        let status = match host(&head) {
            Host::Partial => return, // More of it comes here again.
            Host::Unknown => "400 Bad Request",
            Host::Named(name) => match self.rooms.get().and_then(|rooms| rooms.get(name)) {
                // It is the thread's from here on, and the timer is gone.
                Some(room) if connection.hand_off(room, 0).is_ok() => return,
                Some(_) => "503 Service Unavailable",
                None => "421 Misdirected Request",
            },
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        connection.send(answer.as_bytes());
        // A close with unread bytes would be a reset, which may overtake the answer.
        while connection.receive().is_some() {}
        connection.close();
    }

    fn on_timer(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        connection.abort();
    }
}

/// What the head of a request of HTTP/1.1 says of its host.
#[derive(Debug, PartialEq)]
enum Host<'a> {
    /// The head has not come to its end.
    Partial,
    /// Its name, without the port.
    Named(&'a str),
    /// No request, too large a one, or one that names none.
    Unknown,
}

fn host(head: &[u8]) -> Host<'_> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if head.len() < MOST_HEAD => return Host::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Host::Unknown,
    }
    let mut hosts = request
        .headers
        .iter()
        .filter(|line| line.name.eq_ignore_ascii_case("host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Host::Unknown;
    };
    match std::str::from_utf8(host.value) {
        Ok(name) => Host::Named(without_port(name.trim())),
        Err(_) => Host::Unknown,
    }
}

/// An IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.find(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// The thread of one host: its heads are whole when they come, so it waits for nobody who dawdles over one.
fn serve(endpoint: &Endpoint, name: &str) {
    while let Ok(handed) = endpoint.take_handed(Duration::MAX) {
        if let Err(why) = answer(&handed.stream, name) {
            eprintln!("{}: {why}", handed.stream.peer());
        }
    }
}

fn answer(stream: &Stream, name: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream).take(MOST_HEAD as u64).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let body = format!("{name} was asked: {request}\n");
    let len = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses, hosts @ ..] = &words[..] else {
        eprintln!("usage: front IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] HOST...");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses, hosts) {
        eprintln!("front: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str, hosts: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let rooms = Arc::new(Rooms::new());
    let engine = Engine::builder(config).start_with(|_worker| Front {
        rooms: Arc::clone(&rooms),
    })?;
    let mut handles = HashMap::new();
    for name in hosts {
        let endpoint = engine.endpoint(&EndpointLimits::default())?;
        handles.insert(name.clone(), endpoint.handle());
        let name = name.clone();
        std::thread::spawn(move || serve(&endpoint, &name));
    }
    let _ = rooms.set(handles);
    engine.listen(Listen::on(80))?;
    eprintln!("listening on port 80");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_is_found_without_its_port() {
        for (head, expected) in [
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                Host::Named("a.example"),
            ),
            (
                "GET / HTTP/1.1\r\nA: b\r\nhOST:  b.example:8080 \r\n\r\nbody",
                Host::Named("b.example"),
            ),
            (
                "GET / HTTP/1.1\r\nHost: [fd99::2]:80\r\n\r\n",
                Host::Named("[fd99::2]"),
            ),
            ("GET / HTTP/1.1\r\nHost: a.exa", Host::Partial),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Host::Unknown),
            ("GET / HTTP/1.1\r\n\r\n", Host::Unknown),
            ("GET / HTTP/1.1\r\nHost: \u{ff}\r\n\r\n", Host::Named("\u{ff}")),
            ("\x16\x03\x01\x02", Host::Unknown),
        ] {
            assert_eq!(host(head.as_bytes()), expected, "{head}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MOST_HEAD));
        assert_eq!(host(&long.as_bytes()[..MOST_HEAD]), Host::Unknown);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_is_looked_at(
            start in "(GET /|Host|[a-z]{0,9})( HTTP/1\\.1\r\n(Host: .{0,9}\r\n){0,3})?",
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut head = [start.as_bytes(), &bytes].concat();
            host(&head);
            head.resize(MOST_HEAD, b'x');
            prop_assert_ne!(host(&head), Host::Partial);
        }
    }
}
