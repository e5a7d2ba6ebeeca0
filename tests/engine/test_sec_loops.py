"""Loops that somebody builds through us, and datagrams that pretend to be ours: bounded, and no self-flood (SEC-02)."""

import re
from pathlib import Path

import pytest
from digest_kit import challenge, credentials, register

STOCK = Path(__file__).parents[2] / "scripts" / "proxy_default.py"
SELF = ("127.0.0.1", 5060)
BREADTH = 60
MIRROR = """
from siphon import proxy

@proxy.on_request
def route(request):
    other = "b" if request.ruri.user == "a" else "a"
    request.fork([f"sip:{other}@127.0.0.{n}:5090" for n in range(10, 20)])
"""
FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork([f"sip:x{n}@{host}" for n in range(5) for host in ("127.0.0.1:5060", "p.example.com")])
"""
RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay()
"""


class Echo:
    """Somebody who sends what it receives back to us: as a proxy does, or word for word."""

    def __init__(self, world, place, change=lambda data: data, source=None):
        self.world, self.change, self.source = world, change, source or place
        self.received = []
        world.agents[place] = self

    def receive(self, data):
        self.received.append(data)
        if data.startswith(b"SIP/2.0"):
            changed = re.sub(rb"Via: [^\r\n]*mirror[^\r\n]*\r\n", b"", data, count=1)
        else:
            changed = self.change(data)
        self.world.schedule.at(self.world.clock() + 0.001, self.world.deliver, changed, self.source)


def spiral(place, same):
    """A proxy that sends the request back to us, its own Via on top; `same`: for the address of record alone, as a
    forwarding rule does, so that the ten contacts are one again."""

    def change(data):
        head, rest = data.split(b"\r\n", 1)
        if same:
            head = re.sub(rb"@\S+", b"@example.com", head)
        hops = int(re.search(rb"Max-Forwards: (\d+)", rest)[1])
        via = b"Via: SIP/2.0/UDP %b:5090;branch=z9hG4bKmirror%d\r\n" % (place[0].encode(), abs(hash(data)))
        rest = rest.replace(b"Max-Forwards: %d" % hops, b"Max-Forwards: %d" % max(0, hops - 1))
        return head + b"\r\n" + via + rest

    return change


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_sec_02_two_addresses_that_point_at_each_other_with_fork_width_10_end_by_482(make_world, method):
    world = make_world(MIRROR)
    for number in range(10, 20):
        Echo(world, (f"127.0.0.{number}", 5090), spiral((f"127.0.0.{number}", 5090), same=True))
    caller = world.agent("192.0.2.1")
    caller.send(caller.request(method, "sip:a@example.com"))
    world.advance(20)
    assert caller.statuses[-1] == 482
    assert len(world.sent) <= 70 * BREADTH
    sent = {send.data for send in world.sent if send.data.startswith(method.encode())}
    assert 10 <= len(sent) <= 2 * 100 + 10
    world.advance(120)
    assert not list(world.records())


def test_sec_02_where_each_turn_has_new_uris_max_breadth_bounds_what_is_open(make_world):
    """Nothing is a loop here for twenty turns; RFC 5393 bounds how many branches are open at one time."""
    world = make_world(MIRROR)
    for number in range(10, 20):
        Echo(world, (f"127.0.0.{number}", 5090), spiral((f"127.0.0.{number}", 5090), same=False))
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:a@example.com", headers="Max-Breadth: 12"))
    for _ in range(25):
        world.advance(0.001)
        turns = [record for record in world.records() if not record.final_status]
        branches = sum(not branch.result for record in turns for branch in record.branches)
        assert branches - (len(turns) - 1) <= 12  # each turn but the first is the end of a branch of another
    world.hold = True  # nobody waits for the end


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_sec_02_contacts_that_point_at_us_are_482_and_nothing_is_sent_to_ourselves(make_world, method):
    world = make_world(STOCK)
    phone = world.agent("192.0.2.1")
    line = credentials(challenge(phone))
    contacts = "\n".join(f"Contact: <sip:{user}@127.0.0.1:5060>" for user in ("alice", "bob", "x1", "x2"))
    register(phone, f"{line}\n{contacts}")
    assert phone.statuses[-1] == 200
    echo = Echo(world, SELF)
    caller = world.agent("192.0.2.2")
    caller.send(caller.request(method, "sip:bob@example.com"))
    world.advance(60)
    assert caller.statuses[-1] == 482
    assert echo.received == []


def test_sec_02_a_fork_to_ourselves_by_address_and_by_name_sends_nothing_there(make_world):
    world = make_world(FORK)
    world.resolver.names["p.example.com"] = ["127.0.0.1"]
    echo = Echo(world, SELF)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:a@example.com"))
    world.advance(40)
    assert caller.statuses == [482]
    assert echo.received == []


@pytest.mark.parametrize(
    "via",
    [
        "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKforged",
        "Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bKforged",
        "Via: SIP/2.0/UDP 192.0.2.1;maddr=127.0.0.1;branch=z9hG4bKforged",
        "Via: SIP/2.0/UDP 192.0.2.1;received=127.0.0.1;rport=5060;branch=z9hG4bKforged",
    ],
)
@pytest.mark.parametrize("source", [("192.0.2.1", 5060), SELF], ids=["stranger", "own socket"])
def test_sec_02_a_forged_top_via_or_our_own_address_as_source_starts_no_flood(make_world, via, source):
    world = make_world(RELAY)
    echo, callee = Echo(world, SELF), world.agent("127.0.0.2", 5090)
    text = world.agent("192.0.2.1").request("INVITE", "sip:bob@127.0.0.2:5090")
    data = re.sub(r"Via: [^\n]*", via, text).replace("\n", "\r\n").encode()
    world.deliver(data, source)
    callee.answer(callee.last, 486)
    world.advance(70)
    # a 486 that is never acknowledged is sent eleven times in 64 * T1; what comes back to us is a stray each time
    assert len(echo.received) <= 12
    assert len(world.sent) <= 16
    assert callee.requests.count("INVITE") == 1


def test_sec_02_what_we_sent_ourselves_played_back_word_for_word_is_a_loop(make_world):
    world = make_world(RELAY)
    Echo(world, ("127.0.0.2", 5090), source=SELF)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("MESSAGE", "sip:bob@127.0.0.2:5090"))
    world.advance(40)
    assert len(world.sent) <= 40
    assert not [send for send in world.sent if send.to not in (("127.0.0.2", 5090), SELF, ("192.0.2.1", 5060))]
