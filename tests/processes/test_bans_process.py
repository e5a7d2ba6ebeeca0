"""Bans of real processes: all workers hold to them, they outlive everything, siphonctl lists and changes them."""

import hashlib
import json
import socket

import pytest
from proxy_process import until
from udp_agent import Agent

from siphon.engine.counters import Counter

ANSWER = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200)
"""
LIMIT = """
[security.rate_limit]
window_secs = 60
max_requests = 30
"""


class Source:
    """Asks from an address of the loopback net, each time from a new port, so that all workers are reached."""

    def __init__(self, proxy, ip):
        self.proxy, self.ip = proxy, ip

    def is_served(self, tries=1, seconds=0.5):
        """Whether one of so many requests is answered within so many seconds."""
        with Agent(self.proxy.address, "source") as agent:
            request = agent.request("OPTIONS", "sip:example.com").replace(b";branch", b";rport;branch")
        for _ in range(tries):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.bind((self.ip, 0))
                own.settimeout(seconds)
                own.sendto(request, self.proxy.address)
                try:
                    if own.recvfrom(65535)[0].startswith(b"SIP/2.0 200 "):
                        return True
                except TimeoutError:
                    pass
        return False


PATIENTLY = 60
"""Tries of somebody who is served, on whatever machine."""


def bans(proxy):
    done = proxy.control("bans", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dropped(proxy):
    return proxy.status()["counters"]["banned"]


def dropped_by_each(proxy):
    return [proxy.slots().row(index)[Counter.BANNED] for index in range(proxy.workers)]


def test_a_ban_by_hand_holds_for_all_workers_and_outlives_kill_9_of_everything(siphond):
    proxy = siphond(script=ANSWER, workers=4).start()
    bad, good = Source(proxy, "127.0.0.9"), Source(proxy, "127.0.0.8")
    assert bad.is_served(PATIENTLY) and proxy.control("bans").stdout == "nobody is banned\n"
    done = proxy.control("bans", "add", "127.0.0.9", "--reason", "a test")
    assert (done.returncode, done.stdout) == (0, "127.0.0.9: banned for 1 h 0 min\n")
    sent = 0
    while sent < 12 or sum(number > 0 for number in dropped_by_each(proxy)) < 2:
        assert sent < 60, "one worker may read for the others while they are kept waiting, but not for ever"
        assert not bad.is_served()
        sent += 1
    assert good.is_served(PATIENTLY)
    assert until(lambda: dropped(proxy) == sent, 20, "that all are counted")
    proxy.kill_all()
    proxy.start()
    assert not bad.is_served(4)
    (entry,) = bans(proxy)
    assert (entry["source"], entry["reason"], entry["user"], entry["node"]) == ("127.0.0.9", "a test", None, None)
    assert 3000 < entry["seconds_left"] <= 3600
    assert proxy.control("bans", "remove", "127.0.0.9").returncode == 0
    assert bad.is_served(PATIENTLY)
    assert proxy.control("bans", "remove", "127.0.0.9").returncode == 1
    assert bans(proxy) == []


def test_a_rate_is_counted_by_all_workers_and_who_exceeds_it_is_banned(siphond):
    proxy = siphond(script=ANSWER, workers=4, more=LIMIT).start()
    fast, slow = Source(proxy, "127.0.0.7"), Source(proxy, "127.0.0.6")
    assert [fast.is_served(seconds=15) for _ in range(30)] == [True] * 30
    assert [fast.is_served(), fast.is_served()] == [False] * 2
    until(lambda: [entry["reason"] for entry in bans(proxy)] == ["rate limit"], 20, "the ban")
    assert slow.is_served(20)

    def counted():
        counters = proxy.status()["counters"]
        return (counters["rate_limited"], counters["banned"], counters["bans"])

    until(lambda: counted() == (1, 1, 1), 20, "the counts")


def test_a_reload_changes_who_is_trusted_and_screened(siphond):
    proxy = siphond(script=ANSWER, workers=2).start()
    own = Source(proxy, "127.0.0.5")
    assert proxy.control("bans", "add", "127.0.0.5").returncode == 0
    assert not own.is_served(2)
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text + '\n[security]\ntrusted_cidrs = ["127.0.0.4/31"]\n')
    assert proxy.control("reload").returncode == 0
    assert own.is_served(PATIENTLY)
    proxy.configuration.write_text(text)
    assert proxy.control("reload").returncode == 0
    until(lambda: not own.is_served(1), 30, "the ban")


@pytest.mark.parametrize("arguments", [["add", "nonsense"], ["add", "192.0.2.0/24"], ["remove", ""], ["add"]])
def test_what_is_no_address_is_a_wrong_command_line(siphond, arguments):
    proxy = siphond(script=ANSWER, workers=1).start()
    done = proxy.control("bans", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert bans(proxy) == []


PHONE = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if request.method == "OPTIONS" or auth.require_www_digest(request):
        request.reply(200)
"""
FAILURES = """
[security.failed_auth_ban]
threshold = 6
window_secs = 600
ban_duration_secs = 600
"""


def log_in(agent, password, user="alice"):
    """The status that answers the credentials; each datagram may reach another worker."""
    agent.send(agent.request("REGISTER", "sip:example.com"))
    challenge = agent.expect("401 REGISTER")["www-authenticate"]
    nonce = challenge.partition('nonce="')[2].partition('"')[0]
    one = hashlib.md5(f"{user}:example.com:{password}".encode()).hexdigest()
    two = hashlib.md5(b"REGISTER:sip:example.com").hexdigest()
    response = hashlib.md5(f"{one}:{nonce}:00000001:c:auth:{two}".encode()).hexdigest()
    line = (
        f'Authorization: Digest username="{user}", realm="example.com", nonce="{nonce}", uri="sip:example.com", '
        f'qop=auth, nc=00000001, cnonce="c", response="{response}"\r\n'
    )
    request = agent.request("REGISTER", "sip:example.com")
    agent.send(request.replace(b"Content-Length", line.encode() + b"Content-Length", 1))
    return agent.expect("xxx REGISTER").status


def test_sec_08_wrong_passwords_are_counted_by_all_workers_and_the_ban_outlives_kill_9_of_everything(siphond, agent):
    proxy = siphond(script=PHONE, workers=4, more=FAILURES).start()
    alice = agent(proxy, "alice", fresh=True)
    assert [log_in(alice, "wrong") for _ in range(6)] == [401] * 6
    assert sum(number > 0 for number in proxy.messages()) > 1 or proxy.adoptions() > 0
    assert [log_in(alice, "secret") for _ in range(6)] == [403] * 6
    assert log_in(alice, "secret", "bob") == 200
    proxy.kill_all()
    proxy.start()
    assert log_in(alice, "secret") == 403
    assert [(entry["source"], entry["user"]) for entry in bans(proxy)] == [("127.0.0.1", "alice")]
    assert proxy.control("bans", "remove", "127.0.0.1", "--user", "alice").returncode == 0
    assert log_in(alice, "secret") == 200
