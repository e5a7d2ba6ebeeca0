"""Kamailio as it is measured: the recipe's logic in its own language or, by KEMI, in Python (bench/kamailio/).

Its default allocator keeps what a debugger wants of every fragment; `-x tlsf -X tlsf` is what those choose who want
speed. Both are here, and every side has as many children as siphond has workers.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path

from server import IP, Server

FOLDER = Path(__file__).resolve().parent / "kamailio"
MODULES = Path("/usr/lib")


def program() -> str | None:
    return shutil.which("kamailio") or shutil.which("/usr/sbin/kamailio")


def version() -> str:
    found = program()
    if found is None:
        return ""
    said = subprocess.run([found, "-v"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"kamailio (\S+)", said)
    return match[1] if match else "unknown"


def missing(side: str) -> str:
    """Why this side cannot be measured here, and what to install; "" when it can."""
    if program() is None:
        return "kamailio is not installed (Debian: kamailio)"
    if side == Kemi.name and not list(MODULES.glob("*/kamailio/modules/app_python3.so")):
        return "Kamailio has no module app_python3 (Debian: kamailio-python3-modules)"
    return ""


class Kamailio(Server):
    name = "kamailio"
    allocator: tuple[str, ...] = ("-x", "tlsf", "-X", "tlsf")
    kemi = False

    def command(self) -> list[str]:
        needs = self.needs
        defines = [f"BINDINGS_HASH {min(24, max(9, math.ceil(math.log2(needs.users + 1))))}"]
        defines += ["WITH_DIGEST"] if needs.digest else []
        defines += ["WITH_COUNT"] if needs.count else []
        defines += ["WITH_KEMI", f'KEMI_SCRIPT "{FOLDER / "kemi.py"}"'] if self.kemi else []
        lines = [f"#!define {name}" for name in defines]
        lines += [f"listen=udp:{IP}:{self.port}", f"children={needs.workers}"]
        lines += [f'include_file "{FOLDER / "kamailio.cfg"}"']
        file = self.directory / "kamailio.cfg"
        file.write_text("\n".join(lines) + "\n")
        found = program()
        assert found is not None
        line = [found, "-f", str(file), "-DD", "-E", "-w", str(self.directory), "-Y", str(self.directory / "run")]
        return [*line, *self.allocator, "-m", str(needs.memory_mb), "-M", "32", "-b", "4194304"]

    def environment(self) -> dict[str, str]:
        return {"BENCH_DIGEST": str(int(self.needs.digest)), "BENCH_COUNT": str(int(self.needs.count))}

    def handler_calls(self) -> int:
        return self.log_file.read_text(errors="replace").count("handler called")


class DefaultKamailio(Kamailio):
    """With the allocator that it has where nothing is said."""

    name = "kamailio-qm"
    allocator = ()


class Kemi(Kamailio):
    """The routing in Python."""

    name = "kamailio-kemi"
    kemi = True
