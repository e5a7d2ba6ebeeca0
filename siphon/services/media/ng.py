"""The NG protocol of RTPEngine: a bencoded dictionary each way (its docs/ng_control_protocol.md).

What is sent was tried with version 10.5 of Debian 12. That version does not know `recording-dir` and `ws-uri`: it logs
and ignores them, newer ones or other programs take them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siphon.services.media.backend import Description, MediaError, Overloaded, Relay
from siphon.services.media.bencode import BadBencoding, decode, encode
from siphon.services.media.link import NoAnswer

_TEXTS = {
    "transport_protocol": "transport protocol",
    "ice": "ICE",
    "dtls": "DTLS",
    "address_family": "address family",
    "record_path": "recording-dir",
}
_LISTS = {"replace": "replace", "flags": "flags", "direction": "direction", "rtcp_mux": "rtcp-mux"}
OWN_REPLACEMENTS = ("session-name", "session name", "session_name")
"""Entries of `replace` that are not the relay's: the session name is written here (media.sdp_name)."""


class Ng:
    """The protocol as a Backend."""

    async def ping(self, relay: Relay) -> bool:
        """Whether it says pong."""
        return (await _ask(relay, {"command": "ping"})).get("result") == b"pong"

    async def offer(self, relay: Relay, description: Description, patient: bool) -> bytes:
        command = {"command": "offer", **_fields(description), "supports": ["load limit"]}
        return _sdp_of(await _ask(relay, command, patient))

    async def answer(self, relay: Relay, description: Description) -> bytes:
        return _sdp_of(await _ask(relay, {"command": "answer", **_fields(description)}))

    async def delete(self, relay: Relay, call_id: str, from_tag: str, to_tag: str | None) -> None:
        """The whole call."""
        await _ask(relay, {"command": "delete", "call-id": call_id, "from-tag": from_tag})

    async def command(self, relay: Relay, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return await _ask(relay, {"command": name, **fields})


def flags_of(description: Description) -> dict[str, Any]:
    """The keys of a side."""
    given = description.side.given()
    found: dict[str, Any] = {key: given[name] for name, key in _TEXTS.items() if name in given}
    for name, key in _LISTS.items():
        if entries := [one for one in given.get(name, ()) if not (name == "replace" and one in OWN_REPLACEMENTS)]:
            found[key] = entries
    if "record_call" in given:
        found["record call"] = "yes" if given["record_call"] else "no"
    if (source := description.received_from()) is not None:
        found["received-from"] = list(source)
    if description.ws_uri is not None:
        found["ws-uri"] = description.ws_uri
    return found


def _fields(description: Description) -> dict[str, Any]:
    ids = {"call-id": description.call_id, "from-tag": description.from_tag}
    if description.to_tag:
        ids["to-tag"] = description.to_tag
    return {**ids, "sdp": description.sdp, **flags_of(description)}


async def _ask(relay: Relay, command: Mapping[str, Any], patient: bool = True) -> Mapping[str, Any]:
    """The answer's dictionary. MediaError where it says error; what makes no sense is as good as no answer."""
    data = await relay.link.ask(encode(command), patient)
    try:
        answer = decode(data)
    except BadBencoding as error:
        raise NoAnswer(f"what it answers is not bencoded: {error}") from None
    result = answer.get("result") if isinstance(answer, dict) else None
    if result in (b"ok", b"pong"):
        return dict(answer)
    if result == b"load limit":
        raise Overloaded(f"{relay.address}: {_text(answer.get('message')) or 'it takes no more calls'}")
    if result == b"error":
        raise MediaError(f"{relay.address}: {command['command']}: {_text(answer.get('error-reason')) or 'error'}")
    raise NoAnswer("it answers without a result")


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
    return "".join(one if one.isprintable() else "?" for one in text[:200])


def _sdp_of(answer: Mapping[str, Any]) -> bytes:
    sdp = answer.get("sdp")
    if not isinstance(sdp, bytes) or not sdp:
        raise MediaError("the media relay's answer holds no session description")
    return sdp
