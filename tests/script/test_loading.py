"""Loading and reloading scripts (section 3)."""

import os
import sys

import pytest
from script_kit import Bench, response, sip

from siphon.script.loader import ScriptLoadError

ANSWER = """
    from siphon import proxy
    import helper
    @proxy.on_request
    def route(request): request.reply(helper.CODE, "From Helper")
"""


def answered(bench, version=None):
    outcomes = []
    bench.runtime.run_request(bench.request(sip()), version, outcomes.append)
    return outcomes[0].action.status


def test_a_script_runs_as_the_module_siphon_user_script_with_file_set(tmp_path):
    bench = Bench(tmp_path, "NAME, FILE = __name__, __file__")
    module = sys.modules["siphon_user_script"]
    assert module.NAME == "siphon_user_script"
    assert str(bench.path) == module.FILE


def test_modules_beside_the_script_and_in_include_paths_are_found(tmp_path):
    include = tmp_path / "include"
    include.mkdir()
    (include / "far.py").write_text("CODE = 486\n")
    (tmp_path / "helper.py").write_text("from far import CODE\n")
    bench = Bench(tmp_path, ANSWER, script={"include_paths": [str(include)]})
    assert answered(bench) == 486
    assert sys.path[:2] == [str(tmp_path), str(include)]


def test_modules_of_a_script_are_found_before_installed_ones(tmp_path):
    (tmp_path / "this.py").write_text("CODE = 486\n")
    assert answered(Bench(tmp_path, ANSWER.replace("helper", "this"))) == 486


def test_no_byte_code_is_written(tmp_path):
    (tmp_path / "helper.py").write_text("CODE = 486\n")
    Bench(tmp_path, ANSWER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "script.py"]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("x = 1\nraise KeyError('no such thing')\n", "KeyError"),
        ("import sys\nsys.exit(3)\n", "SystemExit"),
        ("import a_module_that_is_not_there\n", "ModuleNotFoundError"),
        ("from siphon import smpp\n", "ImportError"),
    ],
)
def test_a_script_that_does_not_load_is_an_error_with_line_and_traceback(tmp_path, source, what):
    bench = Bench(tmp_path)
    bench.write(source)
    with pytest.raises(ScriptLoadError) as caught:
        bench.runtime.load()
    line = source.count("\n")
    assert what in str(caught.value)
    assert f"line {line}" in str(caught.value)
    assert f'script.py", line {line}' in caught.value.traceback
    assert "loader.py" not in caught.value.traceback


@pytest.mark.parametrize("fault", ["x = (\n", "raise ValueError('no')\n"], ids=["syntax", "exception"])
def test_a_fault_in_a_module_of_the_script_names_that_module(tmp_path, fault):
    bench = Bench(tmp_path)
    (tmp_path / "helper.py").write_text(fault)
    bench.write("import os\nimport helper\n")
    with pytest.raises(ScriptLoadError, match=r"line 2: .*Error: .* \(.*/helper\.py, line 1\)$"):
        bench.runtime.load()


def test_a_missing_script_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ScriptLoadError, match=r"script\.py: cannot be read: no such file"):
        Bench(tmp_path).runtime.load()


@pytest.mark.parametrize("special", ["pipe", "device"])
def test_a_script_that_is_no_file_is_an_error_and_is_not_read(tmp_path, special):
    bench = Bench(tmp_path)
    if special == "pipe":
        os.mkfifo(bench.path)
    else:
        bench.path.symlink_to("/dev/zero")
    with pytest.raises(ScriptLoadError, match="cannot be read: not a regular file"):
        bench.runtime.load()


def test_what_an_exception_says_is_cut_in_the_reason_and_whole_in_the_traceback(tmp_path):
    bench = Bench(tmp_path, None)
    bench.write("raise ValueError('x' * 100000)\n")
    with pytest.raises(ScriptLoadError) as caught:
        bench.runtime.load()
    assert caught.value.what == f"line 1: ValueError: {'x' * 500}..."
    assert "x" * 100000 in caught.value.traceback


def test_an_exception_that_cannot_be_told_is_an_error_of_the_script_as_any(tmp_path):
    bench = Bench(tmp_path, None)
    bench.write("class Odd(Exception):\n    def __str__(self):\n        return 1 / 0\n\nraise Odd\n")
    with pytest.raises(ScriptLoadError) as caught:
        bench.runtime.load()
    assert caught.value.what == "line 5: Odd: its text raised ZeroDivisionError"


def test_the_script_and_its_include_paths_come_first_on_the_path_in_their_order(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    places = [str(tmp_path / "one"), str(tmp_path / "two")]
    bench = Bench(tmp_path, "import sys\nPLACES = sys.path[:3]\n", script={"include_paths": places})
    loaded = list(sys.modules["siphon_user_script"].PLACES)
    assert loaded == [str(tmp_path), *places]
    bench.runtime.load()
    assert [sys.path.count(place) for place in (str(tmp_path), *places)] == [1, 1, 1]


def test_a_reload_sees_changed_modules_and_the_old_version_keeps_its_own(tmp_path):
    (tmp_path / "helper.py").write_text("CODE = 486\n")
    bench = Bench(tmp_path, ANSWER)
    (tmp_path / "helper.py").write_text("CODE = 404\n")
    assert bench.runtime.load() == 2
    assert (answered(bench), answered(bench, 2), answered(bench, 1)) == (404, 404, 486)


def test_shared_27_only_the_last_two_versions_stay_and_older_transactions_run_in_the_current_one(tmp_path):
    (tmp_path / "helper.py").write_text("CODE = 486\n")
    bench = Bench(tmp_path, ANSWER)
    for code in (404, 480):
        (tmp_path / "helper.py").write_text(f"CODE = {code}\n")
        bench.runtime.load()
    assert [answered(bench, version) for version in (1, 2, 3)] == [480, 404, 480]


def test_shared_27_a_reload_that_fails_changes_nothing(tmp_path):
    (tmp_path / "helper.py").write_text("CODE = 486\n")
    bench = Bench(tmp_path, ANSWER)
    module, helper = sys.modules["siphon_user_script"], sys.modules["helper"]
    (tmp_path / "helper.py").write_text("raise RuntimeError('half written')\n")
    with pytest.raises(ScriptLoadError):
        bench.runtime.load()
    assert bench.runtime.version == 1
    assert answered(bench) == 486
    assert (sys.modules["siphon_user_script"], sys.modules["helper"]) == (module, helper)


def test_a_reload_starts_with_fresh_globals_and_an_empty_registry(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\nLEFT = 1\n@proxy.on_request\ndef a(request): ...\n")
    bench.write("from siphon import proxy\n@proxy.on_reply\ndef b(request, reply): ...\n")
    bench.runtime.load()
    assert not hasattr(sys.modules["siphon_user_script"], "LEFT")
    assert not bench.runtime.handles("INVITE")
    assert bench.runtime.has_reply_handlers()


def test_modules_of_a_path_that_was_given_up_do_not_survive(tmp_path):
    for code in (486, 404):
        directory = tmp_path / str(code)
        directory.mkdir()
        (directory / "helper.py").write_text(f"CODE = {code}\n")
        assert answered(Bench(directory, ANSWER)) == code
    assert str(tmp_path / "404") in sys.path
    assert str(tmp_path / "486") not in sys.path


def test_a_version_number_can_be_given(tmp_path):
    bench = Bench(tmp_path, "")
    assert bench.runtime.load(version=7) == 7
    assert bench.runtime.version == 7


def test_shared_27_a_callback_that_vanished_is_logged_and_counts_as_not_given(tmp_path):
    bench = Bench(tmp_path, "")
    outcome = bench.reply(response(180), per_relay="siphon_user_script:gone")
    assert outcome.passed
    assert "siphon_user_script:gone is not in version 1" in bench.log.text


def test_a_callback_of_an_old_version_is_found_there(tmp_path):
    source = "from siphon import log\ndef f(request, reply):\n    log.info('{0}')\n    reply.relay()\n"
    bench = Bench(tmp_path, source.format("first"))
    bench.write(source.format("second"))
    bench.runtime.load()
    assert bench.runtime.script(1).resolve("siphon_user_script:f") is not bench.runtime.script(2).resolve(
        "siphon_user_script:f"
    )
    assert bench.runtime.script(1).name_of(bench.runtime.script(1).resolve("siphon_user_script:f"))


def test_a_module_of_the_script_that_only_another_worker_imported_is_found_by_its_callback_name(tmp_path):
    (tmp_path / "later.py").write_text("def f(request, reply): reply.relay()\n")
    bench = Bench(tmp_path, "")
    assert bench.runtime.script().resolve("later:f").__name__ == "f"
    assert bench.runtime.script().resolve("colorsys:rgb_to_hls") is None


def test_settings_can_change_under_a_loaded_script(tmp_path):
    bench = Bench(tmp_path, "from siphon import proxy\n@proxy.on_request\ndef r(request): request.reply(200, 'OK')\n")
    bench.runtime.configure(bench.settings, bench.services)
    assert answered(bench) == 200


def test_timers_cannot_be_set_while_a_script_is_loaded(tmp_path):
    bench = Bench(tmp_path)
    bench.write("from siphon import timer\ndef f(key): ...\ntimer.set('a', 1, f)\n")
    with pytest.raises(ScriptLoadError, match="line 3: RuntimeError: timers .* not while a script is loaded"):
        bench.runtime.load()
