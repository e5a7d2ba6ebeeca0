import fcntl
import json
import os
import stat
import subprocess
import sys

import pytest

from siphon.cli import directory
from siphon.cli.exits import Exit, Refusal


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "shared"
    directory.make_private(path, "shared.path")
    return path


def refusal(call, *arguments, **options):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **options)
    return caught.value.status, str(caught.value)


def test_the_shared_directory_is_ours_alone(place):
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o755)
    directory.make_private(place, "shared.path")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_shared_directory_that_somebody_prepared_for_us_is_refused(tmp_path, place):
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        status, text = refusal(directory.make_private, tmp_path / name, "shared.path")
        assert (status, text.startswith("shared.path: ")) in ((78, True), (71, True))


@pytest.mark.parametrize(("mode", "holds"), [(0o1777, None), (0o1777, "lock"), (0o755, "passwd")])
def test_a_directory_that_others_use_is_refused_and_left_open_to_them(tmp_path, mode, holds):
    common = tmp_path / "common"
    common.mkdir()
    if holds:
        (common / holds).touch()
    common.chmod(mode)
    status, text = refusal(directory.make_private, common, "shared.path")
    assert (status, text) == (78, f"shared.path: {common} is there for others too; name a directory of its own")
    assert stat.S_IMODE(common.stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a directory of another user")
def test_a_shared_directory_of_another_user_is_refused(place):
    os.chown(place, 12345, -1)
    status, text = refusal(directory.make_private, place, "shared.path")
    assert status == Exit.CONFIGURATION
    assert "belongs to user 12345" in text


def test_a_shared_directory_without_a_place_is_no_shared_memory(tmp_path):
    status, text = refusal(directory.make_private, tmp_path / "none" / "shared", "shared.path")
    assert status == Exit.NO_SHARED_MEMORY
    assert text.endswith("no such file or directory")


def test_a_second_holder_is_told_the_pid_of_the_first(place):
    lock = directory.hold(place)
    status, text = refusal(directory.hold, place)
    assert status == Exit.IN_USE
    assert f"in use by siphond, process {os.getpid()}" in text
    directory.release(lock)
    assert directory.holder(place) is None
    directory.release(directory.hold(place))


def test_workers_that_outlive_their_supervisor_are_waited_for(place):
    program = (
        "import os,sys; from pathlib import Path; from siphon.cli import directory as d; d.hold(Path(sys.argv[1])); "
    )
    program += "os.fork() and os._exit(0); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as left:
        assert left.stdout.readline() == "held\n"
        left.wait()
        assert directory.holder(place) is None
        slept = []
        end = {"at": 0.0}

        def sleep(seconds):
            slept.append(seconds)
            end["at"] += seconds

        status, text = refusal(directory.hold, place, now=lambda: end["at"], sleep=sleep)
        assert status == Exit.IN_USE and "processes of a siphond that has ended" in text
        assert sum(slept) >= directory.PATIENCE_SECS

        def let_go(seconds):
            left.stdin.close()

        directory.release(directory.hold(place, sleep=let_go))


def test_a_pid_that_belongs_to_another_process_now_holds_nothing(place):
    lock = directory.hold(place)
    directory.describe(lock, {"workers": 3})
    assert directory.description(place)["workers"] == 3
    facts = json.loads((place / "lock").read_text())
    (place / "lock").write_text(json.dumps(facts | {"started": facts["started"] - 1}))
    assert directory.description(place) == {}
    for damaged in ("", "[]", "{", '{"pid": "x", "started": 5}', "\0"):
        (place / "lock").write_text(damaged)
        assert directory.holder(place) is None
    os.close(lock)


def test_asking_for_the_holder_takes_no_lock(place):
    lock = directory.hold(place)
    assert directory.holder(place) == os.getpid()
    directory.release(lock)
    other = os.open(place / "lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert directory.holder(place) is None
    os.close(other)


def test_the_secret_is_drawn_once_and_private(tmp_path):
    secret = directory.instance_secret(tmp_path)
    assert len(secret) == 32
    assert directory.instance_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    (tmp_path / "other").mkdir()
    assert directory.instance_secret(tmp_path / "other") != secret


def test_a_secret_that_another_process_made_meanwhile_is_kept(tmp_path, monkeypatch):
    real = directory._write

    def race(path, data):
        real(tmp_path / "secret", b"ab" * 32)
        real(path, data)

    monkeypatch.setattr(directory, "_write", race)
    assert directory.instance_secret(tmp_path) == b"\xab" * 32


@pytest.mark.parametrize("content", [b"", b"abcd", b"zz" * 32, b"\xff" * 80])
def test_a_damaged_secret_is_refused_and_not_replaced(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)
    status, text = refusal(directory.instance_secret, tmp_path)
    assert status == Exit.CONFIGURATION and "is damaged; remove it" in text
    assert (tmp_path / "secret").read_bytes() == content


def test_tables_of_another_boot_are_noticed(place):
    assert not directory.is_of_another_boot(place, bytes(16))
    directory.note_boot(place, bytes(16))
    assert not directory.is_of_another_boot(place, bytes(16))
    assert directory.is_of_another_boot(place, directory.boot_id())


def test_a_zombie_is_not_alive():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert directory.start_time(child) == 0
    os.waitpid(child, 0)
    assert directory.start_time(os.getpid()) > 0
