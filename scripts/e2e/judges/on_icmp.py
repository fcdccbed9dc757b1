"""What a host owes besides TCP: echo, port unreachable, address resolution (RFC 792, RFC 1122 §3.2.2, RFC 4443, RFC 826, RFC 5227, RFC 4861)."""

import struct

import segments
from judges.registry import Wrong, case
from judges.station import OUR_MAC

NOBODY = b"\0" * 6


def request_kinds(t):
    return (8, 0) if t.family == 4 else (128, 129)


def is_echo_reply(t):
    kind = request_kinds(t)[1]
    return lambda frame: frame.kind == "icmp" and frame.icmp_type == kind


@case("RFC 1122 §3.2.2.6, RFC 4443 §4.2: an echo request is answered with all that it carried", rows={"0 octets": 0, "1": 1, "56": 56, "1400": 1400, "1472": 1452})
def echo(t, size):
    payload = struct.pack("!HH", 0x1234, 7) + bytes(at % 251 for at in range(size))
    t.send_icmp(request_kinds(t)[0], 0, payload)
    reply = t.expect_frame(is_echo_reply(t), "echo reply")
    if reply.rest != payload or reply.code != 0:
        raise Wrong("the reply carries something else")
    if reply.source != t.theirs:
        raise Wrong(f"it comes from {reply.source}")


@case("RFC 792, RFC 4443 §2.3: an echo request with a wrong checksum is discarded")
def echo_with_a_wrong_checksum(t):
    t.send_icmp(request_kinds(t)[0], 0, bytes(12), sum=0x4321)
    t.expect_no_frame(is_echo_reply(t), "echo reply")


@case("RFC 792: an echo reply, or an ICMP message of an unknown type, asks for nothing", rows={"reply": "reply", "unknown error": 30, "unknown": 200})
def no_answer_to(t, kind):
    kind = request_kinds(t)[1] if kind == "reply" else kind
    if t.family == 6 and kind == 30:
        kind = 100
    t.send_icmp(kind, 0, bytes(12))
    t.expect_silence(0.3)


@case("RFC 1122 §3.2.2.6, RFC 4443 §4.2: an echo request from an address that nobody can have is not answered", families=(4,), rows={"broadcast": "10.99.255.255", "loopback": "127.0.0.1", "multicast": "224.0.0.9"})
def echo_from_nowhere(t, source):
    t.also(source)
    t.send_icmp(8, 0, bytes(12), source=source)
    t.expect_no_frame(is_echo_reply(t), "echo reply")


def is_unreachable(t):
    wanted = (3, 3) if t.family == 4 else (1, 4)
    return lambda frame: frame.kind == "icmp" and (frame.icmp_type, frame.code) == wanted


@case("RFC 1122 §4.1.3.1, RFC 4443 §3.1: a datagram for a port that nobody uses gets port unreachable, which quotes it", rows={"to 4": 4, "to 7": 7, "to 33434": 33434})
def udp_to_a_closed_port(t, port):
    body = segments.udp(t.address, t.theirs, 4000, port, b"anybody?")
    t.send_ip(segments.UDP, body)
    told = t.expect_frame(is_unreachable(t), "port unreachable")
    sent = segments.ip(t.address, t.theirs, segments.UDP, body)
    quoted = told.rest[4:]
    least = 28 if t.family == 4 else len(sent)
    if len(quoted) < least or quoted[:least] != sent[:least]:
        raise Wrong("it does not quote the datagram")


@case("RFC 768, RFC 8200 §8.1: a datagram with a wrong checksum is discarded")
def udp_with_a_wrong_checksum(t):
    t.send_ip(segments.UDP, segments.udp(t.address, t.theirs, 4000, 4, b"x", sum=0x1111))
    t.expect_silence(0.3)


@case("RFC 8200 §8.1: a datagram without a checksum is discarded in IPv6", families=(6,))
def udp_without_checksum_v6(t):
    t.send_ip(segments.UDP, segments.udp(t.address, t.theirs, 4000, 4, b"x", sum=0))
    t.expect_silence(0.3)


@case("RFC 768: a datagram may come without a checksum in IPv4", families=(4,))
def udp_without_checksum_v4(t):
    t.send_ip(segments.UDP, segments.udp(t.address, t.theirs, 4000, 4, b"x", sum=0))
    t.expect_frame(is_unreachable(t), "port unreachable")


@case("RFC 768: a datagram of a wrong length is discarded", rows={"too long": 100, "too short": 7, "zero": 0})
def udp_of_a_wrong_length(t, length):
    t.send_ip(segments.UDP, segments.udp(t.address, t.theirs, 4000, 4, b"x" * 10, length=length))
    t.expect_silence(0.3)


@case("RFC 1122 §3.2.2: no error about a datagram to a broadcast or multicast address", families=(4,), rows={"broadcast": "255.255.255.255", "the subnet's": "10.99.255.255", "multicast": "224.0.0.1"})
def no_error_about_a_broadcast(t, destination):
    mac = segments.BROADCAST_MAC if destination.endswith("255") else segments.multicast_mac(destination)
    t.send_ip(segments.UDP, segments.udp(t.address, destination, 4000, 4, b"x"), destination=destination, their_mac=mac)
    t.expect_silence(0.3)


@case("RFC 4443 §2.4 (e): no error about a datagram to a multicast address", families=(6,))
def no_error_about_multicast(t):
    t.send_ip(segments.UDP, segments.udp(t.address, "ff02::1", 4000, 4, b"x"), destination="ff02::1", their_mac=segments.multicast_mac("ff02::1"))
    t.expect_silence(0.3)


@case("RFC 1122 §3.2.2: no error about a unicast datagram within a broadcast frame")
def no_error_about_a_broadcast_frame(t):
    t.send_ip(segments.UDP, segments.udp(t.address, t.theirs, 4000, 4, b"x"), their_mac=segments.BROADCAST_MAC)
    t.expect_silence(0.3)


@case("RFC 1122 §3.2.2, RFC 4443 §2.4 (e): no error about an error")
def no_error_about_an_error(t):
    inner = segments.ip(t.theirs, t.address, segments.UDP, segments.udp(t.theirs, t.address, 4, 4000, b"x"))
    t.send_icmp(3 if t.family == 4 else 1, 3 if t.family == 4 else 4, bytes(4) + inner)
    t.expect_silence(0.3)


# ---- ARP ----


def is_arp_reply(t):
    return lambda frame: frame.kind == "arp" and frame.code == 2 and frame.source == t.theirs


def ask(t, **fields):
    return segments.arp(1, fields.pop("sender_mac", OUR_MAC), fields.pop("sender", t.address), NOBODY, fields.pop("target", t.theirs), **fields)


@case("RFC 826: who asks for the address is told, whatever way the question came", families=(4,), rows={"broadcast": segments.BROADCAST_MAC, "unicast": None})
def arp_request(t, destination):
    t.send_arp(ask(t), destination or t.station.their_mac)
    reply = t.expect_frame(is_arp_reply(t), "ARP reply")
    if reply.rest[8:14] != t.station.their_mac or reply.rest[18:24] != OUR_MAC or reply.destination_mac != OUR_MAC:
        raise Wrong(f"the reply says {reply.rest[8:].hex()} to {reply.destination_mac.hex()}")


@case("RFC 5227 §2.1.1: a probe for the address is answered", families=(4,))
def arp_probe(t):
    t.also("0.0.0.0")
    t.send_arp(ask(t, sender="0.0.0.0"))
    t.expect_frame(is_arp_reply(t), "ARP reply")


@case("RFC 826: what asks for nothing of this host is not answered", families=(4,),
      rows={"another's address": {"target": "10.99.0.77"}, "hardware 6": {"hardware": 6}, "protocol IPv6": {"protocol": 0x86DD}, "hardware length 8": {"hardware_len": 8},
            "protocol length 16": {"protocol_len": 16}, "announcement": {"target": None}})
def arp_not_for_us(t, fields):
    fields = dict(fields)
    if fields.get("target", "") is None:
        fields["target"] = t.address
    t.send_arp(ask(t, **fields))
    t.expect_no_frame(is_arp_reply(t), "ARP reply")


@case("RFC 826, TCP.md: ARP that says nonsense about its sender is not answered", families=(4,), rows={"from broadcast": "10.99.255.255", "from multicast": "224.0.0.1", "from loopback": "127.0.0.1", "from its own address": "10.99.0.2"})
def arp_of_an_impossible_sender(t, sender):
    if sender != t.theirs:
        t.also(sender)
    t.send_arp(ask(t, sender=sender))
    heard = t.take(is_arp_reply(t), 0.3)
    t.trace.append("ARP reply" if heard else "silence")
    t.expect_alive()


@case("RFC 826: an ARP packet that is cut off does no harm", families=(4,), rows={"20 octets": 20, "27": 27, "4": 4})
def cut_arp(t, size):
    t.send_arp(ask(t)[:size])
    t.expect_no_frame(is_arp_reply(t), "ARP reply")


@case("RFC 5227 §2.4, §5: an unsolicited claim to the address of a peer does not take its connection away", families=(4,),
      rows={"a reply": "r", "an announcement, then a reply": "ar", "a request, then a reply": "qr"})
def arp_spoofing(t, claims):
    other = b"\x02\xba\xd0\0\0\1"
    c = t.open("echo")
    c.send("PA", b"hello")
    c.read(5)
    for claim in claims:
        made = {"r": (2, other, t.address, t.station.their_mac, t.theirs), "a": (1, other, t.address, bytes(6), t.address), "q": (1, other, t.address, bytes(6), t.theirs)}[claim]
        t.send_arp(segments.arp(*made), t.station.their_mac)
    c.gather(quiet=0.05, most=0.05)
    c.send("PA", b"again")
    heard = c.expect("A", ack=11, skip=lambda one: not one.len)
    t.trace[-1:] = [f"answered to {'us' if heard.destination_mac == OUR_MAC else 'the other station'}"]
    if heard.destination_mac != OUR_MAC:
        raise Wrong("the connection goes to the other station now")


# ---- neighbour discovery ----


def is_advertisement(t):
    return lambda frame: frame.kind == "icmp" and frame.icmp_type == 136 and frame.source == t.theirs


def solicit(t, target=None, destination=None, source=None, ttl=255, code=0, options=None, sum=None, length=None):
    target = target or t.theirs
    destination = destination or segments.solicited_node(target)
    options = b"\x01\x01" + OUR_MAC if options is None else options
    rest = (bytes(4) + segments.octets_of(target) + options)[:length]
    mac = segments.multicast_mac(destination) if destination.startswith("ff") else t.station.their_mac
    t.send_icmp(135, code, rest, source=source, destination=destination, their_mac=mac, sum=sum, ttl=ttl)


@case("RFC 4861 §7.2.4: a solicitation is answered: solicited, overriding, with the link-layer address", families=(6,), rows={"multicast": None, "unicast": "fd99::2"})
def solicitation(t, destination):
    solicit(t, destination=destination)
    heard = t.expect_frame(is_advertisement(t), "advertisement")
    flags = heard.rest[0]
    if not flags & 0x40:
        raise Wrong("not solicited")
    if destination is None and (heard.rest[20:22] != b"\x02\x01" or heard.rest[22:28] != t.station.their_mac):
        raise Wrong("no target link-layer address")
    if heard.ttl != 255 or heard.rest[4:20] != segments.octets_of(t.theirs):
        raise Wrong("hop limit or target")


@case("RFC 4861 §7.2.4, RFC 4862 §5.4.3: a search for duplicates is answered to all nodes, not solicited", families=(6,))
def duplicate_address_detection(t):
    t.also("ff02::1")
    solicit(t, source="::", options=b"")
    heard = t.expect_frame(is_advertisement(t), "advertisement to all nodes")
    if heard.destination != "ff02::1" or heard.rest[0] & 0x40:
        raise Wrong(f"to {heard.destination}, flags {heard.rest[0]:#x}")


@case("RFC 4861 §7.1.1: a solicitation that is not valid is discarded", families=(6,),
      rows={"hop limit 254": {"ttl": 254}, "code 1": {"code": 1}, "wrong checksum": {"sum": 0x1111}, "option of length 0": {"options": b"\x01\x00" + OUR_MAC}, "short": {"length": 16},
            "multicast target": {"target": "ff02::1", "destination": "fd99::2"}, "unspecified source, unicast": {"source": "::", "destination": "fd99::2", "options": b""},
            "unspecified source, with an address": {"source": "::"}, "another's address": {"target": "fd99::77"}})
def invalid_solicitation(t, fields):
    t.also("ff02::1")
    solicit(t, **fields)
    t.expect_no_frame(is_advertisement(t), "advertisement")


@case("RFC 6980 §5: a solicitation in fragments is ignored, in an atomic one too", families=(6,), rows={"atomic": (32,), "two": (16, 32)})
def solicitation_in_fragments(t, ends):
    destination = segments.solicited_node(t.theirs)
    message = segments.icmp(t.address, destination, 135, 0, bytes(4) + segments.octets_of(t.theirs) + b"\x01\x01" + OUR_MAC)
    mac = segments.multicast_mac(destination)
    for start, end in zip((0, *ends), ends):
        header = bytes((segments.ICMPV6, 0)) + (start | (end < len(message))).to_bytes(2, "big") + t.number.to_bytes(4, "big")
        packet = segments.ipv6(t.address, destination, segments.FRAGMENT, header + message[start:end], ttl=255)
        t.put(segments.ethernet(OUR_MAC, mac, segments.ETHERTYPE_V6, packet), "solicitation in a fragment")
    t.expect_no_frame(is_advertisement(t), "advertisement")


@case("RFC 4861 §4.3, §9: unknown options of a solicitation are passed over", families=(6,))
def unknown_option_of_a_solicitation(t):
    solicit(t, options=b"\x63\x01" + bytes(6) + b"\x01\x01" + OUR_MAC)
    t.expect_frame(is_advertisement(t), "advertisement")


# ---- frames ----


@case("RFC 1122 §2.3.3: an IEEE 802.3 frame is passed over; it does no harm", families=(4,))
def ieee_802_3_frame(t):
    t.put(t.station.their_mac + OUR_MAC + struct.pack("!H", 46) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(38), "802.3")
    t.expect_silence(0.3)


@case("RFC 894: frames of an unknown type, and frames that are cut off, do no harm", families=(4,), rows={"unknown type": b"\x12\x34" + bytes(50), "IPv4 of one octet": b"\x08\0\x45", "IPv6 of one octet": b"\x86\xdd\x60", "nothing": b"\x08\0"})
def odd_frames(t, octets):
    t.put(t.station.their_mac + OUR_MAC + octets, "odd frame")
    t.expect_silence(0.2)
    t.expect_alive()
