"""SipUri: a URI as scripts see it. Text in, text out; nothing that a script did not touch is written anew.

The parts are read when asked for. An assignment rebuilds the text from the parts as they were written, so escapes,
parameters and headers that nobody changed stay byte for byte. `request.ruri` is live: it has an owner that is told the
new text and puts it into the message; other URIs (From, To, those a script makes) only change themselves.

Knows RFC 3261 §19.1.1 and, for tel:, RFC 3966: user is the number, host the phone-context. The whole grammar is
checked by siphon.sip.uri whenever a script gives a URI or a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import ref

from siphon.script import text
from siphon.script._uri import UriFields, user_of
from siphon.sip.uri import Uri

_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+\Z")
_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#().\-]+\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?)*\.?|\[[0-9A-Fa-f:.]+\])\Z"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_PARAM = re.compile(r"(?:[\[\]/:&+$A-Za-z0-9\-_.!~*'()]|%[0-9A-Fa-f]{2})+\Z")


def validated(value: str) -> str:
    """`value` if it is a URI, else ValueError."""
    Uri.parse(text.one_line(value, "URI"))
    return value


class Params(dict[str, str]):
    """URI parameters by lower-case name; a flag maps to "". Changing it changes the URI, as long as that is there."""

    __slots__ = ("_uri",)

    def __init__(self, items: Iterable[tuple[str, str]], uri: SipUri) -> None:
        super().__init__(items)
        self._uri = ref(uri)  # weak, or every request would be a garbage cycle

    def _changed(self) -> None:
        uri = self._uri()
        if uri is not None:
            uri._params_changed(self)

    def __setitem__(self, name: str, value: str) -> None:
        for part, what in ((name, "parameter name"), (value, "parameter value")):
            if text.one_line(part, what) and not _PARAM.match(part):
                raise ValueError(f"not a URI {what}: {part!r}")
        if not name:
            raise ValueError("a URI parameter needs a name")
        super().__setitem__(name.lower(), value)
        self._changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name.lower())
        self._changed()

    def pop(self, name: str, *default: Any) -> Any:
        value = super().pop(name.lower(), *default)
        self._changed()
        return value

    def popitem(self) -> tuple[str, str]:
        item = super().popitem()
        self._changed()
        return item

    def clear(self) -> None:
        super().clear()
        self._changed()

    def setdefault(self, name: str, default: str = "") -> str:
        if name.lower() not in self:
            self[name] = default
        return self[name.lower()]

    def update(self, *args: Any, **kwargs: str) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Params:  # type: ignore[override,misc]
        self.update(other)
        return self


class SipUri(UriFields):
    """A sip, sips or tel URI (others: scheme and text only). Equality and hash follow the text."""

    __slots__ = ()

    def __init__(
        self,
        uri: str | SipUri | None = None,
        *,
        scheme: str = "sip",
        user: str | None = None,
        host: str | None = None,
        port: int | None = None,
    ) -> None:
        if uri is None:
            uri = _compose(scheme, user, host, port)
        self._reset(validated(str(uri)))

    def _reset(self, value: str) -> None:
        self._text = value
        self._read = False

    def _write(self) -> None:
        """Build the text from the parts; tell the owner, or change nothing when it refuses."""
        params = "".join(f";{raw}" for raw in self._raw_params)
        if self._scheme == "tel":
            built = f"{self._scheme}:{self._userinfo or ''}{params}"
        else:
            user = "" if self._userinfo is None else f"{self._userinfo}@"
            port = "" if self._port is None else f":{self._port}"
            built = f"{self._scheme}:{user}{self._host}{port}{params}{self._headers}"
        old = self._text
        try:
            validated(built)
        except ValueError:
            self._reset(old)
            raise
        self._text = built
        if self._owner is not None:
            self._owner(built)

    def _set_user(self, value: str | None) -> None:
        if not self._read:
            self._parts()
        if value is None:
            if self._scheme == "tel":
                raise ValueError("a tel: URI needs a number")
            self._userinfo = None
        else:
            pattern = _NUMBER if self._scheme == "tel" else _USER
            if not pattern.match(text.one_line(value, "user")):
                raise ValueError(f"not a user part: {value!r}")
            self._userinfo = value + _after_user(self._userinfo)
        self._user = user_of(self._userinfo)
        self._write()

    def _set_host(self, value: str) -> None:
        if not self._read:
            self._parts()
        if self._scheme == "tel":
            self.params["phone-context"] = value
            return
        if not _HOST.match(text.one_line(value, "host")):
            raise ValueError(f"not a host: {value!r}")
        self._host = value
        self._write()

    def _set_port(self, value: int | None) -> None:
        if not self._read:
            self._parts()
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise TypeError(f"port must be int or None, not {type(value).__name__}")
        if self._scheme == "tel" or (value is not None and not 0 < value < 65536):
            raise ValueError(f"not a port for {self._text!r}: {value!r}")
        self._port = value
        self._write()

    @property
    def params(self) -> Params:
        """URI parameters, live; the first of equal names counts."""
        if not self._read:
            self._parts()
        if self._params is None:
            seen: dict[str, str] = {}
            for raw in self._raw_params:
                name, _, value = raw.partition("=")
                seen.setdefault(name.strip().lower(), value.strip())
            self._params = Params(seen.items(), self)
        return self._params

    @params.setter
    def params(self, value: Mapping[str, str]) -> None:
        params, wanted = self.params, {name.lower(): v for name, v in dict(value).items()}
        for name in [name for name in params if name not in wanted]:
            del params[name]
        params.update(wanted)

    def _params_changed(self, params: Params) -> None:
        """Keep what is unchanged as it was written, in its place; new names go to the end."""
        current = dict(params)
        kept: list[str] = []
        for raw in self._raw_params:
            name, _, value = raw.partition("=")
            key = name.strip().lower()
            if key in current:
                wanted = current.pop(key)
                kept.append(raw if wanted == value.strip() else _param(name.strip(), wanted))
        kept.extend(_param(name, value) for name, value in current.items())
        self._raw_params = kept
        self._write()

    def __repr__(self) -> str:
        return f"SipUri({self._text!r})"


def _after_user(userinfo: str | None) -> str:
    """User parameters and password as they were written."""
    if not userinfo:
        return ""
    cut = min((i for i in (userinfo.find(";"), userinfo.find(":")) if i >= 0), default=len(userinfo))
    return userinfo[cut:]


def _param(name: str, value: str) -> str:
    return f"{name}={value}" if value else name


def _compose(scheme: str, user: str | None, host: str | None, port: int | None) -> str:
    """The text of a URI made from parts; each part is checked alone first."""
    if not _SCHEME.match(text.one_line(scheme, "scheme")):
        raise ValueError(f"not a scheme: {scheme!r}")
    if scheme.lower() == "tel":
        context = f";phone-context={host}" if host else ""
        if user is None or not _NUMBER.match(text.one_line(user, "user")):
            raise ValueError(f"not a number: {user!r}")
        return f"tel:{user}{context}"
    if host is None or not _HOST.match(text.one_line(host, "host")):
        raise ValueError(f"not a host: {host!r}")
    if user is not None and not _USER.match(text.one_line(user, "user")):
        raise ValueError(f"not a user part: {user!r}")
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"not a port: {port!r}")
    at = "" if user is None else f"{user}@"
    return f"{scheme}:{at}{host}{'' if port is None else f':{port}'}"
