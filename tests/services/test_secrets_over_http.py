"""`auth.http`: one GET a user, against a server on loopback that says what it was asked."""

import asyncio
import hashlib
import subprocess
import sys

import pytest

from siphon.config.settings import Auth
from siphon.services.digest import Secret
from siphon.services.digest.hashes import Algorithm
from siphon.services.digest.over_http import BODY_BYTES, http_fetch
from siphon.services.digest.remote import NoSecret

CONNECTIONS = []


def ask(answer, *users, algorithms=("MD5",), path="/user/{username}", **http):
    """What came of asking for each user; and the request lines that the server has read. `answer`: status and body, or
    the raw bytes of the answer."""
    raw = answer if isinstance(answer, bytes) else b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (
        answer[0], len(answer[1]), answer[1]
    )  # fmt: skip
    lines = []
    CONNECTIONS.clear()

    async def serve(reader, writer):
        CONNECTIONS.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines.append(head.split(b"\r\n")[0].decode())
            writer.write(raw)
            await writer.drain()
            if b"Content-Length" not in raw:
                break
        writer.close()

    async def serve_quietly(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run():
        server = await asyncio.start_server(serve_quietly, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}{path}"
        patient = {"url": url, "connect_timeout_ms": 60_000, **http}
        settings = Auth(backend="http", algorithms=list(algorithms), http=patient)
        fetch = http_fetch(settings)
        found = []
        for user in users:
            try:
                found.append(await asyncio.wait_for(fetch(user), 60))
            except NoSecret as fault:
                found.append(str(fault))
        await fetch.close()
        server.close()
        await asyncio.sleep(0)
        return found

    return asyncio.run(run()), lines


def test_the_trimmed_body_is_the_password():
    found, lines = ask((200, b"  se cret \r\n"), b"alice")
    assert found == [Secret(password=b"se cret")]
    assert lines == ["GET /user/alice HTTP/1.1"]


@pytest.mark.parametrize(
    ("user", "written"),
    [
        (b"a b", "a%20b"),
        (b"a/../b?x=1&y#z", "a%2F..%2Fb%3Fx%3D1%26y%23z"),
        (b"50%", "50%25"),
        (b"%2e%2e", "%252e%252e"),
        ("jörg".encode(), "j%C3%B6rg"),
        (b"a\r\nX: y", "a%0D%0AX%3A%20y"),
        (b"\xff", "%FF"),
        (b"{username}", "%7Busername%7D"),
        (b"a@b:c", "a%40b%3Ac"),
    ],
)
def test_a_user_name_is_percent_encoded(user, written):
    found, lines = ask((200, b"pw"), user, path="/u/{username}/secret?name={username}")
    assert lines == [f"GET /u/{written}/secret?name={written} HTTP/1.1"]
    assert found == [Secret(password=b"pw")]


@pytest.mark.parametrize("user", [b".", b".."])
def test_a_name_that_would_climb_the_path_is_not_asked_for(user):
    assert ask((200, b"pw"), user) == ([None], [])


@pytest.mark.parametrize("status", [204, 301, 302, 401, 403, 404, 500, 503])
def test_another_status_than_2xx_or_an_empty_body_is_an_unknown_user(status):
    body = b"" if status == 204 else b"pw"
    found, lines = ask((status, body), b"alice")
    assert (found, len(lines)) == ([None], 1)


def test_a_redirect_is_not_followed():
    raw = b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    assert ask(raw, b"alice") == ([None], ["GET /user/alice HTTP/1.1"])


@pytest.mark.parametrize(
    ("algorithms", "name"),
    [(["MD5"], "md5"), (["SHA-256", "MD5"], "sha256"), (["SHA-512-256", "SHA-256", "MD5"], "sha512_256")],
)
def test_with_ha1_the_body_is_the_ha1_of_the_first_algorithm(algorithms, name):
    digits = hashlib.new(name, b"alice:example.com:secret").hexdigest()
    found, _ = ask((200, digits.upper().encode() + b"\n"), b"alice", algorithms=algorithms, ha1=True)
    assert found == [Secret(ha1={Algorithm(algorithms[0]): digits.encode()})]


@pytest.mark.parametrize("body", [b"secret", b"a" * 31, b"a" * 33, b"g" * 32, b"\xff" * 32])
def test_with_ha1_another_body_is_a_fault_of_the_service(body):
    found, _ = ask((200, body), b"alice", ha1=True)
    assert found == ["an HA1 for MD5 is 32 hex digits"]


def test_a_body_is_read_up_to_its_bound():
    assert ask((200, b"x" * BODY_BYTES), b"alice")[0] == [Secret(password=b"x" * BODY_BYTES)]
    assert ask((200, b"x" * (BODY_BYTES + 1)), b"alice")[0] == [f"more than {BODY_BYTES} bytes"]
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1_000_000
    assert ask(endless, b"alice")[0] == [f"more than {BODY_BYTES} bytes"]


@pytest.mark.parametrize("raw", [b"SIP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-L"])
def test_what_is_not_http_is_a_fault_of_the_service(raw):
    (found,), _ = ask(raw, b"alice")
    assert isinstance(found, str) and "alice" not in found


def test_a_service_that_is_not_there_is_a_fault_that_does_not_show_the_url():
    async def run():
        fetch = http_fetch(Auth(backend="http", http={"url": "http://me:pw@127.0.0.1:9/{username}"}))
        with pytest.raises(NoSecret) as raised:
            await fetch(b"alice")
        await fetch.close()
        return str(raised.value)

    assert asyncio.run(run()) == "ClientConnectorError"


def test_connections_are_used_again():
    found, lines = ask((200, b"pw"), b"alice", b"bob")
    assert found == [Secret(password=b"pw")] * 2
    assert (len(lines), len(CONNECTIONS)) == (2, 1)


def test_the_client_is_not_loaded_where_it_is_not_configured():
    code = "import sys, siphon.cli.siphond, siphon.engine.application; print('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
