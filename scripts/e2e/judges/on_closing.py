"""The end of a connection, whoever begins it (RFC 9293 §3.6, §3.10.7.4 eighth); daytime closes by itself, the others follow the peer."""

from judges.registry import Wrong, case

EIGHTH = "RFC 9293 §3.10.7.4, eighth"


def expect_fin(c, within=2.0, answer=False):
    """Whatever comes up to the FIN, each octet in order; the FIN's segment."""
    start = c.rcv_nxt
    while True:
        heard = c.next(within)
        if heard is None:
            raise Wrong("no FIN")
        if heard.has("R"):
            raise Wrong(f"{c.line(heard)} in place of a FIN")
        if answer and heard.len:
            c.ack()
        if heard.has("F") and heard.seq + heard.len + 1 >= start:
            c.tester.trace.append(f"FIN {c.tester.timing(heard)}")
            return heard


def closed_by_peer(t, service="discard"):
    """The peer's FIN, and the TCP's; it waits in LAST_ACK."""
    c = t.open(service)
    c.send("FA")
    fin = expect_fin(c)
    if c.acked != 2:
        raise Wrong("our FIN is not acknowledged")
    return c, fin


def closed_by_server(t, **offered):
    """daytime's line and FIN have come; it waits in FIN_WAIT_1."""
    c = t.connection("daytime")
    c.open(**offered)
    fin = expect_fin(c)
    if not 10 < c.rcv_nxt < 200:
        raise Wrong(f"daytime said {c.rcv_nxt - 2} octets")
    return c, fin


@case(f"{EIGHTH}: a FIN is acknowledged, and the other one follows when the application closes", rows={"discard": "discard", "echo": "echo"})
def fin_is_acknowledged(t, service):
    c, _ = closed_by_peer(t, service)
    c.ack()
    c.expect_nothing(0.4, "the connection is closed")


@case("RFC 9293 §3.10.7.4, fifth, LAST-ACK: after the last ACK nothing is left: a RST answers")
def last_ack_ends_it(t):
    c, _ = closed_by_peer(t)
    c.ack()
    c.send("A")
    c.expect("R", seq=2)


@case("RFC 9293 §3.6: text before the FIN is echoed, then comes the other FIN")
def nothing_is_lost_by_a_close(t):
    c = t.open("echo", window=60000)
    for number in range(10):
        c.send("PA", b"%04d" % number * 100)
    c.send("FA")
    whole = c.read(4000)
    if whole != b"".join(b"%04d" % number * 100 for number in range(10)):
        raise Wrong("other octets")
    c.gather(quiet=0.2, most=0.5)
    if c.rcv_nxt != 4002:
        raise Wrong("no FIN behind the last octet")


@case("RFC 9293 §3.6, half-close: text goes on to a peer that has said FIN", lasts=8)
def text_after_the_peers_fin(t):
    c = t.open("echo", window=2000)
    for number in range(5):
        c.send("A", bytes((65 + number,)) * 1000)
    c.send("FA")
    whole = c.read(5000)
    if whole != b"".join(bytes((65 + number,)) * 1000 for number in range(5)):
        raise Wrong("other octets")


@case(f"{EIGHTH}: a FIN that comes again is acknowledged again", rows={"in LAST_ACK": False, "bare": True})
def fin_again(t, bare):
    c, _ = closed_by_peer(t)
    c.send("FA", seq=1, ack=1)
    heard = c.expect(ack=2, within=0.6)
    if heard.has("R"):
        raise Wrong("a RST")


@case("RFC 9293 §3.8.1: our FIN is retransmitted until it is acknowledged", lasts=8)
def our_fin_is_retransmitted(t):
    c, fin = closed_by_peer(t)
    seq = fin.seq + fin.len
    for _ in range(2):
        heard = c.next(3.0)
        while heard is not None and not heard.has("F"):
            heard = c.next(3.0)
        if heard is None:
            raise Wrong("no FIN again")
        if heard.seq + heard.len != seq:
            raise Wrong(f"{c.line(heard)}, not seq {seq}")
    c.ack()


@case(f"{EIGHTH}: a FIN with text takes a number behind the text")
def fin_with_text(t):
    c = t.open("echo")
    c.send("FPA", b"bye")
    if c.read(3) != b"bye":
        raise Wrong("no echo")
    c.gather(quiet=0.2, most=0.5)
    if c.acked != 5:
        raise Wrong(f"acknowledged {c.acked} of 5")


@case("RFC 9293 §3.10.7.4, seventh: text behind a FIN is no text", rows={"at RCV.NXT": 2, "over the FIN": 1})
def text_behind_the_fin(t, seq):
    c = t.open("echo", window=0)
    c.send("FA")
    c.gather(quiet=0.3, most=0.4)
    c.send("PA", b"late", seq=seq)
    for heard in c.gather(quiet=0.3, most=0.4):
        if heard.ack > 2:
            raise Wrong(f"{c.line(heard)} acknowledges it")
    t.trace.append("not acknowledged")


@case(f"{EIGHTH}: a FIN before missing text waits; the text still counts")
def fin_out_of_order(t):
    c = t.open("discard")
    c.send("FA", seq=101)
    heard = c.expect_ack(1)
    if heard.has("F"):
        raise Wrong("FIN answered")
    c.nxt = 1
    c.send("PA", b"x" * 100, seq=1)
    c.gather(quiet=0.3, most=0.6)
    if c.acked != 102:
        raise Wrong(f"acknowledged {c.acked}, not 102")


# ---- the server closes first ----


@case("RFC 9293 §3.6: the server's text and FIN come in order; FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT")
def server_closes(t):
    c, _ = closed_by_server(t)
    c.ack()
    c.send("FA")
    c.expect_ack(2, what="the ACK of our FIN")
    c.expect_nothing(0.3)


@case("RFC 9293 §3.6 figure 13: both close at once: CLOSING; each FIN is acknowledged")
def both_close(t):
    c, fin = closed_by_server(t)
    c.send("FA", ack=fin.seq + fin.len)
    heard = c.expect(ack=2, within=0.6)
    if heard.has("R"):
        raise Wrong("a RST")
    c.ack()
    c.expect_nothing(0.3)
    c.send("FA", seq=1)
    c.expect("A", ack=2, len=0)


@case("RFC 9293 §3.10.7.4, fifth and eighth: FIN with the ACK of a FIN: TIME_WAIT at once")
def fin_with_the_ack_of_a_fin(t):
    c, _ = closed_by_server(t)
    c.send("FA")
    c.expect_ack(2)
    c.send("FA", seq=1)
    c.expect_ack(2)


@case("RFC 9293 §3.8.1: the server's FIN comes again until it is acknowledged", lasts=8)
def servers_fin_is_retransmitted(t):
    c, fin = closed_by_server(t)
    for _ in range(2):
        heard = c.next(3.0)
        if heard is None:
            raise Wrong("no FIN again")
        if not (heard.has("F") and heard.seq + heard.len == fin.seq + fin.len) and heard.seq != 1:
            raise Wrong(f"{c.line(heard)} came")


@case("RFC 9293 §3.6.1, SHLD-3: text that nobody will read is answered with a RST", rows={"in FIN_WAIT_1": False, "in FIN_WAIT_2": True})
def text_after_the_servers_close(t, acknowledged):
    c, fin = closed_by_server(t)
    ack = c.rcv_nxt if acknowledged else 1
    if acknowledged:
        c.ack()
    c.send("PA", b"anybody there?", ack=ack)
    found = c.gather(quiet=0.25, most=0.8)
    for heard in found:
        c.mark(heard) if heard.has("R") else None
    if not any(heard.has("R") for heard in found):
        raise Wrong("no RST")


@case("RFC 9293 §3.10.7.4, second: RST at RCV.NXT ends the connection in every closing state", rows={"FIN_WAIT_1": "fw1", "FIN_WAIT_2": "fw2", "CLOSING": "closing", "LAST_ACK": "last"})
def reset_while_closing(t, state):
    if state == "last":
        c, _ = closed_by_peer(t)
    else:
        c, fin = closed_by_server(t)
        if state == "fw2":
            c.ack()
        if state == "closing":
            c.send("FA", ack=1)
            c.gather(quiet=0.1, most=0.15)
    c.send("R")
    c.gather(quiet=0.05, most=0.05)
    c.send("PA", b"gone?", seq=c.nxt)
    found = c.gather(quiet=0.3, most=0.5)
    if not any(heard.has("R") for heard in found):
        raise Wrong("no RST: something is left")
    t.trace.append("RST")


@case("RFC 5961 §3.2: a RST within the window but not at RCV.NXT is challenged while closing", rows={"FIN_WAIT_1": "fw1", "FIN_WAIT_2": "fw2", "LAST_ACK": "last"})
def inexact_reset_while_closing(t, state):
    if state == "last":
        c, _ = closed_by_peer(t)
    else:
        c, fin = closed_by_server(t)
        if state == "fw2":
            c.ack()
    at = c.nxt
    c.send("R", seq=at + 100)
    heard = c.expect(within=0.15)
    if heard.has("R") or heard.ack != at:
        raise Wrong(f"{c.line(heard)} is no challenge")


@case("RFC 5961 §4.2: a SYN is challenged while closing", rows={"FIN_WAIT_1": "fw1", "FIN_WAIT_2": "fw2", "LAST_ACK": "last"})
def syn_while_closing(t, state):
    if state == "last":
        c, _ = closed_by_peer(t)
    else:
        c, fin = closed_by_server(t)
        if state == "fw2":
            c.ack()
    at = c.nxt
    c.send("S", seq=at + 100, options=b"")
    heard = c.expect(within=0.15)
    if heard.has("R") or heard.has("S") or heard.ack != at:
        raise Wrong(f"{c.line(heard)} is no challenge")


@case("RFC 9293 §3.10.7.4, first: an unacceptable segment is answered with an ACK in FIN_WAIT_2")
def old_text_in_fin_wait_2(t):
    c, _ = closed_by_server(t)
    c.ack()
    c.send("PA", b"x" * 10, seq=-100)
    c.expect_ack(1)


@case("RFC 9293 §3.6: http's answer and FIN come whole when the client asks for the end", lasts=8)
def http_closes(t):
    c = t.open("http", window=60000)
    c.send("PA", b"GET / HTTP/1.1\r\nHost: judge\r\nConnection: close\r\n\r\n")
    whole = bytearray()
    while True:
        heard = c.next(2.0)
        if heard is None:
            raise Wrong("no FIN")
        if heard.seq == 1 + len(whole):
            whole += heard.data
        c.ack()
        if heard.has("F"):
            break
    if not whole.startswith(b"HTTP/1.1 200"):
        raise Wrong(f"{bytes(whole[:30])!r}")


@case("RFC 9293 §3.6: an ACK of the FIN may come before other text is acknowledged: it acknowledges all")
def ack_of_everything(t):
    c, fin = closed_by_server(t)
    c.ack(fin.seq + fin.len + 1)
    c.expect_nothing(0.4, "all is acknowledged")


@case("RFC 9293 §3.10.7.4, fifth: an ACK of the text but not of the FIN leaves it in FIN_WAIT_1", lasts=5)
def ack_short_of_the_fin(t):
    c, fin = closed_by_server(t)
    c.ack(fin.seq + fin.len)
    heard = c.expect(within=3.0)
    if not heard.has("F"):
        raise Wrong("no FIN again")
