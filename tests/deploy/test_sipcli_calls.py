"""`sipcli.py call` and `sipcli.py answer`: against each other, and against a peer that loses messages."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from itertools import groupby

import pytest
from free_ports import free_port
from test_sipcli import SIPCLI, header, reply, serve, sipcli

__all__ = ["serve"]  # a fixture


class Callee:
    """`sipcli.py answer` in a process of its own."""

    def __init__(self, *arguments, listens=True):
        self.port = free_port()
        line = [sys.executable, "-ES", SIPCLI, "answer", "127.0.0.1", str(self.port), *arguments]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 90
        while listens and time.monotonic() < deadline:  # it listens once OPTIONS is answered
            if sipcli("options", self.port, "--patience", "0.3").returncode == 0:
                return
        assert not listens, "sipcli.py answer does not listen"

    def end(self):
        out, err = self.process.communicate(timeout=180)
        return out.strip(), self.process.returncode, err


@pytest.fixture
def callee():
    with contextlib.ExitStack() as stack:

        def make(*arguments, **options):
            made = Callee(*arguments, **options)
            stack.enter_context(made.process)
            stack.callback(made.process.kill)
            return made

        yield make


@pytest.fixture
def alice():
    with contextlib.closing(Peer()) as peer:
        yield peer


class Peer:
    """A socket on which the test says each message."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.to = ("127.0.0.1", 0)
        self.address = self.socket.getsockname()

    def close(self):
        self.socket.close()

    def call(self, callee):
        self.to = ("127.0.0.1", callee.port)
        self.request("INVITE")

    def request(self, method, cseq=1, to="<sip:bob@example.com>", branch="z9hG4bKone", call_id="one"):
        lines = [
            f"{method} sip:bob@example.com SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.address[1]};branch={branch}",
            "From: <sip:alice@example.com>;tag=a",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            "Record-Route: <sip:127.0.0.9;lr>",
            "Content-Length: 0",
        ]
        self.socket.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), self.to)

    def expect(self, start):
        """The next message that is no repeat of a 180."""
        while True:
            text = self.socket.recv(65535).decode()
            if text.startswith(start):
                return text
            assert text.startswith("SIP/2.0 180"), f"{text.splitlines()[0]} instead of {start}"


def test_a_call_rings_is_answered_and_hung_up(callee):
    bob = callee("bob", "--ring", "0.5", "--trace")
    done = sipcli("call", bob.port, "bob", "--talk", "0.1", "--trace")
    assert (done.stdout, done.returncode) == ("200\n", 0)
    out, status, trace = bob.end()
    assert (out, status) == ("200", 0)
    seen = [line.split(" ", 3)[3] for line in done.stderr.splitlines()]
    told = [line.replace("sip:bob@example.com ", "") for line in seen if "INVITE" in line or "SIP/2.0 " in line]
    assert [line for line, _ in groupby(told)] == ["INVITE SIP/2.0", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert told.count("SIP/2.0 200 OK") >= 2  # to INVITE and BYE
    assert re.search(r"^\d+\.\d{3} <- 127\.0\.0\.1:\d+ BYE sip:bob@127\.0\.0\.1", trace, re.M)


def test_a_callee_that_refuses(callee):
    bob = callee("--ring", "0", "--code", "603")
    assert sipcli("call", bob.port, "bob").stdout == "603\n"
    assert bob.end()[:2] == ("603", 1)


def test_a_caller_that_is_tired_of_the_ringing_cancels(callee):
    bob = callee("--ring", "30")
    done = sipcli("call", bob.port, "bob", "--patience", "3")
    assert (done.stdout, done.returncode) == ("487\n", 1)
    assert bob.end()[:2] == ("487", 1)


def test_invite_against_a_callee_prints_180_and_cancels(callee):
    bob = callee("--ring", "30")
    assert sipcli("invite", bob.port, "bob").stdout == "180\n"
    assert bob.end()[:2] == ("487", 1)


def test_the_200_is_repeated_until_its_ack(callee, alice):
    bob = callee("--ring", "0")
    alice.call(bob)
    first = alice.expect("SIP/2.0 200")
    assert alice.expect("SIP/2.0 200") == first
    assert header(first, "Record-Route") == "<sip:127.0.0.9;lr>"
    alice.request("ACK", to=header(first, "To"), branch="z9hG4bKack")
    alice.request("BYE", 2, header(first, "To"), "z9hG4bKbye")
    text = alice.expect("SIP/2.0 200")
    while header(text, "CSeq") != "2 BYE":
        text = alice.expect("SIP/2.0 200")
    alice.request("BYE", 2, header(first, "To"), "z9hG4bKbye")
    assert alice.expect("SIP/2.0 200") == text
    assert bob.end()[:2] == ("200", 0)


def test_a_bye_before_the_ack_is_told_apart(callee, alice):
    bob = callee("--ring", "0")
    alice.call(bob)
    to = header(alice.expect("SIP/2.0 200"), "To")
    alice.request("BYE", 2, to, "z9hG4bKbye")
    out, status, err = bob.end()
    assert (out, status) == ("200", 3)
    assert err == "sipcli: no ACK came\n"


def test_a_second_call_is_busy_and_a_stray_cancel_is_481(callee, alice):
    bob = callee("--ring", "30", "--patience", "60")
    alice.call(bob)
    alice.expect("SIP/2.0 180")
    alice.request("INVITE", branch="z9hG4bKtwo", call_id="two")
    alice.expect("SIP/2.0 486")
    alice.request("CANCEL", branch="z9hG4bKthree", call_id="three")
    alice.expect("SIP/2.0 481")


def test_nobody_calls(callee):
    out, status, err = callee("--patience", "1", listens=False).end()
    assert (out, status) == ("", 2)
    assert "nobody called" in err


def test_ctrl_c_ends_it_without_a_traceback(callee):
    bob = callee()
    bob.process.send_signal(signal.SIGINT)
    assert bob.end() == ("", 130, "")


def test_a_challenged_call_is_acknowledged_and_asked_again(serve):
    challenge = 'Proxy-Authenticate: Digest realm="example.com", nonce="abc", qop="auth"'

    def answer(request):
        if request.startswith("ACK"):
            return []
        if request.startswith("INVITE") and not header(request, "Proxy-Authorization"):
            return [reply(request, "407 Proxy Authentication Required", challenge)]
        return [reply(request, "200 OK", "Contact: <sip:bob@127.0.0.1:9>")]

    server = serve(answer)
    done = sipcli("call", server, "bob", "--as", "alice", "--talk", "0")
    assert (done.stdout, done.returncode) == ("200\n", 0)
    server.close()
    assert server.methods() == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    assert 'username="alice"' in header(server.seen[2], "Proxy-Authorization")
    assert header(server.seen[1], "Via") == header(server.seen[0], "Via") != header(server.seen[2], "Via")
    assert [header(message, "CSeq").split()[0] for message in server.seen] == ["1", "1", "2", "2", "3"]


def test_a_bye_that_nobody_answers_is_3(serve):
    def answer(request):
        if request.startswith("BYE"):
            return [reply(request, "481 Gone")]
        return [reply(request, "200 OK")] if request.startswith("INVITE") else []

    done = sipcli("call", serve(answer), "bob", "--talk", "0")
    assert (done.stdout, done.returncode) == ("200\n", 3)


def test_a_non_invite_with_a_provisional_is_repeated_more_slowly(serve):
    counts = []
    for _ in range(4):
        server = serve(lambda request: [reply(request, "100 Trying", to_tag="")])
        assert sipcli("options", server, "--patience", "3").returncode == 2
        server.close()
        counts.append(server.count)
        if counts[-1] == 2:
            break
    assert counts[-1] == 2, "the repeat that was due at 0.5 s, then every T2"


@pytest.mark.parametrize("line", [("options", "0"), ("options", "65536"), ("call", "x", "bob"), ("answer", "70000")])
def test_a_port_that_is_none_is_a_wrong_command_line(line):
    done = subprocess.run([sys.executable, SIPCLI, line[0], "127.0.0.1", *line[1:]], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_an_address_that_is_not_ours_is_one_line():
    done = subprocess.run([sys.executable, SIPCLI, "answer", "192.0.2.1", "5060"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "sipcli: 192.0.2.1:5060: Cannot assign requested address\n"


def test_the_help_names_the_commands_and_the_exit_status():
    done = subprocess.run([sys.executable, SIPCLI, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("register", "invite", "options", "call", "answer", "Exit status"):
        assert word in done.stdout
