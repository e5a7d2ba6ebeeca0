"""Stored state with damaged bytes (SEC-17): what the codecs make of it when even the checksum has been forged."""

from __future__ import annotations

from fuzz.target import Check, Target, holds
from siphon.engine.variables import merge_vars
from siphon.script import variables
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.store import BadRecord as BadServiceRecord
from siphon.state.codec import BadRecord, decode, encode
from siphon.state.record import Record
from siphon.testing.world import World

KEY = b"k" * 16


def check(data: bytes) -> None:
    """The first byte chooses the kind of record."""
    (check_transaction, check_address, check_variables)[(data[0] if data else 0) % 3](data[1:])


def check_transaction(data: bytes) -> None:
    try:
        record = decode(KEY, data)
    except BadRecord:
        return
    again = encode(record)
    holds(encode(decode(KEY, again)) == again, "a record that was read is written and read again")


def check_address(data: bytes) -> None:
    try:
        record = AddressRecord.from_bytes(data)
    except BadServiceRecord:
        return
    again = record.to_bytes()
    holds(AddressRecord.from_bytes(again) == record, "a record that was read is written and read again")
    holds(len(record.live(1e9)) <= len(record.bindings), "the living are among all")


def check_variables(data: bytes) -> None:
    record = Record(KEY, 1)
    record.vars = data
    try:
        merge_vars(record, {"new": 1}, ["old"])
    except (ValueError, TypeError):
        return
    holds(variables.unpack(record.vars)["new"] == 1, "what was written is there")


SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.vars["one"] = {"two": [3, None, b"four"]}
    request.set_header("Subject", "changed")
    request.record_route()
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.3:5090"])
"""


def seeds() -> list[bytes]:
    """Records of a ringing call, of one that has failed and of an address."""
    world = World(SCRIPT)
    try:
        caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
        found = []
        caller.send(caller.request("INVITE", "sip:bob@example.com"))
        found += [b"\0" + encode(record) for record in world.records()]
        phone.answer(phone.last, 180)
        found += [b"\0" + encode(record) for record in world.records()]
        phone.answer(phone.last, 603)
        found += [b"\0" + encode(record) for record in world.records()]
        found += [b"\2" + record.vars for record in world.records()]
    finally:
        world.close()
    binding = Binding(
        *("sip:bob@127.0.0.2:5090", 1.0, (("methods", '"INVITE"'), ("x", None)), None, "1", "call", 7, 2e9, 1e9),
        *(("<sip:192.0.2.7;lr>",), "udp", ("192.0.2.1", 5060), ("127.0.0.1", 5060), True, None, KEY, "epoch"),
    )
    record = AddressRecord("sip:bob@example.com", (binding,), ("sip:b@example.com",), ("sip:b@example.com",), ())
    return [*found, b"\1" + record.to_bytes(), b"\2" + variables.pack({"a": {"b": [1, 2.5, "c", b"d", None]}})]


def make() -> Check:
    return check


TARGET = Target(
    "record",
    "Damaged bytes of a stored record are refused as such, or are a record that is written and read again unchanged.",
    make,
    seeds,
    4000,
    python=True,
)
