"""The namespace `cache` as scripts see it (API 15.1)."""

import asyncio
from datetime import timedelta

import pytest
from script_kit import SECRET, Bench

from siphon import cache
from siphon.services.caches import Caches
from siphon.state.memory import MemoryTable
from workers.net import boottime

METHODS = {
    "fetch": ((), None),
    "store": (("v",), False),
    "delete": ((), False),
    "exists": ((), False),
    "expire": ((5,), False),
    "list_push": (("v",), None),
    "list_pop_all": ((), []),
    "list_len": ((), 0),
    "list_len_sum": ((), 0),
}


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path, "from siphon import cache\n", cache=[{"name": "here"}])
    made.services.caches = Caches(MemoryTable(), SECRET, boottime, None, lambda name, why: None)
    made.services.caches.configure(made.settings.cache, 0.25)
    return made


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_cache_is_empty_and_keeps_nothing(bench, method):
    arguments, absent = METHODS[method]
    assert run(getattr(cache, method)("nowhere", "k", *arguments)) == absent
    assert not cache.has_cache("nowhere") and cache.has_cache("here")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "fetch"])
def test_keys_of_siphond_are_reserved(bench, method):
    with pytest.raises(ValueError, match="reserved"):
        run(getattr(cache, method)("here", "siphon:x", *METHODS[method][0]))
    assert run(cache.fetch("here", "siphon:x")) is None


def test_a_round_trip(bench):
    async def all_of_it():
        assert await cache.store("here", "k", "v", ttl=10)
        assert await cache.fetch("here", "k") == "v"
        assert await cache.exists("here", "k")
        assert await cache.expire("here", "k", 1)
        assert await cache.delete("here", "k")
        assert [await cache.list_push("here", "l", text) for text in "ab"] == [1, 2]
        assert await cache.list_len_sum("here", "l") == await cache.list_len("here", "l") == 2
        assert await cache.list_pop_all("here", "l") == ["a", "b"]

    run(all_of_it())


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 10**400])
def test_a_time_to_live_is_above_zero(bench, ttl):
    for call in (cache.store("here", "k", "v", ttl), cache.expire("here", "k", ttl)):
        with pytest.raises(ValueError):
            run(call)


def test_other_types_are_errors(bench):
    for call in (
        cache.store("here", "k", 5),
        cache.store("here", b"k", "v"),
        cache.list_push("here", "k", None),
        cache.store("here", "k", "v", timedelta(seconds=5)),
        cache.list_len_sum("here", 5),
    ):
        with pytest.raises(TypeError):
            run(call)
    with pytest.raises(ValueError, match="empty"):
        run(cache.list_len_sum("nowhere", ""))
    with pytest.raises(ValueError, match="longer"):
        run(cache.fetch("here", "x" * 513))
