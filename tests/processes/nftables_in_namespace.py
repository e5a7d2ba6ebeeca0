"""Bans in the kernel's own tables: run by test_defence_process.py in a network namespace that nobody else uses.

Not collected by itself, since it makes a table and rules of nftables where it runs.
"""

import json
import socket
import subprocess

from proxy_process import until
from test_bans_process import ANSWER, PATIENTLY, Source

FIREWALL = """
[security.firewall]
table = "siphon_test"
chain = "banned"
set_v4 = "banned4"
set_v6 = "banned6"
"""


def nft(*arguments):
    return subprocess.run(["nft", "-j", *arguments], capture_output=True, text=True)


def elements(name):
    done = nft("list", "set", "inet", "siphon_test", name)
    if done.returncode:
        return None
    found = next(item["set"] for item in json.loads(done.stdout)["nftables"] if "set" in item)
    return [element["elem"]["val"] for element in found.get("elem", [])]


def test_the_kernel_drops_what_is_banned_and_only_for_our_port(siphond):
    proxy = siphond(script=ANSWER, workers=2, more=FIREWALL).start()
    until(lambda: elements("banned4") == [], 20, "the set")
    assert proxy.control("bans", "add", "127.0.0.51").returncode == 0
    assert proxy.control("bans", "add", "2001:db8:7:8::1").returncode == 0
    assert proxy.control("bans", "add", "127.0.0.53", "--user", "bob").returncode == 0
    until(lambda: elements("banned4") == ["127.0.0.51"] and elements("banned6"), 20, "the elements")
    assert elements("banned6") == [{"prefix": {"addr": "2001:db8:7:8::", "len": 64}}]
    before = sum(proxy.messages())
    assert not Source(proxy, "127.0.0.51").is_served(3)
    assert sum(proxy.messages()) == before  # no worker has seen them
    assert Source(proxy, "127.0.0.52").is_served(PATIENTLY)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as banned,
    ):
        here.bind(("127.0.0.1", 0))
        here.settimeout(20)
        banned.bind(("127.0.0.51", 0))
        banned.sendto(b"other ports", here.getsockname())
        assert here.recv(100) == b"other ports"
    assert proxy.control("bans", "remove", "127.0.0.51").returncode == 0
    until(lambda: elements("banned4") == [], 20, "the end of the ban")
    assert Source(proxy, "127.0.0.51").is_served(PATIENTLY)
    proxy.stop()
    rules = json.loads(nft("list", "chain", "inet", "siphon_test", "banned").stdout)["nftables"]
    assert not [item for item in rules if "rule" in item]
    nft("delete", "table", "inet", "siphon_test")
