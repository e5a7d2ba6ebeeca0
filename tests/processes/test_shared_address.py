"""SHARED-31: two nodes with one Redis behave as one, whichever of them a message reaches."""

import pytest
from repeats import acknowledged, only_repeats
from two_nodes import A, B, two_nodes


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with two_nodes(tmp_path_factory.mktemp("nodes")) as pair:
        pair.share()
        yield pair
        assert pair.complaints() == []


@pytest.fixture
def pair(both):
    yield both
    both.close_agents()


def ringing(pair, through=B):
    """A call from alice that rings at bob; what follows may go to either node."""
    pair.steer(A)
    bob = pair.registered()
    alice = pair.agent(through, "alice")
    pair.steer(through)
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=["Supported: 100rel"]))
    offered = bob.expect("INVITE")
    return alice, bob, invite, offered


def test_shared_31_a_phone_that_registered_at_one_node_is_called_through_the_other(pair):
    alice, bob, invite, offered = ringing(pair)
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))


def test_shared_31_responses_ack_and_bye_on_the_node_that_did_not_begin_the_call(pair):
    alice, bob, invite, offered = ringing(pair)
    pair.steer(A)
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    pair.steer(B)
    bob.respond(offered, 183, tag="b")
    alice.expect("183 INVITE")
    pair.steer(A)
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    pair.steer(B)
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")


def test_shared_31_cancel_on_the_other_node(pair):
    alice, bob, invite, offered = ringing(pair)
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    pair.steer(A)
    alice.cancel(invite)
    alice.expect("200 CANCEL", but=("100 INVITE", "487 INVITE"))
    bob.respond(bob.expect("CANCEL"), 200)
    pair.steer(B)
    bob.respond(offered, 487, tag="b")
    bob.expect("ACK")
    pair.steer(A)
    acknowledged(alice, invite, alice.expect("487 INVITE"))


def test_shared_31_cancel_before_any_response_reached_the_first_node(pair):
    alice, bob, invite, offered = ringing(pair)
    pair.steer(A)
    alice.cancel(invite)
    alice.expect("200 CANCEL", but=("100 INVITE",))
    bob.respond(offered, 180, tag="b")
    bob.expect("CANCEL")


def test_shared_31_a_retransmitted_invite_on_the_other_node_is_the_same_call(pair):
    alice, bob, invite, offered = ringing(pair)
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    pair.steer(A)
    alice.send(invite)
    again = alice.expect("180 INVITE")
    assert again.tag("to") == "b"
    only_repeats(bob)
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    alice.expect("486 INVITE", but=("100 INVITE", "180 INVITE"))


def test_shared_31_the_ack_of_a_failure_on_the_other_node_ends_its_repeats(pair):
    alice, bob, invite, offered = ringing(pair)
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    busy = alice.expect("486 INVITE")
    pair.steer(A)
    acknowledged(alice, invite, busy)


def test_shared_31_prack_on_the_other_node(pair):
    alice, bob, invite, offered = ringing(pair)
    bob.respond(offered, 183, tag="b", extra=["Require: 100rel", "RSeq: 7"])
    early = alice.dialog(alice.expect("183 INVITE"))
    pair.steer(A)
    alice.within(early, "PRACK", extra=["RAck: 7 1 INVITE"])
    prack = bob.expect("PRACK")
    assert prack["rack"] == "7 1 INVITE"
    pair.steer(B)
    bob.respond(prack, 200)
    alice.expect("200 PRACK")
    bob.respond(offered, 486, tag="b")
    alice.expect("486 INVITE")


def test_shared_31_a_nonce_of_one_node_is_good_at_the_other(pair):
    from udp_agent import credentials

    pair.steer(A)
    carol = pair.agent(A, "alice")
    uri, to = "sip:example.com", "<sip:alice@example.com>"
    facts = {"call_id": "nonce-31", "local": f"{to};tag=n", "remote": to}
    contact = f"Contact: {carol.contact}"
    carol.send(carol.request("REGISTER", uri, cseq=1, extra=[contact], **facts))
    challenge = carol.answer_to("1 REGISTER")
    given = credentials(challenge["www-authenticate"], "alice", "secret", "REGISTER", uri)
    pair.steer(B)
    carol.send(carol.request("REGISTER", uri, cseq=2, extra=[contact, f"Authorization: {given}"], **facts))
    assert carol.answer_to("2 REGISTER").status == 200


def test_shared_31_a_message_and_its_answer_on_two_nodes(pair):
    pair.steer(A)
    bob = pair.registered()
    alice = pair.agent(B, "alice")
    pair.steer(B)
    message = alice.send(alice.request("MESSAGE", "sip:bob@example.com", body="hello"))
    got = bob.expect("MESSAGE")
    pair.steer(A)
    bob.respond(got, 202)
    alice.expect("202 MESSAGE")
    alice.send(message)
    alice.expect("202 MESSAGE")
    only_repeats(bob)
