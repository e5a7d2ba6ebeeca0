"""Fixtures of the tests on real processes and sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from proxy_process import Siphond
from sipp_runner import SippRunner
from udp_agent import Address, Agent


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
def sipp(tmp_path: Path) -> Iterator[SippRunner]:
    directory = tmp_path / "sipp"
    directory.mkdir()
    runner = SippRunner(directory)
    yield runner
    runner.close()
