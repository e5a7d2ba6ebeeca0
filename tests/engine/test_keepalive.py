"""nat.keepalive: OPTIONS to registered contacts, from one worker, and what becomes of those that do not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from siphon.config.log import WARN
from siphon.config.version import PRODUCT
from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.worker import loaded
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
SCRIPT = """
from siphon import proxy, registrar

TOLD = []
SEEN = []

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)

@proxy.on_request("OPTIONS")
def route(request):
    SEEN.append(request.method)
    request.reply(200, "OK")

@proxy.on_reply
def never(request, reply):
    SEEN.append(reply.status_code)
    reply.relay()

@proxy.on_failure
def neither(request, reply):
    SEEN.append(reply.status_code)

@registrar.on_change
def changed(aor, event, contacts):
    TOLD.append((aor, event, [str(contact) for contact in contacts]))
"""


class Phone(Agent):
    """Answers each OPTIONS after `delay` seconds with `status`, 0: not at all."""

    status = 200
    delay = 0.05

    def receive(self, data: bytes) -> None:
        super().receive(data)
        message = parse(data)
        if message.is_request and self.status:
            self.world.schedule.at(self.world.clock() + self.delay, self.answer, message, self.status)

    def asked(self) -> list[SipMessage]:
        """The OPTIONS that came since the last call, without repeats."""
        new = {m.call_id: m for m in self.take() if m.is_request}
        return list(new.values())


def phone_at(world: World, ip: str, port: int = 5060, status: int = 200) -> Phone:
    phone = Phone(world, ip, port)
    phone.status = status
    world.agents[(ip, port)] = phone
    return phone


def register(
    phone: Phone, aor: str = BOB, contact: str = "", cseq: int = 1, via: str = "", expires: int = 3600, **where: int
) -> None:
    """Register the phone's own address, or the one given; `via` is what it believes to be its address."""
    text = phone.request(
        "REGISTER",
        "sip:example.com",
        call_id=f"r-{aor}-{phone.ip}-{phone.port}",
        cseq=cseq,
        to=aor,
        headers=f"Expires: {expires}",
    )
    own = f"{phone.ip}:{phone.port}"
    text = text.replace(f"UDP {own};", f"UDP {via or own};").replace(f"<sip:{own}>", f"<{contact or f'sip:{own}'}>")
    phone.send(text, **where)
    assert phone.inbox.pop().status == 200


def kept(make: Make, interval: float = 10, threshold: int = 3, script: str = SCRIPT, **options: Any) -> World:
    nat = {"keepalive": {"interval_secs": interval, "failure_threshold": threshold}}
    world = make(script, nat=nat, **options)
    for name in ("TOLD", "SEEN"):
        said(world, name).clear()
    return world


def said(world: World, name: str = "TOLD") -> list[Any]:
    script = loaded(world.settings.script.path, world.script_version)
    found: list[Any] = getattr(script.modules["siphon_user_script"], name)
    return found


def contacts(world: World, aor: str = BOB) -> list[str]:
    return [b.uri for b in world.workers[-1].runtime.services.location.lookup(aor, world.clock.wall())]


def senders(world: World) -> list[int]:
    return [w.slot for w in world.workers if w.alive and w.keepalive._lease.is_held]


def test_without_the_setting_nothing_is_sent(make_world: Make) -> None:
    world = make_world(SCRIPT)
    phone = phone_at(world, "127.0.0.2")
    register(phone)
    world.advance(300)
    assert phone.inbox == []
    world = kept(make_world)
    off = make_world(SCRIPT, nat={"keepalive": {"enabled": False}})
    assert off.workers[0].keepalive.next_at == float("inf") and world.workers[0].keepalive.next_at == 0.0


def test_each_binding_is_asked_once_an_interval_by_one_worker_and_no_record_stays(make_world: Make) -> None:
    world = kept(make_world, workers=3)
    phones = [phone_at(world, f"127.0.1.{n}") for n in range(1, 6)]
    for number, phone in enumerate(phones):
        register(phone, f"sip:user{number}@example.com")
    world.advance(10)
    for phone in phones:
        phone.take()
    for _ in range(5):
        world.advance(10)
        assert [len(phone.asked()) for phone in phones] == [1] * 5
        assert len(senders(world)) == 1
    world.advance(0.5)
    assert all(record.method == "REGISTER" for record in world.records())
    assert contacts(world, "sip:user3@example.com") == ["sip:127.0.1.4:5060"]
    assert said(world, "SEEN") == []


def test_the_request_names_contact_address_of_record_and_us(make_world: Make) -> None:
    world = kept(make_world)
    phone = phone_at(world, "127.0.0.2", 5090)
    register(phone, contact="sip:bob@127.0.0.2:5090;x=1")
    world.advance(9)
    m = phone.asked()[0]
    assert m.raw.startswith(b"OPTIONS sip:bob@127.0.0.2:5090;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=")
    assert m.first("To") == b"<sip:bob@example.com>" and m.first("User-Agent") == PRODUCT.encode()
    assert (m.first("From") or b"").startswith(b"<sip:127.0.0.1:5060>;tag=")
    assert (m.cseq, m.cseq_method, m.body) == (1, "OPTIONS", b"")


def test_behind_nat_it_goes_to_the_source_else_to_the_contact_by_the_listener_of_the_register(
    make_world: Make,
) -> None:
    world = kept(make_world, listen={"udp": ["127.0.0.1:5060", "127.0.0.1:5080"]})
    hidden, open_ = phone_at(world, "192.0.2.7", 41000), phone_at(world, "192.0.2.8", 42000)
    elsewhere = phone_at(world, "192.0.2.9", 5070)
    register(hidden, "sip:hidden@example.com", "sip:hidden@10.0.0.5:5060", via="10.0.0.5:5060", listener=1)
    register(open_, "sip:open@example.com", "sip:open@192.0.2.9:5070", listener=1)
    world.advance(9)
    (one,), (two,) = hidden.asked(), elsewhere.asked()
    assert one.uri == b"sip:hidden@10.0.0.5:5060" and two.uri == b"sip:open@192.0.2.9:5070"
    assert b"127.0.0.1:5080" in (one.first("Via") or b"") and b"127.0.0.1:5080" in (two.first("Via") or b"")
    asked = [send for send in world.sent if send.data.startswith(b"OPTIONS")]
    assert {send.listener for send in asked} == {1} and open_.asked() == []


def test_a_path_is_followed(make_world: Make) -> None:
    world = kept(make_world)
    edge = phone_at(world, "127.0.0.9", 5066)
    text = edge.request(
        "REGISTER", "sip:example.com", to=BOB, headers="Supported: path\nPath: <sip:127.0.0.9:5066;lr>\nExpires: 600"
    )
    edge.send(text.replace("Contact: <sip:127.0.0.9:5066>", "Contact: <sip:bob@10.1.1.1:5060>"))
    assert edge.inbox.pop().status == 200
    world.advance(9)
    (m,) = edge.asked()
    assert m.uri == b"sip:bob@10.1.1.1:5060" and m.values("Route") == [b"<sip:127.0.0.9:5066;lr>"]


@pytest.mark.parametrize("status", [200, 404, 486, 503, 603])
def test_any_final_is_a_sign_of_life(make_world: Make, status: int) -> None:
    world = kept(make_world, threshold=1)
    phone = phone_at(world, "127.0.0.2", status=status)
    register(phone)
    world.advance(60)
    assert len(phone.asked()) >= 5 and contacts(world) and said(world) == [(BOB, "registered", contacts(world))]


def test_a_provisional_is_none(make_world: Make) -> None:
    world = kept(make_world, threshold=2)
    register(phone_at(world, "127.0.0.2", status=100))
    world.advance(35)
    assert contacts(world) == []


def test_silence_removes_that_binding_only_after_so_many_failures_and_tells_on_change(make_world: Make) -> None:
    world = kept(make_world, threshold=3)
    dead, living = phone_at(world, "127.0.0.2", status=0), phone_at(world, "127.0.0.3")
    register(dead)
    register(living)
    world.advance(25)
    assert len(contacts(world)) == 2
    world.advance(16)
    assert contacts(world) == ["sip:127.0.0.3:5060"]
    assert said(world)[-1] == (BOB, "deregistered", ["sip:127.0.0.3:5060"])
    dead.take()
    world.advance(30)
    assert dead.inbox == [] and len(living.asked()) >= 6 and len(said(world)) == 3


def test_an_icmp_error_is_a_failure_at_once(make_world: Make) -> None:
    world = kept(make_world, interval=30, threshold=2)
    register(phone_at(world, "127.0.0.2", status=0))
    world.unreachable.add(("127.0.0.2", 5060))
    world.advance(31)
    assert contacts(world) == [] and said(world)[-1] == (BOB, "deregistered", [])


def test_failures_that_are_not_in_a_row_do_no_harm(make_world: Make) -> None:
    world = kept(make_world, threshold=2)
    phone = phone_at(world, "127.0.0.2", status=0)
    register(phone)
    for number in range(12):
        phone.status = 200 if number % 2 else 0
        world.advance(10)
    assert contacts(world) == ["sip:127.0.0.2:5060"]


def test_a_late_answer_is_a_stray_and_the_failure_stays(make_world: Make) -> None:
    world = kept(make_world, threshold=2)
    phone = phone_at(world, "127.0.0.2")
    phone.delay = 10.5
    register(phone)
    world.advance(45)
    assert contacts(world) == []


def test_a_refreshed_binding_begins_at_no_failures_and_is_not_removed(make_world: Make) -> None:
    world = kept(make_world, threshold=3)
    phone = phone_at(world, "127.0.0.2", status=0)
    for cseq in range(1, 9):
        register(phone, cseq=cseq)
        world.advance(25)
        phone.take()
        assert contacts(world) == ["sip:127.0.0.2:5060"]
    world.advance(40)
    assert contacts(world) == []


def test_a_register_between_the_last_silence_and_the_removal_saves_the_binding(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = kept(make_world, threshold=1)
    phone = phone_at(world, "127.0.0.2", status=0)
    register(phone)
    plain = world.location_table.commit
    raced: list[int] = []

    def commit(*args: Any, **kwargs: Any) -> int:
        if not raced:
            raced.append(1)
            monkeypatch.setattr(world.location_table, "commit", plain)
            phone.take()
            register(phone, cseq=2, worker=1 - senders(world)[0])
        return plain(*args, **kwargs)

    monkeypatch.setattr(world.location_table, "commit", commit)
    world.advance(15)
    assert raced and contacts(world) == ["sip:127.0.0.2:5060"]
    assert [event for _, event, _ in said(world)] == ["registered", "refreshed"]


def test_when_the_sender_dies_another_worker_sends_and_counts_anew(make_world: Make) -> None:
    world = kept(make_world, threshold=3, workers=2)
    dead, living = phone_at(world, "127.0.0.2", status=0), phone_at(world, "127.0.0.3")
    register(dead)
    register(living)
    world.advance(25)
    (first,) = senders(world)
    world.kill(first)
    living.take()
    world.advance(0.01)
    assert senders(world) == [1 - first]
    world.replace(first)
    world.advance(9)
    assert senders(world) == [1 - first] and len(living.asked()) == 1
    world.advance(10)
    assert len(contacts(world)) == 2
    world.advance(22)
    assert contacts(world) == ["sip:127.0.0.3:5060"]
    world.advance(70)
    assert all(record.method == "REGISTER" for record in world.records())


def test_a_sender_that_is_stopped_is_replaced_when_its_lease_ends_and_begins_anew(make_world: Make) -> None:
    world = kept(make_world, threshold=1)
    phone = phone_at(world, "127.0.0.2")
    register(phone)
    world.advance(11)
    (first,) = senders(world)
    stopped = world.workers[first]
    stopped.paused = True
    world.advance(5)
    assert world.workers[1 - first].keepalive._lease.is_held
    stopped.paused = False
    phone.take()
    world.advance(20)
    assert senders(world) == [1 - first] and 1 <= len(phone.asked()) <= 3 and contacts(world)


def test_a_machine_that_slept_counts_no_silence(make_world: Make) -> None:
    world = kept(make_world, threshold=1, workers=1)
    phone = phone_at(world, "127.0.0.2")
    phone.delay = 5
    register(phone)
    world.advance(0.5)
    assert len(phone.asked()) == 1
    world.clock.now += 600
    world.advance(12)
    assert contacts(world) == ["sip:127.0.0.2:5060"]


def test_nothing_is_sent_while_draining_and_what_was_on_its_way_is_forgotten(make_world: Make) -> None:
    world = kept(make_world, threshold=1)
    phone = phone_at(world, "127.0.0.2", status=0)
    register(phone)
    world.advance(5)
    for worker in world.workers:
        worker.draining = True
    world.advance(1.1)
    phone.take()
    world.advance(100)
    assert phone.inbox == [] and contacts(world) and senders(world) == []
    assert all(record.method == "REGISTER" for record in world.records())


def test_a_table_of_bindings_is_asked_evenly_and_never_in_a_burst(make_world: Make) -> None:
    world = kept(make_world, late=None)
    for number in range(200):
        register(phone_at(world, f"127.1.0.{number + 1}"), f"sip:user{number}@example.com")
    world.advance(10)
    world.sent.clear()
    asked: list[int] = []
    for _ in range(10):
        before = len(world.sent)
        world.advance(1)
        asked.append(len([send for send in world.sent[before:] if send.data.startswith(b"OPTIONS")]))
    assert sum(asked) == 200 and max(asked) <= 22 and min(asked) >= 18


def test_more_than_its_share_of_the_transactions_is_not_asked(
    make_world: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    world = kept(make_world, late=None, shared={"max_transactions": 64})
    for worker in world.workers:
        worker.log.threshold = WARN
    for number in range(20):
        register(phone_at(world, f"127.1.0.{number + 1}", status=0), f"sip:user{number}@example.com")
    world.advance(10)
    world.advance(5.5)
    own = [record for record in world.records() if record.own]
    assert 0 < len(own) <= 8
    world.advance(200)
    assert not any(contacts(world, f"sip:user{number}@example.com") for number in range(20))
    written = capfd.readouterr().err
    assert "keepalive.skipped" in written and " error " not in written


@pytest.mark.parametrize(
    "contact",
    ["sips:bob@127.0.0.2", "sip:bob@127.0.0.2;transport=tcp", "sip:bob@nowhere.invalid", "sip:127.0.0.1:5060"],
)
def test_what_cannot_be_sent_is_no_failure(make_world: Make, contact: str, capfd: pytest.CaptureFixture[str]) -> None:
    world = kept(make_world, threshold=1)
    phone = phone_at(world, "127.0.0.2")
    register(phone, contact=contact)
    world.advance(60)
    assert contacts(world) == [contact] and not [m for m in phone.inbox if m.is_request]
    assert capfd.readouterr().err == ""


def test_a_contact_by_name_is_looked_up_and_asked(make_world: Make) -> None:
    world = kept(make_world)
    phone = phone_at(world, "127.0.0.2")
    world.resolver.names["phone.example.net"] = ["127.0.0.2"]
    world.resolver.unknown = {"phone.example.net"}
    register(phone, contact="sip:bob@phone.example.net")
    world.advance(1)
    assert phone.inbox == [] and world.resolver.pending
    world.resolver.answer()
    world.advance(1)
    assert len(phone.asked()) == 1


def test_expired_and_deregistered_bindings_are_not_asked(make_world: Make) -> None:
    world = kept(make_world, registrar={"min_expires": 5})
    phone = phone_at(world, "127.0.0.2")
    register(phone, expires=15)
    world.advance(16)
    phone.take()
    world.advance(30)
    assert phone.inbox == []
    register(phone, cseq=2)
    register(phone, cseq=3, expires=0)
    world.advance(30)
    assert phone.inbox == []


def test_a_location_table_that_does_not_answer_loses_nothing(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world = kept(make_world, threshold=1, script=SCRIPT[: SCRIPT.index("@registrar")])
    for worker in world.workers:
        worker.log.threshold = WARN
    register(phone_at(world, "127.0.0.2", status=0))
    world.advance(5)
    plain = world.location_table.get
    monkeypatch.setattr(world.location_table, "get", lambda key: -2)
    world.advance(20)
    monkeypatch.setattr(world.location_table, "get", plain)
    assert contacts(world) and "did not answer in time" in capfd.readouterr().err
    world.advance(25)
    assert contacts(world) == []
