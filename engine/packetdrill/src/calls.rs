//! The functions of the table: pointers and errno outside, slices and `Result` inside.
//!
//! packetdrill promises what the C library's callers promise: pointers are valid for the lengths beside them. Every function is
//! given the `userdata` that [`packetdrill_interface_init`] made, until `free`.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_short, c_uint, c_ulong, c_void};
use std::slice;
use std::time::Duration;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval,
};

use crate::addresses;
use crate::flags;
use crate::interface::{Interface, Userdata};
use crate::stack::{Answer, Stack};

/// Makes a TCP after `flags` (`--so_flags`, or null) and fills in the table by which it is used.
///
/// Flags that can't be understood end the process with 2 after one line: packetdrill has no way to be told.
///
/// # Safety
/// `flags` is null or a C string; `interface` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: not null, so a C string by this function's contract.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let made =
        flags::parse(&flags).and_then(|options| Stack::new(options).map_err(|error| error.to_string()));
    let stack = made.unwrap_or_else(|problem| {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "error: --so_flags: {problem}");
        std::process::exit(2)
    });
    let table = Interface {
        userdata: Box::into_raw(Box::new(stack)).cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: writable by this function's contract.
    unsafe { interface.write(table) };
}

unsafe extern "C" fn free(userdata: Userdata) {
    // SAFETY: it came from `Box::into_raw` above, and packetdrill frees it once, after all other calls.
    drop(unsafe { Box::from_raw(userdata.cast::<Stack>()) });
}

unsafe extern "C" fn socket(userdata: Userdata, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the module's promise.
    number(unsafe { stack(userdata) }.socket(domain, kind, protocol))
}

unsafe extern "C" fn bind(userdata: Userdata, fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the module's promise.
    let (stack, octets) = unsafe { (stack(userdata), octets(address.cast(), len as usize)) };
    done(addresses::decode(octets).and_then(|address| stack.bind(fd, address)))
}

unsafe extern "C" fn listen(userdata: Userdata, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the module's promise.
    done(unsafe { stack(userdata) }.listen(fd, backlog))
}

unsafe extern "C" fn accept(
    userdata: Userdata,
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the module's promise.
    let accepted = unsafe { stack(userdata) }.accept(fd);
    number(accepted.map(|(fd, peer, v6)| {
        // SAFETY: the module's promise.
        unsafe { give(&addresses::encode(peer, v6), address.cast(), len) };
        fd
    }))
}

unsafe extern "C" fn connect(
    userdata: Userdata,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the module's promise.
    let (stack, octets) = unsafe { (stack(userdata), octets(address.cast(), len as usize)) };
    done(addresses::decode(octets).and_then(|peer| stack.connect(fd, peer)))
}

unsafe extern "C" fn read(userdata: Userdata, fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: the module's promise.
    unsafe { recv(userdata, fd, buffer, count, 0) }
}

unsafe extern "C" fn readv(userdata: Userdata, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    unsafe { scatter(userdata, fd, iov, count as usize, 0) }
}

unsafe extern "C" fn recv(
    userdata: Userdata,
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let whole = iovec {
        iov_base: buffer,
        iov_len: len,
    };
    // SAFETY: the module's promise, and one place.
    unsafe { scatter(userdata, fd, &raw const whole, 1, flags) }
}

unsafe extern "C" fn recvfrom(
    userdata: Userdata,
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
    _address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    if !address_len.is_null() {
        // SAFETY: not null, so writable by the module's promise. A stream names no sender.
        unsafe { address_len.write(0) };
    }
    // SAFETY: the module's promise.
    unsafe { recv(userdata, fd, buffer, len, flags) }
}

unsafe extern "C" fn recvmsg(userdata: Userdata, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    let message = unsafe { &mut *message };
    message.msg_namelen = 0;
    message.msg_controllen = 0;
    message.msg_flags = 0;
    // SAFETY: the module's promise.
    unsafe { scatter(userdata, fd, message.msg_iov, message.msg_iovlen, flags) }
}

unsafe extern "C" fn write(userdata: Userdata, fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the module's promise.
    unsafe { send(userdata, fd, buffer, count, 0) }
}

unsafe extern "C" fn writev(userdata: Userdata, fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    unsafe { gather(userdata, fd, iov, count as usize, 0) }
}

unsafe extern "C" fn send(
    userdata: Userdata,
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the module's promise.
    let (stack, bytes) = unsafe { (stack(userdata), octets(buffer.cast(), len)) };
    count(stack.write(fd, bytes, flags))
}

unsafe extern "C" fn sendto(
    userdata: Userdata,
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
    _address: *const sockaddr,
    _address_len: socklen_t,
) -> ssize_t {
    // SAFETY: the module's promise. A stream takes no notice of the address.
    unsafe { send(userdata, fd, buffer, len, flags) }
}

unsafe extern "C" fn sendmsg(userdata: Userdata, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    let message = unsafe { &*message };
    // SAFETY: the module's promise.
    unsafe { gather(userdata, fd, message.msg_iov, message.msg_iovlen, flags) }
}

unsafe extern "C" fn fcntl(userdata: Userdata, fd: c_int, command: c_int, argument: c_int) -> c_int {
    // SAFETY: the module's promise.
    let stack = unsafe { stack(userdata) };
    number(stack.now(|state| {
        let socket = state.at(fd)?;
        match command {
            libc::F_GETFL if socket.nonblocking => Ok(libc::O_RDWR | libc::O_NONBLOCK),
            libc::F_GETFL => Ok(libc::O_RDWR),
            libc::F_SETFL => {
                socket.nonblocking = argument & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            _ => Err(libc::EINVAL),
        }
    }))
}

unsafe extern "C" fn ioctl(userdata: Userdata, fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    // SAFETY: the module's promise.
    let stack = unsafe { stack(userdata) };
    let queues = stack.queues(fd);
    let value = match request {
        libc::FIONREAD => queues.map(|(unread, _)| unread),
        libc::TIOCOUTQ => queues.map(|(_, unacknowledged)| unacknowledged),
        _ => Err(libc::EINVAL),
    };
    done(value.map(|value| {
        // SAFETY: both requests come with a place for an int.
        unsafe { argument.write(c_int::try_from(value).unwrap_or(c_int::MAX)) };
    }))
}

unsafe extern "C" fn close(userdata: Userdata, fd: c_int) -> c_int {
    // SAFETY: the module's promise.
    let closed = unsafe { stack(userdata) }.close(fd);
    // A number that was no socket of ours is not ours to close.
    if closed != Err(libc::EBADF) {
        // SAFETY: the descriptor was opened for this socket, which is no more.
        unsafe { libc::close(fd) };
    }
    done(closed)
}

unsafe extern "C" fn shutdown(userdata: Userdata, fd: c_int, how: c_int) -> c_int {
    // SAFETY: the module's promise.
    done(unsafe { stack(userdata) }.shutdown(fd, how))
}

unsafe extern "C" fn getsockopt(
    userdata: Userdata,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the module's promise.
    let found = unsafe { stack(userdata) }.option(fd, level, name);
    done(found.map(|found| {
        // SAFETY: the module's promise.
        unsafe {
            let fits = found.len().min(*len as usize);
            give(&found[..fits], value.cast(), len);
        }
    }))
}

unsafe extern "C" fn setsockopt(
    userdata: Userdata,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: the module's promise.
    let (stack, value) = unsafe { (stack(userdata), octets(value.cast(), len as usize)) };
    done(stack.set_option(fd, level, name, value))
}

unsafe extern "C" fn poll(userdata: Userdata, fds: *mut pollfd, number: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the module's promise.
    let (stack, fds) = unsafe {
        let fds = match number {
            0 => &mut [],
            number => slice::from_raw_parts_mut(fds, number as usize),
        };
        (stack(userdata), fds)
    };
    let wanted: Vec<(c_int, c_short)> = fds.iter().map(|fd| (fd.fd, fd.events)).collect();
    self::number(stack.poll(&wanted, timeout).map(|ready| {
        for (fd, events) in fds.iter_mut().zip(&ready) {
            fd.revents = *events;
        }
        ready.iter().filter(|events| **events != 0).count() as c_int
    }))
}

unsafe extern "C" fn netdev_send(userdata: Userdata, packet: *const c_void, count: size_t) -> c_int {
    // SAFETY: the module's promise.
    let (stack, packet) = unsafe { (stack(userdata), octets(packet.cast(), count)) };
    done(stack.inject(packet))
}

unsafe extern "C" fn netdev_receive(
    userdata: Userdata,
    buffer: *mut c_void,
    count: *mut size_t,
    time_usecs: *mut c_longlong,
) -> c_int {
    // SAFETY: the module's promise.
    let sent = unsafe { stack(userdata) }.sent();
    // One octet that starts no IP packet says that there is none, also to who takes no notice of the count.
    let (len, at, packet) = sent.map_or((0, 0, vec![0]), |(at, packet)| {
        (packet.len(), EPOCH_US + at.as_micros(), packet)
    });
    // SAFETY: the module's promise; `count` is how many octets fit.
    unsafe {
        let fits = packet.len().min(*count);
        buffer
            .cast::<u8>()
            .copy_from_nonoverlapping(packet.as_ptr(), fits);
        count.write(len.min(fits));
        time_usecs.write(at as c_longlong);
    }
    0
}

unsafe extern "C" fn usleep(userdata: Userdata, micros: c_uint) -> c_int {
    // SAFETY: the module's promise.
    unsafe { stack(userdata) }.pass(Duration::from_micros(u64::from(micros)));
    0
}

unsafe extern "C" fn gettimeofday(userdata: Userdata, time: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: the module's promise.
    let now = EPOCH_US + unsafe { stack(userdata) }.time().as_micros();
    let value = timeval {
        tv_sec: (now / 1_000_000) as libc::time_t,
        tv_usec: (now % 1_000_000) as libc::suseconds_t,
    };
    // SAFETY: the module's promise.
    unsafe { time.write(value) };
    0
}

unsafe extern "C" fn epoll_create(_: Userdata, _: c_int) -> c_int {
    number(Err(libc::ENOSYS))
}

unsafe extern "C" fn epoll_ctl(_: Userdata, _: c_int, _: c_int, _: c_int, _: *mut epoll_event) -> c_int {
    number(Err(libc::ENOSYS))
}

unsafe extern "C" fn epoll_wait(_: Userdata, _: c_int, _: *mut epoll_event, _: c_int, _: c_int) -> c_int {
    number(Err(libc::ENOSYS))
}

unsafe extern "C" fn pipe(_: Userdata, _: *mut c_int) -> c_int {
    number(Err(libc::ENOSYS))
}

unsafe extern "C" fn splice(
    _: Userdata,
    _: c_int,
    _: *mut loff_t,
    _: c_int,
    _: *mut loff_t,
    _: size_t,
    _: c_uint,
) -> ssize_t {
    count(Err(libc::ENOSYS))
}

/// # Safety
/// `userdata` is of [`packetdrill_interface_init`] and not freed.
unsafe fn stack<'a>(userdata: Userdata) -> &'a Stack {
    // SAFETY: this function's contract; a `Stack` is shared between packetdrill's threads, which its lock is for.
    unsafe { &*userdata.cast::<Stack>() }
}

/// # Safety
/// `len` octets can be read at `pointer`, for as long as the call lasts.
unsafe fn octets<'a>(pointer: *const u8, len: usize) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: this function's contract.
    unsafe { slice::from_raw_parts(pointer, len) }
}

/// As much of `octets` as fits, and how many there are.
///
/// # Safety
/// Each pointer is null or writable, `to` for `*len` octets.
unsafe fn give(octets: &[u8], to: *mut u8, len: *mut socklen_t) {
    if to.is_null() || len.is_null() {
        return;
    }
    // SAFETY: this function's contract.
    unsafe {
        let fits = octets.len().min(*len as usize);
        to.copy_from_nonoverlapping(octets.as_ptr(), fits);
        len.write(octets.len() as socklen_t);
    }
}

/// Reads into several places.
///
/// # Safety
/// The module's promise.
unsafe fn scatter(userdata: Userdata, fd: c_int, iov: *const iovec, places: usize, flags: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    let (stack, places) = unsafe { (stack(userdata), slice::from_raw_parts(iov, places)) };
    let mut bytes = vec![0; places.iter().map(|place| place.iov_len).sum()];
    count(stack.read(fd, &mut bytes, flags).inspect(|&count| {
        let mut rest = &bytes[..count];
        for place in places {
            let (now, later) = rest.split_at(rest.len().min(place.iov_len));
            rest = later;
            // SAFETY: the module's promise: each place holds `iov_len` octets.
            unsafe {
                place
                    .iov_base
                    .cast::<u8>()
                    .copy_from_nonoverlapping(now.as_ptr(), now.len());
            }
        }
    }))
}

/// Writes from several places.
///
/// # Safety
/// The module's promise.
unsafe fn gather(userdata: Userdata, fd: c_int, iov: *const iovec, places: usize, flags: c_int) -> ssize_t {
    // SAFETY: the module's promise.
    let (stack, places) = unsafe { (stack(userdata), slice::from_raw_parts(iov, places)) };
    let mut bytes = Vec::new();
    for place in places {
        // SAFETY: the module's promise: each place holds `iov_len` octets.
        bytes.extend_from_slice(unsafe { octets(place.iov_base.cast(), place.iov_len) });
    }
    count(stack.write(fd, &bytes, flags))
}

fn number(answer: Answer<c_int>) -> c_int {
    answer.unwrap_or_else(|errno| {
        // SAFETY: the C library's own place for this thread's errno.
        unsafe { libc::__errno_location().write(errno) };
        -1
    })
}

fn done(answer: Answer<()>) -> c_int {
    number(answer.map(|()| 0))
}

fn count(answer: Answer<usize>) -> ssize_t {
    match answer {
        Ok(count) => count as ssize_t,
        Err(errno) => number(Err(errno)) as ssize_t,
    }
}

/// The clock starts in 2001, for programs that take zero for no time at all.
const EPOCH_US: u64 = 1_000_000_000_000_000;
