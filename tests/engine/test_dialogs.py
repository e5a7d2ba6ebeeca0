"""Dialog records: the ACK and in-dialog requests without a Route of ours (API 7.2, 9.2, 16.5)."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

PLAIN = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay(None if request.in_dialog else "sip:127.0.0.2:5090")
"""

Make = Callable[..., World]


def answered(make_world: Make, script: str = PLAIN) -> tuple[World, Agent, Agent]:
    world = make_world(script)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    callee.answer(callee.last, 200)
    return world, caller, callee


def in_dialog(caller: Agent, method: str, cseq: int, uri: str = "sip:127.0.0.2:5090") -> str:
    return caller.request(method, uri, call_id="c1", cseq=cseq, to_tag="t1")


def test_the_ack_of_a_known_dialog_is_forwarded_without_a_route(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, "ACK", 1))
    assert callee.requests == ["INVITE", "ACK"]


@pytest.mark.parametrize("further", ["", "Route: <sip:127.0.0.2:5091;lr>\n"])
def test_an_ack_that_a_known_dialog_leads_carries_no_route_of_ours(make_world: Make, further: str) -> None:
    """Unsigned, so it vouches for nothing; left in the copy it would bring the ACK back here from the next proxy."""
    world, caller, callee = answered(make_world)
    after = world.agent("127.0.0.2", 5091)
    own = "Route: <sip:127.0.0.1:5060;lr>\nRoute: <sip:127.0.0.1;lr>\n"
    text = caller.request("ACK", "sip:127.0.0.2:5090", call_id="c1", to_tag="t1", headers=own + further)
    caller.send(text)
    got = (after if further else callee).last
    assert got.method == "ACK" and got.values("Route") == ([b"<sip:127.0.0.2:5091;lr>"] if further else [])


def test_a_request_of_a_known_dialog_may_be_relayed_without_a_route(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, "BYE", 2))
    assert callee.requests == ["INVITE", "BYE"]


def test_a_request_to_ourselves_in_a_known_dialog_goes_to_the_recorded_peer(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, "INFO", 2, "sip:127.0.0.1:5060"))
    assert callee.requests == ["INVITE", "INFO"]


def test_the_callee_reaches_the_caller_too(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    callee.send(callee.request("INFO", "sip:127.0.0.1:5060", call_id="c1", cseq=9, from_tag="t1", to_tag="f1"))
    assert caller.requests == ["INFO"]


def test_an_unknown_dialog_gets_481(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    caller.send(caller.request("BYE", "sip:127.0.0.2:5090", call_id="c2", cseq=2, to_tag="t1"))
    assert callee.requests == ["INVITE"] and caller.statuses[-1] == 481


def test_after_the_bye_the_dialog_is_forgotten(make_world: Make) -> None:
    _, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, "BYE", 2))
    callee.answer(callee.last, 200)
    caller.send(in_dialog(caller, "INFO", 3))
    assert caller.statuses[-1] == 481


@pytest.mark.parametrize(("method", "status"), [("INFO", 200), ("BYE", 100)])
def test_only_the_final_of_a_bye_ends_a_dialog(make_world: Make, method: str, status: int) -> None:
    _, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, method, 2))
    callee.answer(callee.last, status)
    caller.send(in_dialog(caller, "MESSAGE", 3))
    assert callee.requests == ["INVITE", method, "MESSAGE"]


def test_a_dialog_is_forgotten_before_the_answer_to_its_bye_leaves(make_world: Make) -> None:
    """A worker that dies between the two leaves no record behind."""
    world, caller, callee = answered(make_world)
    caller.send(in_dialog(caller, "BYE", 2))
    heard: list[int] = []
    delete = world.dialogs.delete

    def noted(key: bytes, expected: int) -> int:
        heard.append(len(caller.statuses))
        return delete(key, expected)

    world.dialogs.delete = noted  # type: ignore[method-assign]
    before = len(caller.statuses)
    callee.answer(callee.last, 200)
    assert caller.statuses[before:] == [200]
    assert heard == [before]
