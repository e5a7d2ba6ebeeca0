"""The stepped asyncio loop, without a worker around it."""

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest

from workers.aio import Stepper
from workers.net import boottime


@pytest.fixture
def stepper() -> Iterator[Stepper]:
    made = Stepper()
    yield made
    made.close()
    asyncio.set_event_loop(None)


def drive(stepper: Stepper, task: "asyncio.Task[object]", secs: float = 60.0) -> int:
    """Steps as a worker does, until the task is done; the number of steps."""
    deadline, steps = boottime() + secs, 0
    with select.epoll() as epoll:
        epoll.register(stepper.fileno(), select.EPOLLIN)
        while not task.done():
            assert boottime() < deadline
            when = stepper.next_when()
            timeout = -1.0 if when is None else max(0.0, when - boottime())
            if epoll.poll(timeout) or stepper.is_due(boottime()):
                stepper.step()
                steps += 1
    return steps


def test_an_idle_loop_wants_nothing(stepper: Stepper) -> None:
    assert stepper.next_when() is None
    assert not stepper.step_if_due(boottime())


def test_a_callback_makes_it_due_at_once_and_a_timer_at_its_time(stepper: Stepper) -> None:
    called: list[str] = []
    before = boottime()
    stepper.loop.call_soon(called.append, "soon")
    timer = stepper.loop.call_later(60.0, called.append, "later")
    assert stepper.next_when() == 0.0
    assert stepper.step_if_due(boottime())
    assert called == ["soon"]
    assert stepper.next_when() == timer.when()
    assert before + 59.9 < timer.when() < boottime() + 60.1
    assert not stepper.step_if_due(boottime())


def test_sleeps_and_futures_run_in_few_steps(stepper: Stepper) -> None:
    async def job() -> str:
        await asyncio.sleep(0.02)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, future.set_result, "done")
        return str(await future)

    task: asyncio.Task[object] = stepper.loop.create_task(job())
    assert drive(stepper, task) < 12
    assert task.result() == "done"


def test_a_readable_socket_makes_the_descriptor_readable(stepper: Stepper) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        task: asyncio.Task[object] = stepper.loop.create_task(stepper.loop.sock_recv(ours, 10))
        stepper.step()
        assert stepper.next_when() is None
        theirs.send(b"hello")
        drive(stepper, task)
        assert task.result() == b"hello"


def test_a_call_from_another_thread_wakes_it(stepper: Stepper) -> None:
    async def job() -> int:
        return await asyncio.to_thread(lambda: 7)

    task: asyncio.Task[object] = stepper.loop.create_task(job())
    drive(stepper, task)
    assert task.result() == 7
    stepper.loop.run_until_complete(stepper.loop.shutdown_default_executor())


def test_a_coroutine_can_be_driven_outside_a_step(stepper: Stepper) -> None:
    async def handler() -> bool:
        return asyncio.get_running_loop() is stepper.loop

    coroutine = handler()
    with stepper.running(), pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    assert finished.value.value is True
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
