"""A hundred reloads in a row under load. `pytest -s tests/processes/test_reloads_under_load.py` prints the figures."""

import json
import re
import signal
import statistics
from collections.abc import Sequence
from pathlib import Path

from free_ports import free_port
from proxy_process import until

RELOADS = 100
BROKEN_EACH = 10
RATE = 20
GROWTH = 1.03
"""Of the memory of all processes, between the second third of the reloads and the last."""
SCRIPT = """
import ballast
from siphon import log, proxy, registrar

VERSION = {version}
# Before the last two versions: these need not be there any more, where a call lasts longer than two reloads.
ELDER = {elder}

@proxy.on_request
def route(request):
    if request.method == "OPTIONS":
        request.reply(200, "version-{version}-" + ballast.VERSION)
    elif request.in_dialog:
        request.loose_route()
        request.relay()
    elif request.method == "REGISTER":
        registrar.save(request)
    else:
        request.vars["version"] = VERSION
        request.record_route()
        request.fork(registrar.lookup(request.ruri))

@proxy.on_reply
def answer(request, reply):
    if not request.in_dialog and request.vars.get("version") not in (VERSION, *ELDER):
        log.error(f"begun in version {{request.vars.get('version')}}, answered in {version}")
    reply.set_header("X-Version", "{version}")
    reply.relay()
"""
BALLAST = """
VERSION = "{version}"
KEPT = [[VERSION, number] for number in range(5000)]
KEPT.append(KEPT)
"""


def script(version: object, elder: Sequence[object] = ()) -> str:
    return SCRIPT.format(version=version, elder=list(elder))


class Reloads:
    """Writes new versions of a script that is made of two files, and reloads."""

    def __init__(self, proxy) -> None:
        self.proxy = proxy
        self.done = 0
        self.good: list[object] = []

    def write(self, version: object, broken: bool = False) -> None:
        text = script(version, self.good[:-1])
        if not broken:
            self.good.append(version)
        self.proxy.script.write_text(text + "raise ValueError('on purpose')\n" if broken else text)
        self.proxy.script.with_name("ballast.py").write_text(BALLAST.format(version=version))

    def progress(self) -> dict:
        return json.loads((self.proxy.shared / "reloads").read_text())

    def reload(self) -> str:
        """The error of a reload, empty when all have switched."""
        self.done += 1
        self.proxy.send_signal(signal.SIGHUP)
        return until(lambda: (found := self.progress())["ended"] == self.done and found, 60, "the reload")["error"]


def pss_mb(proxy) -> float:
    """Proportional set size of the supervisor and its children: shared pages count once in all."""
    assert proxy.process is not None
    pid = proxy.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    texts = [Path(f"/proc/{number}/smaps_rollup").read_text() for number in [pid, *children]]
    return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in texts) / 1024


def test_shared_27_a_hundred_reloads_under_load_fail_no_call_and_keep_no_memory(siphond, agent, sipp):
    proxy = siphond(workers=2, script=script(0))
    proxy.tolerated = "on purpose|reload refused|script.traceback| main -   "
    reloads = Reloads(proxy)
    reloads.write(0)
    proxy.start()
    port = free_port()
    # A busy machine repeats ACKs, and SIPp's phone is not to end its call for that; the caller judges.
    sipp.callee("uas_answer", port, "-default_behaviors", "none", ring=20, linger=4000)
    agent(proxy, "bob").register_openly(f"<sip:bob@127.0.0.1:{port}>")
    caller = sipp.caller("uac_call", proxy.address, calls=1_000_000, rate=RATE, at_once=100, hold=500)
    alice = agent(proxy, "alice")
    memory = []
    for number in range(1, RELOADS + 1):
        broken = number % BROKEN_EACH == 0
        reloads.write(number, broken)
        error = reloads.reload()
        assert ("on purpose" in error) if broken else error == "", error
        alice.send(alice.request("OPTIONS", "sip:example.com"), via=alice.bound())
        serves = number - broken
        assert alice.expect("200 OPTIONS").start == f"SIP/2.0 200 version-{serves}-{serves}"
        memory.append(pss_mb(proxy))
    called = caller.stop()
    assert called is not None
    third = RELOADS // 3
    first, second, last = (statistics.median(memory[at : at + third]) for at in (0, third, RELOADS - third))
    print(
        f"\n{RELOADS} reloads in {called.seconds:.0f} s, {called.successful} calls, {called.failed} failed, "
        f"{called.retransmissions} retransmissions; memory {first:.1f}, {second:.1f}, {last:.1f} MB by thirds"
    )
    assert called.successful > RELOADS and (called.failed, called.unexpected) == (0, 0), caller.report()
    assert last < second * GROWTH
    assert proxy.restarts() == 0
    until(lambda: proxy.log().count("script.traceback") >= RELOADS // BROKEN_EACH, 20, "a line of each broken one")
    assert proxy.log().count("script.traceback") == RELOADS // BROKEN_EACH


def test_shared_27_a_call_ends_in_its_version_while_that_is_one_of_the_last_two(siphond, agent):
    proxy = siphond(workers=2, script=script(0))
    proxy.tolerated = "begun in version"
    reloads = Reloads(proxy)
    reloads.write(0)
    proxy.start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register_openly()

    def ringing():
        alice.send(alice.request("INVITE", "sip:bob@example.com"))
        return bob.expect("INVITE")

    def answered_by(offered, tag):
        bob.respond(offered, 200, tag=tag)
        answer = alice.expect("200 INVITE")
        alice.within(alice.dialog(answer), "ACK")
        bob.expect("ACK")
        return answer["x-version"]

    long, short = ringing(), ringing()
    reloads.write(1)
    assert reloads.reload() == ""
    assert answered_by(short, "s") == "0"
    for version in (2, 3):
        reloads.write(version)
        assert reloads.reload() == ""
    assert answered_by(long, "l") == "3"
