"""Opens the UDP sockets: for every listen address one a worker, all in one SO_REUSEPORT group, kept by the supervisor.

The first socket of an address is bound *without* SO_REUSEPORT, so that an address which another process serves is an
error (`AddressInUse`, with the pid where /proc shows it) and not a silent share of its traffic; only then does it
become the first member of the group. Nothing is released in between, so of two instances that start together one
fails. Where sockets of an address have outlived an earlier run (kept.py), they are the first of the group and only
what is missing is bound. If they are more than there are workers now, all are kept: what waits in them is read, and
nothing new comes there (steering.py).

Every socket: non-blocking, closed on exec, local address and arrival of each datagram, dropped datagrams counted, ICMP
errors queued, no path MTU discovery over IPv4 (a long SIP message is fragmented, never refused).
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from glob import glob
from ipaddress import ip_address

from workers.steering import STEERINGS, steer

IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_PMTUDISC_DONT = 0
IPV6_RECVERR = 25
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
SO_MEMINFO = 55
MEMINFO_DROPS = 8

REASONS = {
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied; a port below 1024 needs CAP_NET_BIND_SERVICE",
}

ListenAddress = tuple[str, int, int | None]
"""(numeric ip, port, DSCP 0-63 or None)"""


class CannotListen(Exception):
    """An address that cannot be bound; the text names it."""

    def __init__(self, address: tuple[str, int], reason: str) -> None:
        super().__init__(f"cannot listen on {shown(address)}: {reason}")
        self.address = address
        self.reason = reason


class AddressInUse(CannotListen):
    """Another process serves the address; `pid` is None where /proc does not tell."""

    def __init__(self, address: tuple[str, int], pid: int | None) -> None:
        super().__init__(address, "address in use" + (f" by process {pid}" if pid else ""))
        self.pid = pid


def shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_listeners(
    addresses: Sequence[ListenAddress],
    count: int,
    rcvbuf: int = 0,
    steering: str = "flow",
    warn: Callable[[str], None] = lambda text: None,
    kept: Sequence[Sequence[socket.socket]] = (),
) -> list[list[socket.socket]]:
    """[listener][worker] bound sockets, or CannotListen and none stays open. `rcvbuf` 0: the system's size. `kept` are
    those that are there already, for each address; a group is longer than `count` where it had more."""
    if steering not in STEERINGS:
        raise ValueError(f"steering is one of {', '.join(STEERINGS)}")
    opened = [list(group) for group in kept] or [[] for _ in addresses]
    try:
        for address, group in zip(addresses, opened, strict=True):
            for sock in group:
                set_options(sock, address[2], rcvbuf)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            open_group(address, count, rcvbuf, group)
            steer(group, count, steering)
    except BaseException:
        for sock in (sock for group in opened for sock in group):
            sock.close()
        raise
    warn_of_small_buffers(opened, rcvbuf, warn)
    return opened


def require_free(addresses: Sequence[ListenAddress]) -> None:
    """CannotListen as open_listeners() would raise it; nothing stays open."""
    bound: list[socket.socket] = []
    try:
        for host, port, dscp in addresses:
            bound.append(new_socket(host, port, dscp, 0))
            bind(bound[-1], host, port)
    finally:
        for sock in bound:
            sock.close()


def open_group(address: ListenAddress, count: int, rcvbuf: int, group: list[socket.socket]) -> None:
    """Binds what is missing in the group."""
    host, port, dscp = address
    for index in range(len(group), count):
        sock = new_socket(host, port, dscp, rcvbuf)
        group.append(sock)
        if index:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bind(sock, host, port)
        if not index:
            port = sock.getsockname()[1]
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def new_socket(host: str, port: int, dscp: int | None, rcvbuf: int) -> socket.socket:
    version = ip_address(host).version
    try:
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
        raise CannotListen((host, port), f"this kernel has no IPv{version}") from None
    if version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    set_options(sock, dscp, rcvbuf)
    return sock


def set_options(sock: socket.socket, dscp: int | None, rcvbuf: int) -> None:
    """What may be set on a bound socket too."""
    sock.setblocking(False)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, (dscp or 0) << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, (dscp or 0) << 2)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    if rcvbuf:
        set_receive_buffer(sock, rcvbuf)


def set_receive_buffer(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def warn_of_small_buffers(opened: list[list[socket.socket]], rcvbuf: int, warn: Callable[[str], None]) -> None:
    if not rcvbuf or not opened:
        return
    size = opened[0][0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel reports twice the size
    if size < rcvbuf:
        warn(f"receive buffer is {size} bytes instead of {rcvbuf}: raise net.core.rmem_max")


def bind(sock: socket.socket, host: str, port: int) -> None:
    try:
        sock.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse((host, port), holder_of(host, port)) from None
        text = os.strerror(error.errno or 0)
        raise CannotListen((host, port), REASONS.get(error.errno or 0, text.lower())) from None


def drops_so_far(sock: socket.socket) -> int:
    """Datagrams that the kernel has dropped for want of room since the socket was made, as SO_RXQ_OVFL counts them."""
    numbers = struct.unpack("=9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return int(numbers[MEMINFO_DROPS])


def holder_of(host: str, port: int) -> int | None:
    """The process that has bound `port` at this address, at the wildcard, or anywhere if `host` is the wildcard."""
    inodes = bound_inodes(host, port)
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if inodes & socket_inodes(pid):
            return pid
    return None


def bound_inodes(host: str, port: int) -> set[str]:
    wanted = ip_address(host)
    table = "/proc/net/udp" if wanted.version == 4 else "/proc/net/udp6"
    try:
        with open(table) as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return set()
    found = set()
    for row in rows:
        text, _, port_text = row[1].rpartition(":")
        words = struct.unpack(f">{len(text) // 8}I", bytes.fromhex(text))
        local = ip_address(struct.pack(f"={len(words)}I", *words))
        if int(port_text, 16) == port and (local == wanted or local.is_unspecified or wanted.is_unspecified):
            found.add(row[9])
    return found


def socket_inodes(pid: int) -> set[str]:
    found = set()
    for path in glob(f"/proc/{pid}/fd/*"):  # nothing where the process has gone or is not ours to look at
        with suppress(OSError):
            target = os.readlink(path)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found
