"""What the compiled parser says, in the form of reference.py."""

from typing import Any

from siphon.sip.message import BadResponse, NotSip, ParseLimits, PeerError, SipMessage, parse

LIMITS = ParseLimits()


def via_facts(m: SipMessage) -> dict[str, Any]:
    names = ("transport", "host", "port", "branch", "received", "rport", "maddr", "value")
    return {key: getattr(m.via, key) for key in names}


def spans(m: SipMessage) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for i in range(m.lines):
        start, value, value_end, end = m.span(i)
        found.append((start, start + len(m.line(i)[0]), value, value_end, end))
    return found


def compiled(raw: bytes, limits: ParseLimits = LIMITS) -> dict[str, Any]:
    """What the compiled parser says, in the form of the reference."""
    try:
        m = parse(raw, limits)
    except NotSip:
        return {"verdict": "ignore"}
    except BadResponse:
        return {"verdict": "drop"}
    except PeerError as error:
        assert error.partial is not None and (error.message is None or error.message is error.partial)
        usable = error.message is not None
        return {"verdict": (error.status, error.reason), "usable_via": usable, "method": error.partial.method}
    facts = {"verdict": "ok", "usable_via": m.usable_via, "via": via_facts(m), "spans": spans(m)}
    facts.update(call_id_value=m.call_id, lines=[m.line(i) for i in range(m.lines)])
    for key in [
        "is_request",
        "method",
        "uri",
        "status",
        "reason",
        "from_tag",
        "to_tag",
        "from_uri",
        "to_uri",
        "from_value",
        "to_value",
        "cseq",
        "cseq_method",
        "max_forwards",
        "content_length",
        "via_count",
        "body",
        "body_start",
        "raw",
    ]:
        facts[key] = getattr(m, key)
    return facts
