"""What must hold between nodes: who has lost a record sends nothing for it, nothing due is left, nobody is silent.

once       what two nodes decide on one version of a record, a timer that both fire say, is committed once
look-after a record of a node is armed in a process of that node that lives
fence      datagrams of a commit leave within one round trip of it, or nobody else has committed since
take-over  a deadline is served within the lease of a dead node and the time of a take-over
503        a node that cannot reach the store says so to new work, in time
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from siphon.sip.message import SipMessage, parse
from siphon.state.codec import decode
from siphon.state.redis.nodes import LEASE_SECS
from siphon.state.store import Commit, Send
from siphon.testing.peer import STRANGER

if TYPE_CHECKING:
    from siphon.testing.nodes.cluster import Cluster
    from siphon.testing.nodes.node import NodeWorld

TAKE_SECS = 2.5
"""From the end of a lease to the first deadline served: a renewal that buries the node, a round of take-overs. A worker
that dies in the middle of it costs ADOPT_SECS more: what it has just taken nobody knows of before its successor looks
through the node's own index."""
STEP_SECS = 1.0
"""Between two commits of a record while events of it stand in line, each behind a step of the slowest store."""
ANSWER_SECS = 1.0
"""Beyond the limit of a request to the store: until a 503 has left."""
ADOPT_SECS = 1.5
"""From the death of a worker, or the last write of a record, until a living process of the node has armed it."""


class Fence:
    """Told of every write that the far store has taken and of every datagram."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.writes: dict[bytes, list[tuple[int, int, float]]] = {}
        """(version, node, when) of the writes of a record, oldest first."""
        self.followers: dict[tuple[bytes, int], int] = {}
        """The version that followed a version of a record."""
        self.unarmed: dict[bytes, tuple[int, float]] = {}
        """Records that no process of their node has armed: version, and since when."""
        self.seen: set[bytes] = set()
        """Branches of requests that have come to any node."""
        self.stateless: set[bytes] = set()
        """Branches of requests that have been answered without a record."""

    def wrote(self, node: NodeWorld, key: bytes, expected: int, version: int) -> None:
        """A write stands. The same write may come twice, another on the same version may not."""
        first = self.followers.setdefault((key, expected), version) if expected else version
        if first != version and key not in self.cluster.far.forgotten:
            self.cluster.checks.fail(f"{node.name} commits what has been committed on the same version")
        entries = self.writes.setdefault(key, [])
        if not entries or entries[-1][0] != version:
            entries.append((version, node.number, self.cluster.clock()))

    def sends(self, node: NodeWorld, version: int, commit: Commit) -> None:
        """A node sends what a commit of its own explains."""
        if not commit.sends or commit.key in self.cluster.far.forgotten:
            return
        entries = self.writes.get(commit.key, [])
        at = next((number for number, entry in enumerate(entries) if entry[0] == version), None)
        if at is None:
            self.cluster.checks.fail(f"{node.name} sends for a commit that was never made")
            return
        now, limit = self.cluster.clock(), self.cluster.plan.timeout
        for _, other, when in entries[at + 1 :]:
            if other != node.number and now - when > limit:
                self.cluster.checks.fail(f"{node.name} sends {now - when:.3f} s after n{other} has taken the record")

    # -- new work at a node without a store ---------------------------------------------------------------------------

    def arrived(self, node: NodeWorld, data: bytes, source: tuple[str, int]) -> None:
        """A datagram has come to a node: new work if nobody has seen its branch before, and a node that is cut off must
        refuse it."""
        if source == STRANGER or data.startswith(b"SIP/"):
            return
        request = parse(data)
        new, branch = request.via.branch not in self.seen, request.via.branch
        self.seen.add(branch)
        if new and node.cut and node.answers and request.method not in ("ACK", "CANCEL", "PRACK"):
            self._expect(node, request)

    def _expect(self, node: NodeWorld, request: SipMessage) -> None:
        """Look in time whether it has been answered."""
        lives, limit = node.lives, self.cluster.plan.timeout + ANSWER_SECS
        self.cluster.schedule.at(self.cluster.clock() + limit, self._judge, node, lives, request, self.cluster.deaths)

    def _judge(self, node: NodeWorld, lives: int, request: SipMessage, deaths: int) -> None:
        """It has had the time to answer."""
        if node.lives != lives or node.down or deaths != self.cluster.deaths or not node.cut:
            return
        if any(getattr(worker.store, "under_way", 0) for worker in node.workers):
            return  # it may stand in line behind a commit of its call whose fate is unknown; known to be imperfect
        if any(node.clock() < until for until in node.starting_until.values()):
            return  # a process that has begun a moment ago waits until it has joined
        if request.via.branch not in self.stateless:
            self.cluster.checks.fail(f"{node.name} is cut off and says nothing to a new {request.method}")

    def answered(self, send: Send) -> None:
        """A stateless answer has left."""
        self.stateless.add(parse(send.data).via.branch)

    # -- nothing is left lying ----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Every deadline that is long past is served, unless nobody can."""
        cluster = self.cluster
        now = cluster.clock()
        limit = LEASE_SECS + TAKE_SECS
        limit += ADOPT_SECS * sum(now - when < limit for when in cluster.worker_deaths)
        if now - cluster.troubled_at < limit or not any(n.serves for n in cluster.nodes):
            return
        self._look_after(now)
        past = cluster.far.now() - limit
        for key in cluster.far.model.live(cluster.far.now()):
            found = cluster.far.model.load(key, cluster.far.now())
            if found is not None and 0.0 < found.deadline < past and key not in cluster.far.forgotten:
                late = cluster.far.now() - found.deadline
                if self._is_in_line(key, late):
                    continue
                call = decode(key, found.value).call_id.decode()
                cluster.checks.fail(f"a deadline of {call} ({key.hex()[:6]}), node {found.node}, is {late:.1f} s late")

    def _is_in_line(self, key: bytes, late: float) -> bool:
        """Whether the event of a deadline waits behind others of its record, which come faster than the store takes
        them: then one commit has followed the other ever since."""
        now = self.cluster.clock()
        times = [now - late, *(when for _, _, when in self.writes.get(key, []) if when > now - late), now]
        return all(after - before < STEP_SECS for before, after in itertools.pairwise(times))

    def _look_after(self, now: float) -> None:
        """Every record is armed where it belongs; else a later message may find it, or nothing."""
        cluster, far = self.cluster, self.cluster.far
        serving = {node.members[0].number: node for node in cluster.nodes if node.serves}
        unarmed: dict[bytes, tuple[int, float]] = {}
        for key in far.model.live(far.now()):
            found = far.model.load(key, far.now())
            if found is None or not found.deadline or key in far.forgotten or found.node not in serving:
                continue
            node = serving[found.node]
            if node.arms(key, found.deadline - far.now()):
                continue
            version, since = self.unarmed.get(key, (0, 0.0))
            unarmed[key] = (found.version, since if version == found.version else now)
            if now - unarmed[key][1] > ADOPT_SECS:
                call = decode(key, found.value).call_id.decode()
                cluster.checks.fail(f"nobody of {node.name} has armed the deadline of {call} ({key.hex()[:6]})")
        self.unarmed = unarmed
