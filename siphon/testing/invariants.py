"""What must hold at every moment of a run, checked as it happens: the order on the wire, repeats, handlers, records.

What only the end of a run can show stands in siphon/testing/verdict.py.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from siphon.engine.own import answer_of
from siphon.forwarding.branch import parse_branch
from siphon.sip.message import SipMessage, parse
from siphon.state.codec import decode, encode
from siphon.state.record import Branch, Record
from siphon.state.store import Commit, Send
from siphon.testing.peer import LONG, STRANGER, T1, T2, TIMER_E
from siphon.testing.records import wrong
from siphon.testing.registrations import Registrations
from siphon.testing.reliable import ReliableChecks
from siphon.transaction.invite_client import State

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld
    from siphon.testing.worker import VirtualWorker

PAST = 1e-6
TIMER_A = (0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)
TIMER_G_SENDS = 11

Upstream = tuple[tuple[str, int], bytes, bytes, str, int]
"""A server transaction: where its answers go, branch, Call-ID, method, and how often its client has begun anew."""


class Violation(AssertionError):
    """An invariant does not hold."""


class Checks:
    """Told of everything that the proxy sends, reads, runs and stores."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.deaths = 0
        self.failed = ""
        self.finals: dict[Upstream, list[bytes]] = {}
        self.final_of: dict[Upstream, tuple[int, float]] = {}
        """Which node has sent the first final, and when."""
        self.node = 0
        """Of several, the one that is sending."""
        self.round_trip = 0.0
        """How long a commit that stands may keep its datagrams back, where nodes share a store."""
        self.copies: Tally[tuple[bytes, int]] = Tally()
        self.last_copy: dict[bytes, tuple[tuple[float, int, int], int]] = {}
        self.cancelled: dict[tuple[bytes, int], int] = {}
        """How many branches a record had when its CANCEL was stored."""
        self.read: Tally[bytes] = Tally()
        self.reading: SipMessage | None = None
        self.read_requests: Tally[Upstream] = Tally()
        self.sends: dict[tuple[str, bytes], list[float]] = {}
        self.bytes: dict[tuple[str, bytes], bytes] = {}
        self.begun: dict[tuple[bytes, int, int, str], float] = {}
        """When the first commit with a client transaction stood: key, salt and index of its branch, method."""
        self.branches: dict[tuple[tuple[str, int], bytes, int, str, int, tuple[bytes, ...]], bytes] = {}
        self.runs: Tally[tuple[bytes, int, str, int]] = Tally()
        self.reliable = ReliableChecks(self)
        self.heard: set[bytes] = set()
        self.own: dict[bytes, bytes] = {}
        """Keys of the records of requests of our own, by Call-ID."""
        self.ended: dict[bytes, tuple[float, int]] = {}
        """When they ended, and by which answer; 0: by none."""
        self.branch_read: dict[bytes, set[int]] = {}
        """Statuses of the responses that a worker has read and survived, by branch."""
        self.registrations = Registrations(world)
        self.refused: set[bytes] = set()
        """Call-IDs that a 503 without a record has left for: the caller may take it for the end of its call."""
        self.excused: set[bytes] = set()
        """Call-IDs of which nothing is demanded: a failover of the far store has lost acknowledged writes of theirs."""

    def fail(self, text: str) -> None:
        """The run ends here; in a handler, whose exceptions are caught, at its end."""
        self.failed = self.failed or text
        raise Violation(text)

    # -- what the proxy reads -----------------------------------------------------------------------------------------

    def proxy_reads(self, data: bytes, source: tuple[str, int]) -> None:
        """A worker takes a datagram from its socket; a stranger's must have no effect, so it is not counted."""
        self.reading = None
        if source == STRANGER:
            return
        self.reading = message = parse(data)
        if message.is_request:
            host = (message.via.host.decode(), message.via.port)
            self.read_requests[
                host, message.via.branch.lower(), message.call_id, message.method, self._epoch(message)
            ] += 1
            if message.method == "REGISTER":
                self.registrations.request(message)
        else:
            self.read[self._of_response(message)] += 1
            self.heard.add(message.via.branch.lower())

    def proxy_has_read(self, worker: VirtualWorker, message: SipMessage | None) -> None:
        """It has done so some time ago; does it live?"""
        if message is None or message.is_request or message.cseq_method != "INVITE":
            return
        branch = self._branch_of(message)
        timed_out = branch is not None and branch.state == State.TERMINATED and branch.local
        if worker.alive and not timed_out:  # Timer B or C came first while the event was parked: then it is a stray
            self.branch_read.setdefault(message.via.branch.lower(), set()).add(message.status)

    def _epoch(self, message: SipMessage) -> int:
        return self.world.wire.epochs[message.call_id]

    @staticmethod
    def _of_response(message: SipMessage) -> bytes:
        tag = message.to_tag or b""
        return b"%d %b %b %b" % (message.status, message.call_id, message.cseq_method.encode(), tag)

    def in_time(self) -> bool:
        """Whether what is being read is a response that its record still knows: a final for a branch given up is a
        stray (RFC 6026 §7.3)."""
        if self.reading is None or self.reading.is_request:
            return False
        branch = self._branch_of(self.reading)
        return branch is not None and (self.reading.status < 200 or branch.state != State.TERMINATED)

    def _branch_of(self, response: SipMessage) -> Branch | None:
        """The stored branch that a response is for."""
        ours = parse_branch(response.via.branch)
        found = None if ours is None else self.world.transactions.get(ours.transaction)
        if ours is None or not isinstance(found, tuple):
            return None
        return decode(ours.transaction, found[1]).branch(ours.index)

    def version_if_stale(self, data: bytes) -> tuple[bytes, int] | None:
        """Key and version of a record that this response must not change: it is for an earlier one of that key."""
        ours = None if self.reading is None or self.reading.is_request else parse_branch(self.reading.via.branch)
        found = None if ours is None else self.world.transactions.get(ours.transaction)
        if ours is None or not isinstance(found, tuple) or decode(ours.transaction, found[1]).salt == ours.salt:
            return None
        return ours.transaction, found[0]

    # -- what the proxy sends -----------------------------------------------------------------------------------------

    def proxy_sent(self, send: Send, stateful: bool) -> None:
        """A datagram leaves; what is answered without a record may be answered again, otherwise (503, table full)."""
        message = parse(send.data)
        if message.call_id in self.excused:
            return
        if message.raw != send.data:
            self.fail("a datagram with something behind its end")
        if not send.to[0]:
            self.fail("a datagram to nobody")
        if message.is_request:
            self._downstream(send, message)
        elif stateful:
            self._upstream(send, message)
        elif message.status == 503:
            self.refused.add(message.call_id)
        elif message.status != 481 or message.cseq_method != "CANCEL":
            self.fail(f"a stateless {message.status}")

    def _upstream(self, send: Send, message: SipMessage) -> None:
        epoch = self._epoch(message)
        place: Upstream = (send.to, message.via.branch.lower(), message.call_id, message.cseq_method, epoch)
        finals = self.finals.setdefault(place, [])
        status = message.status
        invite = message.cseq_method == "INVITE"
        self.copies[send.data, epoch] += 1
        if status < 200:
            if finals and not self._overtaken(place):
                self.fail(f"{status} after a final")
            if not invite and status != 100:
                self.fail(f"{status} to a {message.cseq_method}")
            if message.has("RSeq"):
                self.reliable.sent(place, send.data)
            return
        if status == 408 and not invite:
            self.fail(f"408 to a {message.cseq_method}")
        if status == 407 and b'realm="example.com"' in send.data:
            return  # ours: stateless, each with a nonce of its own
        if message.cseq_method == "REGISTER":
            self.registrations.answered(message, send.data in finals)
        if send.data not in finals:
            before = [parse(data).status for data in finals]
            if before and not (invite and 200 <= status < 300):
                self.fail(f"{status} after the final {before[-1]}")
            finals.append(send.data)
            self.final_of.setdefault(place, (self.node, self.world.clock()))
        self._count_final(place, send.data, message, invite)
        if message.cseq_method == "PRACK" and status == 200:
            self.reliable.acknowledged(place)

    def _overtaken(self, place: Upstream) -> bool:
        """Whether a provisional comes after a final that another node has just sent: its commit was before that of the
        final, and the answer to it was still on its way. Within a node the order of commits is that of datagrams."""
        node, at = self.final_of[place]
        return node != self.node and self.world.clock() - at <= self.round_trip

    def _count_final(self, place: Upstream, data: bytes, message: SipMessage, invite: bool) -> None:
        copies = self.copies[data, place[4]]
        now = (self.world.clock(), self.read_requests.total(), self.read.total())
        last, number = self.last_copy.get(data, (now, 0))
        self.last_copy[data] = (now, number + 1 if last == now else 1)
        if self.last_copy[data][1] > 2 and message.status >= 300 and not self.world.faults.busy:
            self.fail(f"a burst of {message.status}")  # two may meet: for a repeated request, and by Timer G
        requests = self.read_requests[place]
        if invite and b"X-Here" in data and message.status < 300:
            times = self.sends.setdefault(("2xx", data), [])
            times.append(self.world.clock())
            self._on_schedule("2xx made here", times)
        elif invite and message.status < 300:
            if copies > self.read[self._of_response(message)]:
                self.fail(f"{copies} copies of a {message.status}, fewer have come")
        elif invite and copies > TIMER_G_SENDS + requests:
            self.fail(f"{copies} copies of a final by Timer G")
        elif not invite and copies > max(1, requests):
            self.fail(f"{copies} copies of a final for {requests} requests")

    def _downstream(self, send: Send, message: SipMessage) -> None:
        branch = message.via.branch.lower()
        if parse_branch(branch) is None or message.method == "ACK":
            return
        place = (message.method, branch)
        if self.bytes.setdefault(place, send.data) != send.data:
            self.fail(f"a repeated {message.method} that is not the same")
        if message.method == "INVITE" and branch in self.heard and self.world.faults.none:
            self.fail("an INVITE repeated after a response")
        times = self.sends.setdefault(place, [])
        if times and self.world.clock() - times[-1] < PAST and not (self.world.faults.slow or self.world.faults.busy):
            self.fail(f"a burst of {message.method}")
        times.append(self.world.clock())
        self._on_schedule(message.method, [self._begun(message.method, branch, times[0]), *times[1:]])
        if message.method == "CANCEL":
            if branch not in self.heard:
                self.fail("CANCEL on a branch that had no provisional")
        else:
            path = tuple(message.all_lines("Via")[1:])
            what = (send.to, message.call_id, message.cseq, message.method, self._epoch(message), path)
            if self.branches.setdefault(what, branch) != branch:
                self.fail(f"a second branch for the same {message.method}")

    def _begun(self, method: str, branch: bytes, sent: float) -> float:
        """When the record began to say that it has been sent: that is what the repeats are counted from. Who dies
        between the commit and the first send leaves a repeat that is seen first, late where nobody took over at once,
        and the next one comes at its own time all the same."""
        ours = parse_branch(branch)
        return (
            sent if ours is None else min(sent, self.begun.get((ours.transaction, ours.salt, ours.index, method), sent))
        )

    def _on_schedule(self, method: str, times: list[float]) -> None:
        """The k-th repeat never leaves before its time, and there are not too many."""
        schedule = TIMER_A if method == "INVITE" else TIMER_E
        number = len(times) - 1
        if number >= len(schedule):
            self.fail(f"{len(times)} sends of one {method}")
        if times[-1] - times[0] < schedule[number] - self.early:
            self.fail(f"send {number + 1} of a {method} {times[-1] - times[0]:.3f} s after the first")

    @property
    def early(self) -> float:
        """How much a first send may be later than its commit was decided: repeats then seem to come too early."""
        faults = self.world.faults
        return faults.slow * 2 + (0.05 if faults.busy else 0.0) + faults.doubt + PAST

    # -- what the proxy runs and stores -------------------------------------------------------------------------------

    def ran(self, kind: str, record: Record, number: int) -> None:
        """Handlers begin."""
        what = (record.key, record.salt, kind, number)
        self.runs[what] += 1
        doubts = 3 if self.world.faults.doubt else 0  # a commit whose answer was lost: its claim is made again
        if self.runs[what] > 1 + self.deaths + doubts and record.call_id not in self.excused:
            self.fail(f"{kind} handlers run {self.runs[what]} times with {self.deaths} deaths")

    def committed(self, commit: Commit) -> None:
        """A record is stored."""
        if commit.value is None:
            return
        record = decode(commit.key, commit.value)
        if encode(record) != commit.value:
            self.fail("a record that does not encode to its own bytes")
        now = self.world.clock()
        if record.call_id in self.excused:
            return
        if problem := wrong(record):
            self.fail(problem)
        for branch in record.branches:
            self.begun.setdefault((record.key, record.salt, branch.index, record.method), now)
            if branch.cancel is not None:
                self.begun.setdefault((record.key, record.salt, branch.index, "CANCEL"), now)
        if record.own:
            self._own(record, now)
        timing = self.world.settings.transaction
        if record.final_status and commit.expiry > now + 2 * LONG + timing.linger + self.early:
            self.fail(f"a record that lives {commit.expiry - now:.1f} s after its final")

    def _own(self, record: Record, now: float) -> None:
        """A request of our own: one record, and one end that nothing changes."""
        if self.own.setdefault(record.call_id, record.key) != record.key:
            self.fail("a second record for one request of our own")
        if not record.final_status:
            if record.key in self.ended:
                self.fail("a request of our own that goes on after its end")
            return
        branch = answer_of(record)
        status = 0 if branch is None else branch.result
        if self.ended.setdefault(record.key, (now, status))[1] != status:
            self.fail("a second end of a request of our own")


assert T2 == 8 * T1  # the schedules above
