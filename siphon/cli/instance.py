"""One running siphond: joins settings, shared memory, sockets, engine and supervisor, and takes them apart again.

Everything here runs in the supervisor, most of it before it forks. What may change while it runs, and how, lies in
reloads.py; what each process begins with in makers.py.
The order is that of what is cheapest to refuse: script, directories, room, addresses, tables. Nothing is left behind by
a refused start but directories with an empty lock file and the secret.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shm.slots import Slots
from shm.table import Table
from siphon.cli import directory, succession
from siphon.cli.agreed import common_secret
from siphon.cli.bindings import Bindings
from siphon.cli.exits import Exit, Refusal
from siphon.cli.idle import Idle
from siphon.cli.level import apply as apply_level
from siphon.cli.listening import addresses_of, note_listeners, refusals, require_addresses
from siphon.cli.makers import Makers
from siphon.cli.memory import SLOTS, TRANSACTIONS, megabytes, need, require_room
from siphon.cli.reloads import Reloads, make_log
from siphon.cli.tables import open_tables
from siphon.config.log import Log
from siphon.config.settings import MAX_WORKERS, Settings
from siphon.config.version import VERSION
from siphon.engine.far import leave
from siphon.engine.shared import Shared
from siphon.engine.wakes import Wake, Wakes
from siphon.services.location.mirror_state import MirrorState
from workers.adoption import free_places
from workers.application import Flag
from workers.kept import from_manager, name_of, sort
from workers.notify import Notifier
from workers.options import Progress, Succession
from workers.predecessor import Predecessor
from workers.sockets import open_listeners
from workers.steering import steer
from workers.supervisor import Options, Supervisor


def serve(
    path: Path,
    settings: Settings,
    fresh: bool = False,
    workers: int | None = None,
    predecessor: Predecessor | None = None,
) -> int:
    """Runs until it is told to stop; the exit status. Raises Refusal. `predecessor` hands over to this one."""
    return Instance(path, settings, make_log(settings), fresh, workers, predecessor).run()


class Instance:
    """The supervisor's side."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        log: Log,
        fresh: bool = False,
        workers: int | None = None,
        predecessor: Predecessor | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self.log = log
        self.fresh = fresh
        self.notifier = Notifier()
        self.predecessor = predecessor
        self.kept = predecessor.kept if predecessor else from_manager(os.environ, self.warn_of_kept)
        self.first_slot, self.last_slot = 0, SLOTS - 1
        self.given = False
        """The next siphond is the instance."""
        self.reloads = Reloads(path, settings, workers, log)

    def run(self) -> int:
        """See serve()."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the supervisor takes it: all is read anyway
        for problem in self.settings.warnings:
            self.log.warn(f"configuration: {problem}")
        self.reloads.require_script()
        with ExitStack() as stack:
            with directory.what_the_system_gives():
                supervisor = self.prepare(stack)
            self.log.info(
                "starting", version=VERSION, pid=os.getpid(), configuration=self.path, shared=self.settings.shared.path
            )
            status = supervisor.run()
            if not self.given:
                self.bindings.end()
                self.leave()
            self.log.info("stopped", status=status)
        return status

    def prepare(self, stack: ExitStack) -> Supervisor:
        """All that an instance needs before it forks; `stack` takes it apart again."""
        self.wake = Wake()
        stack.callback(self.wake.close)
        self.there, self.stale = sort(self.kept, addresses_of(self.settings), MAX_WORKERS, self.warn_of_kept)
        for sock in (sock for group in self.there for sock in group):
            stack.callback(sock.close)
        shared = stack.enter_context(self.shared_state())
        stack.callback(shared.wakes.close)
        self.opened = listeners = self.listeners()
        for sock in (sock for group in listeners for sock in group):
            stack.callback(sock.close)
        self.shared = shared
        self.place()
        shared.slots.started_wall = time.time()
        self.reloads.begin(shared.slots)
        if not self.predecessor:
            self.reloads.note(Progress())
        return Supervisor(listeners, shared.slots, self.makers.application, self.options())

    def leave(self) -> None:
        """Whoever shares our transactions need not wait until our lease runs out."""
        if self.settings.shared.transactions != "shm":
            asyncio.run(leave(self.settings, self.shared.node_token))

    @contextmanager
    def shared_state(self) -> Iterator[Shared]:
        """The directories, held, and the tables in them."""
        settings = self.settings
        directory.make_private(settings.shared.path, "shared.path")
        lock = self.inherited_lock() if self.predecessor else directory.hold(settings.shared.path)
        try:
            directory.make_private(settings.server.state_dir, "server.state_dir")
            secret = self.secret()
            boot = directory.boot_id()
            fresh = self.fresh or directory.is_of_another_boot(settings.shared.path, boot)
            if not self.predecessor:
                require_room(settings)
                require_addresses(settings, self.there)
            self.lock = lock
            self.shared = shared = self.tables(boot, fresh, secret)
            self.makers = Makers(self.reloads, shared, self.log)
            self.bindings = Bindings(settings, shared, self.log, self.reloads.tells_changes)
            self.bindings.begin(forgets=self.fresh)
            if self.predecessor:
                self.predecessor.take = self.take
            else:
                self.describe()
                note_listeners(settings, self.log, anew=fresh)
            yield shared
        finally:
            directory.release(lock, forget=self.is_instance())

    def inherited_lock(self) -> int:
        """That of the siphond which hands over; Refusal where this one does not fit."""
        assert self.predecessor is not None
        if not self.predecessor.descriptors:
            raise Refusal(Exit.IN_USE, "the siphond that hands over has not given its lock")
        lock = self.predecessor.descriptors[0]
        succession.require_agreement(self.predecessor.facts, lock, self.settings)
        return lock

    def is_instance(self) -> bool:
        return not self.given and (self.predecessor is None or self.predecessor.took)

    def take(self) -> None:
        """After an upgrade: this process is the instance from now on."""
        self.describe()
        note_listeners(self.settings, self.log, anew=False)
        self.reloads.note(self.reloads.progress)

    def describe(self) -> None:
        """Says in the lock file that this process is the instance."""
        directory.describe(self.lock, self.facts())

    def secret(self) -> bytes:
        """The instance's own, or that of all nodes of a Redis if it can be had within AGREE_SECS."""
        state = self.settings.server.state_dir
        own = directory.instance_secret(state)
        common = common_secret(self.settings, own)
        if common != own:
            directory.keep_secret(state, common)
        return common

    def facts(self) -> dict[str, object]:
        """What siphonctl shows beside the slots and the tables."""
        return {
            "version": VERSION,
            "instance": self.settings.server.instance_id,
            "configuration": str(self.path.absolute()),
            "listen": [address.address for address in self.settings.listen.udp],
            "workers": self.settings.workers.count,
            "state_dir": str(self.settings.server.state_dir),
            "helpers": ["timer", *(extra.name if extra.wanted() else "" for extra in self.makers.extras())],
            "first_slot": self.first_slot,
            "last_slot": self.last_slot,
            "upgrade_secs": self.reloads.limits.upgrade_secs,
            "predecessor": self.predecessor.facts.get("pid") if self.predecessor else None,
        }

    def tables(self, boot: bytes, fresh: bool, secret: bytes) -> Shared:
        place = self.settings.shared.path
        sizes = need(self.settings)
        if fresh and not self.fresh:
            self.log.info("tables.of_another_boot", begins="empty")
        slots, made = open_tables(place, sizes, boot, fresh, joins=self.predecessor is not None)
        total = megabytes(sum(size.size for size in sizes))
        records = {name: table.stats().records for name, table in made.items()}
        self.log.info("tables", size=total, **records)
        return Shared(
            slots=slots,
            secret=secret,
            node_token=self.node_token(),
            wakes=Wakes(SLOTS),
            changes=self.wake,
            mirror=self.mirror_state(slots),
            **made,
        )

    def node_token(self) -> bytes:
        """Of this node among those of a Redis. After an upgrade it is the same node."""
        given = self.predecessor.facts.get("node_token") if self.predecessor else None
        return bytes.fromhex(given) if isinstance(given, str) else os.urandom(16)

    def mirror_state(self, slots: Slots) -> MirrorState | None:
        """With location in Redis the instance is not ready until its mirror is. After an upgrade the tables are those
        that the predecessor's mirror has filled: they serve while the new one reads on."""
        state = None if self.settings.location_store is None else MirrorState()
        if self.predecessor:
            if state is not None:
                state.ready = bool(self.predecessor.facts.get("mirror_ready"))
        elif state is None:
            slots.lower_flags(Flag.STATE_BEHIND)
        else:
            slots.raise_flags(Flag.STATE_BEHIND)
        return state

    def listeners(self) -> list[list[socket.socket]]:
        settings = self.settings
        with refusals():
            opened = open_listeners(
                addresses_of(settings),
                settings.workers.count,
                settings.listen.rcvbuf,
                settings.workers.steering,
                lambda text: self.log.warn(f"listen.rcvbuf: {text}"),
                self.there,
            )
        for address, there in zip(settings.listen.udp, self.there, strict=True):
            facts = {"kept_sockets": len(there)} if there else {}
            self.log.info("listening", address=address.address, workers=settings.workers.count, **facts)
        if not self.predecessor:  # until it has gone the manager does not listen to this process
            self.give_to_manager(opened, self.stale)
        return opened

    def place(self) -> None:
        """Slots in which nobody lives; Refusal where there are not enough."""
        if self.predecessor is None:
            return
        width = max(len(group) for group in self.opened)
        places = free_places(self.predecessor.slots, SLOTS, width, 1 + len(self.makers.extras()))
        if places is None:
            what = f"{width} workers do not fit beside those of the siphond that runs: there are {SLOTS} slots for both"
            raise Refusal(Exit.CONFIGURATION, f"{what}; this needs a stop and a start")
        self.first_slot, self.last_slot = places

    def give_to_manager(self, opened: Sequence[Sequence[socket.socket]], stale: Sequence[str]) -> None:
        """The sockets, so that they outlive this process; what it keeps of an earlier configuration goes."""
        for name in stale:
            self.notifier.forget(name)
        named = {name_of(sock, place): sock for group in opened for place, sock in enumerate(group)}
        if self.notifier.address and not self.notifier.keep(named):
            self.log.warn("the service manager does not take the sockets: what waits in them is lost at a restart")

    def warn_of_kept(self, text: str) -> None:
        self.log.warn(f"sockets of the service manager: {text}")

    def succession(self) -> Succession:
        """What the supervisor needs in order to hand over to the next siphond."""
        place = self.settings.shared.path
        return Succession(
            command=succession.command,
            facts=self.succession_facts,
            descriptors=lambda: [self.lock],
            given=self.give,
            taken_back=self.take_back,
            report=lambda at: succession.note(place, at.begun, at.ended, at.error),
        )

    def succession_facts(self) -> dict[str, object]:
        """What the next siphond must agree with, and what it goes on with."""
        mirror = self.shared.mirror
        ready = mirror is not None and mirror.ready
        return {
            **succession.facts_of(self.settings),
            "node_token": self.shared.node_token.hex(),
            "mirror_ready": ready,
        }

    def give(self) -> None:
        self.given = True

    def take_back(self) -> None:
        """The next siphond has failed. It may have written into the lock file, and steered the sockets its own way."""
        self.given = False
        self.take()
        workers = self.settings.workers
        for group in self.opened:
            steer(group, workers.count, workers.steering)

    def options(self) -> Options:
        settings = self.settings
        return Options(
            count=settings.workers.count,
            slot_count=SLOTS,
            limits=self.reloads.limits,
            extras=self.makers.extras(),
            keep_stale=is_response,
            has_work=lambda slot: bool(self.shared.transactions.owned(slot)),
            validate=self.reloads.validate,
            accepted=lambda payload: self.reloads.accept(payload, self.describe),
            reloading=self.reloads.note,
            idle=Idle(Table.view(settings.shared.path / TRANSACTIONS)),
            notifier=self.notifier,
            first_slot=self.first_slot,
            last_slot=self.last_slot,
            predecessor=self.predecessor,
            succeeded=lambda: self.give_to_manager(self.opened, []),
            succession=self.succession(),
            log=self.note,
        )

    def note(self, level: str, event: str, **fields: object) -> None:
        """The log as the process model wants it. The supervisor has no loop that looks for the level: it does here."""
        apply_level(self.log, self.shared.slots)
        self.log.at(level, event, **fields)


def is_response(datagram: bytes) -> bool:
    """A response is served however long it waited in a socket: its sender may not repeat it. A request that waited
    longer than its sender does is dropped."""
    return datagram.startswith(b"SIP/2.0 ")
