"""A process with a routing script, without sockets: messages in, outcomes out, over the real services in memory."""

import hashlib
import re
import textwrap

from siphon.config.log import Log
from siphon.config.testing import settings_for_tests
from siphon.forwarding.routes import RouteSigner
from siphon.script.context import RequestContext, Services
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.runtime import Runtime
from siphon.services.digest.verifier import DigestVerifier
from siphon.services.location.location import Location
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import parse
from siphon.state.memory import MemoryTable
from siphon.testing.plain import same_digest

SECRET = b"a secret for tests only, 32 bytes"
SOURCE = ("192.0.2.7", 5060)
WALL = 1_700_000_000.0


class Lines(Log):
    """Collects log lines instead of writing them."""

    def __init__(self):
        super().__init__(level="debug", file="stderr", process="w1")
        self.written = []

    def write(self, level, event, fields):
        self.written.append(self.line(0.0, level, event, fields).decode())

    @property
    def text(self):
        return "".join(self.written)


class Bench:
    """One worker's script side. `route(bytes)` runs on_request handlers and gives the Outcome."""

    def __init__(self, directory, source=None, *, path=None, loop=None, signing=True, **overrides):
        self.path = directory / "script.py" if path is None else path
        if source is not None:
            self.write(source)
        overrides.setdefault("script", {}).setdefault("path", str(self.path))
        self.settings = settings_for_tests(**overrides)
        self.listener = Listener(0, "UDP", "127.0.0.1", 5060)
        self.identity = Identity(
            [self.listener, Listener(1, "UDP", "127.0.0.1", 5070)], None, self.settings.domain.local
        )
        self.signer = RouteSigner([SECRET]) if signing else None
        self.wall = WALL
        self.log = Lines()
        self.services = Services(
            location=Location(MemoryTable(), self.identity, self.settings, SECRET, epoch="start-1"),
            digest=DigestVerifier(self.settings.auth, [SECRET], MemoryTable(), SECRET, is_local=self.identity.is_local),
            signer=self.signer,
            identity=self.identity,
            instance_id="start-1",
            wall=lambda: self.wall,
        )
        self.services.digest.shorten(same_digest(self.services.digest))
        self.loop = loop
        self.runtime = Runtime(self.settings, self.services, loop, self.log)
        self.transactions = 0
        if source is not None or path is not None:
            self.runtime.load()

    def write(self, source):
        self.path.write_text(textwrap.dedent(source))

    def context(self, **facts):
        self.transactions += 1
        known = {
            "source": SOURCE,
            "listener": self.listener,
            "local_ip": "127.0.0.1",
            "transaction_id": self.transactions.to_bytes(16, "big"),
            "identity": self.identity,
            "settings": self.settings,
            "services": self.services,
            "wall": self.wall,
        }
        return RequestContext(**{**known, **facts})

    def request(self, raw, **facts):
        return Request(parse(raw), self.context(**facts))

    def route(self, raw, **facts):
        """The outcome of the on_request handlers, which must finish at once."""
        outcomes = []
        assert self.runtime.run_request(self.request(raw, **facts), None, outcomes.append)
        return outcomes[0]

    def reply(self, raw, request=None, *, per_relay=None, source=("192.0.2.9", 5080), **facts):
        """The outcome of the on_reply handlers for a response."""
        request = request or self.request(sip("INVITE"), **facts)
        outcomes = []
        assert self.runtime.run_reply(request, Reply(parse(raw), source, request), per_relay, None, outcomes.append)
        return outcomes[0]

    def failure(self, raw, request=None, *, per_relay=None, **facts):
        """The outcome of the on_failure handlers for a best response."""
        request = request or self.request(sip("INVITE"), **facts)
        reply = Reply(parse(raw), None, request)
        outcomes = []
        code, reason = reply.status_code, reply.reason
        assert self.runtime.run_failure(request, reply, code, reason, per_relay, None, outcomes.append)
        return outcomes[0]


def sip(
    method="INVITE",
    uri="sip:bob@example.com",
    *headers,
    to="<sip:bob@example.com>",
    body=b"",
    branch="z9hG4bK1",
    **more,
):
    """A request; `headers` are whole lines, `more` replaces From, Call-ID and CSeq."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch={branch};rport",
        f"Max-Forwards: {more.get('max_forwards', 70)}",
        f"From: {more.get('sender', '<sip:alice@example.com>;tag=a1')}",
        f"To: {to}",
        f"Call-ID: {more.get('call_id', 'call-1@192.0.2.7')}",
        f"CSeq: {more.get('cseq', 1)} {method}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def own_route(bench):
    """A Route line that this server has signed in the Record-Route of the dialog of sip()."""
    token = bench.signer.sign_record_route(b"call-1@192.0.2.7", "127.0.0.1", 5060).decode()
    return f"Route: <sip:127.0.0.1:5060;lr;rrs={token}>"


def response(status=180, reason="Ringing", *headers, method="INVITE", body=b""):
    """A response as it comes from downstream, our Via taken off."""
    lines = [
        f"SIP/2.0 {status} {reason}",
        "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1;rport",
        "From: <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.com>;tag=b1",
        "Call-ID: call-1@192.0.2.7",
        f"CSeq: 1 {method}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def credentials(challenge, user, password, method, uri, nc=1):
    """The Authorization value that answers a challenge with MD5 and qop=auth."""
    facts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()

    ha1, ha2 = md5(f"{user}:{facts['realm']}:{password}"), md5(f"{method}:{uri}")
    answer = md5(f"{ha1}:{facts['nonce']}:{nc:08x}:cn:auth:{ha2}")
    return (
        f'Digest username="{user}", realm="{facts["realm"]}", nonce="{facts["nonce"]}", uri="{uri}", algorithm=MD5, '
        f'qop=auth, nc={nc:08x}, cnonce="cn", opaque="{facts["opaque"]}", response="{answer}"'
    )


def header(answer, name):
    """The first header of an armed answer."""
    return next((value for key, value in answer.headers if key == name), None)
