"""Runs what the shell blocks of a page show, in their order, as a reader types it, in a world of its own.

The world is a network, process and mount namespace: nothing listens there, /dev/shm is empty, `/etc/siphon/siphon.cfg`
is the configuration that the page speaks of, and the current directory looks like a checkout with the files that the
page names above its blocks ("`siphon.cfg`:"). What serves until Ctrl-C goes into the background, until the next that
serves or the end; `siphonctl ready` says when the next line may be typed. All lines stand in one script for sh, so a
line may use what those before it have made. The script ends at the first that fails; its output has each line before
what the line printed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
SECONDS = 900
"""What a page may take on a machine that has other work."""

DEFAULT_SCRIPT = ROOT / "scripts/proxy_default.py"

_WORLD = """
set -eu
mount -t tmpfs -o size=1g,mode=1777 none /dev/shm
cp -a /etc/. "$PLACE/etc/"
mkdir -p "$PLACE/etc/siphon"
cp "$PLACE/default.cfg" "$PLACE/etc/siphon/siphon.cfg"
mount --bind "$PLACE/etc" /etc
ip link set lo up
cd "$PLACE/checkout"
server=
over() {
    [ -z "$server" ] || { kill -INT "$server"; wait "$server" || :; server=; }
}
serves() {
    over
    "$@" >>"$PLACE/server.log" 2>&1 &
    server=$!
    file=/etc/siphon/siphon.cfg
    [ "$1" != ./dev ] || file=etc/siphon.cfg
    while [ $# -gt 0 ]; do
        [ "$1" != -c ] || file=$2
        shift
    done
    until siphonctl -c "$file" ready; do
        kill -0 "$server" || { cat "$PLACE/server.log"; exit 1; }
        sleep 0.2
    done
}
"""


def may_make_worlds() -> bool:
    done = subprocess.run([*_unshare(), "true"], capture_output=True, check=False)
    return done.returncode == 0


def _unshare() -> list[str]:
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_user, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def script_of(lines: Iterable[str], serving: Iterable[str]) -> str:
    """For sh. A line of `serving` is put into the background."""
    parts = [_WORLD]
    for line in lines:
        parts.append(f"echo {shlex.quote('+ ' + line)}")
        parts.append(f"serves {line}" if line in serving else f"{line} </dev/null")
    return "\n".join([*parts, "over", "echo all of it", ""])


def run(
    place: Path,
    lines: list[str],
    *,
    serving: Iterable[str],
    files: Mapping[str, str],
    configuration: str,
) -> subprocess.CompletedProcess[str]:
    """The output has stderr too. `configuration` is what /etc/siphon/siphon.cfg is; `files` are made beside it and in
    the current directory."""
    checkout = place / "checkout"
    checkout.mkdir(parents=True)
    (place / "etc").mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in ("var", ".git", "build"):
            (checkout / entry.name).symlink_to(entry)
    for name, text in files.items():
        assert not (checkout / name).exists(), "a file of the checkout itself"
        (checkout / name).write_text(text)
    (place / "default.cfg").write_text(configuration)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SIPHON", "PYTEST"))},
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "PLACE": str(place),
        "STATE_DIRECTORY": str(place / "state"),
    }
    return subprocess.run(
        [*_unshare(), "sh", "-c", script_of(lines, serving)],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
