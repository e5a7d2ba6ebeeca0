"""The short way of the ACK to a 2xx: taken where it may be, with the engine's bytes, and nowhere else."""

from collections.abc import Iterator
from typing import Any

import pytest

from siphon.engine.counters import Counter
from siphon.state.store import Send
from siphon.testing.plain import SameDecision
from siphon.testing.world import World

SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.record_route()
    request.relay("sip:127.0.0.2:5090")
"""


class Watching(SameDecision):
    """Counts the ACKs whose copy the short way has made."""

    taken = 0

    def ack(self, *facts: Any) -> None:
        super().ack(*facts)
        self.taken += 1


class Spoiling(SameDecision):
    """Every copy leaves by a branch that was not drawn for it."""

    def ack(self, *facts: Any) -> None:
        *before, token, send = facts
        super().ack(*before, token[::-1] + b"0", send)


class Call:
    """A call whose INVITE was answered, and the text of its ACK."""

    def __init__(self, tag: str = "t1", signed: bool = True) -> None:
        self.world = World(SCRIPT, proxy={"sign_record_route": signed})
        self.caller, self.callee = self.world.agent("192.0.2.1"), self.world.agent("127.0.0.2", 5090)
        self.caller.send(self.caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
        invite = self.callee.last
        self.callee.answer(invite, 200, tag=tag)
        (self.route,) = [value.decode() for value in invite.values("Record-Route")]
        headers = f"Route: {self.route}"
        self.text = self.caller.request(
            "ACK", "sip:bob@127.0.0.2:5090", branch="z9hG4bK-two", call_id="c1", to_tag=tag, headers=headers
        )
        self.watching = [Watching(worker.core) for worker in self.world.workers]
        for worker, watching in zip(self.world.workers, self.watching, strict=True):
            worker.ingest.shorten(watching)

    @property
    def taken(self) -> int:
        """ACKs that went the short way."""
        return sum(watching.taken for watching in self.watching)

    @property
    def acks(self) -> int:
        """ACKs that the callee has received."""
        return self.callee.requests.count("ACK")


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    yield made
    made.world.close()


@pytest.mark.parametrize(
    "before",
    [
        ("", ""),
        ("Max-Forwards: 70", "Max-Forwards: 1"),
        ("Max-Forwards: 70\n", ""),
        ("Max-Forwards: 70", "max-breadth: 5\nMax-Forwards: 300"),
        ("Route: ", "Route: <sip:127.0.0.1;lr>;x=y\nRoute: "),
        (";rport", ""),
        ("sip:bob@127.0.0.2:5090 ", "sip:127.0.0.2:5090;transport=udp "),
        ("Content-Length: 0\n\n", "Content-Length: 3\n\nabc"),
    ],
)
def test_an_ack_by_our_route_goes_the_short_way(call: Call, before: tuple[str, str]) -> None:
    assert before[0] in call.text
    call.caller.send(call.text.replace(*before, 1).replace("<sip:127.0.0.1;lr>;x=y", call.route))
    assert call.taken == call.acks == 1
    assert call.world.count(Counter.ACKS_FORWARDED) == 1
    assert call.callee.last.values("Route") == []


def test_where_routes_are_not_signed_one_that_names_us_will_do() -> None:
    call = Call(signed=False)
    call.caller.send(call.text)
    assert call.taken == call.acks == 1
    call.world.close()


def test_a_tag_that_looks_like_ours_is_looked_up_first() -> None:
    call = Call(tag="0123456789abcdef" * 2)
    call.caller.send(call.text)
    assert call.taken == call.acks == 1
    call.world.close()


@pytest.mark.parametrize(
    ("before", "reaches"),
    [
        (("z9hG4bK-two", "z9hG4bK-one"), 1),  # the INVITE's branch: its record is looked at
        (("Call-ID: c1", "Call-ID: c2"), 0),  # signed for another call
        ((";rrs=", ";rrs=0"), 1),  # by the dialog's record, to where its Route leads
        (("Route: ", "X-Route: "), 1),  # by the dialog's record
        ((";tag=t1", ""), 1),
        (("Max-Forwards: 70", "Max-Forwards: 0"), 0),
        (("Max-Forwards: 70", "Max-Forwards: 70\nProxy-Require: moon"), 0),
        (("SIP/2.0/UDP", "SIP/2.0/TCP"), 1),
        (("sip:bob@127.0.0.2:5090 ", "sip:bob@127.0.0.1 "), 1),  # ourselves: the dialog's record knows better
        (("sip:bob@127.0.0.2:5090 ", "sip:bob@127.0.0.2:5090;lr "), 1),
        (("sip:bob@127.0.0.2:5090 ", "sips:bob@127.0.0.2:5090 "), 0),
        (("Content-Length: 0\n", ""), 1),
    ],
)
def test_an_ack_out_of_the_ordinary_is_the_engine_s(call: Call, before: tuple[str, str], reaches: int) -> None:
    assert before[0] in call.text
    call.caller.send(call.text.replace(*before, 1))
    assert call.taken == 0
    assert call.acks == reaches


def test_a_foreign_route_behind_ours_is_the_engine_s(call: Call) -> None:
    call.caller.send(call.text.replace("Route: ", f"Route: {call.route}, <sip:127.0.0.2:5090;lr>\nX-Was: "))
    assert call.taken == 0 and call.acks == 1
    assert call.callee.last.values("Route") == [b"<sip:127.0.0.2:5090;lr>"]


def test_an_ack_to_a_failure_is_the_engine_s() -> None:
    world = World(SCRIPT)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    route = callee.last.values("Record-Route")[0].decode()
    callee.answer(callee.last, 486)
    headers = f"Route: {route}"
    dialog = {"branch": "z9hG4bK-one", "call_id": "c1", "to_tag": "t1"}
    caller.send(caller.request("ACK", "sip:bob@127.0.0.2:5090", **dialog, headers=headers))
    assert callee.requests == ["INVITE", "ACK"], "ours to the 486"
    assert world.count(Counter.ACKS_FORWARDED) == 0
    world.close()


def test_a_difference_does_not_go_unnoticed(call: Call) -> None:
    for worker in call.world.workers:
        worker.ingest.shorten(Spoiling(worker.core))
    with pytest.raises(AssertionError):
        call.caller.send(call.text)


def test_what_the_configuration_says_of_targets_is_asked_anew_when_it_changes(call: Call) -> None:
    sent: list[Send] = []
    call.caller.send(call.text)
    for worker in call.world.workers:
        env = worker.core.env
        moved = type(env.identity)(env.identity.listeners, "proxy.example.com")
        env.identity = moved
        worker.ingest.send = sent.append
    call.caller.send(call.text.replace("127.0.0.1", "proxy.example.com"))
    assert call.taken == 1, "its token is for the other name"
    call.caller.send(call.text)
    assert call.taken == 2 and b"SIP/2.0/UDP proxy.example.com:5060;" in sent[-1].data
