"""Requests of our own (API 5, send_request): records with client transactions and no server transaction.

A request becomes a record in the commit that sends it; its branches are those of a relay: Timers E and F, the target's
next address after a 503, an unreachable address or silence (siphon/engine/failover.py). No handler ever sees its
responses. The first final ends it: `final_status` is set, and the response is kept, as received, for the process that
`waiter` names. An end without an answer (Timer F, no address reachable) keeps none.

Everything is in the record, so any worker goes on with it when the one that sent it has died; then nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siphon.engine.attempts import WHY, Place, locate, start_branch
from siphon.engine.environment import Environment, Missing
from siphon.engine.failover import fail_over, wants_rest
from siphon.engine.plan import Plan
from siphon.forwarding.copy import outgoing_routes
from siphon.forwarding.next_hop import LocalFailure
from siphon.script.sending import OwnRequest
from siphon.sip.message import SipMessage
from siphon.state.record import NO_SLOT, Branch, Record
from siphon.transaction import non_invite_server
from siphon.transaction.step import Step

NO_ROOM = {
    "full": "there is no room for a further transaction",
    "large": "it does not fit into shared.record_bytes",
    "away": "the store of transactions cannot be reached",
}


@dataclass(slots=True)
class SendEvent:
    """A request of our own that is to leave; `key` and `salt` are drawn for it. `left` is called once it is committed,
    or `refused` with the reason why it is not."""

    key: bytes
    salt: int
    own: OwnRequest
    wall: float
    script_version: int
    left: Callable[[], None]
    refused: Callable[[str], None]
    asked: bool = False
    wanted: bool = True
    """Whoever waits for the answer still does; else it need not leave any more."""
    plan: Plan | None = None
    """Where it goes, in place of what `own` says."""

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | None:
        """A new record and the first copy on its way."""
        if record is not None or not self.wanted:
            return None
        plan = self.plan or Plan(self.own.outline.uri, next_hop=self.own.next_hop or "", place=self.own.place)
        place = self._locate(env, plan)
        if isinstance(place, str):
            self.refused(place)
            return None
        plan.addresses = ((place.ip, place.port), *place.others)
        step = Step(self._record(env, place.sent_by, now), now, env.timing)
        start_branch(step, env, step.request(), plan, 0)
        finish(step)
        return step

    def no_room(self, why: str) -> None:
        """There is no place for its record."""
        self.refused(NO_ROOM[why])

    def _locate(self, env: Environment, plan: Plan) -> Place | str:
        """The address it goes to first, or why it cannot go. Raises Missing, once."""
        base = self.own.outline
        if base.uri[:5].lower() == b"sips:":
            return WHY[416]  # an address of the script's own would let it pass
        steered = not plan.fork and not plan.next_hop and plan.place is None
        outgoing = outgoing_routes(base, base.uri, env.identity, path=plan.path, steered=steered)
        try:
            place = locate(env, Record(self.key, self.salt), plan, outgoing)
        except Missing:
            if self.asked:
                return "the target does not resolve"
            self.asked = True
            raise
        if isinstance(place, LocalFailure):
            return WHY.get(place.status, "the target does not resolve")
        return place

    def _record(self, env: Environment, sent_by: str, now: float) -> Record:
        r = Record(self.key, self.salt)
        m = self.own.message(sent_by)
        r.own, r.waiter = True, env.slot if self.own.wait else NO_SLOT
        r.state = non_invite_server.State.TERMINATED
        r.method, r.request, r.call_id, r.cseq = m.method, m.raw, m.call_id, m.cseq
        r.from_tag, r.to_tag = m.from_tag or b"", m.to_tag or b""
        r.created, r.wall, r.script_version = now, self.wall, self.script_version
        return r


@dataclass(slots=True)
class EndEvent:
    """Look at a request of our own and remove it if it has ended, or has had its time (`over`). `ended(key, answer)` is
    called with that decision, `answer` the branch that has it or None: a second time when another worker commits in
    between."""

    key: bytes
    over: bool
    ended: Callable[[bytes, Branch | None], None]

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | None:
        """Delete the record; nothing is sent."""
        if record is None:
            self.ended(self.key, None)
            return None
        if not record.final_status and not self.over:
            return None
        self.ended(self.key, answer_of(record))
        step = Step(record, now, env.timing)
        step.remove = True
        return step


def answered(step: Step, env: Environment, branch: Branch, response: SipMessage) -> None:
    """A response to a request of our own: a provisional is only noted, a 503 leads to the next address."""
    branch.last_status = response.status
    if response.status < 200:
        branch.provisional = True
        return
    if response.status == 503:
        wants_rest(step, branch, response)
        if fail_over(step, env, branch, 503):
            finish(step)
            return
    branch.result = response.status
    branch.others = b""
    if step.record.waiter != NO_SLOT:
        branch.response = response.raw
    finish(step)


def finish(step: Step) -> None:
    """Once the last branch has ended nothing is awaited any more; the record lingers from then on."""
    r = step.record
    last = r.branches[-1]
    if last.result and not r.final_status:
        r.final_status = last.result
        r.end_at = step.now


def answer_of(record: Record) -> Branch | None:
    """The branch whose answer the waiter gets; None when there was none."""
    last = record.branches[-1]
    return last if last.response else None
