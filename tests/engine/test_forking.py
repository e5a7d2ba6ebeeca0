"""Several branches: RFC 3261 §16.7, in parallel and one after the other."""

from collections.abc import Callable

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
    one.answer(first(one), 180, tag="a")
    two.answer(first(two), 180, tag="b")
    assert [m.to_tag for m in caller.inbox[1:]] == [b"a", b"b"]


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
