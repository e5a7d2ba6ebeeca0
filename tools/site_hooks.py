"""What mkdocs does with our pages (mkdocs.yml): they are written to be read in the repository too.

Links that lead out of docs/ name files of the repository; on the site they are only names. A word behind the language
of a block, `python test`, says what our tests do with it and is none of the reader's business. The pages of
docs/decisions are listed by themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)[^)]*\)")
_FOLDER = re.compile(r"\[([^\]]+)\]\([\w/]+/\)")
"""A link to a folder: its pages are in the navigation."""
_FENCE = re.compile(r"^```(\w+) \w+$", re.M)


def on_config(config: Any) -> Any:
    """Puts the decisions into the navigation, by their titles."""
    folder = Path(config["docs_dir"]) / "decisions"
    pages = [f"decisions/{path.name}" for path in sorted(folder.glob("*.md"))]
    config["nav"] = _with(config["nav"], pages)
    return config


def _with(nav: Any, pages: list[str]) -> Any:
    if isinstance(nav, list):
        return [_with(item, pages) for item in nav]
    if isinstance(nav, dict):
        return {title: pages if value == "decisions" else _with(value, pages) for title, value in nav.items()}
    return nav


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """One page, before it is made HTML."""
    depth = page.file.src_uri.count("/")
    inside = _OUTSIDE.sub(lambda match: _name(match, depth), markdown)
    return _FENCE.sub(r"```\1", _FOLDER.sub(r"\1", inside))


def _name(match: re.Match[str], depth: int) -> str:
    """A link out of docs/ becomes its text; one that only leaves a folder of docs/ stays."""
    ups = match[0].count("../")
    return match[0] if ups <= depth else match[1]
