"""The compiled parser against the plain one of tests/sip/reference.py."""

from __future__ import annotations

import sys

from fuzz.target import ROOT, Check, Target, holds, stored_messages

sys.path.insert(0, str(ROOT / "tests/sip"))
from compiled_facts import compiled  # noqa: E402
from reference import reference  # noqa: E402

from siphon.sip.message import ParseLimits  # noqa: E402

LIMITS = (ParseLimits(), ParseLimits(header_bytes=600, line_bytes=90, headers=9, vias=2))


def check(data: bytes) -> None:
    """The first byte chooses the limits."""
    limits = LIMITS[data[0] % len(LIMITS)] if data else LIMITS[0]
    holds(compiled(data[1:], limits) == reference(data[1:], limits), "both parsers say the same")


def seeds() -> list[bytes]:
    return [bytes([limit]) + raw for raw in stored_messages() if len(raw) < 2000 for limit in (0, 1)]


def make() -> Check:
    return check


TARGET = Target(
    "reference",
    "The compiled parser gives the verdict, the fields and the spans that the plain reference gives.",
    make,
    seeds,
    1500,
)
