"""Where call detail records go: a file that loses no line, a syslog server, a web server."""

import asyncio
import json
import os
import socket

import pytest
from aiohttp import web

from siphon.services.call_records import FIELDS, fields_of, line
from siphon.services.call_records.fields import extra_of
from siphon.services.call_records.http_sink import HttpSink
from siphon.services.call_records.sinks import FileSink, SinkError, SyslogSink

LINES = [b'{"n":1}\n', b'{"n":2}\n']


def test_a_line_has_all_fields_in_their_order_and_those_of_the_script_after_them():
    text = line(
        fields_of(call_id="a\udcff", timestamp=1_700_000_000.1239, reg_event="expired"), {"x": "1", "ruri": "y"}
    )
    record = json.loads(text)
    assert list(record) == [*FIELDS, "reg_event", "x"]
    assert record["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert record["call_id"] == "a\ufffd" and record["ruri"] is None
    assert text.endswith(b"\n") and text.count(b"\n") == 1


def test_what_a_script_adds_is_text():
    assert extra_of({"a": "1", 2: "x", "b": 3, "c": None, "d": "\n", "e": "\ud800", "\ud800": "f"}) == {
        "a": "1",
        "d": "\n",
    }
    assert len(extra_of({str(number): "" for number in range(100)})) == 64


def test_a_file_is_appended_to_and_rotated_by_size(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b'{"n":0}\n')
    sink = FileSink(path, 30)
    assert sink.write(LINES) == 2
    assert path.read_bytes() == b'{"n":0}\n' + b"".join(LINES)
    sink.write(LINES)
    sink.write(LINES)
    old = sorted(tmp_path.glob("cdr.jsonl.*"))
    assert path.read_bytes() == b"".join(LINES)
    assert len(old) == 2 and b"".join(p.read_bytes() for p in old).count(b"\n") == 5
    sink.close()


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path):
    path = tmp_path / "cdr.jsonl"
    sink = FileSink(path, 1 << 20)
    sink.write(LINES)
    path.rename(tmp_path / "moved")
    sink.write(LINES)
    assert path.read_bytes() == (tmp_path / "moved").read_bytes() == b"".join(LINES)
    path.unlink()
    sink.write(LINES)
    assert path.read_bytes() == b"".join(LINES)
    sink.close()


def test_half_a_line_of_who_was_killed_is_taken_back(tmp_path):
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b'{"n":0}\n{"n":')
    sink = FileSink(path, 1 << 20)
    sink.write(LINES)
    assert path.read_bytes() == b'{"n":0}\n' + b"".join(LINES)
    sink.close()


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "cdr.jsonl"
    sink = FileSink(path, 1 << 20)
    sink.write(LINES)
    real = os.write

    def full(file, data):
        if len(data) > 4:
            return real(file, data[:4])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(
            os, "write", lambda file, data: full(file, bytes(data)[:9]) if len(data) > 8 else full(file, b"")
        )
        with pytest.raises(SinkError, match="no space left"):
            sink.write(LINES)
    assert path.read_bytes() == b"".join(LINES)
    sink.write(LINES)
    assert path.read_bytes() == b"".join(LINES) * 2
    sink.close()


def test_a_directory_that_is_not_there_is_an_error_for_a_while(tmp_path):
    sink = FileSink(tmp_path / "none" / "cdr.jsonl", 1 << 20)
    with pytest.raises(SinkError, match="no such file"):
        sink.write(LINES)
    (tmp_path / "none").mkdir()
    assert sink.write(LINES) == 2
    sink.close()


def test_syslog_gets_one_datagram_a_line():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        sink = SyslogSink("127.0.0.1", server.getsockname()[1], "node-1")
        assert sink.write(LINES) == 2
        first, second = server.recv(4096), server.recv(4096)
        sink.close()
    assert first.startswith(b"<134>1 ") and b" node-1 siphond " in first and first.endswith(b' cdr - {"n":1}')
    assert second.endswith(b'{"n":2}')


def test_a_web_server_gets_one_post_a_record_and_what_it_has_not_taken_again():
    got, answers = [], []

    async def handle(request):
        text = await request.read()
        got.append((text, request.headers["Authorization"], request.headers["Content-Type"]))
        return web.Response(status=answers.pop(0) if answers else 200)

    async def scenario():
        application = web.Application()
        application.router.add_post("/cdr", handle)
        runner = web.AppRunner(application)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        port = runner.addresses[0][1]
        refused = []
        sink = HttpSink(f"http://127.0.0.1:{port}/cdr", "Bearer x", lambda text, status: refused.append((text, status)))
        assert await sink.write(LINES) == ([0, 1], "")
        assert sorted(got) == [(text, "Bearer x", "application/json") for text in LINES]
        answers[:] = [500, 500]
        assert await sink.write(LINES * 10) == (list(range(2, 8)), "http: the answer is 500")
        assert len(got) == 10
        answers[:] = [422]
        assert await sink.write(LINES[:1]) == ([0], "")
        assert refused == [(LINES[0], 422)]
        await runner.cleanup()
        taken, why = await sink.write(LINES)
        assert taken == [] and why.startswith("http: ")
        await sink.close()

    asyncio.run(scenario())
