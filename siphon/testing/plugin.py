"""The pytest plugin that comes with siphond: a fixture that loads routing scripts into the real engine.

    def test_busy(siphond):
        server = siphond("routing.py")
        ...

A path is looked for from where pytest runs, then beside the test. A test that has passed although its script has raised
an exception is a failure at its end, unless it has taken the errors (`server.take_errors()`). Below a failure the flow
of messages is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pydantic import ValidationError

    from siphon.config.errors import ConfigurationError
    from siphon.testing.kit import Server

SERVERS = pytest.StashKey["list[Server]"]()


@pytest.fixture
def siphond(request: pytest.FixtureRequest) -> Generator[Callable[..., Server], None, None]:
    """`siphond(script, config=None, workers=2, **settings)` makes a siphon.testing.Server, closed after the test."""
    from pydantic import ValidationError

    from siphon.script.loader import ScriptLoadError
    from siphon.testing.kit import Server

    servers = request.node.stash.setdefault(SERVERS, [])
    beside = request.path.parent

    def start(script: str | Path | None = None, config: str | Path | None = None, **options: Any) -> Server:
        __tracebackhide__ = True  # what is wrong is in the test or its script, and no line of ours says more
        try:
            made = Server(_found(script, beside), _found(config, beside), **options)
        except ScriptLoadError as error:
            if error.traceback:
                error.add_note(error.traceback.rstrip())
            raise error.with_traceback(None) from None
        except ValidationError as error:
            raise _explained(error, options) from None
        servers.append(made)
        return made

    yield start
    faults = [fault for server in servers for fault in server.faults()]
    for server in servers:
        server.close()
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def _explained(error: ValidationError, settings: dict[str, Any]) -> ConfigurationError:
    """Keywords that are no settings, as --check tells them."""
    from siphon.config import explain
    from siphon.config.errors import ConfigurationError, Problem
    from siphon.config.registry import show

    found = explain.findings(error, settings)
    return ConfigurationError([Problem("siphond()", None, show(path), what, near) for path, what, near in found])


def _found(name: str | Path | None, beside: Path) -> str | Path | None:
    """The path from here, else from beside the test; text of a script as it is."""
    if name is None or (isinstance(name, str) and "\n" in name) or Path(name).exists():
        return name
    return beside / name if (beside / name).exists() else name


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Puts the flow of messages below a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in item.stash.get(SERVERS, []):
            report.sections.append(("messages", str(server.world.flow)))
