"""What the short ways in C (siphon/engine/_plain.pyx and others) decide is compared with the engine's own decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from siphon.engine.acks import ack_datagram, name_to_resolve, route_ack
from siphon.engine.core import Core
from siphon.engine.events import RequestEvent, RequestOutcomeEvent, ResponseEvent
from siphon.engine.requests import Arrival
from siphon.engine.retention import compact
from siphon.forwarding.branch import parse_branch, transaction_id
from siphon.script.outcome import Answer, Outcome
from siphon.services.digest import DigestVerifier, Verdict
from siphon.services.location import AddressRecord, Location, apply_register, register_facts
from siphon.services.location.location import Check
from siphon.sip.message import SipMessage
from siphon.state.codec import decode, encode
from siphon.state.record import Record
from siphon.state.store import Commit, Loaded, Send
from siphon.transaction.step import Step


class SameDecision:
    """Compares each commit of a short way with the engine's own decision on the same record at the same time."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def response(self, message: SipMessage, source: str, loaded: Loaded, now: float, commit: Commit) -> None:
        """See ingest.Checks."""
        core = self.core
        ours = parse_branch(message.via.branch)
        assert ours is not None and ours.transaction == commit.key
        foreign = not core.env.identity.is_our_sent_by(message.via.host.decode("latin-1"), message.via.port)
        event = ResponseEvent(ours.transaction, ours, message, source, foreign_via=foreign)
        step = event.decide(core.env, decode(commit.key, loaded.value), now)
        assert isinstance(step, Step), f"the engine says {step!r}, the short way {commit!r}"
        assert core.commit_of(step, loaded.version) == commit
        assert (step.opened is None) == (not opens(message, step))
        assert not (step.work or step.rest or step.remove or step.awaited)

    def request(
        self,
        message: SipMessage,
        source: tuple[str, int],
        listener: int,
        local_ip: str,
        arrived: float,
        record: Record,
        now: float,
        commit: Commit,
    ) -> None:
        """See ingest.Checks."""
        core = self.core
        key = transaction_id(message, core.env.id_key)
        facts = record.wall, record.salt, record.script_version
        event = RequestEvent(key, Arrival(message, source, listener, local_ip, arrived, *facts))
        step = event.decide(core.env, None, now)
        assert isinstance(step, Step) and event.new, f"the engine says {step!r}, the short way {commit!r}"
        expected = core.commit_of(step, 0)
        expected.new_work = True
        assert expected == commit
        assert len(step.work) == 1 and not (step.remove or step.awaited)

    def attempt(self, before: bytes, outcome: Outcome, step: Step) -> None:
        """See ingest.Checks. `before` is the record as it was when the outcome came."""
        record = step.record
        env = replace(self.core.env, plain=None)
        event = RequestOutcomeEvent(record.key, outcome, asked=True)
        expected = event.decide(env, decode(record.key, before), step.now)
        assert isinstance(expected, Step), f"the engine says {expected!r}, the short way {step!r}"
        assert encode(expected.record) == encode(record)
        assert [list(send) for send in expected.sends] == [list(send) for send in step.sends]
        assert (expected.work, expected.remove, expected.awaited) == (step.work, step.remove, step.awaited)
        assert (expected.oversize, expected.rest, expected.opened) == (step.oversize, step.rest, step.opened)

    def commit(self, record: Record, now: float, version: int, commit: Commit) -> None:
        """See ingest.Checks. The record is what attempt() or answer() has found to be right."""
        step = Step(record, now, self.core.env.timing, sends=list(commit.sends), remove=commit.value is None)
        assert self.core.commit_of(step, version) == commit

    def answer(
        self, before: bytes, message: SipMessage, outcome: Outcome, record: Record, data: bytes, now: float
    ) -> None:
        """See ingest.Checks."""
        env = replace(self.core.env, plain=None)
        event = RequestOutcomeEvent(record.key, outcome, asked=True)
        step = event.decide(env, decode(record.key, before), now)
        assert isinstance(step, Step), f"the engine says {step!r}, the short way {data!r}"
        assert [(send.data, send.to) for send in step.sends] == [(data, (record.reply_ip, record.reply_port))]
        assert not (step.work or step.awaited or step.oversize or step.rest or step.opened)
        assert isinstance(outcome.action, Answer) and step.remove == outcome.action.stateless
        if not step.remove:
            compact(step.record)
            assert encode(step.record) == encode(record)

    def ack(
        self, message: SipMessage, source: tuple[str, int], listener: int, local_ip: str, token: bytes, send: Send
    ) -> None:
        """See ingest.Checks."""
        env = self.core.env
        assert self.core.store.head(transaction_id(message, env.id_key)) is None
        ack = route_ack(Arrival(message, source, listener, local_ip, 0.0, 0.0, 0, 0), env)
        assert ack is not None, f"the engine drops the ACK, the short way {send!r}"
        assert name_to_resolve(ack, env) is None
        assert ack_datagram(ack, env, token) == send


def opens(message: SipMessage, step: Step) -> bool:
    """Whether the response is a 2xx to an INVITE by which a dialog begins."""
    return step.record.invite and 200 <= message.status < 300 and bool(message.to_tag)


def same_save(location: Location) -> Check:
    """Compares each plain REGISTER with what the registrar in Python makes of it."""

    def check(
        message: SipMessage,
        given: tuple[bytes, tuple[str, int], tuple[str, int], bool, str | None, float],
        before: bytes | None,
        after: bytes,
        headers: list[tuple[str, str]],
        adds: bool,
    ) -> None:
        transaction, source, local, behind_nat, auth_user, wall = given
        facts = register_facts(
            message,
            location.identity,
            transaction=transaction,
            source=source,
            local=local,
            behind_nat=behind_nat,
            auth_user=auth_user,
        )
        old = AddressRecord.from_bytes(before) if before is not None else None
        result = apply_register(old, facts, location._settings, wall, location._epoch)
        assert result.record is not None, f"the registrar says {result!r}, the short way {headers!r}"
        assert (result.status, result.adds, list(result.headers)) == (200, adds, headers)
        told = location._with_events(old, result.record, result.events)
        assert told.to_bytes() == after
        assert not result.record.aliases and len(result.written) == 1

    return check


def same_digest(verifier: DigestVerifier) -> Callable[..., None]:
    """Compares each verdict on plain credentials with the verifier's in Python, for which the same transaction is the
    same use of a nonce."""

    def check(
        message: SipMessage, header: bytes, uri: bytes | None, realm: str, transaction: bytes, wall: float, user: str
    ) -> None:
        lines = message.all_lines(header)
        verdict = verifier.verify(
            lines, message.method, message.uri if uri is None else uri, realm, transaction_id=transaction, wall=wall
        )
        assert verdict == Verdict(ok=True, user=user, line_indexes=(0,)), verdict

    return check
