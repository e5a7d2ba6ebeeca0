"""The instrumented build and libFuzzer: that they see what they should, and a short run of each target.

Without clang these are skipped: the same targets run on the production build in test_fuzz_targets.py.
"""

import shutil
from pathlib import Path

import pytest

from fuzz import instrumented, run
from fuzz.targets import NAMES, target

pytestmark = pytest.mark.skipif(bool(instrumented.missing()), reason=instrumented.missing() or "clang is here")

RUNS = {"message": 5000, "reference": 2500, "uri": 8000, "edits": 8000, "record": 3000, "digest": 1500, "dns": 800}
AT_MOST = 60
"""Seconds of a run, on a busy machine."""
COPIED = "memcpy(out, source + at, size - at)"
PLANTED = "memcpy(out, source + at, size - at + (8 if 0 < at < 10 else 0))"


@pytest.fixture(scope="module")
def modules() -> Path:
    return instrumented.build()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of a developer's corpus is used or changed."""
    monkeypatch.setattr(run, "KEPT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_guided_run_finds_new_ground_and_no_fault(modules: Path, name: str) -> None:
    """All seeds come first: for `message` and `engine` every stored message, those of RFC 4475 and 5118 among them."""
    chosen = target(name)
    found = run.run(chosen, modules, RUNS.get(name, 1000), AT_MOST, 1)
    assert not found.kept, found.output
    assert found.inputs >= len(set(chosen.seeds()))
    assert found.features[1] > found.features[0] > 0 and found.corpus > 0


def test_the_coverage_is_that_of_the_compiled_code(modules: Path) -> None:
    """No line of Python counts for this target, so what grows lies in the shared objects."""
    assert not target("edits").python
    found = run.run(target("edits"), modules, 1500, AT_MOST, 1)
    assert found.edges[1] > found.edges[0] > 500


def test_a_read_behind_the_buffer_is_found(tmp_path: Path) -> None:
    """In a copy of the sources eight bytes too many are read, but only behind a splice that ends in the first nine."""
    for path in instrumented.sources(run.ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(run.ROOT / path, tmp_path / path)
    module = tmp_path / "siphon/sip/_splice_cy.py"
    text = module.read_text()
    assert text.count(COPIED) == 1
    module.write_text(text.replace(COPIED, PLANTED))
    planted = instrumented.build(tmp_path, "_splice_cy.py")
    try:
        found = run.run(target("edits"), planted, 300_000, AT_MOST, 1)
        assert "AddressSanitizer: " in found.output and "_splice_cy" in found.output, found.output
        assert Path(found.kept).exists()
        assert run.repeat(target("edits"), planted, Path(found.kept)) != 0
    finally:
        shutil.rmtree(planted)


def test_every_compiled_module_is_instrumented_and_runs_in_tests(modules: Path, tmp_path: Path) -> None:
    """Of a Python that a test starts, too; one that reads behind its memory ends with a fault that says where."""
    names = [path for path in instrumented.sources(run.ROOT) if path.suffix == ".pyx" or path.stem.endswith("_cy")]
    names = [path for path in names if path.suffix != ".pxd"]
    assert all(list(modules.glob(f"{path.with_suffix('')}.*.so")) for path in names) and len(names) > 30
    test = tmp_path / "test_where.py"
    test.write_text(
        "import ctypes, subprocess, sys\n"
        "from siphon.sip import _message_cy\n"
        "def test_where():\n"
        f"    assert _message_cy.__file__.startswith({str(modules)!r})\n"
        "    line = 'from workers import _net_cy; print(_net_cy.__file__)'\n"
        f"    assert {str(modules)!r} in subprocess.check_output([sys.executable, '-c', line], text=True)\n"
        "def test_fault():\n"
        "    library = ctypes.CDLL(None)\n"
        "    library.malloc.restype = ctypes.c_void_p\n"
        "    library.memset(ctypes.c_void_p(library.malloc(8)), 0, 9)\n"
    )
    assert run.tests([f"{test}::test_where", "-q", "-p", "no:cacheprovider"]) == 0
    assert run.tests([f"{test}::test_fault", "-q", "-p", "no:cacheprovider"]) == 99
