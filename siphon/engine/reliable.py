"""Reliable provisional responses that a script makes here, and their PRACKs (RFC 3262 §3, API 6.4 and 16.1).

The INVITE's record holds all of it: the RSeq, the response (`last_response`) and when it is due again. The PRACK finds
that record by its To tag, or by its dialog where the tag is not of our making, and has no record of its own: one commit
on the INVITE's record stops the repeats, remembers which transaction has brought the PRACK, and sends its 200. A
repeated PRACK is known by that transaction and gets the same 200, a function of the PRACK alone, whichever worker it
reaches and also after the INVITE's final. A PRACK that matches nothing here is a request like any other.

At most one reliable response of a transaction is on its way, since handlers arm one answer. Known to be imperfect: the
body of a PRACK is not looked at, so an offer in it is not answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from siphon.engine.answers import answer, tag_of
from siphon.engine.environment import Environment
from siphon.engine.requests import Arrival, reply_place
from siphon.sip.build import response as build_response
from siphon.sip.message import SipMessage
from siphon.state.record import Record
from siphon.state.store import Send
from siphon.transaction import invite_server
from siphon.transaction.step import Step

LARGEST_FIRST_RSEQ = 2**31 - 1
NO_PRACK = (504, "No PRACK")
"""RFC 3262 §3: without a PRACK for 64*T1 the INVITE should be rejected with a 5xx."""
_RACK = re.compile(rb"\s*0*(\d{1,10})\s+0*(\d{1,10})\s+(\S+)\s*\Z")


def next_rseq(record: Record, key: bytes) -> int:
    """RSeq of the next reliable response: the first one 1 to 2**31 - 1 and not to be guessed, then one more each time.

    It is drawn with the record's salt, so that a decision that is made again after a conflict gives the same bytes.
    """
    if record.rseq:
        return record.rseq + 1
    drawn = blake2b(record.key + record.salt.to_bytes(4), digest_size=8, key=key, person=b"rseq").digest()
    return 1 + int.from_bytes(drawn) % LARGEST_FIRST_RSEQ


def reliable_headers(headers: list[tuple[str, str]], rseq: int) -> list[tuple[str, str]]:
    """The headers of a response with what makes it reliable; a Require that the script has set stays."""
    kept = [header for header in headers if header[0].lower() != "rseq"]
    options = [
        option.strip().lower() for name, value in kept if name.lower() == "require" for option in value.split(",")
    ]
    return [*kept, *([] if "100rel" in options else [("Require", "100rel")]), ("RSeq", str(rseq))]


def send_reliably(step: Step, rseq: int, data: bytes) -> bool:
    """Send a reliable response and repeat it until its PRACK; False while another one waits for its own."""
    r = step.record
    if not invite_server.apply(step, invite_server.Event.RELIABLE, data):
        return False
    r.rseq, r.prack, r.prack_until = rseq, b"", r.end_at
    return True


def repeat(step: Step, env: Environment) -> None:
    """The reliable response is due again, or was for the last time: then the INVITE is rejected."""
    if step.now < step.record.end_at:
        invite_server.apply(step, invite_server.Event.REPEAT)
    else:
        answer(step, env, *NO_PRACK)


@dataclass(slots=True)
class PrackEvent:
    """A PRACK for the INVITE of `key`; `own` is the id of its own transaction, `otherwise` takes it when it does not
    acknowledge a reliable response of ours. `repeat` says that it has come before; who has counted that takes it
    back."""

    key: bytes
    arrival: Arrival
    own: bytes
    otherwise: Callable[[Arrival], None]
    done: bool = False
    repeat: bool = False

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | None:
        """Acknowledged, and 200; the same 200 to the same PRACK again."""
        if record is None or not acknowledges(self.arrival.message, self.own, record, env, now):
            self._pass_on()
            return None
        step = Step(record, now, env.timing)
        self.repeat = bool(record.prack)
        if not self.repeat:
            record.prack, record.prack_until = self.own, now + env.timing.long  # Timer J of the PRACK
            invite_server.apply(step, invite_server.Event.PRACK)  # discarded after the final: nothing is repeated then
        message = self.arrival.message
        data = build_response(message, 200, "OK", None, (), b"", server=env.server)
        place = reply_place(message, self.arrival.source) or self.arrival.source
        step.sends.append(Send(data, place, self.arrival.listener, self.arrival.local_ip))
        return step

    def _pass_on(self) -> None:
        if not self.done:
            self.done = True
            self.otherwise(self.arrival)


def acknowledges(prack: SipMessage, own: bytes, record: Record, env: Environment, now: float) -> bool:
    """Whether the PRACK is for the record's reliable response: in its dialog, with its RAck, and the first one to say
    so or that one again."""
    if not record.rseq or rack_of(prack) != (record.rseq, record.cseq, record.method.encode()):
        return False
    if not in_dialog_of(prack, record, env):
        return False
    return not record.prack or (record.prack == own and now < record.prack_until)


def in_dialog_of(message: SipMessage, record: Record, env: Environment) -> bool:
    """Whether the request belongs to the dialog that answers made here to this INVITE begin or are in."""
    ours = record.to_tag or tag_of(record, env)
    return (
        message.call_id == record.call_id
        and (message.from_tag or b"").lower() == record.from_tag.lower()
        and (message.to_tag or b"").lower() == ours.lower()
    )


def rack_of(message: SipMessage) -> tuple[int, int, bytes] | None:
    """RSeq, CSeq number and method of RAck (RFC 3262 §7.2); None where it is missing or cannot be read."""
    found = _RACK.match(message.first("RAck") or b"")
    return None if found is None else (int(found[1]), int(found[2]), found[3])
