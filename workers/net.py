"""Datagrams in and out: the names of the compiled `_net_cy`, where they are described."""

from workers._net_cy import Outbox, Reader, Received, Unreachable, boottime, read_errors, receive_batch

__all__ = ["Outbox", "Reader", "Received", "Unreachable", "boottime", "read_errors", "receive_batch"]
