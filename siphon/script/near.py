"""The right name for a misspelled one, as Python's prompt suggests it: here for what goes to a log."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def name_it(error: BaseException) -> str:
    """The name that was probably meant, noted at the exception too; "" where there is none near."""
    near = _near(error)
    note = f"did you mean {near!r}"
    if near and note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return near


def _near(error: BaseException) -> str:
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        return nearest(error.name, _names_of(error.obj))
    if isinstance(error, NameError) and error.name and error.__traceback__ is not None:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame
        return nearest(error.name, [*frame.f_locals, *frame.f_globals, *frame.f_builtins])
    return ""


def _names_of(thing: object) -> list[str]:
    """Names of its attributes; none of an object of the script that will not say."""
    try:
        return dir(thing)
    except Exception:  # whatever a __dir__ of the script raises: the exception in hand is the one to tell
        return []


def nearest(name: str, names: Sequence[str]) -> str:
    """The public name most like one; "" where none is."""
    found = get_close_matches(name, [other for other in names if not other.startswith("_")], 1)
    return found[0] if found else ""
