"""The names of the routing-script API, with their types, for editors and type checkers."""

from siphon.script.auth import Auth
from siphon.script.cache import Cache
from siphon.script.cdr import Cdr
from siphon.script.contact import Contact as Contact
from siphon.script.contact import Destination as Destination
from siphon.script.flow import Flow as Flow
from siphon.script.gateways import Gateway
from siphon.script.log import ScriptLog
from siphon.script.metrics import Metrics
from siphon.script.proxy import Proxy
from siphon.script.registrar import Registrar
from siphon.script.registry import Registry
from siphon.script.reply import Reply as Reply
from siphon.script.request import Request as Request
from siphon.script.rtpengine import RtpEngine
from siphon.script.sdp import SdpNamespace
from siphon.script.stubs import Stub
from siphon.script.timer import Timer
from siphon.script.uri import SipUri as SipUri

proxy: Proxy
registrar: Registrar
auth: Auth
log: ScriptLog
cache: Cache
timer: Timer
metrics: Metrics
sdp: SdpNamespace
cdr: Cdr
gateway: Gateway
rtpengine: RtpEngine

b2bua: Stub
diameter: Stub
presence: Stub
li: Stub
registration: Stub
sbi: Stub
srs: Stub
isc: Stub
ipsec: Stub
qos: Stub
stir: Stub
lcr: Stub
numbers: Stub

_siphon_registry: Registry
