"""The messages of RFC 4475 against the whole proxy: what leaves, and to whom.

Each is sent from HARNESS with its top Via naming that place.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from torture import FILES, sent_from, stored
from torture_harness import HARNESS, PHONE, POLICY, Harness, changes, names, raw_lines, status

from siphon.engine.counters import Counter
from siphon.sip.message import SipMessage, parse
from siphon.testing.world import World

RECIPE = Path(__file__).parents[1] / "recipe.py"
OTHER = ("192.0.2.10", 5099)
STRANGE = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"

Make = Callable[..., World]


@pytest.fixture
def harness(make_world: Make) -> Harness:
    return Harness(make_world(POLICY % "True"))


# --- forwarded


@pytest.mark.parametrize(
    ("name", "gone", "new"),
    [
        ("TOR-lwsdisp", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-semiuri", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-longreq", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-transports", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-baddate", ["max-forwards"], ["content-length", "max-breadth", "max-forwards", "via"]),
        ("TOR-invut", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-sdp01", ["max-forwards"], ["max-breadth", "max-forwards", "via"]),
        ("TOR-inv2543", [], ["content-length", "max-breadth", "max-forwards", "via"]),
    ],
)
def test_a_valid_request_is_forwarded_with_only_our_lines_changed(
    harness: Harness, name: str, gone: list[str], new: list[str]
) -> None:
    raw = stored(name)
    copy = harness.copy(raw)
    taken, added = changes(raw, copy)
    assert (names(taken), names(added)) == (gone, new)
    assert copy.body == parse(raw).body and copy.content_length == len(copy.body)
    assert copy.via.host == b"127.0.0.1" and copy.via_count == parse(raw).via_count + 1


def test_tor_semiuri_the_name_goes_on_behind_its_semicolon(harness: Harness) -> None:
    assert harness.copy(stored("semiuri")).uri == b"sip:user;par=u%40example.net@127.0.0.2:5090"
    assert status(harness.answer(stored("semiuri").replace(b"par=u", b"par=v").replace(b"kdjuw", b"other"))) == 404


def test_tor_longreq_keeps_its_vias_in_order(harness: Harness) -> None:
    raw = sent_from(HARNESS, stored("longreq"))
    copy = harness.copy(raw)
    assert copy.values("Via")[1:] == parse(raw).values("Via") and len(copy.values("Via")) == 35


def test_tor_inv2543_is_forwarded_with_70_hops_and_our_via_on_top(harness: Harness) -> None:
    copy = harness.copy(stored("inv2543"))
    assert copy.max_forwards == 70 and copy.from_tag is None
    assert copy.via.branch.startswith(b"z9hG4bK") and copy.values("Via")[1] == b"SIP/2.0/UDP 192.0.2.9:5099"


def test_tor_wsinv_goes_to_its_route_with_all_its_parts(make_world: Make) -> None:
    harness = Harness(make_world(POLICY % "True", proxy={"unrouted_in_dialog": "relay"}))
    raw = stored("wsinv")
    copy = harness.copy(raw, ("192.0.2.81", 5060))
    taken, added = changes(raw, copy)
    assert taken == [b"MaX-fOrWaRdS: 0068\r\n"] and b"MaX-fOrWaRdS: 67\r\n" in added
    assert names(added) == ["max-breadth", "max-forwards", "via"] and copy.via_count == 4
    assert copy.uri == parse(raw).uri and copy.body == parse(raw).body
    assert harness.send(raw)[0][1].startswith(b"SIP/2.0 100 ")  # the same again, matched without a cookie


def test_tor_wsinv_is_refused_where_a_strangers_route_is_not_followed_inside_a_dialog(harness: Harness) -> None:
    sent = harness.send(stored("wsinv"))
    assert [(place, status(data)) for place, data in sent] == [(HARNESS, 100), (HARNESS, 481)]


def test_tor_intmeth_is_served_like_any_method(harness: Harness) -> None:
    raw = stored("intmeth")
    answer = parse(harness.answer(raw))
    assert (answer.status, answer.call_id, answer.from_tag) == (404, parse(raw).call_id, parse(raw).from_tag)
    assert answer.cseq_method == parse(raw).method
    harness.provision(STRANGE, "<sip:127.0.0.2:5090>")
    raw = raw.replace(b";branch=z9hG4bK-", b";branch=z9hG4bK-2-")
    copy = harness.copy(raw)
    assert copy.method == parse(raw).method and copy.max_forwards == 254
    assert names(changes(raw, copy)[0]) == ["max-forwards"]


def test_tor_esc01_is_routed_by_its_host_with_its_escapes(harness: Harness) -> None:
    raw = stored("esc01")
    copy = harness.copy(raw, ("192.0.2.82", 5060))
    assert copy.uri == b"sip:sips%3Auser%40example.com@example.net"
    assert names(changes(raw, copy)[0]) == ["max-forwards"] and copy.body == parse(raw).body


def test_tor_esc02_is_no_register_and_binds_nothing(harness: Harness) -> None:
    raw = stored("esc02")
    copy = harness.copy(raw, ("192.0.2.83", 5060))
    assert copy.method == "RE%47IST%45R" and len(copy.values("Contact")) == 2 and copy.has("C%6Fntact")
    assert status(harness.answer(raw.replace(b"sip:registrar.", b"sip:").replace(b"zsnel", b"other"))) == 404
    assert harness.contacts("resource") == []


def test_tor_mpart01_goes_along_its_route_with_every_byte_of_its_body(harness: Harness) -> None:
    raw = stored("mpart01")
    copy = harness.copy(raw, ("127.0.0.1", 5080))
    assert b"\0" in copy.body and copy.body == parse(raw).body and copy.content_length == len(copy.body)


def test_tor_badbranch_two_senders_with_a_bare_cookie_have_a_transaction_each(harness: Harness) -> None:
    assert parse(harness.send(stored("badbranch"))[0][1]).method == "OPTIONS"
    assert harness.send(stored("badbranch")) == []  # a repeat
    ((place, data),) = harness.send(stored("badbranch"), OTHER)
    assert place == PHONE and harness.phone.requests == ["OPTIONS", "OPTIONS"]
    harness.phone.answer(harness.phone.inbox[0], 200)
    assert [send.to for send in harness.world.sent[1:]] == [HARNESS]


# --- registered


def test_tor_escnull_lists_two_contacts_of_one_address(harness: Harness) -> None:
    answer = parse(harness.answer(stored("escnull")))
    listed = [b"<sip:%00@host5.example.com>;expires=3600", b"<sip:%00%00@host5.example.com>;expires=3600"]
    assert answer.status == 200 and answer.values("Contact") == listed
    assert harness.contacts("null-%00-null") == listed and harness.contacts("null-") == []


def test_tor_dblreq_serves_the_first_request_alone(harness: Harness) -> None:
    answer = parse(harness.answer(stored("dblreq")))
    assert (answer.status, answer.cseq_method) == (200, "REGISTER")
    assert b"<sip:j.user@host.example.com>;expires=3600" in answer.values("Contact")
    harness.world.advance(40)
    assert harness.phone.inbox == [] and len(harness.world.sent) == 1


def test_tor_scalar02_400_for_the_cseq_and_the_other_numbers_are_cut_to_size(harness: Harness) -> None:
    raw = stored("scalar02")
    assert status(harness.answer(raw)) == 400 and len(harness.contacts("user")) == 1
    answer = parse(harness.answer(raw.replace(b"36893488147419103232", b"8")))
    (new,) = [value for value in answer.values("Contact") if b"host129" in value]
    longest = harness.world.settings.registrar.max_expires
    assert answer.status == 200 and new == b"<sip:user@host129.example.com>;expires=%d" % longest
    raw = raw.replace(b"36893488147419103232", b"9").replace(b";expires=280297596632815", b"")
    assert new in parse(harness.answer(raw.replace(b"342sdfoi3", b"other"))).values("Contact")
    assert harness.copy(stored("maxforwards300")).max_forwards == 70


def test_tor_regbadct_is_refused_whole(harness: Harness) -> None:
    before = harness.contacts("b")
    assert status(harness.answer(stored("regbadct"))) == 400
    assert harness.contacts("b") == before


def test_tor_cparam01_the_parameter_belongs_to_the_contact(harness: Harness) -> None:
    listed = b"<sip:+19725552222@gw1.example.net>;expires=3600;unknownparam"
    assert listed in parse(harness.answer(stored("cparam01"))).values("Contact")
    assert listed in harness.contacts("b")
    assert called(harness, "192.0.2.84").uri == b"sip:+19725552222@gw1.example.net"


def test_tor_cparam02_the_parameter_belongs_to_the_uri(harness: Harness) -> None:
    listed = b"<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600"
    assert listed in parse(harness.answer(stored("cparam02"))).values("Contact")
    assert listed in harness.contacts("b")
    assert called(harness, "192.0.2.84").uri == b"sip:+19725552222@gw1.example.net;unknownparam"


def test_tor_regescrt_the_route_is_listed_and_never_called(harness: Harness) -> None:
    listed = b"<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600"
    assert listed in parse(harness.answer(stored("regescrt"))).values("Contact")
    raw = (
        stored("regescrt")
        .replace(b"<sip:user@example.com?", b"<sip:user@192.0.2.84?")
        .replace(b"z9hG4bKx", b"z9hG4bKy")
    )
    assert status(harness.answer(raw.replace(b"CSeq: 7", b"CSeq: 8"))) == 200
    copy = called(harness, "192.0.2.84")
    assert copy.uri == b"sip:user@192.0.2.84" and not copy.has("Route")


def called(harness: Harness, ip: str) -> SipMessage:
    """What arrives there when b is called."""
    sent = harness.send(stored("baddate"))
    return parse(dict(sent)[ip, 5060])


def test_tor_regaut01_an_unknown_scheme_is_challenged_with_ours(make_world: Make) -> None:
    strict = make_world(POLICY % "auth.require_digest(request)")
    strict.deliver(sent_from(HARNESS, stored("regaut01")), HARNESS)
    assert [status(send.data) for send in strict.sent] == [401]
    challenge = parse(strict.sent[0].data).first("WWW-Authenticate")
    assert challenge is not None and challenge.startswith(b"Digest ") and b"MD5" in challenge


def test_tor_regaut01_is_accepted_where_nobody_asks(harness: Harness) -> None:
    assert status(harness.answer(stored("regaut01"))) == 200


# --- refused


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("TOR-badinv01", 400),
        ("TOR-clerr", 400),
        ("TOR-ncl", 400),
        ("TOR-mcl01", 400),
        ("TOR-quotbal", 400),
        ("TOR-ltgtruri", 400),
        ("TOR-lwsruri", 400),
        ("TOR-lwsstart", 400),
        ("TOR-trws", 400),
        ("TOR-badaspec", 400),
        ("TOR-baddn", 400),
        ("TOR-escruri", 400),
        ("TOR-badvers", 505),
        ("TOR-mismatch01", 400),
        ("TOR-mismatch02", 400),
        ("TOR-insuf", 400),
        ("TOR-multi01", 400),
        ("TOR-unkscm", 416),
        ("TOR-novelsc", 416),
        ("TOR-zeromf", 483),
    ],
)
def test_a_faulty_request_is_answered_and_goes_nowhere(harness: Harness, name: str, code: int) -> None:
    answer = harness.answer(stored(name))
    assert answer.startswith(b"SIP/2.0 %d " % code)
    assert b"\r\nVia: SIP/2.0/UDP 192.0.2.9:5099;" in answer and harness.phone.inbox == []
    harness.world.advance(40)
    assert len(harness.world.sent) == 1 and status(harness.answer(stored("regaut01"))) == 200


@pytest.mark.parametrize("name", ["badinv01", "clerr", "badaspec", "escruri", "badvers", "insuf"])
def test_a_malformed_request_leaves_no_record(harness: Harness, name: str) -> None:
    before = len(list(harness.world.records()))
    harness.answer(stored(name))
    assert len(list(harness.world.records())) == before


@pytest.mark.parametrize("name", ["badinv01", "clerr", "badvers", "novelsc", "zeromf"])
def test_prx_07_a_faulty_ack_is_never_answered(harness: Harness, name: str) -> None:
    raw = stored(name)
    assert len(harness.send(raw)) == 1
    assert harness.send(raw.replace(raw.partition(b" ")[0], b"ACK")) == []
    harness.world.advance(40)
    assert harness.world.sent == [] and harness.phone.inbox == []


def test_tor_unksm2_a_registrar_refuses_what_a_proxy_passes_on(harness: Harness) -> None:
    raw = stored("unksm2")
    assert status(harness.answer(raw)) == 400
    elsewhere = raw.replace(b"sip:example.com", b"sip:example.net").replace(b"kdjuw", b"other")
    copy = harness.copy(elsewhere, ("192.0.2.82", 5060))
    assert copy.method == "REGISTER" and names(changes(elsewhere, copy)[0]) == ["max-forwards"]


def test_tor_bext01_420_names_what_the_role_does_not_know(harness: Harness) -> None:
    raw = stored("bext01")
    answer = parse(harness.answer(raw))
    assert answer.status == 420
    assert answer.values("Unsupported") == [b"noProxiesSupportThis", b"norDoAnyProxiesSupportThis"]
    lines = [line for line in raw.replace(b"OPTIONS", b"REGISTER").split(b"\r\n") if b"Proxy-Require" not in line]
    answer = parse(harness.answer(b"\r\n".join(lines).replace(b"sip:b@example.com SIP", b"sip:example.com SIP")))
    assert answer.status == 420
    assert answer.values("Unsupported") == [b"nothingSupportsThis", b"nothingSupportsThisEither"]


# --- responses


@pytest.mark.parametrize("name", ["unreason", "noreason", "TOR-scalarlg", "TOR-bigcode", "bcast"])
def test_a_response_that_nobody_waits_for_is_dropped(harness: Harness, name: str) -> None:
    assert harness.send(stored(name)) == []
    assert harness.send(sent_from(("127.0.0.1", 5060), stored(name))) == []


def ringing(harness: Harness) -> SipMessage:
    """A call that is at the phone."""
    harness.send(stored("invut"))
    return harness.phone.last


def answered(harness: Harness, start: bytes) -> list[bytes]:
    """The phone answers the call with that status line; what the caller gets."""
    request = ringing(harness)
    harness.world.sent.clear()
    head = [line for line in raw_lines(request) if names([line])[0] in ("via", "from", "call-id", "cseq", "to")]
    harness.phone.send(start + b"\r\n" + b"".join(head) + b"Content-Length: 0\r\n\r\n")
    assert {send.to for send in harness.world.sent} <= {HARNESS}
    return [send.data for send in harness.world.sent]


def test_tor_unreason_travels_with_its_phrase(harness: Harness) -> None:
    line = stored("unreason").partition(b"\r\n")[0]
    (data,) = answered(harness, line)
    assert data.startswith(line + b"\r\n") and b"\xd0" in line


def test_tor_noreason_travels_without_a_phrase_and_its_100_ends_here(harness: Harness) -> None:
    line = stored("noreason").partition(b"\r\n")[0]
    assert answered(harness, line) == []
    harness.world.advance(40)
    assert harness.phone.requests == ["INVITE"]  # heard: no repeats
    assert harness.world.sent == []


def test_tor_noreason_is_forwarded_as_it_is_when_it_rings(harness: Harness) -> None:
    (data,) = answered(harness, b"SIP/2.0 180 ")
    assert data.startswith(b"SIP/2.0 180 \r\n")


def test_tor_bigcode_is_dropped_on_a_live_branch_too(harness: Harness) -> None:
    line = stored("bigcode").partition(b"\r\n")[0]
    assert answered(harness, line) == [] and harness.phone.requests == ["INVITE"]
    assert len(answered(harness, b"SIP/2.0 183 better not break the receiver")) == 1


def test_tor_scalarlg_is_dropped_on_a_live_branch_too(harness: Harness) -> None:
    (ours,) = [line for line in raw_lines(ringing(harness)) if b"127.0.0.1:5060" in line]
    start, _, rest = stored("scalarlg").partition(b"\r\n")
    harness.world.sent.clear()
    harness.phone.send(start + b"\r\n" + ours + rest)
    assert harness.world.sent == [] and harness.world.count(Counter.MALFORMED) == 1


def test_tor_bcast_nothing_goes_to_the_broadcast_address(harness: Harness) -> None:
    harness.send(stored("baddate"))
    branch = harness.phone.last.via.branch
    live = sent_from(("127.0.0.1", 5060), stored("bcast")).replace(b"z9hG4bK1324923", branch)
    harness.world.sent.clear()
    harness.phone.send(live)
    assert harness.world.sent == []


def test_tor_bcast_a_caller_that_only_calls_itself_so_gets_its_answer(harness: Harness) -> None:
    raw = sent_from(("255.255.255.255", 5099), stored("baddate"))
    harness.world.sent.clear()
    harness.world.deliver(raw, HARNESS)
    harness.phone.answer(harness.phone.last, 200)
    assert [send.to for send in harness.world.sent] == [PHONE, HARNESS]


# --- the recipe


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "valid"], ids=lambda path: path.stem)
def test_the_recipe_answers_every_valid_request_once_and_no_response(make_world: Make, path: Path) -> None:
    world = make_world(RECIPE)
    raw = path.read_bytes()
    world.deliver(sent_from(HARNESS, raw), HARNESS)
    answers = [status(send.data) for send in world.sent]
    assert {send.to for send in world.sent} <= {HARNESS}
    if parse(raw).is_request:
        assert len(answers) == 1 and 400 <= answers[0] < 500
    else:
        assert answers == []
