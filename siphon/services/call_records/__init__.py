"""Call detail records: what is written of calls and registrations (API 15.4)."""

from siphon.services.call_records.fields import FIELDS, fields_of, line
from siphon.services.call_records.records import CallRecords, Ready

__all__ = ["FIELDS", "CallRecords", "Ready", "fields_of", "line"]
