"""`registrar` as scripts see it (section 11); the rules of REGISTER themselves are tested in tests/services."""

import pytest
from script_kit import SOURCE, WALL, Bench, header, sip

from siphon import SipUri, auth, registrar
from siphon.config.testing import settings_for_tests
from siphon.script.context import Services
from siphon.script.runtime import Runtime

SAVE = """
from siphon import proxy, registrar
results = []
@proxy.on_request("REGISTER")
def save(request):
    {}
    results.append(registrar.save(request{}))
"""


MEETS = """
from siphon import proxy, registrar
results = []
@proxy.on_request
def route(request):
    request.{}
    try:
        {}
    except ValueError as error:
        results.append(str(error))
"""


def saving(tmp_path, before="pass", arguments=""):
    return Bench(tmp_path, SAVE.format(before, arguments))


def register(bench, *headers, contact="<sip:bob@192.0.2.7:5060>", via=None, **more):
    more.setdefault("to", "<sip:bob@example.com>")
    facts = {"source": more.pop("source", SOURCE)}
    lines = (*headers, *([f"Contact: {contact}"] if contact else []))
    raw = sip("REGISTER", "sip:example.com", *lines, **more)
    if via:
        raw = raw.replace(b"192.0.2.7:5060;branch", via.encode() + b";branch", 1)
    return bench.route(raw, **facts)


def results():
    from siphon_user_script import results as found

    return found


def waiting(bench, aor="sip:bob@example.com"):
    """The events that on_change has still to be told of, in order; they are taken off."""
    location, found = bench.services.location, []
    (key,) = location.changed_keys()
    while (change := location.begin_change(key, bench.wall)) is not None:
        assert change.aor == aor
        found.append(change.event.value)
        location.delivered(key, change.number, bench.wall)
    return found


def test_reg_16_save_arms_the_200_with_contacts_expires_and_date(tmp_path):
    bench = saving(tmp_path)
    register(bench, contact='<sip:bob@192.0.2.7:5060>;q=0.5;+sip.instance="<urn:uuid:1>"', cseq=1)
    answer = register(bench, contact="<sip:bob@192.0.2.8>;expires=100", cseq=2, call_id="other").action
    assert (answer.status, results()) == (200, [True, True])
    contacts = [value for name, value in answer.headers if name == "Contact"]
    assert '<sip:bob@192.0.2.7:5060>;expires=3600;q=0.5;+sip.instance="<urn:uuid:1>"' in contacts
    assert "<sip:bob@192.0.2.8>;expires=100" in contacts
    assert header(answer, "Expires") == "3600"
    assert header(answer, "Date").endswith(" GMT")


@pytest.mark.parametrize(
    ("headers", "more", "status", "name"),
    [
        (("Require: gruu",), {}, 420, "Unsupported"),
        ((), {"to": "<sip:bob@elsewhere.example>"}, 404, None),
        ((), {"to": "<tel:+1555>"}, 400, None),
        ((), {"contact": "<sip:b@h>;expires=5"}, 423, "Min-Expires"),
        ((), {"contact": "*"}, 400, None),
        ((), {"contact": "<sip:b@h>;q=7"}, 400, None),
    ],
)
def test_an_error_is_armed_save_is_false_and_nothing_changes(tmp_path, headers, more, status, name):
    bench = saving(tmp_path)
    answer = register(bench, *headers, **more).action
    assert (answer.status, results()) == (status, [False])
    assert name is None or header(answer, name) is not None
    assert registrar.lookup("sip:bob@example.com") == []


def test_reg_03_another_users_address_of_record_is_403(tmp_path):
    bench = saving(tmp_path, "request.auth_user = 'alice'")
    assert register(bench).action.status == 403
    bench = saving(tmp_path, "request.auth_user = 'bob@example.com'")
    assert register(bench).action.status == 200


def test_headers_added_before_and_after_save_are_kept(tmp_path):
    bench = saving(tmp_path, "request.set_reply_header('Service-Route', '<sip:us;lr>')")
    outcome = register(bench)
    assert outcome.reply_edits == [("set", "Service-Route", "<sip:us;lr>")]


def test_edits_of_the_request_are_seen_by_save(tmp_path):
    bench = saving(tmp_path, "request.fix_nated_contact(); request.add_path('sip:edge.example.net')")
    outcome = register(bench, "Supported: path", contact="<sip:bob@10.0.0.1:9999>")
    assert header(outcome.action, "Path") == "<sip:edge.example.net;lr>"
    contact = registrar.lookup("sip:bob@example.com")[0]
    assert (contact.uri, contact.path) == ("sip:bob@192.0.2.7:5060", ["<sip:edge.example.net;lr>"])


def test_aliases_and_flow_token_lead_to_the_binding(tmp_path):
    bench = saving(tmp_path, arguments=", aliases=['sip:robert@example.com'], flow_token='t1'")
    register(bench)
    assert [str(c) for c in registrar.lookup("sip:robert@example.com")] == ["sip:bob@192.0.2.7:5060"]
    assert registrar.lookup_by_token("t1").flow_token == "t1"
    assert registrar.lookup_by_token("t2") is None
    assert registrar.lookup_by_token(None) is None


def test_force_replaces_the_bindings(tmp_path):
    bench = saving(tmp_path, arguments=", force=True")
    register(bench)
    register(bench, contact="<sip:bob@192.0.2.8>", cseq=2)
    assert [c.uri for c in registrar.lookup("sip:bob@example.com")] == ["sip:bob@192.0.2.8"]


def test_save_twice_in_one_transaction_is_harmless(tmp_path):
    bench = saving(tmp_path, "registrar.save(request)")
    assert register(bench).action.status == 200
    assert results() == [True]


@pytest.mark.parametrize("target", ["'x'", "None"])
def test_save_of_something_else_is_a_type_error(tmp_path, target):
    with pytest.raises(TypeError):
        registrar.save(eval(target))


def test_the_attributes_of_a_contact(tmp_path):
    bench = saving(tmp_path, arguments=", flow_token='t1'")
    register(
        bench,
        "Path: <sip:edge;lr>",
        contact='<sip:bob@192.0.2.7;x=1>;q=0.7;Foo=bar;flag;+sip.instance="<urn:uuid:1A>";reg-id=1',
    )
    bench.wall = WALL + 100
    (contact,) = registrar.lookup(SipUri("sip:bob@EXAMPLE.com:5060;x=y"))
    assert (contact.uri, str(contact), contact.q, contact.kind) == ("sip:bob@192.0.2.7;x=1", contact.uri, 0.7, "ue")
    assert (contact.expires, contact.age_secs) == (3500, 100)
    assert contact.received == "sip:192.0.2.7:5060;transport=udp"
    assert (contact.path, contact.instance_id, contact.instance_epoch) == (
        ["<sip:edge;lr>"],
        "<urn:uuid:1A>",
        "start-1",
    )
    assert contact.params == [("foo", "bar"), ("flag", None)]
    assert (contact.is_local, contact.flow_token) == (True, "t1")
    assert (contact.flow.remote_addr, contact.flow.local_addr) == ("192.0.2.7:5060", "127.0.0.1:5060")


def test_a_binding_of_another_instance_and_listener_is_not_local(tmp_path):
    bench = saving(tmp_path)
    register(bench)
    bench.services.identity = type(bench.identity)([], None, ["example.com"])
    bench.services.instance_id = "start-2"
    (contact,) = registrar.lookup("sip:bob@example.com")
    assert (contact.is_local, contact.listener) == (False, None)


def test_nat_12_a_contact_behind_nat_is_forked_to_its_source_from_its_listener(tmp_path):
    bench = saving(tmp_path)
    register(bench, contact="<sip:bob@10.0.0.1:9999>", via="10.0.0.1:9999")
    target = registrar.lookup("sip:bob@example.com")[0].target()
    assert (target.uri, target.received, target.via_source) == ("sip:bob@10.0.0.1:9999", SOURCE, True)
    assert (target.listener, target.local_addr) == (0, "127.0.0.1:5060")
    assert target.flow.remote_addr == "192.0.2.7:5060"


def test_nat_12_a_contact_not_behind_nat_is_forked_to_its_uri_from_its_listener(tmp_path):
    bench = saving(tmp_path)
    register(bench, contact="<sip:bob@192.0.2.50:5099>")
    target = registrar.lookup("sip:bob@example.com")[0].target()
    assert (target.uri, target.via_source, target.flow, target.listener) == ("sip:bob@192.0.2.50:5099", False, None, 0)


def test_fix_nated_register_makes_a_binding_count_as_behind_nat(tmp_path):
    bench = saving(tmp_path, "request.fix_nated_register()")
    assert register(bench).answer_to_source
    assert registrar.lookup("sip:bob@example.com")[0].target().via_source


def test_reg_21_a_contact_with_path_is_forked_along_it(tmp_path):
    bench = saving(tmp_path, "request.fix_nated_register()")
    register(bench, "Path: <sip:a;lr>, <sip:b;lr>")
    target = registrar.lookup("sip:bob@example.com")[0].target()
    assert (target.path, target.via_source) == (("<sip:a;lr>", "<sip:b;lr>"), False)


def test_reg_20_a_contact_that_is_not_sip_is_a_failed_branch(tmp_path):
    bench = saving(tmp_path)
    register(bench, contact="<tel:+1555>")
    assert not registrar.lookup("sip:bob@example.com")[0].target().valid


def test_questions_about_bindings(tmp_path):
    bench = saving(tmp_path)
    register(bench)
    assert registrar.is_registered("bob@example.com")
    assert not registrar.is_registered("sip:carol@example.com")
    assert registrar.is_registered_contact("sip:bob@192.0.2.7;x=1")
    assert [c.uri for c in registrar.lookup_contact("sip:bob@192.0.2.7:5060")] == ["sip:bob@192.0.2.7:5060"]
    count = registrar.aor_count()
    with pytest.raises(StopIteration) as end:
        count.send(None)
    assert end.value.value == 1


@pytest.mark.parametrize("call", [registrar.remove, registrar.expire])
def test_remove_drops_everything_and_tells_only_if_there_was_something(tmp_path, call):
    bench = saving(tmp_path)
    told = []
    bench.services.location.tell = told.append
    call("sip:bob@example.com")
    assert told == []
    register(bench)
    call("bob@EXAMPLE.com;x=1")
    assert registrar.lookup("sip:bob@example.com") == []
    assert waiting(bench) == ["registered", "deregistered"]


def test_a_script_that_asks_the_registrar_while_it_is_loaded_gets_a_clear_error(tmp_path):
    Runtime(settings_for_tests(), Services())
    for call in (lambda: registrar.lookup("sip:b@h"), auth.generate_nonce):
        with pytest.raises(RuntimeError, match="not while it is loaded"):
            call()


def test_associated_uris_and_service_routes_are_stored(tmp_path):
    Bench(tmp_path, "")
    assert registrar.asserted_identity("sip:bob@example.com") is None
    registrar.set_associated_uris("sip:bob@example.com", ["sip:a@h", SipUri("tel:+1555")])
    registrar.set_service_routes("sip:bob@example.com", ["<sip:us;lr>"])
    assert registrar.associated_uris("sip:bob@example.com") == ["sip:a@h", "tel:+1555"]
    assert registrar.asserted_identity("sip:bob@example.com") == "sip:a@h"
    assert registrar.service_route("sip:bob@example.com") == ["<sip:us;lr>"]
    registrar.set_associated_uris("sip:bob@example.com", [])
    assert registrar.associated_uris("sip:bob@example.com") == []


@pytest.mark.parametrize(
    "call", [registrar.lookup, registrar.is_registered, registrar.remove, registrar.lookup_contact]
)
def test_sec_07_control_characters_in_an_address_are_a_value_error(tmp_path, call):
    Bench(tmp_path, "")
    with pytest.raises(ValueError):
        call("sip:bob\r\n@example.com")
    with pytest.raises(TypeError):
        call(5)


def test_lookup_of_what_is_no_uri_finds_nothing(tmp_path):
    Bench(tmp_path, "")
    assert registrar.lookup("<<>>") == []


@pytest.mark.parametrize("edit", ["set_header('X-A', 'x' * 70000)", "remove_header('Call-ID')"])
@pytest.mark.parametrize("call", ["registrar.save(request)", "request.loose_route()"])
def test_edits_that_leave_no_message_are_a_value_error_wherever_they_are_met(tmp_path, edit, call):
    bench = Bench(tmp_path, MEETS.format(edit, call))
    register(bench, "Route: <sip:127.0.0.1;lr>")
    assert [text.partition(": ")[0] for text in results()] == ["the edits leave no valid message"]
