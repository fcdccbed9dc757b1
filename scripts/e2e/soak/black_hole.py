"""The path to Linux becomes too narrow for our segments for good: the transfers go on in smaller ones, and leave nothing behind.

Where ICMP tells, at once (RFC 1191, RFC 8201). Where nothing tells, after two timeouts (RFC 4821), and what the path carries is
found out by probes.
"""

import concurrent.futures

import accounts
import stage

TIME_LIMIT_S = 300
GIVEN_UP_S = 200
TOTAL = 64 << 20


def transfer(lab, host):
    connection = lab.connect(host, 7, timeout_s=30)
    try:
        stage.echo_through_half_close(connection, TOTAL, seed=1, patience_s=GIVEN_UP_S)
        return "done"
    except stage.Failed as why:
        return f"given up: {why}"
    finally:
        connection.close()


def one(flags):
    with stage.Lab("--relay") as lab:
        relay = lab.relay("--mtu-ab", "1400", "--mtu-during-ab", "200ms", *flags)
        server = lab.serve("echo:7", workers=1, flags=["--msl", "100ms"])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda host: transfer(lab, host), (stage.ENGINE_V4, stage.ENGINE_V6)))
        for outcome in outcomes:
            stage.expect("no progress" not in outcome, outcome)
        snapshot = accounts.nothing_left(lab, within_s=60)
        stage.drain(server)
        relay.end()
    stage.expect(outcomes == ["done", "done"], f"{'ICMP told' if flags else 'silent'}: {outcomes}")
    ended = accounts.total(snapshot, "timeouts")
    suspected, probes = (accounts.tcp(snapshot, name) for name in ("path_mtu_suspected", "path_mtu_probes"))
    if not flags:
        stage.expect(suspected > 0, "nothing was suspected")
    stage.note(f"suspected {suspected} times, {probes} probes")
    stage.progress(f"{' '.join(flags) or 'silent'}: {outcomes[0]}, {outcomes[1]}; {ended} ended by a time limit")
    return f"| {'ICMP tells' if flags else 'silent'} | {outcomes[0]} | {outcomes[1]} | {ended} |"


def check():
    lines = [one(()), one(("--mtu-tells-ab",))]
    stage.record("| black hole | echo v4 | echo v6 | ended by a time limit |\n|---|---|---|---|\n" + "\n".join(lines) + "\n")


stage.main(check)
