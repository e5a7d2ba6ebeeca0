"""No room: a full table of transactions, and requests larger than a record (API G9; SHARED-35, SHARED-37)."""

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.sip.message import SipMessage
from siphon.state.memory import MemoryTable
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
LARGE = "x" * 20_000


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def small(make_world: Make, **options: object) -> World:
    """A world whose table has room for some calls, and a reserve."""
    world = make_world(**options)
    world.transactions = MemoryTable(40, 400, reserve_records=10, reserve_blocks=100, clock=world.clock)
    for slot in range(2):
        world.workers[slot].aio.abandon()
        world.workers[slot] = world.new_worker(slot, 2)
    return world


def ringing(world: World, *names: str) -> dict[str, SipMessage]:
    """Calls of these Call-IDs that ring; the INVITEs as offered."""
    caller, callee = parties(world)
    for name in names:
        caller.send(caller.request("INVITE", "sip:bob@example.com", branch=f"z9hG4bK-{name}", call_id=name))
        callee.answer(callee.last, 180, tag=f"t{name}")
    return {m.call_id.decode(): m for m in callee.inbox if m.method == "INVITE"}


def fill(world: World) -> str:
    """Calls until one is refused: its text. Nothing is left in the inboxes."""
    caller, callee = parties(world)
    for number in range(100):
        text = caller.request("INVITE", "sip:bob@example.com", branch=f"z9hG4bK-f{number}", call_id=f"f{number}")
        caller.send(text)
        if caller.last.status == 503:
            break
    assert caller.last.status == 503
    caller.take(), callee.take()
    return text


def within(caller: Agent, offered: SipMessage, method: str, cseq: int, tag: str, route: str = "") -> str:
    route = route or f"Route: {(offered.first('Record-Route') or b'').decode()}"
    name = offered.call_id.decode()
    return caller.request(method, "sip:127.0.0.2:5090", call_id=name, cseq=cseq, to_tag=tag, headers=route)


def test_shared_35_new_requests_get_503_each_time_and_leave_nothing(make_world: Make) -> None:
    world = small(make_world)
    caller, callee = parties(world)
    text = fill(world)
    before = world.transactions.stats().records
    caller.send(text, 0)
    caller.send(text, 1)
    branch, call_id = caller.last.via.branch.decode(), caller.last.call_id.decode()
    tags = {(m.to_tag or b"").decode() for m in caller.inbox}
    assert caller.statuses == [503, 503] and len(tags) == 1
    ack = caller.request("ACK", "sip:bob@example.com", branch=branch, call_id=call_id, to_tag=tags.pop())
    caller.send(ack)
    for method in ("MESSAGE", "OPTIONS", "REGISTER"):
        caller.send(caller.request(method, "sip:bob@example.com"))
    assert caller.statuses == [503] * 5 and all(m.has("Retry-After") for m in caller.inbox)
    assert not callee.inbox and world.transactions.stats().records == before
    world.advance(80)
    caller.send(text)
    assert caller.last.status == 100 and callee.last.call_id.decode() == call_id  # it has recovered by itself


def test_shared_35_live_calls_go_on_in_the_reserve(make_world: Make) -> None:
    world = small(make_world)
    caller, callee = parties(world)
    calls = ringing(world, "a", "b", "c", "d")
    fill(world)
    callee.answer(calls["a"], 200, tag="ta")
    caller.send(within(caller, calls["a"], "ACK", 1, "ta"))
    for cseq, method in enumerate(("INFO", "INVITE", "BYE"), 2):
        caller.send(within(caller, calls["a"], method, cseq, "ta"))
        callee.answer(callee.last, 200, tag="ta")
    assert callee.requests == ["ACK", "INFO", "INVITE", "BYE"] and caller.statuses == [200, 200, 100, 200, 200]
    caller.take(), callee.take()
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-b", call_id="b"))
    callee.answer(calls["b"], 487, tag="tb")
    callee.answer(calls["c"], 486, tag="tc")
    caller.send(within(caller, calls["d"], "PRACK", 2, "td"))
    assert callee.requests == ["CANCEL", "ACK", "ACK", "PRACK"] and caller.statuses == [200, 487, 486]


@pytest.mark.parametrize("signed", [True, False])
def test_shared_35_a_to_tag_or_a_route_that_names_us_opens_no_reserve(make_world: Make, signed: bool) -> None:
    world = small(make_world, proxy={"sign_record_route": signed})
    caller, callee = parties(world)
    calls = ringing(world, "a")
    fill(world)
    for route in ("X: y", "Route: <sip:127.0.0.1:5060;lr>", "Route: <sip:127.0.0.1:5060;lr;rrs=0123456789abcdef0123>"):
        caller.send(within(caller, calls["a"], "BYE", 2, "forged", route))
    assert caller.statuses == [503] * 3 and not callee.inbox
    callee.answer(calls["a"], 200, tag="ta")
    caller.send(within(caller, calls["a"], "BYE", 3, "ta"))  # its dialog is known, whatever the Route says
    assert callee.requests == ["BYE"]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "REGISTER"])
def test_shared_37_a_request_larger_than_a_record_gets_513_each_time_and_goes_nowhere(
    world: World, method: str
) -> None:
    caller, callee = parties(world)
    text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-1", call_id="c1", body=LARGE)
    for worker in (0, 1):
        caller.send(text, worker)
    tag = (caller.last.to_tag or b"").decode()
    caller.send(caller.request("ACK", "sip:bob@example.com", branch="z9hG4bK-1", call_id="c1", to_tag=tag))
    world.advance(40)
    assert caller.statuses == [513, 513] and len({m.to_tag for m in caller.inbox}) == 1
    assert not callee.inbox and not list(world.records()) and world.count(Counter.SCRIPT_RUNS) == 0


def test_shared_37_a_large_ack_passes_whole_and_a_large_bye_gets_513(world: World) -> None:
    caller, callee = parties(world)
    calls = ringing(world, "a")
    callee.answer(calls["a"], 200, tag="ta")
    for method, cseq in (("ACK", 1), ("BYE", 2)):
        text = within(caller, calls["a"], method, cseq, "ta").replace(
            "Content-Length: 0", f"Content-Length: {len(LARGE)}"
        )
        caller.send(text + LARGE)
    assert callee.requests == ["INVITE", "ACK"] and len(callee.last.body) == len(LARGE)
    assert caller.statuses == [100, 180, 200, 513]
