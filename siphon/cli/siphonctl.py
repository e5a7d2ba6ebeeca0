"""The command `siphonctl`: looks at an instance, asks whether it is ready, tells it to reload, to upgrade or to
stop."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from shm.table import SharedMemoryError
from siphon.cli import bans, directory, finding, looking, show, status
from siphon.cli import gateways as gateway_groups
from siphon.cli.exits import Exit, Refusal
from siphon.cli.output import put, say
from siphon.cli.ready import readiness
from siphon.cli.succession import outcome as outcome_of_upgrade
from siphon.config.version import VERSION
from siphon.services.store import StoreError
from workers.reloading import SWITCH_SECS
from workers.scratch import LIMIT_SECS

HELP = """Look at a running siphond, or tell it something.

Without -c the configuration is /etc/siphon/siphon.cfg, else ./etc/siphon.cfg. It is read for the place of the shared
tables only; while it cannot be read, a running siphond is found that was started with it. Root finds the instances of
other users as well.
"""
RELOAD_SECS = 2 * (LIMIT_SECS + SWITCH_SECS) + 5.0
"""The longest that one reload takes which is running, and the one that was asked for after it."""
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(help=HELP, cls=looking.Commands, context_settings=SETTINGS)
@click.option("-c", "--config", metavar="FILE", help="The configuration file.")
@click.version_option(VERSION, prog_name="siphonctl", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, config: str | None) -> None:
    context.obj = config


@command.command("status", context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status_command(config: str | None, as_json: bool) -> None:
    """Workers, tables and counters.

    Takes no lock and writes nothing. Exit status: 0 all workers beat, 1 not all, 3 no instance, 2 wrong command line
    or configuration.
    """

    def run() -> int:
        found = read_status(instance(config))
        if as_json:
            put(json.dumps(found.to_json(), indent=2))
        else:
            put("\n".join(show.lines(found)))
        return Exit.OK if found.all_beat else Exit.NOT_ALL_BEAT

    end(run)


@command.command("ready", context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def ready_command(config: str | None, as_json: bool) -> None:
    """Whether it takes new work, and what is against it.

    Takes no lock and writes nothing. Exit status: 0 ready, 1 not ready, 3 no instance, 2 wrong command line or
    configuration.
    """

    def run() -> int:
        found = readiness(instance(config))
        put(json.dumps(found.to_json()) if as_json else "\n".join(found.lines()))
        return Exit.OK if found.ready else Exit.NOT_READY

    end(run)


@command.command(context_settings=SETTINGS)
@click.option("--no-wait", is_flag=True, help="Do not wait for what comes of it.")
@click.pass_obj
def reload(config: str | None, no_wait: bool) -> None:
    """Read configuration and script again. Returns when all processes have switched, or it was refused.

    Exit status: 0 all have switched, 1 refused (the old version goes on) or not everywhere, 3 no instance, 2 wrong
    command line or configuration.
    """

    def run() -> int:
        path = instance(config)
        if any(reason.name == "starting" for reason in readiness(path).reasons):
            raise Refusal(Exit.NOT_RELOADED, "siphond is starting: it reads configuration and script anyway")
        asked = directory.read_note(path, directory.RELOADS)
        signal_to(path, signal.SIGHUP)
        if no_wait:
            return Exit.OK
        found = outcome_of_reload(path, asked)
        if found["error"]:
            raise Refusal(Exit.NOT_RELOADED, found["error"])
        put(f"reloaded: script version {found['script_version']}")
        return Exit.OK

    end(run)


def outcome_of_reload(path: Path, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What came of a reload that began after `asked` was read: of the next one after those that had begun by then."""
    deadline = time.monotonic() + RELOAD_SECS
    while time.monotonic() < deadline:
        found = directory.read_note(path, directory.RELOADS)
        if found.get("pid") != asked.get("pid") or directory.holder(path) != asked.get("pid"):
            raise Refusal(Exit.NO_INSTANCE, f"the siphond with {path} has ended")
        if found["ended"] > asked["begun"]:
            return found
        time.sleep(0.02)
    raise Refusal(Exit.NOT_RELOADED, f"nothing came of it within {RELOAD_SECS:.0f} s; the log may say why")


@command.command(short_help="Finish running calls, then stop.", context_settings=SETTINGS)
@click.option("--now", is_flag=True, help="Do not wait for running calls.")
@click.pass_obj
def stop(config: str | None, now: bool) -> None:
    """Finish running calls (at most server.drain_secs), then stop. Returns when it has stopped."""

    def run() -> int:
        path = instance(config)
        pid = directory.holder(path)
        signal_to(path, signal.SIGINT if now else signal.SIGTERM)
        while goes_on(path, pid):
            time.sleep(0.05)
        return Exit.OK

    end(run)


@command.command(short_help="Go on with the siphond that lies on disk now.", context_settings=SETTINGS)
@click.pass_obj
def upgrade(config: str | None) -> None:
    """Go on with the siphond that lies on disk now, without losing a datagram. Returns when it serves, or has failed.

    Configuration and script are read again. Exit status: 0 the new one serves, 1 it does not and the old one goes on, 3
    no instance, 2 wrong command line or configuration.
    """

    def run() -> int:
        path = instance(config)
        facts = directory.description(path)
        pid, limit = facts.get("pid"), facts.get("upgrade_secs")
        if pid is None or limit is None:
            raise Refusal(Exit.NOT_UPGRADED, "siphond is starting, or of a version that cannot hand over")
        error = outcome_of_upgrade(path, pid, lambda: signal_to(path, signal.SIGUSR2), limit)
        if error:
            raise Refusal(Exit.NOT_UPGRADED, f"not upgraded: {error}")
        put(f"upgraded: siphond, process {directory.holder(path)}, serves; process {pid} ends")
        return Exit.OK

    end(run)


@command.group("bans", invoke_without_command=True, context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def bans_command(context: click.Context, as_json: bool) -> None:
    """Who is banned; the latest first.

    Exit status: 0, 3 no instance, 2 wrong command line or configuration.
    """
    if context.invoked_subcommand is None:
        end(lambda: bans.show_bans(instance(context.obj), as_json))


@bans_command.command("add", context_settings=SETTINGS)
@click.argument("address")
@click.option("--user", default="", help="Only this user at that address.")
@click.option("--secs", default=bans.FOR_SECS, type=looking.Number(1, 31536000), show_default=True, help="How long.")
@click.option("--reason", default="by hand", show_default=True, help="For the list.")
@click.pass_obj
def bans_add(config: str | None, address: str, user: str, secs: float, reason: str) -> None:
    """Ban an IPv4 address, or the /64 of an IPv6 address. Holds before the command returns."""
    end(lambda: bans.add(instance(config), address, user, secs, reason))


@bans_command.command("remove", context_settings=SETTINGS)
@click.argument("address")
@click.option("--user", default=None, help="Only the ban of this user at that address.")
@click.pass_obj
def bans_remove(config: str | None, address: str, user: str | None) -> None:
    """Take a ban back. Exit status 1: there was none."""
    end(lambda: bans.remove(instance(config), address, user))


@command.group(context_settings=SETTINGS, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def gateways(context: click.Context, as_json: bool) -> None:
    """Gateway groups and the health of their destinations.

    Without a command: a list, which takes no lock and writes nothing. Exit status: 0 done, 1 not done, 3 no instance, 2
    wrong command line or configuration.
    """
    if context.invoked_subcommand is None:
        end(lambda: list_gateways(instance(context.obj), as_json))


def list_gateways(path: Path, as_json: bool) -> int:
    found = gateway_groups.read(path)
    put(json.dumps(gateway_groups.to_json(found), indent=2) if as_json else "\n".join(gateway_groups.lines(found)))
    return Exit.OK


def _order(action: str, text: str) -> None:
    @click.argument("group")
    @click.argument("destination")
    @click.pass_obj
    def run(config: str | None, group: str, destination: str) -> None:
        end(lambda: gateway_groups.order(instance(config), group, destination, action))

    gateways.command(action, help=text, context_settings=SETTINGS)(run)


_order("up", "Take a destination up, also one that was drained; a probe may find otherwise.")
_order("down", "Take a destination down, until a probe finds it healthy.")
_order("drain", "Give a destination no new calls, whatever probes say, until it is taken up.")


looking.add_to(command, lambda config: instance(config), lambda run: end(run), SETTINGS)


def goes_on(path: Path, pid: int | None) -> bool:
    """Whether the instance is still there that process `pid` was, also when it has handed over meanwhile."""
    facts = directory.description(path)
    return pid is not None and pid in (facts.get("pid"), facts.get("predecessor"))


def end(run: Callable[[], int]) -> None:
    """Leaves the program with the status of `run`; everything that can go wrong is one line."""
    try:
        sys.exit(run())
    except Refusal as refusal:
        say(str(refusal))
        sys.exit(refusal.status)
    except OSError as error:
        say(f"siphonctl: {f'{error.filename}: ' if error.filename else ''}{directory.reason(error)}")
        sys.exit(Exit.NO_INSTANCE)
    except (SharedMemoryError, StoreError) as error:
        say(f"siphonctl: {error}")
        sys.exit(Exit.NO_INSTANCE)


def instance(config: str | None) -> Path:
    """The shared directory of a running instance; says what is wrong with a configuration that is no use for that."""
    place, why = finding.instance(config)
    if why:
        say(why)
        say(f"siphonctl: goes on with the siphond that was started with it, in {place}")
    return place


def read_status(place: Path) -> status.Status:
    """Refusal NO_INSTANCE where it has ended meanwhile, or has only begun to start."""
    found = status.read(place)
    if found is None:
        raise Refusal(Exit.NO_INSTANCE, f"no siphond runs with {place}, or it is starting")
    return found


def signal_to(place: Path, number: signal.Signals) -> int:
    pid = directory.holder(place)
    if pid is None:
        raise Refusal(Exit.NO_INSTANCE, f"no siphond runs with {place}")
    os.kill(pid, number)
    return Exit.OK


def main() -> None:
    """Entry point of the installed command."""
    command.main(prog_name="siphonctl")


if __name__ == "__main__":
    main()
