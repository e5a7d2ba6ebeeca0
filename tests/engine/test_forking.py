"""Several branches: RFC 3261 §16.7, in parallel and one after the other."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092", "sip:127.0.0.2:5091"], strategy="%s", timeout=%s)
"""

Make = Callable[..., World]


def forked(
    make_world: Make, strategy: str = "parallel", timeout: str = "None", method: str = "INVITE"
) -> tuple[World, Agent, Agent, Agent]:
    world = make_world(FORK % (strategy, timeout))
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return world, caller, one, two


def first(agent: Agent) -> SipMessage:
    return agent.inbox[0]


def test_prx_30_equal_targets_make_one_branch(make_world: Make) -> None:
    _, _, one, two = forked(make_world)
    assert one.requests == ["INVITE"] and two.requests == ["INVITE"]
    assert first(one).via.branch != first(two).via.branch
    assert first(one).uri == b"sip:127.0.0.2:5091"


def test_prx_13_parallel_branches_share_max_breadth(make_world: Make) -> None:
    _, _, one, two = forked(make_world)
    assert int(first(one).first("Max-Breadth") or 0) + int(first(two).first("Max-Breadth") or 0) == 60


def test_fork_03_each_ringing_phone_is_heard(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    heard = [(180, "a"), (180, "b"), (183, "b"), (183, "a"), (181, "a"), (183, "c")]  # c: forked further down
    for status, tag in heard:
        phone = two if tag == "b" else one
        phone.answer(first(phone), status, tag=tag)
    assert [(m.status, (m.to_tag or b"").decode()) for m in caller.inbox[1:]] == heard


def test_fork_04_the_first_2xx_cancels_the_others(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 180, tag="a")
    two.answer(first(two), 180, tag="b")
    one.answer(first(one), 200, tag="a")
    assert two.requests == ["INVITE", "CANCEL"]
    assert two.last.first("Reason") == b"SIP;cause=200"
    two.answer(two.last, 200)
    two.answer(first(two), 487, tag="b")
    assert two.requests == ["INVITE", "CANCEL", "ACK"]
    assert caller.statuses == [100, 180, 180, 200]


def test_fork_05_a_late_2xx_is_forwarded_too(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    two.answer(first(two), 180, tag="b")
    one.answer(first(one), 200, tag="a")
    two.answer(first(two), 200, tag="b")
    assert caller.statuses == [100, 180, 200, 200]


def test_prx_54_a_branch_without_provisional_is_cancelled_when_one_comes(make_world: Make) -> None:
    _, _, one, two = forked(make_world)
    one.answer(first(one), 200, tag="a")
    assert two.requests == ["INVITE"]
    two.answer(first(two), 180, tag="b")
    assert two.requests == ["INVITE", "CANCEL"]


def test_prx_47_the_best_of_the_failures_goes_up_when_all_have_ended(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 500, tag="a")
    assert caller.statuses == [100]
    two.answer(first(two), 486, tag="b")
    assert caller.statuses == [100, 486]


def test_prx_48_all_challenges_go_up_together(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 401, tag="a", headers=[("WWW-Authenticate", 'Digest realm="a", nonce="1"')])
    two.answer(first(two), 407, tag="b", headers=[("Proxy-Authenticate", 'Digest realm="b", nonce="2"')])
    assert caller.last.status == 401
    assert caller.last.has("WWW-Authenticate") and caller.last.has("Proxy-Authenticate")


def test_prx_46_a_6xx_cancels_the_others_and_goes_up_when_they_ended(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    two.answer(first(two), 180, tag="b")
    one.answer(first(one), 603, tag="a")
    assert caller.statuses == [100, 180] and two.requests == ["INVITE", "CANCEL"]
    two.answer(first(two), 487, tag="b")
    assert caller.statuses == [100, 180, 603]


def test_prx_46_a_2xx_beats_a_6xx(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 603, tag="a")
    two.answer(first(two), 200, tag="b")
    assert caller.statuses == [100, 200]


def test_prx_45_a_forked_non_invite_has_one_final(make_world: Make) -> None:
    _, caller, one, two = forked(make_world, method="MESSAGE")
    one.answer(first(one), 200, tag="a")
    assert caller.statuses == [200]
    two.answer(first(two), 200, tag="b")
    assert caller.statuses == [200]


def test_sequential_targets_are_tried_one_after_the_other(make_world: Make) -> None:
    _, caller, one, two = forked(make_world, "sequential")
    assert one.requests == ["INVITE"] and two.requests == []
    one.answer(first(one), 486, tag="a")
    assert two.requests == ["INVITE"]
    two.answer(first(two), 200, tag="b")
    assert caller.statuses == [100, 200]


def test_sequential_a_6xx_ends_the_search(make_world: Make) -> None:
    _, caller, one, two = forked(make_world, "sequential")
    one.answer(first(one), 603, tag="a")
    assert two.requests == [] and caller.statuses == [100, 603]


def test_fork_02_a_branch_that_rings_too_long_is_cancelled_and_the_next_starts_at_once(make_world: Make) -> None:
    world, caller, one, two = forked(make_world, "sequential", "5")
    one.answer(first(one), 180, tag="a")
    world.advance(5.1)
    assert one.requests == ["INVITE", "CANCEL"] and two.requests == ["INVITE"]
    one.answer(one.last, 200)
    one.answer(first(one), 487, tag="a")
    two.answer(first(two), 200, tag="b")
    assert caller.statuses == [100, 180, 200]


def test_fork_02_a_200_that_crosses_the_cancel_wins(make_world: Make) -> None:
    world, caller, one, two = forked(make_world, "sequential", "5")
    one.answer(first(one), 180, tag="a")
    world.advance(5.1)
    two.answer(first(two), 180, tag="b")
    one.answer(first(one), 200, tag="a")
    assert caller.statuses == [100, 180, 180, 200] and two.requests == ["INVITE", "CANCEL"]


def test_shared_04_the_last_two_failures_on_two_workers_give_one_final(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 486, tag="a", worker=0)
    two.answer(first(two), 404, tag="b", worker=1)
    assert caller.statuses == [100, 486]


def test_a_cancel_reaches_every_branch_and_the_caller_gets_487(make_world: Make) -> None:
    _, caller, one, two = forked(make_world)
    one.answer(first(one), 180, tag="a")
    two.answer(first(two), 180, tag="b")
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    assert one.requests[-1] == two.requests[-1] == "CANCEL"
    one.answer(first(one), 487, tag="a")
    two.answer(first(two), 487, tag="b")
    assert caller.statuses == [100, 180, 180, 200, 487]


def test_prx_51_one_dead_target_does_not_hold_up_the_other(make_world: Make) -> None:
    world = make_world(FORK % ("parallel", "None"))
    world.unreachable.add(("127.0.0.2", 5091))
    caller, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    two.answer(two.inbox[0], 200)
    assert caller.statuses == [100, 200]


BY_Q = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.fork(registrar.lookup(request.ruri), strategy="q")
"""
EDITING = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.set_header("X-Kept", "yes")
    request.record_route()
    request.fork(["sip:127.0.0.2:5091"%s])

@proxy.on_failure
def failed(request, reply):
    if request.get_header("X-Try"):
        return
    number = int(request.vars.get("n", 0)) + 1
    request.vars["n"] = number
    if number < 3:
        request.set_header(f"X-Left-{number}", "over")
        request.record_route()
        request.fork(["sip:127.0.0.2:5092"])
"""
BOB = "sip:bob@example.com"
ONE = {"branch": "z9hG4bK-one", "call_id": "c1"}


def test_fork_01_equal_q_rings_together_and_the_next_when_all_before_have_ended(make_world: Make) -> None:
    world = make_world(BY_Q)
    caller, *phones = (world.agent("127.0.0.2", port) for port in (5060, 5091, 5092, 5093, 5094))
    for phone, q in zip(phones, ("0.5", "1.0", "1", "0.25"), strict=True):
        contact = f"Contact: <sip:127.0.0.2:{phone.port}>"
        text = phone.request("REGISTER", "sip:example.com", call_id=f"r{phone.port}", to=BOB)
        phone.send(text.replace(contact, f"{contact};q={q}"))
        phone.take()
    caller.send(caller.request("INVITE", BOB, **ONE))
    ringing = [[phone.port for phone in phones if phone.requests]]
    for phone in (phones[1], phones[2], phones[0]):
        phone.answer(first(phone), 480)
        ringing.append([phone.port for phone in phones if phone.requests])
    assert ringing == [[5092, 5093], [5092, 5093], [5091, 5092, 5093], [5091, 5092, 5093, 5094]]
    assert all(phone.requests.count("INVITE") == 1 for phone in phones)


def test_fork_02_a_branch_without_1xx_is_given_up_in_silence_and_cancelled_when_it_rings(make_world: Make) -> None:
    world, caller, one, two = forked(make_world, "sequential", "5")
    world.advance(5.1)
    assert set(one.requests) == {"INVITE"} and two.requests == ["INVITE"]
    count = len(one.requests)
    world.advance(3)
    assert len(one.requests) == count, "a branch that was given up is not repeated"
    one.answer(first(one), 180, tag="a")
    assert one.requests[-1] == "CANCEL" and caller.statuses == [100]
    one.answer(first(one), 200, tag="a")
    assert caller.statuses == [100, 200]


@pytest.mark.parametrize("others", [False, True])
def test_fork_06_each_try_is_made_of_the_request_as_on_request_left_it(make_world: Make, others: bool) -> None:
    world = make_world(EDITING % (', "sip:127.0.0.2:5093"' if others else ""))
    caller, one, two, three = (world.agent("127.0.0.2", port) for port in (5060, 5091, 5092, 5093))
    caller.send(caller.request("INVITE", BOB, **ONE))
    one.answer(first(one), 486)
    if others:
        three.answer(first(three), 404)
    assert caller.statuses == [100], "the best failure is withheld"
    two.answer(first(two), 480)
    assert caller.statuses == [100]
    second = [m for m in two.inbox if m.method == "INVITE"][1]
    for seen, left in ((first(two), "X-Left-1"), (second, "X-Left-2")):
        assert seen.first("X-Kept") == b"yes" and seen.max_forwards == 69 and seen.via_count == 2
        assert len(seen.values("Record-Route")) == 1
        assert [name for name in ("X-Left-1", "X-Left-2") if seen.has(name)] == [left]
    two.answer(second, 500)
    assert caller.statuses == [100, 486], "none added: the best of all tries"


@pytest.mark.parametrize("what", ["CANCEL", "200", "603"])
def test_fork_06_after_a_cancel_a_2xx_or_a_6xx_no_further_target_is_tried(make_world: Make, what: str) -> None:
    world = make_world(EDITING % ', "sip:127.0.0.2:5093"')
    caller, one, two, three = (world.agent("127.0.0.2", port) for port in (5060, 5091, 5092, 5093))
    caller.send(caller.request("INVITE", BOB, **ONE))
    three.answer(first(three), 180)
    if what == "CANCEL":
        caller.send(caller.request("CANCEL", BOB, **ONE))
        one.answer(first(one), 486)
        three.answer(first(three), 487)
    else:
        one.answer(first(one), int(what))
        three.answer(first(three), 486)
    world.advance(5)
    assert not two.inbox
    assert caller.statuses[-1] == {"CANCEL": 486, "200": 200, "603": 603}[what]


def test_fork_05_a_200_after_the_cancel_of_the_caller_can_be_acknowledged_and_ended(make_world: Make) -> None:
    world = make_world()
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", BOB, **ONE))
    phone.answer(first(phone), 180)
    caller.send(caller.request("CANCEL", BOB, **ONE))
    world.advance(33)
    assert caller.statuses[3] == 487
    phone.answer(first(phone), 200)
    assert caller.last.status == 200
    route = f"Route: {caller.last.values('Record-Route')[0].decode() if caller.last.has('Record-Route') else ''}"
    route = route if len(route) > 7 else f"Route: {first(phone).values('Record-Route')[0].decode()}"
    for cseq, method in ((1, "ACK"), (2, "BYE")):
        caller.send(caller.request(method, "sip:127.0.0.2:5090", call_id="c1", cseq=cseq, to_tag="t1", headers=route))
        assert phone.last.method == method


WIDE = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092", "sip:127.0.0.2:5093", "sip:127.0.0.2:5094"], timeout=%s)
"""


def test_prx_13_a_surplus_target_starts_when_a_branch_has_given_its_share_back(make_world: Make) -> None:
    world = make_world(WIDE % None)
    caller, phones = world.agent("192.0.2.1"), [world.agent("127.0.0.2", port) for port in range(5091, 5095)]
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Max-Breadth: 2"))
    assert [len(phone.inbox) for phone in phones] == [1, 1, 0, 0]
    phones[0].answer(first(phones[0]), 180)
    phones[1].answer(first(phones[1]), 486)
    assert [phone.requests.count("INVITE") for phone in phones] == [1, 1, 1, 0]
    phones[2].answer(first(phones[2]), 404)
    assert [phone.requests.count("INVITE") for phone in phones] == [1, 1, 1, 1]
    assert {first(phone).first("Max-Breadth") for phone in phones} == {b"1"}
    phones[0].answer(first(phones[0]), 200)
    assert caller.statuses == [100, 180, 200]


def test_prx_13_a_branch_that_rang_too_long_keeps_its_share_until_it_has_ended(make_world: Make) -> None:
    world = make_world(WIDE % 5)
    caller, phones = world.agent("192.0.2.1"), [world.agent("127.0.0.2", port) for port in range(5091, 5095)]
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Max-Breadth: 2"))
    phones[0].answer(first(phones[0]), 180)
    world.advance(3)
    phones[1].answer(first(phones[1]), 486)
    world.advance(2.1)
    assert phones[0].requests == ["INVITE", "CANCEL"] and [len(phone.inbox) > 0 for phone in phones[2:]] == [
        True,
        False,
    ]
    phones[0].answer(first(phones[0]), 487)
    assert phones[3].requests == ["INVITE"] and caller.statuses == [100, 180]


def test_prx_13_a_cancel_or_a_6xx_starts_no_surplus_target(make_world: Make) -> None:
    world = make_world(WIDE % None)
    caller, phones = world.agent("192.0.2.1"), [world.agent("127.0.0.2", port) for port in range(5091, 5095)]
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Max-Breadth: 2"))
    phones[0].answer(first(phones[0]), 180)
    phones[1].answer(first(phones[1]), 603)
    assert phones[0].requests == ["INVITE", "CANCEL"] and not phones[2].inbox
    phones[0].answer(first(phones[0]), 487)
    assert caller.statuses == [100, 180, 603] and not phones[2].inbox
