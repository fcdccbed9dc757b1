"""Echo (7), discard (9), daytime (13), chargen (19) and http (80) on Linux's TCP, both families: what `fourtuple load` talks to
in the checks, and what the judge compares with.

    python3 linux_services.py [--count]     prints `ready`, serves until it is ended; with --count it says at its end
                                            `discard BYTES` for each connection that discard had
"""

import asyncio
import os
import signal
import socket
import sys
import time

BACKLOG = 4096
LINE = bytes(range(32, 127))
CHARGEN = b"".join((LINE + LINE)[turn : turn + 72] + b"\r\n" for turn in range(95)) * 8


class Service(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def eof_received(self):
        return False  # close our side too


class Echo(Service):
    def data_received(self, chunk):
        self.transport.write(chunk)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Discard(Service):
    all = []

    def connection_made(self, transport):
        super().connection_made(transport)
        self.received = 0
        if "--count" in sys.argv:
            Discard.all.append(self)

    def data_received(self, chunk):
        self.received += len(chunk)


def end():
    for connection in Discard.all:
        print(f"discard {connection.received}", flush=True)
    os._exit(0)


class Chargen(Service):
    def connection_made(self, transport):
        super().connection_made(transport)
        self.flowing = True
        self.fill()

    def fill(self):
        while self.flowing and not self.transport.is_closing():
            self.transport.write(CHARGEN)

    def pause_writing(self):
        self.flowing = False

    def resume_writing(self):
        self.flowing = True
        self.fill()

    def data_received(self, chunk):
        pass

    def connection_lost(self, _):
        self.flowing = False


class Daytime(Service):
    def connection_made(self, transport):
        transport.write(time.strftime("%A, %B %d, %Y %H:%M:%S-UTC\r\n", time.gmtime()).encode())
        transport.close()


class Http(Service):
    """A page of a kilobyte for each request; the end when it is asked for."""

    PAGE = b"x" * 1024

    def connection_made(self, transport):
        super().connection_made(transport)
        self.pending = b""

    def data_received(self, chunk):
        *requests, self.pending = (self.pending + chunk).split(b"\r\n\r\n")
        for request in requests:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.PAGE) + self.PAGE)
            if b"connection: close" in request.lower():
                self.transport.close()


async def serve():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end)
    servers = []
    for protocol, port in ((Echo, 7), (Discard, 9), (Daytime, 13), (Chargen, 19), (Http, 80)):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        servers.append(await loop.create_server(protocol, sock=listener, backlog=BACKLOG))
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve())
