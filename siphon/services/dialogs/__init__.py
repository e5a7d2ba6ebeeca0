"""Dialogs whose 2xx we forwarded: where each side was reached."""

from siphon.services.dialogs.dialogs import Dialogs, Place

__all__ = ["Dialogs", "Place"]
