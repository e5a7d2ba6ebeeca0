"""A registrar's desk for tests: REGISTERs as keyword arguments, a clock to move, several workers on one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from siphon.config.settings import Registrar, Server, Settings
from siphon.services.location import Binding, Location, RegisterFacts, RegisterResult, register_facts
from siphon.state.memory import MemoryTable

ALICE = "sip:alice@example.com"
WALL = 1_800_000_000.25


class Identity:
    """Local is example.com; we listen on 192.0.2.1:5060."""

    def is_local(self, host: str) -> bool:
        return host.lower() == "example.com"

    def names_us(self, host: str, port: int | None) -> bool:
        return (host, port or 5060) == ("192.0.2.1", 5060)


@dataclass
class Via:
    host: bytes = b"192.0.2.7"
    port: int = 5062


@dataclass
class Register:
    """As much of a message as a registrar reads."""

    to_value: bytes
    call_id: bytes
    cseq: int
    headers: dict[str, list[bytes]]
    via: Via = field(default_factory=Via)

    def values(self, name: str) -> list[bytes]:
        return self.headers.get(name, [])

    def first(self, name: str) -> bytes | None:
        return next(iter(self.headers.get(name, [])), None)


class Desk:
    """One registrar over a table in memory; `worker()` is another process on the same table."""

    def __init__(self, table: MemoryTable | None = None, **settings: Any) -> None:
        self.table = table if table is not None else MemoryTable()
        server = Server.model_construct(instance_id="node1")
        self.settings = Settings.model_construct(registrar=Registrar(**settings), server=server)
        self.location = Location(self.table, Identity(), self.settings, b"k" * 32)
        self.wall = WALL
        self.cseq = 0

    def worker(self) -> Desk:
        other = Desk(self.table)
        other.settings = self.settings
        other.location = Location(self.table, Identity(), self.settings, b"k" * 32)
        other.cseq = 1000
        return other

    def facts(self, *contacts: str, to: str = f"<{ALICE}>", call_id: str = "call-1", **options: Any) -> RegisterFacts:
        self.cseq += 1
        cseq = options.pop("cseq", self.cseq)
        headers = {"Contact": [contact.encode() for contact in contacts]}
        for name in ("Expires", "Path", "Require", "Supported"):
            value = options.pop(name.lower(), None)
            if value is not None:
                headers[name] = [v.encode() for v in ([value] if isinstance(value, str) else value)]
        message = Register(to.encode(), call_id.encode(), cseq, headers, options.pop("via", Via()))
        transaction = options.pop("transaction", f"{call_id}/{cseq}".encode().ljust(16, b"."))
        arguments = {"source": ("192.0.2.7", 5062), "local": ("192.0.2.1", 5060), **options}
        return register_facts(message, Identity(), transaction=transaction, **arguments)

    def register(self, *contacts: str, **options: Any) -> RegisterResult:
        return self.location.save(self.facts(*contacts, **options), self.wall)

    def lookup(self, uri: str = ALICE) -> list[Binding]:
        return self.location.lookup(uri, self.wall)

    def uris(self, uri: str = ALICE) -> list[str]:
        return [binding.uri for binding in self.lookup(uri)]


def header(result: RegisterResult, name: str) -> list[str]:
    return [value for known, value in result.headers if known == name]
