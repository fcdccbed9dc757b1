"""Frames made octet by octet and read back: what a black-box tester puts on a wire and takes from it.

Makers take every field, the wrong ones too: a checksum, a length or a data offset that is given stays as it is given; one
that is None is made right. Parsers never fail: what cannot be read has the kind `other`.
"""

import dataclasses
import socket
import struct

ETHERTYPE_ARP, ETHERTYPE_V4, ETHERTYPE_V6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT, DESTINATION = 0, 43, 44, 59, 60
# The order in which flags are written; AE is the bit before CWR (RFC 9768).
FLAGS = {"S": 0x02, "F": 0x01, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20, "E": 0x40, "C": 0x80}
EOL, NOP, MSS, WSCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
OPTION_NAMES = {MSS: "mss", WSCALE: "wscale", SACK_PERMITTED: "sackok", SACK: "sack", TIMESTAMPS: "ts", 34: "fastopen"}
BROADCAST_MAC = b"\xff" * 6


def checksum(octets):
    """The internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def is_v6(address):
    return ":" in address


def octets_of(address):
    return socket.inet_pton(socket.AF_INET6 if is_v6(address) else socket.AF_INET, address)


def address_of(octets):
    return socket.inet_ntop(socket.AF_INET6 if len(octets) == 16 else socket.AF_INET, octets)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def pseudo_header(source, destination, protocol, length):
    """RFC 9293 §3.1, RFC 8200 §8.1."""
    ends = octets_of(source) + octets_of(destination)
    if is_v6(destination):
        return ends + struct.pack("!IxxxB", length, protocol)
    return ends + struct.pack("!xBH", protocol, length)


# ---- options of TCP ----


def mss(value):
    return struct.pack("!BBH", MSS, 4, value)


def wscale(shift):
    return bytes((WSCALE, 3, shift))


def timestamps(value, echo):
    return struct.pack("!BBII", TIMESTAMPS, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def sack(*blocks):
    return bytes((SACK, 2 + 8 * len(blocks))) + b"".join(struct.pack("!II", left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in blocks)


SACK_OK = bytes((SACK_PERMITTED, 2))


def padded(options):
    return options + b"\0" * (-len(options) % 4)


def read_options(octets):
    """{kind: value octets}, as far as they can be read."""
    found = {}
    while octets and octets[0] != EOL:
        if octets[0] == NOP:
            octets = octets[1:]
            continue
        if len(octets) < 2 or octets[1] < 2 or octets[1] > len(octets):
            break
        found[octets[0]] = octets[2 : octets[1]]
        octets = octets[octets[1] :]
    return found


# ---- makers ----


@dataclasses.dataclass
class Segment:
    """A TCP segment to be sent; `options` are octets, padded to whole words unless `offset` is given."""

    source_port: int
    port: int
    seq: int = 0
    ack: int = 0
    flags: str = ""
    window: int = 65535
    options: bytes = b""
    data: bytes = b""
    urgent: int = 0
    offset: int | None = None
    reserved: int = 0
    checksum: int | None = None

    def octets(self, source, destination):
        options = padded(self.options) if self.offset is None else self.options
        offset = 5 + len(options) // 4 if self.offset is None else self.offset
        bits = sum(FLAGS[flag] for flag in self.flags)
        header = struct.pack(
            "!HHIIBBHHH", self.source_port, self.port, self.seq & 0xFFFFFFFF, self.ack & 0xFFFFFFFF,
            (offset << 4) | self.reserved, bits, self.window, 0, self.urgent,
        )  # fmt: skip
        whole = header + options + self.data
        if self.checksum is None:
            right = checksum(pseudo_header(source, destination, TCP, len(whole)) + whole)
        else:
            right = self.checksum
        return whole[:16] + struct.pack("!H", right) + whole[18:]


def udp(source, destination, source_port, port, data, sum=None, length=None):
    length = 8 + len(data) if length is None else length
    header = struct.pack("!HHHH", source_port, port, length, 0)
    if sum is None:
        sum = checksum(pseudo_header(source, destination, UDP, 8 + len(data)) + header + data) or 0xFFFF
    return header[:6] + struct.pack("!H", sum) + data


def icmp(source, destination, kind, code, rest, sum=None):
    """`rest` begins with the second word. ICMPv6 where the addresses are of IPv6."""
    whole = struct.pack("!BBH", kind, code, 0) + rest
    if sum is None:
        before = pseudo_header(source, destination, ICMPV6, len(whole)) if is_v6(destination) else b""
        sum = checksum(before + whole)
    return whole[:2] + struct.pack("!H", sum) + whole[4:]


def ipv4(source, destination, protocol, body, ttl=64, options=b"", identification=0, flags=2, fragment=0, length=None, ihl=None, version=4, sum=None, tos=0):
    """`fragment` counts octets; `flags` 2 is DF, 1 is MF, 4 the reserved one."""
    header_len = 20 + len(options)
    header = struct.pack(
        "!BBHHHBBH", (version << 4) | (header_len // 4 if ihl is None else ihl), tos, header_len + len(body) if length is None else length,
        identification, (flags << 13) | (fragment // 8), ttl, protocol, 0,
    )  # fmt: skip
    header += octets_of(source) + octets_of(destination) + options
    right = checksum(header) if sum is None else sum
    return header[:10] + struct.pack("!H", right) + header[12:] + body


def ipv6(source, destination, protocol, body, ttl=64, length=None, version=6, tos=0):
    length = len(body) if length is None else length
    return struct.pack("!IHBB", (version << 28) | (tos << 20), length, protocol, ttl) + octets_of(source) + octets_of(destination) + body


def ip(source, destination, protocol, body, **fields):
    return (ipv6 if is_v6(destination) else ipv4)(source, destination, protocol, body, **fields)


def extension(next_header, options=b"\x01\x04\0\0\0\0"):
    """A hop-by-hop or destination options header (RFC 8200 §4.3, §4.6), padded to whole 8 octets with Pad1."""
    options += b"\0" * (-(len(options) + 2) % 8)
    return bytes((next_header, (len(options) + 2) // 8 - 1)) + options


def ethernet(source, destination, ethertype, body):
    return destination + source + struct.pack("!H", ethertype) + body


def arp(operation, sender_mac, sender, target_mac, target, hardware=1, protocol=ETHERTYPE_V4, hardware_len=6, protocol_len=4):
    return struct.pack("!HHBBH", hardware, protocol, hardware_len, protocol_len, operation) + sender_mac + octets_of(sender) + target_mac + octets_of(target)


def solicited_node(address):
    """RFC 4291 §2.7.1."""
    return address_of(bytes.fromhex("ff0200000000000000000001ff") + octets_of(address)[13:])


def multicast_mac(address):
    octets = octets_of(address)
    return b"\x33\x33" + octets[12:] if is_v6(address) else b"\x01\x00\x5e" + bytes((octets[1] & 0x7F,)) + octets[2:]


# ---- parsers ----


@dataclasses.dataclass
class Frame:
    """What came: `kind` is tcp, udp, icmp (either family), arp or other; what the kind does not have is None or empty."""

    at: float
    source_mac: bytes
    destination_mac: bytes
    kind: str = "other"
    source: str = ""
    destination: str = ""
    ttl: int = 0
    ip: bytes = b""
    source_port: int = 0
    port: int = 0
    # TCP
    seq: int = 0
    ack: int = 0
    flags: str = ""
    window: int = 0
    urgent: int = 0
    options: dict = dataclasses.field(default_factory=dict)
    data: bytes = b""
    sound: bool = True  # its checksums are right
    # ICMP: type, code, what follows the checksum; ARP: operation, the rest
    icmp_type: int = -1
    code: int = -1
    rest: bytes = b""

    @property
    def len(self):
        return len(self.data)

    def has(self, flags):
        return all(flag in self.flags for flag in flags)

    @property
    def ts(self):
        value = self.options.get(TIMESTAMPS)
        return struct.unpack("!II", value) if value is not None and len(value) == 8 else None

    @property
    def mss(self):
        value = self.options.get(MSS)
        return struct.unpack("!H", value)[0] if value is not None and len(value) == 2 else None

    @property
    def wscale(self):
        value = self.options.get(WSCALE)
        return value[0] if value is not None and len(value) == 1 else None

    @property
    def sack(self):
        value = self.options.get(SACK, b"")
        return [struct.unpack("!II", value[at : at + 8]) for at in range(0, len(value) - 7, 8)]


def parse(octets, at=0.0):
    frame = Frame(at, octets[6:12], octets[:6])
    if len(octets) < 14:
        return frame
    ethertype, body = struct.unpack("!H", octets[12:14])[0], octets[14:]
    if ethertype == ETHERTYPE_ARP and len(body) >= 28:
        frame.kind, frame.rest = "arp", body[:28]
        frame.code = struct.unpack("!H", body[6:8])[0]
        frame.source, frame.destination = address_of(body[14:18]), address_of(body[24:28])
    elif ethertype == ETHERTYPE_V4 and len(body) >= 20 and body[0] >> 4 == 4:
        header_len, total = (body[0] & 15) * 4, struct.unpack("!H", body[2:4])[0]
        frame.ip, frame.ttl = body[:total], body[8]
        frame.source, frame.destination = address_of(body[12:16]), address_of(body[16:20])
        frame.sound = checksum(body[:header_len]) == 0
        parse_upper(frame, body[9], body[header_len:total])
    elif ethertype == ETHERTYPE_V6 and len(body) >= 40 and body[0] >> 4 == 6:
        total = 40 + struct.unpack("!H", body[4:6])[0]
        frame.ip, frame.ttl = body[:total], body[7]
        frame.source, frame.destination = address_of(body[8:24]), address_of(body[24:40])
        parse_upper(frame, body[6], body[40:total])
    return frame


def parse_upper(frame, protocol, body):
    summed = pseudo_header(frame.source, frame.destination, protocol, len(body)) + body
    if protocol == TCP and len(body) >= 20:
        ports, bits = struct.unpack("!HHIIBBHHH", body[:20]), body[13]
        frame.kind = "tcp"
        frame.source_port, frame.port, frame.seq, frame.ack = ports[:4]
        frame.window, frame.urgent = ports[6], ports[8]
        offset = (body[12] >> 4) * 4
        frame.flags = "".join(flag for flag, bit in FLAGS.items() if bits & bit)
        frame.options, frame.data = read_options(body[20:offset]), body[offset:]
        frame.sound &= checksum(summed) == 0
    elif protocol == UDP and len(body) >= 8:
        frame.kind = "udp"
        frame.source_port, frame.port = struct.unpack("!HH", body[:4])
        frame.data = body[8:]
    elif protocol in (ICMP, ICMPV6) and len(body) >= 8:
        frame.kind = "icmp"
        frame.icmp_type, frame.code, frame.rest = body[0], body[1], body[4:]
        frame.sound &= checksum(summed if protocol == ICMPV6 else body) == 0
