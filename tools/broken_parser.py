"""Mutants of rows about parsing and URIs; run by their ids, as those of tools/broken_more.py."""

from __future__ import annotations

from mutation import Mutant

SCAN, URI = "siphon/sip/_scan_cy.py", "siphon/sip/_uri_cy.py"

PARSER = {
    "PARSE-06": Mutant(
        "the largest CSeq is too large",
        SCAN,
        "or value > 2147483647:",
        "or value > 2147483646:",
    ),
    "PARSE-07": Mutant(
        "status codes go up to 999",
        SCAN,
        "(49 <= p[i] <= 54 and 48",
        "(49 <= p[i] <= 57 and 48",
    ),
    "PARSE-08": Mutant(
        "a version in lower case goes out as it came",
        SCAN,
        's.upper_version = memcmp(p, b"SIP", 3) == 0',
        "s.upper_version = True",
    ),
    "URI-01": Mutant(
        "headers make no difference between URIs",
        URI,
        "and same_params(x, y) and same_headers(x, y)",
        "and same_params(x, y)",
    ),
    "URI-07": Mutant(
        "visual separators make another number",
        URI,
        '(uri.user or "").translate(_SEPARATORS).lower()',
        '(uri.user or "").lower()',
    ),
}
