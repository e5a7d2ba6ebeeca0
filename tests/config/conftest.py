import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from siphon.config.errors import ConfigurationError
from siphon.config.load import load
from siphon.config.settings import Settings

MINIMAL = """
[listen]
udp = ["127.0.0.1:5060"]
[domain]
local = ["example.com"]
[script]
path = "script.py"
[server]
state_dir = "state"
"""

FLAT = (
    'listen.udp = ["127.0.0.1:5060"]',
    'domain.local = ["example.com"]',
    'script.path = "script.py"',
    'server.state_dir = "state"',
)

Read = Callable[..., Settings]
Faults = Callable[..., list[str]]


def flat(text: str) -> str:
    """The text, and after it what is required and not in it, without tables."""
    return "\n".join([text, *(line for line in FLAT if line.split(" =")[0] not in text)]) + "\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Loads a text as siphon.cfg; `complete` puts what is required behind it."""

    def load_text(text: str, environ: Mapping[str, str] | None = None, complete: bool = True) -> Settings:
        path = tmp_path / "siphon.cfg"
        tables = any(line.startswith("[") for line in text.splitlines())
        path.write_text(text if not complete else text + MINIMAL if tables else flat(text))
        return load(path, environ or {})

    return load_text


@pytest.fixture
def faults(read: Read) -> Faults:
    """The faults of a text, without the directory in front of `siphon.cfg`."""

    def find(text: str, environ: Mapping[str, str] | None = None, complete: bool = True) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, environ, complete)
        return [re.sub(r"^\S*/siphon\.cfg:\s*", "", str(p)) for p in caught.value.problems]

    return find


@pytest.fixture
def warnings(read: Read) -> Faults:
    def find(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        return [re.sub(r"^\S*/siphon\.cfg:\s*", "", str(p)) for p in read(text, environ).warnings]

    return find
