#!/usr/bin/env python3
"""Two siphond nodes that share their state in Redis, behind a front: one is killed while a phone rings.

bob registers at node-a, alice calls him through the front and node-b. While he rings, node-b is killed by kill -9 and
its address moves to node-a. He answers; the call comes about, and is hung up as if nothing had been.

As root, or where a user may make namespaces, each program runs on a host of its own (network namespaces, joined by a
bridge; nothing of it is left afterwards). Elsewhere, or with --loopback, they run on addresses of 127.77.0.0/24. There
an address cannot move: instead a third node starts at the dead one's address.

Exit status: 0 all that was expected came true; 1 something did not; 2 it could not start; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from ha_network import Loopback, Network, NoNetwork, uninterrupted
from ha_nodes import CannotStart, Cluster, exists, lines_of, remove_left_tables, until

HERE = Path(__file__).resolve().parent
SIPCLI = HERE / "sipcli.py"
INSIDE = "SIPHOND_HA_DEMO_USERNS"


class Story:
    """What is told, and whether it came true."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.began = time.time()
        self.steps = 0
        self.failed: list[str] = []
        self.names = {f"{ip}:{cluster.port}": f"{name}'s address" for name, ip in cluster.service.items()}
        self.names[f"{cluster.hosts['front'].ip}:{cluster.port}"] = "front"
        self.traces: dict[Path, tuple[str, int]] = {}

    def step(self, text: str) -> None:
        self.steps += 1
        print(f"\n{self.steps}. {text}", flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def expect(self, text: str, true: object) -> bool:
        print(f"   {'ok    ' if true else 'FAILED'} {text}", flush=True)
        if not true:
            self.failed.append(text)
        return bool(true)

    def follow(self, who: str, trace: Path) -> None:
        self.traces[trace] = (who, 0)

    def messages(self) -> None:
        """Prints what the phones have sent and received since the last call, in the order of time."""
        lines = []
        for trace, (who, seen) in self.traces.items():
            new = [line for line in lines_of(trace)[seen:] if re.match(r"\d+\.\d+ [<-]", line)]
            self.traces[trace] = (who, seen + len(new))
            lines += [(float(line.split(" ", 1)[0]), who, line) for line in new]
        for when, who, line in sorted(lines, key=lambda entry: entry[0]):
            _, arrow, peer, text = line.split(" ", 3)
            peer = self.names.get(peer, peer)
            print(f"   {when - self.began:6.2f} s  {who:5} {arrow} {peer:16} {text}", flush=True)

    def wait(self, condition: object, seconds: float) -> bool:
        """Tells the messages meanwhile."""
        assert callable(condition)

        def came() -> bool:
            self.messages()
            return bool(condition())

        came_true = until(came, seconds)
        self.messages()
        return came_true


class Phone:
    """sipcli.py in a process of its own on the host of the phones."""

    def __init__(self, story: Story, who: str, *arguments: str) -> None:
        cluster = story.cluster
        self.trace = cluster.directory / f"{who}-{secrets.token_hex(2)}.trace"
        self.out = self.trace.with_suffix(".out")
        line = [sys.executable, str(SIPCLI), *arguments, "--trace"]
        with self.trace.open("wb") as err, self.out.open("wb") as out, uninterrupted():
            self.process = cluster.hosts["phones"].popen(line, stdout=out, stderr=err)
            cluster.callback(self.end)
        story.follow(who, self.trace)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def heard(self, pattern: str) -> bool:
        return self.when("<-", pattern) is not None

    def when(self, arrow: str, pattern: str) -> float | None:
        """The time of the first message that it received (`<-`) or sent (`->`) with this beginning."""
        trace = self.trace.read_text(errors="replace")
        match = re.search(rf"^([\d.]+) {arrow} \S+ {pattern}", trace, re.M)
        return float(match[1]) if match else None

    @property
    def printed(self) -> str:
        return self.out.read_text().strip()


def play(story: Story, asked: argparse.Namespace) -> None:
    start(story, asked.without_redis)
    bob = register(story, asked)
    alice = call(story, bob, asked)
    if story.failed:
        return
    lose_node_b(story, asked)
    finish(story, alice, bob, asked)


def start(story: Story, without_redis: bool) -> None:
    cluster = story.cluster
    story.step("Redis, two nodes and a front are started.")
    store = "shm" if without_redis else cluster.start_redis()
    story.say("no Redis: each node keeps what it knows for itself" if without_redis else f"Redis     {store}")
    for name in ("node-a", "node-b"):
        program = cluster.start_node(name, store)
        story.say(f"{name}    {cluster.service[name]}:{cluster.port}, {len(program.pids)} processes")
    cluster.start_front()
    story.say(f"front     {cluster.hosts['front'].ip}:{cluster.port}")
    story.began = time.time()


def register(story: Story, asked: argparse.Namespace) -> Phone:
    cluster = story.cluster
    phones = cluster.hosts["phones"].ip
    where = ["node-a", "node-b"] if asked.without_redis else ["node-a"]
    story.step(f"bob's phone registers at {' and '.join(where)}.")
    bob = Phone(story, "bob", "answer", phones, "5080", "bob", "--ring", str(asked.ring), "--patience", "120")
    for node in where:
        done = Phone(story, "bob", "register", cluster.service[node], str(cluster.port), "bob", phones, "5080")
        story.wait(done.ended, 15)
        story.expect(f"{node} answers 200", done.printed == "200")
    return bob


def call(story: Story, bob: Phone, asked: argparse.Namespace) -> Phone:
    cluster = story.cluster
    service = f"{cluster.service['node-b']}:{cluster.port}"
    story.step("alice calls bob: through the front, which gives the call to node-b.")
    line = ["call", cluster.hosts["front"].ip, str(cluster.port), "bob", "--as", "alice", "--talk", "1"]
    alice = Phone(story, "alice", *line, "--call-id", call_id_for(cluster, "node-b"), "--patience", "90")
    story.wait(lambda: alice.ended() or alice.heard("SIP/2.0 180"), 15)
    came = re.search(r" <- (\S+) INVITE", bob.trace.read_text(errors="replace"))
    story.expect("bob has the call from node-b's address", came and came[1] == service)
    story.expect("alice hears it ring", alice.heard("SIP/2.0 180") and not alice.ended())
    return alice


def call_id_for(cluster: Cluster, node: str) -> str:
    """A Call-ID that the front's script gives to this node."""
    os.environ["SIPHON_NODES"] = " ".join(f"{ip}:{cluster.port}" for ip in cluster.service.values())
    sys.path.insert(0, str(HERE.parents[1] / "scripts"))
    import front

    wanted = f"{cluster.service[node]}:{cluster.port}"
    while front.nodes_for(made := f"{secrets.token_hex(8)}@alice")[0] != wanted:
        continue
    return made


def lose_node_b(story: Story, asked: argparse.Namespace) -> None:
    cluster = story.cluster
    story.step("node-b dies while bob's phone rings.")
    killed = cluster.programs["node-b"].kill()
    story.say(f"kill -9 of its supervisor and all that it had started: {' '.join(map(str, killed))}")
    story.expect("nothing of node-b runs any more", len(killed) >= 3 and until(lambda: not any(map(exists, killed)), 5))
    address = cluster.service["node-b"]
    if cluster.network.moves:
        story.expect("its address is silent", not cluster.serves(address))
        story.wait(lambda: False, asked.failover)
        cluster.move("node-b", "node-a")
        story.say(f"{asked.failover:g} s later {address} moves to node-a: ip address del, add, gratuitous ARP")
        story.expect("node-a has both addresses", all(map(cluster.hosts["node-a"].holds, cluster.service.values())))
    else:
        story.say("on loopback an address cannot move: a third node starts at the dead one's address")
        store = "shm" if asked.without_redis else f"redis://{cluster.hosts['redis'].ip}:16379"
        cluster.start_node("node-c", store, like="node-b")
    story.expect("an OPTIONS to that address gets 200 again", story.wait(lambda: cluster.serves(address), 10))


def finish(story: Story, alice: Phone, bob: Phone, asked: argparse.Namespace) -> None:
    story.step("bob answers, and the call goes on without node-b.")
    story.wait(lambda: alice.ended() or bob.ended(), asked.ring + asked.wait)
    story.wait(bob.ended, 2)
    sent, came = bob.when("->", "SIP/2.0 200 OK"), alice.when("<-", "SIP/2.0 200 OK")
    took = f", {came - sent:.2f} s after he first sent it" if sent and came else ""
    story.expect(f"alice has his 200 OK{took}", alice.printed == "200")
    story.expect("bob has her ACK", bob.heard("ACK "))
    story.expect("her BYE got 200", alice.process.poll() == 0)
    story.expect("bob has seen the whole call end", bob.process.poll() == 0 and bob.printed == "200")


# --- the command


def arguments(argv: list[str] | None) -> argparse.Namespace:
    description, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="deploy/ha-demo/run",
        description=description,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ring", type=float, default=5.0, metavar="SECS", help="bob rings so long (default: 5)")
    parser.add_argument(
        "--failover", type=float, default=1.0, metavar="SECS", help="the address moves after so long (default: 1)"
    )
    parser.add_argument(
        "--wait", type=float, default=35.0, metavar="SECS", help="give up so long after bob's answer (default: 35)"
    )
    parser.add_argument("--port", type=int, default=5060, help="SIP port of all hosts (default: 5060)")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, even where they can be made")
    parser.add_argument(
        "--without-redis", action="store_true", help="each node for itself: shows what is lost then, and ends with 1"
    )
    parser.add_argument("--keep", action="store_true", help="leave the logs where they are, and say where")
    return parser.parse_args(argv)


def network_for(loopback: bool) -> Network | Loopback:
    if loopback:
        return Loopback()
    try:
        return Network().__enter__()
    except NoNetwork as error:
        become_root_of_a_namespace()
        print(f"{error}\nso the hosts are addresses of 127.77.0.0/24 (root may make namespaces)")
        return Loopback()


def become_root_of_a_namespace() -> None:
    """Once, where the system lets users make namespaces: the same again as root of one."""
    if os.geteuid() == 0 or INSIDE in os.environ or not shutil.which("ip"):
        return
    enter = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        possible = subprocess.run([*enter, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return
    if possible:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", [*enter, sys.executable, __file__, *sys.argv[1:]])


def run(asked: argparse.Namespace, directory: Path) -> int:
    with network_for(asked.loopback) as network, Cluster(network, directory, asked.port) as cluster:
        story = Story(cluster)
        kind = "network namespaces" if network.moves else "addresses of 127.77.0.0/24"
        print(f"Hosts are {kind}. Logs: {directory}")
        play(story, asked)
        print()
        if story.failed:
            print(f"{len(story.failed)} did not come true: {'; '.join(story.failed)}")
            return 1
        print("All came true: a call outlived the node that carried it.")
        return 0


def terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    signal.signal(signal.SIGTERM, terminated)
    remove_left_tables()
    directory = Path(tempfile.mkdtemp(prefix="siphond-ha-demo-"))
    status = 2
    try:
        status = run(asked, directory)
    except (CannotStart, OSError) as error:
        print(f"ha-demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nha-demo: interrupted", file=sys.stderr)
        status = 130
    if status in (1, 2) or asked.keep:
        print(f"ha-demo: the logs are in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
