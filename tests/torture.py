"""The messages of tests/messages as a test sends them: the top Via names UDP and the place they are sent from."""

import re
import tomllib
from pathlib import Path

Place = tuple[str, int]

MESSAGES = Path(__file__).parent / "messages"
FILES = sorted(MESSAGES.glob("*/*.sip"))
_TOP_VIA = re.compile(rb"(?im)^((?:via|v)[ \t]*:)\s*SIP\s*/\s*[^\s/]+\s*/\s*[^\s;,]+\s+[^\s;,]+")


def torture_messages() -> dict[str, bytes]:
    """The messages of RFC 4475 and RFC 5118 by the ids of their behaviours."""
    groups = tomllib.loads((MESSAGES.parents[1] / "tests/conformance.toml").read_text()).values()
    rows = {name: row["message"] for group in groups for name, row in group.items() if name.startswith(("TOR-", "V6-"))}
    return {name: stored(message) for name, message in rows.items()}


def stored(name: str) -> bytes:
    """A message as it lies in its file. `name`: of the file, or the id of the behaviour."""
    (path,) = MESSAGES.glob(f"*/{name.removeprefix('TOR-')}.sip")
    return path.read_bytes()


def sent_from(place: Place, raw: bytes) -> bytes:
    """The same with transport and sent-by of the top Via replaced; nothing else is touched."""
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    return _TOP_VIA.sub(rb"\1 SIP/2.0/UDP %s:%d" % (host.encode(), place[1]), raw, count=1)
