"""scripts/front.py over the real engine with a virtual network: two nodes that the test plays."""

from pathlib import Path

import pytest

from siphon.testing.world import World

SCRIPT = Path(__file__).parents[2] / "scripts/front.py"
NODES = (("192.0.2.11", 5060), ("192.0.2.12", 5060))


class Front:
    """One worker with the script, and the ends of the wire."""

    def __init__(self, monkeypatch):
        monkeypatch.setenv("SIPHON_NODES", " ".join(f"{ip}:{port}" for ip, port in NODES))
        self.world = World(SCRIPT, workers=1)
        self.nodes = [self.world.agent(*place) for place in NODES]
        self.silent = set()
        self.refusing = set()
        self.phone = self.world.agent("192.0.2.1", 5080)
        self.bob = self.world.agent("192.0.2.2", 5090)

    def run(self, seconds):
        """Time goes on, and the nodes answer the probes; what else came is kept in `inbox`."""
        for _ in range(round(seconds * 10)):
            self.world.advance(0.1)
            for index, node in enumerate(self.nodes):
                rest = []
                for message in node.take():
                    if message.method != "OPTIONS" or not message.is_request:
                        rest.append(message)
                    elif index not in self.silent:
                        node.answer(message, 503 if index in self.refusing else 200)
                node.inbox.extend(rest)

    def invite(self, number):
        """A call with a Call-ID of its own; the index of the node that got it."""
        self.phone.send(self.phone.request("INVITE", "sip:bob@example.com", call_id=f"call-{number}"))
        return self.got("INVITE")

    def got(self, method):
        found = [i for i, node in enumerate(self.nodes) for m in node.inbox if m.is_request and m.method == method]
        assert len(found) == 1, found
        return found[0]

    def forget(self):
        for agent in (*self.nodes, self.phone, self.bob):
            agent.take()


@pytest.fixture
def front(monkeypatch):
    made = Front(monkeypatch)
    yield made
    made.world.close()


def spread(front, numbers):
    homes = []
    for number in numbers:
        homes.append(front.invite(number))
        front.forget()
    return homes


def test_calls_are_spread_and_the_same_call_id_goes_to_the_same_node(front):
    homes = spread(front, range(40))
    assert 10 <= sum(homes) <= 30
    front.run(1)
    front.forget()
    again = []
    for number in range(40):
        front.phone.send(front.phone.request("INVITE", "sip:bob@example.com", call_id=f"call-{number}", cseq=2))
        again.append(front.got("INVITE"))
        front.forget()
    assert again == homes


def test_a_node_that_does_not_answer_gets_nothing_and_its_calls_go_to_the_other_until_it_is_back(front):
    before = spread(front, range(20))
    front.silent = {0}
    front.run(5)
    front.forget()
    assert spread(front, range(100, 120)) == [1] * 20
    front.silent = set()
    front.run(3)
    front.forget()
    assert spread(front, range(200, 240)).count(0) > 5
    assert 0 in before


def test_a_node_that_says_503_is_passed_over_too(front):
    front.refusing = {1}
    front.run(4)
    front.forget()
    assert spread(front, range(20)) == [0] * 20


def test_when_none_answers_they_are_tried_all_the_same(front):
    front.silent = {0, 1}
    front.run(5)
    front.forget()
    assert set(spread(front, range(20))) == {0, 1}


def test_a_call_that_its_node_refuses_with_503_is_given_to_the_other(front):
    home = front.invite(1)
    node, other = front.nodes[home], front.nodes[1 - home]
    node.answer(node.last, 503, "Service Unavailable")
    assert other.requests == ["INVITE"]
    other.answer(other.last, 180, "Ringing")
    assert front.phone.statuses[-1] == 180


def test_a_call_that_its_node_never_answers_is_given_to_the_other(front):
    home = front.invite(1)
    front.silent = {home}
    front.run(33)
    assert "INVITE" in front.nodes[1 - home].requests


def test_an_answer_of_the_callee_is_not_tried_elsewhere(front):
    home = front.invite(1)
    node, other = front.nodes[home], front.nodes[1 - home]
    node.answer(node.last, 180, "Ringing")
    node.answer(node.inbox[0], 408, "Request Timeout")
    assert front.phone.statuses[-1] == 408
    assert "INVITE" not in other.requests


def test_register_is_spread_by_the_user_and_carries_our_path_with_the_phones_address(front):
    for call_id in ("one", "two", "three"):
        front.phone.send(front.phone.request("REGISTER", "sip:example.com", to="sip:bob@example.com", call_id=call_id))
    paths = [m.values("Path") for node in front.nodes for m in node.inbox]
    assert len(paths) == 3
    assert all(b"192.0.2.1_5080@127.0.0.1:5060" in path[0] for path in paths)
    assert sorted(len(node.inbox) for node in front.nodes) == [0, 3]


def test_a_call_for_a_phone_goes_along_the_path_to_where_its_register_came_from(front):
    front.phone.send(front.phone.request("REGISTER", "sip:example.com", to="sip:bob@example.com"))
    node = front.nodes[front.got("REGISTER")]
    path = node.last.values("Path")[0].decode()
    front.forget()
    request = node.request("INVITE", "sip:bob@10.0.0.1:7777", headers=f"Route: {path}")
    node.send(request)
    assert front.phone.requests == ["INVITE"]
    assert front.phone.last.values("Record-Route")
    assert not front.phone.last.values("Route")


def test_somebody_elses_path_opens_nothing(front):
    stranger = front.world.agent("203.0.113.1", 5060)
    route = "Route: <sip:192.0.2.2_5090@127.0.0.1:5060;lr;pts=forged>"
    stranger.send(stranger.request("INVITE", "sip:victim@192.0.2.2:5090", headers=route))
    assert front.bob.inbox == []


def test_what_follows_in_a_dialog_takes_the_recorded_route_and_a_forged_one_gets_404(front):
    home = front.invite(1)
    node = front.nodes[home]
    ours = node.last.values("Record-Route")[0].decode()
    node.answer(node.last, 200, "OK", headers=[("Record-Route", ours)])
    front.forget()
    route = f"Route: {ours}\nRoute: <sip:192.0.2.11;lr>"
    front.phone.send(
        front.phone.request("BYE", "sip:bob@192.0.2.2:5090", to_tag="t1", call_id="call-1", cseq=2, headers=route)
    )
    assert front.got("BYE") == 0
    front.phone.send(front.phone.request("BYE", "sip:bob@192.0.2.2:5090", to_tag="t1", call_id="other", cseq=3))
    assert front.phone.statuses[-1] == 404


def test_garbage_is_dropped_and_a_ping_is_answered_here(front):
    front.phone.send(front.phone.request("INVITE", "sip:bob@example.com", cseq_method="BYE"))
    assert not any("INVITE" in node.requests for node in front.nodes)
    front.phone.send(front.phone.request("OPTIONS", "sip:example.com"))
    assert front.phone.statuses[-1] == 200
