"""Reads YAML with the schema of the TOML file, if PyYAML is installed."""

import importlib
from typing import Any

from siphon.config.locate import Path

MAX_DEPTH = 20
MAX_KEYS = 100_000


class Unreadable(Exception):
    """The text is not YAML, or there is no reader for it."""

    def __init__(self, what: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(what)


def parse(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The document and the lines of its keys. Raises Unreadable."""
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise Unreadable("is YAML, and the YAML reader is not installed; pip install pyyaml, or write TOML") from None
    try:
        document = yaml.safe_load(text)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise Unreadable(
            f"not valid YAML: {getattr(error, 'problem', None) or error}", mark.line + 1 if mark else None
        ) from None
    if document is None:
        return {}, {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise Unreadable("must be a table of sections", 1)
    found: dict[Path, int] = {}
    _walk(tree, (), found)
    return document, found


def _walk(node: Any, path: Path, found: dict[Path, int]) -> None:
    """Aliases are followed: one that leads back to itself, or doubles without end, ends here."""
    if len(path) > MAX_DEPTH or len(found) > MAX_KEYS:
        raise Unreadable("nested too deeply", node.start_mark.line + 1)
    found.setdefault(path, node.start_mark.line + 1)
    if node.id == "mapping":
        for key, value in node.value:
            inner = (*path, str(key.value))
            found.setdefault(inner, key.start_mark.line + 1)
            _walk(value, inner, found)
    elif node.id == "sequence":
        for place, value in enumerate(node.value):
            _walk(value, (*path, place), found)
