"""The channel between the supervisor and one process: messages over a SOCK_SEQPACKET pair, a payload in a memory file.

A payload of any size goes as a descriptor beside the message, so the supervisor never waits for a worker that does not
read. The end of the channel means that the other side has gone.
"""

import os
import socket
from enum import Enum

LONGEST = 64


class Message(Enum):
    READY = b"ready"
    LOOK = b"look"
    RELOAD = b"reload"
    SWITCHED = b"switched"
    """A process's answer to RELOAD; a payload is the text of the error that kept it from switching."""
    STOP = b"stop"
    CREW = b"crew"
    """Other slots are to be looked after from now on; the payload is a Crew."""
    FINISH = b"finish"
    """Another siphond serves: read nothing more, end when nothing is in progress."""
    SERVE = b"serve"
    """FINISH is taken back."""


class Closed(Exception):
    """The other side has gone."""


class Channel:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> "tuple[Channel, Channel]":
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()

    def send(self, message: Message, payload: bytes | None = None) -> bool:
        """False when the other side has gone or has not read for long."""
        try:
            if payload is None:
                self.sock.send(message.value)
            else:
                self.send_with(message, payload)
        except OSError:
            return False
        return True

    def send_with(self, message: Message, payload: bytes) -> None:
        with open(os.memfd_create("siphond-payload"), "w+b", buffering=0) as file:
            file.write(payload)
            socket.send_fds(self.sock, [message.value], [file.fileno()])

    def receive(self) -> tuple[Message, bytes] | None:
        """The next message and its payload, None when there is none now; raises Closed."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.sock, LONGEST, 1)
        except BlockingIOError:
            return None
        except OSError:
            raise Closed from None
        payload = b"".join(read_whole(descriptor) for descriptor in descriptors)
        if not data:
            raise Closed
        return Message(data), payload


def read_whole(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()
