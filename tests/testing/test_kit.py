"""The kit that people test their scripts with: its phones, its clock, and what it says when a test fails."""

import subprocess
import sys

import pytest

from siphon.config.errors import ConfigurationError
from siphon.script.loader import ScriptLoadError

SCRIPT = """
from siphon import auth, log, proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    if auth.require_digest(request):
        registrar.save(request)

@proxy.on_request("INVITE|MESSAGE|BYE")
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481, "Call/Transaction Does Not Exist")
    elif auth.require_proxy_digest(request):
        contacts = registrar.lookup(request.ruri)
        request.record_route()
        if contacts:
            request.fork(contacts, timeout=25, on_failure=no_answer)
        else:
            request.reply(480, "Temporarily Unavailable")

def no_answer(request, code, reason):
    log.info(f"{request.ruri}: {code}")
    request.relay("sip:voicemail.example.net")
"""
BROKEN = """
from siphon import proxy

@proxy.on_request
def route(request):
    raise RuntimeError("on purpose")
"""


@pytest.fixture
def server(siphond):
    return siphond(SCRIPT)


@pytest.fixture
def alice(server):
    return server.phone("alice", password="secret")


@pytest.fixture
def bob(server):
    phone = server.phone("bob", password="secret")
    phone.register()
    return phone


def test_a_phone_registers_with_its_password_and_unregisters(server):
    bob = server.phone("bob", password="secret")
    assert bob.register(expires=600).headers("Contact") == [f"<{bob.contact}>;expires=600"]
    assert server.contacts("sip:bob@example.com") == ["sip:bob@192.0.2.1:5060"]
    assert bob.unregister().status == 200
    assert server.contacts("sip:bob@example.com") == []


def test_a_wrong_password_is_tried_once(server):
    thief = server.phone("bob", password="guess")
    assert thief.register().status == 401
    assert server.contacts("sip:bob@example.com") == []


def test_a_call_from_ringing_to_hanging_up(alice, bob):
    call = alice.invite("sip:bob@example.com", body="v=0\r\n")
    ringing = bob.incoming("INVITE")
    assert (ringing.request.body, ringing.request.header("Max-Forwards")) == ("v=0\r\n", "69")
    ringing.ring()
    assert call.statuses == [407, 100, 180]
    assert not ringing.acknowledged
    ringing.accept("v=1\r\n")
    assert call.final is not None
    assert (call.status, call.final.body, ringing.acknowledged) == (200, "v=1\r\n", True)
    assert call.bye().status == 200
    assert ringing.dialog.ended


def test_the_callee_may_hang_up_and_either_side_may_ask_again_within_the_dialog(alice, bob):
    call = alice.invite("sip:bob@example.com")
    answered = bob.incoming()
    answered.accept()
    again = call.dialog.request("INVITE", body="v=2")
    bob.incoming("INVITE").accept("v=3")
    assert again.final is not None
    assert (again.final.body, len(call.dialogs), len(bob.dialogs)) == ("v=3", 1, 1)
    message = answered.dialog.request("MESSAGE", body="hello")
    alice.incoming("MESSAGE").answer(200)
    assert message.status == 200
    assert answered.bye().status == 200
    assert call.dialog.ended


def test_time_goes_on_only_when_told_and_timers_fire_on_the_way(server, alice, bob):
    server.set_name("voicemail.example.net", "192.0.2.80")
    voicemail = server.phone(address="192.0.2.80")
    call = alice.invite("sip:bob@example.com")
    ringing = bob.incoming()
    ringing.ring()
    server.advance(24.9)
    assert not ringing.cancelled
    server.advance(0.2)
    assert ringing.cancelled
    voicemail.incoming("INVITE").accept()
    assert call.status == 200
    assert "sip:bob@example.com: 408" in [line.text for line in server.log]


def test_a_caller_that_cancels(alice, bob):
    call = alice.invite("sip:bob@example.com")
    ringing = bob.incoming()
    ringing.ring()
    assert call.cancel().status == 200
    assert (call.status, ringing.cancelled, ringing.final, ringing.acknowledged) == (487, True, 487, True)


def test_a_phone_that_is_offline_gets_repeats_and_one_that_is_unreachable_fails_at_once(server, alice, bob):
    server.set_name("voicemail.example.net", "192.0.2.80")
    voicemail = server.phone(address="192.0.2.80")
    voicemail.always("INVITE", 486)
    bob.offline = True
    waiting = alice.invite("sip:bob@example.com")
    server.advance(24)
    assert (waiting.status, bob.received) == (100, [])
    assert str(server.world.flow).count("(lost)") == 6  # Timer A: at 0, 0.5, 1.5, 3.5, 7.5 and 15.5 s
    bob.offline = False
    bob.unreachable = True
    assert alice.invite("sip:bob@example.com").status == 486


def test_a_repeat_reaches_nobody_twice_and_a_phone_answers_a_repeat_as_before(server, alice, bob):
    call = alice.invite("sip:bob@example.com")
    ringing = bob.incoming()
    call.repeat()
    assert ringing.copies == 1
    server.advance(0.6)
    assert ringing.copies == 2  # Timer A: nothing was answered
    ringing.ring()
    call.repeat()
    assert call.statuses == [407, 100, 100, 180, 180]


def test_canned_answers_and_what_nobody_answers(server, alice, bob):
    bob.always("INVITE", 180, 486, headers={"Warning": '399 bob "no"'})
    server.set_name("voicemail.example.net", "192.0.2.80")
    server.phone(address="192.0.2.80").always("INVITE")
    call = alice.invite("sip:bob@example.com")
    assert call.statuses == [407, 100, 180]
    assert bob.received[0].answered == [180, 486]
    assert bob.waiting == []


def test_a_phone_behind_a_nat_names_its_private_address_and_gets_answers_at_the_other(server, alice):
    carol = server.phone("carol", address="192.0.2.77:1024", behind="10.0.0.5:5060")
    message = carol.request("MESSAGE", "sip:bob@example.com", body="x")
    assert message.status == 407
    assert message.responses[0].header("Via") is not None
    assert "10.0.0.5" in str(message.responses[0].header("Via"))
    assert "received=192.0.2.77" in str(message.responses[0].header("Via"))


def test_a_worker_that_dies_takes_no_call_with_it(server, alice, bob):
    call = alice.invite("sip:bob@example.com")
    ringing = bob.incoming()
    ringing.ring()
    server.kill_worker()
    ringing.accept()
    assert call.status == 200
    assert call.bye().status == 200


def test_headers_can_be_added_replaced_and_left_out(server, bob):
    dave = server.phone("dave")
    headers = {"Max-Forwards": None, "X-A": ["1", "2"], "Contact": "<sip:x@y>"}
    sent = dave.request("MESSAGE", "sip:bob@example.com", headers)
    assert sent.request.headers("X-A") == ["1", "2"]
    assert sent.request.header("Max-Forwards") is None
    assert sent.request.header("m") == "<sip:x@y>"


def test_anything_can_be_sent(server, alice):
    alice.send(b"\x00\x01garbage")
    alice.send("OPTIONS sip:example.com SIP/3.0\nVia: SIP/3.0/UDP 192.0.2.9;branch=z9hG4bK1\n\n")
    assert len(alice.unreadable) == 1


def test_what_a_script_raises_is_kept(siphond):
    server = siphond(BROKEN)
    assert server.phone("alice").invite("sip:bob@example.com").status == 500
    [trace] = server.take_errors()
    assert "on purpose" in trace
    assert server.faults() == []


def test_a_script_that_does_not_load_says_so(siphond):
    with pytest.raises(ScriptLoadError, match="nothing of the kind"):
        siphond("raise RuntimeError('nothing of the kind')\n")


def test_keywords_that_are_no_settings_are_told_as_by_check(siphond):
    with pytest.raises(ConfigurationError) as refused:
        siphond(SCRIPT, registrar={"max_contcts": 1}, registar={})
    assert sorted(map(str, refused.value.problems)) == [
        "siphond(): registar: unknown key; did you mean registrar",
        "siphond(): registrar.max_contcts: unknown key; did you mean registrar.max_contacts",
    ]


def test_a_script_that_does_not_load_shows_its_own_lines_and_none_of_ours(tmp_path):
    path = tmp_path / "test_of_script.py"
    path.write_text("def test_it(siphond):\n    siphond('from siphon import proxy\\nproxy.on_requst\\n')\n")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert "line 2: AttributeError: 'Proxy' object has no attribute 'on_requst'" in done.stdout
    assert "did you mean 'on_request'" in done.stdout
    assert 'script.py", line 2, in <module>' in done.stdout
    assert "loader.py" not in done.stdout and "plugin.py" not in done.stdout


def test_a_script_is_read_again(siphond, tmp_path):
    script = tmp_path / "routing.py"
    text = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.reply({}, 'No')\n"
    script.write_text(text.format(486))
    server = siphond(script)
    phone = server.phone()
    assert phone.invite("sip:bob@example.com").status == 486
    script.write_text(text.format(600))
    server.reload()
    assert phone.invite("sip:bob@example.com").status == 600


def test_a_configuration_of_ones_own(siphond, tmp_path):
    (tmp_path / "routing.py").write_text(SCRIPT)
    (tmp_path / "siphon.cfg").write_text(
        '[listen]\nudp = ["0.0.0.0:5060"]\n[domain]\nlocal = ["voice.example.org"]\n'
        '[script]\npath = "routing.py"\n[server]\nstate_dir = "state"\n'
        '[auth]\nrealm = "voice.example.org"\nusers = { erin = "horse" }\n'
    )
    server = siphond(config=tmp_path / "siphon.cfg")
    erin = server.phone("erin", password="horse")
    assert erin.aor == "sip:erin@voice.example.org"
    assert erin.register().status == 200
    call = erin.invite("sip:erin@voice.example.org")
    assert "127.0.0.1:5060" in str(erin.incoming("INVITE").request.header("Via"))
    assert call.status == 100


def test_what_did_not_come_is_said_with_what_came(server, bob):
    with pytest.raises(AssertionError, match=r"(?s)no INVITE has come to bob.*REGISTER sip:example.com"):
        bob.incoming("INVITE")


OUTER = """
def test_{name}(siphond):
    server = siphond({script!r})
    assert server.phone("alice").invite("sip:bob@example.com").status == {status}
"""


@pytest.mark.parametrize(
    "name, status, outcome, said",
    [("raises", 500, "1 passed, 1 error", "on purpose"), ("differs", 200, "1 failed", "500 Script Error")],
)
def test_the_fixture_fails_a_test_whose_script_raised_and_prints_the_messages(tmp_path, name, status, outcome, said):
    file = tmp_path / "test_outer.py"
    file.write_text(OUTER.format(name=name, script=BROKEN, status=status))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert outcome in done.stdout.splitlines()[-1]
    assert said in done.stdout
    assert "alice -> siphond  INVITE sip:bob@example.com" in done.stdout
