"""Batches in and out on real loopback sockets."""

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Iterator

import pytest
from free_ports import free_port
from worker_fakes import until

from workers.net import Outbox, Reader, Received, Unreachable, boottime, read_errors, receive_batch
from workers.sockets import open_listeners


def opened(host: str = "127.0.0.1", rcvbuf: int = 0) -> socket.socket:
    return open_listeners([(host, 0, None)], 1, rcvbuf)[0][0]


def closed_port(host: str = "127.0.0.1") -> tuple[str, int]:
    return host, free_port()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with opened() as one, opened() as other:
        yield one, other


Pair = tuple[socket.socket, socket.socket]


def test_a_batch_gives_data_source_local_address_and_arrival(pair: Pair) -> None:
    one, other = pair
    before = boottime()
    one.sendto(b"first", other.getsockname())
    one.sendto(b"second", other.getsockname())
    batch = receive_batch(other.fileno(), 3, 1)
    assert [datagram.data for datagram in batch] == [b"first", b"second"]
    assert {(d.source, d.local, d.listener, d.socket) for d in batch} == {(one.getsockname(), "127.0.0.1", 3, 1)}
    assert all(before - 0.01 <= datagram.arrived <= boottime() for datagram in batch)
    assert receive_batch(other.fileno(), 3, 1) == []


def test_a_batch_stops_at_its_limit_and_leaves_the_rest_in_the_socket(pair: Pair) -> None:
    one, other = pair
    for number in range(5):
        one.sendto(b"%d" % number, other.getsockname())
    assert [len(receive_batch(other.fileno(), 0, 0, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_empty_and_largest_datagrams_pass_whole(pair: Pair) -> None:
    one, other = pair
    for data in (b"", b"x" * 65507):
        one.sendto(data, other.getsockname())
    assert [datagram.data for datagram in receive_batch(other.fileno(), 0, 0)] == [b"", b"x" * 65507]


def test_the_tuple_of_a_peer_is_made_once(pair: Pair) -> None:
    one, other = pair
    one.sendto(b"a", other.getsockname())
    one.sendto(b"b", other.getsockname())
    first, second = receive_batch(other.fileno(), 0, 0)
    assert first.source is second.source


def test_datagrams_that_waited_too_long_are_dropped_and_counted_unless_kept(pair: Pair) -> None:
    one, other = pair
    reader = Reader(other.fileno(), 0, 0)
    one.sendto(b"old", other.getsockname())
    one.sendto(b"keep", other.getsockname())
    assert [datagram.data for datagram in reader.receive(32, 1e-9, lambda data: data == b"keep")] == [b"keep"]
    assert reader.stale == 1
    one.sendto(b"fresh", other.getsockname())
    assert len(reader.receive(32, 600.0)) == 1


def test_kernel_drops_are_reported_once_by_all_readers_of_a_socket() -> None:
    with opened() as one, opened(rcvbuf=2048) as other:
        ledger = bytearray(4)
        first, second = Reader(other.fileno(), 0, 0, ledger), Reader(other.fileno(), 0, 0, ledger)
        for _ in range(200):
            one.sendto(b"x" * 1000, other.getsockname())
        arrived = len(first.receive(64))
        one.sendto(b"the first after the drops tells their number", other.getsockname())
        assert len(second.receive(64)) == 1
        one.sendto(b"no news", other.getsockname())
        assert len(first.receive(64)) == 1
        assert arrived < 200
        assert (first.drops, second.drops) == (0, 200 - arrived)


def test_a_listener_of_an_earlier_configuration_is_stood_in_for_by_the_first_of_the_family() -> None:
    with opened("::1") as six, opened() as four, opened() as peer:
        outbox = Outbox([six.fileno(), four.fileno()])
        outbox.put(b"hello", peer.getsockname(), 7, "192.0.2.1")
        outbox.flush()
        assert peer.recvfrom(100) == (b"hello", four.getsockname()) and outbox.failures == []
        alone = Outbox([six.fileno()])
        alone.put(b"none", peer.getsockname(), 7)
        alone.flush()
        assert [index for index, _errno in alone.failures] == [0]
        for sockets, listener in (([six.fileno()], -1), ([], 0)):
            with pytest.raises(IndexError):
                Outbox(sockets).put(b"x", peer.getsockname(), listener)


def test_the_outbox_sends_in_order_and_is_empty_then(pair: Pair) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    for number in range(40):
        outbox.put(b"%d" % number, other.getsockname(), 0)
    assert len(outbox) == 40
    assert outbox.flush() == 0
    assert (len(outbox), outbox.sent, outbox.failures) == (0, 40, [])
    batch = receive_batch(other.fileno(), 0, 0, 64)
    assert [datagram.data for datagram in batch] == [b"%d" % number for number in range(40)]
    assert outbox.flush() == 0
    assert receive_batch(other.fileno(), 0, 0) == []


def test_each_datagram_leaves_from_the_socket_of_its_listener(pair: Pair) -> None:
    one, other = pair
    with opened() as third:
        outbox = Outbox([one.fileno(), other.fileno()])
        for listener in (0, 1, 0):
            outbox.put(b"%d" % listener, third.getsockname(), listener)
        outbox.flush()
        sources = [datagram.source for datagram in receive_batch(third.fileno(), 0, 0)]
        assert sources == [one.getsockname(), other.getsockname(), one.getsockname()]


def test_the_outbox_can_be_flushed_as_a_c_function_without_the_interpreter(pair: Pair) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    outbox.put(b"sent from C", other.getsockname(), 0)
    flush = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(outbox.function_address)  # ctypes lets go of the GIL
    assert flush(outbox.argument_address) == 0
    assert len(outbox) == 0
    assert receive_batch(other.fileno(), 0, 0)[0].data == b"sent from C"


def test_a_cleared_outbox_sends_nothing(pair: Pair) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    outbox.put(b"of a commit that did not happen", other.getsockname(), 0)
    outbox.clear()
    assert outbox.flush() == 0
    assert receive_batch(other.fileno(), 0, 0) == []


@pytest.mark.parametrize("to", [("::1", 5060), ("example.com", 5060), ("127.0.0.1", 0), ("127.0.0.1", 70000), ("", 1)])
def test_an_address_that_cannot_be_sent_to_is_a_failure_and_the_next_is_sent(pair: Pair, to: tuple[str, int]) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    outbox.put(b"nowhere", to, 0)
    outbox.put(b"somewhere", other.getsockname(), 0)
    assert outbox.flush() == 1
    assert outbox.failures[0][0] == 0
    assert outbox.failures[0][1] in (errno.EAFNOSUPPORT, errno.EINVAL)
    assert receive_batch(other.fileno(), 0, 0)[0].data == b"somewhere"
    outbox.put(b"next", other.getsockname(), 0)
    assert outbox.failures == []


def test_a_datagram_that_the_kernel_refuses_is_a_failure_with_its_errno(pair: Pair) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    outbox.put(b"x" * 70000, other.getsockname(), 0)
    outbox.put(b"after", other.getsockname(), 0)
    assert outbox.flush() == 1
    assert outbox.failures == [(0, errno.EMSGSIZE)]
    assert receive_batch(other.fileno(), 0, 0)[0].data == b"after"


def test_the_outbox_lets_go_of_what_it_sent(pair: Pair) -> None:
    one, other = pair
    outbox = Outbox([one.fileno()])
    data = os.urandom(100)
    before = sys.getrefcount(data)
    outbox.put(data, other.getsockname(), 0)
    assert sys.getrefcount(data) == before + 1
    outbox.flush()
    outbox.clear()
    assert sys.getrefcount(data) == before


def test_a_wildcard_listener_sends_from_the_address_that_is_asked_for() -> None:
    with opened("0.0.0.0") as one, opened() as other:
        outbox = Outbox([one.fileno()])
        outbox.put(b"hello", other.getsockname(), 0, "127.0.0.7")
        outbox.flush()
        (datagram,) = receive_batch(other.fileno(), 0, 0)
        assert datagram.source == ("127.0.0.7", one.getsockname()[1])
        other.sendto(b"answer", datagram.source)
        assert receive_batch(one.fileno(), 0, 0)[0].local == "127.0.0.7"


def test_ipv6_in_and_out() -> None:
    with opened("::1") as one, opened("::") as other:
        outbox = Outbox([one.fileno()])
        outbox.put(b"hello", ("::1", other.getsockname()[1]), 0)
        assert outbox.flush() == 0
        (datagram,) = receive_batch(other.fileno(), 0, 0)
        assert (datagram.source, datagram.local) == (("::1", one.getsockname()[1]), "::1")


def test_prx_51_an_icmp_error_names_the_peer_and_quotes_the_datagram(pair: Pair) -> None:
    one, _ = pair
    nobody = closed_port()
    one.sendto(b"INVITE to nobody", nobody)
    (error,) = until(lambda: read_errors(one.fileno(), 2), "ICMP error")
    assert (error.listener, error.to, error.errno, error.data) == (2, nobody, errno.ECONNREFUSED, b"INVITE to nobody")
    assert read_errors(one.fileno()) == []


def test_nat_13_an_icmp_error_fails_neither_the_next_send_nor_the_next_receive(pair: Pair) -> None:
    one, other = pair
    one.sendto(b"to nobody", closed_port())
    outbox = Outbox([one.fileno()])
    outbox.put(b"innocent", other.getsockname(), 0)
    assert outbox.flush() == 0
    assert receive_batch(other.fileno(), 0, 0)[0].data == b"innocent"
    one.sendto(b"to nobody", closed_port())
    other.sendto(b"innocent too", one.getsockname())
    assert receive_batch(one.fileno(), 0, 0)[0].data == b"innocent too"
    found: list[Unreachable] = []
    until(lambda: found.extend(read_errors(one.fileno())) or len(found) == 2, "ICMP errors")


def test_ipv6_icmp_errors_are_read_as_well() -> None:
    with opened("::1") as one:
        nobody = closed_port("::1")
        one.sendto(b"to nobody", nobody)
        (error,) = until(lambda: read_errors(one.fileno()), "ICMP error")
        assert (error.to, error.errno, error.data) == (nobody, errno.ECONNREFUSED, b"to nobody")


def test_received_can_be_made_by_hand() -> None:
    made = Received(b"data", ("192.0.2.1", 5060), listener=1, socket=2, local="192.0.2.2", arrived=3.0)
    assert (made.data, made.source, made.listener, made.socket) == (b"data", ("192.0.2.1", 5060), 1, 2)
    assert (made.local, made.arrived) == ("192.0.2.2", 3.0)
