"""One running siphond: joins settings, shared memory, sockets, engine and supervisor, and takes them apart again.

Everything here runs in the supervisor, most of it before it forks; what is made in each process lies in processes.py.
The order is that of what is cheapest to refuse: script, directories, room, addresses, tables. Nothing is left behind by
a refused start but directories with an empty lock file and the secret.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from shm.slots import Slots
from shm.table import Table
from siphon.cli import directory, succession
from siphon.cli.admin.helper import NAME as ADMIN
from siphon.cli.agreed import common_secret
from siphon.cli.bindings import Bindings
from siphon.cli.exits import Exit, Refusal
from siphon.cli.idle import Idle
from siphon.cli.level import apply as apply_level
from siphon.cli.listening import addresses_of, note_listeners, refusals, require_addresses
from siphon.cli.memory import SLOTS, TRANSACTIONS, megabytes, need, require_room
from siphon.cli.place import with_workers
from siphon.cli.processes import (
    AdminOfInstance,
    CdrOfInstance,
    DefenceOfInstance,
    EventsHelper,
    Good,
    JournalHelper,
    MirrorOfRedis,
    Worker,
    unpacked,
    wanted_helpers,
)
from siphon.cli.scratch import ScriptFault, prove, try_script
from siphon.cli.tables import open_tables
from siphon.cli.watch import ScriptWatch
from siphon.config import reload
from siphon.config.errors import ConfigurationError
from siphon.config.load import load
from siphon.config.log import Log
from siphon.config.settings import MAX_WORKERS, Settings
from siphon.config.version import VERSION
from siphon.engine.application import Engine
from siphon.engine.cdr_writer import NAME as CDR
from siphon.engine.changes import KIND as ON_CHANGE
from siphon.engine.changes import Changes
from siphon.engine.defence import NAME as DEFENCE
from siphon.engine.far import leave
from siphon.engine.journal import Journal, keeps_journal
from siphon.engine.mirror import MirrorHelper
from siphon.engine.shared import Shared
from siphon.engine.wakes import Wake, Wakes
from siphon.script.sources import Sources
from siphon.services.location.mirror_state import MirrorState
from workers.adoption import free_places
from workers.application import Flag
from workers.kept import from_manager, name_of, sort
from workers.notify import Notifier
from workers.options import Limits, Progress, Succession
from workers.predecessor import Predecessor
from workers.scratch import Refused
from workers.sockets import open_listeners
from workers.steering import steer
from workers.supervisor import Extra, Options, Supervisor


def serve(
    path: Path,
    settings: Settings,
    fresh: bool = False,
    workers: int | None = None,
    predecessor: Predecessor | None = None,
) -> int:
    """Runs until it is told to stop; the exit status. Raises Refusal. `predecessor` hands over to this one."""
    return Instance(path, settings, make_log(settings), fresh, workers, predecessor).run()


def make_log(settings: Settings) -> Log:
    try:
        return Log(settings.log.level, settings.log.format, settings.log.file)
    except OSError as error:
        what = f"log.file: cannot open {settings.log.file}: {directory.reason(error)}"
        raise Refusal(Exit.CONFIGURATION, what) from None


class Instance:
    """The supervisor's side. `tells_changes`: this script, or one before it, has handlers of registrar.on_change."""

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
        self.workers = workers
        self.notifier = Notifier()
        self.predecessor = predecessor
        self.kept = predecessor.kept if predecessor else from_manager(os.environ, self.warn_of_kept)
        self.first_slot, self.last_slot = 0, SLOTS - 1
        self.given = False
        """The next siphond is the instance."""
        self.helpers = wanted_helpers(settings)
        self.limits = Limits()
        self.limit(settings)
        self.reloads = Progress()

    def run(self) -> int:
        """See serve()."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the supervisor takes it: all is read anyway
        for problem in self.settings.warnings:
            self.log.warn(f"configuration: {problem}")
        sources = self.require_script()
        with ExitStack() as stack:
            with directory.what_the_system_gives():
                supervisor = self.prepare(stack, sources)
            self.log.info(
                "starting", version=VERSION, pid=os.getpid(), configuration=self.path, shared=self.settings.shared.path
            )
            status = supervisor.run()
            if not self.given:
                self.bindings.end()
                self.leave()
            self.log.info("stopped", status=status)
        return status

    def prepare(self, stack: ExitStack, sources: Sources) -> Supervisor:
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
        shared.slots.script_version += 1
        self.base = self.latest = Good(self.settings, shared.slots.script_version, sources)
        if not self.predecessor:
            self.note_reload(Progress())
        return Supervisor(listeners, shared.slots, self.make_application, self.options())

    def leave(self) -> None:
        """Whoever shares our transactions need not wait until our lease runs out."""
        if self.settings.shared.transactions != "shm":
            asyncio.run(leave(self.settings, self.shared.node_token))

    def require_script(self) -> Sources:
        try:
            proved = try_script(self.settings)
        except ScriptFault as fault:
            self.log.error(f"script.failed {fault.line}")
            if fault.traceback:
                self.log.at("error", "script.traceback", traceback=fault.traceback)
            raise Refusal(Exit.CONFIGURATION, fault.line) from None
        for warning in proved.warnings:
            self.log.warn(f"script: {warning}")
        self.tells_changes = ON_CHANGE in proved.kinds
        return proved.sources

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
            self.bindings = Bindings(settings, shared, self.log, self.tells_changes)
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
        self.note_reload(self.reloads)

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
            "helpers": ["timer", *(extra.name if extra.wanted() else "" for extra in self.extras())],
            "first_slot": self.first_slot,
            "last_slot": self.last_slot,
            "upgrade_secs": self.limits.upgrade_secs,
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
        places = free_places(self.predecessor.slots, SLOTS, width, 1 + len(self.extras()))
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

    def make_application(self) -> Engine:
        """In a new process: what held before the last reload, which is sent to it afterwards. So it has both versions
        of the script, as its siblings do, from the sources that were proved and whatever lies on disk now."""
        good = self.base
        self.read_secret()
        return Worker(good.settings, self.shared, self.log, good.version, good.sources)

    def make_events(self) -> Changes:
        """As make_application, for the helper that runs on_change."""
        good = self.base
        self.read_secret()
        return EventsHelper(good.settings, self.shared, self.log, good.version, good.sources)

    def make_mirror(self) -> MirrorHelper:
        """As make_application, for the helper that mirrors Redis."""
        self.read_secret()
        return MirrorOfRedis(self.base.settings, self.shared, self.log)

    def read_secret(self) -> None:
        """In a new process: the secret may have changed while the nodes of a Redis came to agree."""
        if self.shared.mirror is not None:
            self.shared.secret = directory.instance_secret(self.settings.server.state_dir)

    def make_journal(self) -> Journal:
        """As make_application, for the helper that keeps the journal."""
        return JournalHelper(self.base.settings, self.shared, self.log)

    def make_admin(self) -> AdminOfInstance:
        """As make_application, for the helper that serves HTTP."""
        self.read_secret()
        made = AdminOfInstance(self.base.settings, self.shared, self.log)
        made.tells_changes = self.tells_changes
        return made

    def make_cdr(self) -> CdrOfInstance:
        """As make_application, for the helper that writes call detail records."""
        self.read_secret()
        return CdrOfInstance(self.base.settings, self.shared, self.log)

    def make_defence(self) -> DefenceOfInstance:
        """As make_application, for the helper that shares, fetches and hands on bans."""
        self.read_secret()
        return DefenceOfInstance(self.base.settings, self.shared, self.log)

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

    def accept(self, payload: bytes) -> None:
        """After a reload, in the supervisor."""
        self.base, self.latest = self.latest, unpacked(payload)
        tells_changes = self.tells_changes or ON_CHANGE in reload.kinds_of(payload)
        helpers = self.helpers | wanted_helpers(self.latest.settings)
        upgrade_secs = self.limits.upgrade_secs
        self.limit(self.latest.settings)
        if (tells_changes, helpers, upgrade_secs) != (self.tells_changes, self.helpers, self.limits.upgrade_secs):
            self.tells_changes, self.helpers = tells_changes, helpers
            self.describe()
        self.log.follow(self.latest.settings.log)

    def limit(self, settings: Settings) -> None:
        """What the supervisor waits at most."""
        self.limits.drain_secs = settings.server.drain_secs
        self.limits.handler_stall_abort_secs = settings.script.handler_stall_abort_secs
        self.limits.upgrade_secs = settings.server.upgrade_secs

    def note_reload(self, progress: Progress) -> None:
        """For siphonctl, which has asked or may ask for one."""
        self.reloads = progress
        facts = {"pid": os.getpid(), "script_version": self.latest.version, **asdict(progress)}
        try:
            directory.write_note(self.settings.shared.path, directory.RELOADS, facts)
        except OSError as error:
            self.log.error("reload.not_noted", error=directory.reason(error))

    def options(self) -> Options:
        settings = self.settings
        return Options(
            count=settings.workers.count,
            slot_count=SLOTS,
            limits=self.limits,
            extras=self.extras(),
            keep_stale=is_response,
            has_work=lambda slot: bool(self.shared.transactions.owned(slot)),
            validate=self.validate,
            accepted=self.accept,
            reloading=self.note_reload,
            idle=Idle(Table.view(settings.shared.path / TRANSACTIONS)),
            notifier=self.notifier,
            first_slot=self.first_slot,
            last_slot=self.last_slot,
            predecessor=self.predecessor,
            succeeded=lambda: self.give_to_manager(self.opened, []),
            succession=self.succession(),
            log=self.note,
        )

    def extras(self) -> list[Extra]:
        """Helpers beside the one for timers. Their order is that of their slots, so what may come later is the last."""
        keepers = []
        if self.shared.mirror is not None:
            keepers = [Extra("mirror", self.make_mirror)]
        elif keeps_journal(self.settings):
            keepers = [Extra("journal", self.make_journal)]
        events = Extra("events", self.make_events, lambda: self.tells_changes)
        later = ((ADMIN, self.make_admin), (CDR, self.make_cdr), (DEFENCE, self.make_defence))
        return [*keepers, events, *(Extra(name, make, self.whether_wanted(name)) for name, make in later)]

    def whether_wanted(self, name: str) -> Callable[[], bool]:
        """What tells whether these settings, or any since the start, need the helper of that name."""
        return lambda: name in self.helpers

    def note(self, level: str, event: str, **fields: object) -> None:
        """The log as the process model wants it. The supervisor has no loop that looks for the level: it does here."""
        apply_level(self.log, self.shared.slots)
        self.log.at(level, event, **fields)

    def require_log(self, fresh: Settings) -> None:
        """Refused where the log of a reload cannot be opened."""
        try:
            make_log(fresh)
        except Refusal as refusal:
            raise Refused(f"{self.path}: {refusal}") from None

    def validate(self) -> bytes:
        """Runs in a scratch process: what all processes are to switch to. The text of an exception goes to the log."""
        apply_level(self.log, self.shared.slots)
        try:
            fresh = with_workers(load(self.path), self.workers)
        except ConfigurationError as error:
            raise Refused(str(error)) from None
        self.require_log(fresh)
        fixed = reload.fixed_changes(self.settings, fresh)
        if fixed:
            raise Refused(f"{self.path}: {succession.needed(self.settings, fresh, fixed)}")
        script = fresh.script
        ScriptWatch(script.path, script.include_paths, self.settings.shared.path).note_read(os.getppid())
        try:
            proved = prove(fresh, self.log)
        except ScriptFault as fault:
            if fault.traceback:
                self.log.at("error", "script.traceback", traceback=fault.traceback)
            raise Refused(fault.line) from None
        for problem in fresh.warnings:
            self.log.warn(f"configuration: {problem}")
        late = reload.late_changes(self.settings, fresh)
        if late:
            self.log.warn(f"configuration: {self.path}: counts from the next start or upgrade: {', '.join(late)}")
        for warning in proved.warnings:
            self.log.warn(f"script: {warning}")
        version = max(self.latest.version, self.shared.slots.script_version) + 1
        return reload.pack(fresh, version, proved.sources, proved.kinds)


def is_response(datagram: bytes) -> bool:
    """A response is served however long it waited in a socket: its sender may not repeat it. A request that waited
    longer than its sender does is dropped."""
    return datagram.startswith(b"SIP/2.0 ")
