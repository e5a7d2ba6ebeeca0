"""deploy/siphond.service: what systemd's own checkers say of it, and that it agrees with the other files."""

import re
import subprocess
from pathlib import Path

import peers

from siphon.config.settings import MAX_WORKERS

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/siphond.service"

needs_systemd = peers.needs("systemd-analyze")


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M):
        found.setdefault(name, []).append(value)
    return found


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    # The programs are not installed here: an executable stands in for them.
    text = re.sub(r"/opt/siphond/bin/\w+", "/bin/true", UNIT.read_text())
    (tmp_path / "siphond.service").write_text(text)
    line = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "siphond.service")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=180)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@needs_systemd
def test_the_exposure_of_the_unit_is_at_most_three():
    line = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=30", str(UNIT)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


def test_the_unit_keeps_what_a_restart_needs():
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert unit["KillMode"] == ["mixed"], "workers are stopped by their supervisor"
    assert unit["RemoveIPC"] == ["no"], "or systemd would delete the tables in /dev/shm at every stop"
    assert unit["RestartPreventExitStatus"] == ["2 78"]
    assert (unit["User"], unit["StateDirectory"]) == (["siphond"], ["siphond"])
    assert "DynamicUser" not in unit, "the tables and the state belong to one user for good"


def test_the_unit_has_room_for_the_sockets_of_many_listeners_and_hears_the_supervisor_about_them():
    unit = settings()
    assert int(unit["FileDescriptorStoreMax"][0]) >= 8 * MAX_WORKERS
    assert unit["NotifyAccess"] == ["main"], "workers have nothing to say; none would not do"
    assert unit["Restart"] == ["on-failure"], "or the sockets would be closed after a crash"


def test_the_unit_waits_longer_than_a_drain_lasts():
    drain = re.search(r"drain_secs = (\d+)", (ROOT / "etc/siphon.cfg").read_text())
    assert drain is not None
    assert int(settings()["TimeoutStopSec"][0]) > int(drain[1])
