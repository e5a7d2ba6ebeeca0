"""Caches of a running siphond: one for all workers, through deaths, reloads and restarts; a Redis that is away."""

import json
import os
import signal
from itertools import count

import pytest
from redis_servers import redis_server

__all__ = ["redis_server"]

SCRIPT = """
from siphon import cache, proxy

@proxy.on_request
async def route(request):
    length = await cache.list_push("calls", "all", request.call_id)
    await cache.store("calls", "last", request.call_id, ttl=60)
    seen = await cache.fetch("calls", "last")
    request.reply(200, f"{length} {seen == request.call_id}")
"""


@pytest.fixture
def caches(site):
    site.script.write_text(SCRIPT)
    return site


def answer(site):
    return site.ask().decode().partition(" 200 ")[2]


def test_all_workers_have_one_cache_that_outlives_them(caches):
    site = caches
    site.configure(more='\n[[cache]]\nname = "calls"\n')
    site.start()
    numbers = count(1)

    def counts():
        assert answer(site) == f"{next(numbers)} True"

    def workers():
        counts()
        return json.loads(site.siphonctl("status", "--json").stdout)["workers"]

    site.until(lambda: all(worker["datagrams"] for worker in workers()))  # both have served
    for worker in workers():
        os.kill(worker["pid"], signal.SIGKILL)
    counts()
    site.configure(more='\n[[cache]]\nname = "calls"\n[[cache]]\nname = "other"\n')
    assert site.siphonctl("reload").returncode == 0
    counts()
    assert site.stop(site.running[-1]) == 0
    site.start()
    counts()
    site.configure()
    assert site.siphonctl("reload").returncode == 0
    assert answer(site) == "None False"


def test_a_redis_that_is_away_is_an_empty_cache(caches, redis_server):
    site, url = caches, f"redis://127.0.0.1:{redis_server.port}"
    site.configure(more=f'\n[[cache]]\nname = "calls"\nurl = "{url}"\n')
    site.start()
    site.until(lambda: answer(site) == f"{redis_server.client().llen('all')} True")
    redis_server.freeze()
    assert answer(site) == "None False"
    redis_server.thaw()
    site.until(lambda: answer(site).endswith("True"))
    redis_server.kill()
    site.until(lambda: answer(site) == "None False")
    redis_server.start()
    site.until(lambda: answer(site).endswith("True"))
    assert "cache.no_answer cache=calls" in site.text()
