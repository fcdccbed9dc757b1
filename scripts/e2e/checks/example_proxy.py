"""The proxy example between Linux and Linux: nginx, 100 MiB both ways at once with half-close, nothing copied, an upstream that refuses."""

import re
import sys
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, LINUX_V4, LINUX_V6, SCRIPTS, expect

TIME_LIMIT_S = 240
TOTAL = 100 << 20
PORT = 8080


def said(proxy, count, wanted=lambda told: True):
    """What the proxy says of its connections that are over, once `count` are wanted ones: how, bytes each way, bytes copied."""
    ends = time.monotonic() + 10
    while True:
        lines = re.findall(r"^\S+: (.+); (\d+) bytes there, (\d+) back, (\d+) copied so far$", proxy.stderr, re.MULTILINE)
        found = [(how, *map(int, numbers)) for how, *numbers in lines]
        if sum(map(wanted, found)) >= count:
            return found
        proxy.expect_running()
        expect(time.monotonic() < ends, f"the proxy says {found[-5:]}, not {count} of what is wanted")
        time.sleep(0.05)


def answered(told):
    how, _, back, _ = told
    return how == "done" and back > 0


def nginx(lab):
    web = lab.start("linux", "nginx", ["nginx", "-c", SCRIPTS / "e2e/nginx.conf", "-g", "daemon off;"])
    proxy = lab.example("proxy", f"{LINUX_V4}:80")
    # From IPv6 to IPv4, too.
    for host, *flags in ([ENGINE_V4], [ENGINE_V4, "-H", "Connection: close"], [f"[{ENGINE_V6}]", "-6"]):
        done = lab.run("linux", ["curl", "-sS", "-m", "10", "--retry", "5", "--retry-connrefused", *flags, f"http://{host}:{PORT}/"])
        expect(done.stdout == "hello from nginx\n", f"through the proxy nginx says {done.stdout!r}")
    done = lab.run("linux", ["ab", "-q", "-n", "500", "-c", "10", "-s", "10", f"http://{ENGINE_V4}:{PORT}/"])
    expect(re.search(r"Complete requests:\s+500\b", done.stdout) and re.search(r"Failed requests:\s+0\b", done.stdout), "ab counted failures")
    # ab opens a few more at its end, and leaves them as they are.
    found = said(proxy, 503, answered)
    expect(not any(copied for *_, copied in found), "something was copied")
    web.expect_running()
    proxy.end()


def both_ways(lab):
    """From IPv4 to IPv6."""
    proxy = lab.example("proxy", f"[{LINUX_V6}]:7")
    # Sends until nobody takes more, and reads nothing: what is under way is bounded, and nobody else waits for it.
    with lab.connect(ENGINE_V4, PORT) as lazy:
        lazy.settimeout(1)
        try:
            while True:
                lazy.sendall(bytes(1 << 20))
        except TimeoutError:
            stage.note("the lazy client's window is closed")
        stage.echo_through_half_close(lab.connect(ENGINE_V4, PORT), TOTAL, seed=1)
    found = said(proxy, 1, answered)
    expect(("done", TOTAL, TOTAL, 0) in found, f"the proxy says {found}")
    proxy.end()


def upstream_closes_first(lab):
    proxy = lab.example("proxy", f"{LINUX_V4}:13")
    done = lab.run("linux", ["sh", "-c", f"timeout 10 nc {ENGINE_V4} {PORT} </dev/null"])
    expect(re.search(r"\d\d:\d\d:\d\d", done.stdout), f"daytime through the proxy: {done.stdout!r}")
    proxy.end()


def refused(lab):
    proxy = lab.example("proxy", f"{LINUX_V4}:1")
    with lab.connect(ENGINE_V4, PORT) as client:
        try:
            expect(not client.recv(1), "bytes from nowhere")
            raise stage.Failed("the client takes an upstream that refused for the end of file")
        except ConnectionResetError:
            pass
    expect(said(proxy, 1) == [("connection refused", 0, 0, 0)], f"the proxy says {said(proxy, 1)}")
    proxy.end()


def check():
    stage.need("curl", "ab", "nc", "nginx", "nstat")
    with stage.Lab() as lab:
        peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
        peer.wait_for_line("^ready$", 10)
        both_ways(lab)
        upstream_closes_first(lab)
        refused(lab)
        peer.end()  # its port 80
        nginx(lab)


stage.main(check)
