"""A reliable provisional of a script on real workers: its PRACK may reach any of them, and one may die before."""

import os
import signal

import pytest
from death import WITHIN

DEATH = r"worker \d/2 died"
SCRIPT = """
from siphon import proxy

@proxy.on_request("INVITE")
def route(request):
    if request.ruri.user == "tagged":
        request.set_reply_to_tag("mine")
    request.reply(183, "Progress", reliable=True)

@proxy.on_request("PRACK")
def stray(request):
    request.reply(481, "No Such Response")

@proxy.on_request("OPTIONS")
def ready(request):
    request.reply(200)
"""


@pytest.mark.parametrize("user", ["bob", "tagged"])
def test_the_prack_of_a_reliable_provisional_is_answered_by_any_worker(siphond, agent, user):
    proxy = siphond(workers=4, script=SCRIPT).start()
    for _ in range(12):
        alice = agent(proxy, "alice", fresh=True)  # another one: what is repeated to the last one does not come here
        invite = alice.request("INVITE", f"sip:{user}@example.com", extra=["Supported: 100rel"])
        alice.send(invite)
        early = alice.expect("183 INVITE")
        assert early["require"] == "100rel"
        prack = alice.within(alice.dialog(early), "PRACK", extra=[f"RAck: {early['rseq']} 1 INVITE"])
        first = alice.expect("200 PRACK", but=("183 INVITE",))
        alice.send(prack)
        assert alice.expect("200 PRACK").raw == first.raw
        alice.cancel(invite)
        alice.expect("200 CANCEL")
        alice.acknowledge(invite, alice.expect("487 INVITE"))


def test_the_repeats_and_the_prack_outlive_every_worker(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT).start()
    proxy.tolerated = DEATH
    alice = agent(proxy, "alice", fresh=True)
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=["Supported: 100rel"]))
    early = alice.expect("183 INVITE")
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
    again = [alice.receive(WITHIN) for _ in range(2)]
    assert [message and message.raw for message in again] == [early.raw] * 2
    alice.within(alice.dialog(early), "PRACK", extra=[f"RAck: {early['rseq']} 1 INVITE"])
    alice.expect("200 PRACK", but=("183 INVITE",))
