"""The load generator by itself: callers and callees without a server between them."""

import hashlib
import socket
import subprocess

import driver_process
import pytest
from measure import free_ports


def drive(**options):
    """At a T1 that a busy machine does not reach."""
    known = {
        "direct": True,
        "ports": free_ports(4),
        "callers": 2,
        "callees": 2,
        "users": 10,
        "t1": 10000,
        "give_up": 60,
    }
    return driver_process.run(known | options, 120)


@pytest.mark.parametrize("flow", ["call", "message"])
def test_all_calls_complete_and_the_delay_of_each_request_is_known(flow):
    counted = drive(flow=flow, calls=200, flight=20)
    assert (counted.started, counted.completed, counted.failed) == (200, 200, 0)
    assert counted.clean
    assert counted.delay_us["count"] == 200
    assert 0 < counted.delay_us["p50"] <= counted.delay_us["p99"] <= counted.delay_us["max"]


def test_a_call_is_the_messages_of_the_recipe(tmp_path):
    drive(flow="call", calls=1, flight=1, trace=tmp_path / "trace")
    sent = [line.split(" ", 2)[2] for line in (tmp_path / "trace").read_text().splitlines() if " > " in line]
    assert sent == ["INVITE", "180 1 INVITE", "200 1 INVITE", "ACK", "BYE", "200 2 BYE"]


def test_a_paced_load_lasts_as_long_as_its_rate_says():
    counted = drive(flow="message", calls=50, rate=100)
    assert counted.completed == 50
    assert counted.seconds >= 0.48


def test_where_nobody_answers_calls_are_repeated_and_fail():
    ports = free_ports(4)
    counted = drive(
        direct=False, server=f"127.0.0.1:{ports + 3}", ports=ports, callers=1, flow="message",
        calls=3, flight=3, t1=100, give_up=1,
    )  # fmt: skip
    assert (counted.completed, counted.failed, counted.timeouts) == (0, 3, 3)
    assert counted.retransmissions >= 3
    assert not counted.clean


def test_a_strict_run_starts_no_calls_after_the_first_repeat():
    ports = free_ports(4)
    counted = drive(
        direct=False, server=f"127.0.0.1:{ports + 3}", ports=ports, callers=1, flow="message",
        calls=10000, rate=100, t1=50, give_up=0.5, strict=True,
    )  # fmt: skip
    assert counted.stopped
    assert counted.started < 10000


def test_a_taken_port_is_an_error_that_names_it():
    ports = free_ports(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", ports))
        with pytest.raises(RuntimeError, match=f"127.0.0.1:{ports}: Address already in use"):
            drive(flow="call", calls=1, flight=1, ports=ports)


def test_its_md5_is_md5(tmp_path):
    """Of lengths around the padding's."""
    program = tmp_path / "md5"
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include <string.h>\n#include "md5.h"\n'
        "int main(int argc, char **argv) { char hex[33]; for (int i = 1; i < argc; i++) "
        '{ md5_hex(argv[i], strlen(argv[i]), hex); printf("%s\\n", hex); } return 0; }\n'
    )
    folder = driver_process.SOURCES
    line = [*driver_process.compiler(), "-I", folder, "-o", program, tmp_path / "main.c", folder / "md5.c", "-lm"]
    subprocess.run(line, check=True)
    texts = ["x" * length for length in (0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 500)]
    said = subprocess.run([program, *texts], capture_output=True, text=True, check=True).stdout.split()
    assert said == [hashlib.md5(text.encode()).hexdigest() for text in texts]


def test_the_program_is_made_once(tmp_path):
    made = driver_process.built(tmp_path)
    before = made.stat().st_mtime_ns
    assert driver_process.built(tmp_path) == made
    assert made.stat().st_mtime_ns == before
    assert [file.name for file in tmp_path.iterdir()] == [made.name]
