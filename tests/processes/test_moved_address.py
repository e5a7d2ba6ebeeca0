"""An address of ours that is on another machine for a while: in network namespaces."""

import sys
from pathlib import Path

import pytest
from proxy_process import until

DEMO = Path(__file__).parents[2] / "deploy/ha-demo"
sys.path.append(str(DEMO))

from ha_network import Network, NoNetwork  # noqa: E402

SERVICE = "10.77.0.9"


@pytest.fixture
def network():
    try:
        with Network() as made:
            yield made
    except NoNetwork as error:
        pytest.skip(str(error))


@pytest.fixture
def node(network, siphond):
    """A siphond on a host that does not have the first of its addresses."""
    host = network.host("node", 1)
    made = siphond(workers=2, listen=f'"{SERVICE}:{{port}}", "{host.ip}:{{port}}"')
    made.address = (host.ip, made.port)
    with host.entered():
        return made.start()


def test_what_cannot_be_sent_while_the_address_is_away_is_sent_again_once_it_is_here(network, node, agent):
    host, phones = network.hosts["node"], network.host("phones", 2)
    service = (SERVICE, node.port)
    with phones.entered():
        alice, bob = agent(service, "alice", ip=phones.ip), agent(service, "bob", ip=phones.ip)
    host.take(SERVICE)
    assert bob.register().status == 200
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    first = bob.expect("INVITE")
    assert first.source == service
    host.leave(SERVICE)
    assert all(message.raw == first.raw for message in bob.drain()), "what was sent before"
    assert bob.receive(1.2) is None, "Timer A cannot send"
    host.take(SERVICE)
    again = until(lambda: bob.receive(1.0), 30, "the repeat of the INVITE")
    assert again.raw == first.raw
    bob.respond(again, 180, tag="b")
    alice.expect("180 INVITE")
    bob.respond(again, 486, tag="b")
    bob.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))


def test_a_phone_that_registered_at_an_address_that_has_gone_is_called_from_the_one_that_is_here(network, node, agent):
    host, phones = network.hosts["node"], network.host("phones", 2)
    with phones.entered():
        bob, alice = agent((SERVICE, node.port), "bob", ip=phones.ip), agent(node.address, "alice", ip=phones.ip)
    host.take(SERVICE)
    assert bob.register().status == 200
    host.leave(SERVICE)

    def called() -> bool:
        alice.send(alice.request("INVITE", "sip:bob@example.com"))
        message = bob.receive(1.0)
        return message is not None and message.source == node.address

    until(called, 20, "a call from the address that is here")
