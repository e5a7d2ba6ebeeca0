"""What one source, or one datagram, may cost: limits.per_source, replays, malformed requests, proxy.rate_limit."""

import pytest

from siphon.engine.core import REPEATS_PER_SECOND
from siphon.engine.counters import Counter
from siphon.engine.ingest import MALFORMED_PER_SECOND
from siphon.sip.message import parse

BOB = "sip:bob@example.com"
LIMITED = """
from siphon import proxy

@proxy.on_request
def route(request):
    if proxy.rate_limit(request, 10, 3):
        request.reply(200)
    else:
        request.reply(503, "Slowly")
"""
AGAIN = """
from siphon import proxy

@proxy.on_request
async def route(request):
    import asyncio
    allowed = [proxy.rate_limit(request, 10, 3) for _ in range(5)]
    if request.has_header("X-Slow"):
        await asyncio.sleep(0.3)
    request.reply(200 if all(allowed) else 503)
"""


def invites(caller, number):
    return [caller.request("INVITE", BOB) for _ in range(number)]


# -- limits.per_source


def test_sec_12_above_its_share_a_source_gets_503_statelessly_and_others_are_served(make_world):
    world = make_world(limits={"per_source": 5})
    greedy, modest, callee = world.agent("192.0.2.1"), world.agent("192.0.2.2"), world.agent("127.0.0.2", 5090)
    for text in invites(greedy, 8):
        greedy.send(text)
    assert greedy.statuses == [100] * 5 + [503] * 3
    assert greedy.last.first("Retry-After") == b"5"
    assert len(list(world.records())) == 5
    modest.send(modest.request("INVITE", BOB))
    assert modest.statuses == [100]
    assert len(callee.requests) == 6
    assert world.count(Counter.LIMITED) == 3


def test_sec_12_a_to_tag_that_anybody_can_write_is_no_way_around_the_share(make_world):
    world = make_world(LIMITED, limits={"per_source": 1})
    greedy = world.agent("192.0.2.1")
    for number in range(2):
        greedy.send(greedy.request("INVITE", BOB, to_tag=f"t{number}"))
    assert greedy.statuses[-2:] == [200, 503] and greedy.last.first("Retry-After") == b"5"
    assert len(list(world.records())) == 1


def test_sec_12_other_ports_of_an_address_are_the_same_source(make_world):
    world = make_world(limits={"per_source": 1})
    first, second = world.agent("192.0.2.1", 5060), world.agent("192.0.2.1", 5062)
    first.send(first.request("INVITE", BOB))
    second.send(second.request("INVITE", BOB))
    assert (first.statuses, second.statuses) == ([100], [503])


def test_sec_12_at_its_limit_a_source_may_repeat_cancel_and_acknowledge_what_it_has(make_world):
    world = make_world(limits={"per_source": 1})
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", BOB)
    caller.send(text)
    callee.answer(callee.last, 180)
    caller.send(text)
    caller.send(text.replace("INVITE", "CANCEL"))
    assert caller.statuses == [100, 180, 180, 200]
    assert callee.requests[-1] == "CANCEL"


def test_sec_12_what_has_ended_makes_room(make_world):
    world = make_world(limits={"per_source": 2})
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    for text in [caller.request("MESSAGE", BOB) for _ in range(3)]:
        caller.send(text)
    assert caller.statuses == [503]
    for request in callee.take():
        callee.answer(request, 200)
    world.advance(60)
    caller.take()
    for text in [caller.request("MESSAGE", BOB) for _ in range(3)]:
        caller.send(text)
    assert caller.statuses == [503] and len(callee.requests) == 2


def test_sec_12_a_limit_counts_what_all_workers_hold_and_outlives_each_of_them(make_world):
    world = make_world(limits={"per_source": 4}, workers=3)
    caller = world.agent("192.0.2.1")
    world.agent("127.0.0.2", 5090)
    for worker, text in enumerate(invites(caller, 3)):
        caller.send(text, worker)
    world.kill(0)
    world.replace(0)
    for text in invites(caller, 2):
        caller.send(text, 0)
    assert [status for status in caller.statuses if status != 100] == [503]


# -- replays


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_sec_12_one_datagram_replayed_a_thousand_times_is_one_transaction_with_a_capped_response_rate(
    make_world, method
):
    world = make_world()
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(method, BOB)
    caller.send(text)
    callee.answer(callee.last, 486)
    before = len(caller.inbox)
    for _ in range(1000):
        caller.send(text, worker=0)
    assert len(list(world.records())) == 1
    assert callee.requests.count(method) == 1
    assert 1 <= len(caller.inbox) - before <= REPEATS_PER_SECOND
    assert world.count(Counter.RETRANSMISSIONS) >= 1000
    world.advance(1)
    before = len(caller.inbox)
    caller.send(text, worker=0)
    assert len(caller.inbox) == before + 1


def test_sec_12_a_cancel_replayed_a_thousand_times_has_a_capped_response_rate(make_world):
    world = make_world()
    caller = world.agent("192.0.2.1")
    world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", BOB)
    caller.send(text)
    before = len(caller.inbox)
    for _ in range(1000):
        caller.send(text.replace("INVITE", "CANCEL"), worker=0)
    assert 1 <= len(caller.inbox) - before <= REPEATS_PER_SECOND + 2


# -- malformed


def test_sec_13_replies_to_malformed_requests_are_limited_per_source(make_world):
    world = make_world()
    bad, other = world.agent("192.0.2.1"), world.agent("192.0.2.2")
    text = bad.request("INVITE", BOB).replace("Content-Length: 0", "Content-Length: 999")
    for _ in range(100):
        bad.send(text, worker=0)
    assert bad.statuses == [400] * MALFORMED_PER_SECOND
    moved = world.agent("192.0.2.1", 7000)
    moved.send(text, worker=0)
    assert not moved.inbox
    other.send(text.replace("192.0.2.1", "192.0.2.2"), worker=0)
    assert other.statuses == [400]
    world.advance(1)
    bad.send(text, worker=0)
    assert len(bad.inbox) == MALFORMED_PER_SECOND + 1
    assert world.count(Counter.MALFORMED) == 103
    good = bad.request("INVITE", BOB)
    bad.send(good, worker=0)
    assert bad.last.status == 100


def test_sec_13_what_is_remembered_of_sources_is_bounded(make_world):
    world = make_world()
    text = world.agent("192.0.2.1").request("INVITE", BOB).replace("Content-Length: 0", "Content-Length: 999")
    data = text.replace("\n", "\r\n").encode()
    for number in range(5000):
        world.deliver(data, (f"10.1.{number >> 8}.{number & 255}", 5060), worker=0)
    assert len(world.workers[0].ingest.malformed.seen) <= 4096


# -- proxy.rate_limit


def test_rate_limit_counts_over_all_workers_by_source_address(make_world):
    world = make_world(LIMITED)
    caller, other = world.agent("192.0.2.1"), world.agent("192.0.2.2")
    for worker in (0, 1, 0, 1, 0):
        caller.send(caller.request("OPTIONS", BOB), worker)
    assert caller.statuses == [200, 200, 200, 503, 503]
    other.send(other.request("OPTIONS", BOB))
    assert other.statuses == [200]
    world.advance(10)
    caller.send(caller.request("OPTIONS", BOB))
    assert caller.statuses[-1] == 200


def test_rate_limit_counts_a_request_once_also_when_its_handlers_run_again(make_world):
    world = make_world(AGAIN)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("OPTIONS", BOB, headers="X-Slow: 1"), worker=0)
    world.advance(0.1)
    world.kill(0)
    world.advance(1)
    assert caller.statuses == [200]
    for _ in range(3):
        caller.send(caller.request("OPTIONS", BOB), worker=1)
    world.advance(0.1)
    assert caller.statuses == [200, 200, 200, 503]


def test_rate_limit_refuses_numbers_that_mean_nothing(make_world):
    for call in ("0, 1", "1, 0", "-1, 1", "float('nan'), 1", "True, 1", "'1', 1", "1e9, 1"):
        world = make_world(LIMITED.replace("10, 3", call))
        caller = world.agent("192.0.2.1")
        caller.send(caller.request("OPTIONS", BOB))
        assert caller.last.reason == b"Script Error"


def test_sec_12_the_503_of_a_source_at_its_limit_is_a_function_of_the_request(make_world):
    world = make_world(limits={"per_source": 1})
    caller = world.agent("192.0.2.1")
    world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", BOB))
    refused = caller.request("INVITE", BOB)
    caller.send(refused, worker=0)
    caller.send(refused, worker=1)
    first, second = caller.inbox[-2:]
    assert first.status == 503 and first.raw == second.raw
    caller.send(refused.replace("INVITE", "ACK").replace(f"<{BOB}>", parse(first.raw).first("To").decode()))
    assert world.count(Counter.ACKS_DROPPED) == 1
