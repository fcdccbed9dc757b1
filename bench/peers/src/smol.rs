//! smoltcp in memory: two interfaces on one thread, joined by two queues of packets; checksums in software, no Ethernet headers,
//! no timestamps, answers compared with what was asked.
//!
//! Each end takes in all that has come, then its application acts, then it sends: `poll` would do both at once, and twice as often
//! as there is something to do. An end's `poll_egress` sends one packet a socket: for bulk it is called as long as it sends.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as Time;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::Failure;

const PORT: u16 = 7;
const REQUEST: [u8; 64] = [0x55; 64];
const BULK_BUFFER: usize = 512 << 10;
const RR_BUFFER: usize = 4 << 10;

/// One end's side of the link.
#[derive(Debug, Default)]
struct Link {
    come: VecDeque<Vec<u8>>,
    gone: VecDeque<Vec<u8>>,
    /// Buffers that are used again.
    free: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Come<'a>(Vec<u8>, &'a mut Vec<Vec<u8>>);

#[derive(Debug)]
struct Going<'a> {
    gone: &'a mut VecDeque<Vec<u8>>,
    buffer: Vec<u8>,
}

impl RxToken for Come<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, act: F) -> R {
        let result = act(&self.0);
        self.1.push(self.0);
        result
    }
}

impl TxToken for Going<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, act: F) -> R {
        self.buffer.resize(len, 0);
        let result = act(&mut self.buffer);
        self.gone.push_back(self.buffer);
        result
    }
}

impl Device for Link {
    type RxToken<'a> = Come<'a>;
    type TxToken<'a> = Going<'a>;

    fn receive(&mut self, _: Time) -> Option<(Come<'_>, Going<'_>)> {
        let packet = self.come.pop_front()?;
        let buffer = self.free.pop().unwrap_or_default();
        let going = Going {
            gone: &mut self.gone,
            buffer,
        };
        Some((Come(packet, &mut self.free), going))
    }

    fn transmit(&mut self, _: Time) -> Option<Going<'_>> {
        let buffer = self.free.pop().unwrap_or_default();
        Some(Going {
            gone: &mut self.gone,
            buffer,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        // A burst would bound the window, too (smoltcp's src/iface/packet.rs), and this link takes all there is.
        capabilities.max_burst_size = None;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

/// One end: an interface with its sockets.
struct End {
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    link: Link,
}

impl End {
    fn new(last: u8, connections: usize, room: usize) -> Self {
        let mut link = Link::default();
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link, Time::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, last), 24));
        });
        let mut sockets = SocketSet::new(Vec::with_capacity(connections));
        let handles = (0..connections).map(|_| {
            let buffer = || tcp::SocketBuffer::new(vec![0; room]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false);
            sockets.add(socket)
        });
        Self {
            handles: handles.collect(),
            interface,
            sockets,
            link,
        }
    }

    fn take_in(&mut self, now: Time) {
        let Self {
            interface,
            link,
            sockets,
            ..
        } = self;
        while interface.poll_ingress_single(now, link, sockets) != PollIngressSingleResult::None {}
    }

    /// Sends a packet a socket, or as many as there are.
    fn send(&mut self, now: Time, all: bool) {
        let Self {
            interface,
            link,
            sockets,
            ..
        } = self;
        while interface.poll_egress(now, link, sockets) == PollResult::SocketStateChanged && all {}
    }

    fn socket(&mut self, number: usize) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handles[number])
    }
}

/// Requests on so many connections, or bulk from the client to the server.
pub(crate) fn run(connections: usize, seconds: f64, bulk: bool) -> Result<Value, Failure> {
    let connections = if bulk { 1 } else { connections };
    let room = if bulk { BULK_BUFFER } else { RR_BUFFER };
    let (mut server, mut client) = (End::new(1, connections, room), End::new(2, connections, room));
    for number in 0..connections {
        let refused = |error: String| Failure::Peer(format!("smoltcp: {error}"));
        server
            .socket(number)
            .listen(PORT)
            .map_err(|error| refused(error.to_string()))?;
        let context = client.interface.context();
        let socket = client.sockets.get_mut::<tcp::Socket<'_>>(client.handles[number]);
        socket
            .connect(context, (IpAddress::v4(10, 0, 0, 1), PORT), 1024 + number as u16)
            .map_err(|error| refused(error.to_string()))?;
    }
    let started = Instant::now();
    let mut done = 0u64;
    let mut come = vec![0; connections];
    let mut asked = vec![false; connections];
    let mut measured = None;
    while measured.is_none_or(|since: Instant| since.elapsed().as_secs_f64() < seconds) {
        let now = Time::from_micros(started.elapsed().as_micros() as i64);
        server.take_in(now);
        if bulk {
            done += discard(server.socket(0));
        } else {
            (0..connections).for_each(|number| echo(server.socket(number)));
        }
        server.send(now, bulk);
        client.link.come.append(&mut server.link.gone);
        client.take_in(now);
        for number in 0..connections {
            let socket = client.socket(number);
            if bulk {
                fill(socket);
            } else {
                done += ask(socket, &mut come[number], &mut asked[number]);
            }
        }
        client.send(now, bulk);
        server.link.come.append(&mut client.link.gone);
        if measured.is_none() && (0..connections).all(|number| client.socket(number).may_send()) {
            (measured, done) = (Some(Instant::now()), 0);
        }
        if measured.is_none() && started.elapsed().as_secs_f64() > 10.0 {
            return Err(Failure::Peer(
                "smoltcp: connections were not opened within 10 s".to_owned(),
            ));
        }
    }
    let span = measured.map_or(0.0, |since| since.elapsed().as_secs_f64());
    Ok(if bulk {
        json!({ "bits_per_s": done as f64 * 8.0 / span })
    } else {
        json!({
            "operations_per_s": done as f64 / span,
            // Both ends share the core, and each does half.
            "ns_a_side": span * 1e9 / done.max(1) as f64 / 2.0,
        })
    })
}

fn echo(socket: &mut tcp::Socket<'_>) {
    if !socket.can_recv() {
        return;
    }
    let mut octets = [0; 2048];
    while let Ok(count @ 1..) = socket.recv_slice(&mut octets) {
        let _ = socket.send_slice(&octets[..count]);
    }
}

/// Takes an answer and asks again; answers that are complete.
fn ask(socket: &mut tcp::Socket<'_>, come: &mut usize, asked: &mut bool) -> u64 {
    let mut octets = [0; 2048];
    while socket.can_recv()
        && let Ok(count @ 1..) = socket.recv_slice(&mut octets)
    {
        if octets[..count].iter().all(|octet| *octet == REQUEST[0]) {
            *come += count;
        }
    }
    let answered = *asked && *come >= REQUEST.len();
    if answered {
        (*come, *asked) = (0, false);
    }
    if !*asked && socket.can_send() {
        *asked = socket.send_slice(&REQUEST).is_ok();
    }
    u64::from(answered)
}

fn fill(socket: &mut tcp::Socket<'_>) {
    while socket.can_send() && matches!(socket.send_slice(&[7; 1 << 14]), Ok(1..)) {}
}

fn discard(socket: &mut tcp::Socket<'_>) -> u64 {
    let mut octets = 0;
    while socket.can_recv()
        && let Ok(count @ 1..) = socket.recv(|slice| (slice.len(), slice.len()))
    {
        octets += count as u64;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_and_bulk_arrives() {
        for (connections, bulk, figure) in [
            (1, false, "operations_per_s"),
            (5, false, "operations_per_s"),
            (1, true, "bits_per_s"),
        ] {
            let found = run(connections, 0.05, bulk).unwrap();
            assert!(found[figure].as_f64().unwrap() > 0.0, "{found}");
        }
    }
}
