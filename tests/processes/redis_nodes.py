"""Nodes on one Redis: siphonds of a test with `shared.location`, each with its own port, tables and state."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from proxy_process import Siphond

# Registers whoever asks, so that a test is one message and not two.
OPEN = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.relay() if request.loose_route() else request.reply(404, "Not Here")
    elif request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "OPTIONS" and not request.ruri.user:
        request.reply(200, "OK")
    else:
        contacts = registrar.lookup(request.ruri)
        if not contacts:
            request.reply(404, "Not Found")
            return
        request.record_route()
        request.fork(contacts)
"""
PATIENT_MS = 3000
"""Limit of one call: more than a Redis on the same machine takes, however busy it is. The default, 250, is not."""
SAID_OF_REDIS = r"redis\.down|redis\.another_layout"


def on_redis(make: Callable[..., Siphond], url: str, *, timeout_ms: int = PATIENT_MS, **options: object) -> Siphond:
    """A node that is not started."""
    options.setdefault("workers", 2)
    options.setdefault("script", OPEN)
    node = make(**options)
    set_location(node, url, timeout_ms)
    node.tolerated = SAID_OF_REDIS
    return node


def set_location(node: Siphond, url: str, timeout_ms: int = PATIENT_MS) -> None:
    """Where its bindings are, for its next start."""
    text = re.sub(r"(?m)^(location|timeout_ms) = .*\n", "", node.configuration.read_text())
    lines = f'[shared]\nlocation = "{url}"\ntimeout_ms = {timeout_ms}\n'
    Path(node.configuration).write_text(text.replace("[shared]\n", lines))
