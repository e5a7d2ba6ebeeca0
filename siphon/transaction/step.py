"""What one decision produces: the changed record, datagrams in order, and what to do once they are committed.

A Step is given to the actions of the state tables and to the decisions of siphon/engine; it is the only thing they
write to besides the record. Nothing in it has happened yet: the engine commits the record and the datagrams as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from siphon.sip.message import SipMessage, parse
from siphon.state.record import Branch, Claim, Record
from siphon.state.store import Send
from siphon.transaction.timing import Timing


@dataclass(slots=True)
class Step:
    """A decision in the making."""

    record: Record
    now: float
    timing: Timing
    sends: list[Send] = field(default_factory=list)
    deliver: bool = False
    """Set by a client machine: the response goes on to the transaction user."""
    acknowledge: bool = False
    """Set by an INVITE client machine: this failure response wants an ACK."""
    remove: bool = False
    """The record is deleted by this commit (silent drop, stateless challenge)."""
    work: list[Claim] = field(default_factory=list)
    """Claims that this process made for itself: their handlers run once the commit holds."""
    opened: tuple[bytes, Branch] | None = None
    """The To tag of a 2xx to an INVITE and the branch that sent it: a dialog begins."""
    awaited: bool = False
    """A 2xx or reliable 1xx made here leaves: its ACK or PRACK must find the record."""
    rest: tuple[tuple[str, int], float] | None = None
    """An address that has asked not to be tried for so many seconds."""
    unsent: list[tuple[bytes, int, str]] | None = None
    """Targets that nothing could be sent to, each with the status that stands for it and why."""
    oversize: int = 0
    """Bytes of the largest new request that exceeds listen.mtu."""
    parsed: SipMessage | None = None
    """The record's request, parsed, once somebody has needed it."""

    base: SipMessage | None = None
    """The request as the handlers of the running attempt left it, once somebody has needed it."""

    def request(self) -> SipMessage:
        """The request as received (our received/rport in its top Via)."""
        if self.parsed is None:
            self.parsed = parse(self.record.request)
        return self.parsed

    def upstream(self, data: bytes) -> None:
        """Send a response to where the record says that responses go."""
        r = self.record
        self.sends.append(Send(data, (r.reply_ip, r.reply_port), r.listener, r.local_ip))

    def downstream(self, branch: Branch, data: bytes) -> None:
        """Send to the address that the branch uses; no new look-up (DNS-05)."""
        self.sends.append(Send(data, (branch.ip, branch.port), branch.listener, branch.local_ip))
