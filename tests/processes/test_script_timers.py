"""Timers of scripts in real processes: kill -9 of the worker that runs them, SIGHUP, a restart (API 15.2)."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from proxy_process import Siphond, until
from udp_agent import Agent

Make = Callable[..., Siphond]
DEATH = "died pid|is stuck|Fatal Python error|Traceback|Current thread"

SCRIPT = """
import asyncio
import os
from siphon import log, proxy, timer

@proxy.on_request("OPTIONS")
def alive(request):
    request.reply(200, "OK")

@proxy.on_request("MESSAGE")
def obey(request):
    exec(bytes.fromhex(request.body.decode()), globals())
    request.reply(200, "OK")

def ring(key):
    log.info("rang " + key)

async def slow(key):
    log.info("began " + key)
    while os.path.exists("held"):
        await asyncio.sleep(0.05)
    log.info("ended " + key)

@timer.every(0.5, name="beat")
async def beat():
    log.info("beat")
    await asyncio.sleep(0.2)
    log.info("beaten")
"""


def do(proxy: Siphond, code: str) -> None:
    with Agent(proxy.address, "user") as agent:
        agent.send(agent.request("MESSAGE", "sip:x@example.com", body=code.encode().hex()))
        agent.expect("200 MESSAGE")


def lines(proxy: Siphond, text: str) -> list[tuple[float, int]]:
    """(second of the day, worker) of each line of the log that says this."""
    found = re.findall(rf"T(\d+):(\d+):([\d.]+)Z info w(\d) - {re.escape(text)}$", proxy.log(), re.M)
    return [(int(h) * 3600 + int(m) * 60 + float(s), int(worker)) for h, m, s, worker in found]


def pids(proxy: Siphond) -> dict[int, int]:
    """{number of the worker: process}"""
    return {index + 1: proxy.slots().read(index).pid for index in range(proxy.workers)}


def test_g5_periodic_runs_and_one_shot_timers_go_on_when_their_workers_are_killed(siphond: Make) -> None:
    proxy = siphond(workers=4, script=SCRIPT).start()
    proxy.tolerated = DEATH
    # Late enough to be due after both deaths: one that rang right before its worker died would ring again.
    do(proxy, "for n in range(40): timer.set(f'k{n}.', 12000, ring)")
    held = proxy.directory / "held"
    held.touch()
    do(proxy, "timer.set('cut', 100, slow)")
    _, runner = until(lambda: lines(proxy, "began cut"), 20, "the slow handler")[0]
    os.kill(pids(proxy)[runner], signal.SIGKILL)
    held.unlink()
    until(lambda: lines(proxy, "ended cut"), 30, "a second run of the slow handler")
    assert len(lines(proxy, "began cut")) == 2
    beats = lines(proxy, "beat")
    os.kill(pids(proxy)[beats[-1][1]], signal.SIGKILL)
    until(lambda: len(lines(proxy, "beat")) > len(beats) + 3, 30, "further periodic runs")
    until(lambda: len(re.findall(r" rang k", proxy.log())) >= 40, 60, "all one-shot timers")
    assert sorted(re.findall(r" rang (k\d+)", proxy.log())) == sorted(f"k{n}" for n in range(40))
    gaps = [b[0] - a[0] for a, b in zip(lines(proxy, "beat"), lines(proxy, "beat")[1:], strict=False)]
    assert max(gaps) < 20
    assert proxy.restarts() == 2


def test_a_reload_runs_the_new_code_for_pending_and_for_periodic_timers(siphond: Make) -> None:
    proxy = siphond(workers=4, script=SCRIPT).start()
    do(proxy, "timer.set('a', 8000, ring); timer.set('b', 8000, lambda key: log.info('lost ' + key))")
    Path(proxy.script).write_text(
        SCRIPT.replace('"rang "', '"new "').replace('"beat")\n    await', '"fresh")\n    await')
    )
    proxy.send_signal(signal.SIGHUP)
    until(lambda: lines(proxy, "fresh"), 30, "a run of the new code")
    until(lambda: lines(proxy, "new a"), 30, "the pending timer")
    before = len(lines(proxy, "beat"))
    until(lambda: len(lines(proxy, "fresh")) > 3, 30, "further runs")
    assert len(lines(proxy, "beat")) == before
    assert lines(proxy, "lost b") == []


def test_one_shot_timers_survive_a_restart_of_siphond(siphond: Make) -> None:
    proxy = siphond(workers=2, script=SCRIPT).start()
    do(proxy, "timer.set('soon', 300, ring); timer.set('later', 4000, ring)")
    proxy.stop()
    proxy.start()
    until(lambda: lines(proxy, "rang soon") and lines(proxy, "rang later"), 30, "both timers")
    assert len(re.findall(" rang ", proxy.log())) == 2


def test_a_timer_of_a_worker_that_is_stopped_is_fired_by_another(siphond: Make) -> None:
    proxy = siphond(workers=2, script=SCRIPT).start()
    do(proxy, "for n in range(20): timer.set(f'k{n}.', 3000, ring)")
    proxy.tolerated = DEATH
    os.kill(pids(proxy)[1], signal.SIGSTOP)  # ended and replaced after a while, so that nothing has to wake it
    until(lambda: len(re.findall(r" rang k", proxy.log())) >= 20, 30, "all timers")
    before_the_next = proxy.log().partition("worker 1/2 died")[0]
    assert " w1 - rang" not in before_the_next
    assert sorted(re.findall(r" rang (k\d+)", proxy.log())) == sorted(f"k{n}" for n in range(20))


def test_a_handler_that_blocks_its_worker_is_killed_after_the_stall_limit_and_run_again(siphond: Make) -> None:
    script = SCRIPT + "import time\ndef block(key):\n    log.info('began ' + key)\n    time.sleep(30)\n"
    proxy = siphond(workers=2, script=script)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace("[script]", "[script]\nhandler_stall_abort_secs = 1"))
    proxy.start()
    proxy.tolerated = DEATH + "|timer.given_up"
    do(proxy, "timer.set('x', 100, block)")
    until(lambda: "timer.given_up" in proxy.log(), 30, "the end of the attempts")
    assert len(re.findall(" began x", proxy.log())) == 3


@pytest.mark.alone
def test_a_handler_in_a_thread_sets_timers_that_keep_their_time(siphond: Make) -> None:
    proxy = siphond(workers=2, script=SCRIPT)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace("[script]", "[script]\nsync_pool_size = 2"))
    proxy.start()
    for number in range(8):
        do(proxy, f"timer.set('k{number}', 400, ring); log.info('set k{number}')")
    until(lambda: len(re.findall(r" rang k", proxy.log())) == 8, 30, "all timers")
    late = sorted(lines(proxy, f"rang k{n}")[0][0] - lines_set(proxy, n) for n in range(8))
    assert late[0] > 0.39
    assert late[2] < 0.7, "some of them at least, whatever else the machine does"


def lines_set(proxy: Siphond, number: int) -> float:
    """When a timer was set."""
    found = re.search(rf"T(\d+):(\d+):([\d.]+)Z info w\d \S+ set k{number}$", proxy.log(), re.M)
    assert found is not None
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
