"""The file server example against curl, ab and wrk: types, HEAD, keep-alive, what is not there, and no way out of the folder."""

import hashlib
import pathlib
import random
import re
import tempfile

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 120
SECRET = "not for the world"


def folder(temporary):
    root = temporary / "root"
    (root / "sub").mkdir(parents=True)
    (temporary / "secret.txt").write_text(SECRET)
    (root / "out.txt").symlink_to(temporary / "secret.txt")
    (root / "index.html").write_text("<p>hello")
    (root / "sub/a b.txt").write_text("0123456789")
    (root / "sub/large.bin").write_bytes(random.Random(1).randbytes(16 << 20))
    return root


def curl(lab, path, *flags, host=ENGINE_V4):
    """Status, head and body."""
    done = lab.run("linux", ["curl", "-sS", "-m", "20", "--path-as-is", "-i", *flags, f"http://{host}{path}"])
    head, _, body = done.stdout.partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def answers(lab):
    for path, content_type, wanted in (("/", "text/html", "<p>hello"), ("/index.html?x", "text/html", "<p>hello"), ("/sub/a%20b.txt", "text/plain", "0123456789")):
        status, head, body = curl(lab, path)
        expect(status == 200 and body == wanted and f"Content-Type: {content_type}" in head, f"{path}: {head} {body}")
        status, head, body = curl(lab, path, "-I")
        expect(status == 200 and not body and f"Content-Length: {len(wanted)}\r\n" in head + "\r\n", f"HEAD {path}: {head} {body}")
    for path in ("/none", "/sub", "/sub/", "/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "//etc/passwd", "/out.txt", "/..%2fsecret.txt"):
        status, _, body = curl(lab, path)
        expect(status == 404 and SECRET not in body, f"{path} answers {status} {body!r}")
    for flags, wanted in ((["-d", "x=y"], 501), (["-H", "Host:"], 400), (["-H", "X: " + "x" * 9000], 431)):
        expect((found := curl(lab, "/", *flags)[0]) == wanted, f"{flags[0]} {flags[1][:9]} answers {found}, not {wanted}")


def over_ipv6(lab, root):
    host = f"[{ENGINE_V6}]"
    status, _, body = curl(lab, "/", "-6", host=host)
    expect((status, body) == (200, "<p>hello"), f"over IPv6: {status} {body!r}")
    done = lab.run("linux", ["sh", "-c", f"curl -6 -sS -m 60 http://{host}/sub/large.bin | sha256sum"], within_s=70)
    expect(done.stdout.split()[0] == hashlib.sha256((root / "sub/large.bin").read_bytes()).hexdigest(), "over IPv6 16 MiB arrive as something else")


def keep_alive(lab):
    url = f"http://{ENGINE_V4}/"
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n", url, url + "none"])
    expect(done.stdout.split() == ["1", "200", "0", "404"], f"keep-alive: curl says {done.stdout.split()}")
    # Two requests, cut in the middle, then the end of file: both are answered.
    with lab.connect(ENGINE_V4, 80) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/a%20b")
        connection.sendall(b".txt HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.shutdown(stage.socket.SHUT_WR)
        said = b""
        while more := connection.recv(65536):
            said += more
    expect(said.count(b"200 OK") == 2 and said.endswith(b"0123456789"), f"after a half-close: {said!r}")


def large(lab, root):
    wanted = hashlib.sha256((root / "sub/large.bin").read_bytes()).hexdigest()
    with lab.connect(ENGINE_V4, 80) as lazy:  # does not read, and is in nobody's way
        lazy.sendall(b"GET /sub/large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        done = lab.run("linux", ["sh", "-c", f"curl -sS -m 60 http://{ENGINE_V4}/sub/large.bin | sha256sum"], within_s=70)
    expect(done.stdout.split()[0] == wanted, "16 MiB arrive as something else")


def loaded(lab):
    for flags in ([], ["-k"]):
        done = lab.run("linux", ["ab", "-q", "-n", "2000", "-c", "20", "-s", "10", *flags, f"http://{ENGINE_V4}/"])
        expect(re.search(r"Complete requests:\s+2000\b", done.stdout), "ab did not complete its requests")
        expect(re.search(r"Failed requests:\s+0\b", done.stdout) and "Non-2xx" not in done.stdout, "ab counted failures")
    done = lab.run("linux", ["wrk", "-t", "1", "-c", "50", "-d", "3s", f"http://{ENGINE_V4}/"])
    expect("Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, "wrk counted errors")
    expect(float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)) > 0, "wrk made no requests")


def check():
    stage.need("curl", "ab", "wrk", "nstat")
    with tempfile.TemporaryDirectory() as temporary, stage.Lab() as lab:
        root = folder(pathlib.Path(temporary))
        server = lab.example("files", root)
        before = lab.linux_counters()
        answers(lab)
        over_ipv6(lab, root)
        keep_alive(lab)
        loaded(lab)
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
        large(lab, root)
        server.expect_running()


stage.main(check)
