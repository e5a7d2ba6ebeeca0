"""SHARED-32 without an address that moves: each node has its own, and both are called by one name.

`advertised_address` is the name; a phone that resolves it afresh comes to the node that is left. What was sent to the
address of the dead node is lost, and so is the call that was ringing there.
"""

import pytest
from two_nodes import FAILOVER_SECS, A, B, two_nodes

NAME = "sip.example.com"


def one_address_each(text):
    """Each node listens where it is asked, and nowhere else."""
    listen = 'udp = ["${SERVICE_A}:${SIP_PORT:-5060}", "${SERVICE_B}:${SIP_PORT:-5060}"]'
    assert listen in text
    return f'advertised_address = "{NAME}"\n' + text.replace(listen, 'udp = ["${OWN}:${SIP_PORT:-5060}"]')


@pytest.fixture
def pair(tmp_path):
    with two_nodes(tmp_path, one_address_each) as pair:
        yield pair


def test_shared_32_without_a_shared_address_the_dialog_goes_on_by_name_and_the_pending_call_by_its_retry(pair):
    alice, bob = pair.agent(B, "alice"), pair.registered()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offer = bob.expect("INVITE")
    assert offer.source == pair.address(B)
    bob.respond(offer, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    assert [NAME in route for route in dialog.routes] == [True]
    alice.within(dialog, "ACK")
    bob.expect("ACK")

    dan = pair.agent(B, "dan")
    dan.send(dan.request("INVITE", "sip:bob@example.com"))
    pending = bob.expect("INVITE")
    bob.respond(pending, 180, tag="p")
    dan.expect("180 INVITE")

    pair.die()
    for phone in (alice, bob, dan):  # the name leads to N-A now
        phone.proxy = pair.address(A)
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE", within=FAILOVER_SECS), 200)
    alice.expect("200 BYE", within=FAILOVER_SECS)

    bob.respond(pending, 200, tag="p")
    assert dan.receive(2) is None, "the answer went to the address of the dead node"
    again = dan.request("INVITE", "sip:bob@example.com", cseq=2)
    dan.send(again)
    retried = bob.expect("INVITE", within=FAILOVER_SECS)
    assert retried.source == pair.address(A)
    bob.respond(retried, 486, tag="q")
    dan.acknowledge(again, dan.expect("486 INVITE", within=FAILOVER_SECS))


def test_shared_32_without_a_shared_address_an_invite_that_nobody_has_answered_is_repeated_from_the_other(pair):
    alice, bob = pair.agent(B, "alice"), pair.registered()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offer = bob.expect("INVITE")
    pair.die()
    again = bob.receive(FAILOVER_SECS)
    while again is not None and again.source == pair.address(B):  # sent before it died
        again = bob.receive(FAILOVER_SECS)
    assert again is not None and (again.raw, again.source) == (offer.raw, pair.address(A))
    bob.respond(again, 486, tag="b")
    failure = alice.expect("486 INVITE", within=FAILOVER_SECS)
    assert failure.source == pair.address(A)
    alice.proxy = pair.address(A)
    alice.acknowledge(invite, failure)
