"""Mutants of rows that the draw of tools/broken.py has left out: those whose tests looked weakest.

Chosen to be small: not the behaviour taken away, but its edge moved.
"""

from __future__ import annotations

from mutation import Mutant

FORWARDING, TRANSACTION, LOCATION = "siphon/forwarding/", "siphon/transaction/", "siphon/services/location/"

MORE = {
    "PRX-03": Mutant(
        "a scheme that nobody knows passes where there is a Route",
        FORWARDING + "validate.py",
        "    if not _supported(message.uri):",
        '    if not _supported(message.uri) and not message.has("Route"):',
    ),
    "PRX-18": Mutant(
        "a domain of ours is ours with every port",
        "siphon/sip/identity.py",
        "return not port or port in self._ports",
        "return True",
    ),
    "PRX-30": Mutant(
        "targets with equal URIs are one branch whatever their Path",
        FORWARDING + "targets.py",
        "kept.setdefault((target.path, target.flow), [])",
        "kept.setdefault(((), target.flow), [])",
    ),
    "PRX-40": Mutant(
        "a response after Timer D or M is taken as long as the record lingers",
        "siphon/engine/responses.py",
        "return None if 0.0 < branch.end_at <= now else branch",
        "return branch",
    ),
    "PRX-47": Mutant(
        "among failures of one class the earliest goes up, whatever it says",
        FORWARDING + "aggregate.py",
        "_PREFERENCE.get(status, 0)",
        "0",
    ),
    "REG-06": Mutant(
        "a query names the first binding alone",
        LOCATION + "register.py",
        "return _success(None, live, facts, wall)",
        "return _success(None, live[:1], facts, wall)",
    ),
    "REG-07": Mutant(
        "`*` removes whatever its CSeq",
        LOCATION + "register.py",
        "if _is_out_of_order(live, facts):",
        "if facts.force and _is_out_of_order(live, facts):",
    ),
    "REG-13": Mutant(
        "an equal CSeq is in order",
        LOCATION + "register.py",
        "b.cseq >= facts.cseq",
        "b.cseq > facts.cseq",
    ),
    "REG-21": Mutant(
        "Path is echoed to every client",
        LOCATION + "register.py",
        "    if facts.wants_path:\n",
        "    if facts.path:\n",
    ),
    "REG-23": Mutant(
        "our Path value stands below those that came",
        "siphon/script/request.py",
        "            self._edit().prepend(name, value)\n",
        "            self._edit().append(name, value)\n",
    ),
    "SEC-01": Mutant(
        "a challenge is sent by a transaction",
        "siphon/engine/outcomes.py",
        "    if action.stateless and not r.last_response:",
        "    if False:",
    ),
    "TXN-10": Mutant(
        "a failure behind a 2xx is acknowledged",
        TRANSACTION + "invite_client.py",
        "Event.FINAL_300: (A, ignore)",
        "Event.FINAL_300: (A, acknowledge)",
    ),
}
