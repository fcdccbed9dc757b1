"""Windows of both sides: what may be sent, probes, silly windows, Nagle (RFC 9293 §3.7.4, §3.8.6, RFC 1122 §4.2.3)."""

import time

from judges.registry import Wrong, case


def sent(found):
    return [heard for heard in found if heard.len]


def right_edge(found):
    return max((heard.seq + heard.len for heard in sent(found)), default=1)


@case("RFC 9293 §3.8.6: what is sent stays within the window", rows={"500": 500, "1460": 1460, "1461": 1461, "4000": 4000, "10000": 10000})
def within_the_window(t, window):
    c = t.open("chargen", window=window)
    edge = right_edge(c.gather(quiet=0.12, most=0.15))
    if edge - 1 > window:
        raise Wrong(f"{edge - 1} octets into a window of {window}")
    if edge == 1:
        raise Wrong("nothing was sent")


@case("RFC 9293 §3.8.6: a window of one octet lets one fly at most", lasts=6)
def window_of_one(t):
    c = t.open("chargen", window=1)
    found = c.gather(quiet=1.5, most=2.5)
    if right_edge(found) > 2:
        raise Wrong(f"{right_edge(found) - 1} octets into a window of 1")
    if not found:
        raise Wrong("nothing in 1.5 s: neither data nor a probe")


@case("RFC 9293 §3.8.6.1, MUST-36: a window of 0 is probed, at growing intervals (SHLD-30)", lasts=12)
def zero_window_is_probed(t):
    c = t.open("chargen", window=0, syn_window=0)
    at = []
    for _ in range(4):
        heard = c.next(4.0)
        if heard is None:
            raise Wrong(f"{len(at)} probes came")
        if heard.len > 1 or heard.seq not in (0, 1):
            raise Wrong(f"{c.line(heard)} is no probe")
        at.append(heard.at)
        c.rcv_nxt = 1
        c.ack(1, window=0)
    gaps = [two - one for one, two in zip(at, at[1:])]
    if any(two < 1.3 * one for one, two in zip(gaps, gaps[1:])):
        raise Wrong(f"probes {', '.join(f'{gap:.2f}' for gap in gaps)} s apart")
    t.trace.append("4 probes, further and further apart")


@case("RFC 9293 §3.8.6.1, MUST-37: a window that stays 0 ends nothing while probes are answered; then text flows", lasts=10)
def zero_window_then_open(t):
    c = t.open("chargen", window=0, syn_window=0)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        if c.next(0.5):
            c.rcv_nxt = 1
            c.ack(1, window=0)
    c.ack(1, window=8000)
    if len(c.read(4000)) != 4000:
        raise Wrong("nothing behind the update")


@case("RFC 9293 §3.8.6: a window update lets text go on at once")
def window_update(t):
    c = t.open("chargen", window=3000)
    c.gather(quiet=0.1, most=0.15)
    upto = c.rcv_nxt
    c.ack(upto, window=0)
    c.gather(quiet=0.05, most=0.05)
    c.ack(upto, window=6000)
    heard = c.expect("A", seq=upto)
    c.expect_at_once(heard)


@case("RFC 9293 §3.8.6, MUST-34: a window that shrinks is survived; nothing new beyond it", lasts=8)
def window_shrinks(t):
    c = t.open("chargen", window=8000)
    found = c.gather(quiet=0.1, most=0.15)
    edge = right_edge(found)
    c.ack(1 + 1460, window=1000)
    for heard in c.gather(quiet=0.1, most=0.1):
        if heard.seq >= edge and heard.len > 1:
            raise Wrong(f"{c.line(heard)} is new, beyond the window")
    c.ack(1 + 1460, window=20000)
    c.rcv_nxt = 1461
    c.read(10000)


@case("RFC 9293 §3.8.6.2.1, MUST-38: no silly segments: a window that opens by little is not filled at once", rows={"1 octet": 1, "100 octets": 100})
def silly_window_of_ours(t, step):
    c = t.open("chargen", window=4380)
    c.gather(quiet=0.1, most=0.15)
    upto = c.rcv_nxt
    c.ack(upto, window=0)
    c.gather(quiet=0.05, most=0.05)
    c.ack(upto, window=step)
    small = [heard for heard in c.gather(quiet=0.08, most=0.1) if heard.len and heard.seq >= upto]
    if small:
        raise Wrong(f"{small[0].len} octets at once into a window of {step}")


@case("RFC 9293 §3.8.6, §3.10.7.4 fifth: a window of an old segment is not believed (SND.WL1, SND.WL2)")
def old_window_is_not_believed(t):
    c = t.open("chargen", window=5000)
    c.gather(quiet=0.1, most=0.15)
    upto = c.rcv_nxt
    # SEG.SEQ below SND.WL1 and SEG.ACK below SND.UNA.
    c.ack(upto, window=3000)
    c.gather(quiet=0.05, most=0.1)
    edge = upto + 3000
    c.send("A", seq=0, ack=upto - 10, window=60000)
    found = sent(c.gather(quiet=0.1, most=0.15))
    if found and right_edge(found) > edge:
        raise Wrong(f"sent up to {right_edge(found)}, {edge} was offered")


def stuff(c, limit=3 << 20):
    """Sends to an echo that the judge does not read until its window is shut; the right edges of all windows heard."""
    edges, shift = [], c.their_shift()
    edge = 1 + c.peer.window
    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        while c.nxt < edge and c.nxt - c.acked < 60000:
            size = min(1400, edge - c.nxt)
            c.send("A", b"s" * size, window=0)
        heard = c.next(0.7)
        if heard is None:
            if c.acked < c.nxt:
                c.nxt = c.acked
            elif edge - c.nxt < 1400:
                break
            continue
        if heard.has("A") and not heard.has("R"):
            edges.append(heard.ack + (heard.window << shift))
            edge = max(edge, edges[-1])
        if c.nxt > limit:
            break
        if heard.window == 0:
            break
    return edges


@case("RFC 9293 §3.8.6, SHLD-14: the right edge of the window never moves left", lasts=30)
def our_window_never_shrinks(t):
    c = t.connection("echo")
    c.window = 0
    c.open(wscale=7)
    edges = stuff(c)
    if any(two < one for one, two in zip(edges, edges[1:])):
        raise Wrong("a right edge moved left")
    t.trace.append("no right edge moved left")


@case("RFC 9293 §3.8.6.1, §3.10.7.4: a segment into a closed window is answered with an ACK, at once", lasts=30)
def probe_of_our_closed_window(t):
    c = t.connection("echo")
    c.window = 0
    c.open(wscale=7)
    stuff(c)
    c.gather(quiet=0.4, most=1.5)
    c.nxt = c.acked
    for _ in range(2):
        c.send("A", b"p", window=0, seq=c.acked)
        heard = c.next(1.0)
        if heard is None or heard.len > 1:
            raise Wrong("the probe is not answered")
        c.expect_at_once(heard)
    t.trace.append("probes answered at once")


@case("RFC 9293 §3.8.6.2.2, MUST-39: a window that was shut opens by a full segment at least, and says so by itself", lasts=30)
def our_window_opens_again(t):
    c = t.connection("echo")
    c.window = 0
    c.open(wscale=7)
    stuff(c)
    c.gather(quiet=0.4, most=1.5)
    before = c.acked
    shift = c.their_shift()
    c.window = 60000 >> 7
    c.send("A", seq=before, window=2000)
    opened = 0
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline and not opened:
        heard = c.next(1.0)
        if heard is None:
            continue
        opened = (heard.window << shift) if heard.ack >= before else 0
        if heard.len:
            c.send("A", seq=before, ack=c.rcv_nxt, window=2000)
    if not opened:
        raise Wrong("the window stays shut")
    if opened < 1400:
        raise Wrong(f"it opened by {opened} octets")
    t.trace.append("opened by a full segment or more")


@case("RFC 9293 §3.7.4, SHLD-7: Nagle: while something is unacknowledged, small pieces wait and go together")
def nagle(t):
    c = t.open("echo")
    c.send("PA", b"a")
    first = c.expect("A", skip=lambda one: not one.len)
    if first.data != b"a":
        raise Wrong("no echo")
    for letter in (b"b", b"c", b"d"):
        c.send("PA", letter, ack=1)
        time.sleep(0.01)
    early = [heard for heard in c.gather(quiet=0.06, most=0.08) if heard.len and heard.seq > 1]
    t.trace.append(f"{len(early)} small segments at a time behind an unacknowledged one")
    c.ack(2)
    later = [heard for heard in c.gather(quiet=0.2, most=0.5) if heard.len and heard.seq > 1]
    whole = b"".join(heard.data for heard in early + later if heard.seq > 1)
    if whole[:3] != b"bcd":
        raise Wrong(f"{whole!r} was echoed")


@case("RFC 9293 §3.8.6: the window of a SYN+ACK takes at least one full segment")
def window_of_the_syn_ack(t):
    c = t.open("discard")
    if c.peer.window < 1460:
        raise Wrong(f"window {c.peer.window}")


@case("RFC 9293 §3.8.6: text that fills the window to its edge is taken, all of it", lasts=20)
def fills_the_window_to_the_edge(t):
    c = t.open("discard")
    edge = min(c.peer.window, 60000)
    while c.nxt < 1 + edge:
        c.send("A", b"x" * min(1400, 1 + edge - c.nxt))
    until = time.monotonic() + 3
    while c.acked < 1 + edge and time.monotonic() < until:
        c.next(0.3)
    if c.acked != 1 + edge:
        raise Wrong(f"acknowledged {c.acked} of {1 + edge}")
    t.trace.append("all of it")
