"""For each row of the table of conformance that was drawn: a small change that breaks its behaviour.

Used by tools/broken_rows.py. A change is plausible: what somebody might do by mistake, and it breaks what the row says.
"""

from __future__ import annotations

from mutation import Mutant

ENGINE, FORWARDING, TRANSACTION = "siphon/engine/", "siphon/forwarding/", "siphon/transaction/"
DIGEST, DNS, LOCATION = "siphon/services/digest/", "siphon/services/dns/", "siphon/services/location/"
SIP, WORKERS = "siphon/sip/", "workers/"

DIGESTS = {
    "AUTH-07": Mutant(
        "an MD5 answer without qop passes everywhere",
        DIGEST + "verifier.py",
        'credentials.value("qop") is None and self._allow_no_qop and algorithm is Algorithm.MD5',
        'credentials.value("qop") is None and algorithm is Algorithm.MD5',
    ),
    "AUTH-08": Mutant(
        "the same nonce count passes twice",
        DIGEST + "uses.py",
        "                wanted <= highest\n",
        "                wanted < highest\n",
    ),
    "AUTH-17": Mutant(
        "of a parameter given twice the first one counts",
        DIGEST + "credentials.py",
        "            faulty = True\n",
        "            pass\n",
    ),
    "SEC-09": Mutant(
        "for an unknown user no hash is computed",
        DIGEST + "verifier.py",
        "if not self._is_right(attempt, credentials, method, realm, secret):",
        "if secret is None or not self._is_right(attempt, credentials, method, realm, secret):",
    ),
}

TRANSACTIONS = {
    "CAN-03": Mutant(
        "a CANCEL leaves at once, before any provisional",
        ENGINE + "cancelling.py",
        "    if branch.provisional:\n        send_cancel(step, branch)",
        "    if True:\n        send_cancel(step, branch)",
    ),
    "CAN-06": Mutant(
        "a CANCEL that matches nothing gets 200",
        ENGINE + "ingest.py",
        "self.stateless(arrival, 481)",
        "self.stateless(arrival, 200)",
    ),
    "TXN-01": Mutant(
        "a repeated INVITE is absorbed while the call rings",
        TRANSACTION + "invite_server.py",
        "    P: {\n        Event.REQUEST: (P, resend),",
        "    P: {\n        Event.REQUEST: (P, ignore),",
    ),
    "TXN-11": Mutant(
        "Timer E doubles without end",
        TRANSACTION + "non_invite_client.py",
        "client.interval = min(2 * client.interval, step.timing.t2)",
        "client.interval = 2 * client.interval",
    ),
    "TXN-27": Mutant(
        "the copy of a request by another path is answered as well",
        "siphon/services/_merged.pyx",
        "return got == ID_BYTES and memcmp(self.rows.value, PyBytes_AS_STRING(transaction), ID_BYTES) != 0",
        "return False",
    ),
}

PROXY = {
    "PRX-07": Mutant(
        "a faulty ACK is answered",
        ENGINE + "ingest.py",
        'if message is None or message.method == "ACK" or not self.malformed',
        "if message is None or not self.malformed",
    ),
    "PRX-11": Mutant(
        "the loop value leaves out the Request-URI",
        FORWARDING + "branch.py",
        "head = (message.uri, message.call_id, ",
        "head = (message.call_id, ",
    ),
    "PRX-29": Mutant(
        "a copy without Content-Length stays without",
        FORWARDING + "copy.py",
        "    if message.content_length < 0:\n        head.append",
        "    if False:\n        head.append",
    ),
    "PRX-49": Mutant(
        "a 503 goes up as it is",
        FORWARDING + "aggregate.py",
        "if status == 503:\n        return SERVER_INTERNAL_ERROR",
        "if False:\n        return SERVER_INTERNAL_ERROR",
    ),
    "PRX-56": Mutant(
        "the proxy follows a 3xx itself",
        ENGINE + "responses.py",
        "    if status != 503 or not fail_over",
        "    if 300 <= status < 400:\n"
        "        from siphon.engine.plan import Plan, pack_plans\n"
        "        from siphon.sip.uri import NameAddr\n\n"
        '        contacts = [NameAddr.parse(value).uri for value in parse(data).values("Contact")]\n'
        "        step.record.targets = pack_plans([[Plan(uri.to_bytes())] for uri in contacts])\n"
        "    if status != 503 or not fail_over",
    ),
    "PRX-57": Mutant(
        "a failure goes up with a reason phrase of ours and without its Retry-After",
        FORWARDING + "aggregate.py",
        '    return status, ""\n',
        '    return status, "Failure"\n',
    ),
    "NAT-07": Mutant(
        "bytes behind Content-Length are forwarded",
        SIP + "_message_cy.py",
        "    if begin or begin + m.s.body_end < size:\n        raw = raw[begin : begin + m.s.body_end]",
        "    if begin:\n        raw = raw[begin:]",
    ),
    "SHARED-24": Mutant(
        "a dead worker is replaced after ten seconds",
        WORKERS + "children.py",
        "child.respawn_at = now + back_off(child.early_deaths)",
        "child.respawn_at = now + 10.0",
    ),
    "SHARED-26": Mutant(
        "new work is served while draining",
        ENGINE + "ingest.py",
        "if self.overloaded() or (self.refusing() and not message.to_tag):",
        "if self.overloaded():",
    ),
}

NAMES_AND_PLACES = {
    "DNS-08": Mutant(
        "a name that does not resolve is 404",
        ENGINE + "attempts.py",
        "return addresses[:MAX_ADDRESSES] or UNREACHABLE",
        'return addresses[:MAX_ADDRESSES] or LocalFailure(404, "Not Found")',
    ),
    "DNS-10": Mutant(
        "every SRV record of an answer is followed",
        DNS + "lookup.py",
        "by_priority(srvs, self._draw)[:SERVERS] if",
        "by_priority(srvs, self._draw) if",
    ),
    "REG-01": Mutant(
        "a REGISTER for a foreign domain is stored",
        LOCATION + "register.py",
        "    if not facts.aor_is_ours:",
        "    if False:",
    ),
    "REG-12": Mutant(
        "Contacts are compared as text",
        LOCATION + "register.py",
        "    return same_uri(known, uri)\n",
        "    return str(known).lower() == str(uri).lower()\n",
    ),
    "REG-17": Mutant(
        "q goes up to 1.999",
        LOCATION + "register.py",
        r"|1(?:\.0{0,3})?",
        r"|1(?:\.[0-9]{0,3})?",
    ),
    "URI-09": Mutant(
        "IPv6 addresses are compared as text",
        SIP + "hosts.py",
        "    return str(address)\n",
        "    return host.lower()\n",
    ),
    "V6-ambig": Mutant(
        "the last digits of an IPv6 address are its port",
        FORWARDING + "next_hop.py",
        "    ip = numeric_host(host)\n    if ip is None:",
        '    front, _, last = host.strip("[]").rpartition(":")\n'
        '    if host.startswith("[") and not port and last.isdigit():\n'
        "        host, port = front, int(last)\n"
        "    ip = numeric_host(host)\n    if ip is None:",
    ),
    "V6-colons3": Mutant(
        "three colons in received stay three",
        SIP + "_message_cy.py",
        'return value.replace(b":::", b"::")',
        "return value",
    ),
    "V6-good": Mutant(
        "an IPv6 reference counts as a name",
        FORWARDING + "next_hop.py",
        'ip_address(host[1:-1] if host.startswith("[") else host)',
        "ip_address(host)",
    ),
}

PARSER = {
    "PARSE-10": Mutant(
        "a lone CR in a header passes",
        SIP + "_scan_cy.py",
        "        if stray != at - 1:",
        "        if stray == cython.NULL:",
    ),
    "PARSE-12": Mutant(
        "a parameter may stand twice in a Via",
        SIP + "_grammar_cy.py",
        "        if i < 0 or not first_time(cython.address(seen), p, param.start, param.name_end):\n",
        "        if i < 0:\n",
    ),
    "PARSE-13": Mutant(
        "of several Content-Lengths the last one counts",
        SIP + "_scan_cy.py",
        "if not verdict or (s.i_content_length >= 0 and s.content_length != cython.cast(cython.int, value)):",
        "if not verdict:",
    ),
    "TOR-badinv01": Mutant(
        "a Via is good enough when its sent-by can be read",
        SIP + "_scan_cy.py",
        '        if i < 0:\n            fail(s, 400, b"Bad Via")\n',
        '        if i < 0:\n            if not s.via.usable:\n                fail(s, 400, b"Bad Via")\n',
    ),
    "TOR-badvers": Mutant(
        "another version of SIP is a syntax error",
        SIP + "_scan_cy.py",
        "return 505 if i == end and i > dot + 1 else 400",
        "return 400",
    ),
    "TOR-bigcode": Mutant(
        "digits behind the third of a status code are not looked at",
        SIP + "_scan_cy.py",
        '    i += 3\n    if i < end and p[i] != b" ":',
        '    i += 3\n    while i < end and 48 <= p[i] <= 57:\n        i += 1\n    if i < end and p[i] != b" ":',
    ),
    "TOR-clerr": Mutant(
        "a Content-Length beyond the datagram means the rest of it",
        SIP + "_scan_cy.py",
        '        fail(s, 400, b"Content-Length Too Large")\n',
        "        s.content_length = size - s.body_start\n",
    ),
    "TOR-longreq": Mutant(
        "at most 32 Vias",
        "siphon/config/settings.py",
        "vias: Whole = Field(70,",
        "vias: Whole = Field(32,",
    ),
    "TOR-lwsruri": Mutant(
        "a space may stand in a Request-URI",
        SIP + "_grammar_cy.py",
        """_fill(bytes(c for c in _VISIBLE if c not in b'"<>@'), OPAQUE)""",
        """_fill(b" " + bytes(c for c in _VISIBLE if c not in b'"<>@'), OPAQUE)""",
    ),
    "TOR-mpart01": Mutant(
        "NUL is refused in bodies as well",
        SIP + "_scan_cy.py",
        "memchr(p + i, 0, s.body_start - i)",
        "memchr(p + i, 0, s.body_end - i)",
    ),
    "TOR-novelsc": Mutant(
        "any scheme passes the check",
        FORWARDING + "validate.py",
        'return uri.partition(b":")[0].lower() in SCHEMES',
        'return b":" in uri',
    ),
    "TOR-unreason": Mutant(
        "a response whose head is not ASCII is dropped",
        SIP + "_scan_cy.py",
        "    if s.is_request and not utf8(p, s.uri_start, s.uri_end):\n",
        '    if not s.is_request:\n        fail(s, 400, b"Bad UTF-8")\n'
        "    if s.is_request and not utf8(p, s.uri_start, s.uri_end):\n",
    ),
    "TOR-zeromf": Mutant(
        "OPTIONS is served when no hop is left",
        FORWARDING + "validate.py",
        "    if message.max_forwards == 0:",
        '    if message.max_forwards == 0 and message.method != "OPTIONS":',
    ),
}

MUTANTS: dict[str, Mutant] = {**DIGESTS, **TRANSACTIONS, **PROXY, **NAMES_AND_PLACES, **PARSER}
