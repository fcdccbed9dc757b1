//! A TCP proxy on a thread of its own that copies nothing:
//! `proxy IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] UPSTREAM:PORT`. Needs CAP_NET_RAW.
//!
//! A chunk that came from one connection is sent onward to the other as it is: the buffer that the NIC filled is the buffer
//! that it sends. That holds for connections of the same worker, so the one to the upstream is opened beside the client's.
//!
//! Back-pressure is one `Option`: what one side does not take now is kept, and until it is gone nothing more is received from
//! the other side, whose window closes. The end of file goes through as it comes, so each direction ends by itself; a reset,
//! or an upstream that can't be reached, resets the other side.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use fourtuple::{
    Chunk, Config, ConnectOptions, Connecting, Endpoint, EndpointLimits, Engine, Interest, Listen, Listener,
    Stream, StreamError, Token,
};

/// The listener's; those of pairs count up from the next.
const LISTENER: Token = Token(0);

struct Proxy {
    endpoint: Endpoint,
    listener: Listener,
    upstream: SocketAddr,
    pairs: HashMap<Token, Pair>,
    last: Token,
}

/// A client, and what it is joined to.
struct Pair {
    client: Stream,
    upstream: Upstream,
    there: Direction,
    back: Direction,
}

enum Upstream {
    Opening(Connecting),
    Open(Stream),
}

#[derive(Default)]
struct Direction {
    /// Received and not sent.
    held: Option<Chunk>,
    bytes: usize,
    /// The end of file went through.
    done: bool,
}

impl Direction {
    /// Sends onward until one side has no more, or the other takes no more.
    fn go_on(&mut self, from: &Stream, to: &Stream) -> Result<(), StreamError> {
        while !self.done {
            let chunk = match self.held.take() {
                Some(chunk) => Ok(Some(chunk)),
                None => from.try_recv(),
            };
            match chunk {
                Ok(Some(chunk)) => {
                    let len = chunk.len();
                    let sent = to.send_chunk(chunk, Duration::ZERO);
                    self.held = match sent {
                        Ok(()) => None,
                        Err(unsent) if unsent.why == StreamError::NotYet => Some(unsent.chunk),
                        Err(unsent) => return Err(unsent.why),
                    };
                    self.bytes += len - self.held.as_ref().map_or(0, |chunk| chunk.len());
                    if self.held.is_some() {
                        break;
                    }
                }
                Ok(None) => {
                    to.shutdown();
                    self.done = true;
                }
                Err(StreamError::NotYet) => break,
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }
}

impl Pair {
    /// Does what can be done now; `true` when both directions have ended.
    fn go_on(&mut self, token: Token) -> Result<bool, StreamError> {
        if let Upstream::Opening(connecting) = &self.upstream {
            let upstream = match connecting.try_finish() {
                Ok(upstream) => upstream,
                Err(StreamError::NotYet) => return Ok(false),
                Err(why) => return Err(why),
            };
            upstream.watch(token, Interest::BOTH);
            self.upstream = Upstream::Open(upstream);
        }
        if let Upstream::Open(upstream) = &self.upstream {
            self.there.go_on(&self.client, upstream)?;
            self.back.go_on(upstream, &self.client)?;
        }
        Ok(self.there.done && self.back.done)
    }

    fn abort(self) {
        self.client.abort();
        if let Upstream::Open(upstream) = self.upstream {
            upstream.abort();
        }
    }
}

impl Proxy {
    /// All connections on this one thread: it sleeps until something happened to some of them, and serves those.
    fn run(&mut self) -> Result<(), StreamError> {
        self.listener.watch(&self.endpoint, LISTENER);
        let mut ready = Vec::with_capacity(256);
        loop {
            self.endpoint.poll(&mut ready, Duration::MAX);
            for told in &ready {
                match told.token {
                    LISTENER => self.accept()?,
                    pair => self.go_on(pair),
                }
            }
        }
    }

    /// What happened is told once: all that are there are taken.
    fn accept(&mut self) -> Result<(), StreamError> {
        loop {
            let client = match self.listener.try_accept(&self.endpoint) {
                Ok(client) => client,
                Err(StreamError::NotYet) => return Ok(()),
                Err(why) => return Err(why),
            };
            let options = ConnectOptions::new().beside(client.id());
            let Ok(connecting) = self.endpoint.start_connect_with(self.upstream, &options) else {
                client.abort(); // As many are being opened as may be at a time.
                continue;
            };
            self.last.0 += 1;
            client.watch(self.last, Interest::BOTH);
            connecting.watch(self.last);
            let pair = Pair {
                client,
                upstream: Upstream::Opening(connecting),
                there: Direction::default(),
                back: Direction::default(),
            };
            self.pairs.insert(self.last, pair);
        }
    }

    fn go_on(&mut self, token: Token) {
        let over = match self.pairs.get_mut(&token).map(|pair| pair.go_on(token)) {
            None | Some(Ok(false)) => return,
            Some(Ok(true)) => Ok(()),
            Some(Err(why)) => Err(why),
        };
        if let Some(pair) = self.pairs.remove(&token) {
            let how = over.map_or_else(|why| why.to_string(), |()| "done".to_owned());
            let (there, back) = (pair.there.bytes, pair.back.bytes);
            let copied = self.endpoint.tx_copied_bytes();
            eprintln!(
                "{}: {how}; {there} bytes there, {back} back, {copied} copied so far",
                pair.client.peer()
            );
            if over.is_err() {
                pair.abort();
            }
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses, upstream] = &words[..] else {
        eprintln!("usage: proxy IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] UPSTREAM:PORT");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses, upstream) {
        eprintln!("proxy: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str, upstream: &str) -> Result<(), Box<dyn std::error::Error>> {
    let upstream = upstream.parse().map_err(|_| {
        format!("`{upstream}` is no address with its port: write 10.99.0.1:80 or [fd99::1]:80")
    })?;
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = Engine::builder(config)
        .listen(Listen::on(8080).for_endpoints())
        .start()?;
    let mut proxy = Proxy {
        endpoint: engine.endpoint(&EndpointLimits::default())?,
        listener: engine.listeners()[0],
        upstream,
        pairs: HashMap::new(),
        last: LISTENER,
    };
    eprintln!("listening on port 8080");
    // More threads may do the same, with an endpoint each: connections are dealt to all.
    Ok(proxy.run()?)
}
