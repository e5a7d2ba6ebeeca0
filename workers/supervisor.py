"""Forks the workers and the timer helper, watches them, restarts them, stops them. Never handles a datagram.

The supervisor keeps the sockets open, so a worker's queue outlives the worker. Every TICK (while nobody works, every
QUIET_TICK; after a second of that as calm.py says) it reads the slot table and lets each of its parts go a step
further: children.py forks and buries, hearts.py watches, reloading.py switches to what has been validated, upgrade.py
hands over to the next siphond, ending.py drains and stops. Signals arrive between two turns:

    TERM        drain: the DRAINING flag is set, workers stop when `idle()` is true or after `drain_secs`
    TERM again  stop at once, as INT; a worker that does not obey within STOP_SECS is killed. All state stays
    HUP         `validate()` runs in a scratch process; if it succeeds, its payload is sent to every process
    USR2        the next siphond is executed and gets sockets and shared memory; this one ends when that one serves
    CHLD        a process that died is forked again

Once the next one serves, TERM, INT, HUP and USR2 are passed on to it.
"""

import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from workers._turn_cy import wait_quietly
from workers.application import Application, Flag, SlotState, SlotTable
from workers.calm import Calm
from workers.children import Children
from workers.ending import Ending, State
from workers.hearts import Hearts
from workers.options import Extra, Options, log_to_stderr
from workers.process import set_title
from workers.reloading import STOPPING, Reload
from workers.signals import Signals
from workers.upgrade import Upgrade

__all__ = ["Extra", "Options", "Supervisor", "log_to_stderr"]

TICK = 0.025
QUIET_TICK = 2 * TICK
"""Not above BEAT_LIMIT: a worker that is found busy after it cannot have been silent for longer than allowed. After a
second of quiet CALM_TICK takes its place (calm.py): who is stuck by a deadline is seen that much later."""
QUIET_SECS = 1.0
PAUSE_SECS = 0.5
OWN_FLAGS = Flag.DRAINING | Flag.STARTING
"""Those that are raised and lowered here; the others are the application's."""


class Supervisor:
    """`listeners` is [listener][worker] from open_listeners(); `make_application` runs after each fork."""

    def __init__(
        self,
        listeners: Sequence[Sequence[socket.socket]],
        slots: SlotTable,
        make_application: Callable[[], Application],
        options: Options,
    ) -> None:
        self.slots = slots
        self.options = options
        self.log = options.log
        self.selector = selectors.EpollSelector()
        self.calm = Calm(self.selector.fileno(), (sock for group in listeners for sock in group), QUIET_TICK)
        self.children = Children(listeners, slots, make_application, options, self.selector, self.close_own)
        self.hearts = Hearts(self.children, slots, listeners, options.log)
        self.reload = Reload(self.children, options, self.close_after_fork)
        self.ending = Ending(self.children, slots, options)
        self.upgrade = Upgrade(self.children, slots, listeners, options, self.selector)
        self.upgrade_wanted = self.reload_wanted = False
        self.predecessor = options.predecessor
        self.next_watchdog = 0.0
        self.last_tick = self.last_look = 0.0
        self.quiet = self.undisturbed = False

    def run(self) -> int:
        """Returns 0 after a stop that was asked for. Runs in the main thread."""
        set_title(f"{self.options.program}: supervisor")
        self.clear_slots()
        self.signals = Signals(self.selector, self.obey)
        self.greet_predecessor()
        try:
            for child in self.children:
                self.children.spawn(child)
            while self.goes_on():
                self.turn()
        finally:
            self.upgrade.abort()
            self.children.bury_all()
            self.reload.close()
            if not self.upgrade.has_given:
                self.slots.lower_flags(OWN_FLAGS)
            self.calm.close()
            self.selector.close()
            self.signals.give_back()
        return 0

    def goes_on(self) -> bool:
        if self.upgrade.over:
            return False
        return any(child.pid for child in self.children) or self.ending.state is not State.STOPPING

    def clear_slots(self) -> None:
        """Whoever was in the table before is gone: the caller holds it exclusively, or with its predecessor."""
        others = self.predecessor.slots if self.predecessor else ()
        for index in range(self.options.slot_count):
            if index not in others and self.slots.read(index).pid:
                self.slots.leave(index)
        if self.predecessor is None:
            self.slots.lower_flags(OWN_FLAGS)
            self.slots.raise_flags(Flag.STARTING)

    def turn(self) -> None:
        if self.quiet:
            self.wait_quietly()
        for key, _ in self.selector.select(0 if self.quiet else TICK):
            key.data()
        self.tick(time.monotonic())

    def wait_quietly(self) -> None:
        """While nobody works, in compiled code: is that still so? Now and then the long look is due all the same."""
        until = self.last_tick + QUIET_SECS
        if self.options.notifier.watchdog_secs:
            until = min(until, self.next_watchdog)
        if self.undisturbed:
            pause = self.calm.wait(until, self.hearts.stirs)
        else:
            pause = wait_quietly(self.selector.fileno(), QUIET_TICK, until, self.hearts.stirs)
        now = time.monotonic()
        self.undisturbed = now >= until
        if pause <= PAUSE_SECS:
            self.last_look = now

    def tick(self, now: float) -> None:
        if now - self.last_look > PAUSE_SECS:
            self.hearts.forget_pause()
        self.last_tick = self.last_look = now
        self.children.respawn(now)
        states = self.hearts.look(now)
        self.reload.follow(now, may_go_on=self.ending.state is State.RUNNING)
        self.follow_upgrade(now)
        self.follow_predecessor()
        self.ending.follow(now)
        self.feed_watchdog(now)
        self.quiet = self.is_quiet(states)
        self.undisturbed = self.undisturbed and self.quiet

    def is_quiet(self, states: Mapping[int, SlotState]) -> bool:
        waited_for = self.ending.state is not State.RUNNING or self.reload.runs or self.upgrade.runs
        all_there = all(child.pid and child.ready and not child.condemned_at for child in self.children)
        busy = any(state.busy for state in states.values())
        return all_there and not waited_for and self.predecessor is None and not busy

    def obey(self, number: int) -> None:
        """One signal."""
        if number == signal.SIGCHLD:
            self.children.reap()
            self.reload.reap()
            self.upgrade.reap()
        elif self.upgrade.has_given:
            self.upgrade.forward(number)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self.upgrade.abort()
            drains = number == signal.SIGTERM and self.ending.state is State.RUNNING
            (self.ending.drain if drains else self.ending.stop)()
        elif number == signal.SIGHUP:
            if self.ending.state is State.RUNNING:
                self.start_reload()
            else:
                self.reload.refuse(STOPPING)
        elif number == signal.SIGUSR2:
            self.start_upgrade()

    # One siphond after the other.

    def start_reload(self) -> None:
        """During an upgrade later, here or in the next siphond, which may have read the files already."""
        if self.upgrade.runs:
            self.reload_wanted = True
        else:
            self.reload.start()

    def start_upgrade(self) -> None:
        if self.ending.state is not State.RUNNING:
            self.upgrade.refuse("siphond is about to stop")
        elif self.predecessor is not None:
            self.upgrade.refuse("the siphond before this one has not ended yet")
        elif self.reload.runs:
            self.upgrade_wanted = True
        else:
            self.upgrade.start(time.monotonic())

    def follow_upgrade(self, now: float) -> None:
        self.upgrade.follow(now)
        if self.upgrade_wanted and not self.reload.runs:
            self.upgrade_wanted = False
            self.start_upgrade()
        if self.reload_wanted and (self.upgrade.has_given or not self.upgrade.runs):
            self.reload_wanted = False
            if self.upgrade.has_given:
                self.upgrade.forward(signal.SIGHUP)
            elif self.ending.state is State.RUNNING:
                self.reload.start()
            else:
                self.reload.refuse(STOPPING)

    def greet_predecessor(self) -> None:
        if self.predecessor is not None:
            self.children.when_ready = self.predecessor.ready
            self.selector.register(self.predecessor.link, selectors.EVENT_READ, self.hear_predecessor)

    def hear_predecessor(self) -> None:
        predecessor = self.predecessor
        if predecessor is not None and not predecessor.hear():
            self.selector.unregister(predecessor.link)
            predecessor.link.close()
            if self.children.announced:
                predecessor.become()

    def follow_predecessor(self) -> None:
        predecessor = self.predecessor
        if predecessor is None:
            return
        gone = not predecessor.open and predecessor.bury(self.slots)
        if predecessor.alone and predecessor.took and not self.children.alone:
            self.children.alone = True
            self.children.hire()
        if gone and predecessor.took:
            self.predecessor = None
            self.options.notifier.ready()
            self.options.succeeded()

    def close_own(self) -> None:
        """In a child that is no process of the crew as well: what only the supervisor uses."""
        self.calm.close()
        self.selector.close()
        self.signals.close()
        self.reload.forget()
        self.upgrade.forget()
        if self.predecessor is not None:
            self.predecessor.link.close()

    def close_after_fork(self) -> None:
        self.children.close_channels()
        self.close_own()

    def feed_watchdog(self, now: float) -> None:
        if self.options.notifier.watchdog_secs and now >= self.next_watchdog:
            self.next_watchdog = now + self.options.notifier.watchdog_secs / 2
            self.options.notifier.watchdog()
