"""One branch: from the INVITE to the end of its timers, on whichever worker each message lands."""

from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def invite(world: World) -> tuple[Agent, Agent, str, SipMessage]:
    caller, callee = parties(world)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text)
    return caller, callee, text, callee.inbox[0]


def ack(caller: Agent, to_tag: str = "t1") -> str:
    return caller.request("ACK", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", cseq=1, to_tag=to_tag)


def test_an_invite_is_answered_100_and_forwarded_with_our_via_on_top(world: World) -> None:
    caller, callee, _, seen = invite(world)
    assert caller.statuses == [100]
    assert seen.via.sent_by == b"127.0.0.1:5060" and seen.via_count == 2
    assert seen.max_forwards == 69
    assert seen.first("Record-Route").startswith(b"<sip:127.0.0.1:5060;lr;rrs=")  # type: ignore[union-attr]
    assert callee.requests == ["INVITE"]


def test_prx_43_each_provisional_goes_up_at_once_and_100_never(world: World) -> None:
    caller, callee, _, seen = invite(world)
    for status in (100, 180, 183, 180):
        callee.answer(seen, status)
    assert caller.statuses == [100, 180, 183, 180]
    assert all(m.via_count == 1 for m in caller.inbox)


def test_prx_44_every_2xx_goes_up_and_nobody_here_acknowledges_it(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 200)
    callee.answer(seen, 200)
    callee.answer(seen, 200, tag="another")
    assert caller.statuses == [100, 200, 200, 200]
    assert callee.requests == ["INVITE"]


def test_txn_01_a_repeated_invite_gets_the_last_provisional_on_any_worker(world: World) -> None:
    caller, callee, text, seen = invite(world)
    callee.answer(seen, 180)
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == [100, 180, 180, 180]
    assert callee.requests == ["INVITE"]


def test_txn_02_a_failure_is_sent_eleven_times_without_ack(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 486)
    world.advance(60)
    assert caller.statuses == [100] + [486] * 11
    at = [round(t - 1000.0, 3) for t in caller.times[1:]]
    assert at == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_txn_03_the_ack_to_a_failure_stops_timer_g_and_goes_no_further(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 486)
    caller.send(ack(caller), 1)
    caller.send(ack(caller), 0)
    world.advance(40)
    assert caller.statuses == [100, 486]
    assert callee.requests == ["INVITE", "ACK"]


def test_txn_04_after_a_2xx_a_repeated_invite_is_absorbed_for_timer_l(world: World) -> None:
    caller, callee, text, seen = invite(world)
    callee.answer(seen, 200)
    world.advance(31)
    caller.send(text)
    assert caller.statuses == [100, 200] and callee.requests == ["INVITE"]


def test_txn_07_a_silent_callee_gets_seven_invites_and_the_caller_408(world: World) -> None:
    caller, callee, _, _ = invite(world)
    world.advance(40)
    assert [round(t - 1000.0, 3) for t in callee.times] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert len({m.raw for m in callee.inbox}) == 1
    assert caller.statuses[:2] == [100, 408]
    assert round(caller.times[1] - 1000.0, 3) == 32.0


def test_txn_08_a_provisional_stops_the_invites(world: World) -> None:
    _, callee, _, seen = invite(world)
    callee.answer(seen, 100)
    world.advance(31)
    assert callee.requests == ["INVITE"]


def test_txn_09_each_failure_is_acknowledged_with_the_branch_of_the_invite(world: World) -> None:
    _, callee, _, seen = invite(world)
    callee.answer(seen, 486)
    callee.answer(seen, 486)
    acks = [m for m in callee.inbox if m.method == "ACK"]
    assert len(acks) == 2
    assert acks[0].via.branch == seen.via.branch and acks[0].via_count == 1
    assert acks[0].cseq == seen.cseq and acks[0].to_tag == b"t1"


def test_txn_10_a_failure_after_a_2xx_is_ignored(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 200)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 200] and callee.requests == ["INVITE"]


def test_prx_40_a_response_that_matches_nothing_is_dropped(world: World) -> None:
    caller, callee, _, seen = invite(world)
    salt = seen.via.branch[39:47]
    callee.answer(parse(seen.raw.replace(salt, bytes(reversed(salt)))), 200)
    assert caller.statuses == [100]


def test_sec_04_a_response_with_another_call_id_is_dropped(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(parse(seen.raw.replace(b"Call-ID: c1", b"Call-ID: c2")), 200)
    assert caller.statuses == [100]


def test_parse_02_the_from_tag_of_a_response_is_compared_without_case(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(parse(seen.raw.replace(b";tag=f1", b";tag=F1")), 200)
    assert caller.statuses == [100, 200] and caller.last.from_tag == b"F1"


def test_prx_51_an_unreachable_address_fails_at_once_with_500(world: World) -> None:
    caller, _ = parties(world)
    world.unreachable.add(("127.0.0.2", 5090))
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert caller.statuses == [100, 500]


def test_prx_49_a_503_goes_up_as_500(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 503, headers=[("Retry-After", "10")])
    assert caller.statuses == [100, 500]
    assert not caller.last.has("Retry-After")


def test_prx_55_timer_c_cancels_and_counts_as_408(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 180)
    world.advance(185.2)
    assert callee.requests == ["INVITE", "CANCEL"]
    callee.answer(callee.last, 200)
    callee.answer(seen, 487)
    assert caller.statuses == [100, 180, 408]


def test_txn_25_no_record_outlives_its_timers_and_linger(world: World) -> None:
    _, callee, _, seen = invite(world)
    callee.answer(seen, 200)
    world.advance(32 + 5 + 0.1)
    assert not list(world.records())


def test_the_ack_to_a_2xx_and_the_bye_follow_the_signed_route(world: World) -> None:
    caller, callee, _, seen = invite(world)
    route = seen.first("Record-Route").decode()  # type: ignore[union-attr]
    callee.answer(seen, 200)
    headers = f"Route: {route}\n"
    uri = "sip:127.0.0.2:5090"
    caller.send(caller.request("ACK", uri, call_id="c1", cseq=1, to_tag="t1", headers=headers))
    caller.send(caller.request("BYE", uri, call_id="c1", cseq=2, to_tag="t1", headers=headers))
    assert callee.requests == ["INVITE", "ACK", "BYE"]
    assert not callee.last.has("Route")
    callee.answer(callee.last, 200)
    assert caller.statuses == [100, 200, 200]


def test_an_ack_without_a_route_of_ours_in_no_known_dialog_is_dropped(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 200)
    caller.send(caller.request("ACK", "sip:127.0.0.2:5090", call_id="c1", cseq=1, to_tag="unknown"))
    assert callee.requests == ["INVITE"]


def test_shared_26_a_drain_refuses_a_new_call_and_serves_the_bye_of_a_running_one(world: World) -> None:
    caller, callee, _, seen = invite(world)
    callee.answer(seen, 200)
    for worker in world.workers:
        worker.draining = True
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c2"))
    assert caller.last.status == 503 and caller.last.has("Retry-After") and callee.requests == ["INVITE"]
    route = seen.first("Record-Route").decode()  # type: ignore[union-attr]
    bye = caller.request("BYE", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1", headers=f"Route: {route}\n")
    caller.send(bye)
    assert callee.requests == ["INVITE", "BYE"]
