"""The socket groups: who gets which datagram, and who may not listen."""

import errno
import gc
import os
import socket
from collections.abc import Iterator

import pytest

from workers.net import receive_batch
from workers.sockets import AddressInUse, CannotListen, holder_of, open_listeners, require_free

Group = list[socket.socket]


@pytest.fixture
def groups() -> Iterator[list[Group]]:
    made: list[Group] = []
    yield made
    for sock in (sock for group in made for sock in group):
        sock.close()


def spread_of(group: Group, senders: int, each: int) -> list[int]:
    """How many datagrams each socket of the group got."""
    for _ in range(senders):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(each):
                client.sendto(b"x", group[0].getsockname())
    return [sum(iter(lambda sock=sock: len(receive_batch(sock.fileno(), 0, 0, 64)), 0)) for sock in group]


def test_flow_keeps_one_peer_on_one_worker(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, None)], 4, 1 << 20, "flow")
    assert sorted(spread_of(groups[0], 1, 60)) == [0, 0, 0, 60]


def test_flow_spreads_many_peers(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, None)], 4, 1 << 20, "flow")
    counts = spread_of(groups[0], 100, 1)
    assert sum(counts) == 100
    assert min(counts) > 0


def test_spread_gives_every_worker_a_share_of_one_peer(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, None)], 4, 1 << 20, "spread")
    counts = spread_of(groups[0], 1, 120)
    assert sum(counts) == 120
    assert min(counts) > 5


@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_one_worker_gets_all_whatever_the_steering(groups: list[Group], steering: str) -> None:
    """One socket is no group, and the kernel refuses a program for it."""
    groups += open_listeners([("127.0.0.1", 0, None)], 1, 1 << 20, steering)
    assert spread_of(groups[0], 3, 20) == [60]


def test_a_second_instance_is_refused_by_address_and_pid(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, None)], 2)
    port = groups[0][0].getsockname()[1]
    with pytest.raises(AddressInUse) as caught:
        open_listeners([("127.0.0.1", port, None)], 2)
    assert (caught.value.address, caught.value.pid) == (("127.0.0.1", port), os.getpid())
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: address in use by process {os.getpid()}"


def test_the_wildcard_collides_with_a_single_address(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, None)], 2)
    port = groups[0][0].getsockname()[1]
    with pytest.raises(AddressInUse):
        open_listeners([("0.0.0.0", port, None)], 2)
    groups += open_listeners([("127.0.0.2", port, None)], 2)
    assert holder_of("127.0.0.2", port) == os.getpid()


def test_what_cannot_be_bound_leaves_nothing_open(groups: list[Group]) -> None:
    gc.collect()  # or what an earlier test has left is closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:5060: this machine has no such address"):
        open_listeners([("127.0.0.1", 0, None), ("192.0.2.1", 5060, None)], 4)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_kernel_without_the_family_is_said_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("workers.sockets.socket.socket", none)
    for ask in (open_listeners, require_free):
        with pytest.raises(CannotListen, match=r"\[::\]:5060: this kernel has no IPv6"):
            ask([("::", 5060, None)], *([1] if ask is open_listeners else []))


def test_addresses_that_are_free_are_only_tried(groups: list[Group]) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    require_free([("127.0.0.1", 0, None), ("::1", 0, 46)])
    assert len(os.listdir("/proc/self/fd")) == before
    groups += open_listeners([("127.0.0.1", 0, None)], 1)
    port = groups[0][0].getsockname()[1]
    with pytest.raises(AddressInUse):
        require_free([("127.0.0.2", port, None), ("127.0.0.1", port, None)])
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_sockets_carry_the_options_of_their_listener(groups: list[Group]) -> None:
    groups += open_listeners([("127.0.0.1", 0, 24), ("::1", 0, 46)], 2, 100_000)
    for sock in groups[0]:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 24 << 2
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 200_000
        assert not sock.getblocking()
        assert not sock.get_inheritable()
    for sock in groups[1]:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 46 << 2
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_receive_buffer_that_the_system_does_not_grant_is_warned_of(
    groups: list[Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sockets.SO_RCVBUFFORCE", socket.SO_RCVBUF)
    warnings: list[str] = []
    groups += open_listeners([("127.0.0.1", 0, None)], 1, 1 << 30, "flow", warnings.append)
    assert len(warnings) == 1
    assert "net.core.rmem_max" in warnings[0]


def test_an_unknown_steering_is_refused() -> None:
    with pytest.raises(ValueError, match="flow, spread"):
        open_listeners([("127.0.0.1", 0, None)], 1, 0, "random")
