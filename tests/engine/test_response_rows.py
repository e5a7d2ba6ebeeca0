"""What becomes of a response on its way up: each clause of RFC 3261 §16.7 and §16.8 in the whole engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.sip.build import response
from siphon.sip.message import SipMessage, parse, strip_top_via
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092", "sip:127.0.0.2:5093"][:%d], strategy="%s")
"""
AGAIN = """
@proxy.on_failure
def failed(request, reply):
    request.relay("sip:127.0.0.2:5099")
"""


def called(world: World, method: str = "INVITE") -> tuple[Agent, Agent, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, BOB, branch="z9hG4bK-one", call_id="c1"))
    return caller, callee, callee.inbox[0]


def forked(
    make_world: Make, count: int = 2, strategy: str = "parallel", more: str = "", method: str = "INVITE"
) -> tuple[World, Agent, list[Agent]]:
    world = make_world(FORK % (count, strategy) + more)
    caller, *phones = (world.agent("127.0.0.2", port) for port in (5060, 5091, 5092, 5093))
    caller.send(caller.request(method, BOB, branch="z9hG4bK-one", call_id="c1"))
    return world, caller, phones[:count]


def alone(seen: SipMessage) -> SipMessage:
    """The request without the Vias below ours."""
    raw = seen.raw
    for line in seen.all_lines("Via")[1:]:
        raw = raw.replace(b"Via: %b\r\n" % line, b"")
    assert parse(raw).via_count == 1
    return parse(raw)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
@pytest.mark.parametrize("status", [180, 200, 486])
def test_prx_42_a_response_with_no_via_but_ours_is_consumed(world: World, method: str, status: int) -> None:
    caller, callee, seen = called(world, method)
    heard = list(caller.statuses)
    callee.answer(alone(seen), status)
    assert caller.statuses == heard and not world.lost
    world.advance(400)
    assert method != "INVITE" or [s for s in caller.statuses if s >= 300], "the caller's INVITE ends all the same"
    world.advance(60)
    assert not list(world.records())


def test_prx_42_the_vias_below_ours_go_up_as_they_came(world: World) -> None:
    caller, callee = world.agent("192.0.2.1", 7000), world.agent("127.0.0.2", 5090)
    below = "Via: SIP / 2.0 / UDP 203.0.113.1;received=203.0.113.9;rport=5;branch=z9hG4bKa ,SIP/2.0/TCP x\n"
    caller.send(caller.request("INVITE", BOB).replace("Max-Forwards", f"{below}Max-Forwards"))
    callee.answer(callee.last, 183)
    assert caller.last.all_lines("Via") == callee.last.all_lines("Via")[1:]
    assert b"received=" not in caller.last.values("Via")[0] or b"rport=7000" in caller.last.values("Via")[0]


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("names", [1, 2])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_prx_51_an_icmp_error_that_another_worker_reads_ends_the_branch_as_a_503(
    make_world: Make, method: str, names: int, worker: int
) -> None:
    script = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.relay('sip:pbx.example')\n"
    world = make_world(script)
    world.resolver.names["pbx.example"] = ["127.0.0.2", "127.0.0.3"][:names]
    caller, one, two = (world.agent(ip) for ip in ("192.0.2.1", "127.0.0.2", "127.0.0.3"))
    caller.send(caller.request(method, BOB), 0)
    reader = world.workers[worker]
    reader.turn(reader.ingest.unreachable, one.last.raw[:180])
    world.settle()
    assert caller.statuses == [100] * (method == "INVITE") + [500] * (names == 1)
    assert two.requests == [method] * (names - 1) and one.requests == [method]
    assert names == 2 or not caller.last.has("Retry-After")


def test_prx_44_a_call_with_several_2xx_counts_once(make_world: Make) -> None:
    world, caller, (one, two) = forked(make_world)
    for phone, tag in ((one, "a"), (one, "a"), (one, "b"), (two, "c")):
        phone.answer(phone.inbox[0], 200, tag=tag)
    assert [m.to_tag for m in caller.inbox[1:]] == [b"a", b"a", b"b", b"c"]
    assert world.count(Counter.TRANSACTIONS) == 1
    assert "ACK" not in one.requests + two.requests


@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_prx_46_after_a_6xx_no_new_branch_begins(make_world: Make, strategy: str) -> None:
    world, caller, phones = forked(make_world, 3, strategy, AGAIN)
    voicemail = world.agent("127.0.0.2", 5099)
    for phone in phones[1:]:
        if phone.inbox:
            phone.answer(phone.inbox[0], 180)
    phones[0].answer(phones[0].inbox[0], 603)
    for phone in phones[1:]:
        if phone.inbox:
            assert phone.requests == ["INVITE", "CANCEL"] and 603 not in caller.statuses
            phone.answer(phone.inbox[0], 487)
    world.advance(1)
    assert not voicemail.inbox and 603 in caller.statuses
    assert strategy == "parallel" or not phones[1].inbox


def test_prx_47_prx_48_one_of_401_and_407_goes_up_with_the_challenges_of_both_in_order(make_world: Make) -> None:
    _, caller, phones = forked(make_world, 3)
    lines = [
        [("Proxy-Authenticate", 'Digest realm="a",  nonce="1"'), ("Proxy-Authenticate", 'Basic realm="b"')],
        [("WWW-Authenticate", 'Digest realm="c", nonce="2"')],
        [("WWW-Authenticate", 'digest Realm="d" ,nonce="3"'), ("WWW-Authenticate", 'Basic realm="e"')],
    ]
    for phone, status, headers in zip(phones, (407, 404, 401), lines, strict=True):
        phone.answer(phone.inbox[0], status, headers=headers)
    assert caller.statuses[-1] in (401, 407)
    assert caller.last.all_lines("Proxy-Authenticate") == [value.encode() for _, value in lines[0]]
    assert caller.last.all_lines("WWW-Authenticate") == [value.encode() for _, value in lines[2]]


ONCE_MORE = """
@proxy.on_failure
def failed(request, reply):
    if "again" not in request.vars:
        request.vars["again"] = True
        request.relay("sip:127.0.0.2:5099")
"""


def test_prx_48_the_challenges_of_an_earlier_attempt_go_up_too(make_world: Make) -> None:
    world, caller, phones = forked(make_world, 2, more=ONCE_MORE)
    last = world.agent("127.0.0.2", 5099)
    challenges = [f'Digest realm="{realm}", nonce="1"' for realm in "abc"]
    phones[0].answer(phones[0].inbox[0], 407, headers=[("Proxy-Authenticate", challenges[0])])
    phones[1].answer(phones[1].inbox[0], 401, headers=[("WWW-Authenticate", challenges[1])])
    last.answer(last.inbox[0], 401, headers=[("WWW-Authenticate", challenges[2])])
    assert caller.statuses == [100, 401]
    assert caller.last.all_lines("Proxy-Authenticate") == [challenges[0].encode()]
    assert sorted(caller.last.all_lines("WWW-Authenticate")) == [text.encode() for text in challenges[1:]]


@pytest.mark.parametrize("status", [100, 180])
def test_prx_55_timer_c_after_any_provisional_means_cancel_and_408(world: World, status: int) -> None:
    caller, callee, seen = called(world)
    callee.answer(seen, status)
    world.advance(180)
    assert callee.requests == ["INVITE"], "above 180 seconds"
    world.advance(10)
    assert callee.requests[:2] == ["INVITE", "CANCEL"] and 408 not in caller.statuses
    callee.answer(seen, 487)
    assert caller.statuses[-1] == 408 and 487 not in caller.statuses


def test_prx_55_timer_c_runs_anew_from_each_provisional_but_100(world: World) -> None:
    caller, callee, seen = called(world)
    for status in (180, 183, 180):
        callee.answer(seen, status)
        world.advance(170)
    callee.answer(seen, 100)
    world.advance(9)
    assert callee.requests == ["INVITE"]
    world.advance(7)
    assert callee.requests[:2] == ["INVITE", "CANCEL"]
    world.advance(33)
    assert caller.statuses.count(408) >= 1 and 487 not in caller.statuses


def test_prx_55_timer_c_of_one_branch_leaves_the_others_alone(make_world: Make) -> None:
    world, caller, (one, two) = forked(make_world)
    one.answer(one.inbox[0], 180)
    two.answer(two.inbox[0], 100)
    world.advance(100)
    two.answer(two.inbox[0], 183)
    one.answer(one.inbox[0], 100)
    world.advance(90)
    assert one.requests[:2] == ["INVITE", "CANCEL"] and two.requests == ["INVITE"]
    one.answer(one.inbox[0], 487)
    two.answer(two.inbox[0], 486)
    assert caller.statuses[-1] == 486


@pytest.mark.parametrize("status", [200, 486])
def test_prx_40_what_comes_after_timer_d_or_m_is_dropped_though_the_record_lingers(world: World, status: int) -> None:
    caller, callee, seen = called(world)
    callee.answer(seen, status)
    caller.send(caller.request("ACK", BOB, branch="z9hG4bK-one", call_id="c1", to_tag="t1"))
    world.advance(33)
    assert list(world.records())
    sent = len(world.sent)
    callee.answer(seen, status)
    assert len(world.sent) == sent


@pytest.mark.parametrize("tag", ["", "t9"])
@pytest.mark.parametrize("status", [183, 200, 404, 503])
def test_prx_53_the_to_tag_of_a_response_goes_up_as_it_is(world: World, status: int, tag: str) -> None:
    caller, callee, seen = called(world)
    data = response(seen, status, "Status", b"mine").replace(b";tag=mine", b";x=y;Tag=mine" if not tag else b";tag=t9")
    callee.send(data)
    assert caller.last.to_tag == (tag or "mine").encode()


@pytest.mark.parametrize("status", [180, 200, 404])
def test_prx_53_a_response_without_a_to_tag_gets_none(world: World, status: int) -> None:
    caller, callee, seen = called(world)
    callee.send(response(seen, status, "Status", b"mine").replace(b";tag=mine", b""))
    assert caller.last.status == status and caller.last.to_tag is None


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_prx_53_answers_made_here_keep_the_to_tag_of_the_request(world: World, method: str) -> None:
    caller = world.agent("192.0.2.1")
    caller.send(caller.request(method, BOB, to_tag="theirs"))
    assert caller.last.status == 404 and caller.last.to_tag == b"theirs"
    caller.send(caller.request(method, BOB, to_tag="theirs").replace("Max-Forwards: 70", "Max-Forwards: 0"))
    assert caller.last.status == 483 and caller.last.to_tag == b"theirs"


@pytest.mark.parametrize("rung", [(), (0,), (0, 1), (1, 2)])
def test_prx_54_a_final_cancels_what_rings_at_once_and_the_rest_when_it_rings(
    make_world: Make, rung: tuple[int, ...]
) -> None:
    world, _, phones = forked(make_world, 3)
    for number in rung:
        phones[number].answer(phones[number].inbox[0], 180)
    phones[2].answer(phones[2].inbox[0], 200)
    for number, phone in enumerate(phones):
        assert phone.requests == ["INVITE", "CANCEL"][: 1 + (number in rung and number != 2)]
    for phone in phones[:2]:
        for status in (180, 183):
            phone.answer(phone.inbox[0], status)
        assert phone.requests == ["INVITE", "CANCEL"]
    assert phones[2].requests == ["INVITE"]


def test_prx_57_a_response_goes_up_byte_for_byte_less_our_via(world: World) -> None:
    for status, reason in ((183, "A  b"), (200, ""), (486, "caf\u00e9 ;,\t!")):
        caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
        caller.send(caller.request("INVITE", BOB))
        odd = [("X-Odd", "  two   words "), ("Record-Route", "<sip:203.0.113.1;lr>"), ("Contact", "<<")]
        data = response(callee.last, status, "PHRASE", b"t1", odd, b"v=0\0\xff").replace(
            b"PHRASE", reason.encode("latin-1")
        )
        callee.send(data)
        assert caller.last.raw == strip_top_via(parse(data))
