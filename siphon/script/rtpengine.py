"""The namespace `rtpengine`: media relays rewrite the session descriptions of a call (siphon/services/media/).

Nothing happens by itself: a script awaits `offer`, `answer` and `delete`. What an engine refuses is a RuntimeError,
what a script asks for wrongly a ValueError or TypeError, what the back-end cannot do a NotImplementedError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from siphon.script import binding, log, text
from siphon.script.bodies import is_described, sdp_of, set_sdp
from siphon.script.message import Headers
from siphon.script.registry import add
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.stubs import not_here
from siphon.services.media.backend import Description
from siphon.services.media.ng import flags_of
from siphon.services.media.profiles import DEFAULT, Side, side_of
from siphon.services.media.relays import MediaRelays

Target = Request | Reply | str | tuple[str, str]
VENDOR_ONLY = frozenset(
    (
        *("beep_detection", "beep_cadence_guard_ms", "ws_sample_rate", "ws_tee_sample_rate"),
        *("ws_vad_engine", "ws_vad_min_speech_ms"),
    )
)
DTMF = "0123456789*#ABCD"


def _vendor_only(name: str) -> Callable[..., Any]:
    async def method(*args: Any, **kwargs: Any) -> Any:
        _relays(name)
        raise NotImplementedError(f"rtpengine.{name} needs another media engine")

    method.__doc__ = "Not offered."
    return method


class RtpEngine:
    """`from siphon import rtpengine`. Event decorators work without a media back-end, operations need one."""

    __slots__ = ()

    # -- the description of a call

    async def offer(
        self, request: Request | Reply, profile: str | None = None, ws_uri: str | None = None, **kw: Any
    ) -> bool:
        """Replace the offer in a message by that of a media relay; again for the same call: an update. Keywords are
        those of `media.profiles.NAME.offer` and replace what the profile says. True."""
        relays = _relays("offer")
        message = _message(request)
        name = DEFAULT if profile is None else profile
        side = _side(relays, name, "offer", kw)
        tags = _tags(message, by_answer=False)
        description = _description(message, *tags, side, ws_uri)
        set_sdp(message, await relays.offer(description, name))
        return True

    async def answer(self, reply: Reply | Request, profile: str | None = None, call: Any = None, **kw: Any) -> bool:
        """Replace the answer in a message by that of the call's media relay. The profile is the one given, else the
        offer's. True."""
        relays = _relays("answer")
        message = _message(reply)
        if call is not None:
            raise NotImplementedError("rtpengine.answer: call= is for calls of b2bua, which siphond does not offer")
        call_id = _call_id(message)
        name = profile or relays.profile_of(call_id) or DEFAULT
        side = _side(relays, name, "answer", kw)
        offerer, answerer = _tags(message, by_answer=True)
        if answerer is None:
            raise ValueError("the answer has no tag of who answers")
        description = _description(message, offerer, answerer, side, None)
        set_sdp(message, await relays.answer(description, name))
        return True

    async def delete(self, message: Request | Reply) -> bool:
        """End the media of the message's call. What fails is only logged. True."""
        relays = _relays("delete")
        found = _message(message)
        await relays.delete(_call_id(found), _tag(found, "From") or "", _tag(found, "To"))
        return True

    async def ping(self) -> bool:
        """Whether any media relay answers now."""
        return await _relays("ping").ping()

    @property
    def active_sessions(self) -> int:
        """Calls of the instance that have an offer and were not deleted; 0 without a media back-end."""
        return _relays("active_sessions").active if _is_configured() else 0

    @property
    def instance_count(self) -> int:
        """Media relays of the configuration; 0 without a media back-end."""
        return _relays("instance_count").count if _is_configured() else 0

    # -- in a running call

    async def play_media(
        self,
        target: Target,
        file: str | None = None,
        blob: bytes | None = None,
        db_id: int | None = None,
        tone: str | None = None,
        url: str | None = None,
        repeat: int | None = None,
        start_ms: int | None = None,
        duration_ms: int | None = None,
        gain_decibels: float | None = None,
        to_tag: str | None = None,
        wait: bool = True,
    ) -> int | None:
        """Play one source to a party of the call. With `wait` this returns when it has ended, where the engine says how
        long it is. Milliseconds of one round, None where unknown."""
        relays = _relays("play_media")
        sources = (file, blob, db_id, tone, url)
        if (count := sum(one is not None for one in sources)) != 1:
            raise ValueError(f"exactly one of file, blob, db_id, tone and url is needed, not {count}")
        vendors = {"start_ms": start_ms, "duration_ms": duration_ms, "gain_decibels": gain_decibels}
        _refuse({**vendors, "tone": tone, "url": url}, "play_media")
        given = _source(file, blob, db_id)
        if repeat is not None:
            given["repeat-times"] = _whole(repeat, "repeat", 1, 1000)
        answer = await self._command(relays, "play media", target, {**given, **_to(to_tag)}, needs_party=True)
        duration = answer.get("duration")
        if not isinstance(duration, int) or duration < 0:
            return None
        if wait:
            await asyncio.sleep(duration / 1000 * (repeat or 1))
        return duration

    async def stop_media(self, target: Target, play_id: int | None = None) -> bool:
        """Stop what play_media has begun."""
        relays = _relays("stop_media")
        _refuse({"play_id": play_id}, "stop_media")
        await self._command(relays, "stop media", target, {}, needs_party=True)
        return True

    async def play_dtmf(
        self,
        target: Target,
        code: str | int,
        duration_ms: int | None = None,
        volume_dbm0: int | None = None,
        pause_ms: int | None = None,
        to_tag: str | None = None,
    ) -> bool:
        """Send digits as if the party had pressed them; the offer and the answer need the flag "inject-DTMF"."""
        relays = _relays("play_dtmf")
        digits = str(code).upper()
        if not digits or any(one not in DTMF for one in digits) or len(digits) > 64:
            raise ValueError(f"code is one or more of {DTMF}, not {code!r}")
        fields = _to(to_tag)
        for name, value in {"duration": duration_ms, "pause": pause_ms}.items():
            if value is not None:
                fields[name] = _whole(value, f"{name}_ms", 100, 5000)
        if volume_dbm0 is not None:
            fields["volume"] = _whole(volume_dbm0, "volume_dbm0", -63, 63)
        for digit in digits:
            await self._command(relays, "play DTMF", target, {"code": digit, **fields}, needs_party=True)
        return True

    async def silence_media(self, target: Target) -> bool:
        """Replace what a party sends by silence, of the whole call where only the Call-ID is given."""
        return await self._gate("silence", target)

    async def unsilence_media(self, target: Target) -> bool:
        """The end of silence_media."""
        return await self._gate("unsilence", target)

    async def block_media(self, target: Target) -> bool:
        """Drop what a party sends, of the whole call where only the Call-ID is given."""
        return await self._gate("block", target)

    async def unblock_media(self, target: Target) -> bool:
        """The end of block_media."""
        return await self._gate("unblock", target)

    async def _gate(self, verb: str, target: Target) -> bool:
        await self._command(_relays(f"{verb}_media"), f"{verb} media", target, {}, needs_party=False)
        return True

    # -- a copy of the media for somebody else

    async def subscribe_request(
        self, call_id: str, from_tag: str, to_tag: str, sdp: str | bytes | None = None, profile: str | None = None
    ) -> bytes:
        """Begin a copy of what `from_tag` sends, for a party that is called `to_tag`: the offer for that party."""
        relays = _relays("subscribe_request")
        fields = _party(call_id, from_tag, to_tag)
        if sdp is not None:
            fields["sdp"] = text.body_bytes(sdp)
        if profile is not None:
            fields |= _flags(call_id, _side(relays, profile, "offer", {}))
        found = (await relays.command(call_id, "subscribe request", fields)).get("sdp")
        if not isinstance(found, bytes):
            raise RuntimeError("the media engine has answered without a session description")
        return found

    async def subscribe_answer(
        self, call_id: str, from_tag: str, to_tag: str, sdp: str | bytes, profile: str | None = None
    ) -> bool:
        """The answer of the party that gets the copy; media flows from now on."""
        relays = _relays("subscribe_answer")
        fields = {**_party(call_id, from_tag, to_tag), "sdp": text.body_bytes(sdp)}
        if profile is not None:
            fields |= _flags(call_id, _side(relays, profile, "answer", {}))
        await relays.command(call_id, "subscribe answer", fields)
        return True

    async def unsubscribe(self, call_id: str, from_tag: str, to_tag: str) -> bool:
        """End the copy."""
        relays = _relays("unsubscribe")
        await relays.command(call_id, "unsubscribe", _party(call_id, from_tag, to_tag))
        return True

    async def _command(
        self, relays: MediaRelays, name: str, target: Target, fields: Mapping[str, Any], needs_party: bool
    ) -> Mapping[str, Any]:
        call_id, from_tag = _target(target)
        if from_tag:
            fields = {"from-tag": from_tag, **fields}
        elif needs_party:
            fields = {"flags": ["all"], **fields}
        return await relays.command(call_id, name, fields)

    # -- what engines tell

    def on_dtmf(self, function: Any = None, *, call_id: str | None = None, from_tag: str | None = None) -> Any:
        """Told of DTMF digits: `fn(call_id, from_tag, digit, duration_ms, volume)`."""
        return self._event("rtpengine.on_dtmf", function, call_id, from_tag)

    def on_media_timeout(self, function: Any = None, *, call_id: str | None = None, from_tag: str | None = None) -> Any:
        """Told that an engine has closed a call because no media came: `fn(call_id, from_tag)`."""
        return self._event("rtpengine.on_media_timeout", function, call_id, from_tag)

    def _event(self, kind: str, function: Any, call_id: str | None, from_tag: str | None) -> Any:
        facts = {"call_id": call_id, "from_tag": from_tag}
        for name, value in facts.items():
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{kind}: {name} must be str, not {type(value).__name__}")
        if function is not None and not callable(function):
            raise TypeError(
                f"{kind} decorates a function, not {type(function).__name__}; call_id= and from_tag= filter"
            )
        bound = binding.find()
        media = None if bound is None else bound.settings.media
        if media is not None and media.events.listen_addr is None:
            log.warn_of_script(f"{kind}: handlers are never called without media.events.listen_addr")
        if function is not None:
            return add(kind, function, None, facts)
        return lambda given: add(kind, given, None, facts)

    def _never(self, function: Any = None, **filters: Any) -> Any:
        """Accepted, never called."""
        return function if callable(function) else lambda given: given

    on_text = on_beep = on_ws_tee_started = on_ws_tee_ended = _never

    # -- of another engine

    answer_local = _vendor_only("answer_local")
    play_overlay = _vendor_only("play_overlay")
    set_play_gain = _vendor_only("set_play_gain")
    echo = _vendor_only("echo")
    attach_ws_tee = _vendor_only("attach_ws_tee")
    detach_ws_tee = _vendor_only("detach_ws_tee")

    def __repr__(self) -> str:
        return "<namespace rtpengine>"


def _is_configured() -> bool:
    bound = binding.find()
    return bound is not None and bound.settings.media is not None


def _relays(operation: str) -> MediaRelays:
    bound = binding.find()
    if bound is None or bound.settings.media is None:
        what = f"rtpengine.{operation} needs a [media] section"
        raise NotImplementedError(f"{what}: rtpengine is not configured")
    if bound.services.media is None:
        raise not_here(f"rtpengine.{operation}")
    return bound.services.media


def _source(file: str | None, blob: bytes | None, db_id: int | None) -> dict[str, Any]:
    """The one that is given, as NG names it."""
    if file is not None:
        if not text.one_line(file, "file"):
            raise ValueError("file is the path of a file, not ''")
        return {"file": file}
    if blob is not None:
        if not isinstance(blob, (bytes, bytearray, memoryview)):
            raise TypeError(f"blob must be bytes, not {type(blob).__name__}")
        return {"blob": bytes(blob)}
    return {"db-id": _whole(db_id, "db_id", 0, 2**63 - 1)}


def _side(relays: MediaRelays, profile: str, which: str, keywords: Mapping[str, Any]) -> Side:
    if not isinstance(profile, str):
        raise TypeError(f"profile must be str, not {type(profile).__name__}")
    found = relays.profiles.get(profile)
    if found is None:
        raise ValueError(f"unknown media profile {profile!r}; there are {', '.join(sorted(relays.profiles))}")
    for name in keywords:
        if name in VENDOR_ONLY:
            raise NotImplementedError(f"rtpengine.{which}: {name} needs another media engine")
    return side_of(keywords, getattr(found, which))


def _description(
    message: Request | Reply, from_tag: str, to_tag: str | None, side: Side, ws_uri: str | None
) -> Description:
    body = sdp_of(message)
    if body is None or not is_described(message):
        raise ValueError("the message has no session description")
    if ws_uri is not None and not text.one_line(ws_uri, "ws_uri").startswith(("ws://", "wss://")):
        raise ValueError(f"ws_uri is a ws:// or wss:// URI, not {ws_uri!r}")
    return Description(_call_id(message), from_tag, to_tag, body, side, message.source_ip, ws_uri)


def _flags(call_id: str, side: Side) -> dict[str, Any]:
    return flags_of(Description(call_id, "", None, b"", side))


def _message(message: object) -> Request | Reply:
    if not isinstance(message, (Request, Reply)):
        raise TypeError(f"a Request or Reply is needed, not {type(message).__name__}")
    return message


def _call_id(message: Headers) -> str:
    if not (found := message.call_id):
        raise ValueError("the message has no Call-ID")
    return found


def _tag(message: Request | Reply, name: str) -> str | None:
    """The tag of From or To as received: what an edit of these headers changes is not the dialog."""
    parsed = message._message.from_tag if name == "From" else message._message.to_tag
    return text.decode(parsed) if parsed else None


def _tags(message: Request | Reply, by_answer: bool) -> tuple[str, str | None]:
    """Tags of who offers and who answers. A request is its From's, a response its To's."""
    from_side, to_side = _tag(message, "From"), _tag(message, "To")
    ours, other = (from_side, to_side) if isinstance(message, Request) else (to_side, from_side)
    offerer, answerer = (other, ours) if by_answer else (ours, other)
    if not offerer:
        raise ValueError("the message has no tag of who offers")
    return offerer, answerer


def _target(target: object) -> tuple[str, str | None]:
    """(Call-ID, tag or None) of what a media operation is about."""
    if isinstance(target, (Request, Reply)):
        return _call_id(target), _tag(target, "From")
    if isinstance(target, str):
        return _named(target, "Call-ID"), None
    if isinstance(target, tuple) and len(target) == 2:
        return _named(target[0], "Call-ID"), _named(target[1], "from-tag")
    raise TypeError("the target is a Request, a Reply, (call_id, from_tag) or a Call-ID")


def _party(call_id: str, from_tag: str, to_tag: str) -> dict[str, Any]:
    _named(call_id, "call-id")
    return {"from-tag": _named(from_tag, "from-tag"), "to-tag": _named(to_tag, "to-tag")}


def _to(to_tag: str | None) -> dict[str, Any]:
    return {} if to_tag is None else {"to-tag": _named(to_tag, "to-tag")}


def _named(value: str, name: str) -> str:
    if not text.one_line(value, name):
        raise ValueError(f"an empty {name}")
    return value


def _refuse(keywords: Mapping[str, Any], operation: str) -> None:
    for name, value in keywords.items():
        if value is not None:
            raise NotImplementedError(f"rtpengine.{operation}: {name} needs another media engine")


def _whole(value: object, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} is {least} to {most}, not {value}")
    return value
