"""The URL of a Redis: a single server, a master that Sentinels know, or a Cluster.

    redis://user:password@host:6379/0          rediss:// with TLS
    redis+sentinel://h1,h2:26379/NAME/0        rediss+sentinel:// with TLS, to the Sentinels as well
    redis+cluster://h1,h2:6379                 rediss+cluster:// with TLS

Parameters follow a `?`: see PARAMETERS. What a URL holds may be secret: nothing that is raised or printed here shows a
user, a password or a parameter's value. `masked` is what a log line or a status may say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import parse_qsl, unquote

from siphon.config.values import check_host

SCHEMES = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
PORT, SENTINEL_PORT = 6379, 26379
PARAMETERS = {
    "ca": "file with the certificates of authorities that are trusted, PEM; the system's if absent",
    "cert": "file with our certificate, PEM",
    "key": "file with its private key, PEM",
    "verify": '"full"; "ca": the name in the certificate is not compared; "none"',
    "wait": "replicas that must have a REGISTER before it is answered with 200, 0 to 9",
    "sentinel_user": "user at the Sentinels",
    "sentinel_password": "password at the Sentinels",
}
VERIFY = ("full", "ca", "none")


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server proves who it is, and we to it. Names are paths of PEM files, "" for none."""

    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)
    verify: str = "full"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """`kind` is single, sentinel or cluster; `hosts` are Sentinels for a sentinel, some nodes for a cluster. `wait` is
    the number of replicas that must have a write before it counts as done."""

    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: Tls | None = None
    wait: int = 0
    sentinel_user: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @property
    def masked(self) -> str:
        """For a log line or a status: without user, password and parameters."""
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "single" else f"+{self.kind}")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = f"/{self.service}" if self.service else ""
        return f"{scheme}://{hosts}{path}" + (f"/{self.db}" if self.db else "")

    @property
    def place(self) -> tuple[object, ...]:
        """What tells two stores apart."""
        return self.kind, self.hosts, self.service, self.db


def parse_redis_url(text: str) -> RedisUrl:
    """ValueError with a text that continues "KEY: "."""
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("must be a URL that begins with " + ", ".join(f"{name}://" for name in SCHEMES))
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("holds a character that cannot stand in a URL")
    kind, tls = SCHEMES[scheme]
    # Not urlsplit(): a list of hosts is no host to it, and newer ones refuse it where one is an IPv6 address.
    before, _, query = text.partition("://")[2].partition("?")
    authority, slash, path = before.partition("/")
    if "#" in text:
        raise ValueError("a # in a password is written as %23")
    if authority.count("[") != authority.count("]"):
        raise ValueError("is no URL: brackets of an IPv6 address do not match")
    userinfo, at, places = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    service, db = _path(kind, slash + path)
    given = _parameters(query)
    return RedisUrl(
        kind=kind,
        hosts=_hosts(kind, places),
        service=service,
        user=(unquote(user) or None) if at else None,
        password=unquote(password) if colon else None,
        db=db,
        tls=_tls(tls, given),
        wait=_wait(given),
        sentinel_user=_of_sentinel(kind, given, "sentinel_user"),
        sentinel_password=_of_sentinel(kind, given, "sentinel_password"),
    )


def _hosts(kind: str, text: str) -> tuple[tuple[str, int], ...]:
    names = text.split(",")
    if kind == "single" and len(names) > 1:
        raise ValueError("names several hosts: that is redis+sentinel:// or redis+cluster://")
    default = SENTINEL_PORT if kind == "sentinel" else PORT
    return tuple(_host(name, default) for name in names)


def _host(text: str, default: int) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text)
    if match is None or not match[1]:
        raise ValueError("needs host or host:port, an IPv6 address in brackets")
    port = int(match[2]) if match[2] else default
    if not 1 <= port <= 65535:
        raise ValueError("the port must be 1 to 65535")
    return check_host(match[1]), port


def _path(kind: str, path: str) -> tuple[str, int]:
    parts = [unquote(part) for part in path.split("/")[1:] if part]
    service = ""
    if kind == "sentinel":
        if not parts or not re.fullmatch(r"[A-Za-z0-9._-]+", parts[0]):
            raise ValueError("needs the master's name after the Sentinels, as in redis+sentinel://h1,h2/NAME")
        service = parts.pop(0)
    if kind == "cluster" and parts:
        raise ValueError("a Cluster has no databases: nothing may follow its nodes")
    if len(parts) > 1 or any(not re.fullmatch(r"[0-9]{1,6}", part) for part in parts):
        raise ValueError("the number of the database is all that may follow")
    return service, int(parts[0]) if parts else 0


def _parameters(query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            close = get_close_matches(name, PARAMETERS, n=1)
            known = close[0] if close else ", ".join(PARAMETERS)
            raise ValueError(f"unknown parameter after the ?; {'did you mean' if close else 'known are'} {known}")
        if name in given:
            raise ValueError(f"the parameter {name} is given twice")
        given[name] = value
    return given


def _tls(wanted: bool, given: dict[str, str]) -> Tls | None:
    own = {name: given[name] for name in ("ca", "cert", "key", "verify") if name in given}
    if not wanted:
        if own:
            raise ValueError(f"the parameter {next(iter(own))} is for rediss:// only")
        return None
    if own.get("verify", "full") not in VERIFY:
        raise ValueError(f"the parameter verify must be {' or '.join(VERIFY)}")
    if ("cert" in own) != ("key" in own):
        raise ValueError("the parameters cert and key belong together")
    return Tls(**own)


def _wait(given: dict[str, str]) -> int:
    text = given.get("wait", "0")
    if not re.fullmatch(r"[0-9]", text):
        raise ValueError("the parameter wait must be a number from 0 to 9")
    return int(text)


def _of_sentinel(kind: str, given: dict[str, str], name: str) -> str | None:
    if name in given and kind != "sentinel":
        raise ValueError(f"the parameter {name} is for redis+sentinel:// only")
    return given.get(name)
