"""tshark reads a capture of a run, with losses in it: no segment of ours is malformed or has a wrong checksum."""

import subprocess

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 120
OURS = f"(ip.src == {ENGINE_V4} || ipv6.src == {ENGINE_V6} || arp.src.proto_ipv4 == {ENGINE_V4})"
WRONG = {
    "malformed": "_ws.malformed",
    "with a wrong IP checksum": "ip.checksum.status == \"Bad\"",
    "with a wrong TCP checksum": "tcp.checksum.status == \"Bad\"",
    "with a wrong ICMP checksum": "icmp.checksum.status == \"Bad\" || icmpv6.checksum.status == \"Bad\"",
    "with a wrong option": "tcp.option.len.invalid || tcp.options.wscale.shift.invalid",
    "what tshark calls an error": '_ws.expert.severity == "Error"',
}


def tshark(capture, display_filter):
    done = subprocess.run(
        ["tshark", "-n", "-r", capture, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y", display_filter],
        capture_output=True, text=True,
    )
    expect(done.returncode == 0, f"tshark: {stage.last_line(done.stderr)}")
    return done.stdout.splitlines()


def check():
    stage.need("tcpdump", "tshark", "curl", "nc")
    capture = str(stage.LOGS / "capture.pcap")
    with stage.Lab("--relay") as lab:
        relay = lab.relay("--loss", "1%", "--reorder", "1%", "--duplicate", "1%", "--seed", "11")
        dump = lab.start("linux", "tcpdump", ["tcpdump", "-i", "v1", "-U", "-B", "16384", "-w", capture, "-Z", "root"])
        dump.wait_for_line("listening on", 10, where="stderr")
        server = lab.serve("echo:7", "http:80", "daytime:13", workers=1)
        for host in (ENGINE_V4, ENGINE_V6):
            stage.echo_through_half_close(lab.connect(host, 7, timeout_s=30), 1 << 20, seed=4)
            url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
            lab.run("linux", ["curl", "-sS", "-m", "20", "-o", "/dev/null", url])
            lab.run("linux", ["nc", "-w", "3", host, "9999"], expect_code=None)  # a RST of ours
            lab.run("linux", ["sh", "-c", f"timeout 20 nc {host} 13 </dev/null"])
        stage.drain(server, within_s=30)
        dump.end()
        relay.end()
        dropped = [line for line in dump.stderr.splitlines() if "dropped by kernel" in line]
        stage.note(str(dropped))

    frames = tshark(capture, OURS)
    expect(len(frames) > 500, f"only {len(frames)} frames of ours in the capture")
    for what, display_filter in WRONG.items():
        bad = tshark(capture, f"{OURS} && ({display_filter})")
        expect(not bad, f"{len(bad)} frames of ours are {what}: {bad[:1]}")
    for kind, display_filter in (("SYN+ACK", "tcp.flags.syn == 1 && tcp.flags.ack == 1"), ("RST", "tcp.flags.reset == 1"), ("FIN", "tcp.flags.fin == 1")):
        expect(tshark(capture, f"{OURS} && {display_filter}"), f"no {kind} of ours in the capture")


stage.main(check)
