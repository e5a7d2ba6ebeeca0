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
    found = run.run(target(name), modules, RUNS.get(name, 1000), AT_MOST, 1)
    assert not found.kept, found.output
    assert found.features[1] > found.features[0] > 0 and found.corpus > 0


def test_the_coverage_is_that_of_the_compiled_code(modules: Path) -> None:
    """No line of Python counts for this target, so what grows lies in the shared objects."""
    assert not target("edits").python
    found = run.run(target("edits"), modules, 1500, AT_MOST, 1)
    assert found.edges[1] > found.edges[0] > 500


def test_a_read_behind_the_buffer_is_found(tmp_path: Path) -> None:
    """In a copy of the sources eight bytes too many are read, but only behind a splice that ends in the first nine."""
    sources = tmp_path / "sip"
    shutil.copytree(instrumented.SOURCES, sources, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    module = sources / "_splice_cy.py"
    text = module.read_text()
    assert text.count(COPIED) == 1
    module.write_text(text.replace(COPIED, PLANTED))
    planted = instrumented.build(sources, "_splice_cy.py")
    try:
        found = run.run(target("edits"), planted, 300_000, AT_MOST, 1)
        assert "AddressSanitizer: " in found.output and "_splice_cy" in found.output, found.output
        assert Path(found.kept).exists()
        assert run.repeat(target("edits"), planted, Path(found.kept)) != 0
    finally:
        shutil.rmtree(planted)
