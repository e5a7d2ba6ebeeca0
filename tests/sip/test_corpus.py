"""Every file of tests/messages runs: verdict, fields, byte-identical printing, the same as the reference."""

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from compiled_facts import compiled, spans
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import reference
from torture import torture_messages

from siphon.sip.build import response
from siphon.sip.draft import Draft
from siphon.sip.message import (
    BadResponse,
    NotSip,
    ParseLimits,
    PeerError,
    parse,
    stamp_source,
    strip_top_via,
)

MESSAGES = Path(__file__).resolve().parents[1] / "messages"
sys.path.insert(0, str(MESSAGES))
from generate import MADE  # noqa: E402

LIMITS = ParseLimits()
VALID = sorted(MESSAGES.glob("valid/*.sip"))
INVALID = sorted(MESSAGES.glob("invalid/*.sip"))


def name(path: Path) -> str:
    return path.stem


def expectation(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.with_suffix(".toml").read_text())


def test_all_messages_of_rfc_4475_and_rfc_5118_are_there() -> None:
    found = torture_messages()
    assert [sum(name.startswith(start) for name in found) for start in ("TOR-", "V6-")] == [49, 12]
    assert len(set(found.values())) == 61


@pytest.mark.parametrize("name", MADE)
def test_a_message_with_octets_is_what_its_generator_makes(name: str) -> None:
    assert (MESSAGES / "valid" / f"{name}.sip").read_bytes() == MADE[name]()


@pytest.mark.parametrize("path", VALID, ids=name)
def test_a_valid_message_is_parsed_as_expected(path: Path) -> None:
    expected = expectation(path)
    m = parse(path.read_bytes())
    cut, rewritten = expected.pop("cut", None), expected.pop("rewritten", False)
    assert (m.raw == path.read_bytes()[:cut]) != rewritten
    if "contacts" in expected:
        assert len(m.values("Contact")) == expected.pop("contacts")
    for key, value in expected.items():
        source, field = (m.via, key.removeprefix("via_")) if key.startswith("via_") and key != "via_count" else (m, key)
        if key in ("has_cookie", "received", "rport"):
            source = m.via
        actual = getattr(source, field)
        assert (actual.decode() if isinstance(actual, bytes) else actual) == value, key


@pytest.mark.parametrize("path", VALID, ids=name)
def test_what_nobody_changed_prints_back_byte_for_byte(path: Path) -> None:
    m = parse(path.read_bytes())
    draft = Draft(m)
    if m.content_length >= 0:
        assert draft.to_bytes() == m.raw and draft.splices() == []
    else:
        assert parse(draft.to_bytes()).content_length == len(m.body)
    assert not draft.changed


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_an_invalid_message_gets_its_verdict(path: Path) -> None:
    expected = expectation(path)
    verdicts: dict[str, type[Exception]] = {"ignore": NotSip, "drop": BadResponse}
    with pytest.raises(verdicts.get(expected["verdict"], PeerError)) as raised:
        parse(path.read_bytes(), LIMITS)
    if isinstance(raised.value, PeerError):
        assert (str(raised.value.status), raised.value.reason) == (expected["verdict"], expected["reason"])
        assert (raised.value.message is not None) == expected.get("answerable", False)


@pytest.mark.parametrize("path", VALID + INVALID, ids=name)
def test_the_reference_gives_the_same(path: Path) -> None:
    assert compiled(path.read_bytes()) == reference(path.read_bytes(), LIMITS)


SEEDS = [path.read_bytes() for path in VALID + INVALID if path.stat().st_size < 2000]
PIECES = st.one_of(
    st.sampled_from(
        [b";", b",", b'"', b"<", b">", b"\r\n", b"\n", b"\r", b"\r\n ", b" ", b"\t", b":", b"=", b"@", b"%"]
    ),
    st.sampled_from([b"\\", b"\0", b"\xff", b"\xc3\xa9", b"[::1]", b"[", b"Via: ", b"v:", b";tag=1", b"?", b"SIP/2.0"]),
    st.sampled_from(
        [b"0", b"65536", b"4294967296", b"Content-Length: 5\r\n", b"SIP/2.0/UDP h;branch=z9hG4bKa", b"rport"]
    ),
    st.binary(max_size=4),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        size = draw(st.sampled_from([0, 0, 1, 1, 2, 5, 40]))
        raw[at : at + size] = draw(PIECES)
    return bytes(raw)


@given(mutated())
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_messages_get_the_same_from_both(raw: bytes) -> None:
    assert compiled(raw) == reference(raw, LIMITS)


@given(mutated(), st.integers(1, 12), st.integers(10, 200), st.integers(60, 900), st.integers(1, 4))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_messages_meet_the_same_limits(raw: bytes, headers: int, line: int, section: int, vias: int) -> None:
    limits = ParseLimits(header_bytes=section, line_bytes=line, headers=headers, vias=vias)
    assert compiled(raw, limits) == reference(raw, limits)


@given(mutated())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_refused_request_can_be_answered_in_clean_lines(raw: bytes) -> None:
    try:
        parse(raw)
    except PeerError as error:
        assert error.partial is not None
        answer = response(stamp_source(error.partial, "2001:db8::7", 5), error.status, error.reason, b"t")
        head = answer.removesuffix(b"\r\n\r\n").replace(b"\r\n", b"\n")
        assert not set(head) & {0, 13} and all(b": " in line for line in head.split(b"\n")[1:])
    except (BadResponse, NotSip):
        pass


@given(mutated())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_stamped_message_and_one_without_its_via_are_what_parsing_gives(raw: bytes) -> None:
    try:
        m = parse(raw)
    except (PeerError, BadResponse, NotSip):
        return
    stamped = stamp_source(m, "192.0.2.77", 7777, True)
    assert compiled(stamped.raw, ParseLimits(65535, 65535, 1024, 1024))["verdict"] == "ok"
    assert spans(stamped) == spans(parse(stamped.raw)) and stamped.body == m.body and stamped.to_tag == m.to_tag
    assert strip_top_via(stamped) == strip_top_via(m)
    if m.via_count > 1:
        assert parse(strip_top_via(m)).via_count == m.via_count - 1


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_what_is_left_of_a_refused_request_can_be_asked_for(path: Path) -> None:
    """A To that ended before its URI had the end of another one: found by the fuzz target `message`."""
    try:
        parse(path.read_bytes())
    except PeerError as error:
        m = error.partial
        assert m is not None
        assert m.raw.count(m.to_uri) and m.raw.count(m.from_uri) and len(m.via.value) <= len(m.raw)
    except (BadResponse, NotSip):
        pass
