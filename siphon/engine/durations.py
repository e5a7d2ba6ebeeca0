"""How long requests are with the script: a histogram in the columns of a slot's counters, for the metrics.

From the moment at which the on_request handlers may begin until the last of them has ended, waiting included. It costs
two looks at the clock a request, so it is there only while somebody may read it: the handlers' method is replaced then,
and nothing at all is different otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

FIRST = 112
"""The columns begin here: beyond all counters, which are numbered from the other end."""
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
SUM = FIRST + len(BOUNDS) + 1
"""Microseconds."""
COLUMNS = len(BOUNDS) + 2


def numbers(total: Callable[[int], int]) -> list[float]:
    """The count of each bucket, of what is above all, and the sum in seconds. `total` adds a column up over slots."""
    return [*(float(total(FIRST + place)) for place in range(len(BOUNDS) + 1)), total(SUM) / 1e6]


def measure(handlers: Any, count: Callable[[int, int], None], clock: Callable[[], float], wanted: bool) -> None:
    """Begin to measure an object's `run_request`, or stop it."""
    vars(handlers).pop("run_request", None)
    if not wanted:
        return
    inner = handlers.run_request

    def run_request(record: Any, message: Any, done: Callable[[Any], None]) -> None:
        began = clock()

        def ended(outcome: Any) -> None:
            took = clock() - began
            count(FIRST + bisect_left(BOUNDS, took), 1)
            count(SUM, int(took * 1e6))
            done(outcome)

        inner(record, message, ended)

    handlers.run_request = run_request
