"""Two listeners, two families, advertised names and wildcards: what peers are told, and whence they are answered.

A phone sends to one listener only and accepts nothing from another: what arrives is asserted to come from there.
"""

from contextlib import ExitStack
from functools import cache

import pytest
from free_ports import free_port
from proxy_process import Siphond
from udp_agent import Agent, address_in, shown, unique

SCRIPT = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.record_route()
        if request.loose_route():
            request.relay()
        else:
            request.reply(481)
    elif request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "OPTIONS":
        request.reply(200)
    else:
        forward(request)

def forward(request):
    request.record_route()
    target, via = request.get_header("X-Target"), request.get_header("X-Via")
    socket = request.get_header("X-Socket")
    if target:
        if via:
            request.force_send_via("udp", via)
        request.relay(target, send_socket=socket)
    else:
        request.fork(registrar.lookup(request.ruri), send_socket=socket)
"""
V4, OTHER, V6 = ALL = "127.0.0.1", "127.0.0.2", "::1"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Siphonds that are made once, by what they listen at."""
    with ExitStack() as stack:

        @cache
        def serving(listen, first):
            made = Siphond(tmp_path_factory.mktemp("siphond"), workers=2, listen=listen, first=first, script=SCRIPT)
            stack.callback(made.close)
            return made.start()

        yield serving


@pytest.fixture
def sides(servers):
    """A siphond that listens at some addresses, and phones that each know one of them."""
    made = Sides(servers)
    yield made
    for phone in made.phones:
        phone.close()
    assert made.proxy.restarts() == 0


class Sides:
    def __init__(self, servers):
        self.servers = servers
        self.phones = []
        self.user = unique("bob")

    def listen(self, *ips, first="", advertise=""):
        """One listener each on the same port; the first is told by the name `advertise`."""
        places = [f"[{ip}]:{{port}}" if ":" in ip else f"{ip}:{{port}}" for ip in ips]
        entries = [f'"{place}"' for place in places]
        if advertise:
            entries[0] = f'{{ address = "{places[0]}", advertise = "{advertise}" }}'
        self.proxy = self.servers(", ".join(entries), first)
        return self

    def at(self, ip):
        return (ip, self.proxy.port)

    def phone(self, user, side, ip=""):
        """A phone that sends to the listener at `side`."""
        made = Agent(self.at(side), user, ip=ip or side)
        self.phones.append(made)
        return made

    def enrolled(self, phone):
        """It registers as the user of this test."""
        to = f"<sip:{self.user}@example.com>"
        lines = [f"Contact: {phone.contact}", "Expires: 600"]
        phone.send(phone.request("REGISTER", "sip:example.com", local=f"{to};tag=r", remote=to, extra=lines))
        assert phone.expect("200 REGISTER").source == phone.proxy
        return phone


def via_of(message):
    """Host and port of the top Via."""
    return message.all("via")[0].split(" ")[1].partition(";")[0]


def routes_of(message):
    return [address_in(route).removeprefix("sip:").partition(";")[0] for route in message.all("record-route")]


def came_from(phone, message, name=""):
    """The request came from the listener that the phone knows, and its Via says so."""
    assert message.source == phone.proxy
    assert via_of(message) == (name or shown(phone.proxy))
    assert ";rport" in message.all("via")[0]


def within(phone, dialog, method, peer):
    """A request in the dialog reaches the peer from its own side."""
    assert f"@{shown(phone.proxy)}" in dialog.routes[0].replace("sip:", "@"), "the first route is the listener it knows"
    sent = phone.within(dialog, method)
    request = peer.expect(method)
    came_from(peer, request)
    assert request.all("route") == []
    return sent, request


PAIRS = [(V4, OTHER), (V4, V6), (V6, V4)]


@pytest.mark.parametrize(("near", "far"), PAIRS)
def test_prx_27_a_dialog_between_two_listeners_works_in_both_directions(near, far, sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", near), sides.enrolled(sides.phone("bob", far))
    alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    offered = bob.expect("INVITE")
    came_from(bob, offered)
    assert routes_of(offered) == [shown(sides.at(far)), shown(sides.at(near))], "the sending side on top"
    bob.respond(offered, 200, tag="b")
    answer = alice.expect("200 INVITE")
    assert answer.source == alice.proxy
    of_alice, of_bob = alice.dialog(answer), bob.dialog_of_callee(offered, "b")
    within(alice, of_alice, "ACK", bob)
    for caller, dialog, called in ((alice, of_alice, bob), (bob, of_bob, alice)):
        _, reinvite = within(caller, dialog, "INVITE", called)
        assert len(reinvite.all("record-route")) == 2
        called.respond(reinvite, 200)
        assert caller.expect("200 INVITE").source == caller.proxy
        within(caller, dialog, "ACK", called)
    _, bye = within(bob, of_bob, "BYE", alice)
    alice.respond(bye, 200)
    assert bob.expect("200 BYE").source == bob.proxy


def test_prx_25_one_listener_puts_one_record_route_although_there_are_two(sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", OTHER), sides.enrolled(sides.phone("bob", OTHER))
    invite = alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    offered = bob.expect("INVITE")
    came_from(bob, offered)
    assert routes_of(offered) == [shown(sides.at(OTHER))]
    bob.respond(offered, 486, tag="b")
    alice.acknowledge(invite, alice.expect("486 INVITE"))  # or it would be repeated to whoever has the port next


def test_can_02_cancel_and_the_ack_of_a_failure_leave_from_the_side_of_their_invite(sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", V4), sides.enrolled(sides.phone("bob", V6))
    invite = alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    alice.cancel(invite)
    assert alice.expect("200 CANCEL").source == alice.proxy
    cancel = bob.expect("CANCEL")
    bob.respond(cancel, 200, tag="b")
    bob.respond(offered, 487, tag="b")
    ack = bob.expect("ACK")
    for message in (cancel, ack):
        assert message.source == bob.proxy and message.all("via") == offered.all("via")[:1]
    alice.acknowledge(invite, alice.expect("487 INVITE"))


def test_v6_multhdr_prx_28_one_user_with_an_ipv4_and_an_ipv6_phone_is_called_in_both_families(sides):
    sides.listen(*ALL)
    alice, desk, mobile = sides.phone("alice", V4), sides.phone("bob", V4), sides.phone("bob", V6)
    for phone in (desk, mobile):
        sides.enrolled(phone)
    alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    at_desk, at_mobile = desk.expect("INVITE"), mobile.expect("INVITE")
    came_from(desk, at_desk)
    came_from(mobile, at_mobile)
    assert routes_of(at_desk) == [shown(sides.at(V4))]
    assert routes_of(at_mobile) == [shown(sides.at(V6)), shown(sides.at(V4))]
    desk.respond(at_desk, 180, tag="desk")
    alice.expect("180 INVITE")
    mobile.respond(at_mobile, 200, tag="mobile")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    desk.respond(desk.expect("CANCEL"), 200)
    desk.respond(at_desk, 487, tag="desk")
    desk.expect("ACK")
    within(alice, dialog, "ACK", mobile)
    mobile.respond(within(alice, dialog, "BYE", mobile)[1], 200)
    alice.expect("200 BYE")


def test_nat_11_received_of_an_ipv6_peer_has_no_brackets_and_hosts_have(sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", V6), sides.phone("bob", V6)
    for claimed in ("[2001:db8::9]:5999", "phone.invalid"):
        invite = alice.request("INVITE", f"sip:bob@{bob.host}", extra=[f"X-Target: sip:{bob.host}"])
        alice.send(invite.replace(f"UDP {alice.host};".encode(), f"UDP {claimed};rport;".encode(), 1))
        offered = bob.expect("INVITE")
        assert offered.uri == f"sip:bob@[::1]:{bob.address[1]}"
        came_from(bob, offered)
        assert offered.all("via")[1].startswith(f"SIP/2.0/UDP {claimed};")
        assert ";received=::1" in offered.all("via")[1] and f";rport={alice.address[1]}" in offered.all("via")[1]
        assert routes_of(offered) == [shown(sides.at(V6))]
        bob.respond(offered, 486, tag="b")
        bob.expect("ACK")
        assert alice.expect("486 INVITE").all("via") == offered.all("via")[1:]


@pytest.mark.parametrize("received", ["::1", "[::1]"])
def test_v6_rcv_delim_nat_11_received_in_lower_vias_passes_in_either_form(received, sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", V6), sides.phone("bob", V6)
    lower = f"Via: SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bK-lower"
    extra = [f"X-Target: sip:{bob.host}", lower]
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=extra))
    offered = bob.expect("INVITE")
    assert offered.all("via")[2] == lower.removeprefix("Via: ")
    bob.respond(offered, 486, tag="b")
    assert alice.expect("486 INVITE").all("via")[1] == lower.removeprefix("Via: ")


def test_v6_multhdr_a_caller_of_each_family_reaches_a_phone_of_the_other_by_its_address(sides):
    sides.listen(*ALL)
    for near, far in ((V4, V6), (V6, V4)):
        alice, bob = sides.phone("alice", near), sides.phone("bob", far)
        alice.send(alice.request("MESSAGE", "sip:bob@example.com", extra=[f"X-Target: sip:{bob.host}"]))
        message = bob.expect("MESSAGE")
        came_from(bob, message)
        bob.respond(message, 200)
        assert alice.expect("200 MESSAGE").source == alice.proxy


def test_prx_28_what_a_listener_advertises_is_in_via_record_route_and_contact_and_is_ours(sides):
    sides.listen(V4, OTHER, first='advertised_address = "edge.example.net"', advertise="sip.example.net")
    port = sides.proxy.port
    alice, bob = sides.phone("alice", OTHER), sides.enrolled(sides.phone("bob", V4))
    for phone, name in ((bob, "sip.example.net"), (alice, "edge.example.net")):
        phone.send(phone.request("OPTIONS", "sip:example.com"))
        assert name in phone.expect("200 OPTIONS")["contact"]
    alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    offered = bob.expect("INVITE")
    came_from(bob, offered, f"sip.example.net:{port}")
    assert routes_of(offered) == [f"sip.example.net:{port}", f"edge.example.net:{port}"]
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    came_from(bob, bob.expect("ACK"), f"sip.example.net:{port}")
    of_bob = bob.dialog_of_callee(offered, "b")
    bob.within(of_bob, "BYE")
    bye = alice.expect("BYE")
    came_from(alice, bye, f"edge.example.net:{port}")
    assert bye.all("route") == []
    alice.respond(bye, 200)
    bob.expect("200 BYE")


def test_nat_06_wildcard_listeners_name_the_address_that_is_really_used(sides):
    sides.listen("0.0.0.0", "::")
    alice, bob = sides.phone("alice", V4), sides.enrolled(sides.phone("bob", V6))
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    assert shown(sides.at(V4)) in alice.expect("200 OPTIONS")["contact"]
    alice.send(alice.request("INVITE", f"sip:{sides.user}@example.com"))
    offered = bob.expect("INVITE")
    came_from(bob, offered)
    assert routes_of(offered) == [shown(sides.at(V6)), shown(sides.at(V4))]
    bob.respond(offered, 200, tag="b")
    answer = alice.expect("200 INVITE")
    assert answer.source == alice.proxy
    of_alice, of_bob = alice.dialog(answer), bob.dialog_of_callee(offered, "b")
    within(alice, of_alice, "ACK", bob)
    alice.respond(within(bob, of_bob, "BYE", alice)[1], 200)
    bob.expect("200 BYE")
    for message in (*alice.seen, *bob.seen):
        assert b"0.0.0.0" not in message.raw and b"[::]" not in message.raw


def test_send_socket_names_the_listener_that_sends(sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", V4), sides.phone("bob", OTHER)
    for socket, side in ((f"udp:{shown(sides.at(OTHER))}", OTHER), ("", V4)):
        bob.proxy = sides.at(side)
        extra = [f"X-Target: sip:{bob.host}", *([f"X-Socket: {socket}"] if socket else [])]
        invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=extra))
        offered = bob.expect("INVITE")
        came_from(bob, offered)
        assert routes_of(offered) == [shown(sides.at(ip)) for ip in ((OTHER, V4) if side == OTHER else (V4,))]
        bob.respond(offered, 486, tag="b")
        bob.expect("ACK")
        alice.acknowledge(invite, alice.expect("486 INVITE"))


def test_send_socket_that_is_none_of_ours_is_passed_over(sides):
    sides.listen(*ALL)
    alice, bob = sides.phone("alice", V4), sides.phone("bob", V4)
    extra = [f"X-Target: sip:{bob.host}", f"X-Socket: udp:192.0.2.1:{free_port()}"]
    alice.send(alice.request("MESSAGE", "sip:bob@example.com", extra=extra))
    message = bob.expect("MESSAGE")
    came_from(bob, message)
    bob.respond(message, 200)
    alice.expect("200 MESSAGE")


@pytest.mark.parametrize("name", ["127.0.0.1:{port}", "sip.example.net:{port}", "edge.example.net:5099"])
def test_force_send_via_names_another_host_and_answers_still_arrive(name, sides):
    sides.listen(V4, first='advertised_address = "sip.example.net"')
    name = name.replace("{port}", str(sides.proxy.port))
    alice, bob = sides.phone("alice", V4), sides.phone("bob", V4)
    extra = [f"X-Target: sip:{bob.host}", f"X-Via: {name}"]
    call = unique("via")
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com", call_id=call, extra=extra))
    offered = bob.expect("INVITE")
    came_from(bob, offered, name)
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))
