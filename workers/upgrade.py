"""The old siphond's side of a hand-over (handover.py says what the two say to each other).

    STARTING   the next one is on its way; this one serves as if nothing were
    TAKING     it serves and is to say that it is the instance
    FINISHING  it is; the processes of this one end as soon as they have nothing in progress, `drain_secs` at most
    CLEARING   it has failed or died: its processes go, what they have begun is taken over, this one serves on

The next one is a child. Until it has taken over, this one is what the service manager knows; only its last word is
MAINPID. If the next one dies before that, this one takes everything back.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from enum import Enum

from workers.application import Flag, SlotTable
from workers.children import Children
from workers.control import Closed, Message
from workers.ending import STOP_SECS
from workers.handover import VARIABLE, Link, Word
from workers.kept import VARIABLES, name_of
from workers.options import Options, Progress, Succession
from workers.predecessor import is_gone

NOT_FOR_THE_NEXT = (*VARIABLES, "WATCHDOG_PID")
RUNS_ALREADY = "an upgrade runs already"


class Phase(Enum):
    NONE = "none"
    STARTING = "starting"
    TAKING = "taking"
    FINISHING = "finishing"
    CLEARING = "clearing"


class Upgrade:
    """Followed once a tick on the supervisor's monotonic clock."""

    def __init__(
        self,
        children: Children,
        slots: SlotTable,
        listeners: Sequence[Sequence[socket.socket]],
        options: Options,
        selector: selectors.BaseSelector,
    ) -> None:
        self.children = children
        self.slots = slots
        self.listeners = listeners
        self.options = options
        self.selector = selector
        self.log = options.log
        self.phase = Phase.NONE
        self.progress = Progress()
        self.process: subprocess.Popen[bytes] | None = None
        self.link: Link | None = None
        self.deadline = 0.0
        self.stopping = False
        """The next one has been told to stop, so its end is no failure."""
        self.told_alone = False
        self.theirs: set[int] = set()
        """Slots that processes of the next one have been seen in: it may have left them itself before it ended."""
        self.over = False
        """Nothing is left to do here."""

    @property
    def runs(self) -> bool:
        return self.phase is not Phase.NONE

    @property
    def has_given(self) -> bool:
        """The next one is the instance."""
        return self.phase is Phase.FINISHING

    # The beginning.

    def start(self, now: float) -> None:
        succession = self.options.succession
        if self.runs:
            self.log("warning", RUNS_ALREADY)
        elif succession is None:
            self.refuse("this siphond cannot hand over")
        elif not self.children.announced:
            self.refuse("siphond is starting")
        else:
            self.report(Progress(self.progress.begun + 1, self.progress.ended))
            self.phase, self.deadline = Phase.STARTING, now + self.options.limits.upgrade_secs
            self.theirs.clear()
            self.launch(succession)

    def refuse(self, why: str) -> None:
        """Instead of start()."""
        self.log("error", "upgrade refused, nothing has changed", error=why)
        if not self.runs:
            self.report(Progress(self.progress.begun + 1, self.progress.begun + 1, why))

    def launch(self, succession: Succession) -> None:
        self.link, theirs = Link.pair()
        line = list(succession.command())
        environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_THE_NEXT}
        environment[VARIABLE] = str(theirs.fileno())
        sockets = {name_of(sock, place): sock.fileno() for group in self.listeners for place, sock in enumerate(group)}
        facts = {**succession.facts(), "pid": os.getpid(), "slots": self.children.slots_in_use}
        try:
            # All that it must know lies in the channel before it runs: it goes on whenever this one is killed.
            if not self.link.give(facts, succession.descriptors(), sockets):
                self.fail("what the next siphond must know does not fit into a socket")
                return
            self.process = subprocess.Popen(line, env=environment, pass_fds=[theirs.fileno()])
        except (OSError, ValueError) as error:
            self.fail(f"cannot execute {line[0]}: {error}")
            return
        finally:
            theirs.close()
        self.log("info", "upgrade: the next siphond starts", pid=self.process.pid, command=line[0])
        self.selector.register(self.link, selectors.EVENT_READ, self.hear)

    def report(self, progress: Progress) -> None:
        self.progress = progress
        if self.options.succession is not None:
            self.options.succession.report(progress)

    # What the next one says.

    def hear(self) -> None:
        assert self.link is not None
        try:
            said = self.link.hear()
        except (Closed, ValueError):
            if self.process is None or self.process.poll() is None:
                self.drop_link()  # it will end, or is silent until the limit
            self.reap()
            return
        if said is None:
            return
        if said.word is Word.REFUSED and self.phase in (Phase.STARTING, Phase.TAKING):
            self.fail(str(said.facts.get("error")))
        elif said.word is Word.READY and self.phase is Phase.STARTING:
            self.phase = Phase.TAKING
            self.link.say(Word.YOURS)
        elif said.word is Word.TOOK and self.phase is Phase.TAKING:
            self.give()

    def give(self) -> None:
        succession, process = self.options.succession, self.process
        assert succession is not None
        assert process is not None
        self.phase = Phase.FINISHING
        self.deadline = time.monotonic() + self.options.limits.drain_secs
        succession.given()
        self.report(Progress(self.progress.begun, self.progress.begun))
        self.log("info", "upgrade: the next siphond serves", pid=process.pid)
        self.children.finish()

    def drop_link(self) -> None:
        if self.link is not None:
            if self.link in {key.fileobj for key in self.selector.get_map().values()}:
                self.selector.unregister(self.link)
            self.link.close()
            self.link = None

    def reap(self) -> None:
        if self.process is None or (status := self.process.poll()) is None:
            return
        if self.phase in (Phase.STARTING, Phase.TAKING):
            self.fail(self.last_words() or f"the next siphond ended with {cause(status)}; what it wrote says why")
        elif self.phase is Phase.FINISHING:
            self.take_back(cause(status))

    def last_words(self) -> str:
        """It may have said why, just before."""
        try:
            while self.link is not None and (said := self.link.hear()) is not None:
                if said.word is Word.REFUSED:
                    return str(said.facts.get("error"))
        except (Closed, ValueError):
            pass
        return ""

    # Each tick.

    def follow(self, now: float) -> None:
        if self.runs:
            self.theirs.update(self.others())
        if self.phase in (Phase.STARTING, Phase.TAKING) and now > self.deadline:
            self.fail(f"the next siphond does not serve within {self.options.limits.upgrade_secs:g} s")
        elif self.phase is Phase.FINISHING:
            self.go_on_finishing(now)
        elif self.phase is Phase.CLEARING:
            self.go_on_clearing()

    def go_on_finishing(self, now: float) -> None:
        living = [child for child in self.children if child.pid]
        if not self.told_alone and not any(child.slot in self.children.extra_slots for child in living):
            self.told_alone = True
            if self.link is not None:
                self.link.say(Word.ALONE)
        if now > self.deadline + STOP_SECS:
            self.children.kill()
        elif now > self.deadline:
            for child in living:
                child.tell(Message.STOP)
        if not living and not self.stopping:
            assert self.process is not None
            self.options.notifier.handed_to(self.process.pid)
            self.over = True

    def go_on_clearing(self) -> None:
        """Its processes die with it, a moment later."""
        living = False
        for slot in self.others():
            if is_gone(self.slots.read(slot).pid):
                self.slots.leave(slot)
            else:
                living = True
        if not living:
            self.phase = Phase.NONE
            self.children.look_after(self.theirs)

    def others(self) -> list[int]:
        """Slots with processes of somebody else: of the next one."""
        mine = self.children.slots_in_use
        return [slot for slot in range(self.options.slot_count) if slot not in mine and self.slots.read(slot).pid]

    # Failure.

    def fail(self, why: str) -> None:
        """The next one goes, this one goes on."""
        self.log("error", "upgrade failed, this siphond goes on", error=why)
        self.clear()
        self.report(Progress(self.progress.begun, self.progress.begun, why))

    def take_back(self, why: str) -> None:
        """It served already, and has died."""
        if self.stopping:
            self.over = True
            return
        self.log("error", "the next siphond has died, this one serves again", cause=why)
        self.clear()
        self.children.serve_again()

    def clear(self) -> None:
        """The link is dropped last: who hears of it while it lives takes this one for dead."""
        self.theirs.update(self.others())
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.drop_link()
        self.process = None
        self.told_alone = False
        self.phase = Phase.CLEARING
        self.slots.lower_flags(Flag.DRAINING)
        if self.options.succession is not None:
            self.options.succession.taken_back()

    def abort(self) -> None:
        """This one is told to stop before the next one has taken over."""
        if self.phase in (Phase.STARTING, Phase.TAKING):
            self.fail("siphond was told to stop")

    def forward(self, number: int) -> None:
        """A signal that is meant for who serves."""
        assert self.process is not None
        self.stopping = self.stopping or number in (signal.SIGTERM, signal.SIGINT)
        self.process.send_signal(number)

    def forget(self) -> None:
        """After fork."""
        if self.link is not None:
            self.link.close()


def cause(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
