"""A siphond of its own for a test: free port, own tables and state, the configuration said in the test.

`start()` returns when an OPTIONS was answered. Whatever happens, `close()` leaves no process and no file behind. The
log is collected; an error in it fails the test unless the test said that it expects some.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from free_ports import free_port
from udp_agent import Address, Agent

from shm.slots import Slots
from siphon.engine.counters import Counter as Message
from workers.application import Counter

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
RECIPE = ROOT / "tests/recipe.py"
START_SECS, STOP_SECS = 60, 30
"""What a start and a stop may take on a machine that has other work; alone they take less than one."""

CONFIGURATION = """{first}
[listen]
udp = [{listen}]
rcvbuf = 4194304

[domain]
local = ["example.com", "localhost", "127.0.0.1"]

[workers]
count = {workers}
steering = "{steering}"

[shared]
path = "{shared}"
max_transactions = {transactions}
transactions = "{store}"
max_bindings = 1000
max_dialogs = 20000
max_nonces = 10000
max_media_calls = 1000

[script]
path = "{script}"
reload = "sighup"

[auth]
realm = "example.com"

[auth.users]
alice = "secret"
bob = "secret"
carol = "secret"

[server]
state_dir = "{state}"
drain_secs = {drain_secs}
instance_id = "test"
"""


def default_store() -> str:
    """Where a siphond keeps its transactions when its test does not say. With SIPHOND_TEST_REDIS=1 in the environment
    that is a database of its own on one Redis, so that the same tests run over it."""
    if os.environ.get("SIPHOND_TEST_REDIS") != "1":
        return "shm"
    return f"redis://127.0.0.1:{_redis_of_run()}/{next(_databases)}"


_databases = itertools.count()


@functools.cache
def _redis_of_run() -> int:
    """The port of a redis-server that ends with this process."""
    place = tempfile.mkdtemp(prefix="siphond-redis-")
    port = free_port()
    line = ["redis-server", "--port", str(port), "--dir", place, "--save", "", "--databases", "10000"]
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(place, ignore_errors=True)

    atexit.register(end)
    return port


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`, asked every 10 ms."""
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() >= deadline
        if value := condition():
            return value
        assert not is_last, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


class Siphond:
    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 4,
        steering: str = "flow",
        script: Path | str = RECIPE,
        transactions: int = 20000,
        drain_secs: float = 1,
        listen: str = '"127.0.0.1:{port}"',
        first: str = "",
        more: str = "",
        store: str = "",
        port: int = 0,
        ip: str = "127.0.0.1",
    ) -> None:
        """`script` is a file or the text of one; `listen` the entries of listen.udp, {port} being a free one; `first`
        stands above the tables of the configuration, `more` is added to it; `store` is shared.transactions; `ip` and
        `port` are where it is reached."""
        self.directory = directory
        self.shared = Path(tempfile.mkdtemp(prefix="siphond-test-", dir="/dev/shm"))
        self.port = port or free_port()
        self.address: Address = (ip, self.port)
        self.configuration = directory / "siphon.cfg"
        self.log_file = directory / "siphond.log"
        if isinstance(script, str):
            path = directory / "script.py"
            path.write_text(script)
            script = path
        self.script = script
        self.store = store or default_store()
        text = CONFIGURATION.format(
            first=first,
            listen=listen.replace("{port}", str(self.port)),
            workers=workers,
            steering=steering,
            shared=self.shared,
            transactions=transactions,
            store=self.store,
            script=script,
            state=directory / "state",
            drain_secs=drain_secs,
        )
        self.configuration.write_text(text + more)
        self.workers = workers
        self.environment: dict[str, str] = {}
        """More than that of the test."""
        self.process: subprocess.Popen[bytes] | None = None
        self._slots: Slots | None = None
        self.program: Path = PROGRAMS / "siphond"
        self.prefix: list[str] = []
        self.inherited: list[int] = []
        self.tolerated = "(?!)"
        """Errors in the log that match this do not fail the test."""

    # --- running it

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts it and does not wait."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.program, "-c", self.configuration, *arguments],
                pass_fds=self.inherited,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        return self.process

    def start(self, *arguments: str) -> Siphond:
        """Returns when all workers run and an OPTIONS was answered. It is not asked before: a question that is still
        in a socket when this returns would be counted as the test's."""
        said = len(self.log())
        process = self.launch(*arguments)
        with Agent(self.address, "probe") as agent:
            deadline = time.monotonic() + START_SECS
            while time.monotonic() < deadline:
                assert process.poll() is None, f"siphond exited with {process.returncode}\n{self.log()}"
                if self._all_serve(self.log()[said:]):
                    agent.send(agent.request("OPTIONS", "sip:example.com"))
                    if (answer := agent.receive(5)) is not None and answer.status == 200:
                        while len(agent.seen) < len(agent.sent) and agent.receive(5) is not None:
                            continue
                        return self
                time.sleep(0.01)
        raise AssertionError(f"siphond did not answer within {START_SECS} s\n{self.log()}")

    def _all_serve(self, log: str) -> bool:
        """Whether each worker would answer: over a Redis that is when it has joined."""
        joined = [line for line in log.splitlines() if " node.joined " in line and re.search(r" w\d+ ", line)]
        return " ready workers=" in log and (self.store == "shm" or len(joined) >= self.workers)

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = STOP_SECS) -> int:
        """Its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"siphond did not stop within {seconds} s\n{self.log()}") from None

    def kill_all(self) -> None:
        """kill -9 of the supervisor and all its children at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECS)

    def close(self) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                try:
                    self.process.wait(STOP_SECS)
                except subprocess.TimeoutExpired:
                    os.killpg(self.process.pid, signal.SIGKILL)
                    self.process.wait()
                    raise AssertionError(f"siphond did not obey SIGINT\n{self.log()}") from None
        finally:
            shutil.rmtree(self.shared, ignore_errors=True)
        assert (bad := self.errors()) == [], "\n".join(bad)

    # --- looking at it

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def errors(self) -> list[str]:
        bad = [line for line in self.log().splitlines() if re.match(r"\S+ error ", line) or "Traceback" in line]
        return [line for line in bad if not re.search(self.tolerated, line)]

    def control(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        line = [str(PROGRAMS / "siphonctl"), "-c", str(self.configuration), *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)

    def flags(self) -> int:
        """Why it is not ready; 0 when it is."""
        return self.slots().flags

    def status(self) -> dict[str, Any]:
        done = self.control("status", "--json")
        assert done.returncode in (0, 1), done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def slots(self) -> Slots:
        """The slot table itself: reading it costs nothing, so that a test can look between two messages."""
        if self._slots is None:
            self._slots = Slots.attach(self.shared / "slots")
        return self._slots

    def messages(self) -> list[int]:
        """Requests and responses that each worker has read so far."""
        rows = [self.slots().row(index) for index in range(self.workers)]
        return [row[Message.REQUESTS] + row[Message.RESPONSES] for row in rows]

    def restarts(self) -> int:
        return self._counted(Counter.RESTARTS)

    def adoptions(self) -> int:
        """How often a worker that did not beat for 50 ms was stood in for: a handler blocked it, or the machine had no
        time for it."""
        return self._counted(Counter.ADOPTIONS)

    def stalls(self) -> int:
        """How often a worker was ended because it did not beat."""
        return self._counted(Counter.STALLS)

    def _counted(self, counter: Counter) -> int:
        return sum(self.slots().row(index)[counter] for index in range(self.workers))

    def worker_pids(self) -> list[int]:
        """Children of the supervisor that call themselves workers."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"worker" in command_line(int(pid))]

    def cpu_seconds(self) -> float:
        """User and system time of the supervisor and its live children."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ticks = 0
        for pid in [str(self.process.pid), *children]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def running(pids: Iterable[int | str]) -> list[int | str]:
    """Those that have not ended. A zombie has: an orphan is one until init takes note of its end."""
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
