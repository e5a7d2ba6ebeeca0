"""The server under test: a routing script in the real engine, on a virtual network and a virtual clock.

Nothing of the engine is imitated: messages are parsed, transactions kept and timers fired by the code that serves
calls. What is virtual is around it: datagrams are delivered at once, to each worker in turn; shared memory is a dict;
names resolve to what the test says; time stands still until `advance`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from siphon.config.load import load
from siphon.config.log import Log
from siphon.engine.core import Core
from siphon.script.runtime import Runtime
from siphon.sip.message import BadResponse, NotSip, PeerError
from siphon.state.store import Send
from siphon.testing.kit.flow import SERVER, Flow
from siphon.testing.kit.kept_log import KeptLog, Line
from siphon.testing.kit.message import Message
from siphon.testing.kit.phone import Phone, Place, target_of
from siphon.testing.world import World

NETWORK = "192.0.2."
"""Where phones live unless a test says otherwise (TEST-NET-1, RFC 5737)."""
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class Server:
    """`script` is the path of a routing script, or its text; `config` the path of a configuration, whose script is used
    if none is given. Without `config` the domain is example.com, and `settings` are sections and keys of a
    configuration (`auth={"users": {"bob": "secret"}}`). Raises what loading either of them raises."""

    def __init__(
        self, script: str | Path | None = None, config: str | Path | None = None, workers: int = 2, **settings: Any
    ) -> None:
        if script is None and config is None:
            raise TypeError("a script or a configuration is needed")
        if config is not None and settings:
            raise TypeError("settings are those of the configuration: give one or the other")
        self.log: list[Line] = []
        """What the script, and siphond about it, have written."""
        self.script_errors: list[str] = []
        """The tracebacks of exceptions that handlers have raised."""
        self.phones: dict[Place, Phone] = {}
        self._directory: TemporaryDirectory[str] | None = None
        loaded = None if config is None else load(Path(config))
        path = self._file(script) if script is not None else loaded.script.path if loaded is not None else Path()
        if loaded is not None:
            loaded = loaded.model_copy(update={"script": loaded.script.model_copy(update={"path": path})})
        try:
            self.world = _World(self, path, workers=workers, settings=loaded, **settings)
        except BaseException:
            self._clean()
            raise
        self.domain: str = self.world.settings.domain.local[0]

    def _file(self, script: str | Path) -> Path:
        """Text of a script has more than one line; anything else is a path."""
        if isinstance(script, Path) or "\n" not in script:
            return Path(script)
        self._directory = TemporaryDirectory(prefix="siphon-script-")
        path = Path(self._directory.name) / "script.py"
        path.write_text(script)
        return path

    def phone(
        self,
        user: str | None = None,
        password: str | None = None,
        address: str | None = None,
        behind: str | None = None,
    ) -> Phone:
        """A phone of `user`, at an address of its own or at `address` (`"192.0.2.7"`, `"192.0.2.7:5080"`,
        `"[2001:db8::1]:5060"`). With `behind` it names that address in its messages, as phones behind a NAT do."""
        place = self._free() if address is None else _place(address)
        if place in self.phones:
            raise ValueError(f"{self.phones[place]} is there already")
        taken = {phone.name for phone in self.phones.values()}
        base = user or "phone"
        name = next(n for n in (base, *(f"{base}{i}" for i in range(2, 10_000))) if n not in taken)
        made = Phone(self, name, user, password, place, None if behind is None else _place(behind))
        self.phones[place] = made
        return made

    def _free(self) -> Place:
        return next(place for i in range(1, 255) if (place := (f"{NETWORK}{i}", 5060)) not in self.phones)

    # -- time

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.world.clock()

    def advance(self, seconds: float) -> None:
        """Time goes on; timers fire on the way, each at its time."""
        self.world.advance(seconds)

    def step(self, end: float) -> bool:
        """Go on to the next timer, at most to `end`; False when that is reached."""
        when = self.world.next_when()
        self.world.advance(max(0.0, min(end, end if when is None else when) - self.now))
        return self.now < end

    # -- what tests ask and change

    def contacts(self, aor: str) -> list[str]:
        """The URIs that are registered for an address of record."""
        location = self.world.workers[0].runtime.services.location
        return [contact.uri for contact in location.lookup(aor, self.world.clock.wall())]

    def set_name(self, name: str, *addresses: str) -> None:
        """What a name of the virtual DNS resolves to (`"192.0.2.80"`, `"192.0.2.80:5080"`), in order of preference."""
        self.world.resolver.names[name.lower()] = [_place(a) if _has_port(a) else a for a in addresses]

    def kill_worker(self) -> None:
        """One worker dies with all that it had not stored; a new one takes its place."""
        self.world.kill(0)
        self.world.replace(0)

    def reload(self) -> None:
        """Read the script again from its file, as after a change; calls in progress stay with the version they began
        with."""
        self.world.script_version += 1
        for worker in self.world.workers:
            worker.reload(self.world.script_version)

    def take_errors(self) -> list[str]:
        """The tracebacks of the script so far; they are then no reason any more for the test to fail."""
        taken, self.script_errors = self.script_errors[:], []
        return taken

    # -- what happened

    def report(self) -> str:
        """The flow of messages, to be put below the text of a failure."""
        return f"\n\n{self.world.flow}\n"

    def faults(self) -> list[str]:
        """Why a test that has passed is a failure all the same: exceptions of the script, errors of the engine."""
        engine = [error for worker in self.world.workers for error in worker.errors]
        return [f"the script has raised:\n{error}" for error in self.script_errors] + engine

    def close(self) -> None:
        """Let go of temporary files and loops."""
        self.world.close()
        self._clean()

    def _clean(self) -> None:
        if self._directory is not None:
            self._directory.cleanup()

    # -- network

    def carry(self, phone: Phone, data: bytes) -> None:
        """A datagram from a phone: to the phone whose address it names, else to the server."""
        target = self._direct(data)
        if target is not None:
            self.world.flow.message(phone.name, target.name, data)
            target.receive(data)
            return
        self.world.flow.message(phone.name, SERVER, data, "lost" if phone.offline else "")
        if not phone.offline:
            self.world.deliver(data, phone.address)
            self.world.rest()

    def _direct(self, data: bytes) -> Phone | None:
        try:
            message = Message(data)
            place = target_of(message) if message.is_request and message.to_tag else None
        except (BadResponse, NotSip, PeerError, ValueError):
            return None
        return None if place is None else self.phones.get(place)


class _World(World):
    """The world of one server: its phones, its log, its scripts."""

    def __init__(self, server: Server, script: Path, **options: Any) -> None:
        self._server = server
        self._resting = False
        self.flow = Flow(lambda: self.clock.now)
        super().__init__(script, **options)

    def rest(self) -> None:
        """All that happens at this moment has happened; called from within it, the outermost call sees to it."""
        if self._resting:
            return
        self._resting = True
        try:
            while (when := self.next_when()) is not None and when <= self.clock.now:
                self.run_due()
        finally:
            self._resting = False

    def run_due(self) -> None:
        """See World; what phones send meanwhile is carried in it."""
        outer, self._resting = self._resting, True
        try:
            super().run_due()
        finally:
            self._resting = outer

    def make_log(self, level: str) -> Log:
        """See World; all levels are kept."""
        server = self._server
        return KeptLog(server.log, server.script_errors, self._heard, self.clock.wall)

    def _heard(self, line: Line) -> None:
        self.flow.note(f"log: {line}")

    def make_runtime(self, *parts: Any) -> Runtime:
        """Each worker executes the script for itself, as each process does."""
        return Runtime(*parts)

    def comparison(self, core: Core) -> None:
        """The engine is not what is tested here."""

    def local_ip(self, listener: int, ip: str) -> str:
        """The address that a wildcard listener sends from."""
        if not self.identity.listeners[listener].wildcard:
            return ""
        return LOOPBACK[6 if ":" in ip else 4]

    def transmit(self, slot: int, send: Send, stateful: bool = True) -> None:
        """See World."""
        self.sent.append(send)
        phone = self._server.phones.get(send.to)
        name = f"{send.to[0]}:{send.to[1]}" if phone is None else phone.name
        unreachable = send.to in self.unreachable
        lost = phone is None or phone.offline
        self.flow.message(SERVER, name, send.data, "unreachable" if unreachable else "lost" if lost else "")
        if unreachable:
            self.workers[slot].ingest.unreachable(send.data)
        elif phone is not None and not phone.offline:
            # Not at once: the commit that sends is not over yet.
            self.schedule.at(self.clock(), phone.receive, send.data)


def _has_port(address: str) -> bool:
    return address.startswith("[") or address.count(":") == 1


def _place(address: str) -> Place:
    if not _has_port(address):
        return address, 5060
    host, _, port = address.rpartition(":")
    if address.endswith("]"):
        return address.strip("[]"), 5060
    return host.strip("[]"), int(port)
