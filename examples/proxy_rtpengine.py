"""A proxy whose calls' media passes through RTPEngine: for phones behind NAT, or to hide where phones are.

    siphond -c examples/proxy_rtpengine.cfg

with an RTPEngine beside it, for example Debian's:

    rtpengine --foreground --log-stderr --table=-1 --interface=127.0.0.1 --listen-ng=127.0.0.1:2223 \\
        --dtmf-log-dest=127.0.0.1:2224 --b2b-url=http://127.0.0.1:2224/ --xmlrpc-format=2

Phones register as in scripts/proxy_default.py and call each other by name. Every description of an INVITE, of its
responses, of re-INVITEs and of UPDATE goes through the relay, each fork of a call by the same one; what ends the call,
BYE, CANCEL or a failure, ends its media. When no relay answers, a call is refused with 503.
"""

from siphon import auth, log, proxy, registrar, rtpengine


@proxy.on_request
async def route(request):
    if request.method == "OPTIONS" and not request.in_dialog and not request.ruri.user:
        request.reply(200, "OK")
    elif request.in_dialog:
        await in_dialog(request)
    elif request.method == "REGISTER":
        if auth.require_www_digest(request):
            registrar.save(request)
    else:
        await outside_dialog(request)


async def in_dialog(request):
    if not request.loose_route():
        request.reply(404, "Not Here")
        return
    if request.method == "BYE":
        await rtpengine.delete(request)
    elif not await offered(request):
        return
    request.relay()


async def outside_dialog(request):
    contacts = registrar.lookup(request.ruri)
    if not contacts:
        request.reply(404, "Not Found")
        return
    if not await offered(request):
        return
    request.record_route()
    request.fork(contacts)


def offers(request):
    return request.method in ("INVITE", "UPDATE") and request.has_body("application/sdp")


async def offered(request):
    """True when the request may go on: it offers nothing, or a relay has its offer."""
    if not offers(request):
        return True
    try:
        return await rtpengine.offer(request)
    except RuntimeError as error:
        log.warn(f"no media relay: {error}")
        request.reply(503, "No Media Relay")
        return False


@proxy.on_reply
async def answered(request, reply):
    if offers(request) and reply.status_code < 300 and reply.has_body("application/sdp"):
        await rtpengine.answer(reply)
    reply.relay()


@proxy.on_failure
async def failed(request, reply):
    if request.method == "INVITE" and not request.in_dialog:
        await rtpengine.delete(request)
    reply.relay()


@proxy.on_cancel
async def cancelled(request):
    await rtpengine.delete(request)


@rtpengine.on_dtmf
def digit(call_id, from_tag, digit, duration_ms, volume):
    log.info(f"{call_id} {from_tag}: digit {digit}, {duration_ms} ms")


@rtpengine.on_media_timeout
def no_media(call_id, from_tag):
    log.warn(f"{call_id}: the relay has closed it, no media came")
