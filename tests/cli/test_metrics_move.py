"""Each metric of siphond that counts something: it moves when that happens, and by what it should."""

import re
import socket

import pytest
from test_admin import Web

SCRIPT = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if request.method == "INVITE":
        request.record_route()
        request.relay()
    elif request.method == "BYE" and request.loose_route():
        request.relay()
    elif request.method == "PUBLISH":
        raise RuntimeError("no")
    elif request.method == "REGISTER":
        auth.require_digest(request)
    else:
        request.loose_route()
        request.reply(200, "OK")
"""
MORE = """
[auth]
users = { a = "secret" }
[cdr]
enabled = true
auto_emit = true
[transaction]
t1 = 4
[security.scanner_block]
user_agents = ["friendly-scanner"]
[security.rate_limit]
window_secs = 3600
max_requests = 6
"""
GAUGES = (
    *("registrations_active", "transactions_active", "uptime_seconds", "workers", "banned_ips"),
    *("proxy_dialog_sessions", "cdr_sessions", "connections_active"),
)
COUNTERS = (
    *("requests_total", "responses_total", "auth_failures_total", "rate_limited_total", "scanner_blocked_total"),
    *("malformed_messages_total", "script_errors_total", "script_executions_total", "route_unsigned_total"),
    *("worker_restarts_total", "shared_full_total", "kernel_drops_total"),
)
WRONG = (
    'Authorization: Digest username="a", realm="localhost", nonce="x", uri="sip:example.com",'
    f' response="{"0" * 32}"\r\n'
)


class Phone:
    """A source of its own: an address of the loopback net."""

    def __init__(self, site, ip):
        self.site = site
        self.ip = ip
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.socket.settimeout(60)
        self.place = f"{ip}:{self.socket.getsockname()[1]}"

    def request(self, method, more="", uri="sip:example.com"):
        text = self.site.request(method, self.place.partition(":")[2]).decode()
        text = re.sub("UDP 127.0.0.1:[0-9]+", f"UDP {self.place}", text)
        return text.replace(f"{method} sip:example.com", f"{method} {uri}").replace(
            "Max-Forwards", f"{more}Max-Forwards"
        )

    def say(self, text):
        self.socket.sendto(text.encode(), ("127.0.0.1", self.site.port))

    def hear(self, begin):
        while not (text := self.socket.recv(65535).decode()).startswith(begin):
            pass
        return text

    def ask(self, method, status, more=""):
        self.say(self.request(method, more))
        self.hear(f"SIP/2.0 {status}")


@pytest.fixture
def web(site):
    site.script.write_text(SCRIPT)
    made = Web(site)
    made.configure(MORE)
    made.start()
    return made


@pytest.fixture
def phones(site):
    """The given number of them."""
    made = []

    def make(count):
        made.extend(Phone(site, f"127.0.{1 + len(made)}.{1 + number}") for number in range(count))
        return made[-count:]

    yield make
    for phone in made:
        phone.socket.close()


@pytest.fixture
def moves(site, web):
    def check(act, **by):
        before = {name: web.metric(f"siphon_{name}") for name in by}
        act()
        after = {name: before[name] + by[name] for name in by}
        site.until(lambda: {name: web.metric(f"siphon_{name}") for name in by} == after)

    return check


def test_each_metric_has_the_type_that_is_said_of_it(web):
    told = dict(re.findall(r"^# TYPE siphon_(\S+) (\S+)$", web.get("/metrics")[1], re.MULTILINE))
    said = {**dict.fromkeys(GAUGES, "gauge"), **dict.fromkeys(COUNTERS, "counter")}
    said["request_duration_seconds"] = "histogram"
    assert {name: told.get(name) for name in said} == said
    assert {name for name, kind in told.items() if kind == "counter"} == {n for n in told if n.endswith("_total")}


def test_a_metric_moves_by_one_when_what_it_counts_happens(site, web, phones, moves):
    (phone,) = phones(1)
    moves(lambda: phone.say(phone.request("OPTIONS").replace("Call-ID", "X-None")), malformed_messages_total=1)
    moves(lambda: phone.ask("PUBLISH", 500), script_errors_total=1, script_executions_total=1, requests_total=1)
    scan = phone.request("OPTIONS", "User-Agent: Friendly-Scanner\r\n")
    moves(lambda: phone.say(scan), scanner_blocked_total=1, requests_total=1, script_executions_total=0)
    route = f"Route: <sip:127.0.0.1:{site.port};lr>\r\n"
    moves(lambda: phone.ask("SUBSCRIBE", 200, route), route_unsigned_total=1)
    moves(lambda: phone.ask("REGISTER", 401, WRONG), auth_failures_total=1)
    moves(lambda: phone.ask("REGISTER", 401), auth_failures_total=0, request_duration_seconds_count=1)
    moves(lambda: [phone.say(scan)] * 2, rate_limited_total=1, banned_ips=1, requests_total=0)


def test_an_answered_call_is_in_the_gauges_until_its_bye(site, web, phones, moves):
    caller, callee = phones(2)
    uri = f"sip:b@{callee.place}"
    invite = caller.request("INVITE", f"Contact: <sip:a@{caller.place}>\r\n", uri)

    def answer(method, *more):
        heard = callee.hear(method).replace("To: <sip:example.com>\r\n", "To: <sip:example.com>;tag=b\r\n")
        kept = re.findall(r"^(?:Via|Record-Route|From|To|Call-ID|CSeq):.*\r\n", heard, re.MULTILINE)
        callee.say("".join(["SIP/2.0 200 OK\r\n", *kept, *more, "Content-Length: 0\r\n\r\n"]))
        return caller.hear("SIP/2.0 200")

    def call():
        caller.say(invite)
        heard.append(answer("INVITE", f"Contact: <{uri}>\r\n"))

    def end():
        (route,) = re.findall("^Record-Route:.*\r\n", heard[0], re.MULTILINE)
        bye = caller.request("BYE", route.removeprefix("Record-"), uri).replace("com>\r\nCall", "com>;tag=b\r\nCall")
        caller.say(re.sub("Call-ID: .*", re.search("Call-ID: .*", invite)[0], bye).replace("CSeq: 1", "CSeq: 2"))
        answer("BYE")

    heard = []
    moves(call, proxy_dialog_sessions=1, cdr_sessions=1, responses_total=1)
    moves(end, proxy_dialog_sessions=-1, cdr_sessions=-1, responses_total=1)


def test_requests_that_a_full_table_refuses_are_counted(site, web, phones):
    refused = 0
    for phone in phones(60):
        for _ in range(5):
            phone.say(phone.request("OPTIONS"))
            refused += phone.hear("SIP/2.0").startswith("SIP/2.0 503")
    assert 300 - 256 <= refused < 200
    site.until(lambda: web.metric("siphon_shared_full_total") == refused)
    site.until(lambda: web.metric("siphon_transactions_active") == 300 - refused)
