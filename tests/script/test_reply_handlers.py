"""Responses: Reply, on_reply and on_failure (section 8)."""

import pytest
from script_kit import Bench, response, sip

from siphon.script.outcome import Answer, Fork, Relay
from siphon.script.reply import Reply
from siphon.sip.message import parse

HEAD = "from siphon import proxy, log\n"


def bench(tmp_path, *handlers):
    return Bench(tmp_path, HEAD + "\n".join(handlers))


def on_reply(body, name="h"):
    return f"@proxy.on_reply\ndef {name}(request, reply):\n    {body}\n"


def on_failure(body, name="h"):
    return f"@proxy.on_failure\ndef {name}(request, reply):\n    {body}\n"


def callback(body, arguments="request, reply"):
    return f"def f({arguments}):\n    {body}\n"


F = "siphon_user_script:f"


def test_the_properties_of_a_reply():
    raw = response(183, "Session Progress", "Content-Type: application/sdp", body=b"v=0")
    reply = Reply(parse(raw), ("192.0.2.9", 5080))
    assert (reply.status_code, reply.reason, reply.call_id) == (183, "Session Progress", "call-1@192.0.2.7")
    assert (str(reply.from_uri), str(reply.to_uri)) == ("sip:alice@example.com", "sip:bob@example.com")
    assert (reply.source_ip, reply.source_port) == ("192.0.2.9", 5080)
    assert (reply.body, reply.content_type, reply.has_body("application/sdp")) == (b"v=0", "application/sdp", True)
    local = Reply(parse(raw), None)
    assert (local.source_ip, local.source_port, local.vars) == (None, None, {})
    assert local.from_gateway("trunks") is False


def test_without_handlers_a_response_passes_unchanged(tmp_path):
    raw = response(180)
    outcome = bench(tmp_path).reply(raw)
    assert (outcome.passed, outcome.message, outcome.edited) == (True, raw, False)


@pytest.mark.parametrize("call", ["relay", "forward"])
def test_one_handler_that_relays_lets_it_pass_with_the_edits_of_all(tmp_path, call):
    b = bench(
        tmp_path,
        on_reply(f"reply.set_header('X', '1'); reply.{call}()", "a"),
        on_reply("reply.remove_header('Y')", "b"),
    )
    outcome = b.reply(response(180, "Ringing", "Y: 2"))
    assert outcome.passed and outcome.edited
    assert b"\r\nX: 1\r\n" in outcome.message
    assert b"Y: 2" not in outcome.message


def test_handlers_that_do_not_relay_drop_just_this_response(tmp_path):
    outcome = bench(tmp_path, on_reply("pass")).reply(response(180))
    assert (outcome.passed, outcome.reject, outcome.error) == (False, None, None)


def test_a_handler_that_raises_lets_it_pass_and_voids_a_reject(tmp_path):
    b = bench(
        tmp_path, on_reply("reply.reject(403); raise ValueError"), on_reply("reply.set_header('X', '1')", "later")
    )
    outcome = b.reply(response(180))
    assert (outcome.passed, outcome.reject, outcome.edited) == (True, None, False)
    assert isinstance(outcome.error, ValueError)
    assert b.runtime.errors == 1


def test_reject_on_a_provisional_overrides_relay(tmp_path):
    outcome = bench(tmp_path, on_reply("assert reply.reject(403) is True; reply.relay()")).reply(response(183))
    assert (outcome.passed, outcome.reject) == (False, (403, "Forbidden"))


def test_reject_on_a_final_or_after_cancel_has_no_effect(tmp_path):
    b = bench(tmp_path, on_reply("assert reply.reject(403, 'No') is False; reply.relay()"))
    outcome = b.reply(response(200, "OK"))
    assert (outcome.passed, outcome.reject) == (True, None)
    late = Reply(parse(response(180)), None, final_sent=True)
    assert late.reject(403) is False


@pytest.mark.parametrize("code", [399, 700, 200, "403"])
def test_reject_takes_400_to_699(code):
    with pytest.raises(ValueError):
        Reply(parse(response(180)), None).reject(code)


def test_fix_nated_contact_needs_a_source(tmp_path):
    reply = Reply(parse(response(200, "OK", "Contact: <sip:b@10.0.0.1:5090>")), ("192.0.2.9", 5080))
    reply.fix_nated_contact()
    assert reply.get_header("Contact") == "<sip:b@192.0.2.9:5080>"
    with pytest.raises(RuntimeError):
        Reply(parse(response(180)), None).fix_nated_contact()


def test_the_callback_of_relay_runs_after_the_globals_and_must_relay_itself(tmp_path):
    b = bench(tmp_path, on_reply("reply.set_header('X', '1'); reply.relay()"), callback("assert reply.has_header('X')"))
    outcome = b.reply(response(180), per_relay=F)
    assert (outcome.passed, outcome.error) == (False, None)


def test_the_callback_does_not_run_when_the_globals_dropped_or_rejected(tmp_path):
    for body in ("pass", "reply.reject(403)", "reply.relay(); reply.reject(403)"):
        b = bench(tmp_path, on_reply(body), callback("raise ValueError"))
        assert b.reply(response(180), per_relay=F).error is None


def test_a_callback_that_raises_lets_the_response_pass(tmp_path):
    outcome = bench(tmp_path, callback("raise ValueError")).reply(response(180), per_relay=F)
    assert outcome.passed
    assert isinstance(outcome.error, ValueError)


def test_vars_written_by_reply_handlers_come_back_key_by_key(tmp_path):
    body = "reply.vars['n'] = 2; request.vars['list'].append(1); del request.vars['gone']; reply.relay()"
    outcome = bench(tmp_path, on_reply(body)).reply(response(180), vars={"n": 1, "list": [], "gone": 0, "same": "x"})
    assert outcome.vars_written == {"n": 2, "list": [1]}
    assert outcome.vars_deleted == ["gone"]


def test_unsuitable_vars_count_as_an_exception_and_are_not_written(tmp_path):
    outcome = bench(tmp_path, on_reply("request.vars['k'] = object()")).reply(response(180), vars={"a": 1})
    assert outcome.passed
    assert isinstance(outcome.error, TypeError)
    assert (outcome.vars_written, outcome.vars_deleted) == ({}, [])


# -- on_failure


def test_no_failure_handlers_do_nothing_without_warning(tmp_path):
    b = bench(tmp_path)
    outcome = b.failure(response(486, "Busy Here"))
    assert (outcome.action, outcome.relay_reply, b.log.text) == (None, False, "")


def test_a_failure_handler_retargets_with_its_own_edits_only(tmp_path):
    b = bench(
        tmp_path,
        on_failure("request.set_header('X', 'lost')", "a"),
        on_failure("request.set_header('Y', 'kept'); request.relay('sip:vm@h')", "b"),
    )
    outcome = b.failure(response(486, "Busy Here"), record_route=True)
    assert outcome.action == Relay("sip:vm@h")
    assert b"\r\nY: kept\r\n" in outcome.request.message
    assert b"X: lost" not in outcome.request.message
    assert outcome.request.record_route


def test_the_last_action_of_all_failure_handlers_wins(tmp_path):
    b = bench(tmp_path, on_failure("request.relay('sip:a@h')", "a"), on_failure("request.reply(480)", "b"))
    assert b.failure(response(486)).action == Answer(480, "Temporarily Unavailable")
    b = bench(tmp_path, on_failure("request.reply(480)", "a"), on_failure("reply.relay()", "b"))
    outcome = b.failure(response(486))
    assert (outcome.action, outcome.relay_reply) == (None, True)
    b = bench(tmp_path, on_failure("reply.relay(); request.fork(['sip:a@h'])"))
    outcome = b.failure(response(486))
    assert isinstance(outcome.action, Fork)
    assert not outcome.relay_reply


def test_relaying_the_failure_keeps_its_edits(tmp_path):
    outcome = bench(tmp_path, on_failure("reply.set_header('X', '1'); reply.relay()")).failure(response(486))
    assert outcome.relay_reply and outcome.reply_edited
    assert b"\r\nX: 1\r\n" in outcome.reply


@pytest.mark.parametrize("handlers", [[on_failure("pass")], [callback("pass", "request, code, reason")]])
def test_doing_nothing_forwards_the_failure_with_a_warning(tmp_path, handlers):
    b = bench(tmp_path, *handlers)
    outcome = b.failure(response(486), per_relay=F if "def f" in handlers[0] else None)
    assert (outcome.action, outcome.relay_reply) == (None, False)
    assert "on_failure did nothing with 486" in b.log.text


def test_a_failure_handler_that_raises_voids_every_action(tmp_path):
    b = bench(tmp_path, on_failure("request.relay('sip:a@h')", "a"), on_failure("raise ValueError", "b"))
    outcome = b.failure(response(486))
    assert (outcome.action, outcome.relay_reply) == (None, False)
    assert isinstance(outcome.error, ValueError)


def test_the_failure_callback_gets_code_and_reason_and_its_action_skips_the_globals(tmp_path):
    body = "assert (code, reason) == (486, 'Busy Here'); request.relay('sip:vm@h')"
    b = bench(tmp_path, callback(body, "request, code, reason"), on_failure("raise ValueError"))
    outcome = b.failure(response(486, "Gone Fishing"), per_relay=F)
    assert (outcome.action, outcome.error) == (Relay("sip:vm@h"), None)


@pytest.mark.parametrize("body", ["pass", "raise ValueError", "request.vars['k'] = object()"])
def test_a_failure_callback_that_arms_nothing_or_raises_leaves_it_to_the_globals(tmp_path, body):
    b = bench(tmp_path, callback(body, "request, code, reason"), on_failure("request.reply(480)"))
    outcome = b.failure(response(486), per_relay=F)
    assert (outcome.action.status, outcome.error) == (480, None)
    assert b.runtime.errors == (body != "pass")


def test_a_failure_callback_that_arms_a_provisional_leaves_the_rest_to_the_globals(tmp_path):
    b = bench(tmp_path, callback("request.reply(183)", "request, code, reason"), on_failure("request.reply(480)"))
    outcome = b.failure(response(486), per_relay=F)
    assert (outcome.action.status, outcome.error) == (480, None)


@pytest.mark.parametrize("code", [302, 487])
def test_the_failure_callback_is_not_for_3xx_and_487(tmp_path, code):
    b = bench(tmp_path, callback("raise ValueError", "request, code, reason"), on_failure("reply.relay()"))
    assert b.failure(response(code, "X"), per_relay=F).relay_reply
    assert b.runtime.errors == 0


def test_vars_written_in_on_failure_come_back(tmp_path):
    outcome = bench(tmp_path, on_failure("request.vars['tries'] = 1; request.relay()")).failure(response(486))
    assert outcome.vars_written == {"tries": 1}


def test_section_18_example_goes_to_voicemail(tmp_path):
    body = "if code in (408, 480, 486): log.info(f\"{request.vars['aor']}: {code}, to voicemail\")"
    body += "\n    request.relay('sip:voicemail.example.net')"
    b = bench(tmp_path, callback(body, "request, code, reason"), on_reply("reply.relay()"))
    outcome = b.failure(response(486), b.request(sip(), vars={"aor": "sip:bob@example.com"}), per_relay=F)
    assert outcome.action.next_hop == "sip:voicemail.example.net"
    assert "sip:bob@example.com: 486, to voicemail" in b.log.text
