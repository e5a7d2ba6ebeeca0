"""What commands print: results on standard output, everything else on standard error.

Whoever stops reading (`head`, a pager) takes nothing away from a command or its exit status. A result that cannot be
written for another reason, as on a full disk, is Refusal NOT_WRITTEN: none of the other statuses would be true. What
the encoding of the terminal does not have is printed as an escape.
"""

import os
import sys
from contextlib import suppress

import click

from siphon.cli.exits import Exit, Refusal


def put(text: str) -> None:
    """A result, or a part of it, and the end of its line."""
    try:
        write(text)
    except BrokenPipeError:
        discard()


def write(text: str) -> None:
    """As put(), but BrokenPipeError where nobody reads any more."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        raise
    except OSError as error:
        discard()
        raise Refusal(
            Exit.NOT_WRITTEN, f"the output cannot be written: {(error.strerror or str(error)).lower()}"
        ) from None


def discard() -> None:
    """What is still buffered leads nowhere, so that the interpreter does not complain about it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def say(text: str) -> None:
    """Lines for the administrator, on standard error."""
    for line in text.splitlines():
        with suppress(OSError):
            click.echo(line, err=True)
