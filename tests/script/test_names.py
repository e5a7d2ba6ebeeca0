"""What `from siphon import ...` gives (section 2 of the script interface)."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from script_kit import Bench, sip

import siphon
from siphon import cache, cdr, gateway, presence, proxy, registrar, rtpengine
from siphon.script.stubs import STUBS

PACKAGE = Path(siphon.__file__).parent


@pytest.mark.parametrize("name", [*siphon.__all__, "_siphon_registry"])
def test_every_name_can_be_imported(name):
    assert getattr(importlib.import_module("siphon"), name) is getattr(siphon, name)


@pytest.mark.parametrize("name", ["http", "smpp", "audit", "nonsense"])
def test_other_names_are_import_errors(name):
    with pytest.raises(ImportError):
        exec(f"from siphon import {name}")


def test_no_sub_module_bears_the_name_of_a_namespace():
    assert not {path.stem for path in PACKAGE.iterdir()} & set(siphon.__all__)


def test_the_stub_file_for_editors_has_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    named = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    named |= {a.asname for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names if a.asname}
    assert named == {*siphon.__all__, "_siphon_registry"}


def test_importing_a_part_loads_no_script_machinery():
    code = "import sys, siphon.sip.message; assert 'siphon.script.namespaces' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_can_be_read_decorates_without_effect_and_names_itself_when_called(name):
    namespace = getattr(siphon, name)

    def handler():
        raise AssertionError("called")

    assert namespace.on_anything(handler) is handler
    assert namespace.on_anything("filter", key=1)(handler) is handler
    reading = namespace.something.deeper
    with pytest.raises(NotImplementedError, match=f"{name}.something.deeper"):
        reading("x")


def test_a_stub_warns_once_and_diverts_nothing(tmp_path):
    source = """
        from siphon import b2bua, proxy
        @b2bua.on_invite
        def a(call): raise AssertionError
        @b2bua.on_bye("x")
        def b(call): raise AssertionError
        @proxy.on_request
        def route(request): request.reply(404, "Nobody")
    """
    bench = Bench(tmp_path, source)
    assert bench.runtime.warnings == ["b2bua is not offered by siphond: its handlers are never called"]
    assert bench.log.text == ""
    assert bench.route(sip("INVITE")).action.status == 404


@pytest.mark.parametrize(
    ("namespace", "method"),
    [
        (proxy, "subscribe_state"),
        (registrar, "reginfo_xml"),
        (registrar, "save_as_contact"),
        (siphon.auth, "aka_credentials"),
    ],
)
def test_members_of_the_original_that_are_not_offered_say_so(namespace, method):
    with pytest.raises(NotImplementedError):
        getattr(namespace, method)()


@pytest.mark.parametrize("method", ["rewrite_identities", "matched_sa", "add_pcscf_path", "charging_params"])
def test_request_members_that_are_not_offered_say_so(tmp_path, method):
    request = Bench(tmp_path, "").request(sip())
    with pytest.raises(NotImplementedError):
        getattr(request, method)()


def test_gateway_and_rtpengine_without_configuration_say_so_and_their_events_register(tmp_path):
    Bench(tmp_path, "")
    with pytest.raises(NotImplementedError, match="gateway is not configured"):
        gateway.select("trunks")
    with pytest.raises(NotImplementedError, match="rtpengine is not configured"):
        rtpengine.offer(None).send(None)

    @rtpengine.on_dtmf(call_id="c")
    def digits(*facts): ...

    assert siphon._siphon_registry.entries()[-1].metadata == {"call_id": "c", "from_tag": None}


def test_cdr_when_off_writes_nothing(tmp_path):
    request = Bench(tmp_path, "").request(sip())
    assert (cdr.enabled, cdr.write(request)) == (False, False)
    with pytest.raises(TypeError):
        cdr.write("INVITE")


def test_unknown_caches_give_nothing(tmp_path):
    Bench(tmp_path, "")
    fetch = cache.fetch("nope", "key")
    with pytest.raises(StopIteration) as end:
        fetch.send(None)
    assert end.value.value is None
    assert cache.has_cache("nope") is False


def test_the_registry_takes_kind_filter_function_and_metadata():
    registry = siphon._siphon_registry
    before = registry.entries()
    registry.register("timer.every", None, print, False, {"seconds": 1})
    assert registry.entries()[-1].kind == "timer.every"
    registry.clear()
    assert registry.entries() == []
    registry.restore(before)


def test_reading_an_attribute_of_a_stub_never_raises():
    assert "not offered" in repr(presence.anything)
