"""The object that `load --json` and `demo --json` print, as INTERFACE promises it: fourtuple.load/1."""

import json

from stage import expect

NUMBER = (int, float)
SHAPE = {
    "schema": str,
    "pattern": str,
    "mode": str,
    "connections": int,
    "duration_s": NUMBER,
    "operations": int,
    "operations_per_s": NUMBER,
    "bits_per_s": {"sent": NUMBER, "received": NUMBER},
    "errors": {"connect": int, "reset": int, "timeout": int, "verify": int},
    "latency_ns": {"p50": NUMBER, "p90": NUMBER, "p99": NUMBER, "p99.9": NUMBER, "max": NUMBER},
    "client_limited": bool,
}
SERVER = {"workers": int, "busy_ns_per_operation": NUMBER, "resident_bytes_per_connection": NUMBER, "left_connections": int}


def has_shape(found, shape, where):
    expect(isinstance(found, dict), f"{where} is not an object")
    for key, kind in shape.items():
        expect(key in found, f"{where} lacks {key!r}")
        if isinstance(kind, dict):
            has_shape(found[key], kind, f"{where}.{key}")
        else:
            of_kind = isinstance(found[key], kind) and (kind is bool or not isinstance(found[key], bool))
            expect(of_kind, f"{where}.{key} is {found[key]!r}")


def parse(text, pattern, with_server=False):
    """One object and nothing else on stdout, every promised key in it, and the figures in agreement."""
    try:
        found = json.loads(text)
    except ValueError as error:
        expect(False, f"stdout is not one JSON object: {error}: {text[:200]!r}")
    has_shape(found, SHAPE, "report")
    if with_server:
        expect("server" in found, "report lacks 'server'")
        has_shape(found["server"], SERVER, "report.server")
    expect(found["schema"] == "fourtuple.load/1", f"schema {found['schema']!r}")
    expect(found["pattern"] == pattern, f"pattern {found['pattern']!r}, not {pattern!r}")
    expect(found["mode"] in ("closed", "open"), f"mode {found['mode']!r}")
    if found["operations"] and found["duration_s"] > 0:
        rate = found["operations"] / found["duration_s"]
        expect(abs(rate - found["operations_per_s"]) <= 0.05 * rate + 1, f"{found['operations_per_s']}/s, but {rate:.0f}/s by its own figures")
    latency = found["latency_ns"]
    ordered = [latency[key] for key in ("p50", "p90", "p99", "p99.9", "max")]
    expect(ordered == sorted(ordered), f"percentiles out of order: {latency}")
    return found
