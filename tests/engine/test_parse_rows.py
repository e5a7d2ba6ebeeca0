"""PARSE rows through the whole engine: what is refused is answered once and changes nothing, what is odd passes."""

from collections.abc import Callable, Iterator

import pytest

from siphon.engine.counters import Counter
from siphon.sip.build import response
from siphon.sip.message import ParseLimits, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
SOURCE = ("198.51.100.9", 5060)
COMPACT = {"Via": "v", "From": "f", "To": "T", "Call-ID": "i", "Contact": "m", "Content-Length": "L"}
RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "OPTIONS" and request.ruri.user is None:
        request.reply(200, "OK")
    elif request.get_header("Subject") == "new body":
        request.set_body("longer than before", "text/plain")
        request.relay("sip:127.0.0.2:5090")
    else:
        request.relay("sip:127.0.0.2:5090")
"""


@pytest.fixture
def world(make_world: Make) -> Iterator[World]:
    """Ends with a control: whatever came before, an OPTIONS is served."""
    world = make_world(RELAY)
    yield world
    control = world.agent("192.0.2.99")
    control.send(control.request("OPTIONS", "sip:example.com"))
    assert control.statuses == [200]


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def datagram(world: World, method: str, old: bytes = b"", new: bytes = b"", branch: str = "", **more: str) -> bytes:
    """A request of SOURCE with one thing changed."""
    text = Agent(world, *SOURCE).request(method, "sip:bob@example.com", branch=branch or "z9hG4bK-1", **more)
    data = text.replace("\n", "\r\n").encode()
    assert old in data
    return data.replace(old, new, 1)


def answers(world: World, data: bytes) -> list[int]:
    """Statuses of what leaves within 64 T1. They are not for an Agent: it does not take what it mirrors."""
    start = len(world.sent)
    world.deliver(data, SOURCE)
    world.advance(33)
    assert not list(world.records())
    assert all(send.data.startswith(b"SIP/2.0 ") and send.to == SOURCE for send in world.sent[start:])
    return [int(send.data[8:11]) for send in world.sent[start:]]


TO = b"\r\nTo:"
REFUSED: dict[str, list[tuple[bytes, bytes]]] = {
    "parse_03": [(b"SIP/2.0\r\n", b"SIP/2.0\r\n folded: x\r\n"), (b"SIP/2.0\r\n", b"SIP/2.0\r\n \r\n")],
    "parse_05": [
        (TO, b"\r\nX:"),
        (b"From:", b"X:"),
        (b"Call-ID:", b"X:"),
        (b"CSeq:", b"X:"),
        *(
            (TO, b"\r\n" + line + TO)
            for line in (b"t: <sip:b@c>", b"From: <sip:b@c>;tag=1", b"i: 1", b"CSeq: 1 INVITE")
        ),
    ],
    "parse_06": [(b"CSeq: 1 ", b"CSeq: 2147483648 "), (b"CSeq: 1 ", b"CSeq: 18446744073709551617 ")],
    "parse_09": [(b"<sip:caller", b'"\xff" <sip:caller'), (TO, b"\r\nTo: \xc3"), (b";branch=z", b";x=\xff;branch=z")],
    "parse_10": [
        (TO, b"\r\nX: a\0b" + TO),
        (TO, b"\r\nX: a\rb" + TO),
        (b": 70\r\n", b": 70\n"),
        (TO, b"\r\n\0: x" + TO),
    ],
    "parse_11": [(TO, b"\r\nno colon" + TO), (TO, b"\r\n: no name" + TO)],
    "parse_12": [
        (b";branch=", b";branch=z9hG4bK-0;Branch="),
        (b";tag=f1", b";tag=f1;TAG=f2"),
        (b";tag=f1", b";x=1;tag=f1;x"),
        (TO, b"\r\nVia: SIP/2.0/UDP d;a;a" + TO),
    ],
    "parse_13": [
        *((b"Length: 0", b"Length: " + value) for value in (b"+0", b"0x0", b"five", b"-1", b"")),
        (TO, b"\r\nl: 1" + TO),
    ],
}


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "BYE", "CANCEL"])
@pytest.mark.parametrize("row", REFUSED)
def test_parse_03_parse_05_parse_06_parse_09_parse_10_parse_11_parse_12_parse_13_is_400_once_and_stateless(
    world: World, row: str, method: str
) -> None:
    for old, new in REFUSED[row]:
        assert answers(world, datagram(world, method, old, new)) == [400], (old, new)
    assert not parties(world)[1].inbox


@pytest.mark.parametrize("row", REFUSED)
def test_parse_05_parse_08_parse_14_a_malformed_ack_or_response_is_dropped(world: World, row: str) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    answer = response(callee.last, 200, "OK", b"t1", [])
    for old, new in REFUSED[row]:
        world.deliver(datagram(world, "ACK", old, new), SOURCE)
        if row != "parse_03":
            world.deliver(bad := _changed(answer, old, new), (callee.ip, callee.port))
            assert bad != answer
    assert caller.statuses == [100] and callee.requests == ["INVITE"] and len(world.sent) == 2
    callee.send(answer)
    assert caller.statuses == [100, 200]


def _changed(answer: bytes, old: bytes, new: bytes) -> bytes:
    """The same fault in a response, which has no Max-Forwards and another branch."""
    for was, there in ((b": 70\r\n", b": 0\r\n"), (b";tag=f1", b";tag=f1"), (b";branch=z", b";branch=z")):
        if was == old:
            return answer.replace(there, new.replace(b"70", b"0"), 1)
    return answer.replace(old, new, 1)


def test_parse_05_without_a_usable_via_nothing_is_answered(world: World) -> None:
    for old, new in ((b"Via:", b"X:"), (b"SIP/2.0/UDP", b"nonsense"), (b"198.51.100.9:5060", b"a:0")):
        assert answers(world, datagram(world, "INVITE", old, new)) == []


@pytest.mark.parametrize("name", ["To", "From", "Call-ID", "CSeq"])
@pytest.mark.parametrize("empty", [b"", b" ", b"\t\r\n "])
def test_parse_05_prx_32_the_400_to_an_empty_header_keeps_every_line_apart(
    world: World, name: str, empty: bytes
) -> None:
    """RFC 3261 §8.2.6.2: what cannot be copied is copied as it is; the tag goes into the To line, not behind it."""
    good = datagram(world, "MESSAGE")
    line = next(line for line in good.split(b"\r\n") if line.startswith(name.encode()))
    assert answers(world, good.replace(line, name.encode() + b":" + empty, 1)) == [400]
    head = world.sent[-1].data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0] for line in head[1:] if not line.startswith(b" ")]
    assert names == [b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Content-Length"]
    assert [b";tag=" in line for line in head if line.startswith(b"To:")] == [True]


def compact(text: str) -> str:
    for name, letter in COMPACT.items():
        text = text.replace(f"\n{name}:", f"\n{letter} :")
    return text


def test_parse_01_a_call_in_compact_and_mixed_names(world: World) -> None:
    caller, callee = parties(world)
    text = caller.request(
        "INVITE", "sip:bob@example.com", branch="z9hG4bKa", call_id="c1", headers="s: new body\nc: a/b", body="short"
    )
    caller.send(compact(text).replace("\nMax-", "\nVIA: SIP/2.0/UDP b.c;branch=z9hG4bKb\nMax-"))
    seen = callee.last
    assert (seen.via_count, seen.call_id, seen.from_tag) == (3, b"c1", b"f1")
    assert (seen.body, seen.content_length, seen.first("Content-Type")) == (b"longer than before", 18, b"text/plain")
    assert len(seen.all_lines("Content-Length")) == len(seen.all_lines("Content-Type")) == 1
    caller.send(text)  # the same in long form is a repeat
    callee.answer(seen, 180)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 100, 180, 486] and caller.last.via_count == 2
    caller.send(compact(caller.request("ACK", "sip:bob@example.com", branch="z9hG4bKa", call_id="c1", to_tag="t1")))
    world.advance(40)
    assert caller.statuses == [100, 100, 180, 486] and callee.requests == ["INVITE", "ACK"]


def test_parse_02_branch_tag_and_transport_ignore_case_and_are_echoed_exactly(world: World) -> None:
    caller, callee = parties(world)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bKaB", call_id="Abc", from_tag="TaG")
    caller.send(text)
    caller.send(text.replace("z9hG4bKaB", "Z9HG4BKAb").replace("SIP/2.0/UDP", "sip/2.0/udp").replace("TaG", "tAg"))
    seen = callee.last
    assert callee.requests == ["INVITE"] and (seen.from_tag, caller.last.via.branch) == (b"TaG", b"z9hG4bKaB")
    assert b"SIP/2.0/UDP 192.0.2.1" in seen.raw and b"Via: SIP/2.0/UDP 192.0.2.1" in caller.last.raw
    answer = response(seen, 180, "Ringing", b"t1", [])
    callee.send(answer.replace(b"Abc", b"aBC"))
    assert caller.statuses == [100, 100]
    callee.send(
        answer.replace(seen.via.branch, seen.via.branch.upper()).replace(b"SIP/2.0/UDP 127", b"sip/2.0/Udp 127")
    )
    assert caller.statuses == [100, 100, 180]
    callee.send(response(seen, 486, "Busy", b"t1", []))
    caller.send(caller.request("ACK", "sip:bob@example.com", branch="Z9HG4bKAB", call_id="Abc", to_tag="T1"))
    world.advance(40)
    assert caller.statuses == [100, 100, 180, 486]


def test_parse_02_another_method_in_lower_case_or_call_id_is_another_request(world: World) -> None:
    caller, callee = parties(world)
    for method, call_id in (("MESSAGE", "abc"), ("message", "abc"), ("MESSAGE", "ABC")):
        caller.send(caller.request(method, "sip:bob@example.com", call_id=call_id))
    assert callee.requests == ["MESSAGE", "message", "MESSAGE"]


@pytest.mark.parametrize("fold", ["\r\n ", " \r\n\t ", "\r\n \r\n\t\r\n "])
def test_parse_03_parse_11_folds_and_space_around_separators_change_nothing(world: World, fold: str) -> None:
    caller, callee = parties(world)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bKa", call_id="c1")
    odd = text.replace("\n", "\r\n")
    for old, new in (
        ("SIP/2.0/UDP 192.0.2.1:5060;rport;", f"SIP / 2.0 / UDP{fold}192.0.2.1 : 5060 ;{fold}rport{fold}; "),
        ("branch=", f"branch{fold}={fold}"),
        (";tag=f1", f" ; tag{fold}= f1"),
        ("To: ", f"To   :{fold}"),
        ("CSeq: 1 INVITE", f"CSeq:{fold}1{fold}INVITE"),
        ("Max-Forwards: 70", f"Max-Forwards:{fold}70{fold}"),
        ("Call-ID: ", f"Call-ID \t:{fold}"),
        ("Content-Length: ", f"Content-Length:{fold}"),
    ):
        assert old in odd
        odd = odd.replace(old, new)
    caller.send(odd.encode())
    caller.send(text)
    assert callee.requests == ["INVITE"] and callee.last.max_forwards == 69 and callee.last.cseq == 1
    callee.answer(callee.last, 180)
    assert caller.statuses == [100, 100, 180] and caller.last.from_tag == b"f1" and caller.last.call_id == b"c1"


@pytest.mark.parametrize("number", [0, 2**31 - 1])
def test_parse_06_the_ends_of_the_range_of_cseq_are_served(world: World, number: int) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", "sip:bob@example.com", cseq=number))
    callee.answer(callee.last, 200)
    assert (callee.last.cseq, caller.last.cseq, caller.statuses) == (number, number, [200])


def test_parse_07_only_responses_with_status_100_to_699_pass_with_any_reason(world: World) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    good = response(callee.last, 183, "X", b"t1", [])
    for line in (b"099 X", b"700 X", b"18 X", b"1830 X", b"1x3 X", b"183X"):
        callee.send(good.replace(b"183 X", line))
    assert len(world.sent) == 2
    for reason in (b" ", b" \xd1\x80  \xd0\xb0", b""):
        callee.send(good.replace(b"183 X", b"183" + reason))
    assert [m.reason for m in caller.inbox] == [b"Trying", b"", b"\xd1\x80  \xd0\xb0", b""]
    callee.send(good.replace(b"183 X", b"699 Z"))
    assert caller.statuses == [100, 183, 183, 183, 699]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "CANCEL"])
@pytest.mark.parametrize("version", [b"SIP/3.0", b"sip/7.0", b"SIP/2.1", b"SIP/1.0"])
def test_parse_08_another_version_is_505_before_any_other_fault(world: World, method: str, version: bytes) -> None:
    data = datagram(world, method, b"SIP/2.0\r\nVia", version + b"\r\nVia").replace(b"CSeq: 1 ", b"CSeq: one ")
    assert answers(world, data) == [505]
    assert answers(world, data.replace(method.encode(), b"ACK")) == []


def test_parse_08_a_version_in_lower_case_leaves_in_upper_case(world: World) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com").replace(" SIP/2.0\n", " sip/2.0\n", 1))
    callee.send(response(callee.last, 486, "Busy", b"t1", []).replace(b"SIP/2.0 486", b"Sip/2.0 486"))
    assert [send.data.partition(b"\r\n")[0] for send in world.sent] == [
        b"SIP/2.0 100 Trying",
        b"INVITE sip:bob@example.com SIP/2.0",
        b"ACK sip:bob@example.com SIP/2.0",
        b"SIP/2.0 486 Busy",
    ]


def test_parse_09_parse_10_octets_that_nobody_interprets_pass_both_ways(world: World) -> None:
    caller, callee = parties(world)
    lines = b'\r\nX: \xff\xfe\r\nSubject: \xc3\r\nWarning: "\\\0"\r\nFrom: "J\xc3\xbcrgen \xe5\xa4\xa7"'
    text = caller.request("MESSAGE", "sip:bob@example.com", body="BODY!").replace("\n", "\r\n").encode()
    body = b"\0\r\n\n\r"
    caller.send(text.replace(b"\r\nFrom:", lines).replace(b"BODY!", body))
    assert lines in callee.last.raw and callee.last.body == body
    extra = b"\r\nX: \xfe\xff\r\nContent-Length: 5"
    callee.send(response(callee.last, 200, "OK", b"t1", []).replace(b"\r\nContent-Length: 0", extra) + body)
    assert caller.statuses == [200] and b"\r\nX: \xfe\xff" in caller.last.raw and caller.last.body == body


def test_parse_13_equal_content_lengths_are_accepted(world: World) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", "sip:bob@example.com", headers="l: 2", body="hi"))
    assert callee.last.body == b"hi"


LIMITS = {
    "section": (513, b"".join(b"X: %b\r\n" % (b"x" * 4000) for _ in range(9))),
    "line": (513, b"X: %b\r\n" % (b"x" * 8188)),
    "folded line": (513, b"X: %b\r\n" % (b"x\r\n " * 2047)),
    "number": (513, b"X: y\r\n" * 249),
    "vias": (400, b"Via: SIP/2.0/UDP a.b\r\n" * 70),
    "vias on a line": (400, b"Via: " + b", ".join([b"SIP/2.0/UDP a.b"] * 70) + b"\r\n"),
}
WIDER = {"header_bytes": 40000, "line_bytes": 12000, "headers": 400, "vias": 80}


@pytest.mark.parametrize("kind", LIMITS)
def test_parse_14_above_a_limit_is_refused_once_and_statelessly(make_world: Make, kind: str) -> None:
    status, lines = LIMITS[kind]
    for method in ("INVITE", "MESSAGE", "CANCEL"):
        world = make_world(RELAY)
        data = datagram(world, method, b"Max-Forwards", lines + b"Max-Forwards")
        assert answers(world, data) == [status]
        assert answers(world, data.replace(method.encode(), b"ACK")) == []
        assert world.count(Counter.SCRIPT_RUNS) == 0


@pytest.mark.parametrize("kind", LIMITS)
def test_parse_14_the_limits_are_those_of_the_configuration(make_world: Make, kind: str) -> None:
    world = make_world(RELAY, limits=WIDER, shared={"record_bytes": 120_000})
    seen: list[bytes] = []
    world.agent("127.0.0.2", 5090).receive = lambda data: seen.append(data)  # type: ignore[method-assign]
    world.deliver(datagram(world, "INVITE", b"Max-Forwards", LIMITS[kind][1] + b"Max-Forwards"), SOURCE)
    callee = parse(seen[0], ParseLimits(65535, 65535, 1024, 1024))
    world.deliver(response(callee, 486, "Busy", b"t1", []), ("127.0.0.2", 5090))
    assert world.sent[-1].data.startswith(b"SIP/2.0 486 ") and world.sent[-1].to == SOURCE


def test_parse_14_at_the_limits_a_request_is_served(make_world: Make) -> None:
    world = make_world(RELAY, shared={"record_bytes": 120_000})
    seen: list[bytes] = []
    world.agent("127.0.0.2", 5090).receive = lambda data: seen.append(data)  # type: ignore[method-assign]
    section = len(datagram(world, "MESSAGE", branch="z9hG4bK-0"))
    for number, lines in enumerate(
        (
            b"X: %b\r\n" % (b"x" * 8187),
            b"X: y\r\n" * 248,
            b"Via: SIP/2.0/UDP a.b\r\n" * 69,
            b"X: %b\r\n" % (b"x" * 8000) * 4 + b"Y: %b\r\n" % (b"y" * (32768 - section - 4 * 8005 - 5)),
        )
    ):
        world.deliver(datagram(world, "MESSAGE", b"Max-F", lines + b"Max-F", f"z9hG4bK-{number}"), SOURCE)
        assert len(seen) == number + 1 and lines in seen[-1], lines[:20]
