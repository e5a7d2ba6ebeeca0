"""Profiles: what is asked of a media relay for the offer and for the answer of a call, by a name.

A side is what `media.profiles.NAME.offer` of the configuration says; the fields have the names of its keys. Keywords of
`rtpengine.offer` and `rtpengine.answer` replace fields of one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

DEFAULT = "rtp_passthrough"
RECEIVED_FROM_SOURCE = ("source", True)
"""Values of `received_from` that stand for the address that the message came from."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is asked for one message. An empty field asks for nothing."""

    transport_protocol: str | None = None
    ice: str | None = None
    dtls: str | None = None
    replace: tuple[str, ...] = ()
    address_family: str | None = None
    flags: tuple[str, ...] = ()
    direction: tuple[str, ...] = ()
    record_call: bool | None = None
    record_path: str | None = None
    received_from: Any = None
    rtcp_mux: tuple[str, ...] = ()

    def given(self) -> dict[str, Any]:
        """The fields that ask for something."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in (None, ())}


FIELDS = frozenset(one.name for one in fields(Side))
_LISTS = frozenset(one.name for one in fields(Side) if one.default == ())


def side_of(given: Mapping[str, Any], base: Side | None = None) -> Side:
    """A side of these fields, over those of `base`. TypeError for a name or a type that no field has, ValueError for
    text that would not be one line."""
    checked = {name: _checked(name, value) for name, value in given.items()}
    return replace(base or Side(), **checked)


def _checked(name: str, value: Any) -> Any:
    if name not in FIELDS:
        raise TypeError(f"unknown keyword {name!r}; there are {', '.join(sorted(FIELDS))}")
    if name in _LISTS:
        given = [value] if isinstance(value, str) else () if value is None else value
        texts = tuple(given) if isinstance(given, Iterable) else (given,)
        if not all(isinstance(one, str) for one in texts):
            raise TypeError(f"{name} is a list of str, not {value!r}")
        return texts
    if name == "received_from":
        return tuple(value) if isinstance(value, list) else value
    wanted = bool if name == "record_call" else str
    if value is not None and not isinstance(value, wanted):
        raise TypeError(f"{name} must be {wanted.__name__}, not {type(value).__name__}")
    if name == "address_family" and value not in (None, "IP4", "IP6"):
        raise ValueError(f"address_family is IP4 or IP6, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Profile:
    """Both sides."""

    offer: Side
    answer: Side


def _pair(offer: dict[str, Any], answer: dict[str, Any], turned: bool = False) -> Profile:
    """Sides that replace the origin; the offer goes from outside to inside, `turned` the other way, the answer back."""
    ways = ("internal", "external") if turned else ("external", "internal")
    common = {"replace": ["origin"], "ice": "remove"}
    return Profile(
        side_of({**common, "direction": ways, **offer}), side_of({**common, "direction": ways[::-1], **answer})
    )


_PASS = side_of({"replace": ["origin"], "flags": ["trust-address"]})

BUILT_IN: dict[str, Profile] = {
    DEFAULT: Profile(_PASS, _PASS),
    "srtp_to_rtp": _pair({"transport_protocol": "RTP/SAVP"}, {"transport_protocol": "RTP/AVP"}),
    "rtp_to_srtp": _pair({"transport_protocol": "RTP/SAVP"}, {"transport_protocol": "RTP/AVP"}, turned=True),
    "ws_to_rtp": _pair({"transport_protocol": "RTP/AVPF", "ice": "force"}, {"transport_protocol": "RTP/AVP"}),
    "wss_to_rtp": _pair(
        {"transport_protocol": "RTP/SAVPF", "ice": "force", "dtls": "passive"},
        {"transport_protocol": "RTP/AVP", "dtls": "off"},
    ),
}


def profiles_of(configured: Mapping[str, Any]) -> dict[str, Profile]:
    """The built-in profiles and those of `media.profiles`, which replace one of the same name."""
    sides = {
        name: Profile(side_of(one.offer.model_dump()), side_of(one.answer.model_dump()))
        for name, one in configured.items()
    }
    return {**BUILT_IN, **sides}
