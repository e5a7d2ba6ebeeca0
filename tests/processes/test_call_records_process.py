"""One call detail record a call of SIPp, whichever workers saw it, also while workers and the writer are killed."""

import json
import os
import signal
import time

import pytest
from free_ports import free_port
from proxy_process import running, until

ON = "\n[cdr]\nenabled = true\nauto_emit = true\n"
HOLD_MS = 2500
"""As in test_chaos: a call lasts longer than it takes to repeat a 200 whose ACK was lost."""


def serve_bob(proxy, agent, sipp, scenario, **values):
    port = free_port()
    phone = sipp.callee(scenario, port, **values)
    assert agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>").status == 200
    return phone


def records(proxy):
    path = proxy.directory / "state" / "cdr.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []  # the last one may be half written
    return [json.loads(line) for line in whole]


def kill_writer(proxy):
    """Once it runs: the one that follows a killed one may not be there yet."""

    def killed():
        pid = next(row["pid"] for row in proxy.status()["helpers"] if row["name"] == "cdr")
        if not pid or not running([pid]):
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    until(killed, 30, "a writer to kill")


@pytest.mark.parametrize("kills", [False, True], ids=["in peace", "with kill -9"])
def test_each_answered_call_is_written(kills, siphond, agent, sipp):
    proxy = siphond(workers=4, steering="spread", more=ON).start()
    if kills:
        proxy.tolerated = "died"
    phone = serve_bob(proxy, agent, sipp, "uas_answer")
    caller = sipp.caller("uac_call", proxy.address, calls=60, rate=20, hold=HOLD_MS)
    for _ in range(3 if kills else 0):
        time.sleep(0.7)  # some calls between two kills
        os.kill(proxy.worker_pids()[0], signal.SIGKILL)
        kill_writer(proxy)
    called = caller.wait(90)
    assert (called.successful, called.failed) == (60, 0), caller.report()
    phone.stop()
    until(lambda: len({record["call_id"] for record in records(proxy)}) == 60, 60, "60 records")
    found = records(proxy)
    assert kills or len(found) == 60
    assert {record["disconnect_initiator"] for record in found} == {"caller"}
    assert {record["response_code"] for record in found} == {200}
    assert all(2.4 < record["duration_secs"] < 60 for record in found)


def test_each_call_that_fails_is_written(siphond, agent, sipp):
    proxy = siphond(workers=4, steering="spread", more=ON).start()
    phone = serve_bob(proxy, agent, sipp, "uas_refuse", status=486)
    caller = sipp.caller("uac_refused", proxy.address, calls=30, rate=30, status=486)
    assert caller.wait(60).successful == 30, caller.report()
    phone.stop()
    until(lambda: len(records(proxy)) >= 30, 60, "30 records")
    found = [record for record in records(proxy) if record["response_code"] == 486]
    assert len({record["call_id"] for record in found}) == len(found) == 30
    assert {record["disconnect_initiator"] for record in found} == {"callee"}
