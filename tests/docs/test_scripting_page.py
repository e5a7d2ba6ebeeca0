"""docs/scripting.md names every member of the script API, and what it calls missing is missing."""

import inspect
import re
from pathlib import Path

import pytest

import siphon
from siphon import Contact, Destination, Flow, Reply, Request, SipUri
from siphon.testing.world import World

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "scripting.md").read_text()
MISSING = TEXT.partition("## Not there yet")[2].partition("## Known gaps")[0]
NAMESPACES = ("proxy", "registrar", "auth", "log", "gateway")
CLASSES = (Request, Reply, SipUri, Contact, Flow, Destination)
NOT_FOR_SCRIPTS = {"Contact.target", "Destination.target", "Flow.spec", "SipUri.of"}


def members(owner: type) -> list[str]:
    return [f"{owner.__name__}.{name}" for name in dir(owner) if not name.startswith("_")]


@pytest.mark.parametrize("name", siphon.__all__)
def test_every_name_that_scripts_import_is_on_the_page(name):
    assert re.search(rf"\b{name}\b", TEXT)


@pytest.mark.parametrize(
    "name", [n for owner in (*CLASSES, *(type(getattr(siphon, n)) for n in NAMESPACES)) for n in members(owner)]
)
def test_every_member_is_on_the_page(name):
    if name not in NOT_FOR_SCRIPTS:
        assert re.search(rf"\b{name.partition('.')[2]}\b", TEXT), name


def missing() -> list[str]:
    """Names of the first column whose second is empty: calling them raises NotImplementedError."""
    rows = re.findall(r"^\| (`.*?) \|  ?\|$", MISSING, re.M)
    return [name for row in rows for name in re.findall(r"`(\w+\.\w+)`", row)]


def test_the_page_lists_what_is_missing():
    assert len(missing()) > 10


@pytest.mark.parametrize("name", missing())
def test_what_is_called_missing_says_so(name):
    namespace, _, member = name.partition(".")
    owner = {"request": Request, "reply": Reply}.get(namespace) or getattr(siphon, namespace)
    function = getattr(owner, member)
    arguments = [None] * sum(
        parameter.default is parameter.empty
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )
    with pytest.raises(NotImplementedError):
        result = function(*arguments)
        if inspect.iscoroutine(result):
            result.send(None)


def test_what_is_missing_in_a_handler_is_a_script_error():
    world = World(
        "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    proxy.subscribe_state(request)\n"
    )
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert caller.last.reason == b"Script Error"
    world.close()
