//! What packetdrill is to the table: the only caller of its functions, and the peer on the wire.

use std::ffi::{CString, c_int, c_short};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};

use fourtuple_packetdrill::{Interface, packetdrill_interface_init};

/// The addresses of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A TCP segment without options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Judge {
    table: Interface,
    family: Family,
}

// SAFETY: packetdrill calls the table from two threads; what is behind `userdata` has a lock for it.
unsafe impl Sync for Judge {}

impl Drop for Judge {
    fn drop(&mut self) {
        // SAFETY: the last call with it.
        unsafe { (self.table.free)(self.table.userdata) }
    }
}

/// The number by which the system knows this thread.
pub(crate) fn thread_number() -> c_int {
    // SAFETY: a call without conditions.
    unsafe { libc::gettid() }
}

/// errno of the last call of this thread.
pub(crate) fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn answer(value: isize) -> Result<usize, c_int> {
    usize::try_from(value).map_err(|_| errno())
}

impl Judge {
    pub(crate) fn new(family: Family, flags: &str) -> Self {
        let flags = CString::new(flags).unwrap();
        let mut table = MaybeUninit::uninit();
        // SAFETY: a C string, and a place for the table, which the call fills.
        let table = unsafe {
            packetdrill_interface_init(flags.as_ptr(), table.as_mut_ptr());
            table.assume_init()
        };
        Self { table, family }
    }

    fn ends(&self) -> (IpAddr, IpAddr) {
        let (ours, peer) = match self.family {
            Family::V4 => ("192.168.0.2", "192.0.2.1"),
            Family::V6 => ("fd3d:fa7b:d17d::2", "2001:db8::1"),
        };
        (ours.parse().unwrap(), peer.parse().unwrap())
    }

    pub(crate) fn socket_of(&self, kind: c_int, protocol: c_int) -> Result<c_int, c_int> {
        let domain = match self.family {
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        };
        // SAFETY: the table is alive.
        let fd = unsafe { (self.table.socket)(self.table.userdata, domain, kind, protocol) };
        answer(fd as isize).map(|fd| fd as c_int)
    }

    pub(crate) fn socket(&self) -> c_int {
        self.socket_of(libc::SOCK_STREAM, libc::IPPROTO_TCP)
            .expect("a socket")
    }

    pub(crate) fn listen(&self, port: u16) -> c_int {
        let fd = self.socket();
        let address = sockaddr(SocketAddr::new(self.ends().0, port));
        // SAFETY: the address is as long as told.
        unsafe {
            let bound = (self.table.bind)(
                self.table.userdata,
                fd,
                address.as_ptr().cast(),
                address.len() as u32,
            );
            assert_eq!(bound, 0, "{}", errno());
            assert_eq!((self.table.listen)(self.table.userdata, fd, 5), 0);
        }
        fd
    }

    pub(crate) fn accept(&self, fd: c_int) -> c_int {
        let (mut address, mut len) = ([0u8; 64], 64);
        // SAFETY: room for any address.
        let fd = unsafe {
            (self.table.accept)(self.table.userdata, fd, address.as_mut_ptr().cast(), &raw mut len)
        };
        assert_eq!(
            &address[..len as usize],
            sockaddr(SocketAddr::new(self.ends().1, 40_000))
        );
        fd
    }

    pub(crate) fn connect(&self, fd: c_int, port: u16) -> Result<usize, c_int> {
        let address = sockaddr(SocketAddr::new(self.ends().1, port));
        // SAFETY: the address is as long as told.
        answer(unsafe {
            (self.table.connect)(
                self.table.userdata,
                fd,
                address.as_ptr().cast(),
                address.len() as u32,
            )
        } as isize)
    }

    pub(crate) fn read(&self, fd: c_int, len: usize) -> Result<Vec<u8>, c_int> {
        let mut bytes = vec![0; len];
        // SAFETY: the buffer is as long as told.
        let count = unsafe { (self.table.read)(self.table.userdata, fd, bytes.as_mut_ptr().cast(), len) };
        bytes.truncate(answer(count)?);
        Ok(bytes)
    }

    pub(crate) fn write(&self, fd: c_int, bytes: &[u8]) -> Result<usize, c_int> {
        // SAFETY: the buffer is as long as told.
        answer(unsafe { (self.table.write)(self.table.userdata, fd, bytes.as_ptr().cast(), bytes.len()) })
    }

    /// 0, or errno.
    pub(crate) fn close(&self, fd: c_int) -> c_int {
        // SAFETY: the table is alive.
        match unsafe { (self.table.close)(self.table.userdata, fd) } {
            0 => 0,
            _ => errno(),
        }
    }

    pub(crate) fn nonblocking(&self, fd: c_int) {
        // SAFETY: the table is alive.
        let set = unsafe { (self.table.fcntl)(self.table.userdata, fd, libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
    }

    /// The first four octets of an option.
    pub(crate) fn option(&self, fd: c_int, level: c_int, name: c_int) -> c_int {
        let (mut value, mut len) = (0 as c_int, 4);
        // SAFETY: room for an int.
        let got = unsafe {
            (self.table.getsockopt)(
                self.table.userdata,
                fd,
                level,
                name,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        assert_eq!((got, len), (0, 4), "{}", errno());
        value
    }

    pub(crate) fn set_option(&self, fd: c_int, level: c_int, name: c_int, value: c_int) {
        // SAFETY: an int, and its length.
        let set = unsafe {
            (self.table.setsockopt)(self.table.userdata, fd, level, name, (&raw const value).cast(), 4)
        };
        assert_eq!(set, 0, "{}", errno());
    }

    /// Bytes to read, bytes not acknowledged.
    pub(crate) fn queues(&self, fd: c_int) -> (c_int, c_int) {
        let mut values = [0; 2];
        for (value, request) in values.iter_mut().zip([libc::FIONREAD, libc::TIOCOUTQ]) {
            // SAFETY: both requests want room for an int.
            let got = unsafe { (self.table.ioctl)(self.table.userdata, fd, request, value) };
            assert_eq!(got, 0, "{}", errno());
        }
        values.into()
    }

    pub(crate) fn poll(&self, fd: c_int, events: c_short, timeout_ms: c_int) -> c_short {
        let mut wanted = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: one descriptor.
        let count = unsafe { (self.table.poll)(self.table.userdata, &raw mut wanted, 1, timeout_ms) };
        assert_eq!(count, c_int::from(wanted.revents != 0));
        wanted.revents
    }

    pub(crate) fn sleep(&self, micros: u32) {
        // SAFETY: the table is alive.
        let slept = unsafe { (self.table.usleep)(self.table.userdata, micros) };
        assert_eq!(slept, 0);
    }

    /// Microseconds.
    pub(crate) fn time(&self) -> i64 {
        let mut time = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        // SAFETY: room for the time.
        unsafe { (self.table.gettimeofday)(self.table.userdata, &raw mut time, std::ptr::null_mut()) };
        time.tv_sec * 1_000_000 + time.tv_usec
    }

    /// Waits, in real time, until a thread sleeps in a call: what packetdrill does before it goes on with its script.
    pub(crate) fn wait_for_sleeper(thread: c_int) {
        let asleep = || {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        };
        while !asleep() {
            std::thread::yield_now();
        }
    }

    pub(crate) fn send(&self, segment: &Segment) {
        let (ours, peer) = self.ends();
        let packet = segment.packet(peer, ours);
        // SAFETY: the packet is as long as told.
        let sent =
            unsafe { (self.table.netdev_send)(self.table.userdata, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(sent, 0);
    }

    /// The next segment and when it left; time passes until it does.
    #[track_caller]
    pub(crate) fn expect_at(&self) -> (i64, Segment) {
        self.receive().expect("a segment")
    }

    #[track_caller]
    pub(crate) fn expect(&self) -> Segment {
        self.expect_at().1
    }

    /// What else would ever be sent.
    pub(crate) fn nothing_more(&self) -> Option<(i64, Segment)> {
        self.receive()
    }

    /// Flags of all segments up to the first with RST.
    pub(crate) fn until_reset(&self) -> Vec<u8> {
        let mut flags = Vec::new();
        while let Some((_, segment)) = self.receive() {
            flags.push(segment.flags);
            if segment.flags & 4 != 0 {
                break;
            }
        }
        flags
    }

    fn receive(&self) -> Option<(i64, Segment)> {
        let (mut packet, mut len, mut at) = (vec![0u8; 4096], 4096, 0);
        // SAFETY: the buffer is as long as told.
        let got = unsafe {
            (self.table.netdev_receive)(
                self.table.userdata,
                packet.as_mut_ptr().cast(),
                &raw mut len,
                &raw mut at,
            )
        };
        assert_eq!(got, 0);
        packet.truncate(len);
        (len > 0).then(|| (at, Segment::parse(&packet)))
    }
}

impl Segment {
    fn packet(&self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.to_be_bytes());
        tcp.extend(self.to.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([5 << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.payload);
        let (from, to) = (octets(from), octets(to));
        let pseudo = [from.as_slice(), &to, &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
        let sum = checksum(&[pseudo, tcp.clone()].concat());
        tcp[16..18].copy_from_slice(&sum);
        let mut packet;
        if from.len() == 4 {
            packet = vec![0x45, 0];
            packet.extend((20 + tcp.len() as u16).to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
            packet.extend([from, to].concat());
            let sum = checksum(&packet);
            packet[10..12].copy_from_slice(&sum);
        } else {
            packet = vec![0x60, 0, 0, 0];
            packet.extend((tcp.len() as u16).to_be_bytes());
            packet.extend([6, 64]);
            packet.extend([from, to].concat());
        }
        packet.extend(tcp);
        packet
    }

    fn parse(packet: &[u8]) -> Self {
        let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
        let tcp = &packet[header..];
        let u16_at = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
        Self {
            from: u16_at(0),
            to: u16_at(2),
            seq: u32_at(4),
            ack: u32_at(8),
            flags: tcp[13],
            window: u16_at(14),
            payload: tcp[usize::from(tcp[12] >> 4) * 4..].to_vec(),
        }
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// RFC 1071.
fn checksum(octets: &[u8]) -> [u8; 2] {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn sockaddr(address: SocketAddr) -> Vec<u8> {
    let (family, ip) = match address.ip() {
        IpAddr::V4(ip) => (libc::AF_INET as u16, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6 as u16, [vec![0; 4], ip.octets().to_vec()].concat()),
    };
    let mut octets = family.to_ne_bytes().to_vec();
    octets.extend(address.port().to_be_bytes());
    octets.extend(&ip);
    octets.resize(if address.is_ipv4() { 16 } else { 28 }, 0);
    octets
}
