"""The judge's end of the wire: one raw socket, any number of addresses that no kernel owns, and who hears what comes for them.

One thread reads all frames and answers ARP and neighbour solicitations for addresses that are registered. TCP goes to whoever
owns the port that it came for, whatever the address (an answer to a forged source has to be seen); everything else goes by address.
"""

import socket
import struct
import threading
import time

import segments
from segments import ETHERTYPE_ARP, ETHERTYPE_V4, ETHERTYPE_V6, ICMPV6

SO_TIMESTAMPNS = 35
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
RECEIVE_BUFFER = 16 << 20
OUR_MAC = segments.mac("02:0f:00:00:00:01")
ALL_FRAMES = 3


class Station:
    def __init__(self, interface, theirs_v4, theirs_v6, their_mac):
        """Call it inside the namespace of `interface`."""
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
        self.socket.bind((interface, ALL_FRAMES))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, RECEIVE_BUFFER)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.settimeout(0.2)
        self.theirs = {4: theirs_v4, 6: theirs_v6}
        self.their_mac = their_mac
        self.by_port, self.by_address = {}, {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def close(self):
        self.over.set()
        self.thread.join(2)
        self.socket.close()

    def register(self, hearer, addresses, ports):
        for address in addresses:
            self.by_address[address] = hearer
        for port in ports:
            self.by_port[port] = hearer

    def forget(self, addresses, ports):
        for address in addresses:
            self.by_address.pop(address, None)
        for port in ports:
            self.by_port.pop(port, None)

    def send(self, frame):
        """Puts a frame on the wire; the time just before."""
        at = time.time()
        self.socket.send(frame)
        return at

    def listen(self):
        while not self.over.is_set():
            try:
                octets, ancillary, _, where = self.socket.recvmsg(65600, 64)
            except TimeoutError:
                continue
            except OSError:
                return
            if where[2] == PACKET_OUTGOING:
                continue
            at = time.time()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    at = seconds + nanoseconds / 1e9
            self.deliver(segments.parse(octets, at))

    def deliver(self, frame):
        if self.resolves(frame):
            return
        hearer = self.by_port.get(frame.port) if frame.kind == "tcp" else None
        hearer = hearer or self.by_address.get(frame.destination)
        if hearer:
            hearer.hear(frame)

    def resolves(self, frame):
        """ARP requests and neighbour solicitations for addresses of ours are answered; frames are seen by their owners too."""
        if frame.kind == "arp" and frame.code == 1 and frame.source == self.theirs[4] and frame.destination in self.by_address:
            hearer = self.by_address[frame.destination]
            if not hearer.mute:
                self.answer_arp(frame.destination)
            hearer.hear(frame)
            return True
        if frame.kind == "icmp" and frame.icmp_type == 135 and len(frame.rest) >= 20:
            target = segments.address_of(frame.rest[4:20])
            if hearer := self.by_address.get(target):
                if not hearer.mute and frame.source == self.theirs[6]:
                    self.advertise(target)
                hearer.hear(frame)
            return True
        return False

    def answer_arp(self, address):
        reply = segments.arp(2, OUR_MAC, address, self.their_mac, self.theirs[4])
        self.socket.send(segments.ethernet(OUR_MAC, self.their_mac, ETHERTYPE_ARP, reply))

    def advertise(self, address):
        """Solicited, overriding, with the target's link-layer address (RFC 4861 §4.4)."""
        rest = struct.pack("!I", 0x60000000) + segments.octets_of(address) + b"\x02\x01" + OUR_MAC
        body = segments.icmp(address, self.theirs[6], 136, 0, rest)
        packet = segments.ipv6(address, self.theirs[6], ICMPV6, body, ttl=255)
        self.socket.send(segments.ethernet(OUR_MAC, self.their_mac, ETHERTYPE_V6, packet))


def ethertype(address):
    return ETHERTYPE_V6 if segments.is_v6(address) else ETHERTYPE_V4
