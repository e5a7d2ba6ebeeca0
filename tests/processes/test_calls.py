"""Calls and registrations by SIPp and by hand through a real siphond with the recipe."""

import pytest
from free_ports import free_port

PHONES = (("alice", 40001), ("bob", 40002))
FAST_TIMERS = "\n[transaction]\nt1 = 0.05\nt2 = 0.4\nt4 = 0.5\n"
LATE_TRIES = 5
"""So often the last repeat may come too late, which is due 50 ms before Timer B."""


def serve_bob(proxy, agent, sipp, scenario, **values):
    """A SIPp phone on a port of its own, registered as bob."""
    port = free_port()
    phone = sipp.callee(scenario, port, **values)
    assert agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>").status == 200
    return phone


@pytest.mark.alone
@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_2000_calls_at_200_a_second_pass_without_a_failure_or_a_retransmission(steering, siphond, agent, sipp, sleeper):
    """At 40 or 10 a second where the machine has no time for more."""
    sockets = ("-t", "un", "-max_socket", "3000")

    def attempt(rate):
        proxy = siphond(workers=4, steering=steering).start()
        phone = serve_bob(proxy, agent, sipp, "uas_answer")
        calls = 10 * rate
        caller = sipp.caller("uac_call", proxy.address, *sockets, calls=calls, rate=rate, at_once=2 * rate, hold=1000)
        called, answered = caller.wait(60), phone.stop()
        assert (called.successful, called.failed) == (calls, 0), caller.report()
        assert (answered.successful, answered.failed) == (calls, 0), phone.report()
        assert called.retransmissions + answered.retransmissions <= sleeper.excused(rate), caller.report()

    sleeper.carried((200, 40, 10, 10), attempt)


def test_a_call_is_cancelled_while_it_rings(proxy, agent, sipp):
    phone = serve_bob(proxy, agent, sipp, "uas_ring")
    caller = sipp.caller("uac_cancel", proxy.address, calls=50, rate=50, hold=100)
    assert caller.wait(30).successful == 50, caller.report()
    cancelled = phone.stop()
    assert (cancelled.successful, cancelled.failed) == (50, 0), phone.report()


def test_busy_reaches_the_caller_and_each_side_gets_its_ack(proxy, agent, sipp, sleeper):
    phone = serve_bob(proxy, agent, sipp, "uas_refuse", status=486)
    caller = sipp.caller("uac_refused", proxy.address, calls=50, rate=50, status=486)
    assert caller.wait(30).successful == 50, caller.report()
    refused = phone.stop()
    assert refused.successful == 50, phone.report()
    assert refused.retransmissions <= sleeper.excused(50), phone.report()


def test_nobody_is_registered_404(proxy, sipp, sleeper):
    caller = sipp.caller("uac_refused", proxy.address, calls=20, rate=50, user="nobody", status=404)
    called = caller.wait(30)
    assert called.successful == 20, caller.report()
    assert called.retransmissions <= sleeper.excused(50), caller.report()


def test_a_call_to_no_user_is_incomplete_484(proxy, agent):
    alice = agent(proxy, "alice")
    invite = alice.send(alice.request("INVITE", "sip:example.com"))
    final = alice.expect("484 INVITE")
    alice.acknowledge(invite, final)
    alice.silence(1)


def test_options_to_the_proxy_is_answered_200(proxy, sipp, sleeper):
    pinger = sipp.caller("options", proxy.address, calls=100, rate=200)
    pinged = pinger.wait(30)
    assert pinged.successful == 100, pinger.report()
    assert pinged.retransmissions <= sleeper.excused(200), pinger.report()


def test_txn_01_a_phone_that_is_silent_ends_in_408(siphond, agent):
    proxy = siphond(workers=2, more=FAST_TIMERS).start()
    bob = agent(proxy, "bob")
    bob.register()
    found = []
    while 7 not in found and len(found) < LATE_TRIES:
        alice = agent(proxy, "alice")
        invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
        final = alice.expect("408 INVITE", within=20)
        alice.acknowledge(invite, final)
        came = list(bob.drain())
        assert all(message.is_a("INVITE") for message in came)
        assert len({message.raw for message in came}) == 1, "repeats are the same bytes"
        found.append(len(came))
    assert max(found) == 7, found


def test_prx_55_a_phone_that_rings_for_ever_is_cancelled_by_timer_c(siphond, agent):
    proxy = siphond(workers=2, more="\n[transaction]\nt1 = 0.2\ntimer_c = 5\n").start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    bob.respond(bob.expect("CANCEL"), 200, tag="b")
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK", but=["INVITE"])
    alice.acknowledge(invite, alice.expect("408 INVITE"))


def register_by_sipp(proxy, sipp, tmp_path, *, again):
    """Both phones of SIPp's file, each twice: the second time with Expires `again`."""
    users = tmp_path / "users.csv"
    lines = [f"{user};{port};[authentication username={user} password=secret]" for user, port in PHONES]
    users.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    arguments = ("-inf", str(users), "-auth_uri", "example.com")
    phones = sipp.caller("register", proxy.address, *arguments, calls=2, again=again)
    assert phones.wait(30).successful == 2, phones.report()


def test_phones_register_with_digest_and_refresh(proxy, agent, sipp, tmp_path):
    register_by_sipp(proxy, sipp, tmp_path, again=300)
    assert agent(proxy, "alice").bindings() == ["sip:alice@127.0.0.1:40001"]
    assert agent(proxy, "bob").bindings() == ["sip:bob@127.0.0.1:40002"]


def test_a_phone_that_registers_for_0_seconds_is_gone(proxy, agent, sipp, tmp_path):
    register_by_sipp(proxy, sipp, tmp_path, again=0)
    assert agent(proxy, "alice").bindings() == []
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    alice.expect("404 MESSAGE")


def test_auth_14_a_wrong_password_is_challenged_again_and_nothing_is_stored(proxy, agent):
    assert agent(proxy, "alice").register(password="wrong").status in (401, 403)
    assert agent(proxy, "alice").bindings() == []


def test_nat_12_a_registration_from_one_port_is_called_at_the_contact_on_another(proxy, agent):
    phone, desk, alice = agent(proxy, "bob"), agent(proxy, "bob"), agent(proxy, "alice")
    assert desk.register(contact=phone.contact).status == 200
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = phone.expect("INVITE")
    assert offered.uri == f"sip:bob@{phone.host}"
    phone.respond(offered, 486, tag="b")
    alice.expect("486 INVITE")
    desk.silence(0.2)


def test_prx_51_a_contact_where_nobody_listens_fails_at_once(proxy, agent):
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register(contact=f"<sip:bob@127.0.0.1:{free_port()}>")
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    alice.acknowledge(invite, alice.expect("500 INVITE"))  # not after timer B


def test_the_registered_phone_is_reached_by_any_request_that_begins_no_dialog(proxy, agent):
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    alice.send(alice.request("MESSAGE", "sip:bob@example.com", extra=["Content-Type: text/plain"], body="hello"))
    message = bob.expect("MESSAGE")
    assert (message.body, message["max-forwards"]) == ("hello", "69")
    bob.respond(message, 202)
    alice.expect("202 MESSAGE")
