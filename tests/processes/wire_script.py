"""The script of the tests on the wire: a request says in headers of its own where it goes.

X-Targets   comma-separated URIs to fork to; without it the registrar is asked
X-Strategy  of fork(), "parallel" by default
X-Ring      timeout of each branch, seconds
X-Next      where on_failure goes on

A REGISTER is challenged where its user is in GUARDED. OPTIONS with X-Values n gets n new nonces and n new ICIDs.
"""

from siphon import auth, proxy, registrar

GUARDED = ("alice", "bob", "carol")


@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481)
    elif request.method == "REGISTER":
        if request.to_uri.user not in GUARDED or auth.require_digest(request):
            registrar.save(request)
    elif request.method == "OPTIONS" and not request.ruri.user:
        values = range(int(request.get_header("X-Values") or 0))
        if values:
            texts = [f"{auth.generate_nonce()} {request.generate_icid()}" for _ in values]
            request.set_reply_body(" ".join(texts), "text/plain")
        request.reply(200)
    else:
        forward(request)


def forward(request):
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
