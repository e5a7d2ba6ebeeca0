"""Limits of a running siphond: full tables, records that are too small for a message, memory that has run out."""

import resource

import pytest
from proxy_process import until

SHORT = "\n[transaction]\nt1 = 0.25\nt2 = 1.0\nt4 = 0.5\nlinger = 0\n"
"""A full table is full for 16 s, 64 times T1, and what is asked meanwhile must have been answered."""
LARGE = "x" * 20_000
"""More than shared.record_bytes (16384)."""
OPEN = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.in_dialog:
        request.loose_route()
        request.relay()
    elif contacts := registrar.lookup(request.ruri):
        request.record_route()
        request.fork(contacts)
    elif request.ruri.user:
        request.reply(404, "Nobody")
    else:
        request.reply(200, "OK")
"""


def invited(caller, callee, tag):
    """A call of Bob's phone that rings: the INVITE sent, and the one offered."""
    invite = caller.send(caller.request("INVITE", f"sip:{callee.user}@example.com"))
    offered = callee.expect("INVITE")
    callee.respond(offered, 180, tag=tag)
    caller.expect("180 INVITE")
    return invite, offered


def fill(proxy, agent):
    """INVITEs to a phone that never answers, until one is refused: who sent it, and it."""
    silent, filler = agent(proxy, "silent"), agent(proxy, "filler")
    silent.register_openly()
    for _ in range(500):
        invite = filler.send(filler.request("INVITE", "sip:silent@example.com"))
        if filler.answer_within("INVITE").status == 503:
            return filler, invite
    raise AssertionError("the table is never full")


def test_shared_35_a_full_table_of_transactions_keeps_room_for_what_runs(siphond, agent):
    proxy = siphond(workers=2, script=OPEN, transactions=64, more=SHORT).start()
    bob, alice, carol, dave = (agent(proxy, user) for user in ("bob", "alice", "carol", "dave"))
    bob.register_openly()
    _, offered = invited(alice, bob, "a")
    bob.respond(offered, 200, tag="a")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    cancelled, ringing = invited(carol, bob, "c")
    _, answered = invited(dave, bob, "d")

    filler, refused = fill(proxy, agent)
    for _ in range(3):
        filler.send(refused)
        again = filler.expect("503 INVITE")
        assert again["retry-after"]
    filler.acknowledge(refused, again)
    for method in ("OPTIONS", "REGISTER", "MESSAGE"):
        filler.send(filler.request(method, "sip:example.com"))
        assert filler.expect(f"503 {method}")["retry-after"]

    bob.respond(answered, 200, tag="d")
    second = dave.dialog(dave.expect("200 INVITE"))
    dave.within(second, "ACK")
    bob.expect("ACK")
    for caller, call in ((alice, dialog), (dave, second)):
        caller.within(call, "BYE")
        bob.respond(bob.expect("BYE"), 200)
        caller.expect("200 BYE")
    carol.cancel(cancelled)
    carol.expect("200 CANCEL")
    bob.respond(bob.expect("CANCEL"), 200)
    bob.respond(ringing, 487, tag="c")
    bob.expect("ACK")
    carol.acknowledge(cancelled, carol.expect("487 INVITE"))

    def recovered():
        probe = agent(proxy, "probe")
        probe.send(probe.request("OPTIONS", "sip:example.com"))
        answer = probe.receive(2)
        return answer is not None and answer.status == 200

    until(recovered, 90, "the recovery")
    assert proxy.status()["counters"]["full"] > 0
    assert proxy.restarts() == 0


def test_shared_35_a_full_location_table_takes_no_new_binding_and_keeps_the_old_ones(siphond, agent):
    proxy = siphond(workers=2, script=OPEN)
    proxy.configuration.write_text(proxy.configuration.read_text().replace("max_bindings = 1000", "max_bindings = 16"))
    proxy.start()
    known = []
    for number in range(200):
        phone = agent(proxy, f"user{number}")
        if (answer := phone.register_openly()).status != 200:
            break
        known.append(phone)
    assert answer.status == 503 and answer["retry-after"] and len(known) >= 16
    assert phone.register_openly().status == 503
    for old in known[:3]:
        assert old.register_openly().status == 200
    caller = agent(proxy, "caller")
    caller.send(caller.request("MESSAGE", "sip:user0@example.com"))
    known[0].respond(known[0].expect("MESSAGE"), 200)
    caller.expect("200 MESSAGE")
    for old in known[-3:]:
        assert old.register_openly(expires=0).status == 200
    assert phone.register_openly().status == 200


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "REGISTER"])
def test_shared_37_a_request_larger_than_a_record_gets_513_and_goes_nowhere(siphond, agent, method):
    proxy = siphond(workers=2, script=OPEN).start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register_openly()
    request = alice.request(method, "sip:bob@example.com", body=LARGE)
    for _ in range(2):
        alice.send(request)
        refusal = alice.expect(f"513 {method}")
    if method == "INVITE":
        alice.acknowledge(request, refusal)
    alice.send(alice.request("MESSAGE", "sip:bob@example.com", body="x" * 10_000))
    assert len(bob.expect("MESSAGE").body) == 10_000, "what fits passes, and nothing came before it"


def test_shared_37_large_responses_pass_whole_and_a_large_failure_is_repeated_without_its_body(siphond, agent):
    proxy = siphond(workers=2, script=OPEN).start()
    bob, alice, carol = agent(proxy, "bob"), agent(proxy, "alice"), agent(proxy, "carol")
    bob.register_openly()
    body = "y" * 55_000
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 183, tag="b", body=body)
    assert alice.expect("183 INVITE").body == body
    bob.respond(offered, 200, tag="b", body=body)
    answer = alice.expect("200 INVITE")
    assert answer.body == body
    dialog = alice.dialog(answer)
    alice.within(dialog, "ACK")
    bob.expect("ACK")

    invite = carol.send(carol.request("INVITE", "sip:bob@example.com"))
    bob.respond(bob.expect("INVITE"), 486, tag="c", extra=["Content-Type: text/plain"], body=body)
    bob.expect("ACK")
    first = carol.expect("486 INVITE")
    assert first.body == body and first["content-length"] == "55000"
    repeat = carol.expect("486 INVITE")  # Timer G: no ACK has come
    assert (repeat.body, repeat["content-length"], repeat["content-type"]) == ("", "0", "")
    carol.acknowledge(invite, repeat)


LEAKING = OPEN.replace(
    "@proxy.on_request",
    """
KEPT = []

@proxy.on_request("PUBLISH")
def leak(request):
    KEPT.append(bytearray(1 << 20))
    request.reply(200, "OK")

@proxy.on_request("SUBSCRIBE")
def too_much(request):
    bytearray(1 << 40)

@proxy.on_request("INVITE|ACK|BYE|OPTIONS|REGISTER")""",
)


def limit_memory(pid, spare):
    """What the process may still take beyond what it has; less than nothing makes the next allocation fail."""
    with open(f"/proc/{pid}/status") as file:
        used = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData:"))
    resource.prlimit(pid, resource.RLIMIT_DATA, (max(4096, used + spare), resource.RLIM_INFINITY))


def with_a_ringing_call(siphond, agent):
    proxy = siphond(workers=2, script=LEAKING).start()
    proxy.tolerated = "."
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register_openly()
    _, offered = invited(alice, bob, "b")
    return proxy, bob, alice, offered


def ends_well(bob, alice, offered):
    """The call that rang before is answered and ended."""
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE", but=["100 INVITE", "180 INVITE"]))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")


@pytest.mark.parametrize("spare", [64 << 20, -(1 << 40)])
def test_a_worker_whose_script_has_used_up_its_memory_is_replaced_and_nothing_is_lost(siphond, agent, spare):
    proxy, bob, alice, offered = with_a_ringing_call(siphond, agent)
    before = set(proxy.worker_pids())
    for pid in before:
        limit_memory(pid, spare)
    leaker = agent(proxy, "leaker")
    answers = set()

    def leaks():
        leaker.send(leaker.request("PUBLISH", "sip:example.com"), via=leaker.bound())
        answer = leaker.answer_within("PUBLISH")
        answers.add(answer.status)
        return proxy.restarts() >= 2

    until(leaks, 60, "the end of both workers")
    assert answers <= {200, 500}
    until(lambda: 'cause="out of memory"' in proxy.log(), 20, "the line")
    until(lambda: len(proxy.worker_pids()) == 2, 30, "the new ones")
    assert not set(proxy.worker_pids()) & before
    ends_well(bob, alice, offered)
    assert bob.register_openly().status == 200


def test_a_handler_that_asks_for_too_much_at_once_has_only_failed(siphond, agent):
    proxy, bob, alice, offered = with_a_ringing_call(siphond, agent)
    greedy = agent(proxy, "greedy")
    for _ in range(5):
        greedy.send(greedy.request("SUBSCRIBE", "sip:example.com"))
        greedy.expect("500 SUBSCRIBE")
    ends_well(bob, alice, offered)
    assert proxy.restarts() == 0
