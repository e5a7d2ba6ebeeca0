"""kill -9 of the supervisor and all others at once, and the next start on the same boot: what they shared is there."""

import hashlib
import re
import time

import pytest
from proxy_process import until
from registrations import OPEN_REGISTRAR, bindings_in, journal_facts, kill_everything, register_all, register_request
from udp_agent import Agent, unique

SCRIPT = """
from siphon import auth, log, proxy, registrar, timer

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.loose_route()
        request.relay()
    elif request.method == "REGISTER":
        if auth.require_digest(request, realm="example.com"):
            registrar.save(request)
    elif request.method == "OPTIONS":
        request.reply(200, "OK")
    elif request.ruri.user == "limited":
        if proxy.rate_limit(request, 3600, 5):
            request.reply(200, "OK")
        else:
            request.reply(429, "Too Many")
    elif request.ruri.user == "alarm":
        timer.set("alarm", int(request.body.decode()), ring)
        request.reply(200, "OK")
    else:
        request.record_route()
        request.fork(registrar.lookup(request.ruri))

def ring(key):
    log.info("rang " + key)
"""


def answer(challenge, nc, method, uri, user="bob"):
    """Digest credentials with this nonce count (RFC 7616)."""
    field = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)}

    def digest(text):
        return hashlib.md5(text.encode()).hexdigest()

    ha1, ha2, count = digest(f"{user}:{field['realm']}:secret"), digest(f"{method}:{uri}"), f"{nc:08x}"
    response = digest(f"{ha1}:{field['nonce']}:{count}:abc:auth:{ha2}")
    return (
        f'Authorization: Digest username="{user}", realm="{field["realm"]}", nonce="{field["nonce"]}", uri="{uri}", '
        f'response="{response}", algorithm=MD5, qop=auth, nc={count}, cnonce="abc", opaque="{field.get("opaque", "")}"'
    )


class Phone(Agent):
    """One that keeps its nonce."""

    call_id = ""
    cseq = 0

    def try_register(self, nc=0):
        """The answer to a REGISTER with that nonce count, 0 for one without credentials."""
        self.call_id = self.call_id or unique("reg-")
        self.cseq += 1
        uri, to = "sip:example.com", f"<sip:{self.user}@example.com>"
        extra = [f"Contact: {self.contact}", "Expires: 600"]
        extra += [answer(self.challenge, nc, "REGISTER", uri, self.user)] if nc else []
        local = f"{to};tag=reg"
        self.send(
            self.request("REGISTER", uri, cseq=self.cseq, call_id=self.call_id, local=local, remote=to, extra=extra)
        )
        found = self.answer_to(f"{self.cseq} REGISTER")
        if found.status == 401:
            self.challenge = found["www-authenticate"]
        return found


@pytest.fixture
def proxy(siphond):
    return siphond(workers=3, script=SCRIPT).start()


@pytest.fixture
def bob(proxy):
    with Phone(proxy.address, "bob") as made:
        assert made.try_register().status == 401
        assert made.try_register(1).status == 200
        yield made


def message(agent, user, body=""):
    agent.send(agent.request("MESSAGE", f"sip:{user}@example.com", body=body))
    return agent.answer_to("1 MESSAGE").status


def restart(proxy):
    kill_everything(proxy)
    proxy.start()


def test_shared_25_bindings_and_nonce_counts_are_there(proxy, bob):
    before = bindings_in(proxy)
    restart(proxy)
    assert bindings_in(proxy) == before and list(before) == ["sip:bob@example.com"]
    challenge = bob.challenge
    replay = bob.try_register(1)
    assert replay.status == 401 and "stale=true" in replay["www-authenticate"]
    bob.challenge = challenge
    assert bob.try_register(2).status == 200


def test_shared_25_a_rate_is_counted_on(proxy, agent):
    alice = agent(proxy, "alice")
    assert [message(alice, "limited") for _ in range(3)] == [200] * 3
    restart(proxy)
    assert [message(alice, "limited") for _ in range(3)] == [200, 200, 429]
    restart(proxy)
    assert message(alice, "limited") == 429


def test_shared_25_a_timer_rings_once_also_when_its_time_passed_meanwhile(proxy, agent):
    alice = agent(proxy, "alice")
    assert message(alice, "alarm", "5000") == 200
    kill_everything(proxy)
    time.sleep(5.1)  # its time passes while nobody runs
    assert "rang alarm" not in proxy.log()
    proxy.start()
    until(lambda: "rang alarm" in proxy.log(), 20, "the ringing")
    assert message(alice, "alarm", "60000") == 200
    restart(proxy)
    assert proxy.log().count("rang alarm") == 1


def test_shared_25_a_call_that_rings_is_answered_and_ended(proxy, bob, agent):
    alice = agent(proxy, "alice")
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    restart(proxy)
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")


def test_shared_25_a_call_that_was_offered_a_moment_ago_is_offered_again_until_it_is_answered(proxy, bob, agent):
    """Nobody answered the INVITE yet: its repeats are deadlines of the record, and go on."""
    alice = agent(proxy, "alice")
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    first = bob.expect("INVITE")
    kill_everything(proxy)
    list(bob.drain())
    proxy.start()
    again = bob.receive(30)
    assert again is not None and again.raw == first.raw, "the repeat is the same byte for byte"
    bob.respond(again, 486, tag="b")
    alice.expect("486 INVITE")


def test_shared_25_a_dialog_is_known_to_a_bye_without_a_route(proxy, bob, agent):
    """It names the proxy itself: the dialog's record is all that leads it to the other side."""
    alice = agent(proxy, "alice")
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    restart(proxy)
    dialog.routes, dialog.target = [], f"sip:127.0.0.1:{proxy.port}"
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")
    alice.send(alice.request("BYE", dialog.target, cseq=9, remote="<sip:bob@example.com>;tag=made-up"))
    alice.expect("482 BYE")


def test_shared_25_a_failure_that_was_not_acknowledged_is_repeated(proxy, bob, agent):
    alice = agent(proxy, "alice")
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    bob.respond(bob.expect("INVITE"), 486, tag="b")
    final = alice.expect("486 INVITE")
    bob.expect("ACK")
    kill_everything(proxy)
    list(alice.drain())
    proxy.start()
    repeated = alice.receive(30)
    assert repeated is not None and repeated.raw == final.raw
    alice.acknowledge(invite, repeated)


def test_kills_of_everything_again_and_again_lose_no_binding(siphond):
    """Each time while phones register: what was answered with 200 is there, whatever the kill met."""
    proxy = siphond(workers=2, script=OPEN_REGISTRAR).start()
    answered = 0
    for round_ in range(4):
        first = 100 * round_
        requests = [
            register_request(f"u{n}", f"<sip:u{n}@127.0.0.1:{20000 + n}>", ("127.0.0.1", 5070))
            for n in range(first, first + 60)
        ]
        register_all(proxy, requests)
        answered += 60
        kill_everything(proxy)
        proxy.start()
        assert len(bindings_in(proxy)) == answered
    until(lambda: journal_facts(proxy).get("records") == answered, 60, "the journal")
