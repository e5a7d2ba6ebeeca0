"""The hosts file: what the administrator has written down goes before DNS; localhost never leaves the host (RFC 6761).

Read again when it has changed. pycares has no way to ask for the file alone.
"""

from __future__ import annotations

from pathlib import Path

from siphon.forwarding.next_hop import numeric_host

LARGEST = 1 << 20
LOCALHOST = {4: "127.0.0.1", 6: "::1"}


class HostsFile:
    """Addresses by name. A line that cannot be read is skipped, a file that cannot be read is empty."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str, family: int) -> list[str]:
        """The addresses of a name in one family, 4 or 6, in the order of the file."""
        name = name.lower()
        self._refresh()
        found = [ip for ip in self._names.get(name, ()) if (":" in ip) == (family == 6)]
        if not found and (name == "localhost" or name.endswith(".localhost")):
            return [LOCALHOST[family]]
        return found

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            with self._path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(LARGEST)
        except OSError:
            seen, text = None, ""
        self._seen, self._names = seen, {}
        for line in text.splitlines():
            self._line(line.partition("#")[0].split())

    def _line(self, words: list[str]) -> None:
        ip = numeric_host(words[0]) if words else None
        for name in words[1:] if ip else ():
            known = self._names.setdefault(name.lower().rstrip("."), [])
            if ip and ip not in known:
                known.append(ip)
