"""`fourtuple load http` against nginx and against Python's http.server: keep-alive, pipelining, chunked, close, 404."""

import pathlib
import sys
import tempfile

import report
import stage
from stage import LINUX_V4, LINUX_V6, expect

TIME_LIMIT_S = 150

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    keepalive_requests 100;
    server {{
        listen 80; listen [::]:80;
        root {folder}/root;
        location = /chunked {{ ssi on; ssi_types *; default_type text/html; alias {folder}/root/chunked.html; }}
    }}
}}
"""

PYTHON = """
import http.server, itertools
count = itertools.count()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for size in (1, 10, 3000):
                self.wfile.write(b"%x;name=value\\r\\n%s\\r\\n" % (size, b"x" * size))
            self.wfile.write(b"0\\r\\nTrailer: yes\\r\\n\\r\\n")
        elif self.path == "/until-closed":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"x" * 5000)
        else:
            self.send_header("Content-Length", "5")
            if next(count) % 3 == 0:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"hello")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Answer)
print("ready", flush=True)
server.serve_forever()
"""


def load(lab, pattern, target, *flags, code=0):
    done = lab.run("engine", [
        stage.fourtuple(), "load", pattern, target, *stage.ATTACH, "--json", *flags,
    ], within_s=40, expect_code=code)
    found = report.parse(done.stdout, pattern)
    expect("status" in found["errors"], f"errors lack the status: {found['errors']}")
    if code == 0:
        expect(found["operations"] > 0, f"{pattern} {target}: no operation")
        expect(not any(found["errors"].values()), f"{pattern} {target}: errors {found['errors']}")
    return found


def check():
    stage.need("nginx", "nstat")
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        folder.chmod(0o755)
        (folder / "root").mkdir()
        (folder / "root/index.html").write_text("x" * 1000)
        (folder / "root/large").write_bytes(b"x" * 300_000)
        (folder / "root/chunked.html").write_text('<!--# echo var="uri" -->' + "x" * 2000)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        peer = lab.start("linux", "nginx", ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
        lab.run("linux", ["sh", "-c", "for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1/ && exit 0; sleep 0.1; done; exit 1"])
        for host in (LINUX_V4, f"[{LINUX_V6}]"):
            # nginx closes after each 100 requests: the rest of the pipeline goes over the next connection.
            found = load(lab, "http", f"{host}:80", "-c", "8", "-n", "5000", "--pipeline", "4")
            expect(found["operations"] == 5000, f"{found['operations']} operations, not 5000")
        load(lab, "http", f"{LINUX_V4}:80", "-c", "2", "-d", "2s", "--path", "/large")
        load(lab, "http", f"{LINUX_V4}:80", "-c", "2", "-n", "500", "--path", "/chunked", "-s", "500")
        load(lab, "crr", f"{LINUX_V4}:80", "-c", "4", "-n", "500", "--close", "server")
        found = load(lab, "http", f"{LINUX_V4}:80", "-c", "2", "-n", "100", "--path", "/none", code=1)
        expect(found["operations"] == 0 and found["errors"]["status"] == 100, f"404s are {found}")
        peer.expect_running()

        script = folder / "server.py"
        script.write_text(PYTHON)
        python = lab.start("linux", "python", [sys.executable, script])
        python.wait_for_line("^ready$", 10)
        for path in ("/", "/chunked", "/until-closed"):
            found = load(lab, "http", f"{LINUX_V4}:8080", "-c", "4", "-n", "300", "--path", path)
            expect(found["operations"] == 300, f"{path}: {found['operations']} operations, not 300")
        python.expect_running()


stage.main(check)
