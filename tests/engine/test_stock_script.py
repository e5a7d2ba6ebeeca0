"""scripts/proxy_default.py in a world: what it does beside routing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from digest_kit import challenge, credentials, register

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
STOCK = Path(__file__).parents[2] / "scripts" / "proxy_default.py"
CLAIMS = "P-Asserted-Identity: <sip:boss@example.com>\nremote-party-id: <sip:boss@example.com>;party=calling\n"
NAMES = ("P-Asserted-Identity", "Remote-Party-ID")


def parties(world: World) -> tuple[Agent, Agent]:
    """A caller, and bob's phone, which has registered."""
    phone = world.agent("127.0.0.2", 5090)
    register(phone, credentials(challenge(phone)))
    assert phone.statuses == [401, 200]
    return world.agent("192.0.2.1"), phone


def in_dialog(caller: Agent, phone: Agent) -> str:
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    route = phone.last.first("Record-Route").decode()  # type: ignore[union-attr]
    phone.answer(phone.last, 200)
    headers = f"Route: {route}\n{CLAIMS}"
    return caller.request("INVITE", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1", headers=headers)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "SUBSCRIBE", "re-INVITE"])
def test_sec_20_the_stock_script_removes_identity_headers_of_strangers(make_world: Make, method: str) -> None:
    caller, phone = parties(make_world(STOCK))
    text = caller.request(method, "sip:bob@example.com", headers=CLAIMS)
    caller.send(in_dialog(caller, phone) if method == "re-INVITE" else text)
    assert phone.last.method == method.removeprefix("re-") and not any(phone.last.has(name) for name in NAMES)
    assert phone.last.first("From") == b"<sip:caller@example.net>;tag=f1"


def test_sec_20_a_trusted_peer_keeps_its_identity_headers(make_world: Make) -> None:
    script = STOCK.read_text().replace("TRUSTED: list[str] = []", 'TRUSTED = ["192.0.2.0/24"]')
    caller, phone = parties(make_world(script))
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers=CLAIMS))
    assert all(phone.last.has(name) for name in NAMES)


def test_sec_20_the_core_leaves_identity_headers_alone(world: World) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers=CLAIMS))
    assert CLAIMS.replace("\n", "\r\n").encode() in callee.last.raw
