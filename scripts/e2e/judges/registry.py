"""What a case is, and the list of them all.

A case is a function that takes a `Tester` and fails by raising `Wrong`. Its name is that of its file and
its function, with the row's where one function serves a table; what it cites decides whether a TCP is right.
"""

import dataclasses
from collections.abc import Callable

CASES = []


class Wrong(Exception):
    """The TCP did not do what the cited text asks for."""


@dataclasses.dataclass
class Case:
    name: str
    cites: str
    play: Callable
    families: tuple
    lasts: float  # seconds at most
    stranger: bool  # it is not introduced: the TCP has to ask for its station


def case(cites, families=(4, 6), lasts=2.0, rows=None, stranger=False):
    """Registers a function as a case; with `rows`, {name: argument}, as one for each row."""

    def register(function):
        group = function.__module__.rsplit(".", 1)[-1].removeprefix("on_")
        name = f"{group}.{function.__name__}"
        if rows is None:
            CASES.append(Case(name, cites, function, families, lasts, stranger))
        else:
            for row, argument in rows.items():
                play = lambda tester, argument=argument: function(tester, argument)  # noqa: E731
                CASES.append(Case(f"{name}[{row}]", cites, play, families, lasts, stranger))
        return function

    return register
