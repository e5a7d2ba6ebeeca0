"""The command `siphond`: reads its arguments, then checks or runs an instance in the foreground."""

import os
import sys

import click

from siphon.cli.exits import Exit, Refusal
from siphon.cli.output import say
from siphon.cli.place import configuration_file, read, with_workers
from siphon.config.settings import MAX_WORKERS
from siphon.config.version import VERSION
from workers.predecessor import NoHandover, Predecessor, from_environment

HELP = """Serve SIP as the configuration says, in the foreground.

Without -c the configuration is /etc/siphon/siphon.cfg, else ./etc/siphon.cfg. One supervisor process starts the
workers and replaces those that die.

\b
Signals to the supervisor:
  TERM       finish running calls (at most server.drain_secs), then stop
  TERM, INT  the second TERM, or INT, stops at once; all state is kept
  HUP        read configuration and script again; refused whole if anything is wrong
  USR2       upgrade: start what lies on disk now with the same arguments, hand sockets and shared memory over to it
             and end when it serves; refused whole if it does not. `siphonctl upgrade` waits and says what came of it

\b
Exit status:
  0   stopped as asked, or --check found nothing wrong
  2   wrong command line
  71  no shared memory
  74  what --check prints cannot be written
  75  address or shared.path in use
  78  configuration or script is wrong
"""


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-c", "--config", metavar="FILE", help="The configuration file.")
@click.option("--check", is_flag=True, help="Load configuration and script, say what is wrong, and end.")
@click.option(
    "--fresh",
    is_flag=True,
    help="Start with empty tables: calls and registrations are forgotten, those in the journal too.",
)
@click.option(
    "--workers", type=click.IntRange(1, MAX_WORKERS), metavar="N", help="Worker processes, instead of workers.count."
)
@click.version_option(VERSION, prog_name="siphond", message="%(prog)s %(version)s")
def command(config: str | None, check: bool, fresh: bool, workers: int | None) -> None:
    predecessor = None
    try:
        predecessor = handed_over()
        path = configuration_file(config)
        settings = with_workers(read(path), workers)
        if check:
            from siphon.cli.check import check as check_instance

            check_instance(path, settings)
        else:
            from siphon.cli.instance import serve

            sys.exit(serve(path, settings, fresh=fresh, workers=workers, predecessor=predecessor))
    except Refusal as refusal:
        say(str(refusal))
        if predecessor is not None:
            predecessor.refuse(str(refusal))
        sys.exit(refusal.status)


def handed_over() -> Predecessor | None:
    """The siphond that executes this one to hand over to it; None at an ordinary start."""
    try:
        return from_environment(os.environ)
    except NoHandover as error:
        raise Refusal(Exit.IN_USE, str(error)) from None


def main() -> None:
    """Entry point of the installed command."""
    command.main(prog_name="siphond")


if __name__ == "__main__":
    main()
