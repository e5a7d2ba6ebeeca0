"""The helper that serves HTTP, as a process beside workers: what it tells, whom it obeys, and that it may die."""

import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from free_ports import free_port

SCRIPT = """
from siphon import metrics, proxy, registrar

SEEN = metrics.counter("seen", "Requests seen.", ["method"])
LEVEL = metrics.gauge("level", "A level.")

@proxy.on_request
def route(request):
    SEEN.labels(method=request.method).inc()
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "PUBLISH":
        raise RuntimeError("no")
    else:
        LEVEL.set(7)
        request.reply(200, "OK")
"""


class Web:
    """What a site serves over HTTP."""

    def __init__(self, site):
        self.site = site
        self.port = free_port()

    def configure(self, more="", **admin):
        self.site.configure(more=f'\n[admin]\nlisten = "127.0.0.1:{self.port}"\n{more}')

    def get(self, path, method="GET", port=None, **headers):
        """Status and body; the body as JSON if it is some."""
        wanted = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(wanted, timeout=60) as answer:
                return answer.status, parsed(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, parsed(error)

    def answers(self, port=None):
        try:
            return self.get("/admin/health" if port is None else "/metrics", port=port)[0] == 200
        except (OSError, urllib.error.URLError):
            return False

    def start(self):
        self.site.start()
        self.site.until(self.answers)

    def metric(self, name):
        """The value of a line of /metrics."""
        lines = self.get("/metrics")[1].splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name]
        return float(found[0]) if found else None

    def pid(self):
        found = json.loads(self.site.siphonctl("status", "--json").stdout)
        return {helper["name"]: helper["pid"] for helper in found["helpers"]}.get("admin")


def parsed(answer):
    body = answer.read().decode()
    return json.loads(body) if answer.headers["content-type"] == "application/json" else body


@pytest.fixture
def web(site):
    site.script.write_text(SCRIPT)
    made = Web(site)
    made.configure()
    return made


def register(site, user="alice", expires=600):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(60)
        port = phone.getsockname()[1]
        text = site.request("REGISTER", port).decode()
        text = text.replace("<sip:a@example.com>", f"<sip:{user}@example.com>")
        text = text.replace("To: <sip:example.com>", f"To: <sip:{user}@example.com>")
        contact = f"Contact: <sip:{user}@127.0.0.1:{port}>;expires={expires}\r\nContent-Length"
        phone.sendto(text.replace("Content-Length", contact).encode(), ("127.0.0.1", site.port))
        assert phone.recv(4096).startswith(b"SIP/2.0 200")


def test_metrics_of_siphond_and_of_the_script_are_those_of_all_workers(site, web):
    web.start()
    for _ in range(20):
        site.ask()
    register(site)
    for name, value in {
        "siphon_requests_total": 21,
        'seen{method="OPTIONS"}': 20,
        'seen{method="REGISTER"}': 1,
        "level": 7,
        "siphon_script_executions_total": 21,
        "siphon_registrations_active": 1,
        "siphon_workers": 2,
        "siphon_worker_restarts_total": 0,
        "siphon_connections_active": 0,
        "siphon_request_duration_seconds_count": 21,
        'siphon_request_duration_seconds_bucket{le="+Inf"}': 21,
    }.items():
        site.until(lambda name=name, value=value: web.metric(name) == value)
    assert 0 < web.metric("siphon_request_duration_seconds_sum") < 200
    told = set(re.findall(r"^# TYPE (\S+)", web.get("/metrics")[1], re.MULTILINE))
    page = (Path(__file__).parents[2] / "docs/observability.md").read_text()
    listed = set(re.findall(r"`(siphon_[a-z_]+)`", page.partition("## Metrics")[2].partition("## HTTP")[0]))
    assert len(listed) > 20 and listed <= told
    assert web.metric("siphon_uptime_seconds") > 0
    assert (web.metric("siphon_cdr_sessions"), web.metric("siphon_banned_ips")) == (0, 0)
    found = {family["name"]: family for family in web.get("/admin/metrics.json")[1]["metrics"]}
    assert found["seen"]["type"] == "counter"
    assert {"labels": {"method": "REGISTER"}, "name": "seen", "value": 1} in found["seen"]["samples"]


def test_what_a_script_counts_survives_workers_reloads_and_a_restart(site, web):
    web.start()
    site.ask()
    for worker in json.loads(site.siphonctl("status", "--json").stdout)["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
    site.until(lambda: web.metric("siphon_worker_restarts_total") == 2 and site.siphonctl("ready").returncode == 0)
    site.ask()
    site.script.write_text(SCRIPT + "\n# another version\n")
    assert site.siphonctl("reload").returncode == 0
    site.ask()
    site.until(lambda: web.metric('seen{method="OPTIONS"}') == 3)
    assert site.stop(site.running[-1]) == 0
    web.start()
    site.ask()
    site.until(lambda: web.metric('seen{method="OPTIONS"}') == 4)


def test_registrations_are_listed_shown_and_removed(site, web):
    web.start()
    for user in ("alice", "bob"):
        register(site, user)
    _, page = web.get("/admin/registrations")
    assert sorted(entry["aor"] for entry in page["registrations"]) == ["sip:alice@example.com", "sip:bob@example.com"]
    status, found = web.get("/admin/registrations/sip:alice@example.com")
    assert status == 200
    assert found["contacts"][0]["uri"].startswith("sip:alice@127.0.0.1:")
    assert 300 <= found["contacts"][0]["expires"] <= 600
    assert web.get("/admin/registrations/alice@example.com", "DELETE") == (
        200,
        {"removed": "sip:alice@example.com", "contacts": 1},
    )
    assert web.get("/admin/registrations/alice@example.com")[0] == 404
    assert web.get("/admin/registrations/alice@example.com", "DELETE")[0] == 404
    assert web.get("/admin/registrations/bob@example.com")[0] == 200
    assert web.get("/admin/registrations?limit=x")[0] == 400
    site.until(lambda: " admin.write method=DELETE " in site.text())


REFUSED = [
    ("GET", "/admin/nowhere", 404), ("POST", "/admin/stats", 405), ("DELETE", "/admin/registrations", 405),
    ("POST", "/admin/gateways/a/up", 404), ("GET", "/admin/registrations?cursor=4294967296", 400),
    ("GET", "/admin/registrations?cursor=4294967295", 400), ("GET", "/admin/registrations?limit=0", 400),
    ("GET", "/admin/registrations?limit=99999999999", 400), ("GET", "/admin/calls?limit=-1", 400),
    ("GET", f"/admin/registrations/{'a' * 5000}@example.com", 404), ("GET", "/admin/registrations/%00", 400),
]  # fmt: skip


def test_what_is_refused_is_told_as_json_and_is_no_error_of_ours(site, web):
    web.start()
    for method, path, status in REFUSED:
        found, told = web.get(path, method)
        assert (path, found) == (path, status)
        assert isinstance(told, dict) and list(told) == ["error"], path
    assert "admin.failed" not in site.text()


def test_gateways_are_listed_and_taken_down_and_up(site, web):
    web.configure(
        '[[gateway.groups]]\nname = "out"\nprobe = { enabled = false }\n'
        'destinations = [{ uri = "sip:127.0.0.1:9", address = "127.0.0.1:9" }]\n'
    )
    web.start()
    health = lambda: web.get("/admin/gateways")[1]["gateways"][0]["destinations"][0]["healthy"]  # noqa: E731
    site.until(lambda: web.get("/admin/gateways")[1]["gateways"])
    assert health() is True
    assert web.get("/admin/gateways/out/sip:127.0.0.1:9/down", "POST")[0] == 200
    assert health() is False
    assert web.get("/admin/gateways/out/sip:127.0.0.1:9/up", "POST")[0] == 200
    assert health() is True
    assert web.get("/admin/gateways/none/sip:127.0.0.1:9/up", "POST")[0] == 404
    assert web.get("/admin/gateways/out/sip:127.0.0.1:9/sideways", "POST")[0] == 400


def test_calls_in_progress_are_listed(site, web):
    site.script.write_text(
        SCRIPT.replace(
            '"PUBLISH"', '"INVITE":\n        request.relay("sip:127.0.0.1:9")\n    elif request.method == "PUBLISH"'
        )
    )
    web.start()
    site.send("INVITE")
    site.until(lambda: web.get("/admin/calls")[1]["total"] == 1)
    (call,) = web.get("/admin/calls")[1]["calls"]
    assert call["to"] == "sip:example.com"


def test_bans_are_listed_counted_and_removed(site, web):
    web.start()
    assert web.get("/admin/bans") == (200, {"bans": []})
    for arguments in (["192.0.2.7", "--reason", "a test"], ["192.0.2.7", "--user", "bob"], ["2001:db8:1:2::3"]):
        assert site.siphonctl("bans", "add", *arguments).returncode == 0
    _, found = web.get("/admin/bans")
    assert {(ban["source"], ban["user"]) for ban in found["bans"]} == {
        ("192.0.2.7", None),
        ("192.0.2.7", "bob"),
        ("2001:db8:1:2::/64", None),
    }
    assert web.metric("siphon_banned_ips") == 2
    assert web.get("/admin/bans/192.0.2.7?user=bob", "DELETE") == (200, {"removed": "192.0.2.7", "bans": 1})
    assert web.get("/admin/bans/2001:db8:1:2::/64", "DELETE")[0] == 200
    assert web.get("/admin/bans/192.0.2.7", "DELETE")[0] == 200
    assert web.get("/admin/bans/192.0.2.7", "DELETE")[0] == 404
    assert web.get("/admin/bans/nonsense", "DELETE")[0] == 400
    assert json.loads(site.siphonctl("bans", "--json").stdout) == []
    assert web.metric("siphon_banned_ips") == 0


def test_pages_are_read_over_all_registrations(site, web):
    web.start()
    for number in range(12):
        register(site, f"user{number}")
    seen, cursor = [], 0
    while True:
        _, page = web.get(f"/admin/registrations?limit=5&cursor={cursor}")
        seen += [entry["aor"] for entry in page["registrations"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert sorted(seen) == sorted(f"sip:user{number}@example.com" for number in range(12))


def test_who_has_no_token_may_not_write(site, web):
    web.configure('[admin.auth]\ntoken = "s3cret"\n')
    web.start()
    register(site)
    path = "/admin/registrations/alice@example.com"
    assert web.get(path, "DELETE")[0] == 401
    assert web.get(path, "DELETE", Authorization="Bearer wrong")[0] == 401
    assert web.get(path)[0] == 200
    assert web.get(path, "DELETE", Authorization="Bearer s3cret")[0] == 200


def test_reads_may_be_protected_too_but_for_health(site, web):
    web.configure('[admin.auth]\ntoken = "s3cret"\nprotect_reads = true\n')
    web.start()
    for path in ("/admin/stats", "/admin/registrations", "/metrics", "/admin/metrics.json"):
        assert web.get(path)[0] == 401
        assert web.get(path, Authorization="Bearer s3cret")[0] == 200
    assert web.get("/admin/ready")[0] == 200


def test_ready_says_503_while_calls_are_drained(site, web):
    web.start()
    assert web.get("/admin/ready") == (200, {"ready": True, "reasons": [], "texts": []})
    site.slots().raise_flags(1)
    status, found = web.get("/admin/ready")
    assert (status, found["reasons"]) == (503, ["draining"])
    assert web.get("/admin/health")[0] == 200
    site.slots().lower_flags(1)


def test_a_helper_that_is_killed_is_there_again(site, web):
    web.start()
    pid = web.pid()
    os.kill(pid, signal.SIGKILL)
    site.until(lambda: web.answers() and web.pid() not in (pid, None))
    assert site.ask() == b"SIP/2.0 200 OK"


def test_without_the_sections_there_is_no_such_process(site):
    site.start()
    assert Web(site).pid() is None


def test_a_reload_brings_it_moves_it_and_takes_the_listener_away(site, web):
    site.configure()
    site.start()
    web.configure()
    assert site.siphonctl("reload").returncode == 0
    site.until(web.answers)
    before, pid = web.port, web.pid()
    web.port = free_port()
    web.configure()
    assert site.siphonctl("reload").returncode == 0
    site.until(web.answers)
    assert web.pid() == pid
    site.until(lambda: refuses(web, before))
    site.configure()
    assert site.siphonctl("reload").returncode == 0
    site.until(lambda: not web.answers())


def refuses(web, port):
    try:
        web.get("/admin/health", port=port)
    except OSError:
        return True
    return False


def test_prometheus_may_have_a_listener_of_its_own(site, web):
    port = free_port()
    site.configure(
        more=f'\n[metrics.prometheus]\nlisten = "127.0.0.1:{port}"\npath = "/m"\ncors = "http://ui.example"\n'
    )
    site.start()
    site.until(lambda: answers(web, port))
    assert "siphon_workers 2" in web.get("/m", port=port)[1]
    assert web.get("/admin/stats", port=port)[0] == 404
    wanted = urllib.request.Request(f"http://127.0.0.1:{port}/m", headers={"Origin": "http://ui.example"})
    with urllib.request.urlopen(wanted, timeout=60) as answer:
        assert answer.headers["access-control-allow-origin"] == "http://ui.example"


def answers(web, port):
    try:
        return web.get("/m", port=port)[0] == 200
    except urllib.error.URLError:
        return False


def test_both_may_be_one_listener(site, web):
    web.configure(f'\n[metrics.prometheus]\nlisten = "127.0.0.1:{web.port}"\npath = "/m"\n')
    web.start()
    assert "siphon_workers 2" in web.get("/m")[1]
    assert web.get("/admin/stats")[1]["state"] == "running"


def test_an_address_that_is_taken_is_tried_again(site, web):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", web.port))
        other.listen()
        site.start()
        site.until(lambda: "admin.cannot_listen" in site.text())
        assert site.ask() == b"SIP/2.0 200 OK"
    site.until(web.answers)


def test_what_is_no_http_harms_nobody(site, web):
    web.start()
    for rubbish in (b"\x00" * 5000, b"GET " + b"a" * 100_000, b"POST /admin/health HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", web.port), timeout=60) as peer:
            peer.sendall(rubbish)
    pid = web.pid()
    site.until(lambda: " warn admin - python.log logger=uvicorn.error " in site.text())
    assert web.get("/admin/nowhere")[0] == 404
    assert web.get("/admin/stats", "POST")[0] == 405
    assert web.answers() and web.pid() == pid
    assert site.stop(site.running[-1]) == 0


def test_the_page_for_people_is_served_where_it_is_enabled_and_to_whom_it_is_allowed(site, web):
    web.configure('auth = { token = "s3cret", protect_reads = true }\nui = { enabled = true }\n')
    web.start()
    register(site)
    assert web.get("/admin/ui")[0] == 401
    status, text = web.get("/admin/ui", Authorization="Basic YW55OnMzY3JldA==")
    assert status == 200
    assert "sip:alice@example.com" in text and "worker 1" in text
    web.configure()
    assert site.siphonctl("reload").returncode == 0
    site.until(lambda: web.get("/admin/ui")[0] == 404)
