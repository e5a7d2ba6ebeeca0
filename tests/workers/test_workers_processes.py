"""A supervisor, its workers and the helper as real processes around a small echo application."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from free_ports import free_port
from worker_fakes import SLOTS, Echo, FakeSlots, Instance, is_running, title_of, until, wait_for

from workers import ending
from workers.application import Counter, Flag, WorkerContext
from workers.children import BACK_OFF_SECS
from workers.net import boottime
from workers.notify import Notifier
from workers.sockets import AddressInUse, open_listeners

Start = Callable[..., Instance]


def worker_of(answer: str) -> int:
    found = re.search(r"worker=(\d+)", answer)
    assert found, answer
    return int(found[1])


def descendants(instance: Instance) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{instance.pid}/task/{instance.pid}/children").read_text().split()]


def test_every_process_has_its_title(start: Start) -> None:
    instance = start(count=2)
    assert title_of(instance.pid) == "siphond: supervisor"
    titles = [title_of(pid) for pid in descendants(instance)]
    assert titles == ["siphond: worker 1/2", "siphond: worker 2/2", "siphond: helper timer"]


@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_every_worker_serves_its_own_socket(start: Start, steering: str) -> None:
    instance = start(count=3, steering=steering)
    ask = instance.ask_from_new_port if steering == "flow" else instance.ask

    def is_settled() -> bool:  # a worker that starts is served by its sibling until it beats
        answers = [ask("hi") for _ in range(60)]
        own = all(re.search(r"worker=(\d) socket=\1", answer) for answer in answers)
        return own and {worker_of(answer) for answer in answers} == {0, 1, 2}

    until(is_settled, "answers from all workers by their own sockets")


def test_a_second_instance_on_the_same_address_is_refused(start: Start) -> None:
    instance = start()
    with pytest.raises(AddressInUse) as caught:
        open_listeners([("127.0.0.1", instance.address[1], None)], 2)
    assert caught.value.pid in [instance.pid, *descendants(instance)]


def test_datagrams_queued_in_the_socket_of_a_killed_worker_are_served(start: Start) -> None:
    instance = start(count=1)
    (pid,) = instance.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    for number in range(20):
        instance.client.send(b"queued%d" % number)
    os.kill(pid, signal.SIGKILL)
    answers = {instance.client.recv(200).decode().split()[0] for _ in range(20)}
    assert answers == {f"queued{number}" for number in range(20)}


def test_a_killed_worker_is_back_in_its_slot_at_once_with_a_new_generation(start: Start) -> None:
    instance = start(count=2)
    took = []
    for slot, deaths in ((0, 1), (1, 1), (0, 2), (1, 2)):  # the third early one is backed off
        generation, killed_at = instance.slots.read(slot).generation, time.monotonic()
        pid = instance.kill(slot)
        until(lambda slot=slot, pid=pid: instance.slots.read(slot).pid not in (0, pid), "new worker")  # type: ignore[misc]
        took.append(time.monotonic() - killed_at)
        assert instance.slots.read(slot).generation == generation + 1
        assert instance.slots.counter(slot, Counter.RESTARTS) == deaths
        instance.until_noted(f"worker {slot + 1}/2 runs again", times=deaths)
    assert min(took) < BACK_OFF_SECS, "about 10 ms on an idle machine"
    instance.until_served_by(0, new_port=True)


def test_many_kills_lose_no_datagram_that_was_not_read(start: Start) -> None:
    instance = start(count=2, steering="spread")
    for round_ in range(4):  # two each: the third early death of a worker is backed off
        instance.kill(round_ % 2)
        for number in range(20):
            word = f"r{round_}n{number}"
            assert instance.ask(word).split()[0] == word
        instance.until_noted("died", times=round_ + 1)


def test_the_socket_of_a_blocked_worker_is_served_by_a_sibling_until_it_beats_again(
    start: Start, tmp_path: Path
) -> None:
    instance = start(count=2, handler_stall_abort_secs=600.0)
    blocked = int(instance.ask(f"hold {tmp_path / 'go'}").split()[1])
    instance.until_noted(f"worker {1 - blocked} adopts {blocked}")
    instance.until_served_by(1 - blocked)  # the same peer, so the blocked worker's socket
    adoptions = instance.noted().count(f"worker {1 - blocked} adopts {blocked}")
    (tmp_path / "go").touch()
    instance.until_noted(f"worker {1 - blocked} releases {blocked}", times=adoptions)
    instance.until_served_by(blocked, new_port=True)
    assert instance.slots.counter(blocked, Counter.RESTARTS) == 0


def test_a_blocked_worker_that_dies_is_adopted_as_dead(start: Start, tmp_path: Path) -> None:
    class SlowStart(Echo):
        def started(self, context: WorkerContext) -> None:
            super().started(context)
            if context.generation > 1 and context.slot == 0:
                wait_for(tmp_path / "go")

    instance = start(count=2, make=SlowStart)
    instance.kill(0)
    instance.until_noted("worker 1 adopts 0")
    instance.until_served_by(1)
    instance.until_served_by(1, new_port=True)
    (tmp_path / "go").touch()
    instance.until_noted("worker 1 releases 0")


def test_the_helper_takes_the_deadlines_when_all_workers_are_blocked(start: Start, tmp_path: Path) -> None:
    instance = start(count=1, handler_stall_abort_secs=600.0)
    instance.ask(f"hold {tmp_path / 'go'}")
    instance.until_noted("worker 7 adopts 0 dead=False")
    (tmp_path / "go").touch()
    instance.until_noted("worker 7 releases 0")


def test_slots_of_an_earlier_run_with_more_workers_are_adopted_at_start(start: Start) -> None:
    slots = FakeSlots()
    for index in (3, 4):
        slots.enter(index, 1)
    instance = start(count=2, slots=slots)
    instance.until_noted("worker 0 adopts 3 dead=True")
    instance.until_noted("worker 1 adopts 4 dead=True")


def test_a_worker_stuck_outside_a_handler_writes_its_stack_and_is_replaced(start: Start) -> None:
    instance = start(count=2)
    blocked = int(instance.ask("block 60").split()[1])
    assert instance.until_number("is stuck: no heartbeat for ") >= 1.0
    instance.until_noted("cause=SIGABRT")
    assert "do_block" in instance.noted()
    until(lambda: instance.slots.read(blocked).generation == 2, "replacement")


def test_a_worker_that_computes_for_ever_is_stuck_too(start: Start) -> None:
    instance = start(count=2)
    instance.client.send(b"spin")
    assert instance.until_number("is stuck: no heartbeat for ") >= 1.0
    instance.until_noted("cause=SIGABRT")
    assert "do_spin" in instance.noted()


def test_a_worker_that_gets_no_processor_is_stood_in_for_and_lives(start: Start) -> None:
    """One of the lowest class beside others on its processor: it runs for some milliseconds in seconds."""
    instance = start(count=2)
    before = instance.worker_pids()
    processor = {min(os.sched_getaffinity(0))}
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for hog in hogs:
            os.sched_setaffinity(hog.pid, processor)
        os.sched_setscheduler(before[0], os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(before[0], processor)
        until_when = time.monotonic() + 4
        while time.monotonic() < until_when:
            assert instance.ask_from_new_port("hi").startswith("hi worker=")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert "worker 1 adopts 0 dead=False" in instance.noted()
    assert "is stuck" not in instance.noted()
    assert instance.worker_pids() == before


def test_a_handler_that_takes_too_long_is_ended(start: Start) -> None:
    instance = start(count=2, handler_stall_abort_secs=1.5)
    blocked = int(instance.ask("handle 60").split()[1])
    assert instance.until_number("a handler has not returned for ") >= 1.5
    instance.until_noted("cause=SIGABRT")
    until(lambda: instance.slots.read(blocked).in_handler_since == 0.0, "clean row")


def test_a_worker_that_is_stopped_inside_a_handler_is_ended_as_one_that_is_stopped_outside(start: Start) -> None:
    instance = start(count=2)
    blocked = int(instance.ask("handle 60").split()[1])
    until(lambda: instance.slots.read(blocked).in_handler_since, "the handler")
    os.kill(instance.worker_pids()[blocked], signal.SIGSTOP)
    assert instance.until_number("is stuck: stopped inside a handler for ") >= 1.0
    instance.until_noted("cause=SIGABRT")
    until(lambda: instance.slots.read(blocked).in_handler_since == 0.0, "clean row")


def test_a_stopped_worker_writes_its_stack_and_ends(start: Start) -> None:
    instance = start(count=2)
    blocked = int(instance.ask("block 0.2").split()[1])
    os.kill(instance.worker_pids()[blocked], signal.SIGSTOP)
    instance.until_noted("is stuck")
    instance.until_noted("cause=SIGABRT")


def test_a_stuck_worker_that_cannot_write_its_stack_is_killed(start: Start) -> None:
    instance = start(count=2)
    instance.ask("deafen 30")
    instance.until_noted("is stuck")
    instance.until_noted("cause=SIGKILL")


def test_a_critical_section_over_half_a_second_is_killed(start: Start) -> None:
    instance = start(count=2)
    instance.client.send(b"critical")
    assert instance.until_number("in a critical section for ") >= 0.5
    instance.until_noted("cause=SIGKILL")
    assert instance.ask("hi").startswith("hi worker=")


@pytest.mark.parametrize("kind", ["error", "exit"])
def test_an_exception_out_of_the_application_costs_one_datagram(start: Start, kind: str) -> None:
    instance = start(count=1)
    for text in ("one", *[f"raise {kind}"] * 20, "two"):
        instance.client.send(text.encode())
    assert {instance.client.recv(200).decode().split()[0] for _ in range(2)} == {"one", "two"}
    until(lambda: instance.slots.total(Counter.EXCEPTIONS) == 20, "count of exceptions")
    # One that follows within a second is only counted; a worker that was late has been stood in for, too.
    assert 1 <= instance.noted().count("exception out of the application") <= 5
    assert instance.slots.counter(0, Counter.RESTARTS) == 0


def test_deadlines_and_coroutines_run_in_the_loop(start: Start) -> None:
    instance = start(count=1)
    began = time.monotonic()
    assert instance.ask("arm 0.1") == "due 0123456789abcdef 7"
    assert time.monotonic() - began >= 0.1
    began = time.monotonic()
    assert instance.ask("async 0.1") == "slept"
    assert time.monotonic() - began >= 0.11


def test_prx_51_an_icmp_error_reaches_the_application(start: Start) -> None:
    instance = start(count=2)
    port = free_port()
    answer = instance.ask(f"send {port}")
    assert answer == f"unreachable {port} {errno.ECONNREFUSED}"


def test_shared_11_random_generators_differ_between_workers_and_generations(start: Start) -> None:
    instance = start(count=2, steering="spread")
    seen: dict[tuple[int, str], str] = {}
    for round_ in range(3):
        while not {0, 1} <= {worker for worker, _ in seen if _ == str(round_)}:
            worker, number = map(int, instance.ask("random").split())
            if worker in (0, 1):  # the helper answers while there is no worker
                seen[worker, str(round_)] = str(number)
        for slot in (0, 1):
            instance.kill(slot)
        instance.until_noted("died", times=2 * (round_ + 1))
    assert len(set(seen.values())) == len(seen) == 6


def test_kernel_drops_are_counted(start: Start) -> None:
    instance = start(count=1, rcvbuf=4096)
    for slot in (0, SLOTS - 1):  # the helper too, which would stand in for a worker that does not wake
        instance.kill(slot, signal.SIGSTOP)
    for _ in range(200):
        instance.client.send(b"x" * 1000)
    for slot in (0, SLOTS - 1):
        instance.kill(slot, signal.SIGCONT)
    instance.client.recv(2000)
    instance.client.send(b"the next tells of the drops")
    until(lambda: instance.slots.total(Counter.KERNEL_DROPS) > 100, "count of drops")
    drops = instance.slots.total(Counter.KERNEL_DROPS)
    until(lambda: instance.slots.total(Counter.DATAGRAMS) == 201 - drops, "count of the others")


def test_a_worker_that_runs_out_of_memory_ends_after_its_turn_and_is_replaced(start: Start) -> None:
    instance = start(count=1)
    (pid,) = instance.worker_pids()
    instance.client.send(b"raise memory")
    until(lambda: instance.worker_pids() not in ([pid], [0]), "the replacement")
    instance.until_served_by(0)
    assert "cause=out of memory" in instance.noted() and not is_running(pid)
    assert "exception out of the application" not in instance.noted(), "the supervisor says it"


def test_stale_datagrams_are_dropped_and_counted(start: Start) -> None:
    instance = start(count=1, stale_after=0.2, keep_stale=lambda data: data.startswith(b"keep"))
    (pid,) = instance.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    instance.client.send(b"old")
    instance.client.send(b"keep")
    sent_at = time.monotonic()
    until(lambda: time.monotonic() - sent_at > 0.3, "age")
    os.kill(pid, signal.SIGCONT)
    assert instance.client.recv(200).split()[0] == b"keep"
    until(lambda: instance.slots.counter(0, Counter.STALE_DROPS) == 1, "count")


def test_workers_obey_only_the_supervisor(start: Start) -> None:
    instance = start(count=2)
    pids = descendants(instance)
    for pid in pids:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(pid, number)
    for worker in (0, 1):
        instance.until_served_by(worker, new_port=True)
    assert descendants(instance) == pids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_every_process_with_status_0(
    start: Start, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "STOP_SECS", 60.0)  # who takes longer is killed and says nothing
    instance = start(count=2)
    pids = descendants(instance)
    instance.send_signal(number)
    assert instance.wait() == 0
    assert not any(is_running(pid) for pid in pids)
    assert instance.worker_pids() == [0, 0]
    assert instance.noted().count(" stops") == 3
    assert instance.slots.flags == 0


def test_a_worker_in_a_long_handler_does_not_delay_the_stop(start: Start) -> None:
    instance = start(count=2)
    instance.ask("handle 60")
    began = time.monotonic()
    instance.send_signal(signal.SIGINT)
    assert instance.wait() == 0
    assert time.monotonic() - began < 30


def test_term_drains_until_idle(start: Start, tmp_path: Path) -> None:
    instance = start(count=1, idle=(tmp_path / "idle").exists)
    assert instance.ask("draining") == "no"
    instance.send_signal(signal.SIGTERM)
    until(lambda: instance.slots.flags & Flag.DRAINING, "flag")
    assert instance.ask("draining") == "yes"
    os.kill(instance.worker_pids()[0], signal.SIGKILL)
    assert instance.ask("draining") == "yes"  # a worker that dies meanwhile is still replaced
    (tmp_path / "idle").touch()
    assert instance.wait() == 0


def test_term_drains_no_longer_than_drain_secs(start: Start) -> None:
    instance = start(count=1, idle=lambda: False, drain_secs=0.3)
    began = time.monotonic()
    instance.send_signal(signal.SIGTERM)
    assert instance.wait() == 0
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_drain_at_once(start: Start, second: signal.Signals) -> None:
    instance = start(count=1, idle=lambda: False, drain_secs=600.0)
    instance.send_signal(signal.SIGTERM)
    until(lambda: instance.slots.flags & Flag.DRAINING, "flag")
    instance.send_signal(second)
    assert instance.wait() == 0, "far before the drain would end by itself"


def test_hup_reloads_every_process_and_those_forked_later(start: Start, tmp_path: Path) -> None:
    source = tmp_path / "payload"
    source.write_bytes(b"second")
    instance = start(count=2, validate=source.read_bytes)
    assert instance.ask("version").split()[0] == "first"
    instance.send_signal(signal.SIGHUP)
    instance.until_noted(" reloads", times=3)
    assert {instance.ask_from_new_port("version").split()[0] for _ in range(30)} == {"second"}
    os.kill(instance.worker_pids()[0], signal.SIGKILL)
    instance.until_noted(" reloads", times=4)
    assert {instance.ask_from_new_port("version").split()[0] for _ in range(30)} == {"second"}


def test_a_reload_that_does_not_validate_changes_nothing(start: Start, tmp_path: Path) -> None:
    instance = start(count=2, validate=(tmp_path / "missing").read_bytes)
    instance.send_signal(signal.SIGHUP)
    instance.until_noted("reload refused, nothing has changed")
    assert instance.ask("version").split()[0] == "first"


def test_a_validation_that_kills_its_process_changes_nothing(start: Start) -> None:
    def suicide() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    instance = start(count=1, validate=suicide)
    instance.send_signal(signal.SIGHUP)
    instance.until_noted("error=the checking process died")
    assert instance.ask("version").split()[0] == "first"


def test_usr2_without_a_successor_is_refused_and_harmless(start: Start) -> None:
    instance = start(count=1)
    instance.send_signal(signal.SIGUSR2)
    instance.until_noted("this siphond cannot hand over")
    assert instance.ask("hi")


def test_orphans_end_with_the_supervisor_even_when_blocked(start: Start) -> None:
    instance = start(count=2)
    pids = descendants(instance)
    instance.ask("handle 60")
    instance.send_signal(signal.SIGKILL)
    until(lambda: not any(is_running(pid) for pid in pids), "end of the orphans", 30)  # half as long as the handler


def test_shared_24_a_worker_that_dies_at_every_start_is_backed_off(start: Start) -> None:
    class Doomed(Echo):
        def started(self, context: WorkerContext) -> None:
            super().started(context)
            if context.slot == 0 and context.generation > 1:
                os._exit(3)

    instance = start(count=2, make=Doomed)
    until(lambda: boottime() - started_at(instance) > 1.1, "a life that was not early")
    os.kill(instance.worker_pids()[0], signal.SIGKILL)

    def waits() -> list[float]:
        return [round(float(text), 3) for text in re.findall(r"cause=exit.*again_in=([0-9.]+)", instance.noted())]

    def in_a_row(wanted: list[float]) -> bool:
        found = waits()
        return any(found[at : at + len(wanted)] == wanted for at in range(len(found)))

    # From the beginning on, unless the machine has let one of them live for longer than an early death has.
    until(lambda: in_a_row([0.0, 0.0, 0.5, 1.0]), "ever longer waits")
    instance.until_served_by(1)  # the sibling serves both sockets meanwhile
    instance.until_served_by(1, new_port=True)


def started_at(instance: Instance) -> float:
    """When worker 1 started, on the clock of boottime()."""
    fields = Path(f"/proc/{instance.worker_pids()[0]}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def test_the_service_manager_is_told(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000000"})
        instance = start(count=1, notifier=notifier, validate=lambda: b"second")
        instance.send_signal(signal.SIGHUP)
        instance.until_noted("info reloaded")
        instance.send_signal(signal.SIGINT)
        assert instance.wait() == 0
        manager.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(manager.recv(200).decode().split("=")[0])
            except BlockingIOError:
                break
    assert heard == ["WATCHDOG", "READY", "RELOADING", "READY", "STOPPING"]
