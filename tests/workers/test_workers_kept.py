"""Sockets that have outlived their processes: which are used, which are closed, and what garbage does (nothing)."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worker_fakes import Instance, until

from workers.kept import FIRST, Kept, from_manager, name_of, sort
from workers.net import receive_batch
from workers.notify import Notifier
from workers.sockets import AddressInUse, drops_so_far, open_listeners

Group = list[socket.socket]
ME = str(os.getpid())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def open_() -> Iterator[Callable[..., Group]]:
    made: list[Group] = []

    def opened(port: int, count: int, **options: object) -> Group:
        made.extend(open_listeners([("127.0.0.1", port, None)], count, **options))  # type: ignore[arg-type]
        return made[-1]

    yield opened
    for sock in (sock for group in made for sock in group):
        sock.close()


def handed_over(group: Group) -> list[Kept]:
    """As the manager has them: duplicates, which stay open when the group is closed."""
    return [Kept(name_of(sock, place), os.dup(sock.fileno())) for place, sock in enumerate(group)]


def port_of(group: Group) -> int:
    return int(group[0].getsockname()[1])


def send(port: int, count: int) -> None:
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"%d" % number, ("127.0.0.1", port))


def waiting(group: Group) -> list[int]:
    return [waiting_at(sock.fileno()) for sock in group]


def waiting_at(descriptor: int) -> int:
    """All that wait: the kernel's hash may give one socket more than a batch has."""
    total = 0
    while got := len(receive_batch(descriptor, 0, 0, 64)):
        total += got
    return total


def is_open(descriptor: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{descriptor}")


# What the manager says.


def test_descriptors_begin_at_three_and_the_variables_go(said: list[str]) -> None:
    environ = {"LISTEN_PID": ME, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "one:two", "OTHER": "x"}
    assert from_manager(environ, said.append) == [Kept("one", FIRST), Kept("two", FIRST + 1)]
    assert (environ, said) == ({"OTHER": "x"}, [])


def test_without_the_variables_nothing_is_said(said: list[str]) -> None:
    assert from_manager({}, said.append) == []
    assert said == []


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, "for another process"),
        ({"LISTEN_PID": "garbage", "LISTEN_FDS": "2"}, "for another process"),
        ({"LISTEN_FDS": "2"}, "for another process"),
        ({"LISTEN_PID": ME}, "no number of descriptors"),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "-1"}, "no number of descriptors"),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "two"}, "no number of descriptors"),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "²"}, "no number of descriptors"),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "9999"}, "no number of descriptors"),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "9" * 5000}, "no number of descriptors"),
    ],
)
def test_garbage_in_the_variables_gives_one_line_and_no_socket(
    variables: dict[str, str], what: str, said: list[str]
) -> None:
    assert from_manager(dict(variables), said.append) == []
    assert len(said) == 1
    assert what in said[0]


def test_too_few_names_are_said_and_the_rest_have_none(said: list[str]) -> None:
    environ = {"LISTEN_PID": ME, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "one"}
    assert [kept.name for kept in from_manager(environ, said.append)] == ["one", "", ""]
    assert said == ["LISTEN_FDS is 3, but LISTEN_FDNAMES has 1 names"]


# Which fit.


def test_the_queue_of_a_socket_that_fits_is_kept(open_: Callable[..., Group], said: list[str]) -> None:
    before = open_(0, 3, rcvbuf=1 << 20)
    port, kept = port_of(before), handed_over(before)
    for sock in before:
        sock.close()
    send(port, 30)
    there, stale = sort(kept, [("127.0.0.1", port, None)], 60, said.append)
    after = open_(port, 3, kept=there)
    assert sum(waiting(after)) == 30
    assert (stale, said) == ([], [])


def test_the_order_is_that_of_the_names(open_: Callable[..., Group], said: list[str]) -> None:
    before = open_(0, 3)
    kept = handed_over(before)
    there, _ = sort([kept[2], kept[0], kept[1]], [("127.0.0.1", port_of(before), None)], 60, said.append)
    assert [sock.fileno() for sock in there[0]] == [one.descriptor for one in kept]
    for sock in there[0]:
        sock.close()


@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_more_workers_than_before_bind_what_is_missing(
    steering: str, open_: Callable[..., Group], said: list[str]
) -> None:
    before = open_(0, 2, steering=steering)
    port = port_of(before)
    there, _ = sort(handed_over(before), [("127.0.0.1", port, None)], 60, said.append)
    for sock in before:
        sock.close()
    after = open_(port, 4, rcvbuf=1 << 20, steering=steering, kept=there)
    send(port, 200)
    counts = waiting(after)
    assert (len(counts), sum(counts)) == (4, 200)
    assert min(counts) > 0


@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_fewer_workers_keep_all_sockets_but_nothing_new_comes_to_the_others(
    steering: str, open_: Callable[..., Group], said: list[str]
) -> None:
    before = open_(0, 4, steering=steering, rcvbuf=1 << 20)
    port = port_of(before)
    send(port, 100)
    there, _ = sort(handed_over(before), [("127.0.0.1", port, None)], 60, said.append)
    after = open_(port, 2, steering=steering, kept=there)
    counts = waiting(after)
    assert (len(counts), sum(counts)) == (4, 100)
    assert min(counts) > 0
    send(port, 100)
    counts = waiting(after)
    assert (sum(counts), counts[2:]) == (100, [0, 0])
    assert min(counts[:2]) > 10


def test_with_fewer_workers_one_peer_still_goes_to_one_of_them(open_: Callable[..., Group], said: list[str]) -> None:
    before = open_(0, 4)
    there, _ = sort(handed_over(before), [("127.0.0.1", port_of(before), None)], 60, said.append)
    after = open_(port_of(before), 3, kept=there)
    for _ in range(10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(20):
                client.sendto(b"x", ("127.0.0.1", port_of(before)))
        assert sorted(waiting(after)) == [0, 0, 0, 20]


def test_the_steering_may_be_another(open_: Callable[..., Group], said: list[str]) -> None:
    before = open_(0, 3, steering="spread")
    port = port_of(before)
    there, _ = sort(handed_over(before), [("127.0.0.1", port, None)], 60, said.append)
    after = open_(port, 3, steering="flow", kept=there, rcvbuf=1 << 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(40):
            client.sendto(b"x", ("127.0.0.1", port))
    assert sorted(waiting(after)) == [0, 0, 40]


def test_ipv6_sockets_fit_as_well(said: list[str]) -> None:
    before = open_listeners([("::1", 0, None)], 3, 1 << 20)
    port = before[0][0].getsockname()[1]
    there, stale = sort(handed_over(before[0]), [("::1", port, None)], 60, said.append)
    assert (stale, said) == ([], [])
    after = open_listeners([("::1", port, None)], 2, kept=there)
    for _ in range(50):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("::1", port))
    counts = waiting(after[0])
    assert (sum(counts), counts[2]) == (50, 0)
    assert min(counts[:2]) > 0
    for sock in (*before[0], *after[0]):
        sock.close()


def test_an_address_that_is_no_longer_wanted_is_closed_and_its_name_told(
    open_: Callable[..., Group], said: list[str]
) -> None:
    kept = handed_over(open_(0, 2))
    there, stale = sort(kept, [("127.0.0.1", 5060, None)], 60, said.append)
    assert there == [[]]
    assert stale == [one.name for one in kept]
    assert not any(is_open(one.descriptor) for one in kept)
    assert len(said) == 2
    assert "is no address of listen.udp; closed" in said[0]


def test_foreign_descriptors_are_closed_and_never_crash(tmp_path: Path, said: list[str]) -> None:
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connected.connect(("127.0.0.1", 9))
    both = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    both.bind(("::", 0))
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    descriptors = [*(sock.detach() for sock in (stream, local, connected, both)), file]
    kept = [Kept(f"n{number}", descriptor) for number, descriptor in enumerate(descriptors)]
    nowhere = Kept("n5", 900)
    there, stale = sort([*kept, nowhere], [("127.0.0.1", 5060, None)], 60, said.append)
    assert there == [[]]
    assert stale == [f"n{number}" for number in range(6)]
    assert not any(is_open(descriptor) for descriptor in descriptors)
    assert [text.partition(" is ")[2] for text in said] == [
        "not of UDP; closed",
        "not of UDP; closed",
        "connected; closed",
        "for IPv4 as well; closed",
        "no socket: Socket operation on non-socket",
        "no socket: Bad file descriptor",
    ]


def test_more_than_can_be_served_are_closed(open_: Callable[..., Group], said: list[str]) -> None:
    before = open_(0, 4)
    there, stale = sort(handed_over(before), [("127.0.0.1", port_of(before), None)], 3, said.append)
    assert len(there[0]) == 3
    assert stale == [name_of(before[3], 3)]
    for sock in there[0]:
        sock.close()


def test_an_address_that_is_kept_by_another_is_in_use(open_: Callable[..., Group]) -> None:
    group = open_(0, 2)
    with pytest.raises(AddressInUse):
        open_(port_of(group), 2)


# What the manager is told.


def test_sockets_go_to_the_manager_each_by_its_name(tmp_path: Path, open_: Callable[..., Group]) -> None:
    group = open_(0, 2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert notifier.keep({name_of(sock, place): sock for place, sock in enumerate(group)})
        for place, sock in enumerate(group):
            text, (descriptor,), _, _ = socket.recv_fds(manager, 1000, 4)
            assert text.decode() == f"FDSTORE=1\nFDNAME={name_of(sock, place)}\nFDPOLL=0"
            assert os.fstat(descriptor).st_ino == os.fstat(sock.fileno()).st_ino
            os.close(descriptor)
        notifier.forget("sip-127.0.0.1-5060-1")
        assert manager.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=sip-127.0.0.1-5060-1"


def test_a_manager_that_does_not_read_delays_a_start_by_a_second_at_most(
    tmp_path: Path, open_: Callable[..., Group]
) -> None:
    (sock,) = open_(0, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        began = time.monotonic()
        assert not notifier.keep({f"n{number}": sock for number in range(10_000)})
        assert time.monotonic() - began < 60


# How the workers serve them.


def test_what_waits_in_the_sockets_of_workers_that_are_no_more_is_served(
    start: Callable[..., Instance], open_: Callable[..., Group]
) -> None:
    before = open_(0, 4, rcvbuf=1 << 20)
    port = port_of(before)
    there, _ = sort(handed_over(before), [("127.0.0.1", port, None)], 60, print)
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(120)]
    for client in clients:
        client.settimeout(60)
        client.sendto(b"hi", ("127.0.0.1", port))
    instance = start(count=2, listeners=open_listeners([("127.0.0.1", port, None)], 2, kept=there))
    sockets = {client.recv(200).split()[2] for client in clients}
    assert sockets == {b"socket=0", b"socket=1", b"socket=2", b"socket=3"}
    for client in clients:
        client.sendto(b"again", ("127.0.0.1", port))
    assert {client.recv(200).split()[2] for client in clients} == {b"socket=0", b"socket=1"}
    assert instance.slots.total(1) == 0
    for client in clients:
        client.close()


def test_what_the_kernel_dropped_before_is_not_counted_again(
    start: Callable[..., Instance], open_: Callable[..., Group]
) -> None:
    (before,) = open_(0, 1, rcvbuf=4096)
    port = before.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(100):
            client.sendto(b"x" * 1000, ("127.0.0.1", port))
    assert drops_so_far(before) > 50
    there, _ = sort(handed_over([before]), [("127.0.0.1", port, None)], 60, print)
    instance = start(count=1, listeners=open_listeners([("127.0.0.1", port, None)], 1, kept=there))
    until(lambda: instance.slots.total(7) > 0, "the count of what waited: there is room again")
    for text in ("hi", "again"):
        assert instance.ask(text).startswith(text)
    until(lambda: instance.slots.total(7) > 2, "the count of datagrams")
    assert instance.slots.total(1) == 0
