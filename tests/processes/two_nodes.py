"""Two siphonds on hosts of their own with one Redis, for tests: the programs of deploy/ha-demo, in its network.

Each node has a service address, N-A 10.77.0.21 and N-B 10.77.0.22, and listens on both. Two ways to bring what is for
one node to the other:

    move    the address leaves its node and comes to the other, as VRRP does it when a node has died
    share   both nodes have both addresses, and the phones' route says for each datagram which node gets it, as behind
            a balancer that rewrites nothing; each node can send from both
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from proxy_process import ROOT, until
from udp_agent import Address, Agent

sys.path.append(str(ROOT / "deploy/ha-demo"))

from ha_network import Network, NoNetwork  # noqa: E402
from ha_nodes import Cluster  # noqa: E402

A, B = "node-a", "node-b"
FAILOVER_SECS = 20.0
"""Longest time until the other node goes on with what a dead one had; the lease of a node is 3 s."""


class Pair:
    """The two nodes, and the phones that tests make."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.phones = cluster.hosts["phones"]
        self.shared = False
        self._cut = ""
        self._agents: list[Agent] = []

    def address(self, node: str) -> Address:
        return (self.cluster.service[node], self.cluster.port)

    def agent(self, node: str, user: str) -> Agent:
        """A phone that sends to that node's address."""
        with self.phones.entered():
            made = Agent(self.address(node), user, ip=self.phones.ip)
        self._agents.append(made)
        return made

    def registered(self, user: str = "bob") -> Agent:
        """A phone that has registered at N-A, the only one of its user."""
        made = self.agent(A, user)
        if self.shared:
            self.steer(A)
        assert made.registration(["Contact: *", "Expires: 0"], "secret").status == 200
        assert made.register().status == 200
        return made

    def close_agents(self) -> None:
        while self._agents:
            self._agents.pop().close()

    # --- one address on both nodes

    def share(self) -> None:
        """Both nodes have both addresses; the second is on lo, where nobody asks for it by ARP."""
        for here, there in ((A, B), (B, A)):
            host = self.cluster.hosts[here]
            host.write_setting("/proc/sys/net/ipv4/conf/all/arp_ignore", "1")
            host.run("ip", "address", "replace", f"{self.cluster.service[there]}/32", "dev", "lo")
        self.shared = True

    def unshare(self) -> None:
        for here, there in ((A, B), (B, A)):
            self.cluster.hosts[here].run("ip", "address", "del", f"{self.cluster.service[there]}/32", "dev", "lo")
        for ip in self.cluster.service.values():
            self.phones.run("ip", "route", "flush", f"{ip}/32")
        self.shared = False

    def steer(self, node: str) -> None:
        """What the phones send from now on, to whichever address, reaches this node."""
        for ip in self.cluster.service.values():
            self.phones.run("ip", "route", "replace", f"{ip}/32", "via", self.cluster.hosts[node].ip)

    # --- faults

    def cut_off(self, node: str) -> None:
        """From Redis only."""
        self.cluster.hosts[node].cut(self.cluster.hosts["redis"])
        self._cut = node

    def mend(self) -> None:
        if self._cut:
            self.cluster.hosts[self._cut].mend(self.cluster.hosts["redis"])
            self._cut = ""

    def die(self, node: str = B) -> None:
        """kill -9 of all its processes; its address is nobody's."""
        killed = self.cluster.programs[node].kill()
        assert len(killed) >= 3
        self.cluster.hosts[node].leave(self.cluster.service[node])

    def fail_over(self) -> None:
        """N-B's address comes to N-A."""
        self.cluster.move(B, A)

    def die_and_fail_over(self) -> None:
        self.die()
        self.fail_over()

    def revive(self) -> None:
        """N-B is there again, and its address is its own."""
        if self.cluster.hosts[A].holds(self.cluster.service[B]):
            self.cluster.hosts[A].leave(self.cluster.service[B])
        if not self.cluster.programs[B].pids:
            self.cluster.start_node(B, self.cluster.store)
        for node in (A, B):
            self.until_ready(node)

    def until_ready(self, node: str, seconds: float = 60) -> None:
        """Each worker of the node answers: who asks from ten ports reaches them all."""
        ip = self.cluster.service[node]
        until(lambda: all(self.cluster.serves(ip) for _ in range(10)), seconds, f"200 from all of {node}")

    def complaints(self) -> list[str]:
        """Errors and tracebacks in the logs of the nodes."""
        logs = [self.cluster.programs[node].log.read_text(errors="replace") for node in (A, B)]
        return [line for log in logs for line in log.splitlines() if " error " in line or "Traceback" in line]


@contextmanager
def two_nodes(directory: Path, change: Callable[[str], str] = lambda text: text) -> Iterator[Pair]:
    """Their logs go into the directory; `change` may edit their configuration. Skips where there are no namespaces."""
    with ExitStack() as stack:
        try:
            network = stack.enter_context(Network())
        except NoNetwork as error:
            pytest.skip(str(error))
        cluster = stack.enter_context(Cluster(network, directory))
        text = cluster.node_file.read_text().replace("../..", str(ROOT))
        cluster.node_file = directory / "node.cfg"
        cluster.node_file.write_text(change(text))
        cluster.start_redis()
        for node in (A, B):
            cluster.start_node(node, cluster.store)
        pair = Pair(cluster)
        stack.callback(pair.close_agents)
        yield pair
