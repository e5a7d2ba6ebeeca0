"""deploy/ha-demo: what its command says and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from proxy_process import ROOT, running, until

COMMAND = ROOT / "deploy/ha-demo/ha_demo.py"


@pytest.fixture(autouse=True)
def logs(monkeypatch, tmp_path):
    """The logs that a run that failed leaves."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def demo(*words, seconds=120, prefix=(), **options):
    line = [*prefix, sys.executable, COMMAND, *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, **options)


def left_behind():
    """Tables of demonstrations that have ended; another test may run one meanwhile. And a bridge."""
    tables = [
        path.name for path in Path("/dev/shm").glob("siphond-ha-demo-*") if not running([path.name.split("-")[3]])
    ]
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True).stdout
    return tables, "bridge" in links


@pytest.mark.parametrize("where", ["namespaces", "loopback", "not root"])
def test_shared_32_a_call_outlives_the_node_that_carries_it(where):
    user = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if where == "not root" else ()
    if user and subprocess.run([*user, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces")
    done = demo("--ring", "3", *(("--loopback",) if where == "loopback" else ()), prefix=user)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("   ok     ") >= 9
    assert "FAILED" not in done.stdout
    assert ("ip address del, add, gratuitous ARP" in done.stdout) == (where != "loopback")
    assert re.search(r"bob +-> node-b's address SIP/2.0 200 OK", done.stdout)
    assert done.stdout.endswith("All came true: a call outlived the node that carried it.\n")
    assert done.stderr == ""
    assert left_behind() == ([], False)


def test_an_answer_that_came_while_nobody_had_the_address_comes_again():
    done = demo("--ring", "1", "--failover", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("bob   -> node-b's address SIP/2.0 200 OK") >= 3, "two of the INVITE, one of the BYE"


@pytest.mark.parametrize("where", [(), ("--loopback",)])
def test_without_redis_the_call_is_lost_with_its_node_and_the_exit_status_is_1(where):
    done = demo("--without-redis", "--ring", "2", "--failover", "0.5", "--wait", "5", *where)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ok     alice hears it ring" in done.stdout
    assert "ok     nothing of node-b runs any more" in done.stdout
    assert "ok     an OPTIONS to that address gets 200 again" in done.stdout
    assert "FAILED alice has his 200 OK" in done.stdout
    assert "did not come true: alice has his 200 OK" in done.stdout
    assert "the logs are in" in done.stderr
    assert left_behind() == ([], False)


def test_ctrl_c_leaves_nothing_behind():
    line = [sys.executable, COMMAND, "--without-redis"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        children = set()
        while "node-b " not in process.stdout.readline():
            assert process.poll() is None
        children = set(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        assert len(children) >= 2
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert running(children) == []
        assert "Traceback" not in process.stderr.read()
    assert left_behind() == ([], False)


def test_kill_9_leaves_no_process_and_the_next_run_removes_the_tables():
    line = [sys.executable, COMMAND, "--without-redis"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "node-b " not in process.stdout.readline():
            assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    until(lambda: not running(children), 30, "the end of its children")
    demo("--loopback", "--without-redis", "--ring", "0", "--wait", "0", "--failover", "0")
    assert left_behind() == ([], False)


def test_a_port_in_use_is_said_in_one_line_with_its_owner():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.77.0.21", 0))
        port = other.getsockname()[1]
        done = demo("--loopback", "--without-redis", "--port", str(port))
    assert done.returncode == 2
    assert (
        f"ha-demo: node-a did not start: listen.udp: cannot listen on 127.77.0.21:{port}: address in use" in done.stderr
    )
    assert f"process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_redis_is_said_with_what_to_type(tmp_path):
    for name in ("ip", "unshare"):
        (tmp_path / name).symlink_to(subprocess.run(["which", name], capture_output=True, text=True).stdout.strip())
    done = demo(env={"PATH": str(tmp_path), "TMPDIR": str(tmp_path)})
    assert done.returncode == 2
    assert "ha-demo: redis-server is missing:  apt-get install redis-server" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_2_and_help_tells_the_story():
    assert demo("--dance").returncode == 2
    done = demo("--help")
    assert done.returncode == 0
    assert "kill -9" in done.stdout and "Exit status" in done.stdout
