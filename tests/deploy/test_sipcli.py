"""deploy/ha-demo/sipcli.py against a scripted UDP server: what it sends, what it prints, how it exits."""

import hashlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SIPCLI = Path(__file__).parents[2] / "deploy/ha-demo/sipcli.py"
Answer = Callable[[str], list[str]]


def header(message: str, name: str) -> str:
    match = re.search(rf"^{name}: (.*)\r$", message, re.M)
    return match[1] if match else ""


def reply(request: str, start: str, *extra: str, to_tag: str = ";tag=server", cseq: str = "") -> str:
    kept = [f"{name}: {header(request, name)}" for name in ("Via", "From", "Call-ID")]
    lines = [f"SIP/2.0 {start}", *kept, f"To: {header(request, 'To')}{to_tag}"]
    return "\r\n".join([*lines, f"CSeq: {cseq or header(request, 'CSeq')}", *extra, "Content-Length: 0", "", ""])


class Server:
    """Answers each datagram by a function, and keeps what came and from where. Who waits for an answer repeats what he
    has sent, on a machine that is late too: a repeat is answered, and counted."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[str] = []
        self.count = 0
        self.sources: set[tuple[str, int]] = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while datagram := self.socket.recvfrom(65535):
            data, source = datagram
            if not data:
                return
            text = data.decode()
            self.count += 1
            if text not in self.seen:
                self.seen.append(text)
            self.sources.add(source)
            for answer in self.answer(text):
                self.socket.sendto(answer.encode(), source)

    def close(self) -> None:
        """Returns when everything sent so far has been taken."""
        if self.socket.fileno() < 0:
            return
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()

    def methods(self) -> list[str]:
        return [message.split(" ", 1)[0] for message in self.seen]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def sipcli(command: str, server: Server | int, *arguments: str) -> subprocess.CompletedProcess[str]:
    port = server if isinstance(server, int) else server.port
    line = [sys.executable, "-ES", str(SIPCLI), command, "127.0.0.1", str(port), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=180)


def test_options_prints_the_code_alone_and_exits_0(serve):
    server = serve(lambda request: [reply(request, "200 OK")])
    done = sipcli("options", server, "--domain", "example.org")
    assert (done.stdout, done.stderr, done.returncode) == ("200\n", "", 0)
    assert server.seen[0].startswith("OPTIONS sip:example.org SIP/2.0\r\n")
    assert header(server.seen[0], "To") == "<sip:example.org>"
    assert "@example.org>" in header(server.seen[0], "From")


def test_a_refusal_is_printed_and_exits_1(serve):
    server = serve(lambda request: [reply(request, "404 Not Found")])
    done = sipcli("options", server)
    assert (done.stdout, done.returncode) == ("404\n", 1)


def test_nothing_in_four_seconds_exits_2_and_the_request_was_repeated(serve):
    counts = []
    for _ in range(4):  # one that is late for long leaves a repeat out
        server = serve(lambda request: [])
        done = sipcli("options", server)
        assert (done.stdout, done.returncode) == ("", 2)
        server.close()
        assert len(server.seen) == 1
        counts.append(server.count)
        if counts[-1] == 4:
            break
    assert max(counts) == 4, "at 0, 0.5, 1.5 and 3.5 s"


def test_garbage_and_the_answer_to_another_request_are_not_taken_for_the_answer(serve):
    server = serve(lambda request: ["garbage", reply(request, "500 No", cseq="7 INVITE"), reply(request, "200 OK")])
    assert sipcli("options", server).stdout == "200\n"


def digest_server(challenge: str, name: str) -> tuple[list[bool], Answer]:
    """Challenges a REGISTER without credentials and judges the others, with the hash called `name`."""
    verdicts: list[bool] = []

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    def answer(request: str) -> list[str]:
        given = header(request, "Authorization")
        if not given:
            return [reply(request, "401 Unauthorized", f"WWW-Authenticate: {challenge}")]
        field = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        ha1 = digest(f"bob:{field['realm']}:secret")
        middle = ":".join(field[name] for name in ("nc", "cnonce", "qop") if name in field)
        parts = [ha1, field["nonce"], middle, digest(f"REGISTER:{field['uri']}")]
        verdicts.append(field["response"] == digest(":".join(part for part in parts if part)))
        return [reply(request, "200 OK")]

    return verdicts, answer


@pytest.mark.parametrize(
    ("challenge", "name"),
    [
        ('Digest realm="example.com", nonce="abc", qop="auth", algorithm=MD5', "md5"),
        ('Digest realm="example.com",nonce="abc",qop="auth,auth-int",algorithm=SHA-256,opaque="x"', "sha256"),
        ('Digest realm="example.com", nonce="abc"', "md5"),
    ],
)
def test_register_answers_the_challenge_on_the_same_socket(serve, challenge, name):
    verdicts, answer = digest_server(challenge, name)
    server = serve(answer)
    done = sipcli("register", server, "bob", "127.0.0.1", "5080")
    assert (done.stdout, done.returncode) == ("200\n", 0)
    assert set(verdicts) == {True}
    assert [header(message, "CSeq") for message in server.seen] == ["1 REGISTER", "2 REGISTER"]
    assert len(server.sources) == 1
    assert len({header(message, "Call-ID") for message in server.seen}) == 1
    assert header(server.seen[1], "Contact") == "<sip:bob@127.0.0.1:5080>"
    assert ("opaque=" in header(server.seen[1], "Authorization")) == ("opaque" in challenge)


def test_register_with_the_wrong_password_prints_the_second_401(serve):
    refuse = 'WWW-Authenticate: Digest realm="example.com", nonce="abc", qop="auth"'
    server = serve(lambda request: [reply(request, "401 Unauthorized", refuse)])
    done = sipcli("register", server, "bob", "127.0.0.1", "5080", "--password", "wrong")
    assert (done.stdout, done.returncode) == ("401\n", 1)
    assert len(server.seen) == 2


def test_invite_prints_the_first_response_then_cancels_and_acknowledges(serve):
    def answer(request: str) -> list[str]:
        if request.startswith("INVITE"):
            return [reply(request, "100 Trying", to_tag="")]
        if request.startswith("CANCEL"):
            return [reply(request, "200 OK"), reply(request, "487 Request Terminated", cseq="1 INVITE")]
        return []

    server = serve(answer)
    done = sipcli("invite", server, "bob")
    assert (done.stdout, done.returncode) == ("100\n", 0)
    server.close()
    assert server.methods() == ["INVITE", "CANCEL", "ACK"]
    assert server.seen[0].startswith("INVITE sip:bob@example.com SIP/2.0\r\n")
    assert len({header(message, "Via") for message in server.seen}) == 1
    assert header(server.seen[2], "CSeq") == "1 ACK"
    assert header(server.seen[2], "To").endswith(";tag=server")


def test_invite_refused_at_once_is_acknowledged_and_not_cancelled(serve):
    server = serve(lambda request: [reply(request, "404 Not Found")] if request.startswith("INVITE") else [])
    done = sipcli("invite", server, "nobody")
    assert (done.stdout, done.returncode) == ("404\n", 1)
    server.close()
    assert server.methods() == ["INVITE", "ACK"]


def test_invite_answered_before_the_cancel_is_hung_up(serve):
    routes = "Record-Route: <sip:127.0.0.1;lr;b=2>, <sip:127.0.0.1;lr;b=1>"

    def answer(request: str) -> list[str]:
        if request.startswith("CANCEL"):
            taken = ("Contact: <sip:phone@127.0.0.1:9>", routes)
            return [reply(request, "200 OK", *taken, cseq="1 INVITE"), reply(request, "200 OK")]
        return [] if request.startswith("ACK") else [reply(request, "180 Ringing" if "INVITE" in request else "200 OK")]

    server = serve(answer)
    assert sipcli("invite", server, "bob").stdout == "180\n"
    assert server.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert server.seen[3].startswith("BYE sip:phone@127.0.0.1:9 SIP/2.0\r\n")
    assert header(server.seen[3], "CSeq") == "2 BYE"
    assert re.findall(r"^Route: (.*)\r$", server.seen[3], re.M) == ["<sip:127.0.0.1;lr;b=1>", "<sip:127.0.0.1;lr;b=2>"]


def test_a_wrong_command_line_exits_2():
    done = subprocess.run([sys.executable, str(SIPCLI), "dance"], capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert "usage:" in done.stderr
