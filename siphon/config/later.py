"""Settings of features beside the proxy core: read and checked like all others, so that a file can be written once.

What this release does not do yet is named in NOT_YET (below): setting it gives a warning at start. Each feature that
arrives takes its line out.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from siphon.config.section import Section, table
from siphon.config.stores import RedisUrlText
from siphon.config.values import (
    LINE,
    Address,
    ConfigurationPath,
    Endpoint,
    Filled,
    Host,
    HttpUrl,
    Nameserver,
    Network,
    Real,
    Switch,
    Text,
    Whole,
    check_host,
    choice,
    quote,
)

NOT_YET = (
    "tls",
    "registrar.liveness",
    "nat.crlf_keepalive",
)

# Sections of the original product that are not offered: they warn and are skipped.
NOT_OFFERED = (
    *("b2bua", "diameter", "rf", "ipsec", "li", "lcr", "presence", "smpp", "sbi", "srs", "isc", "qos", "stir"),
    *("registration", "numbers", "http", "audit", "extensions"),
)


USER = r"^[A-Za-z0-9\-_.!~*'()%&=+$,;?/]+$"
"""The user of a URI (RFC 3261 §25.1)."""


class Certificate(Section):
    """A certificate for some of the names of this host."""

    certificate: ConfigurationPath = Field(description="PEM file")
    private_key: ConfigurationPath = Field(description="PEM file")
    names: list[Host] = Field(default_factory=list, description="server names it is for")


class Tls(Section):
    """Only with TLS listeners."""

    certificate: ConfigurationPath | None = Field(None, description="PEM file")
    private_key: ConfigurationPath | None = Field(None, description="PEM file")
    method: Annotated[Text, choice("TLSv1_2", "TLSv1_3")] = Field("TLSv1_2", description="oldest version")
    verify_client: Switch = Field(False, description="clients must show a certificate")
    client_ca: ConfigurationPath | None = Field(None, description="PEM file")
    client_certificate: ConfigurationPath | None = Field(None, description="PEM file")
    client_private_key: ConfigurationPath | None = Field(None, description="PEM file")
    certificates: list[Certificate] = Field(default_factory=list, description="further certificates, by server name")


class Dns(Section):
    """Resolving names of next hops, RFC 3263."""

    servers: list[Nameserver] = Field(default_factory=list, description="addresses of resolvers; the system's if empty")
    timeout_ms: Whole = Field(2000, ge=10, le=60000, description="limit of one look-up")
    ttl_min: Whole = Field(1, ge=0, le=86400, description="shortest life of a cached answer, seconds")
    ttl_max: Whole = Field(3600, ge=1, le=604800, description="longest life of a cached answer, seconds")


class RateLimit(Section):
    """Requests of one source."""

    window_secs: Real = Field(ge=0.1, le=86400, description="window, seconds")
    max_requests: Whole = Field(ge=1, le=100000000, description="requests in it")
    ban_duration_secs: Real = Field(3600.0, ge=0, le=31536000, description="ban of who sends more, seconds")


class ScannerBlock(Section):
    """Clients that scan the net."""

    user_agents: list[Filled] = Field(default_factory=list, description="parts of User-Agent, case ignored")


class FailedAuthBan(Section):
    """Sources that guess passwords."""

    threshold: Whole = Field(ge=1, le=1000, description="failures before a ban")
    window_secs: Real = Field(600.0, ge=1, le=86400, description="in this many seconds")
    ban_duration_secs: Real = Field(3600.0, ge=0, le=31536000, description="length of the ban, seconds")
    strong_signal_weight: Whole = Field(3, ge=1, le=1000, description="what a failure counts that no mistake explains")


class Apiban(Section):
    """Ban list of apiban.org."""

    api_key: Filled = Field(description="key", repr=False)
    url: HttpUrl = Field("https://apiban.org/api", description="where it is asked")
    interval_secs: Real = Field(300.0, ge=1, le=86400, description="seconds between two look-ups")
    ban_ttl_secs: Real = Field(604800.0, ge=1, le=31536000, description="length of a ban, seconds")


NftName = Annotated[Text, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}$")]


class Firewall(Section):
    """Bans handed to nftables."""

    table: NftName = Field(description="table, of the family inet")
    chain: NftName = Field(description="chain of the rules that drop")
    set_v4: NftName = Field(description="set of IPv4 addresses")
    set_v6: NftName = Field(description="set of IPv6 addresses")
    manage_rule: Switch = Field(
        True, description="make table, sets, chain and rules; false: only fill sets that are there"
    )


class Security(Section):
    """Who is not served."""

    rate_limit: RateLimit | None = Field(None, description="off if absent")
    scanner_block: ScannerBlock = table(ScannerBlock)
    trusted_cidrs: list[Network] = Field(default_factory=list, description="networks that are never limited or banned")
    failed_auth_ban: FailedAuthBan | None = Field(None, description="off if absent")
    cancel_same_source: Switch = Field(True, description="CANCEL counts only from where its INVITE came from")
    apiban: Apiban | None = Field(None, description="off if absent")
    firewall: Firewall | None = Field(None, description="off if absent")


class Keepalive(Section):
    """OPTIONS to registered contacts."""

    enabled: Switch = Field(True, description="send them")
    interval_secs: Real = Field(30.0, ge=1, le=3600, description="seconds between two to one contact")
    failure_threshold: Whole = Field(10, ge=1, le=1000, description="failures in a row before the binding goes")


class CrlfKeepalive(Section):
    """Stream connections only."""

    enabled: Switch = Field(True, description="send them")
    interval_secs: Real = Field(30.0, ge=1, le=3600, description="seconds between two")
    failure_threshold: Whole = Field(3, ge=1, le=1000, description="failures before the connection is closed")


class Nat(Section):
    """Clients behind address translation."""

    fix_contact: Switch = Field(False, description="Contact of a 101-299 becomes the address it came from")
    force_rport: Switch = Field(False, description="treat every client as one that asks for rport (RFC 3581)")
    keepalive: Keepalive | None = Field(None, description="OPTIONS to registered contacts; off if absent")
    crlf_keepalive: CrlfKeepalive | None = Field(None, description="off if absent")


class Dialog(Section):
    """What is remembered of confirmed dialogs."""

    backend: Annotated[Text, choice("memory")] = Field("memory", description='"memory": with shared.transactions')
    max_age_secs: Whole = Field(14400, ge=60, le=2592000, description="life of a dialog record, seconds")


class Cache(Section):
    """A cache that scripts use by name."""

    name: Filled = Field(description="its name")
    url: RedisUrlText | None = Field(None, description="redis:// URL; shared memory if absent", repr=False)
    local_ttl_secs: Real | None = Field(None, ge=0, le=86400, description="private copy in each worker, seconds")
    local_max_entries: Whole = Field(10000, ge=1, le=100000000, description="entries kept")


def _sip_uri(text: str) -> str:
    """What can be told without the parser of messages, which lies above: the scheme, no line that it would end, host,
    port and transport."""
    place, *parameters = text[4:].rpartition("@")[2].partition("?")[0].split(";")
    host, colon, port = (place, "", "") if place.endswith("]") else place.rpartition(":")
    try:
        check_host(host if colon else place)
        is_one = not colon or bool(re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536)
    except ValueError:
        is_one = False
    if not is_one or not text.lower().startswith("sip:") or any(c.isspace() or c in "<>" for c in text):
        raise ValueError(f'must be a sip: URI as in "sip:192.0.2.1", not {quote(text)}')
    for name, _, value in (parameter.lower().partition("=") for parameter in parameters):
        if name == "transport" and value != "udp":
            raise ValueError(f"the transport {quote(value)} is not served by this release; use udp")
    return text


class Destination(Section):
    """One upstream of a group."""

    uri: Annotated[Filled, AfterValidator(_sip_uri)] = Field(description="SIP URI, sip:")
    address: Address | None = Field(None, description="ip:port to send to; the URI is resolved if absent")
    transport: Annotated[Text, choice("udp", later=("tcp", "tls", "ws", "wss", "sctp"))] = Field(
        "udp", description="transport"
    )
    weight: Whole = Field(1, ge=0, le=1000000, description="share of the calls")
    priority: Whole = Field(1, ge=0, le=1000000, description="the lowest number that is healthy is used")
    attrs: dict[str, Text] = Field(default_factory=dict, description="what scripts select by")


class Probe(Section):
    """OPTIONS to destinations."""

    enabled: Switch = Field(True, description="probe")
    interval_secs: Real = Field(30.0, ge=1, le=3600, description="seconds between two")
    failure_threshold: Whole = Field(3, ge=1, le=1000, description="failures before the destination is down")
    from_user: Filled = Field("siphon", description="user of From", pattern=USER)
    from_domain: Host | None = Field(None, description="host of From")


def _algorithm(name: str) -> str:
    same = {"call_id_hash": "hash", "from_uri_hash": "hash", "to_uri_hash": "hash"}
    return same.get(name, name)


class Group(Section):
    """Upstreams that share the calls."""

    name: Filled = Field(description="its name")
    algorithm: Annotated[Text, AfterValidator(_algorithm), choice("weighted", "round_robin", "hash")] = Field(
        "weighted", description='"weighted", "round_robin" or "hash"'
    )
    destinations: list[Destination] = Field(min_length=1, description="its upstreams")
    probe: Probe | None = Field(None, description="how they are probed")
    source_networks: list[Network] = Field(default_factory=list, description="networks its requests come from")


class Gateway(Section):
    """Load balancing over groups of upstreams."""

    groups: list[Group] = Field(default_factory=list, description="the groups")


Origin = Annotated[Filled, Field(pattern=LINE)]
Origins = Origin | list[Origin] | None


class Prometheus(Section):
    """Metrics for Prometheus."""

    listen: Address = Field(description="ip:port")
    path: Text = Field("/metrics", description="path", pattern=r"^/[!-\"$->@-z|~]*$")
    cors: Origins = Field(None, description='origins that pages may read from: one, a list, or "*"')


class Metrics(Section):
    """Metrics."""

    prometheus: Prometheus | None = Field(None, description="off if absent")


def _token(text: str) -> str:
    """What a header field can carry and gives back as it was written."""
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be ASCII without control characters, and without spaces at its ends")
    return text


class AdminAuth(Section):
    """Who may use the admin interface."""

    token: Annotated[Filled, AfterValidator(_token)] | None = Field(None, description="bearer token", repr=False)
    protect_reads: Switch = Field(False, description="reading needs it too")


class AdminUi(Section):
    """A page for people."""

    enabled: Switch = Field(False, description="serve /admin/ui")


class Admin(Section):
    """Admin interface over HTTP."""

    listen: Address = Field(description="ip:port")
    cors: Origins = Field(None, description='origins that pages may use it from: one, a list, or "*"')
    auth: AdminAuth = table(AdminAuth)
    ui: AdminUi = table(AdminUi)


class Hep(Section):
    """HEPv3 copy of every SIP message."""

    endpoint: Endpoint = Field(description="the collector's host:port")
    version: Annotated[Whole, Field(ge=3, le=3)] = Field(3, description="3")
    transport: Annotated[Text, choice("udp", "tcp", "tls")] = Field("udp", description="transport")
    agent_id: Whole | None = Field(
        None, ge=0, le=4294967295, description="our number among the collector's agents; 0 if absent"
    )
    ca_cert: ConfigurationPath | None = Field(None, description="authorities for tls, PEM; the system's if absent")
    tls_server_name: Host | None = Field(None, description="name that its certificate must bear")
    error_log_interval: Real = Field(30.0, ge=0, le=86400, description="seconds between two log lines on errors")


class Tracing(Section):
    """Copies of SIP messages."""

    hep: Hep | None = Field(None, description="off if absent")


class CdrFile(Section):
    """Call detail records in a file."""

    path: Filled = Field("cdr.jsonl", description="file; relative to server.state_dir", pattern=LINE)
    rotate_size_mb: Whole = Field(100, ge=1, le=1000000, description="size at which a new file begins")


class CdrSyslog(Section):
    """Call detail records to syslog."""

    target: Endpoint = Field(description="host:port")


class CdrHttp(Section):
    """Call detail records by HTTP."""

    url: HttpUrl = Field(description="http:// or https:// URL", repr=False)
    auth_header: Text | None = Field(None, description="Authorization header", repr=False, pattern=LINE)


class Cdr(Section):
    """Call detail records."""

    enabled: Switch = Field(False, description="write them")
    auto_emit: Switch = Field(False, description="one for each relayed INVITE without being asked")
    include_register: Switch = Field(False, description="for REGISTER too")
    channel_size: Whole = Field(10000, ge=1, le=10000000, description="records that may wait")
    backend: Annotated[Text, choice("file", "syslog", "http")] = Field("file", description='"file", "syslog" or "http"')
    file: CdrFile = table(CdrFile)
    syslog: CdrSyslog | None = Field(None, description="for syslog")
    http: CdrHttp | None = Field(None, description="for http")
