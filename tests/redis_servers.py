"""Real Redis servers for tests: single, with password, with TLS, a master with replica and Sentinels, a Cluster.

Each has a directory of its own, free ports, and ends with the test, by its pid. `freeze` and `thaw` stop one and let
it go on; `kill` and `start` are a crash and a restart. Debian's redis-server brings all of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as client
from free_ports import free_port

WAIT_SECS = 90.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    return [free_port() for _ in range(count)]


def until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECS) -> None:
    """Wait until it holds; connections that fail meanwhile do not matter."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (client.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Server:
    """One redis-server process."""

    def __init__(self, place: Path, port: int, lines: list[str], *, sentinel: bool = False) -> None:
        self.place, self.port = place, port
        place.mkdir(parents=True, exist_ok=True)
        self.file = place / "redis.conf"
        tls = any(line.startswith("tls-port") for line in lines)
        base = ["bind 127.0.0.1", f"port {0 if tls else port}", f"dir {place}", 'logfile "log"', "daemonize no"]
        if not sentinel:
            base += ['save ""', "appendonly no"]
        self.file.write_text("\n".join([*base, *lines]) + "\n")
        self._sentinel = sentinel
        self._options: dict[str, object] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._client: client.Redis | None = None

    def start(self, **options: object) -> Server:
        """Returns once it answers. `options` are for the client that asks."""
        self._options = options or self._options
        line = ["redis-server", str(self.file), *(["--sentinel"] if self._sentinel else [])]
        self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(lambda: self.client().ping(), f"redis on {self.port} does not answer")
        return self

    def client(self) -> client.Redis:
        """A client that is closed with the server."""
        if self._client is None:
            self._client = client.Redis(port=self.port, socket_timeout=60, **self._options)  # type: ignore[arg-type]
        return self._client

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """As if the machine were gone: what was not saved is lost."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def _directory() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="siphond-redis-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def server(*lines: str, **options: object) -> Iterator[Server]:
    """A single server."""
    with _directory() as place, ExitStack() as stack:
        made = Server(place, free_ports(1)[0], list(lines))
        stack.callback(made.kill)
        yield made.start(**options)


class Secured:
    """A self-signed certificate for 127.0.0.1 in files of a directory, with which servers know each other as well."""

    def __init__(self, place: Path) -> None:
        self.certificate, self.key = place / "cert.pem", place / "key.pem"
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
        subprocess.run([*made, "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)
        self.options: dict[str, object] = {"ssl": True, "ssl_ca_certs": str(self.certificate)}
        self.arguments = ["--tls", "--cacert", str(self.certificate)]


def lines_of(secured: Secured | None, port: int) -> list[str]:
    """Of the configuration of a server; none where there is no TLS."""
    if secured is None:
        return []
    files = [f"tls-cert-file {secured.certificate}", f"tls-key-file {secured.key}"]
    return [
        f"tls-port {port}",
        *files,
        f"tls-ca-cert-file {secured.certificate}",
        "tls-auth-clients no",
        "tls-replication yes",
    ]


def url_of(secured: Secured | None, kind: str, places: str) -> str:
    if secured is None:
        return f"redis+{kind}://{places}"
    return f"rediss+{kind}://{places}?ca={secured.certificate}"


class Replicated:
    """A master with one replica, watched by three Sentinels under the name `service`."""

    service = "siphon-test"

    def __init__(self, servers: list[Server], sentinels: list[Server], secured: Secured | None = None) -> None:
        self.servers, self.sentinels, self.secured = servers, sentinels, secured

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        return url_of(self.secured, "sentinel", f"{places}/{self.service}")

    def master(self) -> Server:
        """Who the Sentinels say it is."""
        for sentinel in self.sentinels:
            found = sentinel.client().execute_command("SENTINEL", "get-master-addr-by-name", self.service)
            if found:
                port = int(found[1])
                return next(s for s in self.servers if s.port == port)
        raise AssertionError("the Sentinels know no master")

    def replica(self) -> Server:
        master = self.master()
        return next(s for s in self.servers if s is not master)


@contextmanager
def replicated(down_after_ms: int = 1000, tls: bool = False) -> Iterator[Replicated]:
    """Master, replica and Sentinels, in sync; `tls`: nobody speaks without."""
    with _directory() as place, ExitStack() as stack:
        ports = free_ports(5)
        common = ["repl-diskless-sync-delay 0"]
        secured = Secured(place) if tls else None
        master = Server(place / "m", ports[0], [*common, *lines_of(secured, ports[0])])
        follows = [f"replicaof 127.0.0.1 {ports[0]}", *common]
        replica = Server(place / "r", ports[1], [*follows, *lines_of(secured, ports[1])])
        watch = [
            f"sentinel monitor {Replicated.service} 127.0.0.1 {ports[0]} 2",
            f"sentinel down-after-milliseconds {Replicated.service} {down_after_ms}",
            f"sentinel failover-timeout {Replicated.service} 3000",
        ]
        sentinels = [
            Server(place / f"s{n}", port, [*watch, *lines_of(secured, port)], sentinel=True)
            for n, port in enumerate(ports[2:])
        ]
        for each in (master, replica, *sentinels):
            stack.callback(each.kill)
            each.start(**(secured.options if secured else {}))
        until(lambda: replica.client().info("replication")["master_link_status"] == "up", "replica not in sync")
        made = Replicated([master, replica], sentinels, secured)

        def known() -> bool:
            seen = [s.client().sentinel_master(Replicated.service) for s in sentinels]
            return all(m["num-other-sentinels"] == 2 and m["num-slaves"] == 1 for m in seen)

        until(known, "the Sentinels do not know each other")
        yield made


class Cluster:
    """Three masters and three replicas."""

    def __init__(self, servers: list[Server], secured: Secured | None = None) -> None:
        self.servers, self.secured = servers, secured

    @property
    def url(self) -> str:
        return url_of(self.secured, "cluster", ",".join(f"127.0.0.1:{s.port}" for s in self.servers[:3]))

    def alive(self) -> Server:
        return next(s for s in self.servers if s.process is not None)

    def copies(self) -> int:
        """Keys that replicas have."""
        clients = [server.client() for server in self.servers if server.process is not None]
        return sum(each.dbsize() for each in clients if each.info("replication")["role"] == "slave")

    def until_replicated(self) -> None:
        """Returns when replicas have what their masters had when it was called."""
        written = {server.port: _replication(server)["master_repl_offset"] for server in self.servers}
        replicas = [server for server in self.servers if _replication(server)["role"] == "slave"]

        def caught_up(replica: Server) -> bool:
            facts = _replication(replica)
            return int(facts["slave_repl_offset"]) >= int(written[facts["master_port"]])

        until(lambda: all(map(caught_up, replicas)), "the replicas do not follow")

    def master_of(self, slot: int) -> Server:
        """Which server has a slot, as one that is alive knows it."""
        ranges = self.alive().client().execute_command("CLUSTER SLOTS")
        for first, last, facts, *_ in ranges:
            if first <= slot <= last:
                return next(s for s in self.servers if s.port == int(facts[1]))
        raise AssertionError(f"nobody serves slot {slot}")


def _replication(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.client().info("replication")
    return found


@contextmanager
def cluster(timeout_ms: int = 1500, tls: bool = False) -> Iterator[Cluster]:
    """A Cluster in which every replica follows its master; `tls`: nobody speaks without."""
    with _directory() as place, ExitStack() as stack:
        secured = Secured(place) if tls else None
        lines = ["cluster-enabled yes", f"cluster-node-timeout {timeout_ms}", "cluster-config-file nodes.conf"]
        lines += ["repl-diskless-sync-delay 0"]
        lines += ["tls-cluster yes"] if tls else []
        ports, buses = free_ports(6), free_ports(6)  # what is 10000 above a port is somebody else's to choose
        servers = [
            Server(place / str(n), port, [*lines, f"cluster-port {bus}", *lines_of(secured, port)])
            for n, (port, bus) in enumerate(zip(ports, buses, strict=True))
        ]
        for each in servers:
            stack.callback(each.kill)
            each.start(**(secured.options if secured else {}))
        places = [f"127.0.0.1:{each.port}" for each in servers]
        line = [
            "redis-cli",
            *(secured.arguments if secured else []),
            "--cluster",
            "create",
            *places,
            "--cluster-replicas",
            "1",
            "--cluster-yes",
        ]
        subprocess.run(line, check=True, capture_output=True, timeout=180)

        def settled() -> bool:
            infos = [each.client().info("replication") for each in servers]
            states = [each.client().cluster("INFO")["cluster_state"] for each in servers]
            in_sync = [i for i in infos if i["role"] == "slave" and i["master_link_status"] == "up"]
            return len(in_sync) == 3 and set(states) == {"ok"}

        until(settled, "the Cluster does not settle")
        yield Cluster(servers, secured)


@contextmanager
def with_tls(password: str = "") -> Iterator[tuple[Server, Path]]:
    """A server that speaks TLS only, and the file with its self-signed certificate for 127.0.0.1."""
    with _directory() as place, ExitStack() as stack:
        secured, port = Secured(place), free_ports(1)[0]
        lines = lines_of(secured, port) + ([f"requirepass {password}"] if password else [])
        served = Server(place / "redis", port, lines)
        stack.callback(served.kill)
        options = {**secured.options, **({"password": password} if password else {})}
        yield served.start(**options), secured.certificate


@pytest.fixture
def redis_server() -> Iterator[Server]:
    with server() as made:
        yield made


@pytest.fixture
def redis_with_password() -> Iterator[Server]:
    with server("requirepass s3cret-word", password="s3cret-word") as made:
        yield made


@pytest.fixture
def redis_replicated() -> Iterator[Replicated]:
    with replicated() as made:
        yield made


@pytest.fixture
def redis_cluster() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def calm_cluster() -> Iterator[Cluster]:
    """Nobody in it takes a node that is late for a dead one."""
    with cluster(timeout_ms=60_000) as made:
        yield made


@pytest.fixture
def redis_tls() -> Iterator[tuple[Server, Path]]:
    with with_tls() as made:
        yield made
