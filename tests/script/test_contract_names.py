"""Every name that is there and not offered says so by its full name (section 2 of the script interface)."""

import inspect

import pytest
from script_kit import Bench, response, sip

import siphon
from siphon import proxy, registrar, timer
from siphon.script.reply import Reply
from siphon.sip.message import parse

REQUEST = (
    "rewrite_identities",
    "set_charging_param",
    "charging_params",
    "parse_security_client",
    "is_ipsec_protected",
    "matched_sa",
    "add_pcscf_path",
)
NAMESPACES = {
    "proxy": ("subscribe_state",),
    "registrar": ("reginfo_xml", "save_as_contact"),
    "auth": ("require_ims_digest", "require_aka_digest", "aka_credentials"),
}


@pytest.mark.parametrize(
    ("namespace", "member"), [(n, member) for n, members in NAMESPACES.items() for member in members]
)
@pytest.mark.parametrize("arguments", [(), ("x", 1)])
def test_what_a_namespace_does_not_offer_is_named(namespace, member, arguments):
    with pytest.raises(NotImplementedError, match=rf"\b{namespace}\.{member}\b"):
        getattr(getattr(siphon, namespace), member)(*arguments)


@pytest.mark.parametrize("member", REQUEST)
@pytest.mark.parametrize("arguments", [(), ("x", 1)])
def test_what_a_request_does_not_offer_is_named(tmp_path, member, arguments):
    request = Bench(tmp_path, "").request(sip())
    with pytest.raises(NotImplementedError, match=rf"\brequest\.{member}\b"):
        getattr(request, member)(*arguments)


def test_what_a_reply_does_not_offer_is_named(tmp_path):
    request = Bench(tmp_path, "").request(sip())
    with pytest.raises(NotImplementedError, match=r"\breply\.take_av\b"):
        Reply(parse(response(401, "Unauthorized")), None, request).take_av()


UNCONFIGURED = {
    "gateway": "select list status groups add_group remove_group mark_up mark_down",
    "rtpengine": "offer answer delete ping play_media stop_media play_dtmf silence_media unsilence_media block_media "
    "unblock_media subscribe_request subscribe_answer unsubscribe",
}


@pytest.mark.parametrize(
    ("namespace", "member"), [(n, member) for n, text in UNCONFIGURED.items() for member in text.split()]
)
def test_without_its_section_a_namespace_says_that_it_is_not_configured(tmp_path, namespace, member):
    parameters = inspect.signature(getattr(getattr(siphon, namespace), member)).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    arguments = ", ".join(["'x'"] * len(needed))
    source = f"""
        from siphon import {namespace}, proxy
        @proxy.on_request
        async def route(request):
            found = {namespace}.{member}({arguments})
            await found
    """
    outcome = Bench(tmp_path, source).route(sip())
    assert isinstance(outcome.error, NotImplementedError)
    assert f"{namespace} is not configured" in str(outcome.error)


def test_event_decorators_of_rtpengine_work_without_a_back_end():
    from siphon import rtpengine

    def handler(*facts): ...

    for name in ["on_dtmf", "on_media_timeout", "on_text", "on_beep", "on_ws_tee_started", "on_ws_tee_ended"]:
        assert getattr(rtpengine, name)(handler) is handler
        assert getattr(rtpengine, name)(call_id="c", from_tag="f")(handler) is handler


def test_decorators_register_under_the_name_of_their_kind(tmp_path):
    def handler(*facts): ...

    async def waiting(*facts): ...

    registry = siphon._siphon_registry
    before = registry.entries()
    registry.clear()
    try:
        for decorate in (
            proxy.on_request("INVITE"),
            proxy.on_reply,
            proxy.on_failure,
            proxy.on_cancel,
            registrar.on_change,
        ):
            decorate(handler)
        timer.every(5)(waiting)
        entries = registry.entries()
    finally:
        registry.restore(before)
    kinds = [
        "proxy.on_request",
        "proxy.on_reply",
        "proxy.on_failure",
        "proxy.on_cancel",
        "registrar.on_change",
        "timer.every",
    ]
    assert [entry.kind for entry in entries] == kinds
    assert [entry.is_async for entry in entries] == [False] * 5 + [True]
    assert entries[0].methods == {"INVITE"}
