"""A version of a script is what was read when it was proved, not what lies on disk by then."""

import json
import linecache
import traceback

from siphon.script.loader import load_script
from siphon.script.sources import Source

SCRIPT = """
from siphon import proxy
from parts import codes
import plain

@proxy.on_request
def route(request): raise ValueError(codes.BUSY + plain.ONE)
"""


def written(place):
    (place / "parts").mkdir()
    (place / "parts" / "__init__.py").write_text("NAME = 'parts'\n")
    (place / "parts" / "codes.py").write_text("from parts import NAME\nBUSY = 486\n")
    (place / "plain.py").write_bytes(b"# coding: latin-1\nONE = len('\xe9')\n")
    script = place / "script.py"
    script.write_text(SCRIPT)
    return script


def result(script):
    try:
        script.handlers("proxy.on_request")[0].function(None)
    except ValueError as error:
        return error


def test_what_was_read_is_recorded_and_survives_json(tmp_path):
    first = load_script(written(tmp_path))
    assert set(first.sources) == {"siphon_user_script", "parts", "parts.codes", "plain"}
    again = {name: Source(*fields) for name, fields in json.loads(json.dumps(first.sources)).items()}
    assert again == first.sources


def test_recorded_sources_are_loaded_whatever_the_files_hold(tmp_path):
    path = written(tmp_path)
    sources = load_script(path).sources
    path.write_text("def broken(:\n")
    (tmp_path / "plain.py").unlink()
    (tmp_path / "parts" / "codes.py").write_text("BUSY = 600\n")
    assert result(load_script(path, (), 2, sources)).args == (487,)


def test_tracebacks_show_the_lines_that_run(tmp_path):
    path = written(tmp_path)
    script = load_script(path)
    path.write_text("# another text\n" * 20)
    linecache.checkcache()
    shown = "".join(traceback.format_exception(result(script)))
    assert "raise ValueError(codes.BUSY + plain.ONE)" in shown and "another" not in shown


def test_a_load_without_sources_reads_the_files_again(tmp_path):
    path = written(tmp_path)
    load_script(path)
    (tmp_path / "parts" / "codes.py").write_text("BUSY = 600\n")
    assert result(load_script(path, (), 2)).args == (601,)
