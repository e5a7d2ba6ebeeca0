"""Mutants of rows of authentication, DNS, NAT, forks, URIs and the registrar that no other list has.

Each breaks a clause of its row that its tests were suspected not to reach.
"""

from __future__ import annotations

from mutation import Mutant

DIGEST, DNS, LOCATION = "siphon/services/digest/", "siphon/services/dns/", "siphon/services/location/"
FORWARDING, SCRIPT = "siphon/forwarding/", "siphon/script/"

SERVICES = {
    "AUTH-01": Mutant(
        "a proxy challenge armed because another node has seen the nonce count is a 401",
        SCRIPT + "auth.py",
        "target._confirms.append((confirmed, Answer(status, reason,",
        "target._confirms.append((confirmed, Answer(401, reason,",
    ),
    "AUTH-02": Mutant(
        "the ACK of a call needs a nonce that is still fresh",
        DIGEST + "verifier.py",
        'if method in ("ACK", "CANCEL"):\n            return True',
        'if method == "CANCEL":\n            return True',
    ),
    "AUTH-03": Mutant(
        "the algorithm is quoted",
        DIGEST + "verifier.py",
        "algorithm={algorithm.value}, ",
        'algorithm="{algorithm.value}", ',
    ),
    "AUTH-04": Mutant(
        "two algorithms are offered where none was configured",
        "siphon/config/settings.py",
        'default_factory=lambda: ["MD5"]',
        'default_factory=lambda: ["SHA-256", "MD5"]',
    ),
    "AUTH-05": Mutant(
        "SHA-512-256 is SHA-512, cut",
        DIGEST + "hashes.py",
        "hashlib.new(name, data, usedforsecurity=False).hexdigest().encode()",
        "hashlib.sha512(data).hexdigest()[:64].encode()",
    ),
    "AUTH-06": Mutant(
        "-sess is taken for the algorithm itself",
        DIGEST + "verifier.py",
        '.decode("latin-1").lower())',
        '.decode("latin-1").lower().removesuffix("-sess"))',
    ),
    "AUTH-09": Mutant(
        "stale is quoted",
        DIGEST + "verifier.py",
        'tail = ", stale=true"',
        "tail = ', stale=\"true\"'",
    ),
    "AUTH-10": Mutant(
        "the second half of a nonce's proof is not looked at",
        DIGEST + "nonce.py",
        '"sha256").hex().encode(), proof)',
        '"sha256").hex().encode()[:32], proof[:32])',
    ),
    "AUTH-11": Mutant(
        "IPv6 hosts of the digest URI are compared as text",
        DIGEST + "targets.py",
        "canonical_host(uri.host)",
        "uri.host.lower()",
    ),
    "AUTH-12": Mutant(
        "credentials of an INVITE are good for its BYE",
        DIGEST + "verifier.py",
        'if method == "ACK" else (method,)',
        'if method in ("ACK", "BYE") else (method,)',
    ),
    "AUTH-13": Mutant(
        "credentials for other realms are removed as well",
        SCRIPT + "auth.py",
        "ours = {lines[index] for index in indexes}",
        "ours = set(lines)",
    ),
    "AUTH-14": Mutant(
        "Basic credentials are read as if they were Digest",
        DIGEST + "credentials.py",
        'scheme.group(1).lower() != b"digest"',
        'scheme.group(1).lower() not in (b"digest", b"basic")',
    ),
    "AUTH-15": Mutant(
        "username* with a language is not understood",
        DIGEST + "credentials.py",
        '_, quote, text = extended[6:].partition(b"\'")',
        "quote, text = extended[6:7], extended[7:]",
    ),
    "DNS-01": Mutant(
        "a named port that is 5060 counts as none",
        DNS + "lookup.py",
        "servers = None if hop.port else",
        "servers = None if hop.port not in (0, 5060) else",
    ),
    "DNS-02": Mutant(
        "NAPTR records are sorted by preference before order",
        DNS + "order.py",
        "key=lambda r: (r.order, r.preference)",
        "key=lambda r: (r.preference, r.order)",
    ),
    "DNS-03": Mutant(
        "where SRV says that there is no service the host itself is asked",
        DNS + "lookup.py",
        "        if not srvs:\n            return None",
        "        if not any(srv.target for srv in srvs):\n            return None",
    ),
    "DNS-06": Mutant(
        "an address rests on all its ports",
        DNS + "rests.py",
        'b"%b %d" % (address[0].encode(), address[1])',
        "address[0].encode()",
    ),
    "DNS-07": Mutant(
        "an answer holds as long as the first of its records, not the shortest",
        DNS + "lookup.py",
        "ttl = min(self._ttls)",
        "ttl = self._ttls[0]",
    ),
    "REG-02": Mutant(
        "of several unknown options one is named",
        LOCATION + "register.py",
        '(("Unsupported", ", ".join(unsupported)),)',
        '(("Unsupported", unsupported[0]),)',
    ),
    "REG-05": Mutant(
        "the case of the user does not count",
        LOCATION + "aor.py",
        "    try:\n        return address_of_record(uri)\n",
        "    try:\n        return address_of_record(uri).lower()\n",
    ),
    "REG-08": Mutant(
        "`*` without Expires removes all",
        LOCATION + "register.py",
        "seconds(facts.expires) != 0",
        "seconds(facts.expires) not in (0, None)",
    ),
    "REG-09": Mutant(
        "expires=0 gives way to the Expires header",
        LOCATION + "register.py",
        'if "expires" in known else seconds(expires)',
        'if known.get("expires") not in (None, "0") else seconds(expires)',
    ),
    "REG-10": Mutant(
        "the minimum itself is too brief",
        LOCATION + "register.py",
        "0 < asked < settings.min_expires",
        "0 < asked <= settings.min_expires",
    ),
    "REG-11": Mutant(
        "a malformed lifetime counts as the configured default",
        LOCATION + "register.py",
        "        return MALFORMED_EXPIRES\n",
        "        return None\n",
    ),
    "REG-14": Mutant(
        "a REGISTER that has written its bindings is out of order when it comes again",
        LOCATION + "register.py",
        "return bool(transaction) and binding.transaction == transaction",
        "return False",
    ),
    "REG-15": Mutant(
        "of several contacts those are stored that are not too brief",
        LOCATION + "register.py",
        "if any(contact.too_brief for contact in wanted):",
        "if wanted and all(contact.too_brief for contact in wanted):",
    ),
    "REG-16": Mutant(
        "Date has a numeric zone",
        LOCATION + "register.py",
        "formatdate(second, usegmt=True)",
        "formatdate(second)",
    ),
    "REG-18": Mutant(
        "of several bindings one is used in the second of its end",
        LOCATION + "binding.py",
        "live = [b for b in bindings if b.expiry > wall]",
        "live = [b for b in bindings if b.expiry >= wall]",
    ),
    "REG-25": Mutant(
        "contacts that are removed count towards the limit",
        LOCATION + "register.py",
        "if sum(contact.lifetime > 0 for contact in wanted) > settings.max_contacts:",
        "if len(wanted) > settings.max_contacts:",
    ),
    "REG-26": Mutant(
        "an instance has one binding whatever its reg-id",
        LOCATION + "register.py",
        "(binding.instance, binding.reg_id) == (contact.instance, contact.reg_id):\n            same",
        "binding.instance == contact.instance:\n            same",
    ),
    "URI-08": Mutant(
        "a Route of sips is 503",
        FORWARDING + "next_hop.py",
        'uri.scheme in ("sips", "tel")',
        'uri.scheme == "tel"',
    ),
    "DNS-04": Mutant(
        "an ICMP error behind a provisional moves on to the next address",
        "siphon/engine/responses.py",
        "if branch.provisional or not fail_over(step, env, branch, 503):",
        "if not fail_over(step, env, branch, 503):",
    ),
    "FORK-01": Mutant(
        "values of q that differ in the second decimal are one group",
        FORWARDING + "targets.py",
        "groupby(ranked, key=lambda target: target.q)",
        "groupby(ranked, key=lambda target: int(target.q * 10))",
    ),
    "FORK-02": Mutant(
        "a 200 that crosses the end of its time leaves the newer branch ringing",
        "siphon/engine/responses.py",
        "    cancel_branches(step, CancelCause.ANSWERED, ANSWERED_ELSEWHERE, but=branch)\n    forget",
        "    if branch.cancel_by != CancelCause.RING:\n"
        "        cancel_branches(step, CancelCause.ANSWERED, ANSWERED_ELSEWHERE, but=branch)\n    forget",
    ),
    "FORK-03": Mutant(
        "a 183 of a second branch does not go up",
        "siphon/engine/responses.py",
        "if status == 100 or r.cancelled or r.final_status:",
        "again = status == 183 and sum(b.last_status == 183 for b in r.branches) > 1\n"
        "    if status == 100 or r.cancelled or r.final_status or again:",
    ),
    "NAT-05": Mutant(
        "a response to maddr goes to 5060 whatever the sent-by port",
        "siphon/engine/requests.py",
        'via.maddr.decode("latin-1").strip("[]"), via.port or 5060',
        'via.maddr.decode("latin-1").strip("[]"), 5060',
    ),
    "NAT-06": Mutant(
        "Record-Route names the socket that sends on both sides",
        "siphon/engine/attempts.py",
        "record_routes(_arrived_at(env, r) or place.sent_by,",
        "record_routes(place.sent_by,",
    ),
    "NAT-09": Mutant(
        "a copy may be as long as IPv6 would carry",
        "siphon/engine/attempts.py",
        "LARGEST_DATAGRAM = 65507",
        "LARGEST_DATAGRAM = 65527",
    ),
    "NAT-12": Mutant(
        "who is not behind NAT is called from any listener",
        "siphon/engine/plan.py",
        "    plan.listener = NO_LISTENER if spec.listener is None else spec.listener\n"
        '    plan.local_addr = spec.local_addr or ""\n',
        "    if spec.via_source:\n"
        "        plan.listener = NO_LISTENER if spec.listener is None else spec.listener\n"
        '        plan.local_addr = spec.local_addr or ""\n',
    ),
    "NAT-13": Mutant(
        "an ICMP error fails every branch of the call",
        "siphon/engine/responses.py",
        "        fail_branch(step, env, branch, 503)\n    settle(step, env)\n    return step\n",
        "        for branch in r.branches:\n            fail_branch(step, env, branch, 503)\n"
        "    settle(step, env)\n    return step\n",
    ),
    "NAT-14": Mutant(
        "of other transports only TCP and TLS are answered at the source",
        "siphon/engine/requests.py",
        'via.transport != "UDP"',
        'via.transport in ("TCP", "TLS")',
    ),
    "PARSE-02": Mutant(
        "the From tag of a response is compared with its case",
        "siphon/engine/responses.py",
        '(response.from_tag or b"").lower() != record.from_tag.lower()',
        '(response.from_tag or b"") != record.from_tag',
    ),
    "PARSE-14": Mutant(
        "the response to a request with the most Vias is too long",
        "siphon/engine/ingest.py",
        "vias=limits.vias + 1",
        "vias=limits.vias",
    ),
    "REG-20": Mutant(
        "a sips Contact behind NAT is called at its source",
        "siphon/engine/attempts.py",
        'if outgoing.uri[:5].lower() == b"sips:":',
        'if plan.place is None and outgoing.uri[:5].lower() == b"sips:":',
    ),
    "REG-22": Mutant(
        "Path is stored only for who supports it",
        LOCATION + "register.py",
        "path=facts.path,",
        "path=facts.path if facts.wants_path else (),",
    ),
    "URI-10": Mutant(
        "a host with a final dot is another host",
        "siphon/sip/hosts.py",
        'host.lower().removesuffix(".")',
        "host.lower()",
    ),
    "V6-mapped": Mutant(
        "an IPv4-mapped host stays an IPv6 address when it is compared",
        "siphon/sip/hosts.py",
        "if address.ipv4_mapped is not None:",
        "if address.ipv4_mapped is not None and address.is_loopback:",
    ),
    "NAT-04": Mutant(
        "without rport and a sent-by port the answer goes to the source port",
        "siphon/engine/requests.py",
        "return source[0], via.port or 5060",
        "return source[0], via.port or source[1]",
    ),
    "V6-unambig": Mutant(
        "an address in brackets is called at the default port",
        FORWARDING + "next_hop.py",
        "(ip, port or 5060))",
        '(ip, 5060 if ":" in ip else port or 5060))',
    ),
}
