"""The text protocol of rtpproxy: one command for each media section, and the description is rewritten here.

    U OPTIONS CALL-ID ADDRESS PORT FROM-TAG;SECTION [TO-TAG;SECTION]     an offer: "PORT [ADDRESS]"
    L OPTIONS CALL-ID ADDRESS PORT FROM-TAG;SECTION TO-TAG;SECTION       an answer
    D CALL-ID FROM-TAG [TO-TAG]                                          the end: "0"
    V                                                                    a sign of life: a number

Answers that begin with E are errors. Options: `e` and `i` for the direction (external, internal), `6` before an IPv6
address, `s` and `a` for symmetric and asymmetric media (`flags` of the profile). What else a profile may ask for needs
RTPEngine: NotImplementedError, but `ice = "remove"`, which takes ICE out of the description, and `dtls = "off"`.
The commands beside these are not offered. A section with port 0 is passed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from siphon.config.media import beyond_rtpproxy
from siphon.services.media.backend import Description, MediaError, Relay
from siphon.services.media.link import NoAnswer
from siphon.services.media.sdp import MediaSection, SessionDescription

_WORD = re.compile(r"[\x21-\x7e]{1,1000}\Z")
_PORT = re.compile(rb"([0-9]{1,5})(?:[ \t]+([0-9A-Fa-f.:]{2,45})(?:[ \t]+[46])?)?\s*\Z")
"""RTPEngine, which speaks this protocol too, adds the address family."""
_WAYS = {"external": "e", "internal": "i"}
_FLAGS = {"symmetric": "s", "asymmetric": "a"}
_ICE = ("candidate", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "end-of-candidates", "remote-candidates")


class RtpProxy:
    """The protocol as a Backend."""

    async def ping(self, relay: Relay) -> bool:
        """Whether it tells its version."""
        return (await _ask(relay, "V"))[:1].isdigit()

    async def offer(self, relay: Relay, description: Description, patient: bool) -> bytes:
        return await _rewritten(relay, "U", description, patient)

    async def answer(self, relay: Relay, description: Description) -> bytes:
        return await _rewritten(relay, "L", description, True)

    async def delete(self, relay: Relay, call_id: str, from_tag: str, to_tag: str | None) -> None:
        tags = [from_tag] if to_tag is None else [from_tag, to_tag]
        await _ask(relay, " ".join(["D", *map(_word, [call_id, *tags])]))

    async def command(self, relay: Relay, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NotImplementedError(f'"{name}" needs RTPEngine: rtpproxy has no such command here')


async def _rewritten(relay: Relay, letter: str, description: Description, patient: bool) -> bytes:
    """The description with the relay's addresses, section by section."""
    options = _options(description)
    try:
        body = SessionDescription(description.sdp.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the session description is not UTF-8") from None
    given = description.received_from()
    relay_ip = relay.address.rpartition(":")[0].strip("[]")
    ips = set()
    for number, section in enumerate(body.media, 1):
        if not section.port:
            continue
        ip = given[1] if given else _ip_of(section.connection or body.connection)
        tags = [f"{_word(description.from_tag)};{number}"]
        if description.to_tag:
            tags.append(f"{_word(description.to_tag)};{number}")
        sort = f"{letter}{options}{'6' if ':' in ip else ''}"
        answer = await _ask(relay, " ".join([sort, _word(description.call_id), ip, str(section.port), *tags]), patient)
        found = _PORT.match(answer)
        if found is None:
            raise NoAnswer(f"{answer[:40]!r} is not a port")
        section.port = int(found[1])
        ip = relay_ip if found[2] is None else found[2].decode()
        ips.add(ip)
        _point(section, ip)
    _finish(body, description, ips)
    return bytes(body)


def _point(section: MediaSection, ip: str) -> None:
    """Give a section its own address."""
    section.connection = f"IN {_family(ip)} {ip}"
    if section.has_attr("rtcp"):
        section.set_attr("rtcp", str(section.port + 1))


def _finish(body: SessionDescription, description: Description, ips: set[str]) -> None:
    ip = min(ips, default=None)
    if ip is not None and body.connection is not None:
        body.connection = f"IN {_family(ip)} {ip}"
    if ip is not None and "origin" in description.side.replace and body.origin:
        words = body.origin.split()
        body.origin = " ".join([*words[:3], "IN", _family(ip), ip])
    if description.side.ice == "remove":
        for part in [body, *body.media]:
            for name in _ICE:
                part.remove_attr(name)


def _options(description: Description) -> str:
    side = description.side
    if (needs := beyond_rtpproxy(side.given())) is not None:
        raise NotImplementedError(f"{needs} needs RTPEngine: rtpproxy cannot do that")
    if description.ws_uri is not None:
        raise NotImplementedError("ws_uri: rtpproxy cannot do that")
    return "".join([_WAYS[one] for one in side.direction] + [_FLAGS[one] for one in side.flags if one in _FLAGS])


def _family(ip: str) -> str:
    return "IP6" if ":" in ip else "IP4"


def _ip_of(connection: str | None) -> str:
    """The address of a `c=` line, as a word of a command."""
    words = (connection or "").split()
    if len(words) < 3:
        raise ValueError("a media section without an address")
    return _word(words[2].partition("/")[0])


def _word(text: str) -> str:
    """Text that is one word of a command and cannot become two."""
    if not _WORD.match(text):
        raise ValueError(f"rtpproxy cannot be told of {text!r}")
    return text


async def _ask(relay: Relay, command: str, patient: bool = True) -> bytes:
    answer = (await relay.link.ask(command.encode(), patient)).strip()
    if answer[:1] in (b"E", b"e"):
        raise MediaError(f"{relay.address}: {command[:1]}: error {answer[:20].decode('latin-1')}")
    return answer
