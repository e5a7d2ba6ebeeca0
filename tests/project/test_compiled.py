"""The compiled modules: which they are, and that it is their compiled form that runs."""

import importlib
import importlib.machinery
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The hot path. A module that leaves this list is interpreted from then on: that is a decision, not an accident.
COMPILED = [
    "shm._expiry",
    "shm._identity",
    "shm._layout",
    "shm._looking",
    "shm._mapping",
    "shm._marks",
    "shm._slots",
    "shm._table",
    "siphon.engine._acks",
    "siphon.engine._answers",
    "siphon.engine._arrivals",
    "siphon.engine._attempts",
    "siphon.engine._changing",
    "siphon.engine._copies",
    "siphon.engine._gate",
    "siphon.engine._handlers",
    "siphon.engine._hashes",
    "siphon.engine._plain",
    "siphon.engine._random_bits",
    "siphon.engine._receiving",
    "siphon.engine._runs",
    "siphon.engine._soon",
    "siphon.forwarding._own_route",
    "siphon.forwarding._tokens",
    "siphon.script._actions",
    "siphon.script._binding",
    "siphon.script._contact",
    "siphon.script._fields",
    "siphon.script._lookup",
    "siphon.script._outcome",
    "siphon.script._requiring",
    "siphon.script._running",
    "siphon.script._saving",
    "siphon.script._uri",
    "siphon.services._merged",
    "siphon.services._rows",
    "siphon.services.dialogs._plain",
    "siphon.services.digest._md5",
    "siphon.services.digest._plain",
    "siphon.services.location._finding",
    "siphon.services.location._saves",
    "siphon.sip._blake",
    "siphon.sip._build_cy",
    "siphon.sip._grammar_cy",
    "siphon.sip._message_cy",
    "siphon.sip._scan_cy",
    "siphon.sip._sha256",
    "siphon.sip._shorter",
    "siphon.sip._splice_cy",
    "siphon.sip._top_via_cy",
    "siphon.sip._uri_cy",
    "siphon.state._codec",
    "siphon.state._deadlines",
    "siphon.state._record",
    "siphon.state._shm_store",
    "workers._handling_cy",
    "workers._net_cy",
    "workers._timers_cy",
    "workers._turn_cy",
]


def sources() -> list[Path]:
    found = [path for package in ("siphon", "workers", "shm") for path in (ROOT / package).rglob("*_cy.py")]
    return found + [path for package in ("siphon", "workers", "shm") for path in (ROOT / package).rglob("*.pyx")]


def test_the_list_of_compiled_modules_is_what_the_build_finds():
    assert sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources()) == COMPILED


@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_form_is_what_is_imported(name):
    loader = importlib.import_module(name).__spec__.loader
    assert isinstance(loader, importlib.machinery.ExtensionFileLoader)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_type_checkers_can_read_a_compiled_module(path):
    assert path.suffix == ".py" or path.with_suffix(".pyi").exists(), f"{path.name} needs a stub"


def test_the_build_compiles_what_it_finds_and_nothing_else_is_left_over():
    """A module whose source has gone would still be imported."""
    built = [path for package in ("siphon", "workers", "shm") for path in (ROOT / package).rglob("*.so")]
    left = [
        path.name
        for path in built
        if not {path.with_name(path.name.split(".")[0] + s) for s in (".py", ".pyx")} & set(sources())
    ]
    assert left == []
