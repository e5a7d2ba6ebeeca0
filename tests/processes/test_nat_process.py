"""Which socket answers and forwards, on a real machine (RFC 3581 §4, RFC 3261 §18.1.1)."""

import re

import pytest

BY_URI = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "OPTIONS":
        request.reply(200, "OK")
    else:
        request.record_route()
        request.relay()
"""


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_nat_03_nat_06_answers_and_copies_leave_from_the_address_that_was_asked_and_is_named(siphond, agent, listen):
    proxy = siphond(script=BY_URI, workers=2)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace(f'"127.0.0.1:{proxy.port}"', f'"{listen}:{proxy.port}"'))
    proxy.start()
    ask = ("127.0.0.2" if listen == "0.0.0.0" else "127.0.0.1", proxy.port)
    alice, bob = agent(ask, "alice"), agent(ask, "bob")
    behind = alice.bound()
    request = alice.request("OPTIONS", "sip:example.com").replace(b";branch", b";rport;branch")
    alice.send(request, via=behind)
    behind.settimeout(20)
    data, source = behind.recvfrom(65535)
    assert data.startswith(b"SIP/2.0 200") and source == ask
    assert f";rport={behind.getsockname()[1]}".encode() in data and b";received=127.0.0.1" in data
    alice.send(alice.request("INVITE", f"sip:bob@{bob.host}"))
    copy = bob.expect("INVITE")
    via, route = copy.all("via")[0], copy.all("record-route")
    assert "0.0.0.0" not in copy.raw.decode() and ";rport" in via
    sent_by = re.search(r"UDP ([0-9.]+):([0-9]+)", via)
    assert sent_by is not None and (sent_by[1], int(sent_by[2])) == copy.source
    assert any(f"{copy.source[0]}:{copy.source[1]}" in value for value in route)
    bob.respond(copy, 486)
    alice.acknowledge(alice.sent[-1], alice.expect("486 INVITE"))
