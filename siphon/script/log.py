"""`log` of scripts: one argument, one line, in the log of the process and with the Call-ID of the running handler.

Other modules of this package warn through it too, so that a script's author finds everything in one place.
"""

from __future__ import annotations

from siphon.config.log import WARN, Log
from siphon.script import binding

_fallback: Log | None = None


def fall_back_to(own: Log) -> None:
    """The log of a process, for what is told where no script is bound."""
    global _fallback
    _fallback = own


def target() -> Log:
    """The log of the running handler or of the process; standard error where nothing is bound."""
    global _fallback
    bound = binding.find()
    if bound is not None and bound.log is not None:
        return bound.log
    if _fallback is None:
        _fallback = Log(file="stderr", process="script")
    return _fallback


def debug(message: object) -> None:
    """A line of level debug."""
    target().debug(str(message))


def info(message: object) -> None:
    """A line of level info."""
    target().info(str(message))


def warn(message: object) -> None:
    """A line of level warn."""
    target().warn(str(message))


def advise(message: str) -> None:
    """What the author of a script should hear of a handler. Each request may bring it about, so a few lines a second
    are enough."""
    target().often(WARN, "script.advice", text=message)


def warn_of_script(message: str) -> None:
    """What the text of a script deserves. While it is loaded it is kept for whoever loads it: all processes do."""
    bound = binding.find()
    if bound is None or bound.load_warnings is None:
        advise(message)
    elif message not in bound.load_warnings:
        bound.load_warnings.append(message)


def error(message: object) -> None:
    """A line of level error."""
    target().error(str(message))


class ScriptLog:
    """The namespace `log`; each method takes exactly one argument, the message."""

    __slots__ = ()

    def debug(self, message: object) -> None:
        """A line of level debug."""
        debug(message)

    def info(self, message: object) -> None:
        """A line of level info."""
        info(message)

    def warn(self, message: object) -> None:
        """A line of level warn."""
        warn(message)

    warning = warn

    def error(self, message: object) -> None:
        """A line of level error."""
        error(message)

    def __repr__(self) -> str:
        return "<namespace log>"
