"""URIs and addresses as values: Uri, NameAddr, equality (RFC 3261 §19.1.4), address of record."""

from siphon.sip._message_cy import split_list
from siphon.sip._uri_cy import NameAddr, Uri, address_of_record, same_uri

__all__ = ["NameAddr", "Uri", "address_of_record", "same_uri", "split_list"]
