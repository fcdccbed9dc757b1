"""What `serve` counts, held to account: every packet has one verdict, every connection is gone, every pool is full again."""

import time

from stage import expect

# All that a connection takes while it lives.
TAKEN = ("connections", "time_wait", "syn_queue", "accept_queue", "lent_chunks", "send_chunks", "receive_chunks", "flights")
POOLS = ("rx", "tx")
# A worker's counters that only rise; peaks and gauges do not.
RISING = ("rx_packets", "rx_bytes", "tx_packets", "consumed", "accepts", "syns_received", "syn_acks_sent", "turns", "busy_ns")


def total(snapshot, name):
    return sum(worker[name] for worker in snapshot["workers"])


def tcp(snapshot, name):
    return sum(worker["tcp"][name] for worker in snapshot["workers"])


def verdicts_add_up(snapshot):
    """docs/stats.md: what always holds for a worker. The packets received by all of them."""
    for number, worker in enumerate(snapshot["workers"]):
        taken = worker["rx_packets"] + worker["steered_in"]
        told = worker["consumed"] + worker["steered_out"] + sum(worker["dropped"].values())
        expect(taken == told, f"worker {number}: {taken} packets in, {told} verdicts")
    return total(snapshot, "rx_packets")


def none_falls(before, after):
    for one, two in zip(before["workers"], after["workers"]):
        fallen = {name: (one[name], two[name]) for name in RISING if two[name] < one[name]}
        fallen |= {f"tcp.{name}": (value, two["tcp"][name]) for name, value in one["tcp"].items() if two["tcp"][name] < value}
        expect(not fallen, f"worker {one['worker']}: counters fell: {fallen}")


def left_over(snapshot):
    """What is still taken: nothing, when all connections and their TIME_WAIT are over."""
    left = {name: total(snapshot, name) for name in TAKEN}
    left |= {f"{pool}_buffers away": total(snapshot, f"{pool}_buffers") - total(snapshot, f"{pool}_buffers_free") for pool in POOLS}
    # Fragments of packets that never end are held for a minute, and are no connection's.
    left["rx_buffers away"] -= total(snapshot, "fragments_held")
    for worker in snapshot["workers"]:
        for state, count in worker["by_state"].items():
            if state != "listen":
                left[f"in {state}"] = left.get(f"in {state}", 0) + count
    return {name: count for name, count in left.items() if count}


def nothing_left(lab, within_s=15):
    """Waits until nothing is left over; the snapshot then."""
    deadline = time.monotonic() + within_s
    while left := left_over(snapshot := lab.stats()):
        expect(time.monotonic() < deadline, f"left over after {within_s} s: {left}")
        time.sleep(0.2)
    verdicts_add_up(snapshot)
    return snapshot


def connections_add_up(snapshot):
    """With no connection left: what was accepted was begun by a SYN, established, and is over."""
    accepts, established, begun = total(snapshot, "accepts"), tcp(snapshot, "established"), tcp(snapshot, "passive_opens")
    expect(accepts <= established, f"{accepts} accepted, {established} established")
    expect(established <= begun + tcp(snapshot, "active_opens"), f"{established} established, {begun} begun")
    for name in ("timeouts", "handler_panics", "orphans_reset", "listen_overflows", "listen_drops"):
        expect(total(snapshot, name) == 0, f"{total(snapshot, name)} {name}")


def as_at_the_start(start, end):
    """What is a gauge is as it was; `timers` only once the wheel has turned over what was cancelled."""
    for name in ("connections", "time_wait", "accept_queue", "syn_queue", "rx_buffers_free", "tx_buffers_free", "reserved_bytes"):
        before, after = total(start, name), total(end, name)
        expect(before == after, f"{name}: {before} at the start, {after} at the end")
