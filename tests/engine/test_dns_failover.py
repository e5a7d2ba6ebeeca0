"""The addresses of a name, one after the other inside one slot of the attempt (RFC 3263 §4.3)."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
ROUTE = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:pbx.example"%s)

@proxy.on_reply
def seen(request, reply):
    log = request.vars.get("seen", "")
    request.vars["seen"] = log + str(reply.status_code) + " "
    reply.relay()
"""
FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:pbx.example", "sip:127.0.0.9:5090"], strategy="%s")
"""
FIRST, SECOND, THIRD = ("127.0.0.2", 5060), ("127.0.0.3", 5070), ("127.0.0.4", 5060)
OTHER = ("127.0.0.9", 5090)


def call(
    make_world: Make, script: str = ROUTE % "", method: str = "INVITE", dead: tuple[tuple[str, int], ...] = ()
) -> tuple[World, Agent, list[Agent]]:
    world = make_world(script)
    world.resolver.names["pbx.example"] = [FIRST[0], SECOND, THIRD[0]]
    world.unreachable |= set(dead)
    world.agent(*OTHER)
    caller, phones = world.agent("192.0.2.1"), [world.agent(*place) for place in (FIRST, SECOND, THIRD)]
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return world, caller, phones


def asked(phone: Agent) -> SipMessage:
    return next(m for m in phone.inbox if m.is_request and m.method not in ("ACK", "CANCEL"))


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_dns_04_a_503_leads_to_the_next_address_with_a_new_branch(make_world: Make, method: str) -> None:
    _, caller, (one, two, three) = call(make_world, method=method)
    one.answer(asked(one), 503)
    assert two.requests == [method] and not three.requests
    assert asked(two).via.branch != asked(one).via.branch
    assert asked(two).raw.replace(asked(two).via.branch, asked(one).via.branch) == asked(one).raw
    two.answer(asked(two), 200)
    assert caller.statuses[-1] == 200 and 503 not in caller.statuses and 500 not in caller.statuses


def test_dns_04_a_503_after_a_100_is_still_a_503(make_world: Make) -> None:
    _, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), 100)
    one.answer(asked(one), 503)
    assert one.requests == ["INVITE", "ACK"] and two.requests == ["INVITE"]
    assert caller.statuses == [100]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_dns_04_an_unreachable_address_leads_to_the_next_at_once(make_world: Make, method: str) -> None:
    _, caller, (_, _, three) = call(make_world, method=method, dead=(FIRST, SECOND))
    assert three.requests == [method]
    three.answer(asked(three), 200)
    assert caller.statuses[-1] == 200


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_dns_04_silence_until_timer_b_or_f_leads_to_the_next(make_world: Make, method: str) -> None:
    world, caller, (one, two, _) = call(make_world, method=method)
    world.advance(31.9)
    assert not two.requests
    world.advance(0.2)
    assert two.requests == [method]
    two.answer(asked(two), 200)
    assert caller.statuses[-1] == 200 and asked(one).via.branch != asked(two).via.branch


@pytest.mark.parametrize("status", [302, 404, 486, 500, 600])
def test_dns_04_any_other_final_ends_the_search(make_world: Make, status: int) -> None:
    _, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), status)
    assert caller.statuses == [100, status] and not two.requests


def test_dns_04_a_non_invite_that_had_a_100_is_not_tried_elsewhere(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world, method="MESSAGE")
    one.answer(asked(one), 100)
    world.advance(40)
    assert not two.requests and caller.statuses in ([], [100])


def test_dns_04_an_icmp_error_behind_a_100_ends_the_search(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world, method="MESSAGE")
    one.answer(asked(one), 100)
    world.unreachable.add(FIRST)
    world.advance(5)
    assert not two.requests and caller.statuses[-1] == 500


def test_dns_04_all_addresses_unreachable_is_a_500_at_once(make_world: Make) -> None:
    _, caller, _ = call(make_world, dead=(FIRST, SECOND, THIRD))
    assert caller.statuses == [100, 500]


def test_prx_50_silence_at_every_address_counts_as_408(make_world: Make) -> None:
    world, caller, (one, two, three) = call(make_world)
    world.advance(3 * 32 - 0.5)
    assert caller.statuses == [100] and set(three.requests) == {"INVITE"}
    world.advance(0.6)
    assert caller.statuses == [100, 408]


def test_dns_04_handlers_see_the_slot_and_not_each_address(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), 503)
    two.answer(asked(two), 486)
    assert caller.statuses == [100, 486]
    (record,) = world.records()
    assert b"503" not in record.vars and b"486" in record.vars


def test_dns_04_eight_addresses_are_tried_and_no_more(make_world: Make) -> None:
    world = make_world(ROUTE % "")
    world.resolver.names["pbx.example"] = [f"127.0.1.{n}" for n in range(1, 30)]
    world.unreachable |= {(f"127.0.1.{n}", 5060) for n in range(1, 30)}
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert caller.statuses == [100, 500]
    assert [send.to[0] for send in world.sent if send.data[:6] == b"INVITE"] == [f"127.0.1.{n}" for n in range(1, 9)]


def test_dns_05_ack_cancel_and_repeats_go_where_their_branch_went(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), 503)
    one.answer(asked(one), 503)
    assert one.requests == ["INVITE", "ACK", "ACK"] and one.last.via.branch == asked(one).via.branch
    world.resolver.names["pbx.example"] = ["127.0.0.99"]
    world.resolver.unknown.add("pbx.example")  # the next question would be a look-up
    world.advance(0.6)
    assert two.requests == ["INVITE", "INVITE"] and two.inbox[0].raw == two.inbox[1].raw
    two.answer(asked(two), 180)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    assert two.requests[-1] == "CANCEL" and two.last.via.branch == asked(two).via.branch
    two.answer(two.last, 200)
    two.answer(asked(two), 487)
    assert two.requests[-1] == "ACK" and caller.statuses == [100, 180, 200, 487]
    assert one.requests == ["INVITE", "ACK", "ACK"] and not world.resolver.pending


def test_dns_04_after_a_cancel_no_further_address_is_tried(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    one.answer(asked(one), 503)
    world.advance(100)
    assert not two.requests and sorted(caller.statuses)[:2] == [100, 200] and len(caller.statuses) >= 3


def test_dns_04_a_provisional_from_an_address_given_up_is_cancelled(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world)
    world.advance(32.1)
    one.answer(asked(one), 180)
    assert one.requests[-1] == "CANCEL" and caller.statuses == [100]
    two.answer(asked(two), 200)
    assert caller.statuses == [100, 200]


def test_dns_04_the_ring_time_is_that_of_the_whole_slot(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world, ROUTE % ", timeout=10.0")
    world.advance(6)
    one.answer(asked(one), 503)
    two.answer(asked(two), 180)
    world.advance(3.9)
    assert two.requests == ["INVITE"]
    world.advance(0.2)
    assert two.requests == ["INVITE", "CANCEL"] and caller.statuses[-1] == 408


def test_dns_04_sequential_targets_start_when_all_addresses_have_failed(make_world: Make) -> None:
    world, caller, (one, two, three) = call(make_world, FORK % "sequential")
    other = world.agent(*OTHER)
    for phone in (one, two, three):
        assert not other.requests
        phone.answer(asked(phone), 503)
    assert other.requests == ["INVITE"]
    other.answer(asked(other), 200)
    assert caller.statuses == [100, 200]


def test_dns_04_parallel_branches_move_on_by_themselves(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world, FORK % "parallel")
    other = world.agent(*OTHER)
    one.answer(asked(one), 503)
    other.answer(asked(other), 486)
    assert caller.statuses == [100] and two.requests == ["INVITE"]
    assert asked(two).first("Max-Breadth") == asked(one).first("Max-Breadth")
    two.answer(asked(two), 404)
    assert caller.statuses == [100, 486]


def test_dns_04_a_worker_that_takes_over_knows_the_addresses_left(make_world: Make) -> None:
    world, caller, (one, two, three) = call(make_world)
    seen = asked(one)
    world.kill(0)
    one.answer(seen, 503, worker=1)
    two.answer(asked(two), 503, worker=1)
    three.answer(asked(three), 200, worker=1)
    assert caller.statuses == [100, 200]


def test_dns_02_the_hop_decides_what_is_looked_up(make_world: Make) -> None:
    world = make_world(ROUTE % "")
    world.resolver.unknown.add("pbx.example")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    ((hops, _),) = world.resolver.pending
    assert [(hop.host, hop.port, hop.transport_named) for hop in hops] == [("pbx.example", 0, False)]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS"])
def test_dns_08_a_name_that_does_not_resolve_is_a_500(make_world: Make, method: str) -> None:
    world = make_world(ROUTE % "")
    world.resolver.unknown.add("pbx.example")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request(method, "sip:bob@example.com"))
    world.advance(1.5)
    assert caller.statuses == ([100] if method == "INVITE" else [])
    world.resolver.answer()
    world.settle()
    assert caller.statuses[-1] == 500


def test_dns_07_a_look_up_under_way_stops_nobody_else(make_world: Make) -> None:
    world = make_world(FORK.replace('"sip:pbx.example"', 'f"sip:{request.ruri.host}"') % "sequential")
    world.resolver.unknown.add("slow.example")
    world.resolver.names["quick.example"] = ["127.0.0.2"]
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2")
    caller.send(caller.request("INVITE", "sip:bob@slow.example"))
    caller.send(caller.request("INVITE", "sip:bob@quick.example"))
    assert phone.requests == ["INVITE"]
    phone.answer(asked(phone), 200)
    assert caller.statuses[-1] == 200


def test_dns_01_a_numeric_host_needs_no_look_up(make_world: Make) -> None:
    world = make_world(FORK.replace('"sip:pbx.example"', '"sip:127.0.0.2", "sip:[::1]"') % "sequential")
    world.resolver.look_up = None  # type: ignore[assignment]
    phone, caller = world.agent("127.0.0.2"), world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert phone.requests == ["INVITE"]


def again(world: World, caller: Agent, worker: int) -> None:
    """A further call, served by the worker named."""
    for place in (FIRST, SECOND, THIRD):
        world.agent(*place).take()
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"), worker=worker)
    world.settle()


@pytest.mark.parametrize("worker", [0, 1])
def test_dns_06_an_address_that_asks_for_a_rest_is_tried_last_by_every_worker(make_world: Make, worker: int) -> None:
    world, caller, (one, two, three) = call(make_world)
    one.answer(asked(one), 503, headers=[("Retry-After", "60 (busy);duration=9")])
    two.answer(asked(two), 200)
    again(world, caller, worker)
    assert two.requests == ["MESSAGE"] and not one.requests
    two.answer(asked(two), 503)
    three.answer(asked(three), 503)
    assert one.requests == ["MESSAGE"]
    world.advance(61)
    again(world, caller, worker)
    assert one.requests == ["MESSAGE"] and not two.requests


def test_dns_06_another_port_of_an_address_that_rests_is_another_server(make_world: Make) -> None:
    world = make_world(ROUTE % "")
    places = [FIRST, (FIRST[0], 5070), THIRD]
    world.resolver.names["pbx.example"] = list(places)
    caller, (one, two, three) = world.agent("192.0.2.1"), [world.agent(*place) for place in places]
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    one.answer(asked(one), 503, headers=[("Retry-After", "60")])
    two.answer(asked(two), 200)
    two.take()
    again(world, caller, 0)
    assert two.requests == ["MESSAGE"] and not one.requests and not three.requests


def test_dns_06_the_last_address_may_ask_for_a_rest_too(make_world: Make) -> None:
    world, caller, phones = call(make_world, method="MESSAGE")
    for phone in phones:
        phone.answer(asked(phone), 503, headers=[("Retry-After", "9")] if phone is not phones[1] else [])
    again(world, caller, 0)
    assert phones[1].requests == ["MESSAGE"]


@pytest.mark.parametrize("value", ["", "0", "soon", "-5"])
def test_dns_06_without_a_time_there_is_no_rest(make_world: Make, value: str) -> None:
    world, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), 503, headers=[("Retry-After", value)])
    two.answer(asked(two), 200)
    again(world, caller, 0)
    assert one.requests == ["MESSAGE"] and not two.requests


def test_dns_06_a_rest_has_a_longest_time(make_world: Make) -> None:
    world, caller, (one, two, _) = call(make_world)
    one.answer(asked(one), 503, headers=[("Retry-After", "999999999")])
    two.answer(asked(two), 200)
    world.advance(301)
    again(world, caller, 0)
    assert one.requests == ["MESSAGE"]


def test_dns_07_a_later_target_is_looked_up_again_when_its_answer_has_grown_old(make_world: Make) -> None:
    world = make_world(
        FORK.replace('"sip:pbx.example", "sip:127.0.0.9:5090"', '"sip:127.0.0.9:5090", "sip:b.example"') % "sequential"
    )
    world.resolver.names["b.example"] = ["127.0.0.2"]
    caller, first, second = world.agent("192.0.2.1"), world.agent(*OTHER), world.agent("127.0.0.2")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    world.resolver.unknown.add("b.example")
    first.answer(asked(first), 486)
    assert not second.requests and len(world.resolver.pending) == 1
    world.resolver.answer()
    world.settle()
    assert second.requests == ["INVITE"] and first.requests == ["INVITE", "ACK"]
    second.answer(asked(second), 200)
    assert caller.statuses == [100, 200]


def test_txn_08_an_invite_that_has_its_failure_is_not_repeated_while_the_next_target_is_looked_up(
    make_world: Make,
) -> None:
    world = make_world(
        FORK.replace('"sip:pbx.example", "sip:127.0.0.9:5090"', '"sip:127.0.0.9:5090", "sip:b.example"') % "sequential"
    )
    world.resolver.names["b.example"] = ["127.0.0.2"]
    caller, first, second = world.agent("192.0.2.1"), world.agent(*OTHER), world.agent("127.0.0.2")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    world.resolver.unknown.add("b.example")
    first.answer(asked(first), 486)
    world.advance(2)
    assert first.requests == ["INVITE"] and not second.requests
    world.resolver.answer()
    world.settle()
    assert first.requests == ["INVITE", "ACK"] and second.requests == ["INVITE"]
