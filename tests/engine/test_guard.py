"""Who is dropped unread: bans, security.rate_limit, security.scanner_block, security.trusted_cidrs (API 16.1)."""

import pytest

from siphon.engine.counters import Counter
from siphon.services.bans import Ban

BOB = "sip:bob@example.com"
ANSWER = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200)
"""


def ban(world, source, seconds=60.0, worker=0):
    world.workers[worker].guard.ban(source, "", "a test", seconds)


def options(world, ip, worker=None, headers=""):
    """The statuses that an OPTIONS of this address gets."""
    agent = world.agent(ip)
    before = len(agent.statuses)
    agent.send(agent.request("OPTIONS", BOB, headers=headers), worker)
    return agent.statuses[before:]


# -- bans


def test_a_ban_of_one_worker_is_seen_by_all_at_their_next_datagram(make_world):
    world = make_world(ANSWER, workers=3)
    ban(world, "192.0.2.1", worker=1)
    assert [options(world, "192.0.2.1", worker) for worker in (0, 1, 2)] == [[], [], []]
    assert options(world, "192.0.2.2", 0) == [200]
    assert world.count(Counter.BANNED) == 3
    assert world.count(Counter.REQUESTS) == 1  # nothing else was parsed


def test_a_ban_ends_by_itself(make_world):
    world = make_world(ANSWER)
    ban(world, "192.0.2.1", 60)
    world.advance(59)
    assert options(world, "192.0.2.1") == []
    world.advance(1.5)
    assert options(world, "192.0.2.1") == [200]


def test_a_ban_outlives_every_worker_and_a_second_one_can_only_make_it_longer(make_world):
    world = make_world(ANSWER)
    ban(world, "192.0.2.1", 600)
    ban(world, "192.0.2.1", 6)
    for slot in (0, 1):
        world.kill(slot)
        world.replace(slot)
    world.advance(500)
    assert options(world, "192.0.2.1") == []
    assert [entry.source for entry in world.workers[0].guard.bans.list()] == ["192.0.2.1"]


def test_a_ban_that_is_removed_is_over_for_all(make_world):
    world = make_world(ANSWER)
    ban(world, "192.0.2.1", 600)
    assert options(world, "192.0.2.1", 1) == []
    assert world.workers[0].guard.bans.remove("192.0.2.1")
    assert not world.workers[0].guard.bans.remove("192.0.2.1")
    assert options(world, "192.0.2.1", 1) == [200]


def test_an_ipv6_ban_is_of_the_64_that_the_address_is_in(make_world):
    world = make_world(ANSWER, listen={"udp": ["[::1]:5060"]})
    ban(world, "2001:db8:1:2::/64")
    assert options(world, "2001:db8:1:2::1") == []
    assert options(world, "2001:db8:1:2:ffff::9") == []
    assert options(world, "2001:db8:1:3::1") == [200]


def test_responses_of_a_banned_source_are_dropped_too(make_world):
    world = make_world()
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", BOB))
    ban(world, "127.0.0.2")
    callee.answer(callee.last, 180)
    assert caller.statuses == [100]


def test_a_full_list_forgets_its_oldest_bans(make_world):
    world = make_world(ANSWER)
    bans = world.workers[0].guard.bans
    bans._table._records = 3
    bans._evict = 1
    for number in range(5):
        assert bans.add(Ban(f"192.0.2.{number}", "", "a test", world.clock.wall() + number, world.clock.wall() + 900))
        world.advance(1)
    assert [entry.source for entry in bans.list()] == ["192.0.2.4", "192.0.2.3", "192.0.2.2"]


def test_damage_in_the_list_bans_nobody_by_name_and_raises_nothing(make_world):
    world = make_world(ANSWER)
    ban(world, "192.0.2.1")
    for key in list(world.bans._entries):
        entry = world.bans._entries[key]
        for value in (b"", b"\xc1", b"\x90", b"\x97" + b"\x01" * 7):
            entry.value = value
            assert world.workers[0].guard.bans.list() == []


# -- security.rate_limit


def test_sec_12_above_the_rate_limit_a_source_is_banned_by_all_workers_and_others_are_served(make_world):
    world = make_world(ANSWER, security={"rate_limit": {"window_secs": 10, "max_requests": 4, "ban_duration_secs": 30}})
    got = [options(world, "192.0.2.1", number % 2) for number in range(6)]
    assert got == [[200]] * 4 + [[], []]
    assert options(world, "192.0.2.2") == [200]
    assert (world.count(Counter.RATE_LIMITED), world.count(Counter.BANNED)) == (1, 1)
    world.advance(29)
    assert options(world, "192.0.2.1") == []
    world.advance(2)
    assert options(world, "192.0.2.1") == [200]


def test_a_rate_limit_without_a_ban_only_drops_what_is_too_much(make_world):
    world = make_world(ANSWER, security={"rate_limit": {"window_secs": 10, "max_requests": 2, "ban_duration_secs": 0}})
    assert [options(world, "192.0.2.1") for _ in range(4)] == [[200], [200], [], []]
    world.advance(10)
    assert options(world, "192.0.2.1") == [200]
    assert (world.count(Counter.RATE_LIMITED), world.count(Counter.BANS)) == (2, 0)


def test_malformed_datagrams_count_for_the_rate_and_responses_and_keepalives_do_not(make_world):
    world = make_world(ANSWER, security={"rate_limit": {"window_secs": 10, "max_requests": 2}})
    source = ("192.0.2.1", 5060)
    for data in (b"\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"\0\0\0\0") * 5:
        world.deliver(data, source)
    assert options(world, "192.0.2.1") == [200]
    world.deliver(b"OPTIONS nonsense", source)
    world.deliver(b"OPTIONS nonsense", source)
    assert options(world, "192.0.2.1") == []
    assert world.count(Counter.RATE_LIMITED) == 1


# -- security.scanner_block


@pytest.mark.parametrize("agent", ["friendly-scanner", "Mozilla Friendly-SCANNER/2", "sipvicious 0.3"])
def test_a_scanner_is_dropped_by_its_user_agent_whatever_its_case(make_world, agent):
    world = make_world(ANSWER, security={"scanner_block": {"user_agents": ["Friendly-Scanner", "sipvicious"]}})
    assert options(world, "192.0.2.1", headers=f"User-Agent: {agent}") == []
    assert world.count(Counter.SCANNER_BLOCKED) == 1
    assert not list(world.records())
    assert options(world, "192.0.2.1", headers="User-Agent: Friendly Phone") == [200]


def test_a_scanner_is_not_banned_since_anybody_can_write_its_name_under_the_address_of_another(make_world):
    world = make_world(ANSWER, security={"scanner_block": {"user_agents": ["scanner"]}})
    for _ in range(20):
        options(world, "192.0.2.1", headers="User-Agent: scanner")
    assert world.count(Counter.BANS) == 0


# -- security.trusted_cidrs


def test_trusted_networks_are_exempt_from_everything(make_world):
    world = make_world(
        ANSWER,
        security={
            "rate_limit": {"window_secs": 10, "max_requests": 1},
            "scanner_block": {"user_agents": ["scanner"]},
            "trusted_cidrs": ["192.0.2.0/28", "2001:db8::/32"],
        },
    )
    ban(world, "192.0.2.1")
    for _ in range(5):
        assert options(world, "192.0.2.1", headers="User-Agent: scanner") == [200]
    assert options(world, "192.0.2.16") == [200]
    assert options(world, "192.0.2.16") == []


def test_without_bans_and_limits_nothing_is_asked(make_world, monkeypatch):
    world = make_world(ANSWER)
    for worker in world.workers:
        monkeypatch.setattr(type(worker.guard), "drops", lambda *args: pytest.fail("asked"))
    assert options(world, "192.0.2.1") == [200]
    assert not world.workers[0].guard.armed
