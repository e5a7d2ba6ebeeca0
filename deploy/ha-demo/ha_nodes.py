"""The programs of the demonstration: Redis, siphond nodes, a front, each on a host of its own.

A `Cluster` is a context: whatever happens inside, at its end no process and no table is left. Logs and traces stand in
its directory.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ha_network import Host, Loopback, Network, uninterrupted
from sipcli_caller import Client, options
from sipcli_wire import Wire

HERE = Path(__file__).resolve().parent
TABLES = "siphond-ha-demo-"
START_SECS = 30.0


class CannotStart(Exception):
    """The text says what is missing, in one or two lines."""


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it came true in time; asked every 20 ms."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int) -> list[int]:
    """Children of a process and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def exists(pid: int) -> bool:
    """A zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Program:
    """A process on a host, with its log."""

    def __init__(self, host: Host, name: str, log: Path) -> None:
        self.host = host
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, line: list[str | Path], environment: dict[str, str] | None = None) -> None:
        with self.log.open("ab") as log, uninterrupted():
            self.process = self.host.popen(
                line, stdout=log, stderr=log, cwd=self.log.parent, env={**os.environ, **(environment or {})}
            )

    @property
    def pids(self) -> list[int]:
        """Of the program and all that it has started, those that are there."""
        if self.process is None or self.process.poll() is not None:
            return []
        return [self.process.pid, *descendants(self.process.pid)]

    def kill(self) -> list[int]:
        """kill -9 of all its processes, the first one first so that it replaces none. Returns them."""
        pids = self.pids
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process is not None:
            self.process.wait()
        return pids

    def stop(self) -> None:
        """As one asks a program to end; killed if it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def started(self, ready: Callable[[], object]) -> None:
        """Returns when it is ready; CannotStart with the end of its log if it is not."""

        def ended() -> bool:
            return self.process is None or self.process.poll() is not None

        until(lambda: ended() or ready(), START_SECS)
        if ended() or not ready():
            said = self.log.read_text(errors="replace").strip().splitlines()
            raise CannotStart(f"{self.name} did not start: {said[-1] if said else 'it said nothing'}\nlog: {self.log}")


class Cluster:
    """Hosts redis, front, node-a and node-b, and `phones` on which nothing runs yet."""

    def __init__(self, network: Network | Loopback, directory: Path, port: int = 5060) -> None:
        self.network = network
        self.directory = directory
        self.port = port
        self.secret = secrets.token_hex(16)
        self.hosts = {
            name: network.host(name, number)
            for number, name in enumerate(("front", "node-a", "node-b", "redis", "phones"), 1)
        }
        service = self.hosts["front"].ip.rpartition(".")[0]
        self.service = {"node-a": f"{service}.21", "node-b": f"{service}.22"}
        """The address at which each node is asked; it moves to the other when its node is down."""
        self.node_file = HERE / "node.cfg"
        self.programs: dict[str, Program] = {}
        self.store = "shm"
        """Where the nodes keep what they know: the URL of Redis once it runs."""
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def callback(self, function: Callable[[], object]) -> None:
        """Called at the end, whatever happens."""
        self._stack.callback(function)

    # --- starting

    def start_redis(self) -> str:
        """Its URL."""
        host = self.hosts["redis"]
        program = self._program(host, "redis")
        port = 6379 if self.network.moves else 16379
        place = self.directory / "redis"
        place.mkdir(exist_ok=True)
        line = ["redis-server", "--bind", host.ip, "--port", str(port), "--dir", str(place), "--save", ""]
        try:
            program.start([*line, "--protected-mode", "no"])
        except FileNotFoundError:
            raise CannotStart("redis-server is missing:  apt-get install redis-server") from None
        program.started(lambda: b"PONG" in self._ping(host, port))
        self.store = f"redis://{host.ip}:{port}"
        return self.store

    def start_node(self, name: str, store: str, like: str = "") -> Program:
        """A node with its service address. `like` names the node whose place it takes, where no address can move."""
        host = self.hosts[like or name]
        if self.network.moves:
            host.take(self.service[name])
        environment = {
            "SERVICE_A": self._address_on(like or name, "node-a"),
            "SERVICE_B": self._address_on(like or name, "node-b"),
            "OWN": self.service[like or name],  # for a configuration in which each node has one address
            "LOCATION": store,
            "TRANSACTIONS": store,
            "NONCE_SECRET": self.secret,
        }
        return self._siphond(host, name, self.node_file, environment, self.service[like or name])

    def start_front(self) -> Program:
        host = self.hosts["front"]
        nodes = " ".join(f"{ip}:{self.port}" for ip in self.service.values())
        return self._siphond(host, "front", HERE / "front.cfg", {"FRONT": host.ip, "SIPHON_NODES": nodes}, host.ip)

    def _address_on(self, node: str, of: str) -> str:
        """On loopback the other node's address can't be bound as well; one that nobody has stands for it."""
        ip = self.service[of]
        return ip if self.network.moves or node == of else ip.replace(".77.0.", ".77.9.")

    def _siphond(self, host: Host, name: str, file: Path, environment: dict[str, str], ip: str) -> Program:
        tables = Path(f"/dev/shm/{TABLES}{os.getpid()}-{self.secret[:4]}-{name}")
        self._stack.callback(shutil.rmtree, tables, ignore_errors=True)  # when the program has ended
        program = self._program(host, name)
        known = {"NODE": name, "TABLES": str(tables), "STATE": str(self.directory / f"{name}.state")}
        siphond = Path(sys.executable).parent / "siphond"
        if not siphond.exists():
            raise CannotStart("siphond is not built:  ./dev build")
        program.start([siphond, "-c", file, "--fresh"], {**environment, **known, "SIP_PORT": str(self.port)})
        program.started(lambda: " ready " in program.log.read_text(errors="replace") and self.serves(ip))
        return program

    def _program(self, host: Host, name: str) -> Program:
        made = self.programs[name] = Program(host, name, self.directory / f"{name}.log")
        self._stack.callback(made.stop)
        return made

    def _ping(self, host: Host, port: int) -> bytes:
        try:
            with host.entered(), socket.create_connection((host.ip, port), 1) as redis:
                redis.sendall(b"PING\r\n")
                return redis.recv(100)
        except OSError:
            return b""

    # --- looking and changing

    def serves(self, ip: str) -> bool:
        """Whether somebody answers an OPTIONS there with 200."""
        with self.hosts["phones"].entered():
            wire = Wire((ip, self.port))
        try:
            answer = options(Client(wire, "example.com", "probe", patience=0.3))
        finally:
            wire.socket.close()
        return answer is not None and answer.status == 200

    def move(self, address_of: str, to: str) -> None:
        """What keepalived does: the address leaves one node and comes to the other, and the neighbours are told."""
        ip = self.service[address_of]
        for name in self.service:
            if self.hosts[name].holds(ip):
                self.hosts[name].leave(ip)
        self.hosts[to].take(ip)


def remove_left_tables() -> None:
    """Tables of a demonstration that was killed by kill -9."""
    for path in Path("/dev/shm").glob(f"{TABLES}*"):
        pid = path.name.removeprefix(TABLES).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


def lines_of(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []
