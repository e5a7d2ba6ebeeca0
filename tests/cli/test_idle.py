import socket

import pytest

from shm.table import Table
from siphon.cli.idle import Idle, final_status
from siphon.state.codec import encode
from siphon.state.record import Record


def key(number):
    return number.to_bytes(16, "big")


def record(number, status):
    made = Record(key(number), 1)
    made.method, made.request = "INVITE", b"x" * 900
    made.final_status = status
    return encode(made)


@pytest.fixture
def table(tmp_path):
    tmp_path.chmod(0o700)
    return Table.create(tmp_path / "transactions", records=2000, blocks=8000, slots=4)


def put(table, number, status):
    head = table.head(key(number))
    assert table.commit(key(number), head.version if head else 0, record(number, status), owner=0) > 0


@pytest.mark.parametrize("status", [0, 200, 487, 699])
def test_the_final_status_is_read_from_the_bytes_of_a_record(status):
    assert final_status(record(1, status)) == status


def test_an_empty_table_is_idle_and_one_with_an_open_transaction_is_not(table):
    idle = Idle(Table.view(table.path), clock=lambda: 0.0)  # however busy the machine is
    assert idle()
    for number in range(500):
        put(table, number, 200)
    assert idle()
    put(table, 250, 0)
    assert not idle() and not idle()
    put(table, 250, 486)
    assert idle()


def test_a_transaction_that_is_gone_or_damaged_is_not_waited_for(table):
    idle = Idle(Table.view(table.path), clock=lambda: 0.0)
    put(table, 1, 0)
    assert not idle()
    table.delete(key(1), table.head(key(1)).version)
    assert idle()
    table.commit(key(2), 0, b"short", owner=0)
    assert idle()


def test_a_long_table_is_gone_through_in_steps(table):
    for number in range(1000):
        put(table, number, 200)
    ticks = iter(range(1000))
    idle = Idle(Table.view(table.path), clock=lambda: next(ticks) * 0.006)
    answers = [idle() for _ in range(20)]
    assert answers[:3] == [False, False, False] and True in answers


FORWARDING = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.1:{port}")
"""


def test_a_drain_waits_for_the_call_that_is_being_set_up(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(60)
        port = phone.getsockname()[1]
        site.script.write_text(FORWARDING.format(port=port))
        process = site.start()
        invite = (
            f"INVITE sip:bob@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKone\r\n"
            "From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: drain\r\nCSeq: 1 INVITE\r\n"
            "Max-Forwards: 70\r\nContact: <sip:a@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
        )
        phone.sendto(invite.encode(), ("127.0.0.1", site.port))
        copy = next(data for data in (phone.recv(4096) for _ in range(3)) if data.startswith(b"INVITE"))
        process.terminate()
        site.until(lambda: "draining" in site.text())
        site.until(lambda: site.siphonctl("status", "--json").stdout.find('"state": "draining"') > 0)
        assert process.poll() is None
        lines = [line for line in copy.split(b"\r\n") if line[:4] in (b"Via:", b"From", b"Call", b"CSeq", b"To: ")]
        busy = b"SIP/2.0 486 Busy\r\n" + b"\r\n".join(lines).replace(
            b"To: <sip:bob@example.com>", b"To: <sip:b@e>;tag=2"
        )
        phone.sendto(busy + b"\r\nContent-Length: 0\r\n\r\n", ("127.0.0.1", site.port))
        assert process.wait(60) == 0
