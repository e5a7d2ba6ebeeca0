"""A load balancer: calls from anywhere are shared by a pool of servers, and one that dies loses no call in setup.

    siphond -c examples/proxy_gateway.cfg

The servers of the group "pool" (in proxy_gateway.cfg three on this machine, 127.0.0.11 to 127.0.0.13) are asked by
OPTIONS whether they are there. A call goes to one of them by the weights; where that one says 5xx, cannot be reached,
or has not answered after ANSWER_SECS, it goes on to another that it has not tried. Later requests of a call follow its
route to the server that has it. Calls that a server makes go where their Request-URI says.

`siphonctl -c examples/proxy_gateway.cfg gateways` shows the servers; `... gateways drain pool sip:127.0.0.11:5080`
gives one no new calls, so that it can be stopped when those it has have ended.
"""

from siphon import Destination, Reply, Request, gateway, log, proxy

POOL = "pool"
ANSWER_SECS = 4.0  # servers answer at once; a pool of something that rings needs the time that it may ring
NEXT = (408, 500, 502, 503, 504)


@proxy.on_request("INVITE | BYE | UPDATE | INFO | PRACK | REFER | OPTIONS | MESSAGE | SUBSCRIBE | NOTIFY")
def route(request: Request) -> None:
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481, "Call/Transaction Does Not Exist")
        return
    request.loose_route()  # takes off a preset Route that names us
    request.record_route()
    if request.from_gateway(POOL):
        request.relay()
        return
    request.vars["tried"] = []
    first = gateway.select(POOL)
    if first is None:
        unavailable(request)
    else:
        to(request, first)


@proxy.on_failure
def failed(request: Request, reply: Reply) -> None:
    """Another server, while there is one."""
    tried = request.vars.get("tried")
    if reply.status_code not in NEXT or tried is None:
        reply.relay()
        return
    left = [server for server in gateway.list(POOL) if server.healthy and server.uri not in tried]
    left.sort(key=lambda server: server.priority)
    if left:
        log.info(f"{request.call_id}: {tried[-1]} said {reply.status_code}, on to {left[0]}")
        to(request, left[0])
    else:
        unavailable(request)


def to(request: Request, server: Destination) -> None:
    request.vars["tried"] = [*request.vars["tried"], server.uri]
    request.relay(server, timeout=ANSWER_SECS)


def unavailable(request: Request) -> None:
    request.set_reply_header("Retry-After", "10")
    request.reply(503, "No Server")
