"""A residential edge proxy: the script that `etc/siphon.cfg` runs.

Phones register here with a password and are called at the contacts they registered. The proxy stays on the path of each
call by Record-Route and routes what follows by the dialog's own route set; it keeps out of the media. Retransmissions,
CANCEL, ACK after a failure and Max-Forwards never reach this file: the transaction layer deals with them.
"""

from siphon import Request, auth, log, proxy, registrar

REALM = "example.com"
TRUSTED: list[str] = []  # networks of gateways and servers whose word on who is calling counts


@proxy.on_request
def route(request: Request) -> None:
    forget_claims(request)
    if request.in_dialog:
        follow_dialog(request)
    elif not proxy.sanity_check(request):
        return  # garbage gets no answer
    elif request.method == "OPTIONS" and request.ruri.is_local and not request.ruri.user:
        request.reply(200, "OK")  # "are you there?", asked of the proxy itself
    elif request.method == "REGISTER":
        if auth.require_digest(request, realm=REALM):  # otherwise a challenge is on its way
            registrar.save(request)
    else:
        call(request)


def forget_claims(request: Request) -> None:
    """Who a stranger says that it is must not reach those who would believe it (RFC 3325 §5)."""
    for name in ("P-Asserted-Identity", "Remote-Party-ID"):
        if request.has_header(name) and not request.source_ip_in(TRUSTED):
            request.remove_header(name)


def follow_dialog(request: Request) -> None:
    """ACK, BYE, re-INVITE and the like name their path in Route, which was signed when the dialog began."""
    if request.loose_route():
        request.relay()
    else:
        request.reply(404, "Not Here")


def call(request: Request) -> None:
    """A new INVITE, MESSAGE, SUBSCRIBE ...: ring every contact that the callee has registered."""
    if not request.ruri.user:
        request.reply(484, "Address Incomplete")
        return
    contacts = registrar.lookup(request.ruri)
    if not contacts:
        log.debug(f"{request.ruri} is not registered")
        request.reply(404, "Not Found")
        return
    request.record_route()
    request.fork(contacts)
