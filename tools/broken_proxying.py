"""Mutants of rows about the proxy's own work, its transactions and its defence; run by their ids, as those of
tools/broken_more.py.

Where a row has several clauses, not the first one is broken but one that its tests are likeliest to leave out.
"""

from __future__ import annotations

from mutation import Mutant

ENGINE, FORWARDING, TRANSACTION = "siphon/engine/", "siphon/forwarding/", "siphon/transaction/"
DIGEST = "siphon/services/digest/"

REQUESTS = {
    "PRX-01": Mutant(
        "a request without hops that has looped is 482",
        FORWARDING + "validate.py",
        "    if message.max_forwards == 0:\n"
        "        return TOO_MANY_HOPS\n"
        "    if looped() if callable(looped) else looped:\n"
        "        return LOOP_DETECTED\n",
        "    if looped() if callable(looped) else looped:\n"
        "        return LOOP_DETECTED\n"
        "    if message.max_forwards == 0:\n"
        "        return TOO_MANY_HOPS\n",
    ),
    "PRX-02": Mutant(
        "a method that is not known is refused when it has a To tag",
        FORWARDING + "validate.py",
        "    if message.max_forwards == 0:",
        '    if message.to_tag and message.method not in ("INVITE", "ACK", "BYE", "MESSAGE", "OPTIONS"):\n'
        '        return Refusal(501, "Not Implemented")\n'
        "    if message.max_forwards == 0:",
    ),
    "PRX-04": Mutant(
        "in a dialog a request without hops goes on",
        FORWARDING + "validate.py",
        "if message.max_forwards == 0:",
        "if message.max_forwards == 0 and not message.to_tag:",
    ),
    "PRX-05": Mutant(
        "an ACK keeps its Max-Forwards",
        FORWARDING + "copy.py",
        "lowered(message.max_forwards), head",
        'lowered(message.max_forwards) + (message.method == "ACK"), head',
    ),
    "PRX-06": Mutant(
        "Max-Forwards 255 counts as absent",
        FORWARDING + "copy.py",
        "0 <= max_forwards <= _LARGEST",
        "0 <= max_forwards < _LARGEST",
    ),
    "PRX-08": Mutant(
        "an option that is required twice is named twice",
        FORWARDING + "validate.py",
        "list(dict.fromkeys(tag for tag in tags if tag and tag.lower() not in passed))",
        "[tag for tag in tags if tag and tag.lower() not in passed]",
    ),
    "PRX-09": Mutant(
        "a CANCEL with Proxy-Require gets 420",
        ENGINE + "ingest.py",
        '        elif message.method == "CANCEL":\n            core.take',
        '        elif message.method == "CANCEL" and message.has("Proxy-Require"):\n'
        "            self.stateless(arrival, 420)\n"
        '        elif message.method == "CANCEL":\n'
        "            core.take",
    ),
    "PRX-10": Mutant(
        "a request in a dialog is never a loop",
        ENGINE + "requests.py",
        "    if message.via_count == 1 and len(",
        "    if message.to_tag or message.via_count == 1 and len(",
    ),
    "PRX-12": Mutant(
        "other credentials for a UAS make no difference to the loop value",
        FORWARDING + "branch.py",
        '"Proxy-Authorization", "Authorization")',
        '"Proxy-Authorization")',
    ),
    "PRX-13": Mutant(
        "a target that waits starts while one that has run out of time still rings",
        ENGINE + "attempts.py",
        "(not b.result or (r.invite and is_live(b)))]",
        "not b.result]",
    ),
    "PRX-14": Mutant(
        "what one sender sends of a call is one transaction whatever its branches",
        FORWARDING + "branch.py",
        "sent_by_port(via), via.branch.lower())",
        "sent_by_port(via), message.call_id)",
    ),
    "PRX-15": Mutant(
        "where routes are not signed a strict router before us is not seen",
        FORWARDING + "routes.py",
        "if ours and (signer is None or token_of",
        "if ours and (signer is not None and token_of",
    ),
    "PRX-16": Mutant(
        "a maddr of ours is taken off whatever socket the port names",
        FORWARDING + "routes.py",
        " or indicated != listener_port",
        "",
    ),
    "PRX-17": Mutant(
        "of our Routes without a token one is removed",
        FORWARDING + "routes.py",
        "            return count\n",
        "            return min(count, 1)\n",
    ),
    "PRX-19": Mutant(
        "a Path that begins with a strict router is followed as if it were a loose one",
        FORWARDING + "copy.py",
        "        return _to_strict_router(uri, tuple(path), changed=True)",
        "        return Outgoing(uri, tuple(path), tuple(path))",
    ),
    "PRX-20": Mutant(
        "a target of a fork goes where the Route header says",
        ENGINE + "attempts.py",
        "routes = () if plan.fork and not plan.path else outgoing.routes",
        "routes = outgoing.routes",
    ),
    "PRX-21": Mutant(
        "the default port makes another address of record",
        "siphon/sip/_uri_cy.py",
        'found.port is None or found.port == (5061 if scheme == "sips" else 5060)',
        "found.port is None",
    ),
    "PRX-23": Mutant(
        "METHOD in capitals stays in a target",
        FORWARDING + "trim.py",
        ".strip().lower() not in names",
        ".strip() not in names",
    ),
    "PRX-24": Mutant(
        "of a request that a script edits the body ends at the first NUL",
        "siphon/sip/draft.py",
        "return self.message.body if self._body is None",
        'return self.message.body.partition(b"\\0")[0] if self._body is None',
    ),
    "PRX-25": Mutant(
        "a method that is not known gets no Record-Route",
        ENGINE + "attempts.py",
        'if r.record_route and r.method != "REGISTER":',
        'if r.record_route and r.method in ("INVITE", "SUBSCRIBE", "MESSAGE", "NOTIFY", "REFER", "BYE", "UPDATE"):',
    ),
    "PRX-27": Mutant(
        "two ports of one address need one Record-Route value",
        FORWARDING + "own_routes.py",
        "    if receiving != sending:",
        "    if split_host_port(receiving)[0] != split_host_port(sending)[0]:",
    ),
    "PRX-28": Mutant(
        "our Via names the socket that received",
        ENGINE + "attempts.py",
        "    via = via_value(place.sent_by, branch_token(r.key, r.salt, branch.index, loop))\n    rrs",
        "    via = via_value(_arrived_at(env, r), branch_token(r.key, r.salt, branch.index, loop))\n    rrs",
    ),
    "PRX-31": Mutant(
        "a 200 to OPTIONS has no Supported",
        "siphon/script/finishing.py",
        '("Accept", "*/*"), ("Supported", "path")]',
        '("Accept", "*/*")]',
    ),
    "PRX-32": Mutant(
        "a provisional of a script has another To tag than the final",
        ENGINE + "outcomes.py",
        "reason, tag_of(r, env), headers",
        "reason, tag_of(r, env)[:: 1 if action.status >= 200 else -1], headers",
    ),
}

RESPONSES = {
    "PRX-41": Mutant(
        "a host that the script has forced into our Via is ours with every port",
        ENGINE + "responses.py",
        "return (sent.host.lower(), sent.port) == (told.host.lower(), told.port)",
        "return sent.host.lower() == told.host.lower()",
    ),
    "PRX-42": Mutant(
        "what is for us goes up without a Via",
        ENGINE + "responses.py",
        "elif step.deliver and response.via_count > 1:",
        "elif step.deliver:",
    ),
    "PRX-43": Mutant(
        "a 100 goes up",
        ENGINE + "responses.py",
        "    if status == 100 or r.cancelled or r.final_status:",
        "    if r.cancelled or r.final_status:",
    ),
    "PRX-44": Mutant(
        "a 2xx after a failure that was acknowledged is lost",
        TRANSACTION + "invite_server.py",
        "        Event.FINAL_2XX: (F, send),\n",
        "",
    ),
    "PRX-45": Mutant(
        "a 2xx to a forked MESSAGE waits for the other branches",
        ENGINE + "responses.py",
        "    r.drop_claim(ClaimKind.FAILURE)\n    respond(step, status, data)",
        "    r.drop_claim(ClaimKind.FAILURE)\n    if not r.invite and not all(b.result for b in r.branches):\n"
        "        return\n    respond(step, status, data)",
    ),
    "PRX-46": Mutant(
        "after a 6xx a script may call somebody else",
        ENGINE + "outcomes.py",
        "return not declined and not r.cancelled",
        "return not r.cancelled",
    ),
    "PRX-48": Mutant(
        "the challenges of an earlier attempt are lost",
        ENGINE + "results.py",
        "if b is not best and b.result in (401, 407) and b.response]",
        "if b is not best and b.index >= record.attempt_first and b.result in (401, 407) and b.response]",
    ),
    "PRX-50": Mutant(
        "silence at the first address of a name is the end",
        ENGINE + "timers.py",
        "if timed_out and (branch.provisional or not fail_over(step, env, branch, 408)):",
        "if timed_out:",
    ),
    "PRX-51": Mutant(
        "after an ICMP error the next address is not tried",
        ENGINE + "responses.py",
        "    if branch.provisional or not fail_over(step, env, branch, 503):\n        fail",
        "    if True:\n        fail",
    ),
    "PRX-52": Mutant(
        "the log does not say which response could not be delivered",
        ENGINE + "ingest.py",
        'response=data[8:].partition(b"\\r\\n")[0],',
        "response=data[8:11],",
    ),
    "PRX-53": Mutant(
        "a response without a To tag gets one",
        ENGINE + "responses.py",
        "    passed = outcome is None or outcome.passed\n",
        "    if response.to_tag is None:\n"
        '        data = data.replace(response.to_value, response.to_value + b";tag=x")\n'
        "    passed = outcome is None or outcome.passed\n",
    ),
    "PRX-58": Mutant(
        "a failure that comes after the final is not acknowledged",
        TRANSACTION + "invite_client.py",
        "    step.acknowledge = True\n    step.deliver = True",
        "    step.acknowledge = not step.record.final_status\n    step.deliver = True",
    ),
}

TRANSACTIONS = {
    "TXN-08": Mutant(
        "Timer B goes on after a provisional",
        TRANSACTION + "invite_client.py",
        'ends the branch (TXN-08)."""\n    branch.resend_at = branch.timeout_at = 0.0',
        'ends the branch (TXN-08)."""\n    branch.resend_at = 0.0',
    ),
    "TXN-14": Mutant(
        "the host of the sent-by is compared with its case",
        FORWARDING + "branch.py",
        "via.host.lower(), sent_by_port(via)",
        "via.host, sent_by_port(via)",
    ),
    "TXN-16": Mutant(
        "an ACK of an old client needs no To tag of ours",
        ENGINE + "requests.py",
        'return (message.to_tag or b"").lower() != (parse(record',
        'return False and (message.to_tag or b"").lower() != (parse(record',
    ),
    "TXN-17": Mutant(
        "branches are compared with their case",
        FORWARDING + "branch.py",
        "sent_by_port(via), via.branch.lower())",
        "sent_by_port(via), via.branch)",
    ),
    "TXN-18": Mutant(
        "each copy of an ACK has the same branch",
        ENGINE + "acks.py",
        "COOKIE + token)",
        "COOKIE + b'%032x' % (message.cseq + 1))",
    ),
    "TXN-20": Mutant(
        "a forked non-INVITE that nobody answers gets 504",
        ENGINE + "results.py",
        "and branch.cancel_by == CancelCause.NONE\n",
        "and branch.cancel_by == CancelCause.NONE and len(record.branches) == 1\n",
    ),
    "TXN-23": Mutant(
        "what on_failure answers too late is not logged",
        ENGINE + "events.py",
        "        if not awaits(record, ClaimKind.FAILURE):\n"
        "            self.too_late = second_final(record, self.outcome.action)\n",
        "        if not awaits(record, ClaimKind.FAILURE):\n",
    ),
    "TXN-25": Mutant(
        "a provisional without an action leaves the INVITE pending for ever",
        ENGINE + "outcomes.py",
        "        step.record.trying_at = step.now + step.timing.timer_c  # pending",
        "        step.record.trying_at = 0.0  # pending",
    ),
    "TXN-26": Mutant(
        "each 400 to a malformed request has a To tag of its own",
        ENGINE + "ingest.py",
        "        tag = to_tag(transaction_id(message, env.id_key), env.tag_key)\n"
        "        data = response(message, error.status",
        '        tag = b"%032x" % self.random_bits(128)\n        data = response(message, error.status',
    ),
}

DEFENCE = {
    "SEC-02": Mutant(
        "a name may lead back to us",
        ENGINE + "attempts.py",
        "others = [address for address in addresses if env.identity.listener_at(*address) is None]",
        "others = list(addresses)",
    ),
    "SEC-03": Mutant(
        "a response goes where its next Via says",
        TRANSACTION + "step.py",
        "        self.sends.append(Send(data, (r.reply_ip, r.reply_port)",
        "        via = parse(data).via\n"
        "        self.sends.append(Send(data, ((via.received or via.host).decode(), r.reply_port)",
    ),
    "SEC-04": Mutant(
        "the CSeq of a response does not matter",
        ENGINE + "responses.py",
        " or response.cseq != record.cseq:",
        ":",
    ),
    "SEC-05": Mutant(
        "the answer goes to the port of the sent-by where the rport had a value",
        ENGINE + "_arrivals.pyx",
        "r.source_port if m.s.via.rport != -2 else",
        "r.source_port if m.s.via.rport == -1 else",
    ),
    "SEC-06": Mutant(
        "the maddr of a Via may be a multicast address",
        ENGINE + "requests.py",
        "return None if refused_address(host, port) else (host, port)",
        "return host, port",
    ),
    "SEC-07": Mutant(
        "a NUL passes from a script",
        "siphon/script/text.py",
        '"[\\r\\n\\0]"',
        '"[\\r\\n]"',
    ),
    "SEC-08": Mutant(
        "wrong passwords count for ever",
        "siphon/services/bans/failures.py",
        "kept = [failure for failure in kept if now * 1000 - failure.at < s.window_secs * 1000]",
        "kept = list(kept)",
    ),
    "SEC-10": Mutant(
        "a nonce is logged where no response stands beside it",
        "siphon/config/log.py",
        'if "esponse=" in text or "nonce=" in text else',
        'if "esponse=" in text else',
    ),
    "SEC-11": Mutant(
        "each option of Proxy-Require is compared with all before it",
        FORWARDING + "validate.py",
        "list(dict.fromkeys(tag for tag in tags if tag and tag.lower() not in passed))",
        "[]\n    for tag in tags:\n        if tag and tag.lower() not in passed and tag not in unknown:\n"
        "            unknown.append(tag)",
    ),
    "SEC-12": Mutant(
        "a request with a To tag counts for no source",
        ENGINE + "ingest.py",
        "if most is None or self.sources is None:",
        "if most is None or self.sources is None or arrival.message.to_tag:",
    ),
    "SEC-13": Mutant(
        "the limit of answers to malformed requests is one of address and port",
        ENGINE + "ingest.py",
        "self.malformed.allows(source[0], self",
        'self.malformed.allows(f"{source[0]}:{source[1]}", self',
    ),
    "SEC-14": Mutant(
        "a CANCEL in a dialog may come from anywhere",
        ENGINE + "ingest.py",
        "        same_source = self.core.env",
        "        same_source = arrival.message.to_tag is None and self.core.env",
    ),
    "SEC-15": Mutant(
        "anybody may list the bindings of another",
        "siphon/services/location/register.py",
        "if settings.enforce_auth_aor_match and facts.auth_user is not None and not",
        "if settings.enforce_auth_aor_match and facts.contacts and facts.auth_user is not None and not",
    ),
    "SEC-16": Mutant(
        "the opaque of the secret before is refused",
        DIGEST + "nonce.py",
        "for secret in self._secrets)\n\n    @staticmethod\n    def _opaque",
        "for secret in self._secrets[:1])\n\n    @staticmethod\n    def _opaque",
    ),
    "SEC-17": Mutant(
        "a record that cannot be read is not counted",
        ENGINE + "core.py",
        "            self.reporter.count(Counter.BAD_RECORDS)\n",
        "",
    ),
    "SEC-20": Mutant(
        "in a dialog identity headers of strangers stay",
        "scripts/proxy_default.py",
        "    forget_claims(request)\n    if request.in_dialog:",
        "    if not request.in_dialog:\n        forget_claims(request)\n    if request.in_dialog:",
    ),
}

PROXYING = {**REQUESTS, **RESPONSES, **TRANSACTIONS, **DEFENCE}
