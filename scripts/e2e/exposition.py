"""A strict reader of the Prometheus and OpenMetrics text formats: complains of what a lenient scraper lets pass."""

import re

from stage import expect

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
VALUE = r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf|NaN)"
SAMPLE = re.compile(rf"^({NAME})(?:\{{((?:{LABEL}(?:,{LABEL})*,?)?)\}})? ({VALUE})(?: \d+(?:\.\d+)?)?$")
TYPE = re.compile(rf"^# TYPE ({NAME}) (counter|gauge|histogram|summary|info|unknown|untyped|stateset)$")
COMMENT = re.compile(rf"^# (HELP|UNIT) ({NAME}) .+$")
SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
    "info": ("_info",),
}


def parse(text):
    """The samples: {(name, frozenset of label pairs): value}; fails at the first line that breaks the format."""
    expect(text.endswith("\n"), "the text does not end with a newline")
    lines = text.splitlines()
    kinds, samples, current = {}, {}, None
    for number, line in enumerate(lines, 1):
        where = f"line {number}: {line[:120]!r}"
        if line == "# EOF":
            expect(number == len(lines), f"{where}: something follows the end")
            continue
        if line.startswith("#"):
            declared = TYPE.match(line)
            if declared:
                expect(declared[1] not in kinds, f"{where}: declared twice")
                current = declared[1]
                kinds[current] = declared[2]
            else:
                expect(COMMENT.match(line), f"{where}: neither HELP, UNIT nor TYPE")
            continue
        sample = SAMPLE.match(line)
        expect(sample, f"{where}: not a sample")
        name, labels = sample[1], frozenset(re.findall(LABEL, sample[2] or ""))
        family = next((f for f in (name, *stems(name)) if f in kinds and fits(name, f, kinds[f])), None)
        expect(family is not None, f"{where}: no TYPE that fits")
        expect(family == current, f"{where}: away from the other samples of {family}")
        expect((name, labels) not in samples, f"{where}: the same series twice")
        samples[name, labels] = float(sample[3].replace("Inf", "inf"))
        if kinds[family] in ("counter", "histogram"):
            expect(samples[name, labels] >= 0, f"{where}: a counter below zero")
    expect(samples, "no samples at all")
    return samples


def stems(name):
    for suffix in ("_total", "_created", "_bucket", "_sum", "_count", "_info"):
        if name.endswith(suffix):
            yield name[: -len(suffix)]


def fits(name, family, kind):
    # The older text format declares a counter under its full name.
    allowed = SUFFIXES.get(kind, ("",))
    return any(name == family + suffix for suffix in allowed) or (kind == "counter" and name == family and name.endswith("_total"))
