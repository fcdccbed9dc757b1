"""A client of gRPC's own library (Debian's python3-grpcio, so the system's Python) for the example async-tonic.

    /usr/bin/python3 grpc_client.py ADDRESS:PORT...     prints `passed ADDRESS:PORT` for each

Messages are bytes here, encoded by hand: no protoc is needed.
"""

import sys
import threading

import grpc

WITHIN_S = 30
SERVING, UNKNOWN = b"\x08\x01", b"\x08\x03"


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def message(body):
    """One field, number 1, of bytes: HealthCheckRequest and google.protobuf.BytesValue alike."""
    return b"\x0a" + varint(len(body)) + body


def expect(true, what):
    if not true:
        sys.exit(f"failed: {what}")


def health(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    expect(check(b"", timeout=WITHIN_S) == SERVING, "the server's health")
    expect(check(message(b"fourtuple.Echo"), timeout=WITHIN_S) == SERVING, "the service's health")
    try:
        check(message(b"nobody"), timeout=WITHIN_S)
        expect(False, "an unknown service has no health")
    except grpc.RpcError as error:
        # A status without a message: it comes in the trailers.
        expect(error.code() == grpc.StatusCode.NOT_FOUND, f"its status is {error.code()}")
    try:
        channel.unary_unary("/fourtuple.Echo/Nothing")(b"", timeout=WITHIN_S)
        expect(False, "there is no such method")
    except grpc.RpcError as error:
        expect(error.code() == grpc.StatusCode.UNIMPLEMENTED, f"its status is {error.code()}")
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(message(b"fourtuple.Echo"), timeout=WITHIN_S)
    expect(next(watch) == SERVING, "the first word of a stream that stays open")
    watch.cancel()


def echo(channel):
    # Of several windows' size in sum, one of them larger than a window and just below what tonic takes.
    bodies = [bytes([number % 251]) * size for number, size in enumerate([0, 1, 1_000, 70_000, 3_000_000, 16_384, 9] * 3)]
    back = channel.stream_stream("/fourtuple.Echo/Echo")((message(body) if body else b"" for body in bodies), timeout=WITHIN_S)
    for number, (body, got) in enumerate(zip(bodies, back, strict=True)):
        expect(got == (message(body) if body else b""), f"message {number} of {len(body)} bytes comes back as {len(got)}")


def many(channel):
    """Calls that stand beside one another on one connection."""
    failures = []

    def some(seed):
        call = channel.stream_stream("/fourtuple.Echo/Echo")
        for number in range(50):
            sent = [message(bytes([seed, number]) * 100), message(b"end")]
            if list(call(iter(sent), timeout=WITHIN_S)) != sent:
                failures.append((seed, number))

    threads = [threading.Thread(target=some, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not failures, f"calls beside one another: {failures}")


for target in sys.argv[1:]:
    with grpc.insecure_channel(target) as channel:
        health(channel)
        echo(channel)
        many(channel)
    print("passed", target, flush=True)
