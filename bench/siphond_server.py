"""siphond as it is measured: the recipe word for word, or the recipe without its password for REGISTER."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from server import IP, Needs, Server

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "tests/recipe.py"
DIGEST = "        if not auth.require_digest(request, realm=DOMAIN):\n            return\n"
HANDLER = "def route(request):\n"

CONFIGURATION = """
[listen]
udp = ["{ip}:{port}"]
rcvbuf = 4194304

[domain]
local = ["example.com", "{ip}"]

[workers]
count = {workers}
steering = "{steering}"

[shared]
path = "{shared}"
max_transactions = {transactions}
max_bindings = {bindings}
max_dialogs = {dialogs}
max_nonces = {nonces}
max_timers = 100
max_media_calls = 100

[script]
path = "{script}"
reload = "sighup"

[auth]
realm = "example.com"
algorithms = ["MD5"]
users_file = "{users}"

[log]
level = "warn"

[server]
state_dir = "{state}"
instance_id = "bench"
"""


def script_of(needs: Needs, calls_file: Path) -> str:
    """The recipe; without its challenge where the scenario has none; with a byte a call where they are counted."""
    text = RECIPE.read_text()
    assert DIGEST in text and HANDLER in text, "the recipe is not as this file knows it"
    if not needs.digest:
        text = text.replace(DIGEST, "")
    if needs.count:
        count = "    os.write(CALLS, b'x')\n"
        opening = f"import os\nCALLS = os.open({str(calls_file)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        text = opening + text.replace(HANDLER, HANDLER + count)
    return text


class Siphond(Server):
    name = "siphond"
    """Shared memory; workers.steering as the scenario says."""

    def __init__(self, directory: Path, needs: Needs) -> None:
        super().__init__(directory, needs)
        self.shared = Path(tempfile.mkdtemp(prefix="siphond-bench-", dir="/dev/shm"))
        self.calls_file = directory / "calls"

    def command(self) -> list[str]:
        needs = self.needs
        script = self.directory / "script.py"
        script.write_text(script_of(needs, self.calls_file))
        users = self.directory / "users.toml"
        names = ["bob", *(f"u{number}" for number in range(needs.users))] if needs.digest else []
        users.write_text("".join(f'{name} = "secret"\n' for name in names))
        configuration = self.directory / "siphon.cfg"
        configuration.write_text(
            CONFIGURATION.format(
                ip=IP,
                port=self.port,
                workers=needs.workers,
                steering=needs.steering,
                shared=self.shared,
                transactions=needs.transactions,
                dialogs=max(1000, needs.transactions // 2),
                bindings=max(1000, needs.users * needs.contacts * 5 // 4),
                nonces=max(10000, needs.transactions if needs.digest else 0),
                script=script,
                users=users,
                state=self.directory / "state",
            )
        )
        return [str(Path(sys.executable).parent / "siphond"), "-c", str(configuration)]

    def ready(self) -> bool:
        return self.process_count() > self.needs.workers

    def handler_calls(self) -> int:
        return self.calls_file.stat().st_size if self.calls_file.exists() else 0

    def reserved_bytes(self) -> int:
        return sum(file.stat().st_blocks * 512 for file in self.shared.rglob("*") if file.is_file())

    def close(self) -> None:
        try:
            super().close()
        finally:
            shutil.rmtree(self.shared, ignore_errors=True)
