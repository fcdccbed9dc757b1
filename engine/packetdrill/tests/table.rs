//! The table of functions, used as packetdrill uses it: system calls and packets on virtual time.

mod judge;

use std::ffi::c_int;
use std::sync::mpsc;

use judge::{Family, Judge, Segment};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const RST: u8 = 0x04;
const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A segment of the peer's to port 8080.
fn segment(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Segment {
    Segment {
        from: 40_000,
        to: 8080,
        seq,
        ack,
        flags,
        window: 32_000,
        payload: payload.to_vec(),
    }
}

/// A connection that was accepted: its descriptor and our initial sequence number; the peer's was 0.
#[track_caller]
fn accepted(judge: &Judge) -> (c_int, u32) {
    let listener = judge.listen(8080);
    judge.send(&segment(SYN, 0, 0, b""));
    let answer = judge.expect();
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, 1));
    judge.send(&segment(ACK, 1, answer.seq.wrapping_add(1), b""));
    let fd = judge.accept(listener);
    assert!(fd >= 0, "accept: {}", judge::errno());
    (fd, answer.seq)
}

#[test]
fn a_connection_opens_moves_bytes_and_closes() {
    for family in FAMILIES {
        // As much as a SYN can offer: else reading would owe the peer the rest of the window.
        let judge = Judge::new(family, "receive_buffer=65535");
        let (fd, isn) = accepted(&judge);

        judge.send(&segment(ACK | PSH, 1, isn.wrapping_add(1), b"question"));
        assert_eq!(judge.queues(fd), (8, 0));
        assert_eq!(judge.read(fd, 100), Ok(b"question".to_vec()));
        assert_eq!(judge.write(fd, b"answer"), Ok(6));
        let answer = judge.expect();
        assert_eq!((answer.payload.as_slice(), answer.ack), (&b"answer"[..], 9));
        assert_eq!(judge.queues(fd), (0, 6));
        judge.send(&segment(ACK, 9, isn.wrapping_add(7), b""));
        assert_eq!(judge.queues(fd), (0, 0));

        judge.send(&segment(FIN | ACK, 9, isn.wrapping_add(7), b""));
        assert_eq!(judge.expect().ack, 10);
        assert_eq!(judge.read(fd, 100), Ok(vec![]));
        assert_eq!(judge.close(fd), 0);
        let fin = judge.expect();
        assert_eq!((fin.flags & FIN, fin.seq), (FIN, isn.wrapping_add(7)));
        judge.send(&segment(ACK, 10, isn.wrapping_add(8), b""));
        assert_eq!(judge.nothing_more(), None);
    }
}

#[test]
fn a_reset_is_told_once() {
    for family in FAMILIES {
        let judge = Judge::new(family, "");
        let (fd, isn) = accepted(&judge);
        judge.nonblocking(fd);
        assert_eq!(judge.read(fd, 1), Err(libc::EAGAIN));
        judge.send(&segment(RST | ACK, 1, isn.wrapping_add(1), b""));
        assert_eq!(judge.read(fd, 1), Err(libc::ECONNRESET));
        assert_eq!(judge.read(fd, 1), Ok(vec![]));
        assert_eq!(judge.write(fd, b"x"), Err(libc::EPIPE));
    }
}

// proves: RFC 9293 SHLD-3, as far as a stranger can see it
#[test]
fn closing_upon_unread_bytes_resets() {
    let judge = Judge::new(Family::V4, "");
    let (fd, isn) = accepted(&judge);
    judge.send(&segment(ACK | PSH, 1, isn.wrapping_add(1), b"unread"));
    assert_eq!(judge.read(fd, 2), Ok(b"un".to_vec()));
    judge.close(fd);
    let flags: Vec<u8> = judge.until_reset();
    assert_eq!(flags.last().copied().unwrap_or(0) & RST, RST, "{flags:?}");
}

#[test]
fn a_segment_keeps_its_place_in_the_window_until_it_is_read_to_its_end() {
    let judge = Judge::new(Family::V4, "receive_buffer=65535");
    let (fd, isn) = accepted(&judge);
    let window = || {
        // An old segment is answered with where we stand.
        judge.send(&segment(ACK, 0, isn.wrapping_add(1), b"x"));
        judge.expect().window
    };
    judge.send(&segment(ACK | PSH, 1, isn.wrapping_add(1), &[7; 1400]));
    for (read, expected) in [(0, 64_135), (1, 64_135), (1_398, 64_135), (1, 65_535)] {
        if read > 0 {
            assert_eq!(judge.read(fd, read).map(|bytes| bytes.len()), Ok(read));
        }
        assert_eq!(window(), expected, "after reading {read}");
    }
}

#[test]
fn retransmissions_back_off_in_virtual_time() {
    let judge = Judge::new(Family::V4, "min_rto_ms=200");
    let (fd, _) = accepted(&judge);
    let began = judge.time();
    assert_eq!(judge.write(fd, b"lost"), Ok(4));
    let times: Vec<i64> = (0..4).map(|_| judge.expect_at().0).collect();
    assert!(times[0] - began < 1_000, "at once");
    let waits: Vec<i64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000).collect();
    assert!(waits[0] >= 200, "{waits:?}");
    // RFC 6298 §5.5: doubled each time; timers have a resolution of a millisecond.
    assert!(
        (waits[1] - 2 * waits[0]).abs() <= 2 && (waits[2] - 2 * waits[1]).abs() <= 2,
        "{waits:?}"
    );
}

#[test]
fn a_connect_that_does_not_block_is_told_by_poll_and_so_error() {
    for family in FAMILIES {
        let judge = Judge::new(family, "");
        let fd = judge.socket();
        judge.nonblocking(fd);
        assert_eq!(judge.connect(fd, 8080), Err(libc::EINPROGRESS));
        assert_eq!(judge.connect(fd, 8080), Err(libc::EALREADY));
        let syn = judge.expect();
        assert_eq!(syn.flags, SYN);
        assert_eq!(judge.poll(fd, libc::POLLOUT, 10), 0);
        judge.send(&Segment {
            from: 8080,
            to: syn.from,
            ..segment(SYN | ACK, 700, syn.seq.wrapping_add(1), b"")
        });
        assert_eq!(judge.poll(fd, libc::POLLOUT, 0), libc::POLLOUT);
        assert_eq!(judge.option(fd, libc::SOL_SOCKET, libc::SO_ERROR), 0);
        let ack = judge.expect();
        assert_eq!((ack.flags, ack.ack), (ACK, 701));
        // TCP_INFO begins with the state: Linux's 1 is ESTABLISHED.
        assert_eq!(judge.option(fd, libc::IPPROTO_TCP, libc::TCP_INFO) & 0xff, 1);
    }
}

#[test]
fn a_connect_is_refused_or_gives_up() {
    let judge = Judge::new(Family::V4, "connect_timeout_ms=10000");
    let fd = judge.socket();
    judge.nonblocking(fd);
    assert_eq!(judge.connect(fd, 8080), Err(libc::EINPROGRESS));
    let syn = judge.expect();
    let refusal = segment(RST | ACK, 0, syn.seq.wrapping_add(1), b"");
    judge.send(&Segment {
        from: 8080,
        to: syn.from,
        ..refusal
    });
    assert_eq!(
        judge.option(fd, libc::SOL_SOCKET, libc::SO_ERROR),
        libc::ECONNREFUSED
    );

    assert_eq!(judge.connect(fd, 8080), Err(libc::EINPROGRESS));
    judge.sleep(11_000_000);
    assert_eq!(
        judge.option(fd, libc::SOL_SOCKET, libc::SO_ERROR),
        libc::ETIMEDOUT
    );
}

#[test]
fn a_blocked_call_returns_at_its_own_time() {
    let judge = Judge::new(Family::V6, "");
    let listener = judge.listen(8080);
    let (fd, at) = std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let judge = &judge;
        let blocked = scope.spawn(move || {
            tell.send(judge::thread_number()).expect("somebody listens");
            (judge.accept(listener), judge.time())
        });
        Judge::wait_for_sleeper(told.recv().expect("a thread"));
        judge.send(&segment(SYN, 0, 0, b""));
        let answer = judge.expect();
        judge.send(&segment(ACK, 1, answer.seq.wrapping_add(1), b""));
        let at = judge.time();
        // Time goes on meanwhile; the call returned before.
        judge.sleep(1_000_000);
        let (fd, returned) = blocked.join().expect("no panic");
        (fd, at - returned)
    });
    assert!(fd >= 0);
    assert!(
        (0..100).contains(&at),
        "{at} us between the last ACK and the return of accept"
    );
}

#[test]
fn options_of_the_socket_are_those_of_its_connections() {
    let judge = Judge::new(Family::V4, "nodelay=on");
    let (fd, _) = accepted(&judge);
    assert_eq!(judge.option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), 1);
    judge.set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 0);
    assert_eq!(judge.option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), 0);
    // RFC 9293 §3.7.4: the second small segment waits for the ACK of the first.
    assert_eq!(judge.write(fd, b"one"), Ok(3));
    assert_eq!(judge.write(fd, b"two"), Ok(3));
    assert_eq!(judge.expect().payload, b"one");
    let (at, again) = judge.expect_at();
    assert_eq!(again.payload, b"one", "a retransmission at {at}");
}

// RFC 9293 §3.10.7.1
#[test]
fn what_belongs_to_nobody_is_reset() {
    for family in FAMILIES {
        let judge = Judge::new(family, "");
        judge.send(&segment(ACK, 17, 34, b"lost"));
        let reset = judge.expect();
        assert_eq!((reset.flags, reset.seq), (RST, 34));
        judge.send(&segment(SYN, 17, 0, b""));
        let reset = judge.expect();
        assert_eq!((reset.flags, reset.seq, reset.ack), (RST | ACK, 0, 18));
    }
}

#[test]
fn what_is_not_offered_says_so() {
    let judge = Judge::new(Family::V4, "");
    assert_eq!(judge.socket_of(libc::SOCK_DGRAM, 0), Err(libc::EPROTONOSUPPORT));
    assert_eq!(judge.read(9999, 1), Err(libc::EBADF));
    let fd = judge.socket();
    assert_eq!(judge.read(fd, 1), Err(libc::ENOTCONN));
    assert_eq!(judge.close(fd), 0);
    assert_eq!(judge.close(fd), libc::EBADF);
}
