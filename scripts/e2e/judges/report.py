"""What came of the cases: lines, tables, and what was known before (reasons.toml)."""

import contextlib
import dataclasses
import fnmatch
import pathlib
import platform
import time
import tomllib

from judges import arena, runner

HERE = pathlib.Path(__file__).resolve().parent
NAMES = {"ours": "Fourtuple", "linux": "Linux"}


@dataclasses.dataclass
class Reason:
    """Why cases come out otherwise than they should, or otherwise than on the other stack."""

    cases: list
    text: str

    def covers(self, name):
        # Brackets are part of a case's name, so fnmatch must not read them.
        plain = name.replace("[", "(").replace("]", ")")
        return any(fnmatch.fnmatchcase(plain, pattern.replace("[", "(").replace("]", ")")) for pattern in self.cases)


@dataclasses.dataclass
class Reasons:
    fails: dict
    differs: list

    @classmethod
    def read(cls):
        with open(HERE / "reasons.toml", "rb") as file:
            said = tomllib.load(file)

        def of(rows):
            return [Reason(row["cases"], " ".join(row["why"].split())) for row in rows]

        return cls({stack: of(said.get("fails", {}).get(stack, [])) for stack in NAMES}, of(said.get("differs", [])))

    def why_fails(self, stack, name):
        return next((reason for reason in self.fails[stack] if reason.covers(name)), None)

    def why_differs(self, name):
        return next((reason for reason in self.differs if reason.covers(name)), None)


def judge(stack, work, reasons, talks=0):
    """Plays `work` against a stack, prints a line a case; the results."""
    known = {f"{case.name}/v{family}" for case, family in work if reasons.why_fails(stack, f"{case.name}/v{family}")}
    began = time.monotonic()
    with contextlib.redirect_stdout(None if talks > 1 else open("/dev/null", "w")):
        with arena.arena(stack) as (station, server):
            results = runner.run(station, work, known)
            server.expect_running()
    for result in results:
        if result.verdict == "passed" and not talks and len(work) > 60:
            continue
        again = f" (try {result.tries})" if result.tries > 1 else ""
        mark = "known " if result.verdict != "passed" and result.name in known else ""
        print(f"{mark}{result.verdict} {result.name}{again}{': ' + result.why if result.why else ''}   {result.case.cites if result.why else ''}", flush=True)
        if talks > 1 or (talks and result.verdict != "passed"):
            print("\n".join(f"        {line}" for line in result.log), flush=True)
    passed = sum(result.verdict == "passed" for result in results)
    print(f"{NAMES[stack]}: {passed} of {len(results)} cases passed, {time.monotonic() - began:.0f} s", flush=True)
    return results


def unknown(stack, results, reasons):
    """How many failed without a known reason, and passed in spite of one; both are told."""
    bad = 0
    for result in results:
        if result.verdict != "passed" and not reasons.why_fails(stack, result.name):
            bad += 1
        if result.verdict == "passed" and reasons.why_fails(stack, result.name):
            print(f"{NAMES[stack]} passes {result.name}: take it from reasons.toml")
            bad += 1
    return bad


def pairs(results):
    """(ours, linux) of the cases that came out differently: another verdict, or other things seen on the way."""
    linux = {result.name: result for result in results["linux"]}
    for ours in results["ours"]:
        theirs = linux[ours.name]
        if ours.verdict != theirs.verdict or ours.trace != theirs.trace:
            yield ours, theirs


def difference(ours, theirs):
    """The first thing that was seen differently, as (ours, linux)."""
    for one, two in zip([*ours.trace, "(end)"], [*theirs.trace, "(end)"]):
        if one != two:
            return one, two
    return ours.verdict, theirs.verdict


def differential(results, reasons):
    """Prints what differs; how much of it has no reason."""
    bad = 0
    for ours, theirs in pairs(results):
        reason = reasons.why_differs(ours.name) or reasons.why_fails("ours", ours.name) or reasons.why_fails("linux", ours.name)
        one, two = difference(ours, theirs)
        bad += reason is None
        print(f"{'differs' if reason else 'DIFFERS, and nobody says why:'} {ours.name}: {one} | Linux: {two}")
    return bad


def record(results, reasons, path):
    path.write_text(page(results, reasons))


def page(results, reasons):
    counts = {stack: (sum(result.verdict == "passed" for result in results[stack]), len(results[stack])) for stack in NAMES}
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    lines = [
        "# Judged from outside, beside Linux",
        "",
        "Written by `scripts/judge --record`. The same scripts of segments, made by hand and sent over a veth, against the five services",
        f"of `fourtuple serve` and against Linux {kernel} with the same services: what comes back is compared in flags, sequence and",
        "acknowledgment (relative), zero windows, options, MSS, length, and in its class of time: at once (under 20 ms), delayed (under",
        "600 ms), later, never. Each case is right or wrong by the RFC that it cites; [testing.md](testing.md) says how to run them.",
        "",
        "| | cases passed | of |",
        "|---|---|---|",
        *(f"| {NAMES[stack] + (' ' + kernel if stack == 'linux' else '')} | {counts[stack][0]} | {counts[stack][1]} |" for stack in NAMES),
        "",
    ]
    for stack in NAMES:
        lines += [f"## What {NAMES[stack]} does otherwise than the cited text", ""]
        lines += rows_of(reasons.fails[stack], [result.name for result in results[stack] if result.verdict != "passed"])
    both = {ours.name: difference(ours, theirs) for ours, theirs in pairs(results) if ours.verdict == theirs.verdict == "passed"}
    lines += ["## Both are right, and differ", "", "| seen | | cases | by |", "|---|---|---|---|"]
    for reason in reasons.differs:
        covered = [name for name in both if reason.covers(name) and reasons.why_differs(name) is reason]
        if covered:
            one, two = both[covered[0]]
            lines.append(f"| {one} | Linux: {two} | {count(covered)} | {reason.text} |")
    return "\n".join(lines) + "\n"


def rows_of(reasons, failed):
    covered = [(reason, [name for name in failed if reason.covers(name)]) for reason in reasons]
    rows = [f"| {count(names)} | {reason.text} |" for reason, names in covered if names]
    return ["| cases | by |", "|---|---|", *rows, ""] if rows else ["Nothing.", ""]


def count(names):
    """A few names, v4 and v6 in one, and how many more."""
    short = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in names))
    shown = ", ".join(f"`{name}`" for name in short[:3])
    return shown + (f" and {len(short) - 3} more" if len(short) > 3 else "")
