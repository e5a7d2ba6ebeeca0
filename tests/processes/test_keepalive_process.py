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
KEEPALIVE = "\n[nat.keepalive]\ninterval_secs = 1\nfailure_threshold = 2\n"


def register(phone):
    head = [f"Contact: {phone.contact}", "Expires: 600"]
    request = phone.request("REGISTER", "sip:example.com", remote="<sip:bob@example.com>", extra=head)
    phone.send(request)
    phone.expect("200 REGISTER")


def bindings(caller):
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    return caller.expect("200 MESSAGE")["x-bindings"].split()


def answer(phone, seconds):
    """Answer what comes for so long: when it came, without repeats."""
    until_then = time.monotonic() + seconds
    came = {}
    while (left := until_then - time.monotonic()) > 0:
        if (asked := phone.receive(left)) is not None:
            came.setdefault(asked["call-id"], time.monotonic())
            assert asked.is_a("OPTIONS") and asked.uri == phone.uri and asked["to"] == "<sip:bob@example.com>"
            phone.respond(asked, 200)
    return list(came.values())


def test_a_phone_that_answers_stays_and_one_that_does_not_goes_even_when_the_sender_dies(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT, more=KEEPALIVE).start()
    proxy.tolerated = r"worker \d/2 died"
    living, silent, caller = agent(proxy, "living"), agent(proxy, "silent"), agent(proxy, "caller")
    register(living)
    register(silent)
    came = answer(living, 6)
    assert 4 <= len(came) <= 7
    assert bindings(caller) == [living.uri]
    until(lambda: "changed deregistered 1" in proxy.log(), 20, "the event")
    assert proxy.log().count("keepalive.removed") == 1
    for pid in proxy.worker_pids():  # one of them is the sender
        os.kill(pid, signal.SIGKILL)
        until(lambda old=pid: old not in proxy.worker_pids() and len(proxy.worker_pids()) == 2, 30, "a new worker")
        answer(living, 1.5)
    assert len(answer(living, 5)) >= 3
    assert bindings(caller) == [living.uri]
    assert proxy.stop() == 0


def test_a_port_that_nobody_has_is_found_by_icmp(siphond, agent):
    proxy = siphond(workers=2, script=SCRIPT, more=KEEPALIVE.replace("= 1\n", "= 2\n")).start()
    gone, caller = agent(proxy, "gone"), agent(proxy, "caller")
    register(gone)
    gone.close()
    until(lambda: bindings(caller) == [], 30, "the removal")
