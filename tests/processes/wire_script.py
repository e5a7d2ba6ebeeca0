"""The script of the tests on the wire: a request says in headers of its own where it goes.

X-Targets   comma-separated URIs to fork to; without it the registrar is asked
X-Strategy  of fork(), "parallel" by default
X-Ring      timeout of each branch, seconds
X-Next      where on_failure goes on
X-Block     seconds for which the handler blocks its worker
X-Await     seconds for which an async handler waits (loaded by `waiting_script` only)
"""

import time

from siphon import auth, proxy, registrar


@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481)
    elif request.method == "REGISTER":
        if request.to_uri.user != "guarded" or auth.require_digest(request):
            registrar.save(request)
    elif not request.ruri.user:
        request.reply(200 if request.method == "OPTIONS" else 404)
    else:
        forward(request)


def forward(request):
    time.sleep(float(request.get_header("X-Block") or 0))
    listed = request.get_header("X-Targets")
    targets = listed.split(",") if listed else registrar.lookup(request.ruri)
    if not targets:
        request.reply(404)
        return
    ring = request.get_header("X-Ring")
    request.record_route()
    request.fork(
        targets,
        strategy=request.get_header("X-Strategy") or "parallel",
        timeout=float(ring) if ring else None,
        on_failure=go_on,
    )


def go_on(request, code, reason):
    following = request.get_header("X-Next")
    if following:
        request.remove_header("X-Next")
        request.relay(following)
