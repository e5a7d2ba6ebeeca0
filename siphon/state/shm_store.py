"""The Store over the shared-memory table (shm/table.py).

Datagrams are put into the worker's outbox and leave by one sendmmsg that the table calls under the record's mutex; when
the commit fails the outbox is emptied, so nothing is sent that no committed record explains.
"""

from __future__ import annotations

from shm.table import BUSY as TABLE_BUSY
from shm.table import CONFLICT as TABLE_CONFLICT
from shm.table import Action, Table
from siphon.state.store import CONFLICT, FULL, Busy, Commit, Loaded, Send, Wait
from workers.net import Outbox


class ShmStore:
    """One process's view of the shared table."""

    at_once = True

    def __init__(self, table: Table, outbox: Outbox) -> None:
        self._table = table
        self._outbox = outbox
        self._action = Action(outbox.function_address, outbox.argument_address)
        self.failed: list[Send] = []
        """Datagrams of committed steps that the kernel would not send; whoever reads them empties the list."""

    def load(self, key: bytes) -> Loaded | None | Wait:
        """See Store.load."""
        found = self._table.get(key)
        if found is None:
            return None
        if found is TABLE_BUSY or isinstance(found, int):
            return Busy()
        return Loaded(*found)

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit."""
        outbox = self._outbox
        for send in commit.sends:
            outbox.put(send.data, send.to, send.listener, send.source or None)
        action = self._action if commit.sends else None
        if commit.value is None:
            result = self._table.delete(commit.key, commit.expected, action=action)
        else:
            result = self._table.commit(
                commit.key,
                commit.expected,
                commit.value,
                owner=commit.owner,
                next_deadline=commit.next_deadline,
                expiry=commit.expiry,
                action=action,
                use_reserve=not commit.new_work,
            )
        if result > 0:
            if commit.sends and outbox.failures:
                self.failed.extend(commit.sends[index] for index, _errno in outbox.failures)
            return int(result)
        outbox.clear()
        if result == TABLE_BUSY:
            return Busy()
        return CONFLICT if result == TABLE_CONFLICT else FULL

    def head(self, key: bytes) -> tuple[int, int] | None | Wait:
        """See Store.head."""
        head = self._table.head(key)
        if isinstance(head, int):
            return Busy()
        return None if head is None else (head.version, head.owner)

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """See Store.owned."""
        return [entry for entry in self._table.owned(owner) if entry[2] > 0.0]
