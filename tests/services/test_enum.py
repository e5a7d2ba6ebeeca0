"""ENUM (RFC 6116): a number to a URI over a DNS server on loopback, and what a foreign regexp may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from siphon.config.later import Dns
from siphon.services.dns import Enum, ares
from siphon.services.dns.ares import Ares
from siphon.services.dns.e164 import best, domain, substituted
from siphon.services.dns.order import Naptr
from siphon.testing.nameserver import NAPTR, Nameserver, naptr

NUMBER = "+49731123456"
NAME = "6.5.4.3.2.1.1.3.7.9.4.e164.arpa"
ANY = "!^.*$!sip:info@example.com!"


class Bench:
    """A DNS server and who asks it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = Nameserver()
        self.loop.run_until_complete(self.server.start())
        settings = Dns.model_validate({"servers": [f"127.0.0.1:{self.server.port}"], "timeout_ms": 40_000})
        self.servers = settings.servers
        self.ares = Ares(self.loop, self.servers, 10.0)
        self.enum = Enum(lambda: self.ares, settings.timeout_ms / 1000)

    def ask(self, number: str = NUMBER, suffix: str = "e164.arpa.", service: str = "E2U+sip") -> str | None:
        return self.loop.run_until_complete(self.enum.lookup(number, suffix, service))

    def close(self) -> None:
        self.ares.close()
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(ares, "CHANNEL_SECS", 0.0)
    made = Bench()
    yield made
    made.close()


def record(regexp: str, order: int = 1, preference: int = 1, flags: str = "u", service: str = "E2U+sip") -> Naptr:
    return Naptr(order, preference, flags, service, regexp, "")


def test_a_number_is_asked_for_digit_by_digit_from_its_end(bench: Bench) -> None:
    bench.server.zone = {NAME: [naptr(1, 1, "u", "E2U+sip", "", regexp=r"!^\+49731(.*)$!sip:\1@pbx.example!")]}
    assert bench.ask("+49 (731) 12-34 56") == "sip:123456@pbx.example"
    assert bench.server.asked == [(NAME, NAPTR)]


@pytest.mark.parametrize("suffix", ["e164.example", "e164.example.", ".e164.example"])
def test_another_tree_may_be_asked(bench: Bench, suffix: str) -> None:
    bench.server.zone = {"1.9.4.e164.example": [naptr(1, 1, "u", "E2U+sip", "", regexp=ANY)]}
    assert bench.ask("491", suffix) == "sip:info@example.com"


@pytest.mark.parametrize("number", ["", "+", "office", "1" * 16])
def test_without_one_to_fifteen_digits_nobody_is_asked(bench: Bench, number: str) -> None:
    assert bench.ask(number) is None and bench.server.asked == []


@pytest.mark.parametrize("suffix", ["", ".", "a b", "a..b", "x" * 64, ".".join(["x" * 60] * 4), "ä.example"])
def test_a_suffix_that_is_no_domain_is_asked_for_nothing(bench: Bench, suffix: str) -> None:
    assert bench.ask(NUMBER, suffix) is None and bench.server.asked == []


def test_no_answer_is_none(bench: Bench) -> None:
    assert bench.ask() is None
    bench.server.failing = {NAPTR}
    assert bench.ask() is None
    bench.server.failing, bench.server.silent = set(), {NAPTR}
    bench.ares.close()
    bench.ares = Ares(bench.loop, bench.servers, 0.5)
    assert bench.ask() is None


def test_a_long_answer_comes_over_tcp(bench: Bench) -> None:
    others = [
        naptr(1, n, "u", "E2U+email:mailto", "", regexp=f"!^.*$!mailto:{n}@{'x' * 60}.example!") for n in range(20)
    ]
    bench.server.zone = {NAME: [*others, naptr(9, 9, "U", "e2u+SIP", "", regexp=ANY)]}
    assert bench.ask() == "sip:info@example.com" and bench.server.streams == 1


def test_the_first_usable_record_by_order_and_preference_counts() -> None:
    records = [
        record("!^.*$!sip:late@x!", 2, 1),
        record("!^.*$!sip:second@x!", 1, 9),
        record("!^.*$!sip:first@x!", 1, 5),
        record("!^.*$!sip:other@x!", 0, 0, service="E2U+pres"),
        record("", 0, 1, flags=""),
        record("!^\\+1!sip:abroad@x!", 0, 2),
        record("!^.*$!no uri!", 0, 3),
        record("nonsense", 0, 4),
    ]
    assert best(records, "e2u+SIP", NUMBER) == "sip:first@x"
    assert best(records, "E2U+h323", NUMBER) is None


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        (r"!^.*$!sip:info@example.com!", "sip:info@example.com"),
        (r"!^(\+49)(731)(.*)$!sip:\3@\2.example;cc=\1!", "sip:123456@731.example;cc=+49"),
        (r"/^\+(.*)$/sip:\1@x\/y/", "sip:49731123456@x/y"),
        (r"#123#sip:found@x#", "sip:found@x"),
        (r"!^\+49(7|731)!sip:\1@x!", "sip:731@x"),
        (r"!^(\+[0-9]{2}|\+4)([[:digit:]]+)$!sip:\2@x!", "sip:731123456@x"),
        (r"!^\+(\d+)$!sip:\1@x!", "sip:49731123456@x"),
        (r"!^()\+.*$!sip:a\1@x!", "sip:a@x"),
        (r"!^(x)?.*$!sip:a\1@x!", "sip:a@x"),
        (r"!^.*$!sip:a\\b@x!", r"sip:a\b@x"),
        (r"!^.*$!SIP:\i@x!i", "SIP:i@x"),
        (r"!^.*$!sip:a@x!I", "sip:a@x"),
    ],
)
def test_the_number_is_rewritten(expression: str, result: str) -> None:
    assert substituted(expression, NUMBER) == result


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "!",
        "!!",
        "!^.*$!sip:a@x",
        "!^.*$!sip:a@x!g",
        "!^.*$!sip:a@x!i!",
        "1^.*$1sip:a@x1",
        r"!^.*$!sip:\1@x!",
        r"!^(.*$!sip:a@x!",
        r"!^\+1!sip:a@x!",
        r"!^(.)\1!sip:a@x!",
        "!^.*$!sip:a@x!\\",
        r"!(?i)a!sip:a@x!",
        "!^.{1,100000}$!sip:a@x!",
    ],
)
def test_what_is_no_expression_or_does_not_match_is_not_usable(expression: str) -> None:
    assert substituted(expression, NUMBER) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "^(([0-9+]+)+)+x$",
        "^(([0-9+]*)*)*x$",
        "^(.|.|.|.|.)*x$",
        "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x",
        "((((.{1,9}){1,9}){1,9}){1,9})x",
        "(((((.{0,99}){0,99}){0,99}){0,99}){0,99}){0,99}x",
        "(" * 100 + ".*" + ")+" * 100 + "x",
    ],
)
def test_sec_a_hostile_expression_holds_nobody_up(pattern: str) -> None:
    took: list[float] = []
    while len(took) < 5 or (min(took) >= 0.1 and len(took) < 20):
        began = time.thread_time()
        assert substituted(f"!{pattern}!sip:a@x!", "+" + "1" * 15) is None
        took.append(time.thread_time() - began)
    assert min(took) < 0.1


@pytest.mark.parametrize("uri", ["sip:a b@x", "sip:", "sip:\u00e4@x", "sip:a@x\r\nX: 1", "sip:" + "a" * 2000 + "@x"])
def test_what_is_no_uri_is_passed_over(uri: str) -> None:
    records = [record(f"!^.*$!{uri}!"), record("!^.*$!sip:next@x!", 2)]
    assert best(records, "E2U+sip", NUMBER) == "sip:next@x"


def test_a_domain_has_a_longest_name() -> None:
    assert domain("49", "e164.arpa.") == "9.4.e164.arpa"
    assert domain("1" * 15, ".".join(["x" * 55] * 4)) == ".".join(["1"] * 15 + ["x" * 55] * 4)
    assert domain("1" * 15, ".".join(["x" * 56] * 4)) is None
