"""Sources, Via and NAT on the wire. See side_by_side.py."""

import re

from udp_agent import unique


async def test_nat_01_a_via_that_names_another_host_gets_received(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.request("INVITE", "sip:somebody@example.com", extra=[f"X-Targets: {bob.uri}"])
    alice.send(invite.replace(b"Via: SIP/2.0/UDP 127.0.0.1:", b"Via: SIP/2.0/UDP phone.invalid:"))
    offered = await bob.comes("INVITE")
    assert offered.all("via")[1].startswith(f"SIP/2.0/UDP phone.invalid:{alice.address[1]}")
    assert ";received=127.0.0.1" in offered.all("via")[1]
    bob.respond(offered, 200, tag="b")
    assert ";received=127.0.0.1" in (await alice.comes("200 INVITE"))["via"]


async def test_nat_01_a_via_that_names_the_source_needs_none(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.invite(bob)
    offered = await bob.comes("INVITE")
    assert "received" not in offered.all("via")[1]
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 INVITE")


async def test_nat_02_nat_03_rport_is_filled_and_answers_go_to_the_source_from_the_socket_that_was_asked(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.request("INVITE", "sip:somebody@example.com", extra=[f"X-Targets: {bob.uri}"])
    private = invite.replace(f"Via: SIP/2.0/UDP {alice.host}".encode(), b"Via: SIP/2.0/UDP 10.1.2.3:5999;rport", 1)
    alice.send(private)
    offered = await bob.comes("INVITE")
    via = offered.all("via")[1]
    assert f";rport={alice.address[1]}" in via and ";received=127.0.0.1" in via
    bob.respond(offered, 486, tag="b")
    final = await alice.comes("486 INVITE")
    assert final["via"] == via and final.source == stage.siphond.address
    alice.acknowledge(private, final)


async def test_sec_05_received_and_rport_that_the_sender_made_up_are_overwritten(stage):
    alice, bob = stage.phones("alice", "bob")
    invite = alice.request("INVITE", "sip:somebody@example.com", extra=[f"X-Targets: {bob.uri}"])
    forged = f"Via: SIP/2.0/UDP {alice.host};received=192.0.2.9;rport=9".encode()
    alice.send(invite.replace(f"Via: SIP/2.0/UDP {alice.host}".encode(), forged, 1))
    offered = await bob.comes("INVITE")
    assert "192.0.2.9" not in offered.all("via")[1] and f"rport={alice.address[1]}" in offered.all("via")[1]
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 INVITE")


async def test_nat_06_a_request_leaves_from_the_socket_that_its_via_names_with_rport(stage):
    alice, bob = stage.phones("alice", "bob")
    alice.invite(bob)
    offered = await bob.comes("INVITE")
    ours = offered.all("via")[0]
    assert re.match(rf"SIP/2.0/UDP 127\.0\.0\.1:{stage.siphond.port};", ours) and re.search(r";rport(;|$)", ours)
    assert offered.source == stage.siphond.address
    bob.respond(offered, 200, tag="b")
    await alice.comes("200 INVITE")


async def test_nat_12_a_phone_behind_nat_is_called_at_its_source_and_listed_by_its_contact(stage):
    alice, bob = stage.phones("alice", "bob")
    user = unique("natted")
    to, private = f"<sip:{user}@example.com>", f"<sip:{user}@10.1.2.3:5999>"
    lines = [f"Contact: {private}", "Expires: 600"]
    register = bob.request("REGISTER", "sip:example.com", local=f"{to};tag=r", remote=to, extra=lines)
    bob.send(register.replace(f"Via: SIP/2.0/UDP {bob.host}".encode(), b"Via: SIP/2.0/UDP 10.1.2.3:5999;rport", 1))
    listed = await bob.comes("200 REGISTER")
    assert listed["contact"].startswith(private)
    alice.start("MESSAGE", user=user)
    message = await bob.comes("MESSAGE")
    assert message.uri == f"sip:{user}@10.1.2.3:5999" and message.source == stage.siphond.address
    bob.respond(message, 200)
    await alice.comes("200 MESSAGE")


async def test_shared_10_a_binding_is_seen_by_every_worker_at_once(stage):
    alice, bob = stage.phones("alice", "bob")
    for _ in range(20):
        user = unique("fresh")
        bob.enrol(user)
        await bob.comes("200 REGISTER")
        alice.send(alice.request("MESSAGE", f"sip:{user}@example.com"), via=alice.bound())
        message = await bob.comes("MESSAGE")
        assert message.uri == bob.uri.replace("somebody", user)
        bob.respond(message, 200)
        await alice.comes("200 MESSAGE")


async def test_shared_10_phones_that_register_at_the_same_time_are_all_listed(stage):
    phones = stage.phones("bob", "bob", "bob", "bob", "bob")
    user = unique("team")
    for phone in phones:
        phone.enrol(user)
    for phone in phones:
        await phone.comes("200 REGISTER")
    to = f"<sip:{user}@example.com>"
    phones[0].send(phones[0].request("REGISTER", "sip:example.com", local=f"{to};tag=r", remote=to))
    listed = await phones[0].comes("200 REGISTER")
    assert sorted(value.partition(">")[0][1:] for value in listed.all("contact")) == sorted(p.uri for p in phones)
