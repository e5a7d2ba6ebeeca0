"""A sender of messages that need not be SIP, a phone, and the world between them.

`example.com` is local, the users of USERS have the phone at PHONE, nobody has to authenticate (see `POLICY`), and the
script passes on what is not for its domain.
"""

from torture import Place, sent_from

from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

POLICY = """
from siphon import auth, proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER" and request.ruri.is_local:
        if %s:
            registrar.save(request)
    elif request.in_dialog or request.get_header("Route") or not request.ruri.is_local:
        request.loose_route()
        request.relay()
    elif contacts := registrar.lookup(request.ruri):
        request.fork(contacts)
    else:
        request.reply(404, "Not Found")
"""
"""In the place of `%s`: what must be true before a REGISTER is saved."""
HARNESS = ("192.0.2.9", 5099)
PHONE = ("127.0.0.2", 5090)
NAMES = {
    "services.example.com": ["192.0.2.81"],
    "example.net": ["192.0.2.82"],
    "registrar.example.com": ["192.0.2.83"],
    "gw1.example.net": ["192.0.2.84"],
}
USERS = ["user", "j.user", "watson", "b", "joe", "UserB", "user;par=u%40example.net"]


class Harness:
    """The world, the phone in it, and a sender whose messages need not be SIP."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.resolver.names.update(NAMES)
        self.phone: Agent = world.agent(*PHONE)
        for user in USERS:
            self.provision(user, f"<sip:{user}@127.0.0.2:5090>")

    def provision(self, user: str, contact: str) -> None:
        text = self.phone.request("REGISTER", "sip:example.com", to=f"sip:{user}@example.com", headers="Expires: 60")
        self.phone.send(text.replace("Contact: <sip:127.0.0.2:5090>", f"Contact: {contact}"))
        assert self.phone.take()[-1].status == 200

    def send(self, raw: bytes, source: Place = HARNESS) -> list[tuple[Place, bytes]]:
        """What leaves the proxy when that comes from the harness."""
        self.world.sent.clear()
        self.world.deliver(sent_from(source, raw), source)
        return [(send.to, send.data) for send in self.world.sent]

    def answer(self, raw: bytes) -> bytes:
        """The only datagram that leaves; it goes to the harness."""
        ((to, data),) = self.send(raw)
        assert to == HARNESS
        return data

    def copy(self, raw: bytes, to: Place = PHONE) -> SipMessage:
        """The request as it was sent on to that place. Beside it only a 100 leaves."""
        *before, (place, data) = self.send(raw)
        assert place == to
        assert all(status(data) == 100 and place == HARNESS for place, data in before)
        return parse(data)

    def contacts(self, user: str) -> list[bytes]:
        """What a query of the user's bindings lists."""
        text = self.phone.request("REGISTER", "sip:example.com", to=f"sip:{user}@example.com")
        self.phone.send(text.replace("Contact: <sip:127.0.0.2:5090>\n", ""))
        return self.phone.take()[-1].values("Contact")


def status(data: bytes) -> int:
    version, code, _ = data.split(b" ", 2)
    return int(code) if version == b"SIP/2.0" else 0


def raw_lines(message: SipMessage) -> list[bytes]:
    """All header lines as they were written."""
    spans = [message.span(i) for i in range(message.lines)]
    return [message.raw[span[0] : span[-1]] for span in spans]


def changes(raw: bytes, copy: SipMessage) -> tuple[list[bytes], list[bytes]]:
    """Header lines that the proxy took away and those that it added; all others must stand as they came."""
    before, after = raw_lines(parse(sent_from(HARNESS, raw))), raw_lines(copy)
    assert [line for line in before if line in after] == [line for line in after if line in before]
    return [line for line in before if line not in after], [line for line in after if line not in before]


def names(lines: list[bytes]) -> list[str]:
    return sorted(line.partition(b":")[0].strip().decode().lower() for line in lines)
