"""The names that scripts import from `siphon`, one object each for the whole process."""

from __future__ import annotations

from siphon.script.auth import Auth
from siphon.script.cache import Cache
from siphon.script.cdr import Cdr
from siphon.script.contact import Contact, Destination
from siphon.script.flow import Flow
from siphon.script.gateways import Gateway
from siphon.script.log import ScriptLog
from siphon.script.metrics import Metrics
from siphon.script.proxy import Proxy
from siphon.script.registrar import Registrar
from siphon.script.registry import _siphon_registry
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.rtpengine import RtpEngine
from siphon.script.sdp import SdpNamespace
from siphon.script.stubs import STUBS, Stub
from siphon.script.timer import Timer
from siphon.script.uri import SipUri

NAMES: dict[str, object] = {
    "proxy": Proxy(),
    "registrar": Registrar(),
    "auth": Auth(),
    "log": ScriptLog(),
    "cache": Cache(),
    "timer": Timer(),
    "metrics": Metrics(),
    "sdp": SdpNamespace(),
    "cdr": Cdr(),
    "gateway": Gateway(),
    "rtpengine": RtpEngine(),
    "Flow": Flow,
    "SipUri": SipUri,
    "Contact": Contact,
    "Destination": Destination,
    "Request": Request,
    "Reply": Reply,
    "_siphon_registry": _siphon_registry,
    **{name: Stub(name) for name in STUBS},
}
