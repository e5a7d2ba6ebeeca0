"""Between a telephone system and its carriers: calls to numbers leave by the first trunk that takes them.

    siphond -c examples/pstn_breakout.cfg

Two groups: "pbx", our own system, and "carriers", trunks in the order of their priority. Who a request comes from is
told by its address. A call from the pbx goes to a trunk; where that one says 5xx or nothing at all, the next one is
tried, then those of the next priority, before the caller hears of it. What the called party says - busy, no such
number - goes back as it is. A call from a carrier goes to the pbx. Anybody else gets 403.
"""

import re

from siphon import Destination, Reply, Request, SipUri, gateway, log, proxy

NUMBER = re.compile(r"\+?[0-9]{3,15}")
COUNTRY, INTERNATIONAL, TRUNK = "49", "00", "0"  # how the pbx dials: 00 before a country, 0 before an area


@proxy.on_request("INVITE | BYE | UPDATE | INFO | PRACK | REFER | OPTIONS | MESSAGE")
def route(request: Request) -> None:
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481, "Call/Transaction Does Not Exist")
        return
    request.loose_route()
    if request.method == "OPTIONS":
        request.reply(200)  # both sides may ask whether we are there
    elif request.from_gateway("pbx"):
        out(request)
    elif request.from_gateway("carriers"):
        inwards(request)
    else:
        log.info(f"{request.source_ip}: neither pbx nor carrier")
        request.reply(403, "Forbidden")


def out(request: Request) -> None:
    number = request.ruri.user or ""
    if not NUMBER.fullmatch(number):
        request.reply(404, "Not A Number")
        return
    request.ruri.user = e164(number)
    request.vars["tried"] = []
    request.record_route()
    first = gateway.select("carriers")
    if first is None:
        request.reply(503, "No Trunk")
    else:
        by_trunk(request, first)


def e164(number: str) -> str:
    """The number with its country, as carriers want it."""
    if number.startswith("+"):
        return number
    if number.startswith(INTERNATIONAL):
        return "+" + number[len(INTERNATIONAL) :]
    return f"+{COUNTRY}{number.removeprefix(TRUNK)}"


def by_trunk(request: Request, trunk: Destination) -> None:
    """The Request-URI names the carrier; to it, the number is its own."""
    request.vars["tried"] = [*request.vars["tried"], trunk.uri]
    there = SipUri(trunk.uri)
    request.ruri.host, request.ruri.port = there.host, there.port
    request.relay(trunk, on_failure=next_trunk)


def next_trunk(request: Request, code: int, reason: str) -> None:
    """Nothing armed: the failure goes to the global handler, and up."""
    if code != 408 and not 500 <= code < 600:
        return
    tried = request.vars["tried"]
    left = [trunk for trunk in gateway.list("carriers") if trunk.healthy and trunk.uri not in tried]
    if left:
        trunk = min(left, key=lambda trunk: trunk.priority)
        log.warn(f"{request.call_id}: {tried[-1]} said {code} {reason}, on to {trunk}")
        by_trunk(request, trunk)


@proxy.on_failure
def failed(request: Request, reply: Reply) -> None:
    reply.relay()


def inwards(request: Request) -> None:
    request.record_route()
    pbx = gateway.select("pbx")
    if pbx is None:
        request.reply(480, "Temporarily Unavailable")
    else:
        request.relay(pbx)
