"""SHARED-33: a node that is cut off from Redis, and from nothing else."""

import socket
import struct
import time

import pytest
from proxy_process import until
from side_by_side import SO_TIMESTAMPNS
from two_nodes import FAILOVER_SECS, A, B, two_nodes


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with two_nodes(tmp_path_factory.mktemp("nodes")) as pair:
        yield pair


@pytest.fixture
def pair(both):
    both.revive()
    yield both
    both.mend()
    if both.shared:
        both.unshare()
    both.close_agents()


def status_of(pair, node, seconds=0.5):
    """What the node says to an OPTIONS now; None: nothing."""
    asker = pair.agent(node, "asker")
    asker.send(asker.request("OPTIONS", "sip:example.com"))
    return asker.receive(seconds)


def refuses(pair, node):
    answer = status_of(pair, node)
    return answer is not None and answer.status == 503 and answer["retry-after"] != ""


def ringing(pair):
    bob, alice = pair.registered(), pair.agent(B, "alice")
    bob.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    return alice, bob, invite, bob.expect("INVITE")


def test_shared_33_it_refuses_new_work_with_503_the_other_serves_and_it_comes_back_by_itself(pair):
    pair.cut_off(B)
    until(lambda: all(refuses(pair, B) for _ in range(10)), 30, "503 from the node without Redis")
    alice = pair.agent(B, "alice")
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    alice.acknowledge(invite, alice.expect("503 INVITE", but=()))
    until(lambda: (answer := status_of(pair, A, 5)) is not None and answer.status == 200, 20, "200 from the other")
    pair.mend()
    pair.until_ready(B)


def test_shared_33_it_stops_repeating_what_it_can_no_longer_commit_and_goes_on_when_it_is_back(pair):
    alice, bob, invite, offer = ringing(pair)
    pair.cut_off(B)
    until(lambda: all(refuses(pair, B) for _ in range(10)), 30, "503 from the node without Redis")
    list(bob.drain())
    assert bob.receive(8) is None, "it still sends: Timer A was due within 8 s"
    pair.mend()
    pair.until_ready(B)
    bob.respond(offer, 180, tag="b")
    alice.expect("180 INVITE", within=FAILOVER_SECS)
    bob.respond(offer, 486, tag="b")
    alice.acknowledge(invite, alice.expect("486 INVITE", within=FAILOVER_SECS))


def test_shared_33_the_other_takes_over_and_no_timer_fires_on_both(pair):
    """Both nodes can send from the address here, so a timer that fired twice would be seen at bob."""
    pair.share()
    pair.steer(B)
    alice, bob, invite, offer = ringing(pair)
    pair.cut_off(B)
    pair.steer(A)
    heard = list(arrivals(bob, offer.raw, 20))
    gaps = [later - earlier for earlier, later in zip(heard, heard[1:], strict=False)]
    assert len(heard) >= 2, "nobody went on"
    assert len(heard) <= 5, "Timer A: after 0.5, 1.5, 3.5, 7.5 and 15.5 s"
    for before, gap in zip([0.0, *gaps], gaps, strict=False):
        # A repeat that was due after 3.5 s and sent once it was taken over may come just before that of 7.5 s.
        assert gap >= 0.35 or 4.3 < before < 7.2, gaps
    bob.respond(offer, 486, tag="b")
    bob.expect("ACK", within=FAILOVER_SECS)
    alice.acknowledge(invite, alice.expect("486 INVITE", within=FAILOVER_SECS))
    for phone in (bob, alice):
        list(phone.drain())  # a failure may have been repeated before its ACK was read
    pair.mend()
    pair.steer(B)
    pair.until_ready(B)
    late = [message for message in (bob.receive(4), alice.receive(1)) if message is not None]
    assert late == [], "the node that is back fires what the other has ended"


def arrivals(phone, raw, seconds):
    """When these bytes reached the phone's socket, within so many seconds, and nothing else did."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        phone.socket.settimeout(left)
        try:
            data, ancillary, _, _ = phone.socket.recvmsg(65535, 64)
        except TimeoutError:
            return
        assert data == raw
        whole, nanoseconds = struct.unpack("qq", ancillary[0][2])
        yield whole + nanoseconds / 1e9


def only_location(text):
    line = 'transactions = "${TRANSACTIONS:-shm}"'
    assert line in text
    return text.replace(line, 'transactions = "shm"')


def test_shared_33_with_location_alone_in_redis_calls_go_on_from_the_mirror_and_register_is_refused(tmp_path):
    with two_nodes(tmp_path, only_location) as pair:
        bob, alice = pair.registered(), pair.agent(B, "alice")

        def called():
            alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
            got = bob.receive(1)
            if got is not None:
                bob.respond(got, 200)
            return got is not None and alice.answer_to("1 MESSAGE").status == 200

        until(called, 30, "the first node's binding at the second")
        pair.cut_off(B)
        here = pair.agent(B, "carol")
        until(lambda: here.register().status == 500, 30, "500 for a REGISTER that cannot be committed")
        assert here.register().status == 500
        until(called, 30, "a call by the mirror")
        pair.mend()
        until(lambda: here.register().status == 200, 30, "200 after the cut")
        until(lambda: pair.agent(A, "carol").bindings() == [here.uri], 30, "the binding at the other node")
        pair.close_agents()
