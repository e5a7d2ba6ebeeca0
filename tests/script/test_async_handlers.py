"""Async handlers: driven at once, continued by the loop (sections 3 and 4)."""

import asyncio
import gc

import pytest
from script_kit import Bench, response, sip

from siphon.script.reply import Reply
from siphon.sip.message import parse

ASYNC = """
import asyncio
from siphon import proxy, log, SipUri
@proxy.on_request
async def route(request):
    {}
    request.reply(200, 'OK')
"""


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def run(bench, loop, raw=None, seconds=5):
    """The outcome, and whether the handlers finished at once."""
    outcome = loop.create_future()
    at_once = bench.runtime.run_request(bench.request(raw or sip()), None, outcome.set_result)
    assert at_once == outcome.done()
    return loop.run_until_complete(asyncio.wait_for(outcome, seconds)), at_once


def until(loop, holds):
    """Turns of the loop until something holds."""

    async def turns():
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)

    loop.run_until_complete(turns())


def test_an_async_handler_that_does_not_wait_finishes_at_once_without_the_loop(tmp_path, loop):
    bench = Bench(tmp_path, ASYNC.format("pass"), loop=loop)
    outcome, at_once = run(bench, loop)
    assert (outcome.action.status, at_once, bench.runtime.pending) == (200, True, 0)
    assert not loop._ready


def test_without_a_loop_an_async_handler_may_not_wait(tmp_path):
    bench = Bench(tmp_path, ASYNC.format("pass"))
    assert bench.route(sip()).action.status == 200
    bench = Bench(tmp_path, ASYNC.format("await asyncio.sleep(0)"))
    assert isinstance(bench.route(sip()).error, RuntimeError)


@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.sleep(0)",
        "await asyncio.sleep(0.001)",
        "await asyncio.wait_for(asyncio.sleep(0.001), 1)",
        "async with asyncio.timeout(1): await asyncio.sleep(0.001)",
        "async with asyncio.TaskGroup() as group: group.create_task(asyncio.sleep(0.001))",
        "await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))",
        "task = asyncio.current_task(); await asyncio.sleep(0); assert asyncio.current_task() is task",
        "await asyncio.get_running_loop().run_in_executor(None, len, 'x')",
    ],
)
def test_an_async_handler_that_waits_is_continued_by_the_loop(tmp_path, loop, wait):
    bench = Bench(tmp_path, ASYNC.format(wait), loop=loop)
    outcome, at_once = run(bench, loop)
    assert outcome.error is None
    assert (outcome.action.status, at_once, bench.runtime.pending) == (200, False, 0)


def test_while_one_waits_others_are_served(tmp_path, loop):
    source = """
        import asyncio
        from siphon import proxy
        @proxy.on_request("INVITE")
        async def slow(request):
            await asyncio.sleep(0)
            request.reply(200, "OK")
        @proxy.on_request("OPTIONS")
        def fast(request): request.reply(204, "Fast")
    """
    bench = Bench(tmp_path, source, loop=loop)
    order = []
    assert not bench.runtime.run_request(bench.request(sip()), None, lambda o: order.append(o.action.status))
    assert bench.runtime.pending == 1
    assert bench.runtime.run_request(bench.request(sip("OPTIONS")), None, lambda o: order.append(o.action.status))
    until(loop, lambda: len(order) == 2)
    assert (order, bench.runtime.pending) == ([204, 200], 0)


def test_handlers_after_a_waiting_one_run_when_it_has_finished(tmp_path, loop):
    second = "@proxy.on_request\ndef second(request): request.reply(486, 'Busy Here')\n"
    bench = Bench(tmp_path, ASYNC.format("await asyncio.sleep(0)") + second, loop=loop)
    outcome, at_once = run(bench, loop)
    assert (outcome.action.status, at_once) == (486, False)


def test_an_exception_after_waiting_is_the_outcome(tmp_path, loop):
    bench = Bench(tmp_path, ASYNC.format("await asyncio.sleep(0); raise KeyError('x')"), loop=loop)
    outcome, _ = run(bench, loop)
    assert isinstance(outcome.error, KeyError)


def test_call_id_and_namespaces_hold_after_waiting(tmp_path, loop):
    bench = Bench(
        tmp_path,
        ASYNC.format("await asyncio.sleep(0); log.info('here'); assert SipUri('sip:example.com').is_local"),
        loop=loop,
    )
    Bench(tmp_path, "")  # another worker's runtime in the same process
    outcome, _ = run(bench, loop)
    assert outcome.error is None
    assert "info w1 call-1@192.0.2.7 here" in bench.log.text


def test_a_handler_that_awaits_too_long_is_cancelled_and_counts_as_having_raised(tmp_path, loop):
    bench = Bench(tmp_path, ASYNC.format("await asyncio.sleep(60)"), loop=loop)
    bench.runtime.driver.stall_secs = 0.01
    outcome, _ = run(bench, loop)
    assert isinstance(outcome.error, TimeoutError)
    assert "awaited longer than 0.01 s" in str(outcome.error)
    assert bench.runtime.pending == 0


STUBBORN = {
    "goes on": "try: await asyncio.sleep(60)\n    except asyncio.CancelledError: pass",
    "never ends": "while True:\n        try: await asyncio.sleep(60)\n        except asyncio.CancelledError: pass",
    "raises something else": "try: await asyncio.sleep(60)\n    except asyncio.CancelledError: raise KeyError(1)",
}


@pytest.mark.parametrize("what", STUBBORN)
def test_a_handler_that_does_not_let_itself_be_cancelled_counts_as_having_raised_all_the_same(tmp_path, loop, what):
    complaints = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    bench = Bench(tmp_path, ASYNC.format(STUBBORN[what]), loop=loop)
    bench.runtime.driver.stall_secs = 0.01
    outcome, _ = run(bench, loop)
    assert isinstance(outcome.error, TimeoutError) and outcome.action is None
    assert bench.runtime.pending == 0
    tasks = asyncio.all_tasks(loop)
    if what != "never ends":
        until(loop, lambda: not asyncio.all_tasks(loop) - {asyncio.current_task(loop)})
        gc.collect()
    else:
        assert len(tasks) == 1, "it is nobody's any more"
    assert complaints == []


def test_a_task_made_by_a_handler_outlives_it_and_may_not_arm(tmp_path, loop):
    source = """
        import asyncio
        from siphon import proxy
        late = []
        @proxy.on_request
        async def route(request):
            async def background():
                await asyncio.sleep(0)
                try: request.relay()
                except RuntimeError as error: late.append(str(error))
            route.task = asyncio.create_task(background())
            request.reply(200, "OK")
    """
    bench = Bench(tmp_path, source, loop=loop)
    outcome, at_once = run(bench, loop)
    assert (outcome.action.status, at_once) == (200, True)
    from siphon_user_script import late

    until(loop, lambda: late)
    assert "have returned" in late[0]


def test_a_plain_handler_has_no_running_loop_to_make_a_task_in(tmp_path, loop):
    source = """
        import asyncio
        from siphon import proxy
        @proxy.on_request
        def route(request):
            work = asyncio.sleep(0)
            try: asyncio.create_task(work)
            except RuntimeError as error: request.reply(500, str(error))
            work.close()
    """
    outcome, at_once = run(Bench(tmp_path, source, loop=loop), loop)
    assert (outcome.action.status, outcome.action.reason, at_once) == (500, "no running event loop", True)


def test_an_event_that_arrives_inside_the_running_loop_is_served_too(tmp_path, loop):
    bench = Bench(tmp_path, ASYNC.format("await asyncio.sleep(0)"), loop=loop)

    async def inside():
        outcome = loop.create_future()
        bench.runtime.run_request(bench.request(sip()), None, outcome.set_result)
        return await outcome

    assert loop.run_until_complete(inside()).action.status == 200


def test_async_reply_and_failure_handlers_and_callbacks(tmp_path, loop):
    source = """
        import asyncio
        from siphon import proxy
        @proxy.on_reply
        async def r(request, reply):
            await asyncio.sleep(0)
            reply.relay()
        async def f(request, code, reason):
            await asyncio.sleep(0)
            request.relay("sip:vm@h")
    """
    bench = Bench(tmp_path, source, loop=loop)
    request = bench.request(sip())
    outcomes = []
    assert not bench.runtime.run_reply(request, Reply(parse(response(180)), None, request), None, None, outcomes.append)
    reply = Reply(parse(response(486)), None, request)
    bench.runtime.run_failure(request, reply, 486, None, "siphon_user_script:f", None, outcomes.append)
    until(loop, lambda: len(outcomes) == 2)
    assert outcomes[0].passed
    assert outcomes[1].action.next_hop == "sip:vm@h"


def test_a_wrapped_async_function_is_awaited_too(tmp_path, loop):
    source = """
        import asyncio, functools
        from siphon import proxy
        def wrap(function):
            @functools.wraps(function)
            def inner(*args): return function(*args)
            return inner
        @proxy.on_request
        @wrap
        async def route(request):
            await asyncio.sleep(0)
            request.reply(200, "OK")
    """
    bench = Bench(tmp_path, source, loop=loop)
    outcome, at_once = run(bench, loop)
    assert (outcome.action.status, at_once) == (200, False)


def test_with_a_pool_def_handlers_run_in_threads(tmp_path, loop):
    source = """
        import threading
        from siphon import proxy, log
        @proxy.on_request
        def route(request):
            log.info("pooled")
            request.vars["thread"] = threading.current_thread().name
            request.reply(200, "OK")
    """
    bench = Bench(tmp_path, source, loop=loop, script={"sync_pool_size": 1})
    outcome, at_once = run(bench, loop)
    bench.runtime.close()
    assert (outcome.action.status, at_once) == (200, False)
    assert outcome.vars["thread"].startswith("handler")
    assert "call-1@192.0.2.7 pooled" in bench.log.text


def test_a_reload_may_begin_with_threads_and_end_them_and_what_runs_in_one_ends_there(tmp_path, loop):
    source = """
        import threading
        from siphon import proxy
        entered, may_end = threading.Event(), threading.Event()
        @proxy.on_request
        def route(request):
            if request.method == "INFO":
                entered.set()
                may_end.wait(20)
            request.vars["thread"] = threading.current_thread().name
            request.reply(200, "OK")
    """
    bench = Bench(tmp_path, source, loop=loop)
    runtime, script = bench.runtime, bench.settings.script

    def configure(threads):
        changed = bench.settings.model_copy(update={"script": script.model_copy(update={"sync_pool_size": threads})})
        runtime.configure(changed, bench.services)

    assert run(bench, loop)[1] is True
    configure(1)
    outcome, at_once = run(bench, loop)
    assert at_once is False and outcome.vars["thread"].startswith("handler")
    waiting = []
    runtime.run_request(bench.request(sip("INFO")), None, waiting.append)
    from siphon_user_script import entered, may_end

    until(loop, entered.is_set)
    configure(0)
    assert run(bench, loop)[1] is True
    may_end.set()
    until(loop, lambda: waiting)
    assert waiting[0].action.status == 200 and waiting[0].vars["thread"].startswith("handler")
    assert runtime.pending == 0


MIXED = """
    import asyncio, contextvars
    from siphon import proxy
    calls = []
    mine = contextvars.ContextVar("mine", default=None)
    def note(name):
        calls.append((name, mine.get()))
        mine.set(name)
    @proxy.on_request
    def first(request): note("first")
    @proxy.on_request
    async def second(request):
        note("second")
        await asyncio.sleep({wait})
        note("second again")
    @proxy.on_request
    def third(request):
        note("third")
        {third}
"""


@pytest.mark.parametrize("wait", ["0", "0.001"])
def test_plain_and_async_handlers_each_run_once_in_order_and_in_a_context_of_their_own(tmp_path, loop, wait):
    bench = Bench(tmp_path, MIXED.format(wait=wait, third="request.reply(404)"), loop=loop)
    outcome, at_once = run(bench, loop)
    from siphon_user_script import calls

    assert (outcome.action.status, at_once) == (404, False)
    assert calls == [("first", None), ("second", None), ("second again", "second"), ("third", None)]


def test_what_a_plain_handler_raises_after_one_that_waited_is_the_outcome(tmp_path, loop):
    bench = Bench(tmp_path, MIXED.format(wait="0", third="raise ValueError('third')"), loop=loop)
    outcome, _ = run(bench, loop)
    assert str(outcome.error) == "third" and bench.runtime.errors == 1
    assert "in third" in bench.log.text and "driver.py" not in bench.log.text
