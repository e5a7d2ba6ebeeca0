"""Who may read and write over HTTP."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from siphon.cli.admin.access import Access, is_loopback, origins_of
from siphon.cli.admin.app import Refused, answered
from siphon.services.store import StoreError

LOCAL = {"host": "127.0.0.1:8080"}
KEY = {"authorization": "Bearer s3cret", "host": "proxy.example.com"}


@pytest.mark.parametrize(
    ("access", "headers", "writes", "status"),
    [
        (Access(None, False, True), LOCAL, True, None),
        (Access(None, False, True), {"host": "localhost:8080"}, True, None),
        (Access(None, False, True), {"host": "[::1]:8080"}, True, None),
        (Access(None, False, True), {"host": "evil.example"}, True, 403),
        (Access(None, False, True), {}, True, 403),
        (Access(None, False, True), {**LOCAL, "origin": "http://evil.example"}, True, 403),
        (Access(None, False, True, ["http://ui.example"]), {**LOCAL, "origin": "http://ui.example"}, True, None),
        (Access(None, False, False), LOCAL, True, 403),
        (Access(None, False, False), {"host": "proxy.example.com"}, False, None),
        (Access("s3cret", False, False), KEY, True, None),
        (Access("s3cret", False, False), {"authorization": "bearer  s3cret"}, True, None),
        (Access("s3cret", False, True), LOCAL, True, 401),
        (Access("s3cret", False, True), {"authorization": "Bearer s3cre"}, True, 401),
        (Access("s3cret", False, True), {"authorization": "Basic s3cret"}, True, 401),
        (Access("s3cret", False, True), {"authorization": "Bearer zähler"}, True, 401),
        (Access("s3cret", False, True), {}, False, None),
        (Access("s3cret", True, True), {}, False, 401),
        (Access("s3cret", True, True), KEY, False, None),
        (Access("s3cret", True, True), {"authorization": "Basic YW55OnMzY3JldA=="}, False, None),
        (Access("s3cret", True, True), {"authorization": "Basic YW55OnMzY3Jl"}, False, 401),
        (Access("s3cret", True, True), {"authorization": "Basic s3cret"}, False, 401),
        (Access("s3cret", True, True), {"authorization": "Basic !"}, False, 401),
        (Access("s3cret", True, True), {"authorization": "Basic YW55OnMzY3JldA=="}, True, 401),
    ],
)
def test_who_may(access, headers, writes, status):
    refusal = access.refusal(headers, writes)
    assert (None if refusal is None else refusal[0]) == status


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:80", "::1", "LOCALHOST:1"])
def test_hosts_of_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.com", "127.0.0.1.example.com", "192.0.2.1:80", "localhost.evil", "[::2]"]
)
def test_hosts_of_others(host):
    assert not is_loopback(host)


def test_origins_are_one_several_or_all():
    assert origins_of(None) == []
    assert origins_of("*") == ["*"]
    assert origins_of(["http://a", "http://b"]) == ["http://a", "http://b"]


class Told:
    """A log that keeps the names of its lines."""

    def __init__(self):
        self.events = []

    def error(self, event, **facts):
        self.events.append(event)

    def exception(self, event, error, **facts):
        self.events.append(event)


@pytest.mark.parametrize(
    ("error", "status", "text", "events"),
    [
        (Refused(404, "not there"), 404, "not there", []),
        (ValueError("a whole number"), 400, "a whole number", []),
        (StoreError("the table did not answer"), 503, "the table did not answer", ["admin.store"]),
        (KeyError("secret"), 500, "internal error; the log says more", ["admin.failed"]),
    ],
)
def test_what_goes_wrong_is_a_status_and_json(error, status, text, events):
    async def fails(request):
        raise error

    log = Told()
    request = SimpleNamespace(url=SimpleNamespace(path="/admin/x"))
    response = asyncio.run(answered(SimpleNamespace(log=log), fails)(request))
    assert (response.status_code, json.loads(response.body), log.events) == (status, {"error": text}, events)
