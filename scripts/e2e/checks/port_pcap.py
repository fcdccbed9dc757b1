"""net_pcap: a recorded file in and a file out, read by tshark; and through libpcap on a veth against Linux."""

import os
import subprocess
import time

import ports
import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 120


def tshark(capture, display_filter="", *fields):
    command = ["tshark", "-n", "-r", capture, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y", display_filter]
    if fields:
        command += ["-T", "fields", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(command, capture_output=True, text=True)
    expect(done.returncode == 0, f"tshark: {stage.last_line(done.stderr)}")
    return done.stdout.splitlines()


def recorded(capture):
    """What Linux sends in one echo conversation, its ARP request included."""
    with stage.Lab() as lab:
        linux = lab.run("linux", ["cat", "/sys/class/net/v1/address"]).stdout.strip()
        dump = lab.start("linux", "tcpdump", ["tcpdump", "-i", "v1", "-U", "-w", capture, "-Z", "root", f"ether src {linux} and (arp or tcp)"])
        dump.wait_for_line("listening on", 10, where="stderr")
        server = lab.serve("echo:7", workers=1)
        stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), 100_000, seed=6)
        time.sleep(0.5)
        mac = lab.run("engine", ["cat", "/sys/class/net/v0/address"]).stdout.strip()
        stage.drain(server)
        dump.end()
    return mac


def replayed():
    given, answers = str(stage.LOGS / "replay.pcap"), str(stage.LOGS / "answers.pcap")
    mac = recorded(given)
    syn = tshark(given, "tcp.flags.syn == 1", "tcp.seq_raw", "tcp.srcport")
    expect(len(syn) == 1, f"{len(syn)} SYNs were recorded")
    sequence, port = map(int, syn[0].split())
    if os.path.exists(answers):
        os.remove(answers)
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, flags=["--mac", mac], attach=["--port", f"vdev:net_pcap0,rx_pcap={given},tx_pcap={answers}"])
        time.sleep(2)
        server.expect_running()
        counted = lab.stats()["port"]
        server.end()  # no drain: the other end of what was replayed never answers
    expect(counted["rx_packets"] == len(tshark(given)), f"of {len(tshark(given))} frames the port received {counted['rx_packets']}")
    expect(tshark(answers, "arp.opcode == 2"), "the ARP request was not answered")
    answer = tshark(answers, "tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.ack_raw", "tcp.dstport", "tcp.checksum.status", "ip.checksum.status")
    expect(answer, "no SYN+ACK among the answers")
    expect(answer[0].split() == [str(sequence + 1), str(port), "1", "1"], f"the SYN+ACK: {answer[0]!r} for SYN {sequence} from {port}")
    wrong = tshark(answers, '_ws.malformed || ip.checksum.status == "Bad" || tcp.checksum.status == "Bad"')
    expect(not wrong, f"answers that are wrong: {wrong[:2]}")
    # The recorded ACKs are for another initial sequence number: RFC 9293 3.10.7.4 answers them by a RST.
    expect(tshark(answers, "tcp.flags.reset == 1"), "segments of another conversation were not reset")


def interface():
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, attach=["--port", "vdev:net_pcap0,rx_iface_in=v0,tx_iface=v0"])
        ports.both_ways(lab, server)
        ports.link_goes_and_comes(lab, server)
        stage.drain(server)


def refusals():
    with stage.Lab() as lab:
        ip = ("--ip", "10.99.0.2/24")
        for why, words, naming in (
            ("a file that is not there", "rx_pcap=/nowhere/in.pcap", "/nowhere/in.pcap"),
            ("nothing to receive from", "tx_pcap=/tmp/x.pcap", "rx_pcap=FILE"),
            ("an interface that is not there", "rx_iface_in=nosuch0,tx_iface=nosuch0", "nosuch0"),
        ):
            ports.refused(lab, why, ("--port", f"vdev:net_pcap0,{words}", *ip), (naming,))


def check():
    stage.need("tcpdump", "tshark", "nstat", "curl")
    for part in (replayed, interface, refusals):
        stage.note(part.__name__)
        part()


stage.main(check)
