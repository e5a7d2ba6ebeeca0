"""The short ways keep fields of the Environment: they must notice each that gets another value."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from siphon.testing.world import World

SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.record_route()
    request.relay("sip:127.0.0.2:5090")
"""


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """Makes worlds, and closes them."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(SCRIPT, workers=1, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def invite(world: World, name: str) -> Any:
    """The INVITE of a new call as the callee got it; None where it got none."""
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    before = len(callee.inbox)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch=f"z9hG4bK-{name}", call_id=name))
    return callee.last if len(callee.inbox) > before else None


def test_another_signer_holds_from_the_next_request_on(worlds: Callable[..., World]) -> None:
    world = worlds(proxy={"sign_record_route": True})
    env = world.workers[0].core.env
    first = invite(world, "one")
    assert b"rrs=" in first.first("Record-Route")
    env.signer = None
    second = invite(world, "two")
    assert b"rrs=" not in second.first("Record-Route")
    assert len(first.via.branch) == len(second.via.branch)


def test_a_process_that_runs_no_handlers_any_more_leaves_them_to_others(worlds: Callable[..., World]) -> None:
    world = worlds()
    assert invite(world, "one") is not None
    world.workers[0].core.env.runs_handlers = False
    assert invite(world, "two") is None
