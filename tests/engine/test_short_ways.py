"""The short ways of plain requests and responses: taken where they may be, and nowhere else.

That they decide the same is checked at each of their commits in every test of this folder and in the simulator
(siphon/testing/plain.py).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.script.outcome import Outcome
from siphon.sip.message import SipMessage
from siphon.state.store import CONFLICT, FULL, Busy, Commit
from siphon.testing.agent import Agent
from siphon.testing.plain import SameDecision
from siphon.testing.worker import VirtualWorker
from siphon.testing.world import World
from siphon.transaction.step import Step

RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")
"""
ON_REPLY = (
    RELAY
    + """

@proxy.on_reply
def reply(request, reply):
    reply.set_header("X-Seen", "yes")
    reply.relay()
"""
)


@pytest.fixture
def world() -> Iterator[World]:
    """Two workers on a store that answers at once, a script that relays to 127.0.0.2:5090."""
    world = World(RELAY)
    yield world
    world.close()


class Taken:
    """The statuses and methods that went the short ways, on any worker."""

    def __init__(self, world: World) -> None:
        self.statuses: list[int] = []
        self.methods: list[str] = []
        self.attempts: list[str] = []
        self.answers: list[int] = []
        for worker in world.workers:
            worker.ingest.shorten(Watching(worker.core, self))


class Watching(SameDecision):
    def __init__(self, core: Core, taken: Taken) -> None:
        super().__init__(core)
        self.taken = taken

    def response(self, message: SipMessage, *facts: Any) -> None:
        super().response(message, *facts)
        self.taken.statuses.append(message.status)

    def request(self, message: SipMessage, *facts: Any) -> None:
        super().request(message, *facts)
        self.taken.methods.append(message.method)

    def attempt(self, before: bytes, outcome: Outcome, step: Step) -> None:
        super().attempt(before, outcome, step)
        self.taken.attempts.append(step.record.method)

    def answer(self, before: bytes, message: SipMessage, outcome: Outcome, *facts: Any) -> None:
        super().answer(before, message, outcome, *facts)
        self.taken.answers.append(outcome.action.status)


class Spoiling(SameDecision):
    """Every commit lives a second longer than it should."""

    def response(self, *facts: Any) -> None:
        facts[-1].expiry += 1
        super().response(*facts)

    def request(self, *facts: Any) -> None:
        facts[-1].expiry += 1
        super().request(*facts)


def call(world: World, method: str = "INVITE") -> tuple[Agent, Agent, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, callee, callee.inbox[-1]


def test_what_answers_a_plain_call_goes_the_short_way(world: World) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    for status in (100, 180, 183, 200):
        callee.answer(seen, status)
    assert taken.statuses == [100, 180, 183, 200]
    assert caller.statuses == [100, 180, 183, 200]
    assert world.count(Counter.SENT) == 2 + 3


def response_to(seen: SipMessage, vias: list[str], **changed: str) -> str:
    """A 180 with these Via lines."""
    lines = {"From": "from", "To": "to", "Call-ID": "call-id", "CSeq": "cseq"}
    values = {name: (seen.first(key) or b"").decode() for name, key in lines.items()} | changed
    values["To"] += ";tag=t1"
    return "\n".join(
        ["SIP/2.0 180 Ringing", *vias, *(f"{n}: {v}" for n, v in values.items()), "Content-Length: 0", "", ""]
    )


@pytest.mark.parametrize(
    "vias",
    [
        ["Via: {0}", "Via: {1};maddr=255.255.255.255"],
        ["Via: {0}, {1};maddr=255.255.255.255"],
        ["Via: {0}", "X-Between: 1", "v: {1};maddr=255.255.255.255"],
        ["Via: {0}", "VIA: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK-two"],
    ],
)
def test_a_response_for_everybody_is_the_engine_s_which_drops_it(world: World, vias: list[str]) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    ours, theirs = (value.decode() for value in seen.all_lines("Via"))
    callee.send(response_to(seen, [via.format(ours, theirs) for via in vias]))
    assert taken.statuses == []
    assert caller.statuses == [100]
    assert world.count(Counter.STRAYS) == 1


def test_the_broadcast_address_elsewhere_is_no_concern(world: World) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    callee.answer(seen, 180, headers=[("X-Note", "255.255.255.255")])
    callee.answer(seen, 200, body=b"c=IN IP4 255.255.255.255")
    assert taken.statuses == [180, 200]
    assert caller.statuses == [100, 180, 200]


@pytest.mark.parametrize(
    ("changed", "passes"),
    [
        ({"Call-ID": "c1"}, True),
        ({"Call-ID": "\n c1"}, True),
        ({"Call-ID": "C1"}, False),
        ({"Call-ID": "c12"}, False),
        ({"From": "<sip:a@example.com>;tag={upper}"}, True),
        ({"From": "<sip:a@example.com>;tag={tag}x"}, False),
        ({"From": "<sip:a@example.com>"}, False),
    ],
)
def test_whose_response_it_is_tells_its_call_id_and_from_tag(
    world: World, changed: dict[str, str], passes: bool
) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    tag = (seen.from_tag or b"").decode()
    assert tag != tag.upper()
    values = {name: value.format(tag=tag, upper=tag.upper()) for name, value in changed.items()}
    callee.send(response_to(seen, [f"Via: {value.decode()}" for value in seen.all_lines("Via")], **values))
    assert taken.statuses == ([180] if passes else [])
    assert caller.statuses == ([100, 180] if passes else [100])


def test_a_2xx_to_another_request_goes_the_short_way(world: World) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world, "MESSAGE")
    callee.answer(seen, 200)
    callee.answer(seen, 200)  # Timer K absorbs it
    assert taken.statuses == [200]
    assert caller.statuses == [200]


def test_further_2xx_failures_and_strays_are_the_engine_s(world: World) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    callee.answer(seen, 200)
    callee.answer(seen, 200, tag="another")
    callee.answer(seen, 486)
    assert taken.statuses == [200]
    assert caller.statuses == [100, 200, 200]


def test_after_a_cancel_the_engine_decides(world: World) -> None:
    taken = Taken(world)
    caller, callee, seen = call(world)
    callee.answer(seen, 180)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    callee.answer(seen, 183)
    callee.answer(seen, 200)
    assert taken.statuses == [180]
    assert caller.statuses == [100, 180, 200, 200], "the CANCEL's, and the late one of the INVITE"


def test_where_a_handler_sees_replies_the_engine_decides() -> None:
    world = World(ON_REPLY)
    taken = Taken(world)
    caller, callee, seen = call(world)
    callee.answer(seen, 180)
    callee.answer(seen, 200)
    assert taken.statuses == []
    assert caller.inbox[-1].first("X-Seen") == b"yes"
    world.close()


def test_a_difference_does_not_go_unnoticed(world: World) -> None:
    _, callee, seen = call(world)
    for worker in world.workers:
        worker.ingest.shorten(Spoiling(worker.core))
    with pytest.raises(AssertionError):
        callee.answer(seen, 180)
    with pytest.raises(AssertionError):
        call(world, "MESSAGE")


@pytest.mark.parametrize("answer", [CONFLICT, FULL, Busy()])
def test_what_the_store_does_not_commit_at_once_is_decided_again_by_the_engine(world: World, answer: object) -> None:
    caller, callee, seen = call(world)
    for worker in world.workers:
        refuse_once(worker, answer)
    callee.answer(seen, 180)
    callee.answer(seen, 200)
    for worker in world.workers:
        worker.core.retry_parked()
    assert caller.statuses == [100, 180, 200]


def refuse_once(worker: VirtualWorker, answer: object) -> None:
    """The next commit of the short way gets this answer."""
    store = worker.store
    answers = [answer]

    class Refusing:
        at_once = True

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def commit(self, commit: Commit) -> object:
            return answers.pop() if answers else store.commit(commit)

    worker.core.store = Refusing()  # type: ignore[assignment]
    worker.ingest.shorten()
    worker.core.store = store


def test_new_requests_go_the_short_way_and_repeats_do_not(world: World) -> None:
    taken = Taken(world)
    caller, callee, _ = call(world)
    assert taken.methods == ["INVITE"]
    call(world)  # is tried, and finds a record
    assert caller.statuses == [100, 100] and callee.requests == ["INVITE"]
    assert world.count(Counter.TRANSACTIONS) == 1 and world.count(Counter.RETRANSMISSIONS) == 1


@pytest.mark.parametrize(
    "change",
    [
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("Max-Forwards: 70", "Max-Forwards: 70\nProxy-Require: moon"),
        ("sip:bob@example.com SIP", "mailto:bob@example.com SIP"),
        ("sip:bob@example.com SIP", "sip:bob@example.com;maddr=127.0.0.1 SIP"),
        ("z9hG4bK-one", "one"),
        ("SIP/2.0/UDP", "SIP/2.0/TCP"),
        ("z9hG4bK-one", "z9hG4bK-one;maddr=192.0.2.1"),
    ],
)
def test_what_is_refused_or_out_of_the_ordinary_is_the_engine_s(world: World, change: tuple[str, str]) -> None:
    taken = Taken(world)
    caller = world.agent("192.0.2.1")
    world.agent("127.0.0.2", 5090)
    text = caller.request("MESSAGE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    assert change[0] in text
    caller.send(text.replace(*change, 1))
    assert taken.methods == []


@pytest.mark.parametrize("state", ["draining", "sources are counted"])
def test_where_requests_may_be_turned_away_the_engine_decides(state: str) -> None:
    world = World(RELAY, limits={"per_source": 1} if state != "draining" else {})
    taken = Taken(world)
    for worker in world.workers:
        worker.draining = state == "draining"
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    for number in (1, 2):
        caller.send(caller.request("MESSAGE", "sip:bob@example.com", branch=f"z9hG4bK-{number}", call_id=f"{number}"))
    assert taken.methods == []
    assert caller.statuses == ([503, 503] if state == "draining" else [503])
    assert len(callee.requests) == (0 if state == "draining" else 1)
    world.close()


def attempt(body: str, before: tuple[str, str] = ("", ""), **sections: Any) -> tuple[list[str], Agent, Agent]:
    """One MESSAGE to a script whose handler does this: the methods whose attempts went the short way, and both ends."""
    world = World(f"from siphon import proxy\n\n@proxy.on_request\ndef route(request):\n    {body}\n", **sections)
    taken = Taken(world)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("MESSAGE", "sip:bob@127.0.0.2:5090", branch="z9hG4bK-one", call_id="c1")
    assert before[0] in text
    caller.send(text.replace(*before, 1))
    world.close()
    return taken.attempts, caller, callee


@pytest.mark.parametrize(
    "body",
    [
        "request.relay()",
        "request.relay('sip:127.0.0.2:5090')",
        "request.relay('127.0.0.2:5090')",
        "request.relay(timeout=5)",
        "request.fork(['sip:bob@127.0.0.2:5090?Subject=x'])",
        "request.fork(['sip:x@127.0.0.2:5090;method=INVITE'], timeout=2, strategy='sequential')",
        "request.set_header('X-A', 'b'); request.relay()",
        "request.vars['a'] = 1; request.record_route(); request.fork(['sip:127.0.0.2:5090'])",
    ],
)
def test_a_plain_attempt_goes_the_short_way(body: str) -> None:
    for before in (("", ""), ("Max-Forwards: 70", "Max-Breadth: 9"), ("Max-Forwards: 70", "Max-Forwards: 1")):
        attempts, _, callee = attempt(body, before)
        assert attempts == ["MESSAGE"]
        assert callee.requests == ["MESSAGE"]


@pytest.mark.parametrize(
    ("body", "before", "status", "reached"),
    [
        ("request.relay()", ("SIP/2.0\n", "SIP/2.0\nRoute: <sip:127.0.0.2:5090;lr>\n"), 0, 1),
        ("request.relay()", ("sip:bob@127.0.0.2:5090 ", "sips:bob@127.0.0.2:5090 "), 416, 0),
        ("request.relay('sip:127.0.0.2:5090')", ("sip:bob@127.0.0.2:5090 ", "sips:bob@127.0.0.2:5090 "), 416, 0),
        ("request.relay('sip:224.0.0.1')", ("", ""), 500, 0),
        ("request.relay('sip:127.0.0.1:5060')", ("", ""), 482, 0),
        ("request.relay('sip:127.0.0.2:5090;transport=tcp')", ("", ""), 500, 0),
        ("request.relay('sip:[::1]:5090')", ("", ""), 500, 0),
        ("request.relay()", ("Max-Forwards: 70", "Max-Breadth: 0"), 440, 0),
        ("request.relay()", ("To: <sip:bob@127.0.0.2:5090>", "To: <sip:bob@127.0.0.2:5090>;tag=x"), 481, 0),
        ("request.fork(['sip:127.0.0.2:5090', 'sip:a@127.0.0.2:5090'])", ("", ""), 0, 2),
        ("request.force_send_via('udp', 'proxy.example.com'); request.relay()", ("", ""), 0, 1),
        ("request.relay(send_socket='udp:127.0.0.1:5060')", ("", ""), 0, 1),
    ],
)
def test_an_attempt_out_of_the_ordinary_is_the_engine_s(
    body: str, before: tuple[str, str], status: int, reached: int
) -> None:
    attempts, caller, callee = attempt(body, before)
    assert attempts == []
    assert caller.statuses == ([status] if status else [])
    assert len(callee.requests) == reached


def test_a_second_attempt_is_the_engine_s() -> None:
    body = "request.relay(on_failure=again)\n\ndef again(request, status, reason):\n    request.relay()"
    attempts, _, callee = attempt(body)
    assert attempts == ["MESSAGE"] and callee.requests == ["MESSAGE"]


def test_a_copy_above_the_mtu_goes_the_short_way_and_one_that_no_datagram_holds_does_not() -> None:
    for size, went in ((600, ["MESSAGE"]), (65200, [])):
        body = f"request.set_body('x' * {size}, 'text/plain'); request.relay()"
        attempts, caller, callee = attempt(body, listen={"mtu": 576})
        assert attempts == went
        assert callee.requests == went
        assert caller.statuses == ([] if went else [513])


ANSWERS = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if request.method == "MESSAGE" and not auth.require_digest(request, realm="example.com"):
        return
    if request.has_header("X-Queued"):
        request.set_reply_header("X-Queued", "yes")
    request.reply(404, "Not Here")
"""


@pytest.mark.parametrize(
    ("method", "headers", "short"),
    [
        ("OPTIONS", "", [404]),
        ("MESSAGE", "", [407]),
        ("OPTIONS", "X-Queued: 1", []),
        ("BYE", "", []),
        ("INVITE", "", []),
    ],
)
def test_the_plain_final_of_a_request_that_is_no_invite_goes_the_short_way(
    method: str, headers: str, short: list[int]
) -> None:
    world = World(ANSWERS)
    taken = Taken(world)
    caller = world.agent("192.0.2.1")
    for _ in range(2):
        caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-a", call_id="c1", headers=headers))
    stateless = method == "MESSAGE"
    assert taken.answers == (short * 2 if stateless else short), "a repeat of what was challenged is asked again"
    assert len({message.raw for message in caller.inbox if message.status != 100}) == 1 + stateless
    world.close()
