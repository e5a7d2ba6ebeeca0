"""Which upstream gets a call: weights, turns, rendezvous hashing, and health after a probe (API 13)."""

from __future__ import annotations

from collections import Counter

import pytest

from siphon.services.balancing import Health, Upstream, judge
from siphon.services.balancing.choice import matching, pools, rendezvous, round_robin, weighted
from siphon.services.balancing.health import LONGEST_SECS, marked

NOW, WALL = 1000.0, 5000.0
KEYS = [f"call-{number}@example.net" for number in range(4000)]


def made(*weights: int) -> list[Upstream]:
    return [Upstream(f"sip:{chr(97 + place)}.example.net", weight=weight) for place, weight in enumerate(weights)]


def names(upstreams: list[Upstream]) -> str:
    return "".join(upstream.given[4] for upstream in upstreams)


def test_weighted_counts_over_the_cumulative_weights_in_order():
    (pool,) = pools(made(3, 1))
    assert names([weighted(pool, number) for number in range(8)]) == "aaabaaab"


def test_weighted_gives_a_weight_of_0_nothing_and_the_first_all_when_every_weight_is_0():
    (pool,) = pools(made(0, 2, 0, 1))
    assert names([weighted(pool, number) for number in range(6)]) == "bbdbbd"
    (pool,) = pools(made(0, 0))
    assert names([weighted(pool, number) for number in range(3)]) == "aaa"


def test_round_robin_takes_them_in_turn_whatever_the_weights():
    (pool,) = pools(made(5, 0, 1))
    assert names([round_robin(pool, number) for number in range(7)]) == "abcabca"


def test_pools_are_by_priority_the_lowest_number_first_and_keep_the_order():
    found = pools([Upstream("sip:x", priority=2), Upstream("sip:b", priority=1), Upstream("sip:a", priority=1)])
    assert [(pool.priority, names(list(pool.members))) for pool in found] == [(1, "ba"), (2, "x")]
    assert pools([]) == []


def test_every_pair_of_attrs_must_match():
    members = [Upstream("sip:a", attrs={"region": "eu", "kind": "t"}), Upstream("sip:b", attrs={"region": "eu"})]
    assert names(matching(members, {"region": "eu"})) == "ab"
    assert names(matching(members, {"region": "eu", "kind": "t"})) == "a"
    assert matching(members, {"region": "us"}) == []
    assert matching(members, {"absent": None}) == []


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (3, 1, 2, 0), (0, 0, 0, 0)])
def test_hash_an_upstream_that_goes_or_comes_moves_only_its_own_keys(weights):
    members = made(*weights)
    (before,) = pools(members)
    owners = {key: rendezvous(before, key) for key in KEYS}
    for gone in members:
        (after,) = pools([member for member in members if member is not gone])
        moved = {key for key in KEYS if rendezvous(after, key) is not owners[key]}
        assert moved == {key for key in KEYS if owners[key] is gone}


def test_hash_shares_are_those_of_the_weights():
    (pool,) = pools(made(3, 1, 0))
    shares = Counter(rendezvous(pool, key).given[4] for key in KEYS)
    assert shares["c"] == 0
    assert 0.72 < shares["a"] / len(KEYS) < 0.78
    (pool,) = pools(made(1, 1, 1, 1))
    shares = Counter(rendezvous(pool, key).given for key in KEYS)
    assert all(0.22 < share / len(KEYS) < 0.28 for share in shares.values())


def test_hash_does_not_depend_on_the_order_of_the_upstreams_nor_on_the_process():
    members = made(2, 1, 1)
    (one,), (other,) = pools(members), pools(members[::-1])
    assert all(rendezvous(one, key) is rendezvous(other, key) for key in KEYS)
    assert names([rendezvous(one, key) for key in KEYS[:12]]) == FIRST_TWELVE


FIRST_TWELVE = "ccaaccbaacaa"
"""Pinned: a change of the hash would move every call at an upgrade."""


def test_an_answer_other_than_503_is_health_whatever_was_before():
    for status in (200, 404, 486, 500, 600):
        assert judge(Health(False, 3, status=0), status, 0, 3, NOW, WALL) == Health(True, 0, since=WALL, status=status)
    assert judge(Health(), 200, 0, 3, NOW, WALL) == Health(status=200)


@pytest.mark.parametrize("status", [0, 503])
def test_down_after_so_many_failures_in_a_row(status):
    health = Health()
    for count in (1, 2):
        health = judge(health, status, 0, 3, NOW, WALL)
        assert (health.healthy, health.failures) == (True, count)
    health = judge(health, status, 0, 3, NOW, WALL)
    assert health == Health(False, 3, since=WALL, status=status)
    assert judge(health, status, 0, 3, NOW + 60, WALL + 60) == health


def test_a_success_in_between_begins_the_count_anew():
    health = judge(judge(Health(), 0, 0, 2, NOW, WALL), 200, 0, 2, NOW, WALL)
    assert judge(health, 0, 0, 2, NOW, WALL).healthy


def test_retry_after_of_a_503_puts_it_down_at_once_and_for_that_time():
    health = judge(Health(), 503, 20, 3, NOW, WALL)
    assert not health.healthy
    assert health.until == NOW + 20
    assert judge(health, 200, 0, 3, NOW + 19.9, WALL) == health
    assert judge(health, 200, 0, 3, NOW + 20, WALL + 20).healthy
    assert judge(Health(), 486, 20, 3, NOW, WALL).healthy
    assert judge(Health(), 503, 1e12, 3, NOW, WALL).until == NOW + LONGEST_SECS


def test_marks_hold_until_the_next_result():
    down = marked(Health(), False, WALL)
    assert not down.usable
    assert not judge(down, 0, 0, 3, NOW, WALL).healthy
    assert judge(down, 200, 0, 3, NOW, WALL).healthy
    dead = Health(False, 3, until=NOW + 50, status=503)
    up = marked(dead, True, WALL)
    assert up.usable
    assert not judge(up, 0, 0, 3, NOW, WALL).healthy
    assert judge(up, 200, 0, 3, NOW, WALL).healthy


def test_a_drained_one_is_not_usable_whatever_probes_say_until_it_is_marked_up():
    drained = judge(Health(drained=True), 200, 0, 3, NOW, WALL)
    assert drained.healthy
    assert not drained.usable
    assert marked(drained, True, WALL).usable
    assert not marked(drained, False, WALL)._replace(healthy=True).usable
