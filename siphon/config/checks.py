"""What needs more than one setting to be judged: contradictions are faults, odd choices are warnings.

Both are pairs of the path of a key and a text that continues "KEY: ...".
"""

import ipaddress
import ssl
from collections.abc import Iterator

from siphon.config.locate import Path
from siphon.config.media import Media, beyond_rtpproxy
from siphon.config.redis_url import parse_redis_url
from siphon.config.settings import ListenAddress, Settings
from siphon.config.values import may_exist, split_address

Finding = tuple[Path, str]

DEMO_PASSWORD = "secret"

RESTS_ON: dict[Path, Path] = {("auth", "backend"): ("auth", "http")}
"""A fault at the first is not told where the second is wrong in itself: it would only follow from that."""


def faults(settings: Settings) -> Iterator[Finding]:
    """What no instance can be started with."""
    yield from _listeners(settings)
    yield from _registrar(settings)
    yield from _timers(settings)
    yield from _sizes(settings)
    yield from _users(settings)
    yield from _services(settings)


def _listeners(settings: Settings) -> Iterator[Finding]:
    if not settings.listen.udp:
        yield ("listen", "udp"), 'needs at least one listener, as in udp = ["127.0.0.1:5060"]'
    seen: dict[tuple[str, int], int] = {}
    for place, listener in enumerate(settings.listen.udp):
        first = seen.setdefault((listener.ip, listener.port), place)
        if first != place:
            yield ("listen", "udp", place), f"{listener.address} stands here twice"
        elif (wide := _wildcard_over(listener, settings.listen.udp)) is not None:
            yield ("listen", "udp", place), f"{listener.address} is contained in {wide.address}; keep one of the two"


def _wildcard_over(listener: ListenAddress, others: list[ListenAddress]) -> ListenAddress | None:
    version = ipaddress.ip_address(listener.ip).version
    for other in others:
        same = other.port == listener.port and ipaddress.ip_address(other.ip).version == version
        if same and other.wildcard and not listener.wildcard:
            return other
    return None


def _registrar(settings: Settings) -> Iterator[Finding]:
    registrar = settings.registrar
    if registrar.min_expires > 3600:
        yield ("registrar", "min_expires"), "must be at most 3600: RFC 3261 section 10.3 forbids refusing an hour"
    if registrar.min_expires > registrar.max_expires:
        yield ("registrar", "min_expires"), f"must not exceed registrar.max_expires, which is {registrar.max_expires}"
    elif not registrar.min_expires <= registrar.default_expires <= registrar.max_expires:
        bounds = f"{registrar.min_expires} and {registrar.max_expires}"
        yield ("registrar", "default_expires"), f"must lie between registrar.min_expires and max_expires, {bounds}"

    yield from _location_store(settings)


def _location_store(settings: Settings) -> Iterator[Finding]:
    registrar, shared = settings.registrar, settings.shared
    if registrar.backend != "redis":
        return
    if registrar.redis is None:
        yield ("registrar", "backend"), 'needs registrar.redis.url when it is "redis"'
    elif "location" in shared.model_fields_set and not _is_same_store(shared.location, registrar.redis.url):
        yield ("registrar", "backend"), "contradicts shared.location, which says otherwise; keep one of the two"


def _is_same_store(location: str, url: str) -> bool:
    return location != "shm" and parse_redis_url(location).place == parse_redis_url(url).place


def _timers(settings: Settings) -> Iterator[Finding]:
    timers = settings.transaction
    if timers.t2 < timers.t1:
        yield ("transaction", "t2"), f"must not be less than transaction.t1, which is {timers.t1:g}"
    if settings.dns.ttl_max < settings.dns.ttl_min:
        yield ("dns", "ttl_max"), f"must not be less than dns.ttl_min, which is {settings.dns.ttl_min}"


def _sizes(settings: Settings) -> Iterator[Finding]:
    if settings.shared.vars_bytes * 2 > settings.shared.record_bytes:
        half = settings.shared.record_bytes // 2
        yield ("shared", "vars_bytes"), f"must be at most half of shared.record_bytes, {half}"
    if settings.limits.line_bytes > settings.limits.header_bytes:
        yield ("limits", "line_bytes"), f"must not exceed limits.header_bytes, which is {settings.limits.header_bytes}"


def _users(settings: Settings) -> Iterator[Finding]:
    for name in settings.auth.users:
        if any(ord(c) < 32 or ord(c) == 127 for c in name):
            yield ("auth", "users", name), "a user name cannot hold control characters"
    if len(set(settings.auth.algorithms)) != len(settings.auth.algorithms):
        yield ("auth", "algorithms"), "an algorithm stands here twice"
    if settings.auth.backend == "http" and settings.auth.http is None:
        yield ("auth", "backend"), 'needs auth.http.url when it is "http"'


def _services(settings: Settings) -> Iterator[Finding]:
    names = [cache.name for cache in settings.cache]
    for place, name in enumerate(names):
        if name in names[:place]:
            yield ("cache", place, "name"), f'a second cache "{name}"'
    if settings.cdr.enabled and settings.cdr.backend == "http" and settings.cdr.http is None:
        yield ("cdr", "http"), 'is needed: cdr.backend is "http"'
    if settings.cdr.enabled and settings.cdr.backend == "syslog" and settings.cdr.syslog is None:
        yield ("cdr", "syslog"), 'is needed: cdr.backend is "syslog"'
    yield from _web(settings)
    yield from _media(settings)
    firewall, hep = settings.security.firewall, settings.tracing.hep
    if firewall is not None and firewall.set_v4 == firewall.set_v6:
        yield ("security", "firewall", "set_v6"), "must be another set than set_v4: one holds addresses of one family"
    if hep is not None and hep.transport == "tls" and hep.ca_cert is not None:
        try:
            ssl.create_default_context(cafile=str(hep.ca_cert))
        except OSError as error:  # ssl.SSLError is one; without this every worker would end with a traceback
            why = "no certificate in PEM" if isinstance(error, ssl.SSLError) else (error.strerror or "").lower()
            yield ("tracing", "hep", "ca_cert"), f"{hep.ca_cert} cannot be used: {why}"
    groups = [group.name for group in settings.gateway.groups] if settings.gateway else []
    for place, name in enumerate(groups):
        if name in groups[:place]:
            yield ("gateway", "groups", place, "name"), f'a second group "{name}"'


def _web(settings: Settings) -> Iterator[Finding]:
    """One address may serve both; two that the kernel gives to one socket only may not."""
    admin, prometheus = settings.admin, settings.metrics.prometheus
    if admin is None or prometheus is None or admin.listen == prometheus.listen:
        return
    one, other = split_address(admin.listen), split_address(prometheus.listen)
    wide = [ip for ip, _ in (one, other) if ipaddress.ip_address(ip).is_unspecified]
    same_family = (":" in one[0]) == (":" in other[0])
    if wide and one[1] == other[1] and same_family:
        yield ("metrics", "prometheus", "listen"), f"overlaps admin.listen, which is {admin.listen}; make them equal"


def _media(settings: Settings) -> Iterator[Finding]:
    for name in ("rtpengine", "rtpproxy"):
        engines = getattr(settings.media, name, None)
        if engines is not None and engines.address is None and not engines.instances:
            yield ("media", name), "needs address, or instances"
        if engines is not None and engines.address is not None and engines.instances:
            yield ("media", name, "address"), "stands beside instances; keep one of the two"


def warnings(settings: Settings) -> Iterator[Finding]:
    """What an administrator should read once at start."""
    if settings.transaction.timer_c <= 180:
        yield (
            ("transaction", "timer_c"),
            "RFC 3261 section 16.6 wants more than 180 seconds; calls that ring long will end",
        )
    if settings.auth.backend == "http" and settings.auth.users:
        yield ("auth", "users"), 'is not used: auth.backend is "http"'
    if settings.auth.backend != "http" and settings.auth.http is not None:
        yield ("auth", "http"), 'is not used: auth.backend is not "http"'
    if settings.registrar.backend != "redis" and settings.registrar.redis is not None:
        yield ("registrar", "redis"), 'is not used: registrar.backend is not "redis"'
    yield from _unused(settings)
    entries = sum(cache.local_max_entries for cache in settings.cache if cache.url is None)
    if entries > settings.shared.max_cache_entries:
        yield ("shared", "max_cache_entries"), f"is less than the {entries} entries that the caches may have together"
    if settings.cdr.enabled and settings.cdr.channel_size > settings.shared.max_cdrs:
        yield ("shared", "max_cdrs"), f"is less than cdr.channel_size, {settings.cdr.channel_size}"
    demo = [name for name, user in settings.auth.users.items() if user.password == DEMO_PASSWORD]
    public = [listener.address for listener in settings.listen.udp if not listener.loopback]
    if demo and public:
        users = ", ".join(demo[:3])
        yield ("auth", "users"), f"{users}: the demo password is served on {', '.join(public)}; change it"
    if settings.shared.max_transactions < 64 * settings.workers.count:
        workers = "1 worker" if settings.workers.count == 1 else f"{settings.workers.count} workers"
        yield ("shared", "max_transactions"), f"is small for {workers}"


def _unused(settings: Settings) -> Iterator[Finding]:
    """What is set beside a switch that makes nothing of it."""
    for place, path in enumerate(settings.script.include_paths):
        if not may_exist(path):
            yield ("script", "include_paths", place), f"{path} does not exist"
    for place, cache in enumerate(settings.cache):
        if cache.url is None and cache.local_ttl_secs is not None:
            yield ("cache", place, "local_ttl_secs"), "is not used: the cache has no url, all workers share it"
    for name in ("auto_emit", "include_register"):
        if getattr(settings.cdr, name) and not settings.cdr.enabled:
            yield ("cdr", name), "is not used: cdr.enabled is false"
    media = settings.media
    other = "rtpproxy" if media is not None and media.backend == "rtpengine" else "rtpengine"
    if media is not None and getattr(media, other) is not None:
        yield ("media", other), f'is not used: media.backend is "{media.backend}"'
    if media is not None and media.backend == "rtpproxy":
        yield from _beyond_rtpproxy(media)


def _beyond_rtpproxy(media: Media) -> Iterator[Finding]:
    """Each offer or answer with such a profile would be refused."""
    for name, profile in media.profiles.items():
        for side in ("offer", "answer"):
            asked = getattr(profile, side).model_dump()
            needs = beyond_rtpproxy({key: value for key, value in asked.items() if value not in (None, [])})
            if needs is not None:
                yield ("media", "profiles", name, side), f"{needs} needs RTPEngine: rtpproxy cannot do that"
