"""Words eight and sixteen bytes at a time (siphon/sip/_words.pxd): the same as the oracle, byte by byte, says."""

import pytest
from compiled_facts import compiled
from reference import reference

from siphon.sip.message import ParseLimits, parse

LIMITS = ParseLimits()
LINES = {
    "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
    "From": "<sip:a@example.com>;tag=1",
    "To": "<sip:b@example.com>",
    "Call-ID": "1@192.0.2.1",
    "CSeq": "1 OPTIONS",
    "Max-Forwards": "70",
    "Contact": "<sip:a@192.0.2.1>",
    "Content-Type": "text/plain",
    "Record-Route": "<sip:192.0.2.9;lr>",
    "Route": "<sip:192.0.2.8;lr>",
    "User-Agent": "phone",
    "Allow": "INVITE",
    "Supported": "path",
    "Server": "none",
    "Content-Length": "0",
}


def message(**changed: str) -> str:
    """An OPTIONS with each usual header; `changed` replaces values, names with "_" for "-"."""
    values = LINES | {name.replace("_", "-"): value for name, value in changed.items()}
    return "OPTIONS sip:b@example.com SIP/2.0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in values.items()) + "\r\n"


def same(text: str) -> None:
    data = text.encode("latin-1")
    assert compiled(data, LIMITS) == reference(data, LIMITS)


@pytest.mark.parametrize("name", LINES)
def test_a_usual_header_is_the_same_however_its_name_is_written(name: str) -> None:
    shapes = [name.upper(), name.lower(), name.swapcase(), name[0].lower() + name[1:], name[:-1] + name[-1].swapcase()]
    for shape in [name, *shapes]:
        for behind in (":", " :", "\t:"):
            text = message().replace(f"\r\n{name}:", f"\r\n{shape}{behind}")
            same(text)
            assert parse(text.encode()).first(name) == LINES[name].encode()


@pytest.mark.parametrize("name", LINES)
def test_a_name_that_is_nearly_usual_is_another(name: str) -> None:
    for near in (name + "s", name[:-1], "X" + name, name[:-1] + "_", name.replace("-", "_"), name.replace("-", "")):
        if near in LINES or len(near) == 1:
            continue
        text = message().replace(f"\r\n{name}:", f"\r\n{near}:")
        same(text)
        if near.lower() != name.lower():
            assert parse(message().replace("\r\n\r\n", f"\r\n{near}: x\r\n\r\n").encode()).first(near) == b"x"


@pytest.mark.parametrize("name", LINES)
def test_a_usual_header_ends_where_the_datagram_does(name: str) -> None:
    whole = message()
    start = whole.index(f"\r\n{name}:") + 2
    for end in range(start, min(start + 40, len(whole))):
        same(whole[:end])


@pytest.mark.parametrize(
    "value", ["x", "", " ", "  x", "x ", "\tx", "x\t", " x y ", "\r\n x", "x\r\n ", "x\r\n y", "\x80"]
)
def test_a_value_is_found_between_white_space(value: str) -> None:
    for gap in ("", " ", "  "):
        same(message().replace("User-Agent: phone", f"User-Agent:{gap}{value}"))


@pytest.mark.parametrize(
    "octet", [*map(chr, (*range(1, 10), 11, 12, *range(14, 48), 58, 59, 60, 61, 62, 64, 127, 128, 255))]
)
def test_every_octet_ends_a_value_or_not_wherever_it_stands(octet: str) -> None:
    for length in (1, 7, 15, 16, 17, 31, 33):
        for place in {0, length // 2, length - 1}:
            word = ("a" * length)[:place] + octet + ("a" * length)[place + 1 :]
            same(message(Via=f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;x={word};y=1"))
            same(message(Call_ID=word))
            same(message(From=f"<sip:a@example.com>;tag={word}"))


@pytest.mark.parametrize(
    "word", ["branch", "received", "rport", "maddr", "tag", "BRANCH", "rePort", "receiveD", "mAddr"]
)
def test_a_parameter_is_known_whatever_its_case(word: str) -> None:
    for value in ("1", "192.0.2.7"):
        same(message(Via=f"SIP/2.0/UDP 192.0.2.1;{word}={value};{word.swapcase()}z=1"))
        same(message(Via=f"SIP/2.0/UDP 192.0.2.1;{word}={value};{word.swapcase()}={value}"))
        same(message(From=f"<sip:a@example.com>;{word}={value}"))


@pytest.mark.parametrize(
    "uri", ["sip:", "sip:a", "SIP:a@b.c", "sIp:a@b.c", "sips:a@b.c", "sip;:a", "sipx:a", "tel:1", "si"]
)
def test_a_scheme_is_known_whatever_its_case(uri: str) -> None:
    same(message(From=f"<{uri}>;tag=1"))
    same(message(From=f"{uri};tag=1"))
    same(message(From=f"<{uri};tag=1"))


def test_a_header_is_found_by_its_name_alone() -> None:
    """Names of one length that differ in one octet, up to some words of eight."""
    for length in range(1, 34):
        name = "Xylophone-Quartet-Header-Of-Length"[:length]
        for place in range(length):
            other = name[:place] + "z" + name[place + 1 :]
            found = parse(message().replace("\r\n\r\n", f"\r\n{name}: one\r\n{other}: two\r\n\r\n").encode())
            assert found.first(name.swapcase()) == b"one"
            assert found.first(other.swapcase()) == (b"one" if name.lower() == other.lower() else b"two")
