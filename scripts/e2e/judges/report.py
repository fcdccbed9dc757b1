"""What came of the cases: lines, tables, and what was known before (reasons.toml)."""

import contextlib
import dataclasses
import fnmatch
import itertools
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
    ours: str = "*"  # of a difference: what it may look like, a pattern for each stack
    linux: str = "*"

    def covers(self, name):
        return any(matches(name, pattern) for pattern in self.cases)

    def explains(self, name, ours, linux):
        return self.covers(name) and matches(ours, self.ours) and matches(linux, self.linux)


def matches(text, pattern):
    """Brackets are part of names and lines, so fnmatch must not read them."""
    return fnmatch.fnmatchcase(*(words.replace("[", "(").replace("]", ")") for words in (text, pattern)))


@dataclasses.dataclass
class Reasons:
    fails: dict
    differs: list

    @classmethod
    def read(cls):
        with open(HERE / "reasons.toml", "rb") as file:
            said = tomllib.load(file)

        def of(rows):
            return [Reason(row["cases"], " ".join(row["why"].split()), row.get("ours", "*"), row.get("linux", "*")) for row in rows]

        return cls({stack: of(said.get("fails", {}).get(stack, [])) for stack in NAMES}, of(said.get("differs", [])))

    def why_fails(self, stack, name):
        return next((reason for reason in self.fails[stack] if reason.covers(name)), None)

    def why_differs(self, name, ours, linux):
        return next((reason for reason in self.differs if reason.explains(name, ours, linux)), None)


def judge(stack, work, reasons, talks=0):
    """Plays `work` against a stack, prints a line a case; the results."""
    known = {f"{case.name}/v{family}" for case, family in work if reasons.why_fails(stack, f"{case.name}/v{family}")}
    began = time.monotonic()
    with contextlib.redirect_stdout(None), arena.arena(stack) as (station, server):
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
    """How many failed without a known reason; what passed in spite of one is told."""
    for result in results:
        if result.verdict == "passed" and reasons.why_fails(stack, result.name):
            print(f"{NAMES[stack]} passes {result.name}: take it from reasons.toml")
    return sum(result.verdict != "passed" and not reasons.why_fails(stack, result.name) for result in results)


def differences(results, reasons):
    """(name, ours, linux, reason) of all that was seen differently; a verdict that differs has the reason of who failed."""
    linux = {result.name: result for result in results["linux"]}
    for ours in results["ours"]:
        theirs, name = linux[ours.name], ours.name
        if ours.verdict != theirs.verdict:
            yield name, ours.verdict, theirs.verdict, reasons.why_fails("ours", name) or reasons.why_fails("linux", name)
        elif ours.verdict == "passed":
            for one, two in itertools.zip_longest(ours.trace, theirs.trace, fillvalue="(end)"):
                if one != two:
                    yield name, one, two, reasons.why_differs(name, one, two)


def judge_both(work, reasons, talks=0):
    """Results of both stacks. What differs without a reason is played again: on a busy machine a moment may be a long one."""
    results = {stack: judge(stack, work, reasons, talks) for stack in NAMES}
    for _ in range(runner.TRIES - 1):
        strange = {name for name, _, _, reason in differences(results, reasons) if reason is None}
        again = [(case, family) for case, family in work if f"{case.name}/v{family}" in strange]
        if not again:
            break
        for stack in NAMES:
            newer = {result.name: result for result in judge(stack, again, reasons, talks)}
            results[stack] = [newer.get(result.name, result) for result in results[stack]]
    return results


def differential(results, reasons):
    """Prints what differs; how much of it has no reason."""
    bad = 0
    for name, one, two, reason in differences(results, reasons):
        bad += reason is None
        print(f"{'differs' if reason else 'DIFFERS, and nobody says why:'} {name}: {one} | Linux: {two}")
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
    lines += ["## Both are right, and differ", "", "| Fourtuple | Linux | cases | by |", "|---|---|---|---|"]
    found = [row for row in differences(results, reasons) if row[3] in reasons.differs]
    for reason in reasons.differs:
        covered = [row for row in found if row[3] is reason]
        if covered:
            _, one, two, _ = covered[0]
            lines.append(f"| {one} | {two} | {count([row[0] for row in covered])} | {reason.text} |")
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
