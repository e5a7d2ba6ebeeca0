"""Gateway groups of a real siphond over the death of workers, a reload, and kill -9 of everything."""

import json
import os
import signal

from proxy_process import until

SCRIPT = """
from siphon import gateway, proxy

gateway.add_group("made", [{"uri": "sip:a@127.0.0.9"}, {"uri": "sip:b@127.0.0.9", "weight": 2}])


@proxy.on_request("OPTIONS")
def alive(request):
    request.reply(200)


@proxy.on_request("MESSAGE")
def who(request):
    found = gateway.select("made")
    request.set_reply_header("X-Gateway", str(found))
    request.set_reply_header("X-Groups", " ".join(gateway.groups()))
    request.reply(200)
"""
GATEWAY = """
[[gateway.groups]]
name = "pool"
[[gateway.groups.destinations]]
uri = "sip:127.0.0.9"
[gateway.groups.probe]
enabled = false
"""


def selected(caller, times):
    found = []
    for _ in range(times):
        caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
        answer = caller.expect("200 MESSAGE")
        assert answer["x-groups"] == "pool made"
        found.append(answer["x-gateway"].removeprefix("sip:")[0])
    return "".join(found)


def states(proxy):
    found = json.loads(proxy.control("gateways", "--json").stdout)
    return {entry["uri"]: entry["usable"] for group in found for entry in group["destinations"]}


def test_groups_turns_and_marks_outlive_workers_a_reload_and_the_whole_instance(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT, more=GATEWAY).start()
    proxy.tolerated = r"worker \d/2 died"
    caller = agent(proxy, "caller")
    turns = selected(caller, 4)
    assert turns == "abba"
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
        until(lambda old=pid: old not in proxy.worker_pids() and len(proxy.worker_pids()) == 2, 30, "a new worker")
    assert selected(caller, 2) == "bb"
    assert proxy.control("gateways", "drain", "made", "sip:b@127.0.0.9").returncode == 0
    assert selected(caller, 3) == "aaa"
    assert proxy.control("reload").returncode == 0
    assert selected(caller, 3) == "aaa"
    proxy.kill_all()
    proxy.start()
    caller = agent(proxy, "again")
    assert selected(caller, 3) == "aaa"
    assert states(proxy)["sip:b@127.0.0.9"] is False
    assert proxy.control("gateways", "up", "made", "sip:b@127.0.0.9").returncode == 0
    assert set(selected(caller, 3)) == {"a", "b"}
    assert proxy.stop() == 0
