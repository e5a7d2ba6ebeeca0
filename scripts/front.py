"""A front node: phones know only its address, the work is done by the nodes behind it.

Each call belongs to one of the nodes, by a hash of its Call-ID, each user's REGISTER to one by his name; so a node that
is added or lost moves none but its own. A node that does not answer an OPTIONS twice, or says 503, is passed over until
it answers again. The nodes share what they know (docs/two-nodes.md), so that any of them can serve any request.

The front keeps no registrations. It stays on the path of each call by Record-Route, and of each registration by Path:
the nodes reach a phone through the front, which sends to where the phone's REGISTER came from.

SIPHON_NODES in the environment lists the nodes, `ip:port` with white space between.
"""

import asyncio
import os
from zlib import crc32

from siphon import Reply, Request, log, proxy, timer

NODES = os.environ.get("SIPHON_NODES", "127.0.0.3:5060 127.0.0.4:5060").split()
MISSED = 2  # so many probes without an answer, and a node gets no new calls

missed = dict.fromkeys(NODES, 0)  # of this worker; each probes for itself


@timer.every(1, per_worker=True)
async def probe() -> None:
    await asyncio.gather(*map(ask, NODES))


async def ask(node: str) -> None:
    try:
        reply = await proxy.send_request("OPTIONS", f"sip:{node}", wait_for_response=True, timeout_ms=800)
    except RuntimeError:  # nothing listens there
        reply = None
    good = reply is not None and reply.status_code != 503
    if good and missed[node] >= MISSED:
        log.info(f"{node} is back")
    missed[node] = 0 if good else missed[node] + 1
    if missed[node] == MISSED:
        log.warn(f"{node} does not serve")


def nodes_for(key: str) -> list[str]:
    """All nodes, the one that the key belongs to first (highest random weight); those that do not serve last."""
    return sorted(NODES, key=lambda node: (missed[node] >= MISSED, -crc32(f"{node} {key}".encode())))


@proxy.on_request
def route(request: Request) -> None:
    if not request.in_dialog and not proxy.sanity_check(request):
        return
    if request.loose_route():
        follow(request)
    elif request.in_dialog:
        request.reply(404, "Not Here")
    elif request.method == "OPTIONS" and not request.ruri.user:
        request.reply(200, "OK")
    else:
        give(request)


def follow(request: Request) -> None:
    """Our Record-Route or our Path, both signed: the way is in the message."""
    phone = request.consumed_route_user
    if not request.in_dialog:
        request.record_route()
    request.relay(phone.replace("_", ":") if phone else None)


def give(request: Request) -> None:
    """A request from a phone, for the nodes."""
    if request.method == "REGISTER" and request.flow:
        request.add_path(f"sip:{request.source_ip}_{request.source_port}@{request.flow.local_addr}")
        key = request.to_uri.user if request.to_uri else None
    else:
        request.record_route()
        key = request.call_id
    first, *others = nodes_for(key or "")
    request.vars["others"] = others
    request.relay(first)


@proxy.on_reply
def heard(request: Request, reply: Reply) -> None:
    if reply.source_ip:  # made by a node, not here because there was none
        request.vars["heard"] = True
    reply.relay()


@proxy.on_failure
def failed(request: Request, reply: Reply) -> None:
    """The next node, if this one refused all work or did not answer at all. A busy callee is no reason."""
    others = request.vars.get("others") or []
    if others and (reply.status_code == 503 or (reply.status_code == 408 and not request.vars.get("heard"))):
        request.vars["others"] = others[1:]
        request.relay(others[0])
    else:
        reply.relay()
