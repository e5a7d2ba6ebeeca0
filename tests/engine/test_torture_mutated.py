"""Mutations of every message of RFC 4475 and RFC 5118 through a world in the middle of its work.

The invariant is that of the fuzz target `engine`: answered by rule or dropped, in less than 50 ms of CPU, and the next
OPTIONS is answered. The examples are the same in every run.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torture import torture_messages

from fuzz.plain import PIECES
from fuzz.targets.engine import EngineCheck

MESSAGES = torture_messages()
EXAMPLES = 40
"""For each of the 61 messages."""
KINDS = st.sampled_from([0, 0, 1, 2, 3, 0x10, 0x18])
"""Who sends it, and how much time passes: the byte before a datagram in fuzz/targets/engine.py."""


@pytest.fixture(scope="module")
def check() -> Iterator[EngineCheck]:
    made = EngineCheck()
    yield made
    made.close()


@st.composite
def mutation(draw: st.DrawFn, raw: bytes) -> bytes:
    """One to five places where something is put in, taken out, or taken from another message."""
    data = bytearray(raw)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.sampled_from([0, 0, 1, 1, 2, 8, 60]))
        other = draw(st.sampled_from(sorted(MESSAGES)))
        start = draw(st.integers(0, len(MESSAGES[other])))
        new = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6), st.just(MESSAGES[other][start:][:80])))
        data[at : at + size] = new
    return bytes([draw(KINDS)]) + bytes(data)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_mutated_torture_message_is_answered_by_rule_or_dropped(check: EngineCheck, name: str) -> None:
    check(b"\0" + MESSAGES[name])

    @given(mutation(MESSAGES[name]))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def holds(data: bytes) -> None:
        check(data)

    holds()
