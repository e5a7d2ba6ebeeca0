"""A Remote (siphon/state/redis/remote.py) of one simulated process: its link to the far store, with all its faults.

Every answer takes a way there and one back. What gets lost on either, or comes to a store that hangs, is Lost to who
asked after `timeout` seconds, and may be done all the same, at once or much later. After FAILURES of these in a row the
link is open like a circuit breaker: everything is Refused at once until a probe has come through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from siphon.state.redis.remote import Lost, Refused, Write
from siphon.state.store import Wait
from siphon.testing.nodes.far_side import FarSide
from siphon.testing.worker import WorkerDied

if TYPE_CHECKING:
    from siphon.testing.nodes.node import NodeWorld
    from siphon.testing.worker import VirtualWorker

FAILURES = 3
PROBE_SECS = 0.2
AT_ONCE = 0.9
"""Of renewals, and of looks into empty indexes, which are many."""
ARRIVES_LATE = 0.5
"""Of what was sent into a cut link: it arrives once the link is mended."""

Call = Callable[[float], Any]


class Request:
    """One request on its way."""

    __slots__ = ("call", "done", "quiet", "sent", "wait")

    def __init__(self, call: Call, sent: float, quiet: bool) -> None:
        self.call = call
        self.sent = sent
        self.quiet = quiet
        self.done = False
        self.wait = Wait()

    def end(self, answer: object) -> None:
        """What is told of it; once."""
        self.done = True
        self.wait.resolve(answer)


class FarLink:
    """The link of one process. Times are those of its node's clock."""

    def __init__(self, node: NodeWorld, worker: VirtualWorker, far: FarSide, timeout: float) -> None:
        self._node = node
        self._worker = worker
        self._far = far
        self._timeout = timeout
        self._failures = 0
        self._back: list[Wait] = []
        self._best: tuple[float, float] | None = None
        self.written: dict[bytes, int] = {}
        """Version of the last write of each record by this process."""

    # -- Remote -------------------------------------------------------------------------------------------------------

    def offset(self, key: bytes) -> float:
        """See Remote.offset."""
        return self._best[1] if self._best is not None else 0.0

    @property
    def reachable(self) -> bool:
        """See Remote.reachable."""
        return self._failures < FAILURES

    def back(self) -> Wait:
        """See Remote.back."""
        wait = Wait()
        if self.reachable:
            wait.resolve(True)
        else:
            self._back.append(wait)
        return wait

    def load(self, key: bytes) -> Wait:
        """See Remote.load."""
        return self._ask(lambda now: self._far.model.load(key, now))

    def write(self, write: Write) -> Wait:
        """See Remote.write."""
        self._node.pass_gate(self._worker, "commit")
        self.written[write.key] = write.version
        return self._ask(lambda now: self._node.cluster.write(self._node, write, now), lossy=True)

    def renew(self, token: bytes, ttl_secs: float, facts: bytes, former: int) -> Wait:
        """See Remote.renew."""
        return self._ask_often(lambda now: self._far.model.renew(token, ttl_secs, facts, former, now))

    def remind(self, node: int, slot: int, key: bytes) -> Wait:
        """See Remote.remind."""
        return self._ask(lambda now: self._far.model.remind(node, slot, key, now), quiet=True)

    def leave(self, token: bytes) -> Wait:
        """See Remote.leave."""
        return self._ask(lambda now: self._far.model.leave(token, now))

    def take(self, dead: int, partition: int, node: int, limit: int) -> Wait:
        """See Remote.take."""
        call = lambda now: self._far.model.take(dead, partition, node, limit, now)  # noqa: E731
        empty = (partition, dead) not in self._far.model.contents.indexes
        return self._ask_often(call) if empty else self._ask(call, quiet=True)

    def forget(self, dead: int) -> Wait:
        """See Remote.forget."""
        return self._ask(lambda now: self._far.model.forget(dead, now), quiet=True)

    def _ask_often(self, call: Call) -> Wait:
        """One of many: answered at once mostly, which costs a run less."""
        if not self._calm or self._far.random.random() > AT_ONCE:
            return self._ask(call, quiet=True)
        wait = Wait()
        wait.resolve(call(self._far.now()))
        return wait

    @property
    def _calm(self) -> bool:
        """Whether an answer would surely come, and come soon; and the time there is known."""
        far = self._far
        return self._best is not None and self.reachable and not (self._node.cut or far.hangs_until() or far.refuses)

    # -- the way there and back ---------------------------------------------------------------------------------------

    def _ask(self, call: Call, quiet: bool = False, lossy: bool = False) -> Wait:
        if not self._worker.alive:
            raise WorkerDied
        request = Request(call, self._node.clock(), quiet)
        if not self.reachable:
            self._node.trouble()
            request.end(Refused("the circuit is open"))
            return request.wait
        if lossy and self._far.random.random() < self._far.faults.lost:
            request.call = call if self._far.random.random() < 0.5 else _nothing
            self._later(self._far.delay(), request, self._execute_unheard, request)
            self._give_up(request)
        else:
            self._later(self._far.delay(), request, self._arrive, request)
        return request.wait

    def _later(self, delay: float, request: Request, call: Callable[..., None], *args: Any) -> None:
        at = self._node.schedule.at_quietly if request.quiet else self._node.schedule.at
        at(self._node.clock() + delay, call, *args)

    def _arrive(self, request: Request) -> None:
        """At the store, or nowhere."""
        far, until = self._far, self._far.hangs_until()
        if self._node.cut:
            if far.random.random() < ARRIVES_LATE:
                self._node.when_mended.append(lambda: self._execute_unheard(request))
            self._give_up(request)
        elif until:
            ahead = self._node.ahead
            self._later(until + ahead - self._node.clock() + far.delay(), request, self._arrive, request)
            self._give_up(request)
        elif far.refuses:
            self._node.trouble()
            self._answer_later(request, Refused("an error"))
        else:
            now = far.now()
            self._answer_later(request, request.call(now), now)

    def _execute_unheard(self, request: Request) -> None:
        request.call(self._far.now())

    def _answer_later(self, request: Request, answer: Any, at: float = 0.0) -> None:
        self._later(self._far.delay(), request, self._worker.turn, self._answer, request, answer, at)

    def _answer(self, request: Request, answer: Any, at: float) -> None:
        """It has come; who stood still meanwhile finds that its time is over, or does not look."""
        if request.done:
            return
        if not request.quiet and self._node.stops(self._worker, "answered"):
            self._worker.turn(self._answer, request, answer, at)
            return
        now = self._node.clock()
        if now - request.sent > self._timeout and self._far.random.random() < 0.5:
            self._lost(request)
            return
        if at:
            self._sample(request.sent, now, at)
            self._succeeded()
        if not request.quiet:
            self._node.pass_gate(self._worker, "answered")
        request.end(answer)

    def _sample(self, sent: float, received: float, at: float) -> None:
        trip = received - sent
        if self._best is None or trip <= self._best[0]:
            self._best = (trip, at - (sent + received) / 2)

    def _give_up(self, request: Request) -> None:
        delay = max(0.0, request.sent + self._timeout - self._node.clock())
        self._later(delay, request, self._worker.turn, self._lost, request)

    def _lost(self, request: Request) -> None:
        if request.done:
            return
        self._node.trouble()
        self._failures += 1
        if self._failures == FAILURES:
            self._node.schedule.at(self._node.clock() + PROBE_SECS, self._probe)
        request.end(Lost("no answer"))

    # -- the circuit --------------------------------------------------------------------------------------------------

    def _succeeded(self) -> None:
        if self._failures < FAILURES:
            self._failures = 0

    def _probe(self) -> None:
        if not self._worker.alive:
            return
        if self._node.cut or self._far.hangs_until() or self._worker.paused:
            self._node.schedule.at(self._node.clock() + PROBE_SECS, self._probe)
            return
        self._failures = 0
        back, self._back = self._back, []
        for wait in back:
            self._worker.turn(wait.resolve, True)


def _nothing(now: float) -> None:
    """It has never arrived."""
