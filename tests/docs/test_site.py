"""The documentation as a site: it builds without a warning, and what is generated is current."""

import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "WARNING " not in done.stderr
    page = (tmp_path / "site" / "getting-started.html").read_text()
    assert "<h1" in page
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page


def test_the_reference_of_scripts_is_current():
    tool = runpy.run_path(str(ROOT / "tools" / "script_reference.py"))
    assert tool["PAGE"].read_text() == tool["page"](), "run: .venv/bin/python tools/script_reference.py"


def test_every_page_is_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert [name for name in sorted(pages) if f"- {name}" not in listed] == []
