"""Users known by an HTTP service: one that never answers delays only those who are asked about."""

import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from proxy_process import until
from udp_agent import credentials

CHECK = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if request.method == "OPTIONS" or auth.require_proxy_digest(request):
        request.reply(200, request.auth_user)
"""


class Service(ThreadingHTTPServer):
    """Every user's password is "secret"; `silent` users are never answered about until it stops."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.silent = set()
        self.stopping = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        user = self.path.rpartition("/")[2]
        self.server.asked.append(user)
        if user in self.server.silent:
            self.server.stopping.wait(30)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"secret\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    thread.join()
    server.server_close()


def asking(siphond, service, *, timeout_ms=10_000, **options):
    proxy = siphond(script=CHECK, **options)
    url = f"http://127.0.0.1:{service.server_address[1]}/users/{{username}}"
    http = f'http = {{ url = "{url}", timeout_ms = {timeout_ms} }}'
    configure(proxy, "[auth]\n", f'[auth]\nbackend = "http"\n{http}\n')
    return proxy.start()


def configure(proxy, old, new):
    text = proxy.configuration.read_text()
    assert old in text
    proxy.configuration.write_text(text.replace(old, new))


def answered(agent, user):
    """A MESSAGE with credentials of `user`, ready to be sent."""
    uri = "sip:bob@example.com"
    agent.send(agent.request("MESSAGE", uri))
    challenge = agent.expect("407 MESSAGE")["proxy-authenticate"]
    line = credentials(challenge, user, "secret", "MESSAGE", uri)
    return agent.request("MESSAGE", uri, cseq=2, extra=[f"Proxy-Authorization: {line}"])


def test_an_auth_server_that_never_answers_delays_only_the_user_it_is_asked_about(siphond, service, agent):
    service.silent = {"carol"}
    proxy = asking(siphond, service, workers=1, timeout_ms=12_000)
    carol, alice = agent(proxy, "carol"), agent(proxy, "alice")
    request = answered(carol, "carol")
    began = time.monotonic()
    carol.send(request)
    until(lambda: "carol" in service.asked, 15, "the question about carol")
    for _ in range(10):
        alice.send(answered(alice, "alice"))
        assert alice.expect("200 MESSAGE").start.endswith("alice")
    assert all(message.status == 100 for message in carol.drain())  # carol still waits
    answer = carol.expect("500 MESSAGE", within=40)
    assert answer.start == "SIP/2.0 500 Authentication Unavailable"
    assert time.monotonic() - began > 11.9
    until(lambda: "auth.http.no_answer" in proxy.log(), 15, "the line")


def test_a_reload_asks_the_new_service(siphond, service, agent):
    proxy = asking(siphond, service, workers=2)
    alice = agent(proxy, "alice")
    alice.send(answered(alice, "alice"))
    alice.expect("200 MESSAGE")
    configure(proxy, "/users/", "/people/v2/")
    configure(proxy, "timeout_ms = 10000", "timeout_ms = 10000, cache_ttl_secs = 60")
    proxy.send_signal(signal.SIGHUP)
    until(lambda: proxy.log().count("script.loaded") == 3, 30, "the reload of both workers and the helper")
    service.asked.clear()
    for _ in range(5):
        alice.send(answered(alice, "alice"))
        alice.expect("200 MESSAGE")
    assert service.asked in (["alice"], ["alice", "alice"])  # once a worker: a sibling serves for one that is busy
