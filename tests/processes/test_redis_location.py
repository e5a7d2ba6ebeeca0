"""Bindings in Redis, on real processes: nodes that share them, and what becomes of calls and REGISTERs without it."""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy_process import RECIPE, START_SECS, Siphond, until
from redis_nodes import OPEN, on_redis
from redis_servers import Server, redis_server
from tcp_relay import Relay
from udp_agent import Agent, Message, address_in, credentials, unique

from siphon.services.location.scripts import COMMIT

__all__ = ["redis_server"]

Nodes = Callable[..., Siphond]
Agents = Callable[..., Agent]


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def register(
    agent: Agent, *, expires: int = 600, contact: str = "", cseq: int = 1, call_id: str = "", within: float = 15.0
) -> Message:
    """One REGISTER and its final answer."""
    to = f"<sip:{agent.user}@example.com>"
    extra = [f"Contact: {contact or agent.contact}", f"Expires: {expires}"]
    call = call_id or unique("reg-")
    agent.send(
        agent.request(
            "REGISTER", "sip:example.com", cseq=cseq, call_id=call, remote=to, local=f"{to};tag=1", extra=extra
        )
    )
    return agent.answer_to(f"{cseq} REGISTER", within)


def fetched(agent: Agent) -> list[str]:
    """What a REGISTER without contacts is told."""
    to = f"<sip:{agent.user}@example.com>"
    agent.send(agent.request("REGISTER", "sip:example.com", remote=to, local=f"{to};tag=1"))
    answer = agent.answer_to("1 REGISTER")
    assert answer.status == 200, answer
    return [address_in(value) for value in answer.all("contact")]


def called(caller: Agent, callee: Agent, within: float = 15.0) -> str:
    """The outcome of an INVITE: "reached" or the status of the refusal. What is left of earlier calls is no part of it:
    a refusal comes again where its ACK was late."""
    call, reached = unique("call-"), False
    invite = caller.send(caller.request("INVITE", f"sip:{callee.user}@example.com", call_id=call))
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        for message in callee.drain():
            if message.is_a("INVITE") and message["call-id"] == call and not reached:
                callee.respond(message, 486, "Busy Here", tag="t")
                reached = True
        answer = caller.receive(0.005)
        if answer is not None and answer.status >= 300 and answer["call-id"] == call:
            caller.acknowledge(invite, answer)
            return "reached" if reached else str(answer.status)
    raise AssertionError("nothing came of the INVITE")


def test_shared_10_a_binding_is_seen_on_the_same_node_at_once_and_on_the_other_within_50_ms(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a, b = (on_redis(siphond, url_of(redis_server)).start() for _ in range(2))
    at_a, at_b = agent(a, "caller"), agent(b, "caller")
    bobs, at_once = [agent(a, f"bob{number}") for number in range(20)], 0
    for number, bob in enumerate(bobs):
        assert register(bob).status == 200
        if number % 2 == 0:
            assert called(at_a, bob) == "reached"
        else:
            at_once += called(at_b, bob) == "reached"
            until(lambda bob=bob: called(at_b, bob) == "reached", 20, "the binding at b")  # type: ignore[misc]
        assert fetched(agent(b, bob.user)) == [bob.uri]
    assert at_once >= 5, "of ten: a machine that does not run b may make some late"
    assert register(agent(b, "bob0"), expires=0, contact="*").status == 200
    until(lambda: called(at_a, bobs[0]) == "404", 20, "the end of the binding at a")


def test_shared_28_without_redis_at_start_a_node_says_503_until_it_comes(siphond: Nodes, redis_server: Server) -> None:
    redis_server.kill()
    node = on_redis(siphond, url_of(redis_server))
    node.launch()
    with Agent(node.address, "probe") as probe:
        until(lambda: " ready workers=" in node.log(), START_SECS, "the start")

        def options() -> Message | None:
            probe.send(probe.request("OPTIONS", "sip:example.com"))
            return probe.receive(0.5)

        answer = until(options, 30, "an answer to OPTIONS")
        assert answer.status == 503 and answer["retry-after"]
        with Agent(node.address, "bob") as bob:
            assert register(bob).status == 503
        assert node.log().count("redis.down") == 1, node.log()
        redis_server.start()
        until(lambda: (a := options()) is not None and a.status == 200, 30, "being ready")
        with Agent(node.address, "bob") as bob:
            until(lambda: register(bob).status == 200, 30, "the connection of the worker that is asked")
            assert called(probe, bob) == "reached"
    until(lambda: "redis.up" in node.log(), 20, "a line about it")
    assert node.log().count("redis.up") == 1


def test_shared_29_a_hung_redis_stops_no_call_and_lets_no_register_pass(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    node = on_redis(siphond, url_of(redis_server)).start()
    bob, carol, caller = agent(node, "bob"), agent(node, "carol"), agent(node, "caller")
    assert register(bob).status == 200
    redis_server.freeze()
    try:
        assert register(carol).status == 500
        for _ in range(5):
            assert called(caller, bob) == "reached"
            assert called(caller, carol) == "404", "an unknown address of record waits for nobody"
            assert register(carol).status == 500
        assert node.restarts() == 0
    finally:
        redis_server.thaw()
    until(lambda: register(carol).status == 200, 20, "a 200 for carol")
    assert called(caller, carol) == "reached"


def test_shared_30_a_redis_that_comes_back_empty_empties_the_mirror(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a, b = (on_redis(siphond, url_of(redis_server)).start() for _ in range(2))
    bob, caller = agent(a, "bob"), agent(b, "caller")
    assert register(bob).status == 200
    until(lambda: called(caller, bob) == "reached", 20, "the binding at b")
    redis_server.kill()
    until(lambda: register(bob).status == 500, 30, "a 500 without Redis")
    assert called(caller, bob) == "reached", "the mirror serves"
    redis_server.start()
    until(lambda: called(caller, bob) == "404", 30, "an empty mirror")
    until(lambda: register(bob).status == 200, 30, "the connection of the process at a that is asked")
    until(lambda: called(caller, bob) == "reached", 30, "the binding at b")
    assert called(agent(a, "caller"), bob) == "reached"


def test_shared_30_a_flushed_redis_is_noticed_without_a_new_connection(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    node = on_redis(siphond, url_of(redis_server)).start()
    bob, caller = agent(node, "bob"), agent(node, "caller")
    assert register(bob).status == 200
    redis_server.client().flushall()
    until(lambda: called(caller, bob) == "404", 30, "an empty mirror")
    assert register(bob).status == 200
    assert called(caller, bob) == "reached"


def test_shared_30_of_concurrent_registers_none_is_lost_and_an_older_one_never_wins(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a, b = (on_redis(siphond, url_of(redis_server)).start() for _ in range(2))
    phones = [agent(node, "bob") for node in (a, b) for _ in range(4)]
    to = "<sip:bob@example.com>"
    for phone in phones:
        extra = [f"Contact: {phone.contact}", "Expires: 600"]
        phone.send(
            phone.request("REGISTER", "sip:example.com", remote=to, local=f"{to};tag={phone.address[1]}", extra=extra)
        )
    assert [phone.answer_to("1 REGISTER").status for phone in phones] == [200] * len(phones)
    assert sorted(fetched(agent(b, "bob"))) == sorted(phone.uri for phone in phones)
    call = unique("order-")
    assert register(phones[0], cseq=7, call_id=call).status == 200
    late = agent(b, "bob")
    assert register(late, contact=phones[0].contact, cseq=6, call_id=call).status == 500


def test_shared_09_a_nonce_of_one_node_is_good_on_the_other(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a, b = (on_redis(siphond, url_of(redis_server), script=RECIPE).start() for _ in range(2))
    alice = agent(a, "alice")
    to = "<sip:alice@example.com>"
    alice.send(alice.request("REGISTER", "sip:example.com", remote=to))
    challenge = alice.answer_to("1 REGISTER")["www-authenticate"]
    line = credentials(challenge, "alice", "secret", "REGISTER", "sip:example.com")
    extra = [f"Authorization: {line}", f"Contact: {alice.contact}"]
    request = alice.request("REGISTER", "sip:example.com", cseq=2, remote=to, local=f"{to};tag=1", extra=extra)
    alice.send(request, to=b.address)
    assert alice.answer_to("2 REGISTER").status == 200


def test_shared_28_a_node_that_met_no_redis_takes_the_secret_that_the_others_have(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a = on_redis(siphond, url_of(redis_server), script=RECIPE).start()
    redis_server.freeze()
    b = on_redis(siphond, url_of(redis_server), script=RECIPE)
    b.tolerated += '|died pid=.* cause="exit status 0"'  # they begin anew with the secret
    b.launch()
    until(lambda: " ready workers=" in b.log(), START_SECS, "the start")
    redis_server.thaw()
    until(lambda: "mirror.ready" in b.log(), 60, "being ready")
    secret = (a.directory / "state/secret").read_text()
    until(lambda: (b.directory / "state/secret").read_text() == secret, 20, "the secret of the others")
    alice = agent(a, "alice")

    def login() -> bool:
        """A nonce of the one, used at the other."""
        to = "<sip:alice@example.com>"
        alice.send(alice.request("REGISTER", "sip:example.com", remote=to))
        challenge = alice.answer_to("1 REGISTER")["www-authenticate"]
        extra = [f"Authorization: {credentials(challenge, 'alice', 'secret', 'REGISTER', 'sip:example.com')}"]
        request = alice.request("REGISTER", "sip:example.com", cseq=2, remote=to, local=f"{to};tag=1", extra=extra)
        alice.send(request, to=b.address)
        deadline = time.monotonic() + 2  # a worker that begins anew may take it along
        while (answer := alice.receive(deadline - time.monotonic())) is not None:
            if answer["cseq"] == "2 REGISTER" and answer["call-id"] == Message.parse(request, alice.address)["call-id"]:
                return answer.status == 200
        return False

    until(login, 60, "a nonce that both know")


def test_shared_30_a_slow_redis_delays_registers_only(siphond: Nodes, agent: Agents, redis_server: Server) -> None:
    with Relay(redis_server.port) as relay:
        node = on_redis(siphond, f"redis://127.0.0.1:{relay.port}", timeout_ms=10_000).start()
        bob, carol, caller = agent(node, "bob"), agent(node, "carol"), agent(node, "caller")
        relay.delay = 1.5  # each way
        asked = time.monotonic()
        assert register(bob, within=30).status == 200
        assert time.monotonic() - asked > 3
        until(lambda: called(caller, bob) == "reached", 30, "the binding in the mirror")
        to = "<sip:carol@example.com>"

        def overtaken(cseq: int) -> bool:
            """Whether a call that began after a REGISTER has ended before it."""
            extra = [f"Contact: {carol.contact}", "Expires: 600"]
            asked = carol.request(
                "REGISTER", "sip:example.com", cseq=cseq, call_id="slow", remote=to, local=f"{to};tag=1", extra=extra
            )
            carol.send(asked)
            assert called(caller, bob) == "reached"
            early = [answer for answer in carol.drain() if answer.status >= 200]
            assert (early[0] if early else carol.answer_to(f"{cseq} REGISTER", within=30)).status == 200
            return not early

        assert any(map(overtaken, range(1, 6))), "a call waits for no round trip"


def test_shared_30_a_write_whose_answer_is_lost_is_read_back(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    with Relay(redis_server.port) as relay:
        node = on_redis(siphond, f"redis://127.0.0.1:{relay.port}", timeout_ms=10_000).start()
        bob = agent(node, "bob")
        assert register(bob).status == 200  # the script is known there
        relay.marker = COMMIT.digest
        relay.cut_after_next = True
        assert register(bob, expires=700).status == 200
        assert relay.cuts == 1, "the answer to the write was lost"
        assert fetched(bob) == [bob.uri]


def test_shared_30_a_node_that_starts_amid_registers_is_ready_with_a_complete_mirror(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a = on_redis(siphond, url_of(redis_server)).start()
    b = on_redis(siphond, url_of(redis_server))
    phones = [agent(a, f"user{number}") for number in range(300)]
    for phone in phones[:200]:
        assert register(phone).status == 200
    b.launch()
    for phone in phones[200:]:
        assert register(phone).status == 200
    until(lambda: "mirror.ready" in b.log(), 60, "being ready")
    caller = agent(b, "caller")
    until(lambda: called(caller, phones[-1]) == "reached", 20, "the last binding at b, so those before it")
    redis_server.freeze()
    try:
        until(lambda: called(caller, agent(b, "nobody")) == "404", 15, "an answer without Redis")
        for phone in phones[::10]:
            assert called(caller, phone) == "reached", phone.user
    finally:
        redis_server.thaw()


def test_bindings_in_redis_expire_by_the_stores_time_and_the_end_is_told(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    script = OPEN + (
        "\n@registrar.on_change\ndef changed(aor, event, contacts):\n"
        "    from siphon import log\n    log.warn(f'told {event} {aor} {len(contacts)}')\n"
    )
    more = "[registrar]\nmin_expires = 1\n"
    a, b = (on_redis(siphond, url_of(redis_server), script=script, more=more).start() for _ in range(2))
    bob = agent(a, "bob")
    assert register(bob, expires=5).status == 200
    until(lambda: "told registered sip:bob@example.com 1" in a.log(), 30, "the event")
    until(lambda: "told expired sip:bob@example.com 0" in a.log() + b.log(), 20, "the end")
    assert (a.log() + b.log()).count("told expired") == 1, "one node tells it"
    assert "told registered" not in b.log()
    until(lambda: called(agent(b, "caller"), bob) == "404", 20, "the end at b")
    until(lambda: not redis_server.client().keys("*:r:*"), 20, "the end of the record")
