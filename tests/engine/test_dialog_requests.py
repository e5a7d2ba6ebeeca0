"""What follows an INVITE goes by its Route: ACK to its 2xx, PRACK, UPDATE, re-INVITE, INFO, BYE (RFC 3261 §12.2)."""

from collections.abc import Callable

import pytest
from call_scripts import IN_DIALOG

from siphon.testing.world import World

Make = Callable[..., World]
PHONES = (
    IN_DIALOG
    + """
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.record_route()
        request.fork(registrar.lookup(request.ruri))
"""
)
BOB = "sip:bob@example.com"


class Call:
    """A caller, bob's two phones, and the route that the first phone's answers have recorded."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.caller = world.agent("192.0.2.1")
        self.phones = [world.agent("127.0.0.2", port) for port in (5091, 5092)]
        for number, phone in enumerate(self.phones):
            contact = f"<sip:bob@127.0.0.2:{phone.port}>"
            text = phone.request("REGISTER", "sip:example.com", call_id=f"r{number}", to=BOB)
            phone.send(text.replace(f"<sip:127.0.0.2:{phone.port}>", contact))
            phone.take()
        self.caller.send(self.caller.request("INVITE", BOB, branch="z9hG4bK-one", call_id="c1", headers=SUPPORTED))
        self.phone = self.phones[0]
        self.invite = self.phone.last
        self.routes = [value.decode() for value in self.invite.values("Record-Route")]

    def text(self, method: str, cseq: int, headers: str = "", branch: str = "") -> str:
        """A request of the caller in the dialog with the first phone."""
        return self.caller.request(
            method,
            f"sip:bob@127.0.0.2:{self.phone.port}",
            branch=branch,
            call_id="c1",
            cseq=cseq,
            to_tag="t1",
            headers=f"Route: {self.routes[0]}\n{headers}",
        )

    def text_back(self, method: str, cseq: int) -> str:
        """A request of the first phone in the dialog."""
        return self.phone.request(
            method,
            "sip:192.0.2.1:5060",
            call_id="c1",
            cseq=cseq,
            from_tag="t1",
            to_tag="f1",
            headers=f"Route: {self.routes[0]}",
        )


SUPPORTED = "Supported: 100rel"


@pytest.fixture
def call(make_world: Make) -> Call:
    return Call(make_world(PHONES))


def test_txn_18_each_copy_of_the_ack_to_a_2xx_is_forwarded_with_a_branch_of_its_own(call: Call) -> None:
    call.phone.answer(call.invite, 200)
    stored = {record.key for record in call.world.records()}
    text = call.text("ACK", 1)
    for worker in (0, 1, 0):
        call.caller.send(text, worker)
    acks = [m for m in call.phone.inbox if m.method == "ACK"]
    assert len(acks) == 3 and len({m.via.branch for m in acks} | {call.invite.via.branch}) == 4
    assert {record.key for record in call.world.records()} == stored
    call.world.advance(40)
    assert call.phone.requests == ["INVITE", "ACK", "ACK", "ACK"] and call.caller.statuses == [100, 200]


def test_txn_05_an_ack_with_the_branch_of_the_invite_is_forwarded_after_a_2xx(call: Call) -> None:
    call.phone.answer(call.invite, 200)
    for worker in (0, 1):
        call.caller.send(call.text("ACK", 1, branch="z9hG4bK-one"), worker)
    assert call.phone.requests == ["INVITE", "ACK", "ACK"]
    assert call.caller.statuses == [100, 200]


def test_fork_09_a_prack_goes_its_own_way_while_the_invite_is_pending(call: Call) -> None:
    assert call.invite.first("Supported") == b"100rel"
    call.phone.answer(call.invite, 183, headers=[("Require", "100rel"), ("RSeq", "7")], worker=0)
    assert call.caller.last.first("Require") == b"100rel" and call.caller.last.first("RSeq") == b"7"
    for worker in (1, 0):
        call.caller.send(call.text("PRACK", 2, "RAck: 7 1 INVITE", branch="z9hG4bK-prack"), worker)
    prack = call.phone.last
    assert call.phone.requests == ["INVITE", "PRACK"] and prack.first("RAck") == b"7 1 INVITE"
    assert prack.via.branch != call.invite.via.branch and prack.uri == b"sip:bob@127.0.0.2:5091"
    call.phone.answer(prack, 200, worker=1)
    call.phone.answer(call.invite, 200, worker=0)
    assert [(m.status, m.cseq_method) for m in call.caller.inbox] == [
        (100, "INVITE"),
        (183, "INVITE"),
        (200, "PRACK"),
        (200, "INVITE"),
    ]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("method", ["UPDATE", "INVITE", "INFO", "BYE"])
def test_fork_10_a_request_in_a_dialog_reaches_the_phone_of_the_dialog_alone(
    call: Call, method: str, answered: bool
) -> None:
    call.phone.answer(call.invite, 200 if answered else 183)
    other = len(call.phones[1].inbox)
    call.caller.send(call.text(method, 2))
    assert call.phone.last.method == method and call.phone.last.to_tag == b"t1"
    assert not call.phone.last.has("Route") and len(call.phones[1].inbox) == other
    call.phone.answer(call.phone.last, 202)
    assert call.caller.last.status == 202 and call.caller.last.cseq_method == method


def test_fork_10_a_phone_reaches_the_caller_by_the_same_route(call: Call) -> None:
    call.phone.answer(call.invite, 200)
    for number, method in enumerate(("INVITE", "UPDATE", "BYE"), 1):
        call.phone.send(call.text_back(method, number))
        assert call.caller.last.method == method
        call.caller.answer(call.caller.last, 200, tag="")
        assert call.phone.last.status == 200 and call.phone.last.cseq_method == method


def test_fork_10_glare_491_and_its_ack_pass(call: Call) -> None:
    call.phone.answer(call.invite, 200)
    call.caller.send(call.text("INVITE", 2, branch="z9hG4bK-two"), 0)
    call.phone.send(call.text_back("INVITE", 1), 1)
    theirs, ours = call.caller.last, call.phone.inbox[-2]
    assert (theirs.method, ours.method) == ("INVITE", "INVITE")
    call.phone.answer(ours, 491, worker=1)
    call.caller.answer(theirs, 491, worker=0)
    assert call.caller.statuses[-1] == call.phone.statuses[-1] == 491
    call.caller.send(call.text("ACK", 2, branch="z9hG4bK-two"), 1)
    call.world.advance(40)
    assert call.caller.statuses.count(491) == 1 and call.phone.requests == ["INVITE", "INVITE", "ACK"]
