"""Commands of siphonctl that show what is going on, and two that change it: registrations, calls, transactions,
traces, counters, the level of the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from shm.slots import Slots
from siphon.cli import in_progress, level, registered, show, status, trace
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import SLOTS_FILE
from siphon.cli.output import put

Instance = Callable[[str | None], Path]
End = Callable[[Callable[[], int]], None]
MOST = 200
"""Rows that are printed unless more are asked for."""


class Commands(click.Group):
    """A group that names the nearest command to one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            ctx.fail(f"{error.message} {self.hint(ctx, args[0])}".rstrip())

    def hint(self, ctx: click.Context, wanted: str) -> str:
        """What may have been meant; "" where nothing is near."""
        names = self.list_commands(ctx)
        near = get_close_matches(wanted, names, 1) or [name for name in names if name.startswith(wanted)]
        return f"Did you mean {near[0]}?" if near else ""


class Shows(Commands):
    """A group with a command `show`: whoever names what he looks for in its place is told of it."""

    def hint(self, ctx: click.Context, wanted: str) -> str:
        return f"To look for that: {ctx.command_path} show {wanted}"


class Number(click.FloatRange):
    """A range that has no place for nan, which is neither below nor above it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if found != found:
            self.fail(f"{value} is not a number.", param, ctx)
        return found


def add_to(group: click.Group, instance: Instance, end: End, settings: dict[str, Any]) -> None:
    """Add the commands. `instance` finds the shared directory, `end` leaves the program with a status."""
    as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
    limit = click.option("--limit", default=MOST, type=click.IntRange(min=1), show_default=True, help="Rows at most.")

    @group.group(
        "registrations",
        cls=Shows,
        short_help="Who is registered; one of them, and its end.",
        invoke_without_command=True,
        context_settings=settings,
    )
    @as_json
    @click.pass_context
    def registrations(context: click.Context, as_json: bool) -> None:
        """Who is registered; or one address of record, with `show` and `remove`.

        Takes no lock. Exit status: 0, 1 not registered, 3 no instance, 2 wrong command line or configuration.
        """
        if context.invoked_subcommand is None:
            end(lambda: registered.list_all(instance(context.obj), as_json))

    @registrations.command("list", context_settings=settings)
    @as_json
    @click.pass_obj
    def list_(config: str | None, as_json: bool) -> None:
        """All of them, a row a contact."""
        end(lambda: registered.list_all(instance(config), as_json))

    @registrations.command("show", context_settings=settings)
    @click.argument("aor")
    @as_json
    @click.pass_obj
    def show_(config: str | None, aor: str, as_json: bool) -> None:
        """One address of record with everything that is known of its contacts."""
        end(lambda: registered.show_one(instance(config), aor, as_json))

    @registrations.command("remove", context_settings=settings)
    @click.argument("aor")
    @click.pass_obj
    def remove(config: str | None, aor: str) -> None:
        """End the registrations of an address of record. The phone may register again."""
        end(lambda: registered.remove(instance(config), aor))

    @group.group("calls", cls=Shows, invoke_without_command=True, context_settings=settings)
    @limit
    @as_json
    @click.pass_context
    def calls(context: click.Context, limit: int, as_json: bool) -> None:
        """Calls in setup, just ended, and going on.

        Takes no lock. Exit status: 0, 1 nothing is known of it, 3 no instance, 2 wrong command line or configuration.
        """
        if context.invoked_subcommand is None:
            end(lambda: in_progress.list_calls(instance(context.obj), limit, as_json))

    @calls.command("list", context_settings=settings)
    @limit
    @as_json
    @click.pass_obj
    def calls_list(config: str | None, limit: int, as_json: bool) -> None:
        """As without a word."""
        end(lambda: in_progress.list_calls(instance(config), limit, as_json))

    @calls.command("show", context_settings=settings)
    @click.argument("call_id")
    @as_json
    @click.pass_obj
    def calls_show(config: str | None, call_id: str, as_json: bool) -> None:
        """All transactions of a Call-ID, with their branches."""
        end(lambda: in_progress.show_call(instance(config), call_id, as_json))

    @group.command("transactions", context_settings=settings)
    @limit
    @as_json
    @click.pass_obj
    def transactions(config: str | None, limit: int, as_json: bool) -> None:
        """The records of transactions, the youngest first."""
        end(lambda: in_progress.list_transactions(instance(config), limit, as_json))

    @group.command("trace", short_help="The messages of an address of record or a call.", context_settings=settings)
    @click.argument("wanted", metavar="AOR|CALL-ID")
    @click.option("--seconds", type=Number(min=0), help="How long; else until Ctrl-C.")
    @as_json
    @click.pass_obj
    def trace_(config: str | None, wanted: str, seconds: float | None, as_json: bool) -> None:
        """The messages of one address of record or one call, as they come and go.

        All workers send copies, from one second on at the latest. What does not fit into the terminal is dropped and
        counted. Exit status: 0, 1 too many traces, 3 no instance, 2 wrong command line or configuration.
        """
        end(lambda: trace.trace(instance(config), wanted, seconds, as_json))

    @group.command("counters", context_settings=settings)
    @as_json
    @click.pass_obj
    def counters(config: str | None, as_json: bool) -> None:
        """All counters, sums over all processes."""

        def run() -> int:
            found = status.read(instance(config))
            if found is None:
                raise Refusal(Exit.NO_INSTANCE, "siphond is starting")
            if as_json:
                put(json.dumps(found.counters, indent=2))
            else:
                rows = [(name, str(number)) for name, number in found.counters.items()]
                put("\n".join(show.aligned([("COUNTER", "SINCE ITS TABLES WERE MADE"), *rows])))
            return Exit.OK

        end(run)

    @group.command("log-level", short_help="Log at another level for a while.", context_settings=settings)
    @click.argument("name", metavar="[LEVEL]", required=False, type=click.Choice([*level.NAMES, "reset"]))
    @click.pass_obj
    def log_level(config: str | None, name: str | None) -> None:
        """Log at another level than `log.level`, within a second and until the next stop; `reset` ends it.

        All processes follow. Without LEVEL: what was set.
        """

        def run() -> int:
            slots = Slots.attach(instance(config) / SLOTS_FILE)
            if name is not None:
                level.set_level(slots, None if name == "reset" else name)
            found = level.level_of(slots)
            put("log.level of the configuration" if found is None else found)
            return Exit.OK

        end(run)
