"""Explicit congestion notification of a connection that agreed to it (RFC 3168 §6.1)."""

import segments
from judges.registry import Wrong, case

CE = 3


def open_with_ecn(t, service):
    c = t.connection(service)
    c.syn(flags="SEC")
    if not c.expect_syn_ack().has("E"):
        raise Wrong("ECN was offered, and not agreed to (SHLD-8)")
    c.send("A")
    return c


def send_marked(t, c, flags, data, codepoint):
    t.send_ip(segments.TCP, c.segment(flags, data).octets(t.address, t.theirs), tos=codepoint)
    c.nxt += len(data)


def codepoint(frame):
    return frame.ip[1] & 3 if frame.ip[0] >> 4 == 4 else frame.ip[1] >> 4 & 3


@case("RFC 3168 §6.1.3: a packet marked CE is echoed by ECE, until CWR comes")
def mark_is_echoed(t):
    c = open_with_ecn(t, "discard")
    send_marked(t, c, "PA", b"x" * 100, CE)
    if not c.expect(ack=101).has("E"):
        raise Wrong("no ECE for a packet marked CE")
    c.send("PA", b"x" * 100)
    if not c.expect(ack=201).has("E"):
        raise Wrong("ECE ends before CWR")
    c.send("PAC", b"x" * 100)
    if c.expect(ack=301).has("E"):
        raise Wrong("ECE goes on behind CWR")


@case("RFC 3168 §6.1.3: without a mark no ECE")
def no_mark_no_echo(t):
    c = open_with_ecn(t, "discard")
    send_marked(t, c, "PA", b"x" * 100, 2)
    if c.expect(ack=101).has("E"):
        raise Wrong("ECE without a mark")


@case("RFC 3168 §6.1.1, §6.1.2, §6.1.5: new text is sent capable of ECN, retransmissions and bare ACKs are not", lasts=4)
def what_is_capable_of_ecn(t):
    c = open_with_ecn(t, "echo")
    c.send("PA", b"hello")
    heard = c.expect("A", ack=6, skip=lambda one: not one.len)
    if codepoint(heard) not in (1, 2):
        raise Wrong("new text is not capable of ECN")
    again = c.expect("A", seq=1, within=3.0)
    t.trace.pop()
    if codepoint(again) != 0:
        raise Wrong("a retransmission is sent as capable of ECN")


@case("RFC 3168 §6.1.1: who did not offer ECN is sent nothing of it")
def nothing_without_an_offer(t):
    c = t.open("echo")
    send_marked(t, c, "PA", b"hello", CE)
    heard = c.expect("A", ack=6, skip=lambda one: not one.len)
    if codepoint(heard) or heard.has("E"):
        raise Wrong("ECN that was not agreed to")


@case("RFC 3168 §6.1.2: an echo of a mark is answered by CWR on new text")
def echo_is_answered(t):
    c = open_with_ecn(t, "chargen")
    flight = [heard for heard in c.gather(quiet=0.06, most=0.15) if heard.len]
    if not flight:
        raise Wrong("nothing was sent")
    c.send("AE", ack=flight[0].seq + flight[0].len)
    c.send("AE", ack=c.rcv_nxt)
    new = [heard for heard in c.gather(quiet=0.1, most=0.5) if heard.len and heard.seq >= flight[-1].seq + flight[-1].len]
    if not any(heard.has("C") for heard in new):
        raise Wrong(f"no CWR on {len(new)} new segments")
