"""The base of every section of the configuration: strict types, no unknown keys, not changed after it was read."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One table of the file. Strict: a text is never taken for a number (see values.Expanded for the exception)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def table(section: type[Section]) -> Any:
    """The field of a section that is there, with its defaults, even if the file has no such table."""
    return Field(default_factory=lambda: section.model_validate({}))
