"""A small network of hosts on one machine: a network namespace each, joined by a bridge in one more.

Nothing of it has a name outside: a namespace is held by an open file descriptor, its interfaces live in it, and the
kernel removes them all when the last descriptor and process is gone - after an error, after Ctrl-C, after kill -9 too.
So two networks never collide, and the machine's own interfaces, routes and rules are not touched.

It needs CAP_SYS_ADMIN (root, or root in a user namespace) and `ip`. Where that is not to be had, `Loopback` offers the
same hosts as addresses of 127.0.0.0/8, between which no address can move: `Host.holds` says so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
ETHERTYPE_ARP = 0x0806
ENDING = (signal.SIGINT, signal.SIGTERM)
"""What asks us to end."""
_libc = ctypes.CDLL(None, use_errno=True)


class NoNetwork(Exception):
    """Namespaces cannot be made here; the text says why."""


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """We are asked to end after this block, not within: whoever starts a process in it knows the process by then, and
    can end it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with(parent: int) -> None:
    """In a new process: whoever started it may be killed, and may have been before this line; it shall not stay
    behind. Nor shall it be deaf to what the one who started it had put off."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Host:
    """Where processes run and sockets are opened. `fd` is its namespace, None for the machine's own."""

    def __init__(self, name: str, ip: str, fd: int | None = None) -> None:
        self.name = name
        self.ip = ip
        self.fd = fd

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens and processes that it starts meanwhile belong to the host."""
        if self.fd is None:
            yield
            return
        home = _own_namespace()
        try:
            _checked(_libc.setns(self.fd, CLONE_NEWNET))
            try:
                yield
            finally:
                _checked(_libc.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)

    def popen(self, line: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[bytes]:
        """A process on this host that ends with us. Called in `uninterrupted`, up to where the caller keeps it."""
        with self.entered():
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
                **options,
            )

    def run(self, *line: str) -> str:
        """The output of a command; OSError with what it said if it fails."""
        with self.entered():
            done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise OSError(f"{self.name}: {' '.join(line)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def write_setting(self, path: str, value: str) -> None:
        """A setting below /proc/sys/net, which every namespace has for itself."""
        with self.entered(), open(path, "w") as file:
            file.write(value)

    # --- addresses that move

    def take(self, ip: str) -> None:
        """Have this address from now on, and tell the neighbours."""
        self.run("ip", "address", "replace", f"{ip}/32", "dev", "eth0")
        self.announce(ip)

    def leave(self, ip: str) -> None:
        self.run("ip", "address", "del", f"{ip}/32", "dev", "eth0")

    def holds(self, ip: str) -> bool:
        return self.fd is not None and f" {ip}/" in self.run("ip", "-oneline", "address", "show", "dev", "eth0")

    def announce(self, ip: str) -> None:
        """Gratuitous ARP, as a request and as an answer (RFC 5227 §3 has the first, old stacks heed the second)."""
        with self.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth0", ETHERTYPE_ARP))
            mac = wire.getsockname()[4]
            for operation in (1, 2):
                wire.send(gratuitous_arp(mac, ip, operation))

    # --- faults

    def cut(self, other: Host) -> None:
        """Nothing goes between the two hosts any more, and neither is told."""
        for here, there in ((self, other), (other, self)):
            here.run("ip", "route", "replace", "blackhole", f"{there.ip}/32")

    def mend(self, other: Host) -> None:
        for here, there in ((self, other), (other, self)):
            here.run("ip", "route", "del", "blackhole", f"{there.ip}/32")


def gratuitous_arp(mac: bytes, ip: str, operation: int) -> bytes:
    """The frame (RFC 826): sender and target are the address that has moved."""
    ethernet = b"\xff" * 6 + mac + struct.pack("!H", ETHERTYPE_ARP)
    address = socket.inet_aton(ip)
    return ethernet + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + address + b"\xff" * 6 + address


class Network:
    """Hosts on one Ethernet, 10.77.0.0/24. Made in a `with`; NoNetwork where that cannot be."""

    moves = True
    """An address can move from host to host."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Network:
        try:
            self._switch = Host("switch", "", self._namespace())
            self._switch.run("ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
            self._switch.run("ip", "link", "set", "bridge", "up")
        except (OSError, ValueError) as error:
            self._stack.close()
            raise NoNetwork(f"no network namespaces: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def host(self, name: str, number: int) -> Host:
        """A new host with the address 10.77.0.NUMBER, wired up."""
        made = Host(name, f"10.77.0.{number}", self._namespace())
        port = f"port{number}"
        switch = f"/proc/{os.getpid()}/fd/{self._switch.fd}"
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", port)
        made.run("ip", "link", "set", port, "netns", switch)
        self._switch.run("ip", "link", "set", port, "master", "bridge", "up")
        made.run("ip", "address", "add", f"{made.ip}/24", "dev", "eth0")
        made.run("ip", "link", "set", "eth0", "up")
        made.write_setting("/proc/sys/net/ipv4/ip_nonlocal_bind", "1")  # a standby binds what it is going to have
        self.hosts[name] = made
        return made

    def _namespace(self) -> int:
        home = _own_namespace()
        try:
            _checked(_libc.unshare(CLONE_NEWNET))
            made = _own_namespace()
            _checked(_libc.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)
        self._stack.callback(os.close, made)
        return made


class Loopback:
    """The same hosts as addresses of the machine itself."""

    moves = False

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def host(self, name: str, number: int) -> Host:
        self.hosts[name] = Host(name, f"127.77.0.{number}")
        return self.hosts[name]
