"""The types of single settings: numbers, paths, hosts, addresses, networks, DSCP names, choices.

A value comes in as the TOML reader left it, or as `Expanded` when environment variables went into it; only the latter
is converted from text to a number or boolean. It comes out in the form that the program uses: absolute paths, hosts in
lower case, DSCP as a number. A value that does not fit raises ValueError with a text that continues "KEY: ...".
"""

import ipaddress
import os.path
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z"
)
DIRECTORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
LINE = r"^[^\r\n\x00]*$"
"""A pattern: text of one line."""
TRUE_WORDS = {"true", "yes", "on", "1"}
FALSE_WORDS = {"false", "no", "off", "0"}
DSCP_NAMES = {f"CS{n}": 8 * n for n in range(8)} | {
    f"AF{c}{d}": 8 * c + 2 * d for c in range(1, 5) for d in range(1, 4)
}
DSCP_NAMES |= {"EF": 46, "VA": 44, "LE": 1, "BE": 0}


class Expanded(str):
    """A text that environment variables went into; `source` is what stands in the file."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> "Expanded":
        made = super().__new__(cls, text)
        made.source = source
        return made


def _whole(value: Any) -> Any:
    """Bounded in digits before it becomes a number: int() on a long text is slow, and ten digits are enough here."""
    if isinstance(value, Expanded) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        return int(value)
    return value


def _real(value: Any) -> Any:
    if isinstance(value, Expanded) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.[0-9]{1,18})?\s*", value):
        return float(value)
    return value


def _boolean(value: Any) -> Any:
    if isinstance(value, Expanded) and value.strip().lower() in TRUE_WORDS | FALSE_WORDS:
        return value.strip().lower() in TRUE_WORDS
    return value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Expanded) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_real), Field(allow_inf_nan=False)]
Switch = Annotated[bool, BeforeValidator(_boolean)]
Text = Annotated[str, BeforeValidator(_plain)]
Filled = Annotated[str, BeforeValidator(_plain), Field(min_length=1)]


def resolve_path(text: str, base: Path) -> Path:
    """An absolute path without `..`; symbolic links stay, since an administrator may switch them between two starts."""
    if not text:
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("a path cannot hold a NUL character")
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        raise ValueError(f"{quote(text.partition('/')[0])} is nobody's home directory") from None
    return Path(os.path.abspath(base / path))


def _base(info: ValidationInfo) -> Path:
    context = info.context if isinstance(info.context, dict) else {}
    base = context.get("base")
    return base if isinstance(base, Path) else Path.cwd()


def _configuration_path(value: Any, info: ValidationInfo) -> Any:
    return resolve_path(str(value), _base(info)) if isinstance(value, str) else value


def _script_path(value: Any, info: ValidationInfo) -> Any:
    """Relative to the configuration file's directory; where nothing is found there, to the working directory."""
    if not isinstance(value, str):
        return value
    beside, here = resolve_path(value, _base(info)), resolve_path(value, Path.cwd())
    return here if may_exist(here) and not may_exist(beside) else beside


def may_exist(path: Path) -> bool:
    """Whether something is there, or nobody lets us see; who opens it will be told why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _log_file(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str) or value in ("stdout", "stderr"):
        return _plain(value)
    return str(resolve_path(value, _base(info)))


ConfigurationPath = Annotated[Path, BeforeValidator(_configuration_path)]
ScriptPath = Annotated[Path, BeforeValidator(_script_path)]
LogFile = Annotated[str, BeforeValidator(_log_file)]


def check_host(text: str) -> str:
    """A host name in lower case without the final dot, or an IP address without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    name = text.removesuffix(".").lower()
    if not HOST_NAME.match(name) or re.fullmatch(r"[0-9.]+", name):
        raise ValueError(f"must be a host name or an IP address without a port, not {quote(text)}")
    return name


Host = Annotated[Text, AfterValidator(check_host)]


def split_address(text: str) -> tuple[str, int]:
    """`ip:port` or `[ip]:port` with a numeric address."""
    host, colon, port = text.rpartition(":")
    example = 'must be "ip:port" as in "127.0.0.1:5060" or "[::]:5060"'
    if not colon or not host:
        raise ValueError(f"{example}, not {quote(text)}")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{example}, not {quote(text)}") from None
    if bracketed != (address.version == 6):
        raise ValueError(f"{example}, not {quote(text)}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"the port must be 1 to 65535, not {quote(port)}")
    return str(address), int(port)


def _address(text: str) -> str:
    ip, port = split_address(text)
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


Address = Annotated[Text, AfterValidator(_address)]


def split_endpoint(text: str) -> tuple[str, int]:
    """`host:port`, a name, an IPv4 address or an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f'must be "host:port" as in "collector.example.com:9060", not {quote(text)}')
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"an IPv6 address stands in brackets, not {quote(text)}")
    return check_host(host), int(port)


def _endpoint(text: str) -> str:
    host, port = split_endpoint(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Endpoint = Annotated[Text, AfterValidator(_endpoint)]


def _nameserver(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _address(text)


Nameserver = Annotated[Text, AfterValidator(_nameserver)]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f'must be a network as in "192.0.2.0/24" or an address, not {quote(text)}') from None


Network = Annotated[Text, AfterValidator(_network)]


def _dscp(value: Any) -> Any:
    if isinstance(value, str) and value.upper() in DSCP_NAMES:
        return DSCP_NAMES[value.upper()]
    number = _whole(value)
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 63:
        return number
    raise ValueError(f'must be a DSCP name as in "CS3", "EF", "AF31", or a number from 0 to 63, not {quote(value)}')


Dscp = Annotated[int, BeforeValidator(_dscp)]


def _directory_name(text: str) -> str:
    if not DIRECTORY_NAME.match(text):
        raise ValueError(f"must be 1 to 64 letters, digits, dots, - or _, a letter or digit first, not {quote(text)}")
    return text


DirectoryName = Annotated[Text, AfterValidator(_directory_name)]


def choice(*served: str, later: Iterable[str] = ()) -> Any:
    """One of the words `served`. A word of `later` is known, but this release cannot serve it: that is said."""
    unserved = frozenset(later)

    def check(value: str) -> str:
        if value in unserved:
            words = " or ".join(map(quote, served))
            raise PydanticCustomError(
                "not_served", "{text}", {"text": f"{quote(value)} is not served by this release; use {words}"}
            )
        if value not in served:
            raise PydanticCustomError("choice", "{text}", {"text": _choices(served, value), "choices": list(served)})
        return value

    return AfterValidator(check)


def _choices(served: tuple[str, ...], value: str) -> str:
    return f"must be {' or '.join(map(quote, served))}, not {quote(value)}"


def listed(value: Any) -> Any:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else value


def quote(value: object) -> str:
    """A value as it may stand in a message: one line, cut, strings in quotes."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = str(value).lower()
    clean = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return clean if len(clean) <= 60 else clean[:57] + "..."


def _http_url(value: str) -> str:
    """The value is not shown: it may hold a password."""
    try:
        parts = urlsplit(value)
        port_reads = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_reads = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_reads:
        raise PydanticCustomError("url", "must be an http:// or https:// URL")
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise PydanticCustomError("url", "holds a character that cannot stand in a URL")
    return value


HttpUrl = Annotated[Text, AfterValidator(_http_url)]


def _user_url(value: str) -> str:
    parts = urlsplit(_http_url(value))
    if "{username}" not in parts.path + parts.query:
        raise PydanticCustomError("url", "needs {username} in its path or query")
    return value


UserUrl = Annotated[Text, AfterValidator(_user_url)]
