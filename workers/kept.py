"""Sockets that have outlived the processes which opened them: the service manager has kept them, or the siphond before
this one hands them over. What waits in them is served by whoever gets them.

The protocol is that of sd_listen_fds(3): LISTEN_PID is this process, LISTEN_FDS descriptors begin at 3, LISTEN_FDNAMES
are their names. Whatever is in these variables, a start does not fail for it: what does not fit is said, and closed.

A name is made of the address and the place in its group, `sip-127.0.0.1-5060-0`. The socket itself tells its address;
of the name only the place is used, so that a group keeps its order.
"""

import fcntl
import os
import re
import socket
from collections.abc import Callable, MutableMapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from workers.sockets import ListenAddress, shown

FIRST = 3
MOST = 4096
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

Warn = Callable[[str], None]


class Kept(NamedTuple):
    name: str
    descriptor: int


def name_of(sock: socket.socket, place: int) -> str:
    host, port = sock.getsockname()[:2]
    return f"sip-{host.replace(':', '_')}-{port}-{place}"


def from_manager(environ: MutableMapping[str, str], warn: Warn) -> list[Kept]:
    """The descriptors that the manager has passed on; the variables are removed, since they are for us alone."""
    pid, count_text, names_text = (environ.pop(name, "") for name in VARIABLES)
    if not (pid or count_text):
        return []
    if pid != str(os.getpid()):
        warn(f"LISTEN_PID is {pid!r}, this is process {os.getpid()}: the descriptors are for another process")
        return []
    count = int(count_text) if re.fullmatch(r"[0-9]{1,4}", count_text) else -1
    if not 0 <= count <= MOST:
        warn(f"LISTEN_FDS is {count_text!r}, which is no number of descriptors: none is used")
        return []
    names = names_text.split(":") if names_text else []
    if names and len(names) != count:
        warn(f"LISTEN_FDS is {count}, but LISTEN_FDNAMES has {len(names)} names")
    names += [""] * (count - len(names))
    return [Kept(names[number], FIRST + number) for number in range(count)]


def sort(
    kept: Sequence[Kept], addresses: Sequence[ListenAddress], most: int, warn: Warn
) -> tuple[list[list[socket.socket]], list[str]]:
    """For each address the sockets that are there, at most `most`, in the order of their places; and the names of those
    that are of no use and have been closed."""
    found: list[list[tuple[int, int, str, socket.socket]]] = [[] for _ in addresses]
    stale: list[str] = []
    for number, one in enumerate(kept):
        sock = socket_of(one, warn)
        listener = None if sock is None else listener_of(sock, addresses)
        if sock is None:
            stale.append(one.name)
        elif listener is None:
            warn(f"kept socket {one.name or one.descriptor}: {said_of(sock)} is no address of listen.udp; closed")
            stale.append(one.name)
            sock.close()
        else:
            found[listener].append((place_in(one.name), number, one.name, sock))
    for group in found:
        group.sort(key=lambda row: row[:2])
        for _, _, name, sock in group[most:]:
            warn(f"kept socket {name}: {most} are enough; closed")
            stale.append(name)
            sock.close()
    return [[row[3] for row in group[:most]] for group in found], sorted(set(stale) - {""})


def socket_of(one: Kept, warn: Warn) -> socket.socket | None:
    """None for what is not open, or is no socket that datagrams of anybody can come to; it is closed then."""
    try:
        fcntl.fcntl(one.descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        sock = socket.socket(fileno=one.descriptor)
    except OSError as error:
        warn(f"kept descriptor {one.name or one.descriptor} is no socket: {error.strerror}")
        if error.errno != 9:  # EBADF
            os.close(one.descriptor)
        return None
    if why := fault_of(sock):
        warn(f"kept socket {one.name or one.descriptor} is {why}; closed")
        sock.close()
        return None
    return sock


def fault_of(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_DGRAM:
        return "not of UDP"
    if sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return "for IPv4 as well"
    try:
        sock.getpeername()
    except OSError:
        return ""
    return "connected"


def said_of(sock: socket.socket) -> str:
    return shown(sock.getsockname()[:2])


def listener_of(sock: socket.socket, addresses: Sequence[ListenAddress]) -> int | None:
    host, port = sock.getsockname()[:2]
    bound = (ip_address(host.partition("%")[0]), port)
    wanted = [(ip_address(ip), port) for ip, port, _ in addresses]
    return wanted.index(bound) if bound in wanted else None


def place_in(name: str) -> int:
    """The last part of a name of ours; the others come behind."""
    found = re.fullmatch(r"sip-.*-([0-9]{1,4})", name)
    return int(found[1]) if found else MOST
