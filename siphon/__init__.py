"""What routing scripts import: `from siphon import proxy, registrar, auth, log`.

The names below are attributes of this package, made at the first use of one of them (PEP 562), so scripts, tests and
editors see one package and importing `siphon.sip` alone loads no script machinery. No sub-module bears one of them.
"""

__all__ = [
    "Contact",
    "Destination",
    "Flow",
    "Reply",
    "Request",
    "SipUri",
    "auth",
    "b2bua",
    "cache",
    "cdr",
    "diameter",
    "gateway",
    "ipsec",
    "isc",
    "lcr",
    "li",
    "log",
    "metrics",
    "numbers",
    "presence",
    "proxy",
    "qos",
    "registrar",
    "registration",
    "rtpengine",
    "sbi",
    "sdp",
    "srs",
    "stir",
    "timer",
]


def __getattr__(name: str) -> object:
    if name in __all__ or name == "_siphon_registry":
        from siphon.script.namespaces import NAMES

        globals().update(NAMES)
        return NAMES[name]
    raise AttributeError(f"module 'siphon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
