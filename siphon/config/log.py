"""The log: one line an event, one write a line, and nothing formatted that is not written.

    2026-01-31T12:00:00.123Z info w2 3c26700d@198.51.100.7 worker.started pid=4242

are time (UTC), level, process, Call-ID or `-`, event, and then fields as key=value; json has the same. Peers choose
much of what is logged, so control characters are escaped, values and lines are cut, and a value that could be taken
for two is quoted. Values of fields that hold secrets, passwords in URLs and digest responses are masked.

Processes share the file: it is opened for appending and each line is one write of at most 4096 bytes. Where the log is
a pipe or terminal that takes nothing more, the line is lost and counted, since a worker must never wait for its log.
A file that was moved away is opened anew within a second (logrotate needs no signal). When standard output or error is
the journal's, each line begins with the journal's priority, `<6>`.

`CALL_ID` is the one ambient value of the whole program: the Call-ID of the message that is being served.
"""

from __future__ import annotations

import json
import os
import re
import select
import stat
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Protocol

CALL_ID: ContextVar[str] = ContextVar("call_id", default="-")

DEBUG, INFO, WARN, ERROR = 10, 20, 30, 40
LEVELS = {"debug": DEBUG, "info": INFO, "warn": WARN, "error": ERROR}
PRIORITIES = {DEBUG: b"<7>", INFO: b"<6>", WARN: b"<4>", ERROR: b"<3>"}
NAMES = {number: name for name, number in LEVELS.items()}

LINE_BYTES = 4096
VALUE_CHARACTERS = 512
EVENT_CHARACTERS = 3000
CALL_ID_CHARACTERS = 128
TRACEBACK_CHARACTERS = 2000
MASK = "***"

_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SECRET_NAME = re.compile(r"password|passwd|secret|token|ha1|authorization|api_key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@")
_DIGEST = re.compile(r'\b(response|nonce|cnonce|nextnonce)="?[^\s,;"]+"?', re.IGNORECASE)
_NEEDS_QUOTES = re.compile(r'[\s"=\\]')
_RESERVED = frozenset(("time", "level", "process", "call_id", "event"))


def escaped(text: str, limit: int) -> str:
    """One line: control characters and what turns the direction of writing as escapes; cut with an ellipsis."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return _UNSAFE.sub(_escape, cut.replace("\\", "\\\\") if _UNSAFE.search(cut) else cut)


def quoted(text: str) -> str:
    """A field's value; in quotes, with backslash escapes, where it could be taken for something else."""
    cut = text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 3] + "..."
    if cut and not _NEEDS_QUOTES.search(cut) and not _UNSAFE.search(cut):
        return cut
    return '"' + _UNSAFE.sub(_escape, cut.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def masked(text: str) -> str:
    """Without passwords in URLs and without digest responses."""
    if "://" in text:
        text = _URL_PASSWORD.sub(r"\1***@", text)
    return _DIGEST.sub(r"\1=***", text) if "esponse=" in text or "nonce=" in text else text


def last_of(trace: str) -> str:
    """The end of a traceback, as much as a line has room for."""
    text = masked(trace.rstrip("\n"))
    return text if len(text) <= TRACEBACK_CHARACTERS else "..." + text[-TRACEBACK_CHARACTERS:]


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


class Wanted(Protocol):
    """The section `[log]`."""

    @property
    def level(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def file(self) -> str: ...


class Sink:
    """Where lines go. A line that cannot be written at once is dropped and counted in `lost`."""

    def __init__(self, target: str = "stdout", environ: Mapping[str, str] | None = None) -> None:
        self.target = target
        self.lost = 0
        self.checked = 0.0
        self.poll: select.poll | None = None
        self.fd = {"stdout": 1, "stderr": 2}.get(target, -1)
        self.is_file = self.fd < 0
        if self.is_file:
            self.fd = self.open()
        self.identity = self.look()
        self.is_journal = not self.is_file and _is_journal(self.fd, os.environ if environ is None else environ)
        self.watch()

    def watch(self) -> None:
        """Where lines may have to wait they are lost."""
        if not stat.S_ISREG(self.identity[2]):
            self.poll = select.poll()
            self.poll.register(self.fd, select.POLLOUT)

    def replace(self, before: Sink) -> None:
        """Take the descriptor of the one before, which is never closed: a thread may be writing to it. Standard output
        and standard error stay what they are."""
        if before.fd > 2:
            os.dup2(self.fd, before.fd, inheritable=False)
            if self.is_file:
                os.close(self.fd)
            self.fd = before.fd
            self.watch()

    def open(self) -> int:
        """Raises OSError. Others may read the log only if the umask lets them."""
        return os.open(self.target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)

    def look(self) -> tuple[int, int, int]:
        try:
            status = os.fstat(self.fd)
        except OSError:
            return 0, 0, 0
        return status.st_dev, status.st_ino, status.st_mode

    def write(self, line: bytes, now: float) -> None:
        """`now` is any clock in seconds; the file's place is looked at when it has moved on by a second."""
        if self.is_file and not 0 <= now - self.checked < 1.0:
            self.checked = now
            self.follow()
        try:
            full = self.poll is not None and not self.poll.poll(0)
            if full or os.write(self.fd, line) < len(line):
                self.lost += 1
        except OSError:
            self.lost += 1

    def follow(self) -> None:
        """Opens the file again when its name leads elsewhere. While that fails, lines go to the old file."""
        try:
            status = os.stat(self.target)
            if (status.st_dev, status.st_ino) == self.identity[:2]:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        try:
            fresh = self.open()
        except OSError:
            return
        os.dup2(fresh, self.fd, inheritable=False)
        os.close(fresh)
        self.identity = self.look()


def _is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """systemd says in JOURNAL_STREAM which device and inode its journal is; output may have been redirected since."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


class Log:
    """Writes lines of at least `level`. `process` is set anew after fork: `main`, `w2`, the name of a helper."""

    def __init__(
        self,
        level: str = "info",
        format: str = "pretty",  # noqa: A002  the name of the setting
        file: str = "stdout",
        process: str = "main",
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.threshold = self.configured = LEVELS[level]
        self.overridden: int | None = None
        self.format = format
        self.process = process
        self.clock = clock
        self.environ = environ
        self.sink = Sink(file, environ)
        self._second = -1
        self._second_text = ""
        self._seen: dict[str, tuple[int, int, int]] = {}

    def follow(self, wanted: Wanted) -> None:
        """After a reload of the configuration. Where its file cannot be opened, lines go on to the old one."""
        self.configured, self.format = LEVELS[wanted.level], wanted.format
        self.override(self.overridden)
        if wanted.file != self.sink.target:
            try:
                fresh = Sink(wanted.file, self.environ)
            except OSError as error:
                self.error("log.not_opened", file=wanted.file, error=error)
                return
            fresh.replace(self.sink)
            self.sink = fresh

    def override(self, level: int | None) -> None:
        """Another level than the configured one; None ends it."""
        self.overridden = level
        self.threshold = self.configured if level is None else level

    def enabled(self, level: int) -> bool:
        return level >= self.threshold

    def debug(self, event: str, /, **fields: object) -> None:
        if self.threshold <= DEBUG:
            self.write(DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        if self.threshold <= INFO:
            self.write(INFO, event, fields)

    def warn(self, event: str, /, **fields: object) -> None:
        if self.threshold <= WARN:
            self.write(WARN, event, fields)

    warning = warn

    def error(self, event: str, /, **fields: object) -> None:
        if self.threshold <= ERROR:
            self.write(ERROR, event, fields)

    def often(self, level: int, event: str, /, limit: int = 5, **fields: object) -> None:
        """For what a peer can cause at will: at most `limit` lines of an event in a second, then `suppressed=N`."""
        if level >= self.threshold and self._within(level, event, limit):
            self.write(level, event, fields)

    def _within(self, level: int, event: str, limit: int) -> bool:
        """Whether an event may be written once more in this second; what was not is told in the next."""
        second = int(self.clock())
        began, written, suppressed = self._seen.get(event, (second, 0, 0))
        if began != second:
            if suppressed:
                self.write(level, event, {"suppressed": suppressed})
            began, written, suppressed = second, 0, 0
        allowed = written < limit
        self._seen[event] = (began, written + allowed, suppressed + (not allowed))
        return allowed

    def exception(self, event: str, failure: BaseException, /, **fields: object) -> None:
        """An error line with the exception and its traceback, as `often`: each request may make a handler fail."""
        if self._within(ERROR, event, 5):
            trace = "".join(traceback.format_exception(failure))
            self.at("error", event, error=f"{type(failure).__name__}: {failure}", **fields, traceback=trace)

    def at(self, level: str, event: str, /, **fields: object) -> None:
        """A line of a level given by name. The text of a field `traceback` follows in lines of its own for people; for
        programs it is a field, of which the end matters."""
        number = LEVELS.get(level, WARN)
        if number >= self.threshold:
            trace = str(fields.pop("traceback", None) or "")
            if trace and self.format == "json":
                fields["traceback"] = trace
            self.write(number, event, fields)
            if trace and self.format != "json":
                self.lines(number, trace)

    def lines(self, level: int, text: str) -> None:
        """Text of several lines, each as a line of the log."""
        if level >= self.threshold:
            for line in text.rstrip("\n").split("\n"):
                self.write(level, f"  {line}", {})

    def write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        """One line, whatever the threshold is."""
        now = self.clock()
        if self.sink.lost:
            lost, self.sink.lost = self.sink.lost, 0
            self.sink.write(self.line(now, WARN, "log.lines_lost", {"count": lost}), now)
            self.sink.lost += lost if self.sink.lost else 0
        self.sink.write(self.line(now, level, event, fields), now)

    def line(self, now: float, level: int, event: str, fields: Mapping[str, object]) -> bytes:
        make = self.json if self.format == "json" else self.pretty
        body = make(self.time(now), NAMES[level], escaped(CALL_ID.get(), CALL_ID_CHARACTERS), event, fields)
        prefix = PRIORITIES[level] if self.sink.is_journal else b""
        return prefix + body + b"\n"

    def time(self, now: float) -> str:
        """Whole seconds are formatted once."""
        milliseconds = int(now * 1000)
        second = milliseconds // 1000
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{milliseconds % 1000:03d}Z"

    def pretty(self, when: str, level: str, call_id: str, event: str, fields: Mapping[str, object]) -> bytes:
        parts = [when, level, self.process, call_id.replace(" ", "_") or "-", escaped(masked(event), EVENT_CHARACTERS)]
        for name, value in fields.items():
            parts.append(f"{name}={MASK if _SECRET_NAME.search(name) else quoted(masked(_text(value)))}")
        raw = " ".join(parts).encode("utf-8", "backslashreplace")
        return raw if len(raw) < LINE_BYTES - 8 else raw[: LINE_BYTES - 12].decode("utf-8", "ignore").encode() + b"..."

    def json(self, when: str, level: str, call_id: str, event: str, fields: Mapping[str, object]) -> bytes:
        record: dict[str, object] = {"time": when, "level": level, "process": self.process, "call_id": call_id}
        record["event"] = escaped(masked(event), EVENT_CHARACTERS // 2)
        size = len(_dumps(record))
        for name, value in fields.items():
            key = f"{name}_" if name in _RESERVED else name
            shown = last_of(str(value)) if name == "traceback" else self.json_value(name, value)
            size += len(_dumps({key: shown}))
            if size > LINE_BYTES - 32:
                record["cut"] = True
                break
            record[key] = shown
        raw = _dumps(record)
        if len(raw) > LINE_BYTES - 8:
            record["event"] = escaped(event, 256)
            raw = _dumps(record)
        return raw

    def json_value(self, name: str, value: object) -> object:
        if _SECRET_NAME.search(name):
            return MASK
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and abs(value) < 1e300):
            return value
        return escaped(masked(_text(value)), VALUE_CHARACTERS)


def _dumps(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii")
