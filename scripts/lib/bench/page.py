"""The page: docs/PERFORMANCE.md made of a report, the sections that others write kept, and what differs from the last report."""

import re

# More of the machine than this in others' hands, and no figure of time means anything.
DISTURBED = 0.1


def rate(value):
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.2f} {unit}/s" if factor == 1e6 else f"{value / factor:.0f} {unit}/s"
    return f"{value:.0f} /s"


def microseconds(ns):
    return f"{ns / 1000:.1f} µs"


def figures(name, found):
    """What a row shows of its result."""
    if name == "sizes":
        return " · ".join(f"{point['size']} B: {point['cost_ns']:.0f} ns" for point in found["points"])
    if name == "memory":
        beside = found["beside"]
        each = ", ".join(f"{what.removeprefix('each ')} {size:.0f} B" for what, size in beside.items() if what.startswith("each "))
        return f"{found['bytes'].get('all', 0):.0f} B reserved, {beside.get('OS: server built', 0):.0f} B by the OS; {each}"
    if name.startswith("hold"):
        return f"{found['operations']:,} held; {found['reserved_bytes']:.0f} B reserved an end, {found['os_bytes_both_ends']:.0f} B of the OS for both ends with everything; {found['left_connections']} left at the end"
    if name == "hand_off":
        wake = found["wake_ns"]
        return f"{found['cost_ns']:.0f} ns more ({found['handed_off_ns']:.0f} with an endpoint, {found['handler_ns']:.0f} with a handler); woken in {microseconds(wake['endpoint_p50'])}, {found['wake_ratio']:.2f} × an eventfd's {microseconds(wake['eventfd_p50'])}"
    if name == "latency_10":
        told = f"p50 {found['p50_ns']:.0f} ns, p99 {found['p99_ns']:.0f} ns, most {microseconds(found['max_ns'])} of {found['requests']:,.0f}"
        if "lost_percent" in found:
            told += f"; the thread was away for {found['lost_percent']:.1f} % of the time, p99 of what that did not hold up {found['undisturbed_p99_ns']:.0f} ns"
        return told
    if name == "lossy":
        return f"{found['ratio']:.3f} × (95 % {found['interval'][0]:.3f} to {found['interval'][1]:.3f}), {found['of']}"
    if name == "two_workers":
        return f"{found['one']:.0f} of one, {found['two']:.0f} of two: {(found['ratio'] - 1) * 100:+.1f} %"
    if name == "stages":
        return " · ".join(f"{stage} {found['ns'][stage]:.0f} ns" for stage in ("exchange_64", "exchange_64_of_10k", "exchange_64_of_1m", "crr") if stage in found["ns"])
    if name == "instructions":
        return " · ".join(f"{stage} {found['instructions'][stage]:.0f}" for stage in ("exchange_64", "crr", "bulk_segment_in", "bulk_segment_out") if stage in found["instructions"])
    if name == "http":
        return f"{rate(found['requests_per_s'])}, nginx {rate(found['nginx']['requests_per_s'])} ({found['nginx']['state']})"
    if name.startswith("epoll"):
        return f"{rate(found['operations_per_s'])}, p50 {microseconds(found['latency_ns']['p50'])}; connect, ask, close {rate(found['connects_per_s'])}"
    if name == "smoltcp":
        each = " · ".join(f"{connections} connections: {ns:.0f} ns a side" for connections, ns in found["ns_a_side"].items())
        return f"{each}; bulk {found['gbit_per_s']:.1f} Gb/s"
    if name == "floor":
        return " · ".join(f"{what}: {cycles:.1f} cycles" for what, cycles in list(found["cycles"].items())[:4])
    if "gbit_per_s" in found:
        spread = found.get("spread")
        several = f" ({found['samples']} samples, {spread['least']:.1f}–{spread['most']:.1f})" if spread and spread["of"] == "gbit_per_s" else ""
        return f"{found['gbit_per_s']:.1f} Gb/s{several}"
    latency = found.get("latency_ns") or {}
    told = ""
    if found.get("connections", 0) >= 1_000_000:
        told = f"; {found['reserved_bytes']:.0f} B reserved an end, {found['os_bytes_both_ends']:.0f} B of the OS for both, {found['left_connections']} left at the end"
    if found.get("client_limited"):
        told += "; the generator was the limit"
    more, told = told, f"cost {found['cost_ns']:.0f} ns, {rate(found['operations_per_s'])}"
    if latency.get("p50"):
        told += f", p50 {microseconds(latency['p50'])}, p99 {microseconds(latency['p99'])}"
    if (spread := found.get("spread")) and spread["of"] == "cost_ns":
        told += f" ({found['samples']} samples, {spread['least']:.0f}–{spread['most']:.0f} ns)"
    return told + more


def brief(row, result):
    if "unmeasured" in result:
        return f"not measured: {result['unmeasured']}"
    if "failed" in result:
        return f"FAILED: {result['failed']}"
    state = f" [{result['state']}]" if "state" in result else ""
    return figures(row.name, result) + state


# What is compared between two runs: row, path to the number, whether less is better.
COMPARED = [
    ("rr_64", ("cost_ns",), True), ("rr_10k", ("cost_ns",), True), ("rr_1m", ("cost_ns",), True), ("rr_10m", ("cost_ns",), True),
    ("crr", ("cost_ns",), True), ("crr_rst", ("cost_ns",), True), ("hand_off", ("cost_ns",), True), ("hand_off", ("wake_ratio",), True),
    ("latency_10", ("p50_ns",), True), ("latency_10", ("p99_ns",), True), ("lossy", ("ratio",), False), ("two_workers", ("ratio",), True),
    ("bulk_in", ("gbit_per_s",), False), ("bulk_out", ("gbit_per_s",), False), ("memory", ("bytes", "all"), True),
    ("stages", ("ns", "exchange_64"), True), ("instructions", ("instructions", "exchange_64"), True),
    ("instructions", ("instructions", "crr"), True), ("epoll_veth", ("operations_per_s",), False), ("http", ("requests_per_s",), False),
]


def at(result, path):
    for key in path:
        result = result.get(key) if isinstance(result, dict) else None
    return result


def differences(before, now):
    """Lines that say what changed by more than 2 % in rows that were measured now; figures of cores that were placed otherwise
    are not compared."""
    if before is None:
        return ["bench: there is no committed run to compare with"]
    lines = []
    for name, path, less in COMPARED:
        old, new = before["rows"].get(name, {}), now.get(name, {})
        was, is_now = at(old, path), at(new, path)
        if not was or not is_now:
            continue
        label = f"{name} {path[-1]}"
        if old.get("state") != new.get("state") or "→" in str(new.get("state")):
            lines.append(f"bench: {label}: not compared, {old.get('state')} then, {new.get('state')} now")
        elif abs(is_now / was - 1) > 0.02:
            better = (is_now < was) == less
            lines.append(f"bench: {label}: {was:.1f} → {is_now:.1f} ({(is_now / was - 1) * 100:+.1f} %, {'better' if better else 'WORSE'})")
    return lines or [f"bench: nothing differs by more than 2 % from the committed run"]


def plots(rows):
    """The plots, as `fourtuple-peers plot` draws them; those without points are left out."""
    costs = [(connections, rows[name]["cost_ns"]) for name, connections in (("rr_64", 64), ("rr_10k", 10_000), ("rr_1m", 1_000_000), ("rr_10m", 10_000_000)) if "cost_ns" in rows.get(name, {})]
    stages = rows.get("stages", {}).get("ns", {})
    one_core = [(connections, stages[name]) for name, connections in (("exchange_64", 64), ("exchange_64_of_10k", 10_000), ("exchange_64_of_1m", 1_000_000)) if name in stages]
    smol = rows.get("smoltcp", {}).get("ns_a_side", {})
    points = rows.get("sizes", {}).get("points", [])
    latency = [
        (name, [(float(key[1:]), value / 1000) for key, value in rows[row]["latency_ns"].items() if key.startswith("p")])
        for row, name in (("rr_64", "fourtuple"), ("epoll_lo", "Linux, loopback"), ("epoll_veth", "Linux, veth"))
        if rows.get(row, {}).get("latency_ns")
    ]
    parts = [(name, bytes_) for name, bytes_ in rows.get("memory", {}).get("bytes", {}).items() if name != "all"]
    piled = [(place + 1, sum(bytes_ for _, bytes_ in parts[: place + 1])) for place in range(len(parts))]
    os_bytes = [(rows[name]["connections"], rows[name]["os_bytes_both_ends"] / 2) for name in ("rr_10k", "hold_1m", "hold_10m") if "os_bytes_both_ends" in rows.get(name, {})]
    reserved = [(rows[name]["connections"], rows[name]["reserved_bytes"]) for name in ("hold_1m", "hold_10m") if "reserved_bytes" in rows.get(name, {})]
    added = [(float(name[1:]), ns / 1000) for name, ns in rows.get("latency_10", {}).get("percentiles", {}).items()]
    two = rows.get("two_workers", {})
    workers = [(1, two["one"]), (2, two["two"])] if "one" in two else []
    by_loss = [(point["loss"], point["ratio"]) for point in rows.get("lossy", {}).get("by_loss", [])]
    series = lambda *named: [{"name": name, "points": points} for name, points in named if points]  # noqa: E731
    return [plot for plot in [
        {"file": "connections.svg", "title": "Cost of one exchange of 64 B at the server", "x": "connections", "y": "ns", "log_x": True,
         "series": series(("two cores, DPDK ring", costs), ("one core, no port", one_core), ("smoltcp, a side", [(int(key), value) for key, value in smol.items()]))},
        {"file": "sizes.svg", "title": "Cost of one exchange by the size of its message", "x": "octets", "y": "ns", "log_x": True,
         "series": series(("fourtuple", [(point["size"], point["cost_ns"]) for point in points]))},
        {"file": "workers.svg", "title": "Instructions of one exchange of 64 B by the number of workers", "x": "workers", "y": "instructions",
         "series": series(("fourtuple", workers))},
        {"file": "loss.svg", "title": "Goodput by loss, RTT 20 ms: ours as a part of Linux's", "x": "loss in %", "y": "ratio", "log_x": True,
         "series": series(("ours / Linux", by_loss), ("Linux", [(loss, 1.0) for loss, _ in by_loss]))},
        {"file": "latency.svg", "title": "Latency: 64 connections in closed loop; and what the engine adds at 10 % load", "x": "percentile", "y": "µs", "log_y": True,
         "series": series(*latency, ("added, frame in to frame out", added))},
        {"file": "memory.svg", "title": "Bytes reserved for a connection, piled up part by part", "x": "part", "y": "bytes",
         "series": series(("sum", piled))},
        {"file": "memory-connections.svg", "title": "Bytes of an end of a connection", "x": "connections", "y": "bytes", "log_x": True,
         "series": series(("of the OS, with everything", os_bytes), ("reserved", reserved))},
    ] if plot["series"]]


MARKED = re.compile(r"<!-- (?P<name>[\w-]+): begin -->.*?<!-- (?P=name): end -->", re.DOTALL)


def others(page):
    """The sections between markers, which others write: kept as they stand."""
    try:
        return [match.group(0) for match in MARKED.finditer(page.read_text())]
    except OSError:
        return []


def whole(report, rows, kept):
    machine, versions, found = report["machine"], report["versions"], report["rows"]
    several = len({(result["date"][:10], result["commit"]) for result in found.values()}) > 1
    dates = sorted(result["date"] for result in found.values())
    out = [
        "# Performance", "",
        "Written by `scripts/bench --record`; sections between marker comments are written by others and kept. Read",
        "[tuning.md](tuning.md) for how each figure is taken, where the nanoseconds go, and what to set.", "",
        "| | |", "|---|---|",
        f"| date | {dates[0] if dates else ''}{' to ' + dates[-1] if dates and dates[-1] != dates[0] else ''} |",
        f"| command | `scripts/bench --record`, or a part of it with `--only` |",
        f"| commit | {', '.join(sorted({result['commit'] for result in found.values()}))} |",
        f"| machine | {machine['processor']}, {machine['cores']} cores{' of a virtual machine' if machine['virtual'] else ''}, TSC {machine['tsc_ghz']} GHz, {machine['memory_gib']} GiB, {machine['huge_pages_2m']} huge pages of 2 MiB, Linux {machine['kernel']} |",
        f"| versions | rustc {versions['rustc']}{' (' + versions['rustflags'] + ')' if versions['rustflags'] else ''}, DPDK {versions['dpdk']}, nginx {versions['nginx']}, wrk {versions['wrk']} |",
        f"| cores | {placements([look for result in found.values() for look in result['placements']])} |", "",
        *invalid(found),
        "**Cost** is the busy time of the server's worker an operation, by the time-stamp counter. **State** is how near the two cores",
        "were to each other, before and after the sample; figures of different states can't be compared. Where a sample takes",
        "minutes both states are told, if they differ. Of several samples the median is told, with the least and the most.", "",
        "| row | what | target | measured | state |" + (" taken |" if several else ""), "|---|---|---|---|---|" + ("---|" if several else ""),
    ]
    for row in rows:
        result = found.get(row.name)
        if result is None:
            continue
        if "unmeasured" in result:
            shown = f"*not measured: {result['unmeasured']}*"
        elif "failed" in result:
            shown = f"**failed**: {result['failed']}"
        else:
            shown = figures(row.name, result) + elsewhere(result)
        taken = f" {result['date']}, {result['commit']} |" if several else ""
        out.append(f"| `{row.name}` | {row.what} | {row.target} | {shown.replace('|', '/')} | {result.get('state', '')} |{taken}")
    out += ["", "The open-loop generator has no row: it is no part of the engine's cost.", ""]
    out += [f"![{plot['title']}](performance/{plot['file']})\n" for plot in report["plots"]]
    if parts := found.get("memory", {}).get("bytes"):
        beside = found["memory"]["beside"]
        out += ["## Memory of a connection", "", "| part | bytes |", "|---|---|", *(f"| {part} | {size:.1f} |" for part, size in {**parts, **beside}.items()), ""]
    out += PEERS_BY_HAND
    for section in kept:
        out += [section, ""]
    return "\n".join(out)


# What scripts can't install: taken by hand, on the same kind of machine, not in this run.
PEERS_BY_HAND = [
    "## Peers that scripts can't install", "",
    "Taken by hand, on the same kind of machine and not in this run; who has them may take them again.", "",
    "| peer | how | requests, 64 B | connect, exchange, close |", "|---|---|---|---|",
    "| F-Stack | HTTP over memif, one core an end | ≈ 1.16 M/s (≈ 2,200 cycles each) | 120–135 k/s |",
    "| Demikernel catnip | echo between two of its own over memif | 66–100 k/s | – |",
    "| dperf, a pair | over memif; it repairs no loss | 3.29 M/s | 1.1 M/s |",
    "| dperf against `fourtuple serve http:80` | over memif, as [ports.md](ports.md#loading-it-with-dperf) says, with its table | 1.04 M/s | 130 k/s |", "",
    "[load-json.md](load-json.md) says how `fourtuple load` tells its figures.", "",
]


def elsewhere(result):
    """What samples of other states gave, beside the row's own."""
    told = []
    for state, found in result.get("in_other_states", {}).items():
        name, value = next((name, value) for name, value in found.items() if name != "samples")
        shown = f"{value:.1f} Gb/s" if name.startswith("gbit") else f"{value:.0f}{' ns' if name.endswith('_ns') else '/s'}"
        told.append(f"{state}: {shown}")
    return f"; in other states {', '.join(told)}" if told else ""


def invalid(found):
    names = [f"`{name}`" for name, result in found.items() if result["disturbed"] > DISTURBED]
    if not names:
        return []
    return [f"**Invalid**: others took more than {DISTURBED:.0%} of the machine during {', '.join(names)}. Times of these show only that the rows work.", ""]


def placements(found):
    states = {}
    for each in found:
        states.setdefault(each["state"], []).append(each.get("round_trip_ns"))
    told = []
    for state, trips in states.items():
        trips = [trip for trip in trips if trip]
        told.append(f"{state} in {len(trips) or 'all'} looks" + (f", a line there and back {min(trips):.0f}–{max(trips):.0f} ns" if trips else ""))
    return "; ".join(told) or "not looked at"
