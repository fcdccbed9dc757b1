"""Echo (7), discard (9) and chargen (19) on Linux's TCP, both families: what `fourtuple load` talks to in the checks.

    python3 linux_services.py [--count]     prints `ready`, serves until it is ended; with --count it says at its end
                                            `discard BYTES` for each connection that discard had
"""

import asyncio
import os
import signal
import socket
import sys

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


async def serve():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end)
    servers = []
    for protocol, port in ((Echo, 7), (Discard, 9), (Chargen, 19)):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        servers.append(await loop.create_server(protocol, sock=listener, backlog=BACKLOG))
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve())
