"""Which on_reply a response is shown beside the global ones: that of the relay() or fork() which has started its branch
(API 7.6). A later attempt has callbacks of its own, and a branch that was given up may still answer.

A record keeps them as one text. Its first line is the callback of the running attempt; each further one says `N NAME`:
the branches whose index is below N had that. The newest stands first, and a line is there where the callback changed.
"""

from __future__ import annotations


def with_next_attempt(kept: str, name: str, first: int) -> str:
    """What to keep once an attempt begins: its callback, and the index of its first branch."""
    before, _, earlier = kept.partition("\n")
    if name == before:
        return kept
    return "\n".join([name, f"{first} {before}", *([earlier] if earlier else [])])


def callback_of(kept: str, index: int) -> str:
    """The callback for a branch, "" where there is none."""
    name, *earlier = kept.split("\n")
    for line in earlier:
        below, _, before = line.partition(" ")
        if index >= int(below):
            break
        name = before
    return name
