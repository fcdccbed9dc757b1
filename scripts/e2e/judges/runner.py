"""Cases run side by side, each from an address of its own; what went wrong is tried once more with the machine to itself."""

import dataclasses
import importlib
import itertools
import pathlib
import queue
import threading
import time
import traceback

from judges.registry import CASES, Wrong
from judges.tester import Tester

SIDE_BY_SIDE, AGAIN_BY = 40, 4
TRIES = 3


@dataclasses.dataclass
class Result:
    case: object
    family: int
    verdict: str  # passed, failed, broken
    why: str
    trace: list
    log: list
    seconds: float
    tries: int = 1

    @property
    def name(self):
        return f"{self.case.name}/v{self.family}"


def load():
    """All cases, in the order of their files and in that of the file."""
    for path in sorted(pathlib.Path(__file__).resolve().parent.glob("on_*.py")):
        importlib.import_module(f"judges.{path.stem}")
    names = [case.name for case in CASES]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"cases of one name: {', '.join(sorted(twice))}")
    return CASES


def chosen(words, families):
    """(case, family) of those whose names contain one of the words; all of them without words."""
    return [
        (case, family)
        for case in load()
        for family in case.families
        if family in families and (not words or any(word in f"{case.name}/v{family}" for word in words))
    ]


NUMBERS = itertools.count(1)


def play(station, case, family):
    tester = Tester(station, family, next(NUMBERS))
    began = time.monotonic()
    verdict, why = "passed", ""
    try:
        if not case.stranger:
            tester.introduce()
        case.play(tester)
    except Wrong as wrong:
        verdict, why = "failed", str(wrong)
    except Exception as error:  # noqa: BLE001
        verdict, why = "broken", f"{type(error).__name__}: {error}"
        tester.log.append(traceback.format_exc())
    finally:
        tester.finish()
    return Result(case, family, verdict, why, tester.trace, tester.log, time.monotonic() - began)


def side_by_side(station, work, many):
    todo, results = queue.SimpleQueue(), []
    # What lasts longest begins first.
    for item in sorted(work, key=lambda item: -item[0].lasts):
        todo.put(item)

    def worker():
        while True:
            try:
                case, family = todo.get_nowait()
            except queue.Empty:
                return
            results.append(play(station, case, family))

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(min(many, len(work)))]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join(120)
    return results


def run(station, work, expected_to_fail=()):
    """Results in the order of `work`. What fails is tried again, a few at a time, but for what is known to fail."""
    best = {}
    for number in range(TRIES):
        again = [item for item in work if number == 0 or (best[key(item)].verdict != "passed" and f"{item[0].name}/v{item[1]}" not in expected_to_fail)]
        if not again:
            break
        for result in side_by_side(station, again, SIDE_BY_SIDE if number == 0 else AGAIN_BY):
            result.tries = number + 1
            best[(result.case.name, result.family)] = result
    return [best[key(item)] for item in work]


def key(item):
    return item[0].name, item[1]
