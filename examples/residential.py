"""Kamailio's stock residential configuration as a routing script: the same decisions in the same order.

    ./dev run -c examples/residential.cfg          (in a checkout)
    siphond -c examples/residential.cfg            (installed)

docs/migrating-from-kamailio.md walks through both side by side. What kamailio.cfg switches on with `#!define` is here a
list or a dict that may be empty: trusted peers, speed dials, aliases, a gateway to the telephone network, voicemail.
"""

import os
import re
from ipaddress import ip_address, ip_network

from siphon import Reply, Request, SipUri, auth, log, proxy, registrar

TRUSTED: list[str] = os.environ.get("TRUSTED", "").split()  # networks that need no password (WITH_IPAUTH)
PSTN = os.environ.get("PSTN", "")  # host[:port] of the gateway (WITH_PSTN)
VOICEMAIL = os.environ.get("VOICEMAIL", "")  # host[:port] (WITH_VOICEMAIL)
SPEED_DIALS = {("alice", "10"): "sip:bob@example.com"}  # caller and two digits (WITH_SPEEDDIAL)
ALIASES = {"sales@example.com": "sip:bob@example.com"}  # (WITH_ALIASDB)

NUMBER = re.compile(r"(\+|00)[1-9][0-9]{3,20}")
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]


@proxy.on_request
def route(request: Request) -> None:
    if request.in_dialog:
        within_dialog(request)
        return
    if not proxy.sanity_check(request):
        log.info(f"malformed request from {request.source_ip}:{request.source_port}")
        return
    if request.method == "OPTIONS" and request.ruri.is_local and not request.ruri.user:
        request.reply(200, "Keepalive")
        return
    request.loose_route()  # a phone's preset Route that names us
    mend_contact(request)
    if not may_pass(request):
        return
    request.remove_header("Route")
    if request.method in ("INVITE", "SUBSCRIBE"):
        request.record_route()
    if request.method == "REGISTER":
        registrar.save(request)
    elif not request.ruri.is_local:
        request.set_header("P-Hint", "outbound")
        request.relay()
    elif request.method in ("PUBLISH", "SUBSCRIBE"):
        presence(request)
    elif not request.ruri.user:
        request.reply(484, "Address Incomplete")
    elif PSTN and NUMBER.fullmatch(request.ruri.user):
        to_telephone_network(request)
    else:
        to_phones(request)


def within_dialog(request: Request) -> None:
    """route[WITHINDLG]. ACK never comes here: the transaction layer forwards or absorbs it."""
    if request.loose_route():
        mend_contact(request)
        request.relay()
    else:
        request.reply(404, "Not here")


def mend_contact(request: Request) -> None:
    """route[NATDETECT]: where a phone names an address of its own network it is called at the one that is seen."""
    if request.method == "REGISTER":
        if is_private(request.get_header("Contact") or ""):
            request.fix_nated_register()
    elif is_private(request.get_header("Contact") or ""):
        request.fix_nated_contact()


def is_private(contact: str) -> bool:
    """Whether a Contact names a private address: `nat_uac_test("1")`. A Via that differs from the source, tests 2 and
    16, is dealt with below the script."""
    found = re.search(r"sips?:(?:[^@>]*@)?([\d.]+)", contact)
    return found is not None and any(_within(found[1], network) for network in PRIVATE)


def _within(ip: str, network: str) -> bool:
    try:
        return ip_address(ip) in ip_network(network)
    except ValueError:
        return False


def may_pass(request: Request) -> bool:
    """route[AUTH]: our users show their password, and nobody uses us to reach somebody else's domain."""
    if request.method != "REGISTER" and request.source_ip_in(TRUSTED):
        return True
    ours = request.from_uri is not None and request.from_uri.is_local
    if (ours or request.method == "REGISTER") and not auth.require_digest(request):
        return False
    if not ours and not request.ruri.is_local:
        request.reply(403, "Not relaying")
        return False
    return True


def presence(request: Request) -> None:
    """route[PRESENCE]: there is no presence server here; who waits for messages asks voicemail."""
    if request.method == "SUBSCRIBE" and request.event == "message-summary" and VOICEMAIL:
        request.relay(f"sip:{VOICEMAIL}")
    else:
        request.reply(404, "Not here")


def to_telephone_network(request: Request) -> None:
    """route[PSTN]: our users only."""
    if request.from_uri is None or not request.from_uri.is_local:
        request.reply(403, "Not Allowed")
        return
    number = re.sub("^00", "+", request.ruri.user or "")
    request.set_ruri(f"sip:{number}@{PSTN}")
    request.relay()


def to_phones(request: Request) -> None:
    """route[LOCATION]: speed dials and aliases first, then whoever has registered."""
    caller = request.from_uri.user if request.from_uri else None
    called = SPEED_DIALS.get((caller or "", request.ruri.user or ""))
    called = called or ALIASES.get(f"{request.ruri.user}@{request.ruri.host}")
    if called:
        request.set_ruri(called)
        if not SipUri(called).is_local:
            request.relay()
            return
    request.vars["called"] = request.ruri.user
    contacts = registrar.lookup(request.ruri)
    if contacts:
        request.fork(contacts)
    elif not to_voicemail(request):
        request.reply(404, "Not Found")


def to_voicemail(request: Request) -> bool:
    """route[TOVOICEMAIL]; False where there is none."""
    if not VOICEMAIL or request.method not in ("INVITE", "SUBSCRIBE"):
        return False
    request.set_ruri(f"sip:{request.vars['called']}@{VOICEMAIL}")
    request.relay()
    return True


@proxy.on_failure
def failed(request: Request, reply: Reply) -> None:
    """failure_route[MANAGE_FAILURE]: nobody is sent elsewhere or asked for a password by somebody's phone."""
    if reply.status_code // 100 == 3 or reply.status_code in (401, 407):
        request.reply(404, "Not found")
    elif reply.status_code in (408, 486) and request.vars.get("called") and to_voicemail(request):
        log.info(f"{request.vars['called']}: {reply.status_code}, to voicemail")
    else:
        reply.relay()
