"""What must hold of reliable provisionals that the proxy makes itself, and of their PRACKs (RFC 3262 §3).

Told by siphon/testing/invariants.py of what leaves. Callees of the simulator send none, so each with an RSeq is ours.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING

from siphon.testing.peer import LONG, TIMER_E
from siphon.testing.wire import CALM

if TYPE_CHECKING:
    from siphon.testing.caller import Caller
    from siphon.testing.invariants import Checks, Upstream

SOON = 0.01
LATE = 7.0
"""How late a deadline may be when all workers have been away."""
IN_TIME = LONG - LATE
"""A PRACK that leaves so long after the response finds the record, whatever has happened to workers and network."""


class ReliableChecks:
    """One response a call; `times` holds when it was sent."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.responses: dict[bytes, bytes] = {}
        self.times: dict[bytes, list[float]] = {}
        self.answers: Tally[Upstream] = Tally()
        """How often each PRACK got its 200."""
        self.settled: dict[bytes, tuple[int, int]] = {}
        """By Call-ID, at the first 200 to a PRACK: how often the response had been sent, the INVITE been read."""

    def sent(self, place: Upstream, data: bytes) -> None:
        """By its schedule and for repeated INVITEs, for these alone once it is acknowledged."""
        call_id, asked = place[2], self.checks.read_requests[place]
        if self.responses.setdefault(call_id, data) != data:
            self.checks.fail("a second reliable provisional, or a repeat that is not the same")
        times = self.times.setdefault(call_id, [])
        times.append(self.checks.world.clock())
        passed = times[-1] - times[0] + self.checks.early
        if len(times) > sum(at <= passed for at in TIMER_E) + asked - 1:
            self.checks.fail(f"{len(times)} copies of a reliable provisional after {passed:.3f} s")
        if call_id in self.settled:
            before, known = self.settled[call_id]
            faults = self.checks.world.faults
            known = 1 if faults.slow or faults.busy else known  # an INVITE may have waited here
            if len(times) - before > asked - known:
                self.checks.fail("a reliable provisional repeated after its PRACK")

    def acknowledged(self, place: Upstream) -> None:
        """A 200 to a PRACK leaves."""
        self.answers[place] += 1
        call_id = place[2]
        asked = sum(n for where, n in self.checks.read_requests.items() if where[2:4] == (call_id, "INVITE"))
        self.settled.setdefault(call_id, (len(self.times.get(call_id, ())), asked))

    # -- at the end ---------------------------------------------------------------------------------------------------

    def verdict(self, caller: Caller) -> Iterator[str]:
        """What is wrong with the reliable provisional of a call and its PRACK."""
        name, world = caller.plan.name, self.checks.world
        if caller.prack is not None:
            if not caller.prack.finals:
                yield f"{name}: PRACK without answer"
            in_time = caller.prack.began < self.times[name.encode()][0] + IN_TIME
            if in_time and any(not data.startswith(b"SIP/2.0 200") for data in caller.prack.finals):
                yield f"{name}: PRACK refused"
        if world.faults.none:
            read = {p: n for p, n in self.checks.read_requests.items() if p[2:4] == (name.encode(), "PRACK")}
            if any(self.answers[place] != number for place, number in read.items()):
                yield f"{name}: a PRACK is not answered as often as it came"
            if world.wire.weather == CALM and not world.wire.links and caller.reliable:
                yield from self._repeats(caller)
            if caller.prack is None and caller.cancel is None and not caller.plan.old:
                yield from self._schedule(name)
        patient = caller.prack is None and caller.cancel is None and caller.reliable
        refused = caller.final == 503 and name.encode() in self.checks.refused
        if patient and not refused and world.settings.transaction.timer_c > LONG + LATE and caller.final != 504:
            yield f"{name}: {caller.final} without a PRACK"

    def _schedule(self, name: str) -> Iterator[str]:
        """Whatever the network does to them, those that nobody acknowledges leave at each of their times."""
        times = self.times.get(name.encode(), [])
        end = min(LONG, self.checks.world.settings.transaction.timer_c)
        missing = [at for at in TIMER_E if at < end and not any(abs(t - times[0] - at) < SOON for t in times)]
        if times and missing:
            yield f"{name}: no reliable provisional after {missing[0]:.1f} s"

    def _repeats(self, caller: Caller) -> Iterator[str]:
        """On a calm network nothing but the schedule decides."""
        first = caller.reliable[0]
        ends = [LONG, self.checks.world.settings.transaction.timer_c]
        ends += [
            exchange.began - first + 2 * CALM.slowest
            for exchange in (caller.prack, caller.cancel)
            if exchange is not None
        ]
        came = [at - first for at in caller.reliable]
        wanted = [at for at in TIMER_E if at < min(ends)]
        if len(came) != len(wanted) or any(abs(a - b) > SOON for a, b in zip(came, wanted, strict=True)):
            yield f"{caller.plan.name}: a reliable provisional came at {came}, not at {wanted}"
