import json
import os
from collections.abc import Iterator

import pytest

from siphon.config.log import CALL_ID, DEBUG, INFO, Log

JANUARY = 1769860800.123


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def log_to(path, **options) -> Log:
    return Log(file=str(path), clock=lambda: JANUARY, **options)


def test_a_line_has_time_level_process_call_id_event_and_fields(tmp_path):
    log = log_to(tmp_path / "log", process="w2")
    token = CALL_ID.set("abc@host")
    log.info("worker.started", pid=42, busy=True, since=1.5)
    CALL_ID.reset(token)
    text = (tmp_path / "log").read_text()
    assert text == "2026-01-31T12:00:00.123Z info w2 abc@host worker.started pid=42 busy=true since=1.5\n"


def test_without_a_message_the_call_id_is_a_dash(tmp_path):
    log_to(tmp_path / "log").warn("x")
    assert (tmp_path / "log").read_text() == "2026-01-31T12:00:00.123Z warn main - x\n"


def test_json_has_the_same_fields(tmp_path):
    log_to(tmp_path / "log", format="json", process="w0").error(
        "call.failed", code=500, peer="192.0.2.1:5060", event="x"
    )
    line = json.loads((tmp_path / "log").read_text())
    assert line == {
        "time": "2026-01-31T12:00:00.123Z",
        "level": "error",
        "process": "w0",
        "call_id": "-",
        "event": "call.failed",
        "code": 500,
        "peer": "192.0.2.1:5060",
        "event_": "x",
    }


def test_what_is_below_the_level_is_not_even_formatted(tmp_path):
    class Loud:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    log = log_to(tmp_path / "log", level="warn")
    log.debug("x", value=Loud())
    log.info("x", value=Loud())
    assert not log.enabled(INFO) and not log.enabled(DEBUG)
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.parametrize("form", ["pretty", "json"])
@pytest.mark.parametrize("hostile", ["a\r\nb", "\x1b[31m", "\x00", "\u2028", "\u202e", "\x85", b"\xff\n", "\ud800"])
def test_sec_10_a_peer_cannot_make_a_second_line_or_steer_a_terminal(tmp_path, form, hostile):
    log = log_to(tmp_path / "log", format=form)
    CALL_ID_TOKEN = CALL_ID.set("x\ny z")
    log.info(f"said {hostile!s}", user=hostile)
    CALL_ID.reset(CALL_ID_TOKEN)
    raw = (tmp_path / "log").read_bytes()
    assert raw.count(b"\n") == 1 and raw.endswith(b"\n")
    assert all(c >= " " for c in raw.decode()[:-1])
    assert not set("\x7f\x85\u2028\u202e") & set(raw.decode())


def test_a_value_that_could_be_taken_for_two_is_quoted(tmp_path):
    log_to(tmp_path / "log").info("x", name='a" level=error', empty="")
    assert (tmp_path / "log").read_text().endswith(' x name="a\\" level=error" empty=""\n')


def test_sec_10_secrets_are_masked_by_field_url_and_digest(tmp_path):
    log = log_to(tmp_path / "log")
    log.info('header Digest username="bob", response="0123abc"', password="hunter2", url="redis://u:hunter2@host/0")
    log.info('challenge Digest nonce="5Kx-_.9:a", cnonce=zz9, nextnonce="late", qop=auth', ha1="abc")
    text = (tmp_path / "log").read_text()
    assert not any(secret in text for secret in ("hunter2", "0123abc", "5Kx", "zz9", "late", "abc"))
    assert "qop=auth" in text
    assert 'username="bob"' in text and "password=***" in text and "url=redis://u:***@host/0" in text


@pytest.mark.parametrize("form", ["pretty", "json"])
def test_sec_10_a_line_never_exceeds_what_a_pipe_takes_at_once(tmp_path, form):
    log = log_to(tmp_path / "log", format=form)
    log.info("x" * 65536, **{f"field{n}": "\x00" * 65536 for n in range(50)})
    log.info("\U0001f600" * 5000, **{f"f{n}": "é" * 600 for n in range(20)})
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    assert all(len(line) <= 4096 for line in lines)
    if form == "json":
        assert json.loads(lines[0])["cut"] is True


def test_a_moved_file_is_opened_anew(tmp_path):
    now = [JANUARY]
    log = Log(file=str(tmp_path / "log"), clock=lambda: now[0])
    log.info("before")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.info("still.before")
    now[0] += 1.1
    log.info("after")
    assert "still.before" in (tmp_path / "log.1").read_text()
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["after"]


def test_when_the_directory_is_gone_lines_go_to_the_old_file(tmp_path):
    now = [JANUARY]
    (tmp_path / "a").mkdir()
    log = Log(file=str(tmp_path / "a" / "log"), clock=lambda: now[0])
    (tmp_path / "a").rename(tmp_path / "b")
    now[0] += 5
    log.info("kept")
    assert "kept" in (tmp_path / "b" / "log").read_text()


def test_under_systemd_lines_carry_the_journals_priorities(pipe):
    reading, writing = pipe
    status = os.fstat(writing)
    saved = os.dup(1)
    os.dup2(writing, 1)
    try:
        log = Log(level="debug", clock=lambda: JANUARY, environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        for write in (log.debug, log.info, log.warn, log.error):
            write("x")
        Log(clock=lambda: JANUARY, environ={"JOURNAL_STREAM": "1:2"}).info("plain")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    lines = os.read(reading, 4096).decode().splitlines()
    assert [line[:3] for line in lines[:4]] == ["<7>", "<6>", "<4>", "<3>"]
    assert lines[4].startswith("2026-01-31T")


def test_a_full_pipe_loses_lines_instead_of_stopping_the_process(pipe):
    reading, writing = pipe
    saved = os.dup(1)
    os.dup2(writing, 1)
    try:
        log = Log(clock=lambda: JANUARY, environ={})
        for _ in range(2000):
            log.info("x" * 1000)
        assert log.sink.lost > 1000
        while len(os.read(reading, 65536)) == 65536:
            pass
        log.info("again")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    tail = os.read(reading, 65536).decode().splitlines()
    assert "log.lines_lost count=" in tail[-2] and tail[-1].endswith("again")


def test_sec_13_an_event_that_peers_cause_is_written_a_few_times_a_second(tmp_path):
    now = [JANUARY]
    log = Log(file=str(tmp_path / "log"), clock=lambda: now[0])
    for _ in range(1000):
        log.often(INFO, "malformed", peer="192.0.2.1")
    now[0] += 1
    log.often(INFO, "malformed", peer="192.0.2.1")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 7
    assert lines[5].endswith("malformed suppressed=995")


def test_sec_13_a_handler_that_fails_for_each_request_is_a_few_tracebacks_a_second(tmp_path):
    now = [JANUARY]
    log = Log(file=str(tmp_path / "log"), clock=lambda: now[0])
    for _ in range(1000):
        log.exception("script.error", ValueError("no"), handler="route")
    now[0] += 1
    log.exception("script.error", ValueError("no"), handler="route")
    text = (tmp_path / "log").read_text()
    assert text.count("script.error error=") == 6
    assert "script.error suppressed=995" in text


def test_an_exception_is_one_line_and_a_traceback_of_lines(tmp_path):
    log = log_to(tmp_path / "log")
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        log.exception("script.failed", error, handler="route")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith('script.failed error="ValueError: two\\nlines" handler=route')
    assert all(line.startswith("2026-01-31T12:00:00.123Z error main - ") for line in lines)


def test_in_json_a_traceback_is_a_field_of_its_event_of_which_the_end_matters(tmp_path):
    log = log_to(tmp_path / "log", format="json")
    log.at("error", "script.traceback", traceback="first\n" + "x" * 3000 + "\nValueError: last\n")
    (line,) = (tmp_path / "log").read_text().splitlines()
    record = json.loads(line)
    assert record["event"] == "script.traceback"
    assert record["traceback"].startswith("...x") and record["traceback"].endswith("x\nValueError: last")
