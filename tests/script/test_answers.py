"""Answering (section 6.4) and variables (section 6.6)."""

import pytest
from script_kit import Bench, header, sip

from siphon.script.outcome import Answer

ROUTE = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    {}\n"


def run(tmp_path, code, raw=None, **facts):
    bench = Bench(tmp_path, ROUTE.format(code.replace("\n", "\n    ")))
    return bench.route(raw or sip(), **facts)


@pytest.mark.parametrize("code", [99, 700, "200", True, None, 200.0])
def test_a_code_outside_100_to_699_is_a_value_error(tmp_path, code):
    assert isinstance(run(tmp_path, f"request.reply({code!r}, 'x')").error, ValueError)


def test_reply_arms_code_and_reason(tmp_path):
    outcome = run(tmp_path, "request.reply(486, 'Busy At Lunch')")
    assert outcome.action == Answer(486, "Busy At Lunch")


def test_a_provisional_leaves_the_transaction_pending(tmp_path):
    outcome = run(tmp_path, "request.reply(183, 'Session Progress')")
    assert outcome.action is None
    assert [answer.status for answer in outcome.provisionals] == [183]


def test_a_final_armed_after_a_provisional_replaces_it(tmp_path):
    outcome = run(tmp_path, "request.reply(180, 'Ringing')\nrequest.reply(200, 'OK')")
    assert (outcome.action.status, outcome.provisionals) == (200, [])


def test_txn_21_a_provisional_but_100_to_a_non_invite_is_not_sent_and_warns(tmp_path):
    bench = Bench(tmp_path, ROUTE.format("request.reply(180, 'Ringing')"))
    outcome = bench.route(sip("MESSAGE"))
    assert (outcome.action, outcome.provisionals) == (None, [])
    assert "180 to MESSAGE is not sent" in bench.log.text


def test_txn_20_a_408_that_a_script_arms_for_a_non_invite_is_sent_as_504_with_a_warning(tmp_path):
    bench = Bench(tmp_path, ROUTE.format("request.reply(408, 'Too Late')"))
    message, invite = bench.route(sip("MESSAGE")).action, bench.route(sip("INVITE")).action
    assert (message.status, message.reason) == (504, "Server Time-out")
    assert (invite.status, invite.reason) == (408, "Too Late")
    assert bench.log.text.count("408 to MESSAGE is sent as 504") == 1 and "408 to INVITE" not in bench.log.text


@pytest.mark.parametrize(
    ("headers", "reliable"), [(("Supported: timer, 100REL",), True), (("Require: 100rel",), True), ((), False)]
)
def test_reliable_needs_100rel_from_the_sender(tmp_path, headers, reliable):
    outcome = run(tmp_path, "request.reply(183, 'Go', reliable=True)", sip("INVITE", "sip:b@h", *headers))
    assert outcome.provisionals[0].reliable is reliable


@pytest.mark.parametrize("code", [180, 183, 200])
def test_what_begins_a_dialog_has_a_contact_unless_the_script_sets_one(tmp_path, code):
    def answers(more=""):
        outcome = run(tmp_path, f"request.reply({code}){more}", sip("INVITE", "sip:b@h"))
        return outcome, outcome.action or outcome.provisionals[0]

    assert header(answers()[1], "Contact").startswith("<sip:")
    outcome, answer = answers("\nrequest.set_reply_header('m', '<sip:me@192.0.2.9>')")
    assert header(answer, "Contact") is None and outcome.reply_edits == [("set", "m", "<sip:me@192.0.2.9>")]


@pytest.mark.parametrize(("method", "code"), [("INVITE", 100), ("INVITE", 404), ("MESSAGE", 200)])
def test_what_begins_no_dialog_gets_no_contact(tmp_path, method, code):
    outcome = run(tmp_path, f"request.reply({code})", sip(method, "sip:b@h"))
    assert header(outcome.action or outcome.provisionals[0], "Contact") is None


def test_reply_edits_are_queued_before_or_after_arming_in_order(tmp_path):
    code = "request.set_reply_header('X', '1')\nrequest.reply(200, 'OK')\nrequest.add_reply_header('X', '2')"
    assert run(tmp_path, code).reply_edits == [("set", "X", "1"), ("add", "X", "2")]


def test_reply_body_and_to_tag(tmp_path):
    code = "request.reply(200, 'OK')\nrequest.set_reply_body('hi', 'text/plain')\nrequest.set_reply_to_tag('mine')"
    outcome = run(tmp_path, code)
    assert (outcome.reply_body, outcome.reply_to_tag) == (b"hi", "mine")
    assert outcome.reply_edits == [("set", "Content-Type", "text/plain")]
    assert run(tmp_path, code, sip("BYE", to="<sip:b@h>;tag=b1")).reply_to_tag is None


@pytest.mark.parametrize("name", ["WWW-Authenticate", "Proxy-Authenticate", "SIP-ETag"])
def test_some_headers_are_copied_only_when_the_script_set_them_on_the_request(tmp_path, name):
    echoed = sip("INVITE", "sip:b@h", f"{name}: theirs")
    assert header(run(tmp_path, "request.reply(200, 'OK')", echoed).action, name) is None
    code = f"request.set_header({name!r}, 'mine')\nrequest.reply(200, 'OK')"
    assert header(run(tmp_path, code, echoed).action, name) == "mine"


def test_prx_31_defaults_of_a_2xx_to_options_yield_to_what_the_script_set(tmp_path):
    code = "request.reply(200, 'OK')\nrequest.set_reply_header('accept', 'text/plain')"
    answer = run(tmp_path, code, sip("OPTIONS", "sip:example.com")).action
    assert header(answer, "Accept") is None
    assert header(answer, "Contact") == "<sip:127.0.0.1:5060>"
    assert run(tmp_path, "request.reply(404, 'No')", sip("OPTIONS", "sip:example.com")).action.headers == []


def test_an_empty_reason_stays_empty_and_an_absent_one_is_the_standard_phrase(tmp_path):
    assert run(tmp_path, "request.reply(480, '')").action.reason == ""
    assert run(tmp_path, "request.reply(480)").action.reason == "Temporarily Unavailable"


def test_fix_nated_register_answers_to_the_source_and_leaves_contact_alone(tmp_path):
    raw = sip("REGISTER", "sip:example.com", "Contact: <sip:b@10.0.0.1>")
    outcome = run(tmp_path, "request.fix_nated_register()\nrequest.reply(200, 'OK')", raw)
    assert outcome.answer_to_source
    assert (outcome.edited, outcome.message) == (False, raw)


# -- vars


def test_vars_of_a_new_request_start_empty_and_reach_the_outcome_packed(tmp_path):
    outcome = run(
        tmp_path, "assert request.vars == {}\nrequest.vars['k'] = [1, {'a': b'x'}, None, 2.5]\nrequest.relay()"
    )
    assert outcome.vars == {"k": [1, {"a": b"x"}, None, 2.5]}
    assert Bench(tmp_path, "").request(sip(), vars=outcome.vars_bytes).vars == outcome.vars


@pytest.mark.parametrize(
    "value",
    ["object()", "{1: 2}", "(1,)", "2**63", "{'a': {1}}", "bytearray(b'x')", "print", "{'x' * 5000: 1}", "'x' * 5000"],
)
def test_unsuitable_vars_count_as_an_exception_of_the_handler(tmp_path, value):
    outcome = run(tmp_path, f"request.relay()\nrequest.vars['k'] = {value}")
    assert isinstance(outcome.error, (TypeError, ValueError))
    assert (outcome.action, outcome.vars_bytes) == (None, b"")


def test_text_that_is_not_utf_8_fits_into_vars(tmp_path):
    raw = sip("INVITE", "sip:b@h", "X-Odd: \udcff")
    outcome = run(tmp_path, "request.vars['k'] = request.get_header('X-Odd')\nrequest.relay()", raw)
    assert Bench(tmp_path, "").request(sip(), vars=outcome.vars_bytes).vars == {"k": "\udcff"}


def test_vars_that_nobody_read_are_handed_on_packed(tmp_path):
    packed = run(tmp_path, "request.vars['k'] = 1").vars_bytes
    assert run(tmp_path, "request.relay()", vars=packed).vars_bytes == packed


def test_assigning_vars_replaces_the_contents(tmp_path):
    assert run(tmp_path, "request.vars['a'] = 1\nrequest.vars = {'b': 2}").vars == {"b": 2}
    assert isinstance(run(tmp_path, "request.vars = 5").error, TypeError)


def test_sec_13_a_warning_that_each_request_brings_about_is_a_few_lines_a_second(tmp_path):
    bench = Bench(tmp_path, ROUTE.format("request.reply(183, 'Progress', reliable=True)"))
    bench.log.clock = lambda: 1000.0
    for _ in range(200):
        bench.route(sip())
    assert len(bench.log.written) == 5
    assert "183 is sent unreliably" in bench.log.text
