"""Media relays with a fake engine: placement, stickiness, faults, health (section 14)."""

import asyncio
import random
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from free_ports import free_port

from siphon.config.log import Log
from siphon.config.media import Media
from siphon.services.media.backend import Description, MediaError
from siphon.services.media.calls import Call, Calls
from siphon.services.media.profiles import BUILT_IN, DEFAULT
from siphon.services.media.relays import MediaRelays
from siphon.services.store import StoreError
from siphon.state.memory import MemoryTable
from siphon.testing.media_relay import FakeRelay

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
KEY = b"k" * 32


@pytest.fixture
def fakes():
    made = [FakeRelay(), FakeRelay()]
    yield made
    for one in made:
        one.close()


@contextmanager
def worker(table, *fakes, timeout_ms=20_000, weights=(1, 1), interval=0.2, **more):
    """The relays of one worker, in the running loop."""
    instances = [
        {"address": one.address, "timeout_ms": timeout_ms, "weight": weight}
        for one, weight in zip(fakes, weights, strict=False)
    ]
    settings = Media.model_validate(
        {"health_check_interval_secs": interval, "rtpengine": {"instances": instances}, **more}
    )
    loop = asyncio.get_running_loop()
    made = MediaRelays(loop, Calls(table, KEY, 600.0), time.monotonic, random.Random(1).random, Log(file="stderr"))
    made.configure(settings)
    try:
        yield made
    finally:
        made.close()


def described(call_id="c1", from_tag="a", to_tag=None, **more):
    return Description(call_id, from_tag, to_tag, SDP, more.pop("side", BUILT_IN[DEFAULT].offer), **more)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 180))


def silence(relays, fake):
    """It answers no more, and is not waited for long."""
    fake.silent = True
    relays._relays[fake.address].link.timing = 300, 2


def revive(relays, fake):
    fake.silent = False
    relays._relays[fake.address].link.timing = 20_000, 2


async def until(holds, secs=60.0):
    """Wait until a condition holds."""
    end = time.monotonic() + secs
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.02)


def test_an_offer_comes_back_rewritten_and_says_what_the_profile_asks_for(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0]) as relays:
            sdp = await relays.offer(described(), DEFAULT)
            assert (b"c=IN IP4 127.0.0.1" in sdp, b"m=audio 20002" in sdp) == (True, True)
            (asked,) = fakes[0].commands
            assert asked == {
                "command": "offer",
                "call-id": b"c1",
                "from-tag": b"a",
                "sdp": SDP,
                "replace": [b"origin"],
                "flags": [b"trust-address"],
                "supports": [b"load limit"],
            }
            assert (relays.active, relays.count) == (1, 1)

    run(go())


def test_answer_and_end_reach_the_relay_of_the_offer_from_any_worker(fakes):
    async def go():
        table = MemoryTable()
        with worker(table, *fakes) as first, worker(table, *fakes) as second:
            for number in range(20):
                await first.offer(described(f"c{number}"), "wss_to_rtp")
            for number in range(20):
                assert second.profile_of(f"c{number}") == "wss_to_rtp"
                await second.answer(described(f"c{number}", to_tag="b"), None)
            for number in range(20):
                await first.delete(f"c{number}", "a", "b")
            assert first.active == 0
        calls = [{(one["command"], one["call-id"]) for one in fake.commands} for fake in fakes]
        assert all(calls)
        for seen in calls:
            ids = {call_id for name, call_id in seen if name == "offer"}
            assert seen == {(name, call_id) for call_id in ids for name in ("offer", "answer", "delete")}

    run(go())


def test_new_calls_are_placed_by_weight_and_weight_0_gets_none(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, weights=(3, 1)) as relays:
            for number in range(200):
                await relays.offer(described(f"c{number}"), DEFAULT)
            assert 120 < len(fakes[0].commands) < 180
        with worker(MemoryTable(), *fakes, weights=(0, 1)) as relays:
            before = len(fakes[0].commands)
            for number in range(20):
                await relays.offer(described(f"d{number}"), DEFAULT)
            assert len(fakes[0].commands) == before

    run(go())


def test_a_lost_question_is_repeated_within_its_time_and_carried_out_once(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0], interval=60, timeout_ms=7000) as relays:
            await until(lambda: fakes[0].pings == 1)
            fakes[0].lose = 1
            await relays.offer(described(), DEFAULT)
            assert fakes[0].names() == ["offer"]

    run(go())


def test_an_answer_that_came_twice_or_late_disturbs_nobody(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0], interval=60, timeout_ms=7000) as relays:
            await until(lambda: fakes[0].pings == 1)
            fakes[0].slow = 1.1  # the first repeat is on its way by then, so each question has two answers
            asked = 0
            while asked < 2 or fakes[0].datagrams < asked + 3 and asked < 6:  # unless this process stood still
                await relays.offer(described(f"c{asked}"), DEFAULT)
                asked += 1
            fakes[0].slow = 0.0
            await until(lambda: fakes[0].datagrams >= asked + 3)
            assert fakes[0].names() == ["offer"] * asked

    run(go())


def test_a_relay_that_never_answers_delays_only_its_own_call(fakes):
    async def go():
        table = MemoryTable()
        with worker(table, *fakes, timeout_ms=6000, interval=60) as relays:
            await until(lambda: all(fake.pings for fake in fakes))
            for number in range(20):
                await relays.offer(described(f"c{number}"), DEFAULT)
            places = {fake: {one["call-id"].decode() for one in fake.commands} for fake in fakes}
            assert all(places.values())
            fakes[0].silent = True
            stuck = asyncio.create_task(relays.answer(described(min(places[fakes[0]]), to_tag="b"), None))
            began = time.monotonic()
            for call_id in places[fakes[1]]:
                await relays.answer(described(call_id, to_tag="b"), None)
            assert not stuck.done()
            with pytest.raises(MediaError, match="no answer within 6000 ms"):
                await stuck
            assert time.monotonic() - began > 5.9

    run(go())


def test_a_new_call_that_meets_a_dead_relay_goes_to_the_next_and_later_ones_at_once(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, interval=60) as relays:
            await until(lambda: all(fake.pings for fake in fakes))
            silence(relays, fakes[0])
            for number in range(20):
                await relays.offer(described(f"c{number}"), DEFAULT)
            assert len(fakes[1].commands) == 20
            assert fakes[0].datagrams < 10

    run(go())


def test_a_running_call_whose_relay_died_is_placed_anew_by_its_next_offer(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, interval=60) as relays:
            await relays.offer(described(), DEFAULT)
            first, second = fakes if fakes[0].commands else fakes[::-1]
            silence(relays, first)
            await relays.offer(described(), DEFAULT)
            await relays.answer(described(to_tag="b"), None)
            assert second.names() == ["offer", "answer"]

    run(go())


def test_when_no_relay_is_well_a_call_fails_at_once_and_leaves_no_record(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, interval=60) as relays:
            await until(lambda: all(fake.pings for fake in fakes))
            for fake in fakes:
                silence(relays, fake)
            with pytest.raises(MediaError, match="no answer within 300 ms"):
                await relays.offer(described(), DEFAULT)
            assert relays.active == 0
            with pytest.raises(MediaError, match="no media relay answers"):
                relays.offer(described("c2"), DEFAULT).send(None)  # nobody is waited for

    run(go())


def test_a_relay_that_comes_back_is_well_again(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0], interval=0.1) as relays:
            silence(relays, fakes[0])
            await until(lambda: not next(iter(relays._relays.values())).healthy)
            assert not await relays.ping()
            revive(relays, fakes[0])
            await until(lambda: next(iter(relays._relays.values())).healthy)
            assert await relays.ping()
            await relays.offer(described(), DEFAULT)

    run(go())


def test_where_nobody_listens_a_new_call_goes_on_without_waiting(fakes):
    gone = SimpleNamespace(address=f"127.0.0.1:{free_port()}")

    async def go():
        with worker(MemoryTable(), gone, fakes[0], timeout_ms=25_000, interval=60) as relays:
            began = time.monotonic()
            for number in range(10):
                await relays.offer(described(f"c{number}"), DEFAULT)
            assert time.monotonic() - began < 20
            assert len(fakes[0].commands) == 10

    run(go())


def test_a_relay_that_is_started_again_within_the_time_loses_nothing():
    async def go():
        port = free_port()
        first = FakeRelay(port)
        with worker(MemoryTable(), first, interval=60) as relays:
            await until(lambda: first.pings == 1)
            first.close()
            asked = asyncio.create_task(relays.offer(described(), DEFAULT))
            await asyncio.sleep(0.1)
            second = FakeRelay(port)
            assert b"m=audio 20002" in await asked
            second.close()

    run(go())


def test_an_error_is_the_scripts_to_know_and_asks_nobody_else(fakes):
    async def go():
        with worker(MemoryTable(), *fakes) as relays:
            for fake in fakes:
                fake.error = "Unknown\r\ncall-id"
            with pytest.raises(MediaError, match=r"offer: Unknown\?\?call-id"):
                await relays.offer(described(), DEFAULT)
            assert sum(len(fake.commands) for fake in fakes) == 1

    run(go())


@pytest.mark.parametrize("garbage", [b"", b"x", b"i1e", b"le", b"d6:result3:nixe", b"d6:result2:oke", b"l" * 9000])
def test_garbage_is_no_answer(fakes, garbage):
    async def go():
        with worker(MemoryTable(), fakes[0], interval=60, timeout_ms=300) as relays:
            await until(lambda: fakes[0].pings == 1)
            fakes[0].garbage = garbage or b" "
            with pytest.raises(MediaError):
                await relays.offer(described(), DEFAULT)

    run(go())


def test_a_command_that_fits_no_datagram_says_nothing_of_the_relay(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, interval=600) as relays:
            for call in range(4):  # the first relay, the second, or both would be unwell by now
                with pytest.raises(ValueError, match="does not fit a datagram"):
                    large = Description(f"c{call}", "a", None, SDP + b"a=" + b"x" * 70_000, BUILT_IN[DEFAULT].offer)
                    await relays.offer(large, DEFAULT)
            assert await relays.offer(described("another"), DEFAULT)

    run(go())


def test_a_relay_that_is_full_passes_new_calls_on(fakes):
    async def go():
        with worker(MemoryTable(), *fakes) as relays:
            fakes[0].full = True
            for number in range(10):
                await relays.offer(described(f"c{number}"), DEFAULT)
            assert len(fakes[1].commands) == 10

    run(go())


def test_what_fails_at_the_end_is_only_logged(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0], interval=60) as relays:
            await relays.offer(described(), DEFAULT)
            fakes[0].error = "no"
            await relays.delete("c1", "a", None)
            silence(relays, fakes[0])
            await relays.delete("c2", "a", None)
            assert relays.active == 0

    run(go())


def test_without_an_offer_one_relay_is_asked_and_of_several_none(fakes):
    async def go():
        with worker(MemoryTable(), fakes[0]) as relays:
            await relays.answer(described(to_tag="b"), None)
        with worker(MemoryTable(), *fakes) as relays:
            with pytest.raises(MediaError, match="no offer of this call is known"):
                await relays.answer(described(to_tag="b"), None)
            await relays.delete("c1", "a", None)
        assert fakes[1].commands == []

    run(go())


def test_a_relay_that_is_no_longer_configured_has_no_calls(fakes):
    async def go():
        table = MemoryTable()
        with worker(table, fakes[0]) as relays:
            await relays.offer(described(), DEFAULT)
        with worker(table, fakes[1]) as relays:
            with pytest.raises(MediaError, match="is no longer configured"):
                await relays.answer(described(to_tag="b"), None)
            await relays.offer(described(), DEFAULT)
            await relays.answer(described(to_tag="b"), None)
        assert fakes[1].names() == ["offer", "answer"]

    run(go())


def test_without_relays_nothing_can_be_asked():
    async def go():
        with worker(MemoryTable()) as relays:
            with pytest.raises(MediaError, match="no media relay is configured"):
                await relays.offer(described(), DEFAULT)
            assert not await relays.ping()

    run(go())


def test_two_workers_that_place_one_call_agree():
    table = MemoryTable()
    first, second = Calls(table, KEY, 60.0), Calls(table, KEY, 60.0)
    assert first.place("c", Call("one:1", "p"), 0.0) == Call("one:1", "p")
    assert second.place("c", Call("two:2", "q"), 0.0) == Call("one:1", "q")
    assert second.place("c", Call("two:2", "q"), 0.0, instead_of="one:1") == Call("two:2", "q")
    assert first.find("c") == Call("two:2", "q")


def test_a_call_that_is_never_deleted_is_forgotten_after_its_life():
    now = [0.0]
    table = MemoryTable(clock=lambda: now[0])
    calls = Calls(table, KEY, 60.0)
    calls.place("c", Call("one:1", "p"), 0.0)
    now[0] = 50.0
    calls.place("c", Call("one:1", "p"), 50.0)
    now[0] = 100.0
    assert calls.find("c") is not None
    now[0] = 111.0
    assert calls.find("c") is None


def test_a_full_table_is_a_store_error_and_what_is_over_makes_room():
    now = [0.0]
    table = MemoryTable(records=2, clock=lambda: now[0])
    calls = Calls(table, KEY, 60.0)
    for name in "ab":
        calls.place(name, Call("one:1", "p"), 0.0)
    with pytest.raises(StoreError, match="shared.max_media_calls"):
        calls.place("c", Call("one:1", "p"), 1.0)
    now[0] = 61.0
    calls.place("c", Call("one:1", "p"), 61.0)
    assert calls.find("c") is not None


def test_damage_in_a_record_is_as_good_as_none():
    table = MemoryTable()
    calls = Calls(table, KEY, 60.0)
    calls.place("c", Call("one:1", "p"), 0.0)
    ((key, version, _),) = table.owned(0)
    table.commit(key, version, b"damaged", owner=0)
    assert calls.find("c") is None
    assert calls.place("c", Call("two:2", "q"), 0.0) == Call("two:2", "q")


def test_a_reload_keeps_relays_that_stay_and_closes_the_others(fakes):
    async def go():
        with worker(MemoryTable(), *fakes, interval=60) as relays:
            await until(lambda: all(fake.pings for fake in fakes))
            kept = relays._relays[fakes[0].address]
            one = {"address": fakes[0].address, "timeout_ms": 77}
            relays.configure(Media.model_validate({"rtpengine": one, "profiles": {"mine": {}}}))
            assert (list(relays._relays.values()), kept.link.timing) == ([kept], (77, 2))
            assert "mine" in relays.profiles

    run(go())


def test_the_session_name_is_ours_where_a_profile_replaces_it(fakes):
    async def go():
        profiles = {"p": {"offer": {"replace": ["origin", "session-name"]}}}
        with worker(MemoryTable(), fakes[0], sdp_name="edge", profiles=profiles) as relays:
            sdp = await relays.offer(described(side=relays.profiles["p"].offer), "p")
            assert b"\r\ns=edge\r\n" in sdp
            assert fakes[0].commands[0]["replace"] == [b"origin"]

    run(go())
