"""Imports point downwards only.

siphond is three packages: `siphon` uses `workers` and `shm`, which know neither siphon nor each other. Inside siphon
each folder may import those below it. Files in Python syntax are read by ast; a .pyx or .pxd by its import lines.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Uppermost first. `testing` lies beside cli: it may import everything, nothing imports it.
LAYERS = ["cli", "testing", "engine", "script", "services", "forwarding", "transaction", "state", "sip", "config"]

# Where the bytes of a message, the state tables and the forwarding rules live nothing else happens: what time it is,
# what a socket said and what chance drew are arguments.
PURE = ["sip", "forwarding", "transaction"]
IMPURE = {
    "asyncio",
    "random",
    "redis",
    "secrets",
    "select",
    "selectors",
    "shm",
    "socket",
    "threading",
    "time",
    "workers",
}

OFFERED = {
    *("proxy", "registrar", "auth", "log", "cache", "timer", "metrics", "sdp", "cdr", "gateway", "rtpengine"),
    *("Flow", "SipUri", "Contact", "Destination", "Request", "Reply"),
    *("b2bua", "diameter", "presence", "li", "registration", "sbi", "srs", "isc", "ipsec", "qos", "stir", "lcr"),
    "numbers",
}

MAY_USE = {
    "shm": {"cli", "engine", "services", "state", "testing"},
    "workers": {"cli", "engine", "state", "testing"},
}


def sources(package: str) -> list[Path]:
    found = [path for suffix in ("*.py", "*.pyx", "*.pxd", "*.pyi") for path in (ROOT / package).rglob(suffix)]
    assert found, f"{package} is empty"
    return sorted(found)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(path: Path, module: str, level: int) -> str:
    """`module` as written after `level` dots in the file `path`, from the root."""
    if not level:
        return module
    package = path.relative_to(ROOT).parts[:-1]
    return ".".join([*package[: len(package) - level + 1], *([module] if module else [])])


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of what the file imports; `from a import b` gives a.b, whether b is a module or not."""
    text = path.read_text()
    if path.suffix in (".py", ".pyi"):
        for node in ast.walk(ast.parse(text, str(path))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = absolute(path, node.module or "", node.level)
                yield from (f"{module}.{alias.name}" for alias in node.names)
        return
    for line in re.findall(r"^\s*(?:from|c?import)\s.*$", text, re.M):
        if match := re.match(r"\s*from\s+(\.*)([\w.]*)\s+c?import\s+(.*)", line):
            module = absolute(path, match[2], len(match[1]))
            yield from (f"{module}.{name}" for name in re.findall(r"\w+", match[3].partition("#")[0]))
        elif match := re.match(r"\s*c?import\s+([\w., ]+)", line):
            yield from (name.split()[0] for name in match[1].split(","))


def layer_of(module: str) -> str | None:
    """The folder of siphon that a module lies in; None for the package itself and everything else."""
    parts = module.split(".")
    return parts[1] if parts[0] == "siphon" and len(parts) > 1 and parts[1] in LAYERS else None


def test_every_folder_of_siphon_is_a_layer():
    folders = {path.name for path in (ROOT / "siphon").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(LAYERS)


@pytest.mark.parametrize(("package", "strangers"), [("shm", {"siphon", "workers"}), ("workers", {"siphon", "shm"})])
def test_the_lower_packages_know_neither_siphon_nor_each_other(package, strangers):
    wrong = [
        (module_of(path), name)
        for path in sources(package)
        for name in imports(path)
        if name.split(".")[0] in strangers
    ]
    assert wrong == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer):
    allowed = LAYERS if layer == "testing" else LAYERS[LAYERS.index(layer) :]
    if layer != "testing":
        allowed = [name for name in allowed if name != "testing"]
    wrong = []
    for path in sources(f"siphon/{layer}"):
        for name in imports(path):
            target = layer_of(name)
            if target is not None and target not in allowed:
                wrong.append((module_of(path), name))
    assert wrong == []


@pytest.mark.parametrize("package", sorted(MAY_USE))
def test_only_the_layers_that_join_the_packages_name_the_lower_ones(package):
    wrong = [
        (module_of(path), name)
        for path in sources("siphon")
        for name in imports(path)
        if name.split(".")[0] == package and layer_of(module_of(path)) not in MAY_USE[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("layer", PURE)
def test_the_protocol_layers_touch_no_socket_clock_or_store(layer):
    wrong = [
        (module_of(path), name)
        for path in sources(f"siphon/{layer}")
        for name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_no_sub_module_of_siphon_bears_a_name_that_scripts_import():
    modules = {path.stem for path in (ROOT / "siphon").iterdir() if path.is_dir() or path.suffix in (".py", ".pyx")}
    assert modules & OFFERED == set()


def test_no_two_test_files_have_one_name():
    """Test folders are no packages, so pytest knows a file by its name alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
