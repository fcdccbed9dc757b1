"""ESTABLISHED, first to fifth check of RFC 9293 §3.10.7.4 with RFC 5961: sequence number, RST, SYN, ACK."""

from judges.registry import Wrong, case

FIRST = "RFC 9293 §3.10.7.4, first"
FAR = 1 << 30


def still_there(c):
    """The connection takes text as if nothing had been."""
    start = c.acked
    c.nxt = start
    c.send("PA", b"x" * 50)
    c.expect_ack(start + 50)
    c.forget_timing()


@case(f"{FIRST}: an unacceptable segment is answered with <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>",
      rows={
          "text below": ("PA", 100, -1000),
          "text just below": ("PA", 100, -99),
          "text above": ("PA", 100, FAR),
          "ACK below": ("A", 0, -1000),
          "ACK above": ("A", 0, FAR),
          "FIN below": ("FA", 0, -10),
          "FIN above": ("FA", 0, FAR),
          "text and FIN above": ("FPA", 10, FAR),
      })  # fmt: skip
def outside_of_the_window(t, row):
    flags, octets, seq = row
    c = t.open()
    c.send(flags, b"x" * octets, seq=seq)
    c.expect_at_once(c.expect_ack(1))
    still_there(c)


@case(f"{FIRST}: sequence numbers half the circle away", rows={"2^31": 1 << 31, "2^31 - 1": (1 << 31) - 1, "2^31 + 1": (1 << 31) + 1})
def half_the_circle_away(t, seq):
    c = t.open()
    c.send("PA", b"x" * 10, seq=seq)
    c.expect_ack(1)
    still_there(c)


@case(f"{FIRST}: text that begins at the last octet of the window is taken, one octet behind is not")
def right_edge_of_the_window(t):
    c = t.open()
    still_there(c)
    edge = 51 + c.peer.window
    c.send("PA", b"x", seq=edge + 200000)
    c.expect_ack(51)


@case("RFC 9293 §3.8.4: a keep-alive segment is answered at once", rows={"without text": b"", "with an octet": b"\0"})
def keep_alive_is_answered(t, octet):
    c = t.open()
    still_there(c)
    c.send("A", octet, seq=50)
    c.expect_at_once(c.expect_ack(51))
    still_there(c)


@case("RFC 9293 §3.10.7.4, second; RFC 5961 §3.2 (1): a RST at RCV.NXT resets", rows={"RST": "R", "RST ACK": "RA"})
def reset_exactly(t, flags):
    c = t.open()
    still_there(c)
    c.send(flags)
    c.expect_nothing(0.2)
    c.send("PA", b"x" * 10)
    c.expect("R", seq=1)


@case("RFC 5961 §3.2 (2): a RST within the window but not at RCV.NXT is challenged", rows={"by 1": 1, "by 1000": 1000, "by 40000": 40000})
def reset_within_the_window(t, by):
    c = t.open()
    c.send("R", seq=1 + by)
    c.expect_ack(1)
    still_there(c)


@case("RFC 5961 §3.2 (3): a RST outside of the window is dropped", rows={"just below": 0, "below": -70000, "above": FAR, "half the circle": 1 << 31})
def reset_outside_of_the_window(t, seq):
    c = t.open()
    c.send("R", seq=seq)
    c.expect_nothing(0.3)
    still_there(c)


@case("RFC 5961 §3.2: the peer that was challenged resets exactly")
def reset_after_a_challenge(t):
    c = t.open()
    c.send("R", seq=500)
    heard = c.expect_ack(1)
    c.send("R", seq=heard.ack)
    c.nxt = 1
    c.expect_nothing(0.2)
    c.send("PA", b"gone?")
    c.expect("R")


@case("RFC 9293 §3.10.7.4, second: a RST with text resets as one without")
def reset_with_data(t):
    c = t.open()
    c.send("R", b"because", seq=1)
    c.expect_nothing(0.2)
    c.nxt = 1
    c.send("PA", b"gone?")
    c.expect("R")


@case("RFC 5961 §3.2: a RST has no need of the acknowledgment; a wrong one changes nothing")
def reset_with_a_wrong_ack(t):
    c = t.open()
    c.send("RA", ack=1 << 20)
    c.expect_nothing(0.2)
    c.send("PA", b"gone?")
    c.expect("R")


@case("RFC 9293 §3.10.7.4, fourth; RFC 5961 §4.2: a SYN is challenged, whatever its number",
      rows={"the first one": ("S", 0), "at RCV.NXT": ("S", 1), "in the window": ("S", 1000), "below": ("S", -5000), "above": ("S", FAR), "SYN ACK in the window": ("SA", 1),
            "the first one with ACK": ("SA", 0)})
def syn_is_challenged(t, row):
    flags, seq = row
    c = t.open()
    c.send(flags, seq=seq, options=c.syn_options())
    c.expect_ack(1)
    c.nxt = 1
    still_there(c)


@case("RFC 5961 §4.2: a peer that rebooted resets at the challenge's acknowledgment, and gets in")
def rebooted_peer(t):
    c = t.open()
    c.send("S", seq=123456, options=c.syn_options())
    heard = c.expect_ack(1)
    c.send("R", seq=heard.ack)
    again = t.connection("discard", source_port=c.source_port)
    again.open()
    again.send("PA", b"x" * 9)
    again.expect_ack(10)


@case("RFC 9293 §3.10.7.4, fifth: without ACK a segment is dropped", rows={"text": ("P", 10), "no flags": ("", 0), "FIN": ("F", 0), "URG": ("U", 5)})
def no_ack_bit(t, row):
    flags, octets = row
    c = t.open()
    c.send(flags, b"x" * octets)
    c.expect_nothing(0.3)
    c.nxt = 1
    still_there(c)


@case("RFC 9293 §3.10.7.4, fifth: an ACK of what was not sent is answered with an ACK, and dropped", rows={"by 1": 2, "by far": 1 << 20, "bare": -1})
def ack_of_the_unsent(t, ack):
    c = t.open()
    octets = b"" if ack == -1 else b"x" * 10
    c.send("PA", octets, ack=abs(ack) + 4)
    heard = c.expect_ack(1)
    if heard.ack != 1:
        raise Wrong("its text was taken")
    c.nxt = 1
    still_there(c)


@case("RFC 9293 §3.10.7.4, fifth: a duplicate ACK is ignored, its text taken")
def old_ack_with_text(t):
    c = t.open("echo")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")
    c.send("PA", b"again", ack=1)
    if c.read(5) != b"again":
        raise Wrong("text with an old ACK was not taken")


@case("RFC 5961 §5.2: an ACK older than SND.UNA - MAX.SND.WND is answered with an ACK, and its text dropped", rows={"text": 10, "bare": 0})
def ack_that_is_too_old(t, octets):
    c = t.open()
    c.send("PA", b"x" * octets, ack=-200000)
    c.expect_ack(1)
    c.nxt = 1
    still_there(c)


@case("RFC 5961 §7: challenge ACKs to one connection are limited", lasts=6)
def challenges_are_limited(t):
    c = t.open()
    for _ in range(300):
        c.send("S", seq=1000, options=b"")
    c.nxt = 1
    count = len([heard for heard in c.gather(quiet=0.3, most=0.6)])
    t.trace.clear()
    if not 1 <= count <= 100:
        raise Wrong(f"{count} answers to 300 SYNs in a moment")


@case("RFC 9293 §3.8.1: the same octets again are acknowledged and thrown away")
def duplicate_text(t):
    c = t.open("echo")
    c.send("PA", b"hello")
    c.read(5)
    c.send("PA", b"hello", seq=1)
    heard = c.expect("A", ack=6, len=0)
    c.expect_at_once(heard)
    c.expect_nothing(0.2, "it is echoed once")


@case("RFC 9293 §3.10.7.4, seventh: segments of another four-tuple are no part of the connection")
def other_tuple(t):
    c = t.open()
    other = t.connection("discard")
    other.iss, other.irs = c.iss, c.irs
    other.send("PA", b"x" * 10, seq=1, ack=1)
    other.expect("R", seq=1)
    still_there(c)


@case("RFC 9293 §3.4: sequence numbers pass 2^32 within the text")
def text_round_the_circle(t):
    c = t.connection("echo")
    c.iss = 0xFFFFFFFF - 3
    c.open()
    for number in range(4):
        c.send("PA", b"%04d" % number)
        if c.read(4) != b"%04d" % number:
            raise Wrong("no echo")


@case("RFC 9293 §3.10.7.4, RFC 5681 §4.2: an ACK without text is not answered")
def bare_ack_is_not_answered(t):
    c = t.open()
    still_there(c)
    for _ in range(3):
        c.send("A")
    c.expect_nothing(0.6)


@case("RFC 9293 §3.8.4, MUST-25, MUST-28: no keep-alive unless it was asked for", lasts=4)
def no_keep_alive_by_itself(t):
    c = t.open()
    still_there(c)
    c.expect_nothing(4.0)
