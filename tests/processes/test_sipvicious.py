"""SIPVicious, the scanner that everybody meets, against a real instance: it finds nothing, and it is banned."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from free_ports import free_port
from udp_agent import Agent

STOCK = Path(__file__).parents[2] / "scripts" / "proxy_default.py"
DEFENDED = """
[security.scanner_block]
user_agents = ["friendly-scanner", "sipvicious"]
"""
COUNTED = """
[security.failed_auth_ban]
threshold = 10
window_secs = 600
ban_duration_secs = 3600
strong_signal_weight = 3
"""
REAL = "secret"  # the password of alice in every test


class Attacker:
    """Its three tools. They send from 127.0.0.1."""

    def __init__(self, proxy, home):
        self.proxy, self.home = proxy, home

    def run(self, tool, *arguments, seconds=60):
        """What the tool prints, from start to end."""
        line = [str(Path(sys.executable).parent / f"sipvicious_{tool}"), "-p", str(self.proxy.port)]
        line += ["-P", str(free_port()), *arguments]
        done = subprocess.run(
            [*line, "127.0.0.1"],
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=self.home,
            env=os.environ | {"HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
        )
        return done.stdout + done.stderr


@pytest.fixture
def attacker(siphond, tmp_path):
    """`attacker(more)`: one against a siphond with the stock script."""

    def make(more):
        home = tmp_path / "attacker"
        home.mkdir()
        return Attacker(siphond(script=STOCK, workers=2, more=more).start(), home)

    return make


def counters(proxy):
    return proxy.status()["counters"]


def bans(proxy):
    return {(ban["source"], ban["user"]) for ban in json.loads(proxy.control("bans", "--json").stdout)}


def is_served(proxy):
    """Asked from another address than the attacker's."""
    with Agent(proxy.address, "carol") as agent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.2", 0))
        own.settimeout(20)
        own.sendto(agent.request("OPTIONS", "sip:example.com").replace(b";branch", b";rport;branch"), proxy.address)
        return own.recvfrom(65535)[0].startswith(b"SIP/2.0 200 ")


def dictionary(attacker, *words):
    path = attacker.home / "words"
    path.write_text("\n".join(words) + "\n")
    return str(path)


def test_svmap_finds_a_server_that_does_not_block_scanners_and_none_that_does(attacker):
    found = attacker("")
    assert f"127.0.0.1:{found.proxy.port}" in found.run("svmap", "-m", "OPTIONS")


def test_svmap_is_blocked_by_its_user_agent(attacker):
    blocked = attacker(DEFENDED)
    assert f"127.0.0.1:{blocked.proxy.port}" not in blocked.run("svmap", "-m", "OPTIONS")
    assert counters(blocked.proxy)["scanner_blocked"] > 0
    assert is_served(blocked.proxy)


def test_svwar_cannot_tell_users_from_names_that_nobody_has(attacker):
    made = attacker(COUNTED)
    printed = made.run("svwar", "-d", dictionary(made, "alice", "bob", "nobody", "carol", "100", "101"))
    assert "found nothing" in printed  # a name that it made up is answered as those of users are, so it gives up
    assert "| alice" not in printed
    assert counters(made.proxy)["requests"] >= 2


def test_svcrack_of_a_user_is_stopped_before_it_comes_to_his_password(attacker):
    made = attacker(COUNTED)
    words = [f"wrong{number}" for number in range(40)] + [REAL]
    printed = made.run("svcrack", "-u", "alice", "-d", dictionary(made, *words), "--domain", "example.com")
    assert REAL not in [word.strip() for line in printed.splitlines() for word in line.split("|")]
    assert ("127.0.0.1", "alice") in bans(made.proxy)
    assert counters(made.proxy)["auth_failures"] >= 10
    assert is_served(made.proxy)


def test_svcrack_finds_a_password_where_nothing_counts_the_failures(attacker):
    """The proof that the tool works against this server, so that its failure above means something."""
    made = attacker("")
    words = [f"wrong{number}" for number in range(40)] + [REAL]
    printed = made.run("svcrack", "-u", "alice", "-d", dictionary(made, *words), "--domain", "example.com")
    assert REAL in [word.strip() for line in printed.splitlines() for word in line.split("|")]


def test_svcrack_of_names_that_nobody_has_gets_its_address_banned(attacker):
    made = attacker(COUNTED)
    for name in range(100, 112):  # four are enough; an attacker that was not run for a second gives a name up
        made.run("svcrack", "-u", str(name), "-r", "1000-1003", "--domain", "example.com", "--maximumtime", "1")
        if ("127.0.0.1", None) in bans(made.proxy):
            break
    assert ("127.0.0.1", None) in bans(made.proxy)
    assert is_served(made.proxy)
