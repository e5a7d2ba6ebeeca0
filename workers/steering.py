"""Which socket of a SO_REUSEPORT group gets a datagram: nothing to do for the kernel's own choice, else a classic BPF
program on the group.

    flow    one peer's datagrams go to one socket: the kernel's hash of addresses and ports
    spread  each datagram goes to any socket: a random number

A group may have more sockets than workers, when an earlier run had more of them. Datagrams in the others are read to
their end, but no new ones shall come there. So such a group has a program for `flow` as well: source address and port,
added up, modulo the count. Sockets have the numbers in which they were bound.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

SO_ATTACH_REUSEPORT_CBPF = 51
SO_DETACH_REUSEPORT_BPF = 68

STEERINGS = ("flow", "spread")

LOAD_WORD, LOAD_HALF = 0x20, 0x28  # BPF_LD | BPF_W or BPF_H | BPF_ABS
STORE_IN_X = 0x07  # BPF_MISC | BPF_TAX
ADD_X = 0x0C  # BPF_ALU | BPF_ADD | BPF_X
MODULO = 0x94  # BPF_ALU | BPF_MOD | BPF_K
GIVE_BACK = 0x16  # BPF_RET | BPF_A
RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
NETWORK = 0xFFF00000  # SKF_NET_OFF: from the first byte of the IP header on
SOURCE = {socket.AF_INET: (12, 20), socket.AF_INET6: (20, 40)}
"""Where the last four bytes of the source address and the source port lie; IP options make it a hash of other bytes."""


def steer(group: Sequence[socket.socket], count: int, steering: str) -> None:
    """`count` sockets of the group, the first ones, get what comes from now on."""
    if len(group) == 1:
        return  # one socket is no group: the kernel takes no program for it, and there is nothing to choose
    if steering == "spread":
        attach(group[0], [(LOAD_WORD, RANDOM)], count)
    elif len(group) > count:
        address, port = SOURCE[group[0].family]
        source = [(LOAD_WORD, NETWORK + address), (STORE_IN_X, 0), (LOAD_HALF, NETWORK + port), (ADD_X, 0)]
        attach(group[0], source, count)
    else:
        detach(group[0])


def attach(sock: socket.socket, number: Sequence[tuple[int, int]], count: int) -> None:
    """The socket with the index `number` % count gets the datagram."""
    lines = [*number, (MODULO, count), (GIVE_BACK, 0)]
    code = b"".join(struct.pack("=HBBI", operation, 0, 0, operand) for operation, operand in lines)
    program = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", len(lines), ctypes.addressof(program))
    )


def detach(sock: socket.socket) -> None:
    """Nothing happens where there is no program, or no group."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOPROTOOPT, errno.EINVAL):
            raise
