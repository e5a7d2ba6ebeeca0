"""Reads a configuration file: bytes in, `Settings` out, or `ConfigurationError` with everything that is wrong.

Order: read, parse (TOML, or YAML by the file's name), skip what is not offered, expand variables, join the users'
file, fill in what depends on the environment, validate, cross-check. A file with faults is checked as far as it goes:
keys that failed are put aside, so that the rest is judged in the same run. Warnings are kept in `Settings.warnings`.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from siphon.config import checks, explain, locate
from siphon.config.errors import ConfigurationError, Problem
from siphon.config.expand import Expander
from siphon.config.later import NOT_OFFERED, NOT_YET
from siphon.config.registry import is_ignored, section_at, show
from siphon.config.settings import Settings, host_name
from siphon.config.values import DIRECTORY_NAME, may_exist, resolve_path

MAX_FILE_BYTES = 4 * 1024 * 1024
SEARCHED = (Path("/etc/siphon/siphon.cfg"), Path("etc/siphon.cfg"))

KeyPath = locate.Path
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def find(environ: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file that is used when none is named: the first one that exists."""
    return next((path for path in SEARCHED if may_exist(path)), None)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the file `path`. Raises ConfigurationError."""
    return _Loading(path, os.environ if environ is None else environ).run()


class _Loading:
    """One reading of one file: the document, where its keys stand, and what was found wrong so far."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.name = str(path)
        self.path = Path(os.path.abspath(path))
        self.environ = environ
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.lines: dict[KeyPath, int] = {}
        self.users_from: dict[str, tuple[str, int | None]] = {}

    def run(self) -> Settings:
        document = self.read(self.path, self.name)
        if document is None:
            raise ConfigurationError(self.problems)
        content, self.lines = document
        self.skip_what_is_not_offered(content)
        content = self.expand(content)
        self.join_users(content)
        self.fill_in(content)
        settings = self.validate(content)
        if self.problems or settings is None:
            raise ConfigurationError(sorted(self.problems, key=lambda p: (p.file != self.name, p.line or 0)))
        self.warn(settings, content)
        settings._warnings[:] = self.warnings
        settings._file = self.path
        return settings

    def read(self, path: Path, name: str) -> tuple[dict[str, Any], dict[KeyPath, int]] | None:
        """The parsed document and its lines; None when a problem was noted."""
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            self.problems.append(Problem(name, None, "", f"cannot be read: {_plain(error)}"))
            return None
        if len(raw) > MAX_FILE_BYTES:
            self.problems.append(
                Problem(name, None, "", f"is larger than {MAX_FILE_BYTES >> 20} MB; is it a configuration?")
            )
            return None
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            what = "is not a text file" if b"\0" in raw[:4096] else "is not UTF-8"
            self.problems.append(Problem(name, line, "", f"{what}: byte 0x{raw[error.start]:02x}"))
            return None
        if path.suffix in (".yaml", ".yml"):
            return self.parse_yaml(text, name)
        return self.parse_toml(text, name)

    def parse_toml(self, text: str, name: str) -> tuple[dict[str, Any], dict[KeyPath, int]] | None:
        try:
            return tomllib.loads(text), locate.lines(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            place = _PLACE.search(str(error))
            line = int(place[1]) if place and place[1] else text.count("\n") + 1 if place else None
            what = _PLACE.sub("", str(error)) if not isinstance(error, RecursionError) else "nested too deeply"
            self.problems.append(Problem(name, line, "", f"not valid TOML: {what}"))
            return None

    def parse_yaml(self, text: str, name: str) -> tuple[dict[str, Any], dict[KeyPath, int]] | None:
        from siphon.config import yaml_reader

        try:
            return yaml_reader.parse(text)
        except yaml_reader.Unreadable as error:
            self.problems.append(Problem(name, error.line, "", str(error)))
            return None

    def skip_what_is_not_offered(self, content: dict[str, Any]) -> None:
        for name in NOT_OFFERED:
            if name in content:
                del content[name]
                self.warn_at((name,), "this section is not offered; it is skipped")

    def expand(self, content: dict[str, Any]) -> dict[str, Any]:
        expander = Expander(self.environ)
        expanded: dict[str, Any] = expander.document(content)
        for path, what in expander.faults:
            self.fault(path, what)
        return expanded

    def join_users(self, content: dict[str, Any]) -> None:
        """Adds the users of auth.users_file to auth.users; their lines are those of that file."""
        auth = content.get("auth")
        named = auth.get("users_file") if isinstance(auth, dict) else None
        users = auth.setdefault("users", {}) if isinstance(auth, dict) else None
        if not isinstance(named, str) or not named or not isinstance(users, dict):
            return
        try:
            path = resolve_path(named, self.path.parent)
        except ValueError:
            return  # the key itself is at fault, which validation says
        before = len(self.problems)
        read = self.read(path, str(path))
        if read is None:
            reasons = [p.what if p.line is None else f"line {p.line}: {p.what}" for p in self.problems[before:]]
            del self.problems[before:]
            self.fault(("auth", "users_file"), f"{path} {'; '.join(reasons)}")
            return
        further, lines = read
        expander = Expander(self.environ)
        for name, value in expander.document(further).items():
            if name in users:
                self.problems.append(
                    Problem(str(path), lines.get((name,)), show(("auth", "users", name)), "stands in auth.users too")
                )
                continue
            users[name] = value
            self.users_from[name] = (str(path), lines.get((name,)))
        for fault_path, what in expander.faults:
            self.fault(("auth", "users", *fault_path), what)

    def fill_in(self, content: dict[str, Any]) -> None:
        """What depends on the environment: shared.path and server.state_dir, where the file leaves them out."""
        server, shared = content.setdefault("server", {}), content.setdefault("shared", {})
        if not isinstance(server, dict) or not isinstance(shared, dict):
            return
        instance = server.get("instance_id", host_name())
        if not isinstance(instance, str) or not DIRECTORY_NAME.match(instance):
            instance = "unnamed"
        shared.setdefault("path", f"/dev/shm/siphond-{os.getuid()}-{instance}")
        if "state_dir" not in server:
            given = self.environ.get("STATE_DIRECTORY", "").split(":")[0]
            server["state_dir"] = given or os.path.join(self.usable(str(shared["path"])), "state")
            if not given:
                self.warn_at(
                    ("server", "state_dir"), "is not set: state is kept in shared.path and does not outlive a reboot"
                )

    def usable(self, text: str) -> str:
        """A path, or a stand-in for one that is at fault itself: that is said of its own key."""
        try:
            return str(resolve_path(text, self.path.parent))
        except ValueError:
            return "/dev/shm/siphond"

    def validate(self, content: dict[str, Any]) -> Settings | None:
        """The settings; None when something is wrong in itself. The rest is then judged with that put aside."""
        try:
            settings = self.model(content)
        except ValidationError as error:
            found = list(explain.findings(error, content))
            meant = {suggestion for _, _, suggestion in found}
            for path, what, suggestion in found:
                prefixes = {show(path[:length]) for length in range(1, len(path) + 1)}
                if what != explain.REQUIRED or not prefixes & meant:
                    self.fault(path, what, suggestion)
            self.validate_rest(content, error)
            return None
        self.cross_check(settings, [])
        return settings

    def validate_rest(self, content: dict[str, Any], error: ValidationError) -> None:
        failed: list[KeyPath] = []
        rest = content
        for _ in range(8):  # taking out one fault may uncover another, as an empty table
            failed += [path for path, _, _ in explain.findings(error, rest)]
            rest = _without(content, failed)
            try:
                self.cross_check(self.model(rest), failed)
                return
            except ValidationError as further:
                error = further

    def model(self, content: dict[str, Any]) -> Settings:
        return Settings.model_validate(content, context={"base": self.path.parent})

    def cross_check(self, settings: Settings, failed: list[KeyPath]) -> None:
        """What is wrong between settings, except where one of them is known to be wrong in itself."""
        for path, what in checks.faults(settings):
            places = (path, checks.RESTS_ON.get(path, path))
            if not any(place[: len(bad)] == bad or bad[: len(place)] == place for bad in failed for place in places):
                self.fault(path, what)

    def warn(self, settings: Settings, content: dict[str, Any]) -> None:
        for path, what in checks.warnings(settings):
            self.warn_at(path, what)
        for name in NOT_YET:
            if _present(content, tuple(name.split("."))):
                self.warn_at(tuple(name.split(".")), "is accepted, but this release does nothing with it yet")
        for section, values in content.items():
            model = section_at((section,))
            for key in values if isinstance(values, dict) and model else ():
                if model and key in model.model_fields and is_ignored(model.model_fields[key]):
                    self.warn_at((section, key), "is accepted, but has no effect")

    def fault(self, path: KeyPath, what: str, suggestion: str | None = None) -> None:
        self.problems.append(self.problem(path, what, suggestion))

    def warn_at(self, path: KeyPath, what: str) -> None:
        self.warnings.append(self.problem(path, what, None))

    def problem(self, path: KeyPath, what: str, suggestion: str | None) -> Problem:
        if path[:2] == ("auth", "users") and len(path) > 2 and str(path[2]) in self.users_from:
            file, line = self.users_from[str(path[2])]
            return Problem(file, line, show(path), what, suggestion)
        return Problem(self.name, locate.line_of(self.lines, path), show(path), what, suggestion)


def _plain(error: OSError) -> str:
    """The reason alone: the name of the file stands in front of it already."""
    return (error.strerror or str(error)).lower() if error.errno else str(error)


def _present(content: dict[str, Any], path: tuple[str, ...]) -> bool:
    value: Any = content
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return value is not None


def _without(content: dict[str, Any], failed: list[KeyPath]) -> dict[str, Any]:
    """A copy in which the failed keys are gone and required ones have stand-ins, so that the rest can be judged."""
    copy: dict[str, Any] = _deep_copy(content)
    for path in failed:
        _remove(copy, path)
    for section, key, stand_in in _STAND_INS:
        values = copy.setdefault(section, {})
        if isinstance(values, dict):
            values.setdefault(key, stand_in)
    return copy


def _remove(content: dict[str, Any], path: KeyPath) -> None:
    """Takes out a key; the whole list where an element is meant, the table around it where the key is missing."""
    places = [place for place, part in enumerate(path) if isinstance(part, int)]
    names = path[: places[0]] if places else path
    if not names:
        return
    value: Any = content
    for part in names[:-1]:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict) and names[-1] in value:
        del value[names[-1]]
    else:
        _remove(content, names[:-1])


_STAND_INS: tuple[tuple[str, str, Any], ...] = (
    ("domain", "local", ["localhost"]),
    ("script", "path", "script.py"),
    ("shared", "path", "/dev/shm/siphond"),
    ("server", "state_dir", "/dev/shm/siphond/state"),
)


def _deep_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _deep_copy(inner) for key, inner in value.items()}
    return [_deep_copy(inner) for inner in value] if isinstance(value, list) else value


def shared_path(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Path, bool]:
    """shared.path alone, also from a file with faults elsewhere, and whether the file names it (else it was derived).

    Raises ValueError with a text when it cannot be told."""
    loading = _Loading(path, os.environ if environ is None else environ)
    document = loading.read(loading.path, loading.name)
    if document is None:
        raise ValueError("\n".join(map(str, loading.problems)))
    content = loading.expand(document[0])
    shared = content.get("shared")
    named = isinstance(shared, dict) and "path" in shared
    loading.fill_in(content)
    found = content["shared"].get("path") if isinstance(content["shared"], dict) else None
    if not isinstance(found, str) or not found:
        raise ValueError(f"{loading.name}: shared.path: must be a text with a path")
    try:
        return resolve_path(found, loading.path.parent), named
    except ValueError as error:
        raise ValueError(f"{loading.name}: shared.path: {error}") from None
