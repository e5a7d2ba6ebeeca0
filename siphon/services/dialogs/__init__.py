"""Dialogs whose 2xx we forwarded: where each side was reached."""

from siphon.services.dialogs.dialogs import Dialogs, Known, Place, listed

__all__ = ["Dialogs", "Known", "Place", "listed"]
