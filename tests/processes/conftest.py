"""Fixtures of the tests on real processes and sockets."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from death import SCRIPT, Victim
from lineage import Lineage
from proxy_process import Siphond
from service_manager import Manager
from side_by_side import SERVERS, SideBySide, is_scenario
from sipp_runner import SippRunner
from sleeper import Sleeper
from udp_agent import Address, Agent

SCENARIOS = pytest.StashKey[SideBySide]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is a coroutine runs against each of the siphonds of side_by_side, or those that `servers` names."""
    if inspect.iscoroutinefunction(metafunc.function):
        mark = metafunc.definition.get_closest_marker("servers")
        metafunc.parametrize("stage", mark.args if mark else list(SERVERS))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """The first coroutine runs them all, side by side; each reports what came of it."""
    if not is_scenario(pyfuncitem):
        return None
    session = pyfuncitem.session
    scenarios = session.stash.setdefault(SCENARIOS, SideBySide(session.items))
    if (error := scenarios.outcome(pyfuncitem)) is not None:
        raise error
    return True


@pytest.fixture
def siphond(tmp_path: Path) -> Iterator[Callable[..., Siphond]]:
    """Makes siphonds, `siphond(workers=2, ...)`, not started; all are stopped and their logs judged afterwards."""
    with ExitStack() as stack:

        def make(**options: Any) -> Siphond:
            directory = tmp_path / f"siphond-{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            made = Siphond(directory, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def lineage(siphond: Callable[..., Siphond]) -> Iterator[Callable[..., Lineage]]:
    """Makes siphonds that may be upgraded, `lineage(workers=2, ...)`, not started."""
    with ExitStack() as stack:

        def make(**options: Any) -> Lineage:
            made = Lineage(siphond(**options))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def proxy(siphond: Callable[..., Siphond]) -> Siphond:
    """The recipe on four workers, ready."""
    return siphond(workers=4).start()


@pytest.fixture
def agent() -> Iterator[Callable[..., Agent]]:
    """Makes user agents, `agent(address, "bob")`."""
    with ExitStack() as stack:

        def make(proxy: Address | Siphond, user: str, **options: Any) -> Agent:
            address = proxy.address if isinstance(proxy, Siphond) else proxy
            return stack.enter_context(Agent(address, user, **options))

        yield make


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A service manager with a store of descriptors, which all siphonds of the test speak to."""
    made = Manager(tmp_path / "manager")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "manager"))
    yield made
    made.close()


@pytest.fixture
def sipp(tmp_path: Path) -> Iterator[SippRunner]:
    directory = tmp_path / "sipp"
    directory.mkdir()
    runner = SippRunner(directory)
    yield runner
    runner.close()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    """Says what a loaded machine excuses."""
    made = Sleeper(tmp_path / "stalls")
    yield made
    made.close()


@pytest.fixture
def make(siphond: Callable[..., Siphond], tmp_path: Path) -> Callable[..., Victim]:
    """Makes siphonds whose workers are to be killed, `make(more=...)`, started."""

    def made(**options: Any) -> Victim:
        place = tmp_path / "traps"
        place.mkdir(exist_ok=True)
        script = SCRIPT.replace("{place}", str(place))
        return Victim(siphond(**{"workers": 3, "script": script} | options).start(), place)

    return made


@pytest.fixture
def victim(make: Callable[..., Victim]) -> Victim:
    return make()


@pytest.fixture
def phones(victim: Victim, agent: Callable[..., Agent]) -> Callable[[], tuple[Agent, Agent]]:
    """Makes alice and bob, anew at each call."""
    return lambda: (agent(victim.siphond, "alice"), agent(victim.siphond, "bob"))
