"""Call detail records of a running siphond: written once by one process, whoever is killed, wherever they go."""

import http.server
import json
import os
import signal
import socket
import threading

import pytest
from free_ports import free_port

from shm.table import Table

SCRIPT = """
from siphon import cdr, proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.reply(200, str(cdr.write(request, {"number": request.get_header("Subject") or ""})))
"""
ON = "\n[cdr]\nenabled = true\n"


@pytest.fixture
def cdrs(site):
    site.script.write_text(SCRIPT)
    return site


def ask(site, subject, method="OPTIONS", more=""):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(60)
        text = site.request(method, phone.getsockname()[1]).decode()
        text = text.replace("Content-Length", f"Subject: {subject}\r\n{more}Content-Length")
        phone.sendto(text.encode(), ("127.0.0.1", site.port))
        return phone.recv(4096).split(b"\r\n")[0].decode()


def lines(site):
    path = site.place / "state" / "cdr.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""  # the last line may be half written
    return [json.loads(text) for text in whole.splitlines()]


def numbers(site):
    return sorted(int(record["number"]) for record in lines(site))


def helper(site, name="cdr"):
    found = json.loads(site.siphonctl("status", "--json").stdout)
    return {row["name"]: row["pid"] for row in found["helpers"]}.get(name)


def test_records_of_all_workers_are_in_one_file(cdrs):
    site = cdrs
    site.configure(more=ON)
    site.start()
    assert [ask(site, number) for number in range(20)] == ["SIP/2.0 200 True"] * 20
    site.until(lambda: numbers(site) == list(range(20)))
    assert oct((site.place / "state" / "cdr.jsonl").stat().st_mode)[-3:] == "640"


def test_a_writer_that_is_killed_loses_nothing_and_neither_do_workers(cdrs):
    site = cdrs
    site.configure(more=ON)
    site.start()
    for number in range(30):
        assert ask(site, number).endswith("True")
        if number % 10 == 5:
            site.until(lambda: helper(site))  # it has come back from the last time
            os.kill(helper(site), signal.SIGKILL)
        if number == 17:
            for row in json.loads(site.siphonctl("status", "--json").stdout)["workers"]:
                os.kill(row["pid"], signal.SIGKILL)
    site.until(lambda: set(numbers(site)) == set(range(30)))
    waiting = Table.view(site.shared / "cdrs")
    site.until(lambda: waiting.stats().records == 0)  # what was written is deleted: nothing comes a second time
    assert len(numbers(site)) <= 33  # one that was written and not yet deleted may be there twice


def test_what_waits_at_the_end_is_written_then_or_at_the_next_start(cdrs):
    site = cdrs
    site.configure(more=ON)
    site.start()
    os.kill(helper(site), signal.SIGSTOP)
    assert ask(site, 1).endswith("True")
    os.kill(site.running[-1].pid, signal.SIGKILL)  # the supervisor: the kernel ends the others
    site.running[-1].wait()
    assert numbers(site) == []
    site.start()
    site.until(lambda: numbers(site) == [1])
    for number in (2, 3, 4):  # one that is stopped for long at the end writes it at the next start
        assert ask(site, number).endswith("True")
        assert site.stop(site.running[-1]) == 0
        if at_once := number in numbers(site):
            break
        site.start()
        site.until(lambda number=number: number in numbers(site))
    assert at_once and numbers(site) == list(range(1, number + 1))


def test_a_reload_begins_it_and_ends_it(cdrs):
    site = cdrs
    site.start()
    assert helper(site) is None and ask(site, 1).endswith("False")
    site.configure(more=ON)
    assert site.siphonctl("reload").returncode == 0
    site.until(lambda: helper(site) is not None)
    assert ask(site, 2).endswith("True")
    site.until(lambda: numbers(site) == [2])
    site.configure(more=ON + '[cdr.file]\npath = "other.jsonl"\n')
    assert site.siphonctl("reload").returncode == 0
    assert ask(site, 3).endswith("True")
    other = site.place / "state" / "other.jsonl"
    site.until(lambda: other.exists() and '"number":"3"' in other.read_text())
    site.configure()
    assert site.siphonctl("reload").returncode == 0
    assert ask(site, 4).endswith("False")


def test_registrations_are_written_with_what_happened_to_them(cdrs):
    site = cdrs
    site.configure(more=ON + "include_register = true\n")
    site.start()
    for expires in (60, 60, 0):
        contact = f"Contact: <sip:a@127.0.0.1:5099>;expires={expires}\r\n"
        assert ask(site, 0, "REGISTER", contact) == "SIP/2.0 200 OK"
    site.until(lambda: len(lines(site)) == 3)
    assert [record["reg_event"] for record in lines(site)] == ["registered", "refreshed", "deregistered"]
    assert lines(site)[0]["ruri"] == "sip:a@127.0.0.1:5099" and lines(site)[0]["method"] == "REGISTER"


def test_a_full_queue_is_false_and_a_server_that_is_away_gets_all_later(cdrs):
    site = cdrs
    got = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["number"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *facts):
            pass

    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))  # nobody listens
        url = f"http://127.0.0.1:{port}/"
        site.configure(more=f'{ON}backend = "http"\nchannel_size = 5\n[cdr.http]\nurl = "{url}"\n')
        site.start()
        assert [ask(site, number)[-4:] for number in range(7)] == ["True"] * 5 + ["alse"] * 2
        site.until(lambda: "cdr.not_written" in site.text())
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Server) as server:
        threading.Thread(target=server.serve_forever).start()
        site.until(lambda: sorted(set(got)) == list("01234"))
        site.until(lambda: ask(site, 8).endswith("True"))  # the writer counts a moment after the server has them
        site.until(lambda: "8" in got)
        server.shutdown()
    assert sorted(set(got)) == list("012348")


def test_syslog(cdrs):
    site = cdrs
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        target = f"127.0.0.1:{server.getsockname()[1]}"
        site.configure(more=f'{ON}backend = "syslog"\n[cdr.syslog]\ntarget = "{target}"\n')
        site.start()
        ask(site, 1)
        assert b'"number":"1"' in server.recv(65536)
