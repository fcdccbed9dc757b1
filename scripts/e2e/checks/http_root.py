"""serve http --root: files, HEAD, ranges, conditions, what is not there, and no way out of the folder; in both modes."""

import hashlib
import os
import pathlib
import random
import re
import tempfile

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 180
LARGE = 64 << 20
SECRET = "not for you"


def folder(path):
    root = path / "root"
    (root / "sub dir").mkdir(parents=True)
    (root / "empty-folder").mkdir()
    (path / "secret.txt").write_text(SECRET)
    (root / "index.html").write_text("<p>home\n")
    (root / "sub dir" / "data.json").write_text('{"a":1}')
    (root / "ten.txt").write_text("0123456789")
    (root / "out").symlink_to(path)
    (root / "out.txt").symlink_to(path / "secret.txt")
    (root / "within.txt").symlink_to("ten.txt")
    (root / "round").symlink_to(".")
    os.mkfifo(root / "pipe")
    source = random.Random(7)
    with open(root / "large.bin", "wb") as large:
        for _ in range(LARGE >> 20):
            large.write(source.randbytes(1 << 20))
    return root


class Curl:
    def __init__(self, lab):
        self.lab = lab

    def __call__(self, path, *flags, host=ENGINE_V4):
        """Status, head and body of one request."""
        done = self.lab.run("linux", ["curl", "-sS", "-m", "20", "-i", "--path-as-is", *flags, f"http://{host}{path}"])
        head, _, body = done.stdout.partition("\r\n\r\n")
        return int(head.split()[1]), head, body


def files(curl):
    for host in (ENGINE_V4, f"[{ENGINE_V6}]"):
        status, head, body = curl("/", host=host)
        expect((status, body) == (200, "<p>home\n"), f"/ at {host}: {status} {body!r}")
        expect("\r\nContent-Type: text/html" in head and "\r\nLast-Modified: " in head, f"/ says {head!r}")
    status, head, body = curl("/sub%20dir/data.json")
    expect((status, body) == (200, '{"a":1}') and "Content-Type: application/json" in head, f"data.json: {head!r} {body!r}")
    status, head, body = curl("/ten.txt", "-I")
    expect(status == 200 and "Content-Length: 10" in head and not body, f"HEAD: {head!r} {body!r}")
    status, head, _ = curl("/sub%20dir")
    expect(status == 301 and "Location: /sub%20dir/" in head, f"a folder without its slash: {head!r}")
    status, head, _ = curl("/ten.txt", "-X", "DELETE")
    expect(status == 405 and "Allow: GET, HEAD" in head, f"DELETE: {head!r}")
    expect(curl("/within.txt")[2] == "0123456789", "a link within the folder is not followed")


def parts(curl):
    for asked, status, body, part in (
        ("2-4", 206, "234", "bytes 2-4/10"), ("7-", 206, "789", "bytes 7-9/10"), ("-3", 206, "789", "bytes 7-9/10"),
        ("-99", 206, "0123456789", "bytes 0-9/10"), ("10-", 416, None, "bytes */10"), ("0-1,4-5", 200, "0123456789", None),
    ):
        found, head, text = curl("/ten.txt", "-r", asked)
        expect(found == status and (body is None or text == body), f"range {asked}: {found} {text!r}")
        expect(part is None or f"Content-Range: {part}" in head, f"range {asked}: {head!r}")
    _, head, _ = curl("/ten.txt")
    tag, changed = (re.search(rf"^{name}: (.*?)\r?$", head, re.M).group(1) for name in ("ETag", "Last-Modified"))
    expect(curl("/ten.txt", "-H", f"If-None-Match: {tag}")[0] == 304, "If-None-Match")
    expect(curl("/ten.txt", "-H", f"If-Modified-Since: {changed}")[0] == 304, "If-Modified-Since")
    expect(curl("/ten.txt", "-H", 'If-None-Match: "other"')[0] == 200, "another tag")


def no_way_out(curl):
    for path in (
        "/../secret.txt", "/../../../../etc/passwd", "/sub%20dir/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt", "/.%2e/secret.txt", "//etc/passwd", "/out.txt", "/out/secret.txt", "/round/out.txt",
        "/ten.txt%00", "/%00", "/..%c0%afsecret.txt", "/..%5csecret.txt", "/pipe", "/none", "/empty-folder/", "/sub%20dir/",
    ):
        status, _, body = curl(path)
        expect(status in (400, 404), f"{path} answers {status}")
        expect(SECRET not in body and "root:" not in body, f"{path} gives {body!r}")


def large(lab, root):
    wanted = hashlib.sha256((root / "large.bin").read_bytes()).hexdigest()
    done = lab.run("linux", ["sh", "-c", f"curl -sS -m 90 http://{ENGINE_V4}/large.bin | sha256sum"], within_s=100)
    expect(done.stdout.split()[0] == wanted, "64 MiB arrive as something else")
    # Somebody who stops reading does not stop the others.
    with lab.connect(ENGINE_V4, 80) as lazy:
        lazy.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        done = lab.run("linux", ["curl", "-sS", "-m", "10", f"http://{ENGINE_V4}/ten.txt"])
        expect(done.stdout == "0123456789", "a slow reader is in the way")


def keep_alive(lab):
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n",
                             f"http://{ENGINE_V4}/ten.txt", f"http://{ENGINE_V4}/none", f"http://{ENGINE_V4}/"])
    expect(done.stdout.split() == ["1", "200", "0", "404", "0", "200"], f"keep-alive: curl says {done.stdout.split()}")


def check():
    stage.need("curl", "nstat")
    with tempfile.TemporaryDirectory() as temporary:
        root = folder(pathlib.Path(temporary))
        for mode in ("handler", "threads=2"):
            with stage.Lab("--queues", "2") as lab:
                server = lab.serve("http:80", workers=2, flags=["--mode", mode, "--root", root])
                server.wait_for_line(r"^root: 5 files, \d+ bytes", 1, where="stderr")
                before, curl = lab.linux_counters(), Curl(lab)
                files(curl)
                parts(curl)
                no_way_out(curl)
                keep_alive(lab)
                stage.expect_linux_unharmed(before, lab.linux_counters())
                large(lab, root)
                stage.drain(server)
            stage.note(f"{mode} passed")


stage.main(check)
