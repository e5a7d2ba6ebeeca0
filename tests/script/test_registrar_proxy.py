"""`registrar.save_proxy`, `save_pending` and `confirm_pending` as scripts see them (API 11.2)."""

import pytest
from script_kit import Bench, response, sip
from test_registrar_api import header, register, results, waiting

from siphon import registrar
from siphon.services.store import StoreError

BOB = "sip:bob@example.com"
PHONE = "<sip:bob@192.0.2.7:5060>"
EDGE = """
from siphon import proxy, registrar
results = []
@proxy.on_request("REGISTER")
def route(request):
    request.add_path("sip:127.0.0.1:5060")
    request.relay("sip:192.0.2.9")

@proxy.on_reply
def back(request, reply):
    results.append(registrar.save_proxy(request, reply{}))
    reply.relay()
"""


def edge(tmp_path, arguments=""):
    return Bench(tmp_path, EDGE.format(arguments), registrar={"max_contacts": 2, "max_expires": 600})


def accepted(bench, *answer, contact=PHONE, headers=(), status=200, **more):
    """The reply handlers on a REGISTER with these headers, answered by `answer`."""
    lines = (*headers, *([f"Contact: {contact}"] if contact else []))
    more.setdefault("to", f"<{BOB}>")
    request = bench.request(sip("REGISTER", "sip:example.com", *lines, **more))
    outcome = bench.reply(response(status, "OK", *answer, method="REGISTER"), request)
    assert outcome.passed
    return outcome


@pytest.mark.parametrize(
    ("answer", "lifetime"),
    [
        ((f"Contact: {PHONE};expires=1800", "Expires: 60"), 1800),
        (
            (
                "Contact: <sip:bob@192.0.2.7:5060;transport=udp>;expires=9",
                f"Contact: <sip:other@h>, {PHONE};expires=20",
            ),
            20,
        ),
        ((f"Contact: {PHONE}", "Expires: 7000"), 7000),
        (("Contact: <sip:other@h>;expires=20", "Expires: 90"), 90),
        ((f"Contact: {PHONE};expires=soon",), 3600),
    ],
)
def test_the_lifetime_is_that_of_the_matching_contact_else_of_expires_and_32_s_more(tmp_path, answer, lifetime):
    bench = edge(tmp_path)
    accepted(bench, *answer)
    (contact,) = registrar.lookup(BOB)
    assert (contact.uri, contact.expires) == ("sip:bob@192.0.2.7:5060", lifetime + 32)
    assert (results(), contact.is_local) == ([True], True)
    assert contact.received == "sip:192.0.2.7:5060;transport=udp"


def test_a_reply_that_names_no_lifetime_is_a_value_error(tmp_path):
    bench = edge(tmp_path)
    outcome = accepted(bench, "Contact: <sip:other@h>;expires=20")
    assert isinstance(outcome.error, ValueError) and registrar.lookup(BOB) == []


@pytest.mark.parametrize(
    ("contact", "headers", "answer"),
    [
        (PHONE, (), (f"Contact: {PHONE};expires=0",)),
        (PHONE, (), ("Expires: 0",)),
        (PHONE + ";expires=0", (), ()),
        (PHONE, ("Expires: 0",), ("Contact: <sip:other@h>;expires=20", "Expires: 20")),
        ("*", ("Expires: 0",), ()),
    ],
)
def test_0_clears(tmp_path, contact, headers, answer):
    bench = edge(tmp_path)
    accepted(bench, "Expires: 600")
    bench.services.location.tell = lambda key: None
    accepted(bench, *answer, contact=contact, headers=headers, cseq=2)
    assert (registrar.lookup(BOB), results()) == ([], [True, True])
    assert waiting(bench) == ["deregistered"]


def test_it_is_not_capped_and_arms_nothing(tmp_path):
    bench = edge(tmp_path)
    contact = ", ".join(f"<sip:bob@192.0.2.{n}>" for n in range(5))
    outcome = accepted(bench, "Expires: 100000", contact=contact)
    assert outcome.error is None
    assert len(registrar.lookup(BOB)) == 5 and registrar.lookup(BOB)[0].expires == 100_032


@pytest.mark.parametrize("more", [{"status": 401}, {"status": 100 + 80}, {"contact": None}, {"to": "<tel:+1>"}])
def test_where_nothing_was_accepted_nothing_is_remembered(tmp_path, more):
    bench = edge(tmp_path)
    accepted(bench, "Expires: 600", **more)
    assert results() == [False] and registrar.lookup(BOB) == []


def test_the_domain_need_not_be_ours_and_a_later_cseq_stays(tmp_path):
    bench = edge(tmp_path)
    accepted(bench, "Expires: 600", to="<sip:bob@elsewhere.example>", cseq=5)
    assert registrar.is_registered("sip:bob@elsewhere.example")
    accepted(bench, "Expires: 0", to="<sip:bob@elsewhere.example>", cseq=4)
    assert registrar.is_registered("sip:bob@elsewhere.example") and results() == [True, False]


def test_the_path_is_the_way_from_here_on_without_our_own_value(tmp_path):
    bench = edge(tmp_path)
    path = ["Path: <sip:127.0.0.1:5060;lr>, <sip:access.example.net;lr>"]
    accepted(bench, "Expires: 600", headers=path)
    assert registrar.lookup(BOB)[0].path == ["<sip:access.example.net;lr>"]
    accepted(bench, "Expires: 600", headers=["Path: <sip:127.0.0.1:5060;lr>"], cseq=2)
    assert registrar.lookup(BOB)[0].path == []
    accepted(bench, "Expires: 600", headers=["Path: <<"], cseq=3)
    assert registrar.lookup(BOB)[0].path == ["<<"]


def test_aliases_and_flow_token_lead_to_it(tmp_path):
    bench = edge(tmp_path, ", aliases=['sip:robert@example.com'], flow_token='t1'")
    accepted(bench, "Expires: 600")
    assert registrar.is_registered("robert@example.com")
    assert registrar.lookup_by_token("t1").flow_token == "t1"


def test_wrong_arguments(tmp_path):
    bench = edge(tmp_path)
    request = bench.request(sip("REGISTER", "sip:example.com", f"Contact: {PHONE}"))
    for reply in (None, request):
        with pytest.raises(TypeError):
            registrar.save_proxy(request, reply)
    with pytest.raises(ValueError, match="REGISTER"):
        registrar.save_proxy(bench.request(sip("INVITE")), None)
    with pytest.raises(TypeError, match="list"):
        registrar.save(request, aliases="sip:a@b")
    with pytest.raises(TypeError):
        registrar.save_pending("REGISTER")
    with pytest.raises(TypeError):
        registrar.confirm_pending(None)
    with pytest.raises(ValueError, match="REGISTER"):
        registrar.save_pending(bench.request(sip("INVITE")))


def test_a_store_that_fails_is_a_runtime_error(tmp_path):
    bench = edge(tmp_path)
    bench.services.location._table.commit = lambda *args, **more: -1
    assert isinstance(accepted(bench, "Expires: 600").error, StoreError)
    with pytest.raises(RuntimeError):
        registrar.set_associated_uris(BOB, ["sip:a@h"])


PENDING = """
from siphon import proxy, registrar
results = []
@proxy.on_request("REGISTER")
def save(request):
    results.append(registrar.save_pending(request))
    request.set_reply_header("Service-Route", "<sip:us;lr>")
"""


def test_save_pending_arms_as_save_does_and_confirm_makes_it_visible(tmp_path):
    bench = Bench(tmp_path, PENDING)
    outcome = register(bench)
    assert (outcome.action.status, results()) == (200, [True])
    assert header(outcome.action, "Contact") == f"{PHONE};expires=3600"
    assert outcome.reply_edits == [("set", "Service-Route", "<sip:us;lr>")]
    assert not registrar.is_registered(BOB)
    assert registrar.confirm_pending(BOB) and registrar.is_registered(BOB)
    assert not registrar.confirm_pending(BOB)
    assert register(bench, contact="<sip:b@h>;expires=5", cseq=2).action.status == 423 and results() == [True, False]


def test_what_waits_for_confirmation_is_dropped_after_32_s(tmp_path):
    bench = Bench(tmp_path, PENDING)
    register(bench)
    bench.wall += 32
    assert not registrar.confirm_pending(BOB)
