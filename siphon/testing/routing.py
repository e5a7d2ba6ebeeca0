"""The routing script of the simulator. What it does with a request stands in the request: `X-Plan: key=value ...`

    targets=URI,URI strategy=parallel|sequential|q timeout=SECS     fork
    wait=SECS           the handler awaits before it decides
    ask=URI ask_secs=SECS   it sends an OPTIONS of its own there first, and waits for the answer if it awaits at all
    answer=STATUS       it answers itself; drop=1 it does nothing; half=1 it sends 183 and then nothing
    follow=1            relay by the request's own Route instead of a fork
    reliable=1          it sends a reliable 183 and then nothing; tagged=1 with a To tag of its own
    challenge=1         it asks for credentials, statelessly; early=1 it sends 183 before it forks
    reply_wait=SECS     on_reply awaits; edit=1 it edits; mute=STATUS it drops that response; reject=STATUS on a 183
    retarget=URI        on_failure tries that; failed=STATUS it answers; failure_wait=SECS it awaits before

Which handlers exist, and whether they are `async def`, is a variant of the text.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from itertools import count
from pathlib import Path

HEAD = """
import asyncio
from siphon import auth, proxy, registrar
from siphon.testing.routing import serial

def plan(request):
    return dict(pair.split("=", 1) for pair in (request.get_header("X-Plan") or "").split())

@proxy.on_request
async def route(request):
    p = plan(request)
    if "wait" in p:
        await asyncio.sleep(float(p["wait"]))
    if request.method == "REGISTER":
        registrar.save(request)
        return
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481, "Call/Transaction Does Not Exist")
        return
    if "ask" in p:
        await ask(request, p["ask"], 1000 * float(p["ask_secs"]))
    if "drop" in p:
        return
    if "half" in p:
        request.reply(183, "Half")
        return
    if "tagged" in p:
        request.set_reply_to_tag("chosen")
    if "reliable" in p:
        request.reply(183, "Reliable", reliable=True)
        return
    if "answer" in p:
        request.set_reply_header("X-Here", "yes")
        request.reply(int(p["answer"]), "Answered Here")
        return
    if "challenge" in p:
        auth.require_proxy_digest(request)
        return
    if "early" in p:
        request.reply(183, "Early")
    request.vars["n"] = 1
    if request.method == "INVITE":
        request.record_route()
    if "follow" in p:
        request.relay(on_failure=failed if "own" in p else None)
        return
    request.fork(
        p["targets"].split(","),
        strategy=p.get("strategy", "parallel"),
        timeout=float(p["timeout"]) if "timeout" in p else None,
        on_failure=failed if "own" in p else None,
    )

async def ask(request, uri, timeout_ms):
    headers = {"Call-ID": f"ask-{request.call_id}-{serial()}", "From": "<sip:proxy@example.com>;tag=ask"}
    try:
        await proxy.send_request("OPTIONS", uri, headers, wait_for_response=True, timeout_ms=timeout_ms)
    except RuntimeError:
        pass

@registrar.on_change
def changed(aor, event, contacts):
    pass

async def failed(request, code, reason):
    await act(request)

async def act(request):
    p = plan(request)
    if "failure_wait" in p:
        await asyncio.sleep(float(p["failure_wait"]))
    if "retarget" in p and request.vars.get("n") == 1:
        request.vars["n"] = 2
        request.relay(p["retarget"])
    elif "failed" in p:
        request.reply(int(p["failed"]), "Failed Here")
"""
ON_REPLY = """
@proxy.on_reply
async def back(request, reply):
    p = plan(request)
    if "reply_wait" in p:
        await asyncio.sleep(float(p["reply_wait"]))
    if "edit" in p:
        reply.set_header("X-Seen", str(request.vars.get("n")))
    if "reject" in p and reply.status_code == 183:
        reply.reject(int(p["reject"]))
    elif str(reply.status_code) != p.get("mute"):
        reply.relay()
"""
ON_FAILURE = """
@proxy.on_failure
async def every_failure(request, reply):
    if "own" not in plan(request):
        await act(request)
"""
ON_CANCEL = """
@proxy.on_cancel
async def cancelled(request):
    request.vars["gone"] = 1
"""

_serials = count()
_directory = tempfile.TemporaryDirectory(prefix="siphon-sim-")


def begin() -> None:
    """A run begins: it depends on nothing but its seed."""
    global _serials
    _serials = count()


def serial() -> int:
    """A number that no other request of this run has."""
    return next(_serials)


@lru_cache
def script(on_reply: bool, on_failure: bool, on_cancel: bool, waits: bool) -> Path:
    """The path of a variant; without `waits` all handlers are `def` and await nothing."""
    text = HEAD + ON_REPLY * on_reply + ON_FAILURE * on_failure + ON_CANCEL * on_cancel
    if not waits:
        text = text.replace("async def", "def").replace("await asyncio.sleep", "float").replace("await ", "")
    path = Path(_directory.name) / f"routing{on_reply:d}{on_failure:d}{on_cancel:d}{waits:d}.py"
    path.write_text(text)
    return path
