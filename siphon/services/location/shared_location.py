"""The location service over Redis: judged by this node's mirror, committed to the store, then answered.

Look-ups read the mirror, a table in shared memory that a helper keeps equal to the store (mirror.py); they cost no
round trip and go on while the store is away. A change is computed on the mirror's record at once, so the caller knows
what to expect, and is then on its way (commits.py); `RegisterResult.later` resolves with what holds.

All times are the store's, whatever the caller says: nodes whose clocks differ agree on when a binding ends. Records
that the mirror does not have may be fetched before handlers run; they are kept in `fetched` for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from siphon.config.settings import Settings
from siphon.services.location.accepted import Granted
from siphon.services.location.aor import Identity, address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.commits import Commits
from siphon.services.location.facts import RegisterFacts
from siphon.services.location.location import Change, Events, Location, Rewrite
from siphon.services.location.register import RegisterResult, apply_register
from siphon.services.store import RecordTable

FETCHED_SECS = 2.0
MOST_FETCHED = 1000


class SharedLocation(Location):
    """One for each process. `time` is the store's time."""

    def __init__(
        self,
        table: RecordTable,
        identity: Identity,
        settings: Settings,
        hash_key: bytes,
        commits: Callable[[SharedLocation], Commits],
        time: Callable[[], float],
        *,
        epoch: str,
    ) -> None:
        super().__init__(table, identity, settings, hash_key, epoch=epoch, mirrors=True)
        self._time = time
        self._commits = commits(self)
        self._fetched: dict[bytes, tuple[float, AddressRecord]] = {}

    @property
    def pending(self) -> int:
        """Changes that are on their way."""
        return self._commits.pending

    # -- before handlers run

    def missing(self, uris: list[object]) -> list[str]:
        """Addresses of record of ours that the mirror does not have."""
        found: list[str] = []
        for uri in uris:
            aor = address_of_record_of(uri)
            if aor is not None and aor not in found and self._is_ours(aor) and self._read(aor) is None:
                found.append(aor)
        return found

    def _is_ours(self, aor: str) -> bool:
        host = aor.rpartition("@")[2] if "@" in aor else aor.partition(":")[2]
        name, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
        return self.identity.is_local(name) or self.identity.names_us(name, int(port) if port.isdigit() else None)

    def fetch(self, aor: str, done: Callable[[], None]) -> None:
        """Look for it in the store; `done` when it is there for look-ups, or cannot be had."""
        key = self._records.key(aor)

        def found(record: object) -> None:
            if isinstance(record, AddressRecord):
                if len(self._fetched) >= MOST_FETCHED:
                    self._fetched.clear()
                self._fetched[key] = self._time() + FETCHED_SECS, record
            done()

        self._commits.fetch(key, aor).then(found)

    def _read(self, aor: str | None) -> AddressRecord | None:
        record = super()._read(aor)
        if record is None and aor is not None and self._fetched:
            until, fetched = self._fetched.get(self._records.key(aor), (0.0, None))
            return fetched if until > self._time() else None
        return record

    # -- changes

    def _change(self, aor: str, rewrite: Rewrite, wall: float, *, raises: bool = True) -> RegisterResult:
        """What the mirror says of it; the change is on its way. A refusal by the mirror stands."""
        key = self._records.key(aor)
        self._commits.tells = self.tell is not None
        _, mirrored = self._records.load(key, aor)
        result = rewrite(mirrored)
        if result.record is None:
            return result
        return replace(result, later=self._commits.start(key, aor, mirrored, rewrite))

    def save(self, facts: RegisterFacts, wall: float) -> RegisterResult:
        """One without contacts asks what there is: the store is asked, since its answer is what the phone believes."""
        wall = self._time()
        result = super().save(facts, wall)
        if result.later is not None or not result.ok:
            return result
        key = self._records.key(facts.aor)
        return replace(result, later=self._commits.ask(key, facts.aor, lambda old: self._judge(old, facts, wall)))

    def _judge(self, old: AddressRecord | None, facts: RegisterFacts, wall: float) -> RegisterResult:
        return apply_register(old, facts, self._settings, wall, self._epoch)

    def save_proxy(self, facts: RegisterFacts, granted: Granted, wall: float) -> RegisterResult:
        return super().save_proxy(facts, granted, self._time())

    def save_pending(self, facts: RegisterFacts, wall: float) -> RegisterResult:
        return super().save_pending(facts, self._time())

    def confirm(self, uri: object, wall: float) -> bool:
        return super().confirm(uri, self._time())

    def remove(self, uri: object, wall: float) -> Events:
        return super().remove(uri, self._time())

    def remove_binding(self, aor: str, stamp: tuple[str, str, int, float], wall: float) -> bool:
        return super().remove_binding(aor, stamp, self._time())

    def set_associated_uris(self, uri: object, uris: list[str], wall: float) -> None:
        super().set_associated_uris(uri, uris, self._time())

    def set_service_routes(self, uri: object, routes: list[str], wall: float) -> None:
        super().set_service_routes(uri, routes, self._time())

    # -- look-ups

    def bindings_at(self, key: bytes, wall: float) -> tuple[str, list[Binding]]:
        return super().bindings_at(key, self._time())

    def lookup(self, uri: object, wall: float) -> list[Binding]:
        return super().lookup(uri, self._time())

    def lookup_contact(self, uri: object, wall: float) -> list[tuple[str, Binding]]:
        return super().lookup_contact(uri, self._time())

    def lookup_by_token(self, token: str | None, wall: float) -> Binding | None:
        return super().lookup_by_token(token, self._time())

    def count(self, wall: float) -> int:
        return super().count(self._time())

    # -- events, and what only the mirror does

    def begin_change(self, key: bytes, wall: float) -> Change | None:
        return super().begin_change(key, self._time())

    def delivered(self, key: bytes, number: int, wall: float) -> None:
        super().delivered(key, number, self._time())

    def sweep(self, wall: float, limit: int = 1000) -> list[tuple[str, Events]]:
        """The store is swept by the mirrors of all nodes."""
        return []
