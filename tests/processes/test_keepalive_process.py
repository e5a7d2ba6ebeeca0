"""nat.keepalive through a real siphond: a phone that answers stays, one that does not goes, whoever sends."""

import os
import signal
import time

from proxy_process import until

SCRIPT = """
from siphon import log, proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)

@proxy.on_request("OPTIONS")
def alive(request):
    request.reply(200, "OK")

@proxy.on_request("MESSAGE")
def who(request):
    request.set_reply_header("X-Bindings", " ".join(str(c) for c in registrar.lookup(request.ruri)))
    request.reply(200, "OK")

@registrar.on_change
def changed(aor, event, contacts):
    log.info(f"changed {event} {len(contacts)}")
"""
INTERVAL_SECS = 3
"""A phone that is slower than this twice in a row is removed: no phone of a test is."""
KEEPALIVE = f"\n[nat.keepalive]\ninterval_secs = {INTERVAL_SECS}\nfailure_threshold = 2\n"


def register(phone):
    head = [f"Contact: {phone.contact}", "Expires: 600"]
    request = phone.request("REGISTER", "sip:example.com", remote="<sip:bob@example.com>", extra=head)
    phone.send(request)
    phone.expect("200 REGISTER")


def bindings(caller):
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    return caller.expect("200 MESSAGE")["x-bindings"].split()


def answer(phone, count):
    """Answer what comes until it has been asked so often, repeats apart; the seconds that it took."""
    began, came = time.monotonic(), set()
    while len(came) < count:
        asked = phone.receive(60)
        assert asked is not None, f"{len(came)} of {count}"
        came.add(asked["call-id"])
        assert asked.is_a("OPTIONS") and asked.uri == phone.uri and asked["to"] == "<sip:bob@example.com>"
        phone.respond(asked, 200)
    return time.monotonic() - began


def test_a_phone_that_answers_stays_and_one_that_does_not_goes_even_when_the_sender_dies(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT, more=KEEPALIVE).start()
    proxy.tolerated = r"worker \d/2 died"
    living, silent, caller = agent(proxy, "living"), agent(proxy, "silent"), agent(proxy, "caller")
    register(living)
    register(silent)
    assert answer(living, 5) > 2 * INTERVAL_SECS
    until(lambda: (answer(living, 1), bindings(caller))[1] == [living.uri], 40, "the end of the silent one alone")
    until(lambda: "changed deregistered 1" in proxy.log(), 20, "the event")
    until(lambda: proxy.log().count("keepalive.removed") == 1, 20, "the line")
    for pid in proxy.worker_pids():  # one of them is the sender
        os.kill(pid, signal.SIGKILL)
        until(lambda old=pid: old not in proxy.worker_pids() and len(proxy.worker_pids()) == 2, 30, "a new worker")
        answer(living, 1)
    answer(living, 3)
    assert bindings(caller) == [living.uri]
    assert proxy.stop() == 0


def test_a_port_that_nobody_has_is_found_by_icmp(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT, more=KEEPALIVE.replace(f"= {INTERVAL_SECS}\n", "= 2\n")).start()
    gone, caller = agent(proxy, "gone"), agent(proxy, "caller")
    register(gone)
    gone.close()
    until(lambda: bindings(caller) == [], 30, "the removal")
