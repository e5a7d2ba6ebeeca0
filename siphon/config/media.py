"""Settings of media relays: where they are, and by profiles what is asked of them for a call.

What a relay would not understand is a fault of the file where it can be told: words are words, addresses are addresses.
Which words there are is the relay's business; a newer one may know more than we do.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from siphon.config.section import Section, table
from siphon.config.values import LINE, Address, Filled, Real, Switch, Text, Whole, choice

Word = Annotated[Filled, Field(pattern=r"^[!-~]+(?: [!-~]+)*$")]
"""A keyword of RTPEngine: ASCII. Spaces in it ("trust address") mean what hyphens do."""


class Engine(Section):
    """One media relay."""

    address: Address = Field(description="ip:port of its control protocol")
    timeout_ms: Whole = Field(1000, ge=10, le=60000, description="limit of one command, repeats included")
    weight: Whole = Field(1, ge=0, le=1000000, description="share of the calls; 0: no new ones")
    retries: Whole = Field(2, ge=0, le=16, description="repeats of a command")


class Engines(Section):
    """One media relay, or several as `instances`."""

    address: Address | None = Field(None, description="ip:port of its control protocol")
    timeout_ms: Whole = Field(1000, ge=10, le=60000, description="limit of one command, repeats included")
    retries: Whole = Field(2, ge=0, le=16, description="repeats of a command")
    instances: list[Engine] = Field(default_factory=list, description="several relays")


def _received_from(value: Any) -> Any:
    """As it stands in the file; what RTPEngine cannot take is told before a call meets it."""
    if value in (None, "source") or is_place(value):
        return value
    raise ValueError('must be "source", an address, or a pair of family and address')


def is_place(value: Any) -> bool:
    """Whether it is an address, or a pair of its family and an address."""
    family, address = value if isinstance(value, (list, tuple)) and len(value) == 2 else (None, value)
    return _is_ip(address) and family in (None, _family(address))


def _is_ip(text: Any) -> bool:
    try:
        return isinstance(text, str) and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


class ProfileSide(Section):
    """What is asked of the media relay for an offer or an answer (docs/media.md)."""

    transport_protocol: Word | None = Field(None, description="RTP/AVP, RTP/SAVPF ...")
    ice: Word | None = Field(None, description="remove, force ...")
    dtls: Word | None = Field(None, description="off, passive ...")
    replace: list[Word] = Field(default_factory=list, description="parts of SDP to replace")
    address_family: Annotated[Text, choice("IP4", "IP6")] | None = Field(None, description="IP4 or IP6")
    flags: list[Word] = Field(default_factory=list, description="further flags")
    direction: list[Word] = Field(default_factory=list, description="interfaces from, to")
    record_call: Switch | None = Field(None, description="record")
    record_path: Filled | None = Field(None, description="directory of the recording", pattern=LINE)
    received_from: Annotated[Any, AfterValidator(_received_from)] = Field(
        None, description='where media comes from: "source", an address, or a pair'
    )
    rtcp_mux: list[Word] = Field(default_factory=list, description="rtcp-mux flags")


class Profile(Section):
    """A named pair of requests to the media relay."""

    offer: ProfileSide = table(ProfileSide)
    answer: ProfileSide = table(ProfileSide)


class Events(Section):
    """What media relays tell by themselves (docs/media.md)."""

    listen_addr: Address | None = Field(None, description="ip:port that they are sent to, UDP and TCP")


class Media(Section):
    """Media relays."""

    backend: Annotated[Text, choice("rtpengine", "rtpproxy", later=("siphon-rtp",))] = Field(
        "rtpengine", description='"rtpengine" or "rtpproxy"'
    )
    sdp_name: Filled = Field("siphond", description='session name, where "session-name" is replaced', pattern=LINE)
    events: Events = table(Events)
    health_check_interval_secs: Real = Field(5.0, ge=0.1, le=3600, description="seconds between two checks")
    rtpengine: Engines | None = Field(None, description="RTPEngine")
    rtpproxy: Engines | None = Field(None, description="rtpproxy")
    profiles: dict[str, Profile] = Field(default_factory=dict, description="named profiles")


RTPPROXY_CAN = {
    "direction": {"external", "internal"},
    "flags": {"symmetric", "asymmetric", "trust-address", "trust address"},
    "ice": {"remove"},
    "dtls": {"off"},
}
"""Values by key; trust-address is how it is: media is expected at the address of the description."""
RTPPROXY_TAKES = ("replace", "received_from")


def beyond_rtpproxy(given: Mapping[str, Any]) -> str | None:
    """What a side of a profile asks for that rtpproxy cannot do, as it is told; `given` has the keys that ask."""
    for name, value in given.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        unknown = [one for one in values if one not in RTPPROXY_CAN.get(name, ())]
        if unknown and name not in RTPPROXY_TAKES:
            return repr(unknown[0]) if name in ("direction", "flags") else f"{name} = {value!r}"
    return None
