"""The path to Linux becomes too narrow for our segments for good: what waits ends, and leaves nothing behind.

Where ICMP tells, the transfers are done in smaller segments. Where nothing tells, and nobody probes (RFC 4821), a connection whose
segments all vanish ends by its time limit (R2 of RFC 9293 §3.8.3), after some two minutes. One that hangs is wrong either way.
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
    if flags:
        stage.expect(outcomes == ["done", "done"], f"though ICMP told: {outcomes}")
    ended = accounts.total(snapshot, "timeouts")
    stage.progress(f"{' '.join(flags) or 'silent'}: {outcomes[0]}, {outcomes[1]}; {ended} ended by a time limit")
    return f"| {'ICMP tells' if flags else 'silent'} | {outcomes[0]} | {outcomes[1]} | {ended} |"


def check():
    lines = [one(()), one(("--mtu-tells-ab",))]
    stage.record("| black hole | echo v4 | echo v6 | ended by a time limit |\n|---|---|---|---|\n" + "\n".join(lines) + "\n")


stage.main(check)
