"""Settings for tests: valid, small, on loopback, without a file."""

import os
from pathlib import Path
from typing import Any

from siphon.config.settings import Settings

_BASE: dict[str, Any] = {
    "listen": {"udp": ["127.0.0.1:5060"]},
    "domain": {"local": ["example.com", "localhost", "127.0.0.1"]},
    "workers": {"count": 2},
    "shared": {
        "path": f"/dev/shm/siphond-test-{os.getpid()}",
        "max_bindings": 256,
        "max_transactions": 1024,
        "max_dialogs": 256,
        "max_nonces": 256,
        "max_media_calls": 256,
        "max_timers": 256,
        "max_metrics": 256,
        "max_cache_entries": 256,
        "max_cdrs": 256,
    },
    "script": {"path": "script.py"},
    "auth": {"realm": "example.com", "users": {"alice": "secret", "bob": "secret"}},
    "server": {"instance_id": "test", "state_dir": f"/dev/shm/siphond-test-{os.getpid()}/state"},
}


def settings_for_tests(**overrides: Any) -> Settings:
    """Nested tables are merged: `settings_for_tests(transaction={"t1": 0.1}, auth={"users": {"carol": "pw"}})`."""
    return Settings.model_validate(merged(_BASE, overrides), context={"base": Path.cwd()})


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with the values of `over`; tables are merged, all else is replaced."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
