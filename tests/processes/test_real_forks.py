"""A user with several phones: all at once and one after the other."""

import pytest

RECIPE_LINE = "request.fork(contacts)"


@pytest.fixture
def sequential(siphond, agent):
    """The recipe with one changed line."""
    from proxy_process import RECIPE

    text = RECIPE.read_text()
    assert RECIPE_LINE in text
    return siphond(workers=4, script=text.replace(RECIPE_LINE, 'request.fork(contacts, strategy="sequential")')).start()


def phones(proxy, agent, *weights):
    """Phones of bob; each registers its own contact, with a q."""
    made = [agent(proxy, "bob") for _ in weights]
    for phone, weight in zip(made, weights, strict=True):
        assert phone.register(contact=f"{phone.contact};q={weight}").status == 200
    return made


def call(alice):
    return alice.send(alice.request("INVITE", "sip:bob@example.com"))


def test_fork_04_both_phones_ring_and_the_one_not_taken_is_cancelled(proxy, agent):
    desk, mobile = phones(proxy, agent, 1, 1)
    alice = agent(proxy, "alice")
    call(alice)
    at_desk, at_mobile = desk.expect("INVITE"), mobile.expect("INVITE")
    desk.respond(at_desk, 180, tag="desk")
    assert alice.expect("180 INVITE").tag("to") == "desk"
    mobile.respond(at_mobile, 180, tag="mobile")
    assert alice.expect("180 INVITE").tag("to") == "mobile"
    mobile.respond(at_mobile, 200, tag="mobile")
    answer = alice.expect("200 INVITE")
    assert answer.tag("to") == "mobile"
    desk.respond(desk.expect("CANCEL"), 200, tag="desk")
    desk.respond(at_desk, 487, tag="desk")
    desk.expect("ACK")
    dialog = alice.dialog(answer)
    alice.within(dialog, "ACK")
    assert mobile.expect("ACK").uri == f"sip:bob@{mobile.host}"
    alice.within(dialog, "BYE")
    mobile.respond(mobile.expect("BYE"), 200)
    alice.expect("200 BYE")


def test_prx_47_the_best_of_two_failures_reaches_the_caller(proxy, agent):
    desk, mobile = phones(proxy, agent, 1, 1)
    alice = agent(proxy, "alice")
    invite = call(alice)
    desk.respond(desk.expect("INVITE"), 503, tag="desk")
    desk.expect("ACK")
    mobile.respond(mobile.expect("INVITE"), 486, tag="mobile")
    mobile.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))


def test_fork_04_the_callers_cancel_reaches_both_phones(proxy, agent):
    ringing = phones(proxy, agent, 1, 1)
    alice = agent(proxy, "alice")
    invite = call(alice)
    offered = [phone.expect("INVITE") for phone in ringing]
    for phone, offer in zip(ringing, offered, strict=True):
        phone.respond(offer, 180, tag=phone.host)
        alice.expect("180 INVITE")
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    for phone, offer in zip(ringing, offered, strict=True):
        phone.respond(phone.expect("CANCEL"), 200, tag=phone.host)
        phone.respond(offer, 487, tag=phone.host)
        phone.expect("ACK")
    alice.acknowledge(invite, alice.expect("487 INVITE"))


def test_sequential_the_second_phone_rings_when_the_first_refused(sequential, agent):
    first, second = phones(sequential, agent, 1, 0.5)
    alice = agent(sequential, "alice")
    call(alice)
    offered = first.expect("INVITE")
    second.silence(0.3)
    first.respond(offered, 486, tag="first")
    first.expect("ACK")
    second.respond(second.expect("INVITE"), 200, tag="second")
    answer = alice.expect("200 INVITE")
    alice.within(alice.dialog(answer), "ACK")
    assert second.expect("ACK").tag("to") == "second"


def test_sequential_the_last_refusal_ends_the_call_with_the_best_of_them(sequential, agent):
    first, second = phones(sequential, agent, 1, 0.5)
    alice = agent(sequential, "alice")
    invite = call(alice)
    first.respond(first.expect("INVITE"), 486, tag="first")
    first.expect("ACK")
    second.respond(second.expect("INVITE"), 500, tag="second")
    second.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))
