#!/usr/bin/env python3
"""A SIP phone for the command line, over UDP: it asks one thing and prints the status code of the answer, alone.

    sipcli.py register HOST PORT USER CONTACT_HOST CONTACT_PORT   the final code, after answering one challenge
    sipcli.py invite   HOST PORT USER        the first response; then CANCEL, and ACK of the final
    sipcli.py options  HOST PORT             the final code
    sipcli.py call     HOST PORT USER        a whole call: waits for the answer, ACK, BYE; the final code of the INVITE
    sipcli.py answer   IP PORT [USER]        is called: rings for --ring seconds, answers, waits for the BYE; the code

Exit status:

    0   1xx or 2xx; of `call` and `answer`: and the call was ended by a BYE that got 200
    1   another code; of `answer`: the call was refused or cancelled
    2   nothing came in time, or a wrong command line
    3   the call was answered, and then its ACK or BYE failed

Standard library only, and the files sipcli*.py, so that it runs on any machine that has Python. Requests are repeated
and given up as RFC 3261 §17 says; --trace prints the first line of every message to standard error.
"""

from __future__ import annotations

import argparse
import signal
import sys

from sipcli_callee import Callee, Fate
from sipcli_caller import Client, call, invite, options, register
from sipcli_message import Message, shown
from sipcli_wire import Wire

PATIENCE = 4.0
EXIT_OF_CALLEE = {Fate.ENDED: 0, Fate.CANCELLED: 1, Fate.REFUSED: 1, Fate.NO_CALL: 2, Fate.NO_ACK: 3, Fate.NO_BYE: 3}


def positive(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e6:
        raise ValueError
    return number


positive.__name__ = "number of seconds"  # what argparse says of a wrong one


def port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError
    return number


def seconds(command: argparse.ArgumentParser, name: str, default: float, what: str) -> None:
    command.add_argument(name, default=default, type=positive, metavar="SECS", help=f"{what} (default: %(default)g)")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    trace = argparse.ArgumentParser(add_help=False)
    trace.add_argument("--trace", action="store_true", help="print the first line of every message to standard error")
    common = argparse.ArgumentParser(add_help=False, parents=[trace])
    common.add_argument("host", metavar="HOST")
    common.add_argument("port", metavar="PORT", type=port)
    common.add_argument("--domain", default="example.com", help="Request-URI, From and To (default: %(default)s)")
    common.add_argument("--bind", metavar="IP", default="", help="our own address (default: the system's choice)")
    common.add_argument("--call-id", default="", help="Call-ID (default: a new one)")
    asks = argparse.ArgumentParser(add_help=False, parents=[common])
    seconds(asks, "--patience", PATIENCE, "wait so long for the answer")
    secret = argparse.ArgumentParser(add_help=False)
    secret.add_argument("--password", default="secret", help="answers a challenge (default: %(default)s)")

    description, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("register", parents=[asks, secret], help="register USER at a contact")
    command.add_argument("user", metavar="USER")
    command.add_argument("contact_host", metavar="CONTACT_HOST")
    command.add_argument("contact_port", metavar="CONTACT_PORT", type=port)
    command.add_argument("--expires", type=int, default=3600, help="seconds, 0 to unregister (default: %(default)s)")

    command = commands.add_parser("invite", parents=[asks], help="call USER; print the first response, then cancel")
    command.add_argument("user", metavar="USER")

    commands.add_parser("options", parents=[asks], help="ask the server itself")

    command = commands.add_parser("call", parents=[common, secret], help="call USER, wait for the answer, hang up")
    command.add_argument("user", metavar="USER")
    command.add_argument("--as", dest="caller", default="sipcli", help="who calls (default: %(default)s)")
    seconds(command, "--talk", 1.0, "hang up after so long")
    seconds(command, "--patience", 60.0, "let it ring so long")

    command = commands.add_parser("answer", parents=[trace], help="be called: ring, answer, wait for the BYE")
    command.add_argument("host", metavar="IP")
    command.add_argument("port", metavar="PORT", type=port)
    command.add_argument("user", metavar="USER", nargs="?", default="bob")
    seconds(command, "--ring", 3.0, "ring so long")
    command.add_argument("--code", type=int, default=200, help="what it answers then (default: %(default)s)")
    seconds(command, "--patience", 120.0, "all must be over by then")
    return parser.parse_args(argv)


def asked_of_server(asked: argparse.Namespace, wire: Wire) -> tuple[Message | None, int]:
    """The response to print, and the exit status if that was all well."""
    user = {"register": getattr(asked, "user", ""), "call": getattr(asked, "caller", "")}.get(asked.command, "sipcli")
    client = Client(wire, asked.domain, user, asked.call_id, asked.patience)
    if asked.command == "register":
        contact = shown(asked.contact_host, asked.contact_port)
        return register(client, contact, asked.password, asked.expires), 0
    if asked.command == "invite":
        return invite(client, asked.user), 0
    if asked.command == "options":
        return options(client), 0
    answer, bye = call(client, asked.user, asked.talk, asked.password)
    return answer, 0 if bye is not None and bye.status < 300 else 3


def ask(asked: argparse.Namespace) -> int:
    wire = Wire((asked.host, asked.port), (asked.bind, 0), asked.trace)
    response, status = asked_of_server(asked, wire)
    if response is None:
        print(f"sipcli: nothing came from {asked.host}:{asked.port} within {asked.patience:g} s", file=sys.stderr)
        return 2
    print(response.status, flush=True)
    if response.status >= 300:
        return 1
    if status:
        print("sipcli: the call was answered, and its BYE was not", file=sys.stderr)
    return status


def answer(asked: argparse.Namespace) -> int:
    callee = Callee(Wire(None, (asked.host, asked.port), asked.trace), asked.user, asked.ring, asked.code)
    fate = callee.serve(asked.patience, linger=0.6)
    if fate is Fate.NO_CALL:
        print(f"sipcli: nobody called {asked.host}:{asked.port} within {asked.patience:g} s", file=sys.stderr)
        return 2
    if callee.call is not None:
        print(callee.call.final or 180, flush=True)
    if EXIT_OF_CALLEE[fate] == 3:
        print(f"sipcli: no {fate.name[3:]} came", file=sys.stderr)
    return EXIT_OF_CALLEE[fate]


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    try:
        return answer(asked) if asked.command == "answer" else ask(asked)
    except OSError as error:
        print(f"sipcli: {asked.host}:{asked.port}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
