"""Requests that handlers of the simulator send themselves, and what must have become of those who wait for the answer.

A waiter gets one result, in time: the answer that ended the record, if it ended early enough, else None. A waiter whose
worker has died gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from siphon.engine.sending import LOOK_SECS
from siphon.script.reply import Reply
from siphon.script.sending import OwnRequest, Sending

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld
    from siphon.testing.worker import VirtualWorker

SLACK_SECS = 0.1
PAST = 1e-6
"""Clocks of machines that have been up for different times round differently."""


class Asked:
    """One request and its results, with the time of each."""

    def __init__(
        self, worker: VirtualWorker, own: OwnRequest, began: float, sending: Sending, clock: Callable[[], float]
    ) -> None:
        self.worker = worker
        self.own = own
        self.began = began
        self.call_id = own.outline.call_id
        self.results: list[tuple[float, Reply | BaseException | None]] = []
        sending._future.add_done_callback(
            lambda future: self.results.append((clock(), future.exception() or future.result()))
        )


def judge(world: SimulatedWorld, ask: Asked) -> Iterator[str]:
    """What is wrong with one."""
    name = ask.call_id.decode()
    if not ask.worker.alive:
        return
    if len(ask.results) != 1:
        yield f"{name}: {len(ask.results)} results"
        return
    at, result = ask.results[0]
    faults = world.faults
    late = (
        SLACK_SECS
        + sum(secs for _, secs, _ in faults.pauses)
        + 3 * faults.slow
        + faults.doubt
        + (0.5 if faults.busy else 0.0)
    )
    if at > ask.began + ask.own.seconds + late:
        yield f"{name}: a result {at - ask.began:.3f} s after the request"
    ended, status = world.checks.ended.get(world.checks.own.get(ask.call_id, b""), (0.0, 0))
    if isinstance(result, Reply):
        unseen = not ended and world.checks.deaths  # it ended in the commit in which a worker died
        if not unseen and (result.status_code != status or ended > at):
            yield f"{name}: {result.status_code}, but it ended with {status}"
        if result.get_header("Call-ID") != name:
            yield f"{name}: the answer to another request"
    elif status and ended + LOOK_SECS + late < ask.began + ask.own.seconds:
        yield f"{name}: {result!r}, but it was answered with {status} in time"
    elif result is None and not ended and not world.checks.deaths and at < ask.began + ask.own.seconds - PAST:
        yield f"{name}: None before its time"
