"""The helper `defence` of real instances: nodes on one Redis, a fake apiban.org, nftables in a network namespace."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import peers
import pytest
from nodes import limit
from proxy_process import until
from redis_nodes import PATIENT_MS, SAID_OF_REDIS
from redis_servers import server
from test_bans_process import ANSWER, PATIENTLY, Source, bans


@pytest.fixture
def redis():
    with server() as made:
        yield made


def sources(proxy):
    return {(entry["source"], entry["node"] is not None) for entry in bans(proxy)}


# -- apiban


class Apiban(BaseHTTPRequestHandler):
    """Pages 100 and 200, then no more."""

    pages = {"": (["127.0.0.31", "127.0.0.32"], "100"), "100": (["127.0.0.33"], "200")}
    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        place = self.path.removeprefix("/api/KEY/banned").strip("/")
        addresses, identifier = self.pages.get(place, (["no new bans"], "none"))
        body = json.dumps({"ipaddress": addresses, "ID": identifier}).encode()
        self.send_response(400 if identifier == "none" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def apiban():
    handler = type("Handler", (Apiban,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], handler.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_apiban_is_read_page_by_page_and_trusted_addresses_are_left_alone(siphond, apiban):
    port, asked = apiban
    more = f"""
[security]
trusted_cidrs = ["127.0.0.32/32"]
[security.apiban]
api_key = "KEY"
url = "http://127.0.0.1:{port}/api"
interval_secs = 1
ban_ttl_secs = 600
"""
    proxy = siphond(script=ANSWER, workers=2, more=more).start()
    until(lambda: sources(proxy) == {("127.0.0.31", False), ("127.0.0.33", False)}, 40, "the bans")
    assert not Source(proxy, "127.0.0.31").is_served(2)
    assert Source(proxy, "127.0.0.32").is_served(PATIENTLY)
    until(lambda: len(asked) > 4, 40, "the next look")
    assert asked[:3] == ["/api/KEY/banned", "/api/KEY/banned/100", "/api/KEY/banned/200"]
    assert set(asked[3:]) == {"/api/KEY/banned/200"}
    assert "KEY" not in proxy.log()


def test_an_apiban_that_is_away_is_one_line_without_the_key_and_nothing_else(siphond):
    more = '\n[security.apiban]\napi_key = "KEY"\nurl = "http://127.0.0.1:1/api"\ninterval_secs = 1\n'
    proxy = siphond(script=ANSWER, workers=1, more=more).start()
    until(lambda: "apiban.failed" in proxy.log(), 40, "the line")
    assert Source(proxy, "127.0.0.31").is_served(PATIENTLY)
    assert proxy.log().count("apiban.failed") == 1 and "KEY" not in proxy.log()


# -- nodes


def test_bans_reach_the_other_node_of_a_redis_and_are_taken_back_there(redis, siphond):
    registrar = f'\n[registrar]\nbackend = "redis"\n[registrar.redis]\nurl = "redis://127.0.0.1:{redis.port}/0"\n'
    one, two = (siphond(script=ANSWER, workers=1, more=registrar) for _ in range(2))
    for node in (one, two):
        limit(node, PATIENT_MS)
        node.tolerated = SAID_OF_REDIS
        node.start()
    assert one.control("bans", "add", "127.0.0.41", "--secs", "600").returncode == 0
    until(lambda: sources(two) == {("127.0.0.41", True)}, 40, "the ban at the other node")
    assert not Source(two, "127.0.0.41").is_served(2)
    assert two.control("bans", "remove", "127.0.0.41").returncode == 0
    until(lambda: sources(one) == set(), 40, "the end of the ban")
    assert Source(one, "127.0.0.41").is_served(PATIENTLY)


# -- nftables


def may_change_nftables():
    """Root, and a network namespace of our own."""
    if os.geteuid() or peers.missing("nft", "ip"):
        return False
    done = subprocess.run(["unshare", "-n", "nft", "list", "ruleset"], capture_output=True)
    return done.returncode == 0


@peers.needs("nft", "ip")
@pytest.mark.skipif(not may_change_nftables(), reason="needs the right to change nftables in a namespace")
def test_the_kernel_drops_what_is_banned():
    """nftables_in_namespace.py, in a network namespace of its own: the machine's rules are nobody else's business."""
    inner = Path(__file__).with_name("nftables_in_namespace.py")
    line = f"ip link set lo up && exec {sys.executable} -m pytest -q -p no:cacheprovider {inner}"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", line],
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
