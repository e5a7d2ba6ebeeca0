"""Requests that came by two paths and are answered here: RFC 3261 §8.2.2.2.

Who serves a request without a To tag by registrar.save() or a 2xx leaves a mark: a keyed hash of its From tag, Call-ID,
CSeq and method, and the id of its transaction. Another transaction that finds the mark of the first is a merged
request. All workers see it. It lasts 64*T1, as the transaction does that it stands for: who has given up by then may
ask again.

A transaction that finds its own mark is the first, so a repeat and handlers that run again after a death change
nothing. Nothing here raises: where the table is full, busy or unreadable, no request counts as merged.
"""

from __future__ import annotations

from siphon.services._merged import MergedRequests

__all__ = ["MergedRequests"]
