"""Bans from and to elsewhere, without the elsewhere: answers of apiban, text for nft, nodes that tell each other."""

import asyncio
import json

import pytest

from siphon.config.later import Firewall
from siphon.services.bans import Ban, Bans, nft
from siphon.services.bans.apiban import batch
from siphon.services.bans.exchange import READ, Exchange
from siphon.services.store import StoreError
from siphon.state.memory import MemoryTable
from siphon.state.redis.script import Lost, Value

WALL = 1_800_000_000.0


# -- apiban


def test_a_page_of_apiban_and_its_end():
    page = batch(200, json.dumps({"ipaddress": ["192.0.2.1", "2001:db8::5", "nonsense", 7], "ID": "1600"}).encode())
    assert page == (["192.0.2.1", "2001:db8::/64"], "1600")
    assert batch(400, b'{"ipaddress":["no new bans"],"ID":"none"}') == ([], "")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"ipaddress": "192.0.2.1", "ID": "1"}'),
        (200, b'{"ipaddress": ["192.0.2.1"], "ID": "../../secret"}'),
        (200, b'{"ipaddress": ["192.0.2.1"]}'),
        (400, b'{"ipaddress": ["invalid key"], "ID": "unauthorized"}'),
        (429, b'{"ipaddress": ["rate limit exceeded"], "ID": "1"}'),
        (500, b""),
    ],
)
def test_what_is_no_answer_of_apiban_bans_nobody(status, body):
    with pytest.raises(ValueError, match="status|ID|addresses"):
        batch(status, body)


# -- nft


def test_elements_are_for_the_set_of_their_family_and_end_by_themselves():
    firewall = Firewall(table="siphon", chain="banned", set_v4="v4", set_v6="v6")
    text = nft.changes(firewall, ["192.0.2.1"], {"192.0.2.2": 59.7, "2001:db8::/64": 0.1})
    assert text.splitlines() == [
        "delete element inet siphon v4 { 192.0.2.1 }",
        "add element inet siphon v4 { 192.0.2.2 timeout 60s }",
        "add element inet siphon v6 { 2001:db8::/64 timeout 1s }",
    ]


def test_without_manage_rule_no_table_chain_or_rule_is_touched():
    firewall = Firewall(table="filter", chain="input", set_v4="v4", set_v6="v6", manage_rule=False)
    text = nft.setup(firewall, [5060]) + nft.teardown(firewall)
    assert set(text.splitlines()) == {"flush set inet filter v4", "flush set inet filter v6"}


@pytest.mark.parametrize("name", ["x; flush ruleset", "", "1st", "a b", "a" * 40])
def test_names_cannot_be_more_than_names(name):
    with pytest.raises(ValueError, match="table"):
        Firewall(table=name, chain="c", set_v4="a", set_v6="b")


# -- nodes


class Stream:
    """The stream in Redis; `away`: it answers nothing."""

    def __init__(self):
        self.entries = []
        self.away = False

    async def ask(self, script, keys, args):
        assert list(keys) == [b"key"]
        args = list(args)
        if self.away:
            return Lost("away")
        if script is READ:
            after = 0 if args[0] == b"-" else int(args[0][1:])
            found = [(number, data) for number, data in enumerate(self.entries, 1) if number > after]
            flat = [item for number, data in found[: int(args[1])] for item in (b"%d" % number, data)]
            return Value(flat, WALL)
        self.entries += args[1:]
        return Value(len(args) - 1, WALL)


class Node:
    def __init__(self, stream, name):
        self.now = WALL
        self.bans = Bans(MemoryTable(clock=lambda: self.now), b"k" * 32, lambda: self.now)
        self.stream, self.name = stream, name
        self.restart()

    def restart(self):
        self.exchange = Exchange(self.bans, self.name, b"key", self.stream.ask, lambda: self.now)

    def turn(self):
        asyncio.run(self.exchange.turn())

    def ban(self, source, user="", secs=100.0):
        self.bans.add(Ban(source, user, "a test", self.now, self.now + secs))

    def banned(self):
        return {(ban.source, ban.user, ban.node) for ban in self.bans.list()}


@pytest.fixture
def nodes():
    stream = Stream()
    return Node(stream, "a"), Node(stream, "b"), stream


def test_a_ban_reaches_the_other_node_once_and_is_not_sent_back(nodes):
    a, b, stream = nodes
    a.ban("192.0.2.1")
    a.ban("192.0.2.2", "bob")
    for _ in range(3):
        a.turn()
        b.turn()
    assert b.banned() == {("192.0.2.1", "", "a"), ("192.0.2.2", "bob", "a")}
    assert len(stream.entries) == 2


def test_a_ban_that_is_taken_back_at_either_node_is_over_at_both(nodes):
    a, b, _ = nodes
    a.ban("192.0.2.1")
    a.ban("192.0.2.2")
    a.turn()
    b.turn()
    assert b.bans.remove("192.0.2.1") and a.bans.remove("192.0.2.2")
    a.turn()
    b.turn()
    a.turn()
    assert a.banned() == b.banned() == set()


def test_a_ban_that_ends_by_itself_is_no_news(nodes):
    a, b, stream = nodes
    a.ban("192.0.2.1", secs=10)
    a.turn()
    b.turn()
    a.now = b.now = WALL + 11
    a.turn()
    b.turn()
    assert len(stream.entries) == 1 and b.banned() == set()


def test_a_ban_that_was_made_longer_is_told_again(nodes):
    a, b, _ = nodes
    a.ban("192.0.2.1", secs=10)
    a.turn()
    b.turn()
    a.ban("192.0.2.1", secs=500)
    a.turn()
    b.turn()
    b.now += 100
    assert b.banned() == {("192.0.2.1", "", "a")}


def test_a_helper_that_begins_anew_reads_everything_again_and_changes_nothing(nodes):
    a, b, stream = nodes
    a.ban("192.0.2.1")
    a.ban("192.0.2.2")
    a.turn()
    b.turn()
    b.bans.remove("192.0.2.1")
    b.turn()
    a.turn()
    a.restart()
    b.restart()
    for node in (a, b):
        node.turn()
    assert {(source, user) for source, user, _ in a.banned()} == {("192.0.2.2", "")}
    assert {(source, user) for source, user, _ in b.banned()} == {("192.0.2.2", "")}


def test_while_the_store_is_away_each_node_goes_on_and_tells_later(nodes):
    a, b, stream = nodes
    stream.away = True
    a.ban("192.0.2.1")
    for _ in range(2):
        with pytest.raises(StoreError, match="away"):
            a.turn()
    stream.away = False
    a.turn()
    b.turn()
    assert b.banned() == {("192.0.2.1", "", "a")}


def test_more_bans_than_go_at_once_arrive_too(nodes):
    a, b, _ = nodes
    for number in range(700):
        a.ban(f"10.0.{number >> 8}.{number & 255}")
    a.turn()
    b.turn()
    assert len(b.banned()) == 700


def test_entries_of_others_that_make_no_sense_are_passed_over(nodes):
    a, b, stream = nodes
    stream.entries += [b"", b"\xc1", b"\x98" + b"\x01" * 8, b"x" * 100]
    a.ban("192.0.2.1")
    a.turn()
    b.turn()
    assert b.banned() == {("192.0.2.1", "", "a")}
