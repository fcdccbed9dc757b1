"""What every server variant has to stand: curl, ab, nc and wrk from Linux's side, without one error on either side."""

import re
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, Failed, expect

ALL = ("echo:7", "discard:9", "chargen:19", "daytime:13", "http:80")


def curl(lab):
    for host in (ENGINE_V4, f"[{ENGINE_V6}]"):
        done = lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\n", f"http://{host}/"])
        code, size = done.stdout.split()
        expect(code == "200" and int(size) > 0, f"curl http://{host}/ says {done.stdout.strip()}")
    # Several requests over one connection, then a HEAD.
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n",
                             f"http://{ENGINE_V4}/a", f"http://{ENGINE_V4}/b"])
    expect(done.stdout.split() == ["1", "200", "0", "200"], f"keep-alive: curl says {done.stdout.split()}")
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-I", f"http://{ENGINE_V4}/"])
    expect(done.stdout.startswith("HTTP/1.1 200"), f"HEAD: {stage.last_line(done.stdout)}")


def nc(lab):
    for host in (ENGINE_V4, ENGINE_V6):
        # Echo through half-close: nc -N sends FIN at the end of its input and reads to the server's.
        done = lab.run("linux", ["sh", "-c", f"printf 'hello over tcp' | timeout 10 nc -N {host} 7"])
        expect(done.stdout == "hello over tcp", f"echo at {host} returned {done.stdout!r}")
        done = lab.run("linux", ["sh", "-c", f"head -c 1000000 /dev/zero | timeout 10 nc -N {host} 9 | wc -c"])
        expect(done.stdout.strip() == "0", f"discard at {host} returned {done.stdout.strip()} bytes")
        done = lab.run("linux", ["sh", "-c", f"timeout 10 nc {host} 13 </dev/null"])
        expect(re.search(r"\d\d:\d\d:\d\d", done.stdout), f"daytime at {host} returned {done.stdout!r}")


def ab(lab):
    for extra in ([], ["-k"]):
        done = lab.run("linux", ["ab", "-q", "-n", "2000", "-c", "20", "-s", "10", *extra, f"http://{ENGINE_V4}/"], within_s=60)
        expect(re.search(r"Complete requests:\s+2000\b", done.stdout), "ab did not complete its requests")
        expect(re.search(r"Failed requests:\s+0\b", done.stdout), "ab counted failed requests")
        expect("Non-2xx" not in done.stdout, "ab got answers other than 2xx")


def wrk(lab, seconds, connections=100):
    for host in (ENGINE_V4, f"[{ENGINE_V6}]"):
        done = lab.run("linux", ["wrk", "-t", "1", "-c", connections, "-d", f"{seconds}s", "--latency", f"http://{host}/"], within_s=seconds + 20)
        for bad in ("Socket errors", "Non-2xx"):
            found = [line.strip() for line in done.stdout.splitlines() if bad in line]
            expect(not found, f"wrk: {found}")
        rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
        if not rate or float(rate.group(1)) <= 0:
            raise Failed("wrk made no requests")


def chargen(lab):
    for host in (ENGINE_V4, ENGINE_V6):
        done = lab.run("linux", ["sh", "-c", f"timeout 10 nc {host} 19 </dev/null | head -c 200000"], expect_code=None)
        expect(len(done.stdout) == 200000, f"chargen at {host} returned {len(done.stdout)} bytes")
        lines = done.stdout.split("\r\n")[:-1]
        expect(all(len(line) == 72 for line in lines), "chargen's lines are not 72 characters long")
        for one, two in zip(lines, lines[1:]):
            expect(one[1:] == two[:71], "chargen's lines do not turn by one character (RFC 864)")


def exercise(lab, server, wrk_seconds):
    """All of it, then what Linux and the server counted."""
    before = lab.linux_counters()
    for part in (curl, nc, ab):
        part(lab)
        server.expect_running()
    stage.expect_linux_unharmed(before, lab.linux_counters())

    # wrk and `nc | head` leave connections with unread bytes behind, which Linux answers with a RST of its own: that is
    # not damage.
    before = lab.linux_counters()
    chargen(lab)
    wrk(lab, wrk_seconds)
    server.expect_running()
    time.sleep(0.5)  # let the last segments of what wrk left behind arrive
    stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
