//! Linux's TCP under one thread each: echo server and client over level-triggered epoll, TCP_NODELAY.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use serde_json::{Value, json};

use crate::{Failure, pin};

/// What a client does.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Seconds.
    pub(crate) duration: f64,
    /// Octets of a request.
    pub(crate) size: usize,
    pub(crate) core: usize,
}

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;

/// Octets read at a time.
const ROOM: usize = 64 << 10;

/// The listener's number among the events.
const LISTENER: u64 = u64::MAX;

/// Echoes until it is killed.
pub(crate) fn serve(at: SocketAddr, core: usize) -> Result<Option<Value>, Failure> {
    pin(core);
    let listener = TcpListener::bind(at).map_err(|error| Failure::System("listen", error))?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Failure::System("listen", error))?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut room = vec![0; ROOM];
    let mut ready = Vec::with_capacity(EVENTS);
    loop {
        poll.wait(&mut ready, None)?;
        for number in ready.drain(..) {
            if number == LISTENER {
                accept_all(&listener, &poll, &mut streams)?;
            } else if let Some(place) = streams.get_mut(number as usize)
                && let Some(stream) = place
                && !echo(stream, &mut room)
            {
                *place = None;
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    poll: &Poll,
    streams: &mut Vec<Option<TcpStream>>,
) -> Result<(), Failure> {
    while let Ok((stream, _)) = listener.accept() {
        let ready = stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true));
        ready.map_err(|error| Failure::System("accept", error))?;
        let place = streams.iter().position(Option::is_none).unwrap_or(streams.len());
        poll.add(&stream, place as u64)?;
        if place == streams.len() {
            streams.push(Some(stream));
        } else {
            streams[place] = Some(stream);
        }
    }
    Ok(())
}

/// Sends back what has come; `false` when the connection is over.
fn echo(stream: &mut TcpStream, room: &mut [u8]) -> bool {
    match stream.read(room) {
        Ok(0) => false,
        Ok(count) => stream.write_all(&room[..count]).is_ok(),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// One request at a time on each of several connections.
pub(crate) fn ask(at: SocketAddr, load: &Load) -> Result<Value, Failure> {
    pin(load.core);
    let poll = Poll::new()?;
    let request = vec![0x55; load.size];
    let mut streams = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        let stream = TcpStream::connect(at).map_err(|error| Failure::System("connect", error))?;
        let ready = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_nonblocking(true));
        ready.map_err(|error| Failure::System("connect", error))?;
        poll.add(&stream, number as u64)?;
        streams.push((stream, 0, Instant::now()));
    }
    let send = |stream: &mut TcpStream| {
        stream
            .write_all(&request)
            .map_err(|error| Failure::System("send", error))
    };
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(load.duration);
    for (stream, _, sent) in &mut streams {
        *sent = Instant::now();
        send(stream)?;
    }
    let mut latency = histogram();
    let mut room = vec![0; ROOM];
    let mut ready = Vec::with_capacity(EVENTS);
    while Instant::now() < end {
        poll.wait(
            &mut ready,
            Some(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            }),
        )?;
        for number in ready.drain(..) {
            let Some((stream, come, sent)) = streams.get_mut(number as usize) else {
                continue;
            };
            match stream.read(&mut room) {
                Ok(0) => return Err(Failure::Peer("the server closed".to_owned())),
                Ok(count) => *come += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(Failure::System("receive", error)),
            }
            if *come >= load.size {
                let now = Instant::now();
                latency.saturating_record((now - *sent).as_nanos() as u64);
                (*come, *sent) = (0, now);
                send(stream)?;
            }
        }
    }
    Ok(result(&latency, started.elapsed()))
}

/// Connect, one exchange, close; one after the other.
pub(crate) fn connect_each(at: SocketAddr, load: &Load) -> Result<Value, Failure> {
    pin(load.core);
    let request = vec![0x55; load.size];
    let mut answer = vec![0; load.size];
    let mut latency = histogram();
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(load.duration);
    while Instant::now() < end {
        let begun = Instant::now();
        let mut exchange = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(at)?;
            stream.set_nodelay(true)?;
            stream.write_all(&request)?;
            stream.read_exact(&mut answer)
        };
        exchange().map_err(|error| Failure::System("connect, ask, close", error))?;
        latency.saturating_record(begun.elapsed().as_nanos() as u64);
    }
    Ok(result(&latency, started.elapsed()))
}

fn histogram() -> Histogram<u64> {
    // Up to ten seconds with three digits: both are within the bounds of the crate.
    Histogram::new_with_bounds(1, 10_000_000_000, 3).unwrap_or_else(|_| unreachable!())
}

fn result(latency: &Histogram<u64>, span: Duration) -> Value {
    json!({
        "operations": latency.len(),
        "operations_per_s": latency.len() as f64 / span.as_secs_f64(),
        "latency_ns": {
            "p50": latency.value_at_quantile(0.5),
            "p90": latency.value_at_quantile(0.9),
            "p99": latency.value_at_quantile(0.99),
            "p99.9": latency.value_at_quantile(0.999),
            "max": latency.max(),
        },
    })
}

struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    fn new() -> Result<Self, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        let epoll = epoll.map_err(|error| Failure::System("epoll", error.into()))?;
        Ok(Self { epoll })
    }

    fn add(&self, what: impl AsFd, number: u64) -> Result<(), Failure> {
        epoll::add(
            &self.epoll,
            what,
            epoll::EventData::new_u64(number),
            epoll::EventFlags::IN,
        )
        .map_err(|error| Failure::System("epoll", error.into()))
    }

    /// The numbers of those that can be read.
    fn wait(&self, ready: &mut Vec<u64>, most: Option<Timespec>) -> Result<(), Failure> {
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            most.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::System("epoll", error.into())),
        }
        ready.extend(events.iter().map(|event: &epoll::Event| {
            let data = event.data;
            data.u64()
        }));
        Ok(())
    }
}
