"""The Store over the shared-memory table: see `_shm_store.pyx`."""

from siphon.state._shm_store import ShmStore

__all__ = ["ShmStore"]
