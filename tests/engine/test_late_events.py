"""Events that come to their turn late, or a hair too early."""

import pytest

from siphon.engine.events import STALE_SECS, RequestEvent, TimerEvent
from siphon.state.deadlines import next_deadline
from siphon.testing.world import World


def invite(world: World) -> None:
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"), 0)


@pytest.mark.parametrize(("waited", "begun"), [(STALE_SECS - 0.5, True), (STALE_SECS + 0.5, False)])
def test_a_request_that_has_waited_long_begins_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, waited: float, begun: bool
) -> None:
    """Its call may have been and gone at another node, or at a sibling (seed 589 on nodes)."""
    core, callee = world.workers[0].core, world.agent("127.0.0.2", 5090)
    held: list[RequestEvent] = []
    with monkeypatch.context() as patch:
        patch.setattr(type(core), "take", lambda _, event: held.append(event))
        patch.setattr(world.workers[0].ingest, "arrivals", None)
        invite(world)
    (event,) = held
    world.advance(waited)
    core.take(event)
    world.settle()
    assert callee.requests == ["INVITE"] * begun and len(list(world.records())) == begun


def test_a_deadline_that_is_looked_at_too_early_is_armed_again(world: World) -> None:
    """Times in a far store are mapped to each process's clock by the fastest answer so far: the next one may be faster,
    and the deadline a hair later than it was armed for."""
    invite(world)
    (record,) = world.records()
    for worker in world.workers:
        worker.timers.clear()
    found = world.transactions.get(record.key)
    assert isinstance(found, tuple)
    for worker in world.workers:
        worker.core.process(TimerEvent(record.key, lambda *_: True))
        world.settle()
        assert worker.timers == [(next_deadline(record), record.key, found[0])]
        worker.timers.clear()
