"""Misspelled names of the script API, found before they run and told when they do."""

import pytest
from script_kit import Bench, sip

from siphon.script.loader import ScriptLoadError
from siphon.script.slips import slips

SLIPS = """\
from siphon import proxy as p, registrar
@p.on_request("INVITE")
def route(request):
    registrar.lookp(request.ruri)
    request.ruri.usr = "x"
    request.relay(on_failure=later)
@p.on_reply
async def answered(r, a):
    a.statuscode
def later(r, code, reason):
    r.relayy()
"""

NO_SLIPS = """\
import helper
from siphon import proxy, registrar, gateway, rtpengine, b2bua
@proxy.on_request
def route(request):
    request.vars.get("x"); request.ruri.user.upper(); b2bua.whatever
    request = helper.wrapped(request)
    request.anything()
def mine(request, registrar):
    request.json, registrar.of_mine
@proxy.on_reply
def answered(request, reply):
    def inner(reply): reply.of_another_kind
    reply.relay()
"""


def warnings(tmp_path, source):
    bench = Bench(tmp_path, source)
    return [line.removeprefix(f"{tmp_path}/") for line in slips(bench.runtime.script(), ["blocked"])]


def test_attributes_that_are_not_there_are_found_in_code_that_has_not_run(tmp_path):
    assert warnings(tmp_path, SLIPS) == [
        "script.py:4: registrar has no 'lookp'; did you mean 'lookup'",
        "script.py:5: request.ruri has no 'usr'; did you mean 'user'",
        "script.py:9: a has no 'statuscode'; did you mean 'status_code'",
        "script.py:11: r has no 'relayy'; did you mean 'relay'",
    ]


def test_what_may_be_something_else_is_left_alone(tmp_path):
    (tmp_path / "helper.py").write_text("def wrapped(request): return request\n")
    assert warnings(tmp_path, NO_SLIPS) == []


ASYNCHRONOUS = """\
from siphon import cache, proxy, registrar
import asyncio
@proxy.on_request
async def route(request):
    cache.store("blocked", "a", "1")
    if cache.fetch("blocked", "a"): pass
    if registrar.aor_count() > 3 and not cache.exists("blocked", "a"): pass
    kept = cache.fetch("blocked", "a")
    if kept: pass
    if (late := cache.fetch("bloked", "a")): await late
    if await cache.exists("blocked", "a"): pass
    task = asyncio.create_task(cache.fetch("blocked", "a"))
    both = await asyncio.gather(cache.fetch("blocked", "a"), cache.fetch("blocked", "b"))
    cache.has_cache("other"), registrar.lookup(request.ruri)
"""


def test_what_is_not_awaited_and_caches_that_are_not_configured_are_found(tmp_path):
    assert warnings(tmp_path, ASYNCHRONOUS) == [
        "script.py:5: cache.store() is not awaited",
        "script.py:6: cache.fetch() is not awaited",
        "script.py:7: cache.exists() is not awaited",
        "script.py:7: registrar.aor_count() is not awaited",
        "script.py:8: cache.fetch() is not awaited",
        "script.py:10: no [[cache]] of the configuration has the name 'bloked': it is always empty",
    ]


def test_modules_of_the_script_are_read_too(tmp_path):
    (tmp_path / "helper.py").write_text("from siphon import log\ndef tell(): log.inform('x')\n")
    assert warnings(tmp_path, "import helper\n") == ["helper.py:2: log has no 'inform'; did you mean 'info'"]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("from siphon import proxy\n@proxy.on_requst\ndef f(request): pass\n", "did you mean 'on_request'"),
        ("carriers = []\nprint(cariers)\n", "did you mean 'carriers'"),
    ],
)
def test_a_wrong_name_at_load_is_told_with_the_right_one(tmp_path, source, what):
    with pytest.raises(ScriptLoadError, match=what) as refused:
        Bench(tmp_path, source)
    assert what in refused.value.traceback


def test_a_wrong_name_in_a_handler_is_told_with_the_right_one(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request\ndef f(request): request.relayy()\n")
    bench.runtime.run_request(bench.request(sip()), None, lambda outcome: None)
    assert "did you mean 'relay'" in bench.log.text


def test_a_handler_whose_source_cannot_be_read_is_no_fault(tmp_path):
    text = "from siphon import proxy\nexec('def made(request):\\n    request.relayy()\\n')\nproxy.on_request(made)\n"
    assert warnings(tmp_path, text) == []
