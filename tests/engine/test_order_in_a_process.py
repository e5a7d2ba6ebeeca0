"""What one process reads in order it serves in order, however late and in whatever order the store answers."""

from collections.abc import Callable
from random import Random

import pytest

from siphon.engine.counters import Counter
from siphon.engine.lines import LONGEST_LINE, LONGEST_LINE_OF_ACKS
from siphon.engine.order import Order
from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
HEAD = "import asyncio\nfrom siphon import proxy\n\n"
RELAY = HEAD + "@proxy.on_request\ndef route(request):\n    request.relay('sip:127.0.0.2:5090')\n\n"
EDIT = "@proxy.on_reply\ndef back(request, reply):\n    reply.relay()\n\n"
SLOW = "@proxy.on_reply\nasync def back(request, reply):\n    await asyncio.sleep(1)\n    reply.relay()\n\n"
ORDERS = pytest.mark.parametrize("order", range(12))


def called(world: World) -> tuple[Agent, Agent, SipMessage]:
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, phone, phone.last


@ORDERS
@pytest.mark.parametrize("script", [RELAY, RELAY + EDIT, RELAY + SLOW], ids=["no handler", "handler", "awaits"])
def test_responses_of_a_branch_leave_in_the_order_in_which_they_came(make_world: Make, script: str, order: int) -> None:
    world = make_world(script, late=Random(order))
    world.random.seed(order)
    caller, phone, seen = called(world)
    with world.batch():
        for status in (180, 183, 181, 200):
            phone.answer(seen, status, worker=1)
    world.advance(10)
    assert caller.statuses == [100, 180, 183, 181, 200]


@ORDERS
def test_responses_that_come_while_those_before_them_are_committed_stay_behind_them(
    make_world: Make, order: int
) -> None:
    world = make_world(RELAY + SLOW, late=Random(order))
    world.random.seed(order)
    caller, phone, seen = called(world)
    for status in (180, 183, 181):
        phone.answer(seen, status, worker=1)
    with world.batch():
        world.clock.now += 1
        world.workers[1].run_due(world.clock.now)  # the handler of the 180 ends, and its commit is on its way
        phone.answer(seen, 182, worker=1)
    world.advance(10)
    assert caller.statuses == [100, 180, 183, 181, 182]


@ORDERS
def test_an_ack_is_not_overtaken_by_its_bye(make_world: Make, order: int) -> None:
    world = make_world(late=Random(order))
    world.random.seed(order)
    caller, phone, seen = called(world)
    phone.answer(seen, 200)
    routes = "\n".join(f"Route: {route.decode()}" for route in caller.last.all_lines("Record-Route"))
    options = {"to_tag": "t1", "call_id": "c1", "headers": routes}
    with world.batch():
        caller.send(caller.request("ACK", "sip:127.0.0.2:5090", **options), worker=0)
        caller.send(caller.request("BYE", "sip:127.0.0.2:5090", cseq=2, **options), worker=0)
    assert phone.requests == ["INVITE", "ACK", "BYE"]


@ORDERS
def test_a_cancel_that_is_read_with_its_invite_finds_it(make_world: Make, order: int) -> None:
    world = make_world(late=Random(order))
    world.random.seed(order)
    caller = world.agent("192.0.2.1")
    with world.batch():
        for method in ("INVITE", "CANCEL"):
            text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
            caller.send(text, worker=0)
    assert caller.statuses == [100, 200]  # it waits for a provisional now


def in_dialog(caller: Agent, method: str, number: int) -> bytes:
    """A request of the call, for a callee that answered with the tag t1."""
    routes = "\n".join(f"Route: {route.decode()}" for route in caller.last.all_lines("Record-Route"))
    options = {"to_tag": "t1", "call_id": "c1", "headers": routes, "branch": f"z9hG4bK-{method}-{number}"}
    return caller.request(method, "sip:127.0.0.2:5090", cseq=2 + number, **options)


@ORDERS
def test_acks_do_not_keep_their_bye_out_of_the_line(make_world: Make, order: int) -> None:
    world = make_world(late=Random(order))
    world.random.seed(order)
    caller, phone, seen = called(world)
    phone.answer(seen, 200)
    acks = [in_dialog(caller, "ACK", number) for number in range(2 * LONGEST_LINE)]
    with world.batch():
        for ack in acks:
            caller.send(ack, worker=0)
        caller.send(in_dialog(caller, "BYE", 0), worker=0)
    assert phone.requests == ["INVITE", *["ACK"] * LONGEST_LINE_OF_ACKS, "BYE"]
    assert world.count(Counter.ACKS_DROPPED) == 2 * LONGEST_LINE - LONGEST_LINE_OF_ACKS


def test_a_request_that_finds_its_line_full_gets_503_but_no_repeat_of_one_that_stands_in_it(make_world: Make) -> None:
    world = make_world(late=Random(1))
    caller, phone, seen = called(world)
    phone.answer(seen, 200)
    messages = [in_dialog(caller, "MESSAGE", number) for number in range(LONGEST_LINE)]
    before = len(caller.statuses)
    with world.batch():
        for message in [*messages, messages[-1], in_dialog(caller, "BYE", LONGEST_LINE)]:
            caller.send(message, worker=0)
        assert caller.statuses[before:] == [503]
        assert caller.last.cseq_method == "BYE"
    assert phone.requests == ["INVITE", *["MESSAGE"] * LONGEST_LINE]


class Event:
    """An event of a record."""

    def __init__(self, key: bytes = b"k") -> None:
        self.key = key


def through(order: Order, event: Event) -> list[object]:
    """Its answer comes, and it does not wait again; who is ready then."""
    order.begin(event)
    order.end(event)
    return list(order.ready)


def test_who_comes_for_a_record_at_work_stands_in_line() -> None:
    order, first, second, other = Order[Event](), Event(), Event(), Event(b"o")
    order.hold(first, (b"k",))
    assert not order.may_begin(second, (b"k",))
    assert order.may_begin(other, (b"o",))
    assert through(order, first) == [second]


def test_an_event_that_waits_again_keeps_its_place() -> None:
    order, first, second = Order[Event](), Event(), Event()
    order.hold(first, (b"k",))
    order.may_begin(second, (b"k",))
    order.begin(first)
    order.hold(first, (b"k",))
    order.end(first)
    assert not order.ready
    assert through(order, first) == [second]


def test_what_an_event_brings_about_goes_before_those_that_stand_in_line() -> None:
    order, ack, bye, again = Order[Event](), Event(), Event(b"b"), Event(b"invite")
    order.hold(ack, (b"k", b"call"))
    order.may_begin(bye, (b"b", b"call"))
    order.begin(ack)
    assert order.may_begin(again, (b"invite", b"call"))
    order.hold(again, (b"invite", b"call"))
    order.end(ack)
    assert not order.ready
    assert through(order, again) == [bye]


def test_acks_of_a_call_wait_for_what_came_before_and_not_for_each_other() -> None:
    order, acks, bye, late = Order[Event](), [Event(b"1"), Event(b"2")], Event(b"b"), [Event(b"3"), Event(b"4")]
    for ack in acks:
        assert order.may_begin(ack, (ack.key, b"call"), b"call")
        order.hold(ack, (ack.key, b"call"), b"call")
    assert not order.may_begin(bye, (b"b", b"call"))
    for ack in late:
        assert not order.may_begin(ack, (ack.key, b"call"), b"call")
    assert not through(order, acks[0])
    assert through(order, acks[1]) == [bye]
    order.ready.clear()
    assert through(order, bye) == late


def test_the_same_ack_twice_is_one_after_the_other() -> None:
    order, first, second = Order[Event](), Event(), Event()
    order.hold(first, (b"k", b"call"), b"call")
    assert not order.may_begin(second, (b"k", b"call"), b"call")
    assert through(order, first) == [second]


def test_nobody_waits_in_a_circle() -> None:
    # a request of the call stands in line for the record that the ACK turns out to be for
    order, response, ack, cancel, again = Order[Event](), Event(b"i"), Event(b"a"), Event(b"i"), Event(b"i")
    order.hold(response, (b"i",))
    order.hold(ack, (b"a", b"call"))
    assert not order.may_begin(cancel, (b"i", b"call"))
    order.begin(ack)
    assert not order.may_begin(again, (b"i", b"call"))  # the response is at work
    order.end(ack)
    assert not order.ready
    assert through(order, response) == [again]
    order.ready.clear()
    assert through(order, again) == [cancel]


def test_nothing_is_kept_of_what_is_through() -> None:
    order, first, second = Order[Event](), Event(), Event()
    order.hold(first, (b"k", b"call"))
    order.may_begin(second, (b"k",))
    through(order, first)
    through(order, second)
    assert not order.lines
