"""Handlers and dispatch (section 4)."""

import pytest
from script_kit import Bench, response, sip

from siphon import proxy, registrar, timer
from siphon.script.loader import ScriptLoadError
from siphon.script.outcome import Relay


@pytest.mark.parametrize(
    ("decorator", "methods"),
    [
        ("@proxy.on_request", None),
        ("@proxy.on_request()", None),
        ("@proxy.on_request('INVITE')", {"INVITE"}),
        ("@proxy.on_request('invite | Bye')", {"INVITE", "BYE"}),
        ("@proxy.on_request('INVITE||')", {"INVITE"}),
        ("@proxy.on_request('')", None),
    ],
)
def test_a_filter_selects_methods(tmp_path, decorator, methods):
    bench = Bench(tmp_path, f"from siphon import proxy\n{decorator}\ndef route(request): ...\n")
    for method in ("INVITE", "BYE", "MESSAGE", "FOO"):
        assert bench.runtime.handles(method) == (methods is None or method in methods)


@pytest.mark.parametrize(
    ("decorator", "parameters", "call"),
    [
        ("@proxy.on_request", "", "f(request)"),
        ("@proxy.on_request('INVITE')", "request, reply", "f(request)"),
        ("@proxy.on_reply", "reply", "f(request, reply)"),
        ("@proxy.on_failure()", "request, code, reason", "f(request, reply)"),
        ("@proxy.on_cancel", "request, *, why", "f(request)"),
        ("@registrar.on_change", "aor", "f(aor, event, contacts)"),
        ("@timer.every(5)", "key", "f()"),
    ],
)
def test_a_handler_that_could_not_be_called_does_not_load(tmp_path, decorator, parameters, call):
    text = f"from siphon import proxy, registrar, timer\n{decorator}\ndef f({parameters}): ...\n"
    with pytest.raises(ScriptLoadError) as caught:
        Bench(tmp_path, text)
    assert f"2: TypeError: {decorator[1:].split('(')[0]} calls {call}, which it cannot take: " in str(caught.value)


@pytest.mark.parametrize("parameters", ["request", "request, more=None", "*all", "request, /, **named"])
def test_a_handler_may_have_further_parameters_with_defaults(tmp_path, parameters):
    bench = Bench(tmp_path, f"from siphon import proxy\n@proxy.on_request\nasync def f({parameters}): ...\n")
    assert bench.runtime.handles("INVITE")


@pytest.mark.parametrize(
    ("methods", "warning"),
    [
        ("INVITE|BYE|ACK", []),
        ("INVTE|BYE", ["proxy.on_request of f: INVTE is no method of a SIP RFC"]),
        ("ack", ["proxy.on_request of f is never called: ACK and CANCEL do not reach handlers"]),
    ],
)
def test_a_filter_that_is_probably_a_slip_is_warned_of(tmp_path, methods, warning):
    bench = Bench(tmp_path, f"from siphon import proxy\n@proxy.on_request('{methods}')\ndef f(request): ...\n")
    assert bench.runtime.warnings == warning


@pytest.mark.parametrize("wrong", [5, ["INVITE"], b"INVITE"])
def test_a_filter_of_another_type_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        proxy.on_request(wrong)


def test_decorators_return_the_function_unchanged():
    def handler(*args): ...

    for decorate in (proxy.on_request, proxy.on_reply, proxy.on_failure, proxy.on_cancel, registrar.on_change):
        assert decorate(handler) is handler
        assert decorate()(handler) is handler
    assert timer.every(5)(handler) is handler


def test_on_register_reply_is_accepted_with_a_warning(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_register_reply\ndef f(request, reply): ...\n")
    assert "on_register_reply" in bench.runtime.warnings[0]


def test_405_allow_names_methods_with_a_handler_and_ack_and_cancel_with_invite(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request('INVITE|FOO')\ndef route(request): ...\n")
    assert bench.runtime.methods() == ["INVITE", "ACK", "CANCEL", "FOO"]
    assert not bench.runtime.handles("REGISTER")


def test_all_matching_handlers_run_in_order_on_one_request_and_the_last_action_wins(tmp_path):
    source = """
        from siphon import proxy
        @proxy.on_request
        def first(request):
            request.set_header("X-First", "1")
            request.reply(404, "No")
        @proxy.on_request("REGISTER")
        def not_this(request): request.reply(500, "Wrong")
        @proxy.on_request("INVITE")
        def last(request):
            assert request.get_header("X-First") == "1"
            request.relay()
    """
    outcome = Bench(tmp_path, source).route(sip("INVITE"))
    assert isinstance(outcome.action, Relay)
    assert b"\r\nX-First: 1\r\n" in outcome.message
    assert outcome.edited


def test_edits_reply_headers_vars_and_the_record_route_flag_accumulate(tmp_path):
    source = """
        from siphon import proxy
        @proxy.on_request
        def first(request):
            request.record_route()
            request.add_reply_header("X-A", "1")
            request.vars["a"] = 1
        @proxy.on_request
        def second(request):
            request.add_reply_header("X-B", "2")
            request.vars["b"] = 2
            request.reply(486, "Busy Here")
    """
    outcome = Bench(tmp_path, source).route(sip())
    assert outcome.record_route
    assert outcome.reply_edits == [("add", "X-A", "1"), ("add", "X-B", "2")]
    assert outcome.vars == {"a": 1, "b": 2}


def test_no_action_is_a_silent_drop_and_return_values_are_ignored(tmp_path):
    outcome = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request\ndef route(request): return 'x'\n").route(
        sip()
    )
    assert (outcome.action, outcome.provisionals, outcome.error) == (None, [], None)


def test_an_exception_skips_later_handlers_and_discards_what_was_armed(tmp_path):
    source = """
        from siphon import proxy
        @proxy.on_request
        def first(request):
            request.reply(200, "OK")
            request.set_reply_header("X", "1")
            raise KeyError("oops")
        @proxy.on_request
        def second(request): request.reply(486, "Busy Here")
    """
    bench = Bench(tmp_path, source)
    outcome = bench.route(sip())
    assert isinstance(outcome.error, KeyError)
    assert (outcome.action, outcome.reply_edits) == (None, [])
    assert bench.runtime.errors == 1
    assert "script.error" in bench.log.text
    assert 'script.py", line 7, in first' in bench.log.text.replace("\\", "")
    assert "driver.py" not in bench.log.text
    assert "call-1@192.0.2.7" in bench.log.text


def test_system_exit_in_a_handler_ends_the_handler_only(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request\ndef route(request): raise SystemExit\n")
    assert isinstance(bench.route(sip()).error, SystemExit)


def test_arming_after_the_handlers_have_returned_is_a_runtime_error(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request\ndef route(request): request.relay()\n")
    request = bench.request(sip())
    bench.runtime.run_request(request, None, lambda outcome: None)
    for late in (lambda: request.reply(200, "OK"), request.relay, lambda: request.fork(["sip:a@b"])):
        with pytest.raises(RuntimeError, match="have returned"):
            late()


@pytest.mark.parametrize("kind", ["on_reply", "on_cancel"])
def test_in_on_reply_and_on_cancel_arming_has_no_effect_and_warns(tmp_path, kind):
    arguments = "request, reply" if kind == "on_reply" else "request"
    source = f"""
        from siphon import proxy, registrar, auth
        @proxy.{kind}
        def late({arguments}):
            request.reply(200, "OK")
            request.relay("sip:a@b")
            request.fork(["sip:a@b"])
            auth.require_digest(request)
    """
    bench = Bench(tmp_path, source)
    if kind == "on_reply":
        assert not bench.reply(response(180)).passed
    else:
        bench.runtime.run_cancel(bench.request(sip()), None, lambda outcome: None)
    assert bench.log.text.count("has no effect in on_reply and on_cancel") == 4


def test_every_reply_time_call_gets_a_fresh_copy_with_all_properties(tmp_path):
    source = """
        from siphon import proxy
        seen = []
        @proxy.on_reply
        def first(request, reply):
            request.set_header("X-Mine", "1")
            request.ruri.user = "changed"
        @proxy.on_reply
        def second(request, reply):
            seen.append((request.has_header("X-Mine"), str(request.ruri), request.auth_user, request.transport,
                         request.source_ip, request.consumed_routes, request.vars, reply.vars))
            reply.relay()
    """
    bench = Bench(tmp_path, source)
    outcome = bench.reply(response(180), vars={"k": 1}, auth_user="alice", consumed_routes=["sip:us;lr"])
    from siphon_user_script import seen

    assert outcome.passed
    facts = (False, "sip:bob@example.com", "alice", "udp", "192.0.2.7", ["sip:us;lr"], {"k": 1}, {"k": 1})
    assert seen == [facts]


def test_what_a_handler_does_to_context_variables_does_not_reach_the_next_call(tmp_path):
    source = """
        from contextvars import ContextVar
        from siphon import proxy
        V = ContextVar("v", default=0)
        @proxy.on_request
        def route(request):
            request.reply(200 + V.get(), "OK")
            V.set(2)
    """
    bench = Bench(tmp_path, source)
    assert [bench.route(sip()).action.status for _ in range(2)] == [200, 200]


def test_on_cancel_handlers_all_run_and_an_exception_is_logged(tmp_path):
    source = """
        from siphon import proxy
        @proxy.on_cancel
        def first(request): raise ValueError("x")
        @proxy.on_cancel
        def second(request): request.vars["done"] = True
    """
    bench = Bench(tmp_path, source)
    outcomes = []
    assert bench.runtime.run_cancel(bench.request(sip()), None, outcomes.append)
    assert outcomes[0].vars_written == {"done": True}
    assert "ValueError" in bench.log.text


def test_handlers_of_other_events_run_by_kind(tmp_path):
    source = """
        from siphon import registrar, timer
        seen = []
        @registrar.on_change
        def changed(aor, event, contacts): seen.append((aor, event))
        @timer.every(5, jitter=1)
        def tick(): seen.append("tick")
    """
    bench = Bench(tmp_path, source)
    assert bench.runtime.handlers("timer.every")[0].metadata["name"] == "tick"
    bench.runtime.run_event("registrar.on_change", ("sip:bob@example.com", "registered", []))
    bench.runtime.run_event("timer.every", ())
    from siphon_user_script import seen

    assert seen == [("sip:bob@example.com", "registered"), "tick"]


ACTIONS = {
    "request.reply(486, 'Busy Here')": "Answer 486",
    "request.relay('sip:a@b')": "Relay",
    "request.fork(['sip:a@b'])": "Fork",
    "registrar.save(request)": "Answer 200",
    "auth.require_digest(request)": "Answer 401",
}


@pytest.mark.parametrize("last", ACTIONS)
@pytest.mark.parametrize("first", ACTIONS)
def test_each_action_replaces_the_one_before(tmp_path, first, last):
    source = (
        f"from siphon import auth, proxy, registrar\n@proxy.on_request\ndef route(request):\n    {first}\n    {last}\n"
    )
    register = sip("REGISTER", "sip:example.com", "Contact: <sip:bob@192.0.2.7>")
    action = Bench(tmp_path, source).route(register).action
    status = f" {action.status}" if hasattr(action, "status") else ""
    assert type(action).__name__ + status == ACTIONS[last]


def test_registrar_save_has_no_effect_in_on_reply(tmp_path):
    source = """
        from siphon import proxy, registrar
        @proxy.on_reply
        def back(request, reply):
            assert registrar.save(request) is False
            reply.relay()
    """
    bench = Bench(tmp_path, source)
    register = sip("REGISTER", "sip:example.com", "Contact: <sip:bob@192.0.2.7>")
    outcome = bench.reply(response(200, "OK", method="REGISTER"), bench.request(register))
    assert (outcome.passed, outcome.error) == (True, None)
    assert not bench.services.location.lookup("sip:bob@example.com", bench.wall)
    assert "has no effect in on_reply and on_cancel" in bench.log.text


def test_a_decorator_in_a_handler_has_no_effect_and_says_so(tmp_path):
    source = """
        import siphon
        from siphon import proxy, timer
        @proxy.on_request
        def route(request):
            @proxy.on_reply
            def back(request, reply): ...
            assert timer.every(5)(other) is other
            request.vars["kept"] = len(siphon._siphon_registry.entries())
            request.reply(200)
        def other(): ...
    """
    bench = Bench(tmp_path, source)
    for _ in range(2):
        assert bench.route(sip()).vars["kept"] == 1
    assert "proxy.on_reply of back stands in a handler: it is never called" in bench.log.text
    assert "timer.every of other stands in a handler" in bench.log.text
    assert not bench.runtime.has_reply_handlers()
