"""Everything that keeps siphond from starting: one clear line, the right exit status, nothing left behind."""

import os
import socket
import subprocess
import sys

import pytest

from siphon.config.version import VERSION


def test_help_names_the_signals_and_the_exit_statuses(site):
    done = site.run("siphond", "--help")
    assert done.returncode == 0
    for text in ("--check", "--fresh", "--workers N", "HUP", "71  no shared memory", "78  configuration or script"):
        assert text in done.stdout


def test_version(site):
    done = site.run("siphond", "--version")
    assert (done.returncode, done.stdout) == (0, f"siphond {VERSION}\n")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--workers", "0"], ["--workers", "x"], ["extra"], ["-c"]])
def test_a_wrong_command_line_is_2(site, arguments):
    done = site.run("siphond", *arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr


def test_without_a_configuration_it_says_where_it_looked(site):
    done = site.run("siphond")
    if done.returncode == 78:  # this machine has no /etc/siphon/siphon.cfg
        assert done.stderr == (
            "no configuration: neither /etc/siphon/siphon.cfg nor etc/siphon.cfg exists; name one with -c FILE\n"
        )


@pytest.mark.parametrize(("program", "status"), [("siphond", 78), ("siphonctl", 2)])
def test_a_working_directory_that_has_been_removed_is_one_line(site, program, status):
    gone = site.place / "gone"
    gone.mkdir()
    line = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), sys.executable, "-m", f"siphon.cli.{program}"]
    line += ["-c", str(site.file)] + (["status"] if program == "siphonctl" else [])
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (
        status,
        "the current directory: No such file or directory; change into another\n",
    )


def test_the_working_directory_is_searched(site):
    (site.place / "etc").mkdir()
    (site.place / "etc/siphon.cfg").write_text("x = 1\n")
    done = site.run("siphond", "--check")
    assert done.returncode == 78
    assert "siphon.cfg:1: x: unknown key" in done.stderr or "/etc/siphon/siphon.cfg" in done.stderr


@pytest.mark.parametrize("check", [["--check"], []])
def test_faults_of_the_configuration_are_78_a_line_each(site, check):
    site.configure(("count = 2", "cuont = 2"), ("max_nonces = 64", "max_nonces = -1"))
    done = site.siphond(*check)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr == (
        f"{site.file}:7: workers.cuont: unknown key; did you mean workers.count\n"
        f"{site.file}:13: shared.max_nonces: must be at least 16, not -1\n"
    )


@pytest.mark.parametrize("name", [".", "none", "binary"])
def test_a_file_that_is_no_configuration_is_78(site, name):
    (site.place / "binary").write_bytes(b"\x7fELF\x00\x01\x02\xff")
    done = site.run("siphond", "-c", site.place / name)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


DIED = " script.path: did not load: the checking process died"
SCRIPTS = {
    "def f(:\n": "1: script.path: SyntaxError: ",
    "x = 1\n  y = 2\n": "2: script.path: IndentationError: ",
    "import nothing_of_that_name\n": "1: script.path: ModuleNotFoundError: No module named 'nothing_of_that_name'",
    "\n\nraise ValueError('two\\nlines')\n": "3: script.path: ValueError: two lines",
    "from siphon import prxoy\n": "1: script.path: ImportError: siphon has no 'prxoy'; did you mean 'proxy'",
    "from siphon import nothing_like_it\n": "1: script.path: ImportError: siphon has no 'nothing_like_it'",
    "import sys\nsys.exit(0)\n": "2: script.path: SystemExit: 0",
    "import os\nos._exit(0)\n": DIED,
    "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n": DIED,
    "\0": "",
}


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_script_that_does_not_load_is_78_with_its_line(site, text):
    site.script.write_text(text)
    done = site.siphond("--check")
    assert done.returncode == 78
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{site.script}:{SCRIPTS[text]}")
    assert done.stdout == ""


def test_a_missing_script_is_78(site):
    site.script.unlink()
    done = site.siphond("--check")
    assert done.returncode == 78
    assert done.stderr == f"{site.script}: script.path: cannot be read: no such file or directory\n"


def test_a_start_with_a_broken_script_logs_the_traceback_and_makes_no_tables(site):
    site.script.write_text("def f():\n    raise KeyError('gone')\n\nf()\n")
    done = site.siphond()
    assert done.returncode == 78
    assert "error main -   KeyError: 'gone'" in done.stdout
    assert done.stderr.splitlines()[-1] == f"{site.script}:2: script.path: KeyError: 'gone'"
    assert list(site.shared.iterdir()) == []


def test_check_prints_what_the_tables_need_and_what_there_is(site):
    site.script.write_text("print('hello')\n")
    done = site.siphond("--check")
    assert done.returncode == 0, done.stderr
    first, need, free = done.stdout.splitlines()
    assert first == f"{site.file}: ok"
    assert need.startswith("shared memory needed: ") and "transactions " in need
    assert free.startswith(f"free in {site.shared}: ")
    assert list(site.shared.iterdir()) == []


def test_check_prints_warnings_and_is_content(site):
    site.configure(more="[transaction]\ntimer_c = 100\n[b2bua]\nx = 1\n")
    done = site.siphond("--check")
    assert done.returncode == 0
    assert "transaction.timer_c: RFC 3261" in done.stderr
    assert "b2bua: this section is not offered; it is skipped (warning)" in done.stderr


def test_more_tables_than_memory_is_71_with_a_way_out(site):
    site.configure(("max_transactions = 256", "max_transactions = 100000000"))
    for done in (site.siphond(), site.siphond("--check")):
        assert done.returncode == 71
        assert "no shared memory: the tables need" in done.stderr
        assert "lower shared.max_transactions (now 100000000)" in done.stderr


@pytest.mark.parametrize("files", [16, 40, 120])
def test_too_few_open_files_are_one_line_and_71(site, files):
    line = ["prlimit", f"--nofile={files}", sys.executable, "-m", "siphon.cli.siphond", "-c", site.file]
    done = subprocess.run(line, capture_output=True, text=True, timeout=180, cwd=site.place, stdin=subprocess.DEVNULL)
    assert done.returncode == 71
    assert done.stderr == "cannot start: too many open files; raise its limit (ulimit -n, LimitNOFILE)\n"


def test_an_address_that_is_not_ours_is_said_plainly(site):
    site.configure((f"127.0.0.1:{site.port}", f"192.0.2.1:{site.port}"))
    done = site.siphond()
    assert done.returncode == 78
    assert done.stderr == f"listen.udp: cannot listen on 192.0.2.1:{site.port}: this machine has no such address\n"
    assert [path.name for path in site.shared.iterdir()] == ["lock"]


def test_an_address_in_use_is_75_with_its_owner_and_no_table_is_made(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", site.port))
        done = site.siphond()
    assert done.returncode == 75
    assert done.stderr == (
        f"listen.udp: cannot listen on 127.0.0.1:{site.port}: address in use by process {os.getpid()}\n"
    )
    assert [path.name for path in site.shared.iterdir()] == ["lock"]


def test_an_address_in_use_beside_sockets_that_were_handed_over_leaves_no_table(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        busy = other.getsockname()[1]
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", site.port))
        site.configure((f'"127.0.0.1:{site.port}"', f'"127.0.0.1:{site.port}", "127.0.0.1:{busy}"'))
        line = (
            f"exec 3<&{kept.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec {sys.executable}"
            f" -W error -m siphon.cli.siphond -c {site.file}"
        )
        done = subprocess.run(
            ["bash", "-c", line],
            pass_fds=[kept.fileno()],
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
        )
    assert done.returncode == 75, done.stderr
    assert done.stderr.endswith(
        f"listen.udp: cannot listen on 127.0.0.1:{busy}: address in use by process {os.getpid()}\n"
    )
    assert [path.name for path in site.shared.iterdir()] == ["lock"]


def test_a_wildcard_beside_an_address_of_the_same_port_is_in_use_before_any_table_is_made(site):
    site.configure((f'"127.0.0.1:{site.port}"', f'"127.0.0.1:{site.port}", "0.0.0.0:{site.port}"'))
    done = site.siphond()
    assert done.returncode in (75, 78) and "0.0.0.0" in done.stderr
    assert [path.name for path in site.shared.iterdir() if path.name != "lock"] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a directory of another user")
@pytest.mark.parametrize("check", [["--check"], []])
def test_what_may_not_be_looked_at_is_one_line(site, check):
    """Directories of another user, as /etc/siphon and its parts are to most."""
    hidden = site.place / "hidden"
    hidden.mkdir(mode=0o700)
    os.chown(hidden, 65534, 65534)
    site.configure(('path = "script.py"', 'path = "hidden/script.py"'))
    done = site.run_unprivileged("siphond", "-c", site.file, *check)
    assert done.returncode == 78
    assert done.stderr == f"{hidden}/script.py: script.path: cannot be read: permission denied\n"

    site.configure((f'path = "{site.shared}"', f'path = "{hidden}/shared"'))
    done = site.run_unprivileged("siphond", "-c", site.file, *check)
    assert "Traceback" not in done.stderr
    if not check:
        assert done.returncode == 71
        assert done.stderr == f"shared.path: cannot make {hidden}/shared: permission denied\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a directory of another user")
def test_a_configuration_that_may_not_be_looked_at_is_one_line(site):
    (site.place / "etc").mkdir(mode=0o700)
    os.chown(site.place / "etc", 65534, 65534)
    for program, status in (("siphond", 78), ("siphonctl", 2)):
        done = site.run_unprivileged(program, *(["status"] if program == "siphonctl" else []))
        if done.returncode != status:
            pytest.skip("this machine has an /etc/siphon/siphon.cfg")
        assert done.stderr == "etc/siphon.cfg: cannot be read: permission denied\n"


def test_a_shared_path_that_is_a_file_is_said_plainly(site):
    site.shared.rmdir()
    site.shared.touch()
    done = site.siphond()
    site.shared.unlink()
    site.shared.mkdir()
    assert (done.returncode, done.stderr) == (78, f"shared.path: {site.shared} is not a directory\n")


def test_a_log_that_cannot_be_opened_is_said_plainly(site):
    site.configure(more='[log]\nfile = "none/siphond.log"\n')
    done = site.siphond()
    assert done.returncode == 78
    assert done.stderr == f"log.file: cannot open {site.place}/none/siphond.log: no such file or directory\n"


def test_a_state_directory_that_is_a_file_is_said_plainly(site):
    (site.place / "state").touch()
    done = site.siphond()
    assert done.returncode == 78
    assert done.stderr.startswith("server.state_dir: ")


def test_a_script_without_a_handler_is_warned_of(site):
    site.script.write_text("x = 1\n")
    done = site.siphond("--check")
    assert done.returncode == 0
    assert done.stderr == f"{site.script}: no handler of proxy.on_request: all gets 405 (warning)\n"
