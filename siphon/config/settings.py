"""Every setting of the proxy itself: one Field a setting, with its default, its bounds and what it means.

Validation, help, the reference in the manual and etc/siphon.cfg follow from these records; nothing else lists them.
Names are those of the file: `settings.transaction.t1` is `t1` in the table `[transaction]`. Units are in the
description: seconds unless the name says `_ms`. Sections of features that come later are in later.py, those of media
relays in media.py.

What one setting can be checked for alone is checked here; what needs two of them is in checks.py; files, variables
and line numbers are the business of load.py.
"""

import ipaddress
import os
import socket
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from siphon.config import later
from siphon.config.errors import Problem
from siphon.config.media import Media
from siphon.config.redis_url import parse_redis_url
from siphon.config.section import Section, table
from siphon.config.stores import KeyPrefix, RedisStore, RedisUrlText, StoreUrl
from siphon.config.values import (
    Address,
    ConfigurationPath,
    DirectoryName,
    Dscp,
    Filled,
    Host,
    LogFile,
    Network,
    Real,
    ScriptPath,
    Switch,
    Text,
    UserUrl,
    Whole,
    choice,
    listed,
    split_address,
)
from siphon.config.version import PRODUCT

MAX_WORKERS = 56
DEFAULT_DSCP = 24  # CS3


def cpus() -> int:
    """CPUs this process may run on."""
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0))))


def host_name() -> str:
    """The machine's name, with what cannot stand in a directory name replaced."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in socket.gethostname())
    return name.lstrip("._-")[:64] or "localhost"


class ListenAddress(Section):
    """A socket address to serve. `address` comes out as "ip:port"; `dscp` as a number, the section's if absent."""

    address: Address = Field(description='"ip:port", IPv6 in brackets')
    advertise: Host | None = Field(None, description="host that peers are told instead of the address")
    dscp: Dscp | None = Field(None, description="DSCP name or number; listen.dscp if absent")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"address": value} if isinstance(value, str) else value

    @cached_property
    def ip(self) -> str:
        """Numeric, without brackets."""
        return split_address(self.address)[0]

    @cached_property
    def port(self) -> int:
        return split_address(self.address)[1]

    @property
    def wildcard(self) -> bool:
        return ipaddress.ip_address(self.ip).is_unspecified

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.ip).is_loopback


def _not_built(value: list[ListenAddress]) -> list[ListenAddress]:
    if value:
        raise PydanticCustomError("not_served", "this transport is not served by this release; use listen.udp")
    return value


Unserved = Annotated[list[ListenAddress], AfterValidator(_not_built)]


class Listen(Section):
    """Where datagrams arrive."""

    udp: list[ListenAddress] = Field(default_factory=list, description="UDP addresses to serve, at least one")
    tcp: Unserved = Field(default_factory=list, description="not in this release")
    tls: Unserved = Field(default_factory=list, description="not in this release")
    ws: Unserved = Field(default_factory=list, description="not in this release")
    wss: Unserved = Field(default_factory=list, description="not in this release")
    sctp: Unserved = Field(default_factory=list, description="not in this release")
    dscp: Dscp = Field(DEFAULT_DSCP, description="DSCP of what is sent, name or number")
    mtu: Whole | None = Field(
        None, ge=576, le=65535, description="path MTU towards peers, bytes; a larger request gives a warning"
    )
    rcvbuf: Whole = Field(4194304, ge=4096, le=1073741824, description="SO_RCVBUF of one socket, bytes")

    @model_validator(mode="after")
    def _hand_down_dscp(self) -> "Listen":
        inherited = [a if a.dscp is not None else a.model_copy(update={"dscp": self.dscp}) for a in self.udp]
        self.udp[:] = inherited
        return self


class Domain(Section):
    """The domains that this proxy is responsible for."""

    local: list[Host] = Field(min_length=1, description="domains and addresses that are ours")


class Workers(Section):
    """The processes that serve SIP."""

    count: Whole = Field(
        default_factory=cpus, ge=1, le=MAX_WORKERS, description="worker processes; one a CPU if absent"
    )
    steering: Annotated[Text, choice("flow", "spread")] = Field(
        "flow",
        description='"flow": the kernel picks a worker by the address; "spread": every peer reaches all workers',
    )


class Shared(Section):
    """What the workers share: tables in memory, one file each in one directory."""

    location: StoreUrl = Field("shm", description='where bindings are kept: "shm" or a Redis URL', repr=False)
    transactions: StoreUrl = Field(
        "shm", description='"shm", or the URL of a Redis that several nodes share', repr=False
    )
    path: ConfigurationPath = Field(
        description="directory of the tables, on a tmpfs; siphond-<uid>-<server.instance_id> in /dev/shm if absent"
    )
    max_bindings: Whole = Field(100000, ge=16, le=100000000, description="contacts registered at one time")
    max_transactions: Whole = Field(200000, ge=64, le=100000000, description="transactions at one time, two a call")
    max_dialogs: Whole = Field(100000, ge=16, le=100000000, description="dialogs remembered; the oldest go")
    max_nonces: Whole = Field(100000, ge=16, le=100000000, description="nonces remembered; the oldest go")
    max_media_calls: Whole = Field(10000, ge=16, le=10000000, description="calls that media relays have at one time")
    max_timers: Whole = Field(10000, ge=16, le=100000, description="timers that scripts have set at one time")
    max_metrics: Whole = Field(
        2048, ge=16, le=1000000, description="numbers that scripts count: each metric, and each of its series a process"
    )
    max_cache_entries: Whole = Field(
        10000, ge=16, le=100000000, description="entries of all caches without a url; the least recently used go"
    )
    max_gateway_groups: Whole = Field(64, ge=4, le=65536, description="gateway groups, those of scripts included")
    max_cdrs: Whole = Field(
        10000, ge=16, le=100000000, description="calls that will be written as CDR, and records that wait to be"
    )
    record_bytes: Whole = Field(16384, ge=4096, le=245760, description="largest record of one transaction, bytes")
    vars_bytes: Whole = Field(4096, ge=256, le=65536, description="largest request.vars of one transaction, bytes")
    timeout_ms: Whole = Field(250, ge=1, le=10000, description="limit of one call on shared state")


class Transaction(Section):
    """Timers of RFC 3261 section 17 and table 4, seconds."""

    t1: Real = Field(0.5, ge=0.05, le=10, description="round-trip estimate T1, seconds")
    t2: Real = Field(4.0, ge=0.1, le=60, description="longest interval between retransmissions T2, seconds")
    t4: Real = Field(5.0, ge=0.1, le=60, description="longest life of a datagram in the network T4, seconds")
    timer_c: Real = Field(185.0, ge=1, le=3600, description="wait for a final answer to a forwarded INVITE, seconds")
    linger: Real = Field(5.0, ge=0, le=300, description="seconds a finished record stays readable beyond its timers")
    auto_emit_100_trying: Switch = Field(
        True, description="send 100 Trying without being asked; an INVITE that is relayed gets one in any case"
    )
    auto_emit_100_trying_delay_ms: Whole = Field(
        200, ge=0, le=3000, description="how long the script may take before it"
    )
    timeout_secs: Real | None = Field(None, description="accepted, no effect", json_schema_extra={"ignored": True})
    invite_timeout_secs: Real | None = Field(
        None, description="accepted, no effect", json_schema_extra={"ignored": True}
    )


class Limits(Section):
    """What one message, and one peer, may cost."""

    header_bytes: Whole = Field(32768, ge=1024, le=65535, description="header section of a message, bytes; above: 513")
    line_bytes: Whole = Field(8192, ge=256, le=65535, description="one header, bytes; above: 513")
    headers: Whole = Field(256, ge=16, le=1000, description="headers of a message; above: 513")
    vias: Whole = Field(70, ge=1, le=1000, description="Via values of a message; above: 400")
    breadth: Whole = Field(60, ge=1, le=1000, description="Max-Breadth of a request that brings none")
    per_source: Whole | None = Field(
        None, ge=1, le=100000000, description="live transactions of one source; above: 503"
    )


OptionTag = Annotated[Text, Field(pattern=r"^[A-Za-z0-9\-.!%*_+`'~]+$")]


class Proxy(Section):
    """Routing that no script decides."""

    sign_record_route: Switch = Field(True, description="sign our Record-Route, so that nobody can make one up")
    unrouted_in_dialog: Annotated[Text, choice("refuse", "relay")] = Field(
        "refuse", description='in-dialog requests that no route of ours covers: "refuse" or "relay"'
    )
    known_extensions: list[OptionTag] = Field(default_factory=list, description="Proxy-Require options that pass")


class Script(Section):
    """The routing script."""

    path: ScriptPath = Field(description="the script; relative to this file, else to the working directory")
    reload: Annotated[Text, choice("auto", "sighup")] = Field(
        "auto", description='"auto": when a file of it changes; "sighup": on SIGHUP only'
    )
    include_paths: list[ConfigurationPath] = Field(default_factory=list, description="directories of its modules")
    sync_pool_size: Whole = Field(0, ge=0, le=256, description="threads a worker for def handlers; 0: none")
    sync_pool_max: Whole | None = Field(None, description="accepted, no effect", json_schema_extra={"ignored": True})
    async_pool_size: Whole | None = Field(None, description="accepted, no effect", json_schema_extra={"ignored": True})
    executor_queue_capacity: Whole = Field(1024, ge=1, le=1000000, description="requests in progress in one worker")
    handler_stall_abort_secs: Real = Field(30.0, ge=1, le=3600, description="longest run of one handler, seconds")


class RegistrarRedis(Section):
    """Where the registrar's Redis is."""

    url: RedisUrlText = Field(description="Redis URL, as shared.location", repr=False)
    key_prefix: KeyPrefix = Field("siphon:reg:", description="first part of every key")
    ttl_slack_secs: Whole = Field(30, ge=0, le=3600, description="seconds a key outlives its bindings")


class Liveness(Section):
    """Checks that a registered stream client is still there."""

    enabled: Switch = Field(True, description="check")
    keepalive_interval_secs: Real = Field(30.0, ge=1, le=3600, description="seconds between two checks")
    idle_multiplier: Real = Field(2.0, ge=1, le=100, description="intervals without traffic before a check")
    probe_timeout_ms: Whole = Field(2000, ge=10, le=60000, description="wait for an answer")
    miss_threshold: Whole = Field(2, ge=1, le=100, description="checks missed before the client counts as gone")
    dereg_mode: Filled = Field("remove", description="what happens to its binding")


class Registrar(Section):
    """RFC 3261 section 10."""

    backend: Annotated[Text, choice("memory", "redis", later=("postgres",))] = Field(
        "memory", description='"memory": where shared.location says; "redis": registrar.redis'
    )
    default_expires: Whole = Field(
        3600, ge=1, le=4294967295, description="life of a binding that asks for none, seconds"
    )
    max_expires: Whole = Field(7200, ge=1, le=4294967295, description="longest life of a binding, seconds")
    min_expires: Whole = Field(60, ge=0, le=4294967295, description="shortest life a client may ask for, seconds")
    max_contacts: Whole = Field(10, ge=1, le=1000, description="bindings of one address of record")
    max_contacts_action: Annotated[Text, choice("evict", "reject")] = Field(
        "evict", description='one binding too many: "evict" the oldest or "reject" the new one'
    )
    enforce_auth_aor_match: Switch = Field(True, description="users register nothing but their own address of record")
    redis: RegistrarRedis | None = Field(None, description="for the Redis backend")
    liveness: Liveness | None = Field(None, description="stream clients only")


Ha1Md5 = Annotated[Text, Field(pattern=r"^[0-9A-Fa-f]{32}$")]
Ha1Sha = Annotated[Text, Field(pattern=r"^[0-9A-Fa-f]{64}$")]


class User(Section):
    """What a user proves to know: a password, or hashes of it (HA1) made for the realm that is challenged."""

    password: Text | None = Field(None, description="the password", repr=False)
    ha1: Ha1Md5 | None = Field(None, description="MD5 of user:realm:password, hex", repr=False)
    ha1_sha256: Ha1Sha | None = Field(None, description="SHA-256 of the same, hex", repr=False)
    ha1_sha512_256: Ha1Sha | None = Field(None, description="SHA-512-256 of the same, hex", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, dict) and info.context.get("packed"):
            return value
        if isinstance(value, dict) and "password" in value:
            raise PydanticCustomError(
                "password_table", 'write NAME = "password"; a table holds ha1, ha1_sha256, ha1_sha512_256'
            )
        if isinstance(value, dict) and not value:
            raise PydanticCustomError("password_table", "needs one of ha1, ha1_sha256, ha1_sha512_256")
        return {"password": value} if isinstance(value, str) else value


class AuthHttp(Section):
    """A service that knows the users' secrets."""

    url: UserUrl = Field(description="URL with {username} in its path or query", repr=False)
    timeout_ms: Whole = Field(2000, ge=10, le=60000, description="limit of one question; then 500")
    connect_timeout_ms: Whole = Field(500, ge=10, le=60000, description="limit of connecting")
    ha1: Switch = Field(False, description="the answer is an HA1, not a password")
    cache_ttl_secs: Real = Field(0.0, ge=0, le=86400, description="seconds an answer is kept; 0: not at all")


Algorithm = Annotated[Text, choice("MD5", "SHA-256", "SHA-512-256")]


class Auth(Section):
    """Digest authentication, RFC 7616 and RFC 8760."""

    realm: Filled = Field(
        "localhost", description="realm of challenges", min_length=1, pattern=r'^[^"\\\x00-\x1f\x7f]*$'
    )
    backend: Annotated[Text, choice("static", "http", later=("database",))] = Field(
        "static", description='who knows the users: "static", auth.users; "http", the service of auth.http'
    )
    users: dict[Filled, User] = Field(
        default_factory=dict, description="name = password, or name = {ha1 = ...}", repr=False
    )
    users_file: ConfigurationPath | None = Field(None, description="further users, in the form of auth.users")
    http: AuthHttp | None = Field(None, description="for the http backend")
    nonce_secret: Annotated[list[Annotated[Text, Field(min_length=16)]], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="signs nonces; a list: the first signs, all verify; made and kept if absent",
        repr=False,
    )
    nonce_ttl_secs: Whole = Field(3600, ge=1, le=604800, description="life of a nonce, seconds")
    algorithms: Annotated[list[Algorithm], BeforeValidator(listed), Field(min_length=1)] = Field(
        default_factory=lambda: ["MD5"], description="algorithms of challenges, in this order; one name or a list"
    )
    uri_check: Annotated[Text, choice("strict", "lax")] = Field(
        "strict", description='"lax": any digest uri of a local host'
    )
    allow_no_qop: Switch = Field(True, description="accept MD5 answers without qop, one use of a nonce each")


class Log(Section):
    """The log."""

    level: Annotated[Text, choice("debug", "info", "warn", "error")] = Field(
        "info", description="the least level written"
    )
    format: Annotated[Text, choice("pretty", "json")] = Field("pretty", description='"pretty" or "json"')
    file: LogFile = Field("stdout", description='"stdout", "stderr" or a file, opened again when it was moved')


class Server(Section):
    """The instance as a whole."""

    server_header: Text = Field(
        PRODUCT, description="Server of responses made here; empty: none", pattern=r"^[^\r\n\x00]*$"
    )
    user_agent_header: Text = Field(
        PRODUCT, description="User-Agent of requests made here; empty: none", pattern=r"^[^\r\n\x00]*$"
    )
    drain_secs: Real = Field(30.0, ge=0, le=86400, description="longest wait for running calls at a stop, seconds")
    upgrade_secs: Real = Field(
        60.0,
        ge=1,
        le=3600,
        description="longest time that the next siphond of an upgrade may take until it serves, seconds",
    )
    instance_id: DirectoryName = Field(
        default_factory=host_name, description="name of this instance; the host's name if absent"
    )
    state_dir: ConfigurationPath = Field(
        description="directory that outlives a reboot; $STATE_DIRECTORY, else state in shared.path, if absent"
    )


class Settings(Section):
    """The whole configuration. `warnings` holds what is worth a line at start."""

    listen: Listen = table(Listen)
    advertised_address: Host | None = Field(None, description="host for Via, Record-Route and Contact")
    domain: Domain
    tls: later.Tls | None = None
    workers: Workers = table(Workers)
    shared: Shared
    transaction: Transaction = table(Transaction)
    dns: later.Dns = table(later.Dns)
    limits: Limits = table(Limits)
    proxy: Proxy = table(Proxy)
    script: Script
    registrar: Registrar = table(Registrar)
    auth: Auth = table(Auth)
    security: later.Security = table(later.Security)
    nat: later.Nat = table(later.Nat)
    dialog: later.Dialog = table(later.Dialog)
    cache: list[later.Cache] = Field(default_factory=list, description="caches of scripts")
    gateway: later.Gateway | None = None
    media: Media | None = None
    log: Log = table(Log)
    metrics: later.Metrics = table(later.Metrics)
    admin: later.Admin | None = None
    tracing: later.Tracing = table(later.Tracing)
    server: Server
    cdr: later.Cdr = table(later.Cdr)

    _warnings: list[Problem] = PrivateAttr(default_factory=list)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def warnings(self) -> list[Problem]:
        return self._warnings

    @property
    def location_store(self) -> RedisStore | None:
        """The Redis that bindings are kept in; None where that is shared memory."""
        redis = self.registrar.redis
        if self.registrar.backend == "redis" and redis is not None:
            return RedisStore(parse_redis_url(redis.url), redis.key_prefix, redis.ttl_slack_secs)
        if self.shared.location == "shm":
            return None
        return RedisStore(parse_redis_url(self.shared.location), "siphon:", 30)

    @property
    def transaction_store(self) -> RedisStore | None:
        """The Redis that transactions are kept in; None where that is shared memory."""
        if self.shared.transactions == "shm":
            return None
        return RedisStore(parse_redis_url(self.shared.transactions), "siphon:", 0)

    @property
    def file(self) -> Path | None:
        """The file this was read from."""
        return self._file


__all__ = ["MAX_WORKERS", "ListenAddress", "Network", "Settings", "User"]
