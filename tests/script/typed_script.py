"""A routing script with types: every member of the interface that a script of sections 5 to 12 and 15.2 uses, with the
type that it is to have. Checked by mypy --strict and loaded by tests/script/test_types.py; never run.
"""

from typing import Any, assert_type

from siphon import Contact, Destination, Flow, Reply, Request, SipUri, auth, log, proxy, registrar, sdp, timer

# -- handlers


@proxy.on_request
def every_method(request: Request) -> None:
    properties(request)


@proxy.on_request()
def with_parentheses(request: Request) -> None:
    headers(request)


@proxy.on_request("INVITE | BYE")
async def some_methods(request: Request) -> None:
    await the_proxy(request)
    routing(request)


@proxy.on_reply
def bare_reply(request: Request, reply: Reply) -> None:
    replies(request, reply)


@proxy.on_reply()
async def reply_with_parentheses(request: Request, reply: Reply) -> None:
    assert_type(reply.reject(486), bool)
    assert_type(reply.reject(486, "Busy Here"), bool)


@proxy.on_failure
async def bare_failure(request: Request, reply: Reply) -> None:
    request.relay("sip:voicemail.example.net")


@proxy.on_failure()
def failure_with_parentheses(request: Request, reply: Reply) -> None:
    reply.relay()


@proxy.on_cancel
def bare_cancel(request: Request) -> None:
    log.info("cancelled")


@proxy.on_cancel()
async def cancel_with_parentheses(request: Request) -> None:
    log.info("cancelled")


def register_reply(request: Request, reply: Reply) -> None:
    reply.relay()


def declare_register_reply() -> None:
    proxy.on_register_reply(register_reply)
    proxy.on_register_reply()(register_reply)


@registrar.on_change
def changed(aor: str, event_type: str, contacts: list[Contact]) -> None:
    log.info(f"{aor} {event_type} {len(contacts)}")


@registrar.on_change()
async def changed_too(aor: str, event_type: str, contacts: list[Contact]) -> None:
    log.info(aor)


@timer.every(60)
def every_minute() -> None:
    log.info("a minute")


@timer.every(0.5, name="often", jitter=0.1, per_worker=True)
async def often() -> None:
    log.info("often")


def rang(key: str) -> None:
    log.info(key)


async def rang_async(key: str) -> None:
    log.info(key)


# -- 5 proxy


async def the_proxy(request: Request) -> None:
    assert_type(proxy.sanity_check(request), bool)
    assert_type(proxy.rate_limit(request, 10, 100), bool)
    assert_type(proxy.memory_used_pct(), int)
    assert_type(await proxy.enum_lookup("+4930123"), str | None)
    assert_type(await proxy.enum_lookup("+4930123", suffix="e164.example.", service="E2U+sip"), str | None)
    answer: Reply | None = await proxy.send_request(
        "OPTIONS",
        "sip:bob@example.com",
        headers={"X-A": "1", "X-B": ["2", "3"]},
        body=b"",
        next_hop="sip:192.0.2.1",
        wait_for_response=True,
        timeout_ms=500,
    )
    await proxy.send_request("NOTIFY", "sip:bob@example.com", None, "text")
    if answer is not None:
        log.info(answer.reason)


# -- 6 Request


def properties(request: Request) -> None:
    assert_type(request.method, str)
    assert_type(request.ruri, SipUri)
    assert_type(request.from_uri, SipUri | None)
    assert_type(request.to_uri, SipUri | None)
    assert_type(request.from_tag, str | None)
    assert_type(request.to_tag, str | None)
    assert_type(request.call_id, str | None)
    assert_type(request.cseq, tuple[int, str] | None)
    assert_type(request.in_dialog, bool)
    assert_type(request.max_forwards, int)
    assert_type(request.body, bytes | None)
    assert_type(request.content_type, str | None)
    assert_type(request.transport, str)
    assert_type(request.source_ip, str)
    assert_type(request.source_port, int)
    assert_type(request.user_agent, str | None)
    assert_type(request.event, str | None)
    assert_type(request.auth_user, str | None)
    assert_type(request.contact_expires, int | None)
    assert_type(request.route_user, str | None)
    assert_type(request.consumed_routes, list[str])
    assert_type(request.consumed_route, SipUri | None)
    assert_type(request.consumed_route_user, str | None)
    assert_type(request.flow, Flow | None)
    assert_type(request.vars, dict[str, Any])
    request.ruri = "sip:bob@example.com"
    request.ruri = SipUri("sip:bob@example.com")
    request.ruri.user = "alice"
    request.auth_user = "alice"
    request.auth_user = None
    request.vars = {"a": [1, b"2", None, {"k": 1.5}]}
    request.vars["b"] = True


def headers(request: Request) -> None:
    assert_type(request.get_header("Subject"), str | None)
    assert_type(request.header("Subject"), str | None)
    assert_type(request.has_header("Subject"), bool)
    request.set_header("Subject", "x")
    request.ensure_header("Subject", "x")
    request.remove_header("Subject")
    request.remove_headers_matching("X-")
    request.remove_from_header_list("Supported", "timer")
    request.set_body("text", "text/plain")
    request.set_body(b"bytes")
    assert_type(request.has_body("application/sdp"), bool)
    request.set_ruri("sip:a@b")
    request.set_ruri(SipUri("sip:a@b"))
    request.set_ruri_user("a")
    request.set_ruri_user(None)
    request.set_ruri_host("b")
    request.set_from_uri("sip:a@b")
    request.set_to_uri(SipUri("sip:a@b"))
    request.set_from_display("A")
    request.set_to_display("B")
    request.set_contact_uri("sip:a@b")
    request.set_contact_user("a")
    request.add_contact_alias()
    request.fix_nated_contact()
    request.fix_nated_register()
    request.add_path("sip:a@b")
    request.prepend_route("sip:b")
    assert_type(request.generate_icid(), str)
    assert_type(request.source_ip_in(["10.0.0.0/8", "192.0.2.1"]), bool)
    assert_type(request.from_gateway("trunks"), bool)


def routing(request: Request) -> None:
    request.reply(183, "Session Progress", reliable=True)
    request.reply(404, "Not Found")
    request.set_reply_header("X-A", "1")
    request.add_reply_header("X-A", "2")
    request.set_reply_body("text", "text/plain")
    request.set_reply_to_tag("tag")
    request.relay()
    request.relay("sip:b", reply_came, all_failed, request.flow, "udp:192.0.2.1:5060", timeout=2.5)
    request.relay(SipUri("sip:b"), on_reply=reply_came_async, on_failure=all_failed_async)
    request.relay(Destination("sip:b", "192.0.2.9:5060"))
    request.relay(flow=Flow("udp", "192.0.2.1:5060", "192.0.2.2:5060"))
    mixed: list[str | SipUri | Contact | Destination] = ["sip:b", SipUri("sip:c"), *registrar.lookup("a@b")]
    request.fork(mixed, "sequential", "udp:192.0.2.1:5060", on_reply=reply_came, on_failure=all_failed, timeout=20)
    request.fork(registrar.lookup(request.ruri), strategy="q")
    request.fork(["sip:b"])
    request.record_route()
    assert_type(request.loose_route(), bool)
    request.force_send_via("udp", "192.0.2.1:5060")


def reply_came(request: Request, reply: Reply) -> None:
    reply.forward()


async def reply_came_async(request: Request, reply: Reply) -> None:
    reply.relay()


def all_failed(request: Request, code: int, reason: str) -> None:
    request.reply(480, reason)


async def all_failed_async(request: Request, code: int, reason: str) -> None:
    request.reply(code, reason)


# -- 8 Reply


def replies(request: Request, reply: Reply) -> None:
    assert_type(reply.status_code, int)
    assert_type(reply.reason, str)
    assert_type(reply.from_uri, SipUri | None)
    assert_type(reply.to_uri, SipUri | None)
    assert_type(reply.call_id, str | None)
    assert_type(reply.content_type, str | None)
    assert_type(reply.body, bytes | None)
    assert_type(reply.source_ip, str | None)
    assert_type(reply.source_port, int | None)
    assert_type(reply.vars, dict[str, Any])
    assert_type(reply.get_header("Server"), str | None)
    assert_type(reply.header("Server"), str | None)
    assert_type(reply.has_header("Server"), bool)
    reply.set_header("Server", "x")
    reply.remove_header("Server")
    reply.remove_headers_matching("X-")
    assert_type(reply.has_body("application/sdp"), bool)
    reply.set_body("v=0", "application/sdp")
    reply.relay()
    reply.forward()
    assert_type(reply.reject(486, None), bool)
    reply.fix_nated_contact()
    assert_type(reply.from_gateway("trunks"), bool)


# -- 10 value types


def values(uri: SipUri, contact: Contact, destination: Destination, flow: Flow) -> None:
    assert_type(uri.scheme, str)
    assert_type(uri.user, str | None)
    assert_type(uri.host, str)
    assert_type(uri.port, int | None)
    assert_type(uri.params["transport"], str)
    assert_type(uri.is_local, bool)
    assert_type(uri.is_tel, bool)
    assert_type(str(uri), str)
    uri.user = None
    uri.host = "example.com"
    uri.port = 5060
    uri.port = None
    uri.params["lr"] = ""
    SipUri(scheme="sips", user="a", host="b", port=5061)
    assert_type(uri == SipUri("sip:a@b"), bool)
    assert_type(contact.uri, str)
    assert_type(contact.q, float)
    assert_type(contact.expires, int)
    assert_type(contact.age_secs, int)
    assert_type(contact.received, str | None)
    assert_type(contact.path, list[str])
    assert_type(contact.instance_id, str | None)
    assert_type(contact.instance_epoch, str | None)
    assert_type(contact.is_local, bool)
    assert_type(contact.flow, Flow | None)
    assert_type(contact.flow_token, str | None)
    assert_type(contact.params, list[tuple[str, str | None]])
    assert_type(contact.kind, str)
    assert_type(destination.uri, str)
    assert_type(destination.address, str)
    assert_type(destination.healthy, bool)
    assert_type(destination.weight, int)
    assert_type(destination.priority, int)
    assert_type(destination.attrs["site"], Any)
    assert_type(flow.transport, str)
    assert_type(flow.remote_addr, str)
    assert_type(flow.local_addr, str)
    assert_type(flow.is_alive, bool)
    assert_type(hash(flow), int)
    log.debug(flow.connection_id)


# -- 11 registrar


async def bindings(request: Request, reply: Reply) -> None:
    assert_type(registrar.save(request), bool)
    assert_type(registrar.save(request, force=True, aliases=["sip:a@b", SipUri("sip:c@b")], flow_token="t"), bool)
    assert_type(registrar.lookup("a@b"), list[Contact])
    assert_type(registrar.lookup_contact(SipUri("sip:a@b")), list[Contact])
    assert_type(registrar.is_registered_contact("sip:a@b"), bool)
    assert_type(registrar.lookup_by_token(None), Contact | None)
    assert_type(registrar.is_registered("a@b"), bool)
    registrar.remove("a@b")
    registrar.expire(request.ruri)
    assert_type(await registrar.aor_count(), int)
    assert_type(registrar.save_proxy(request, reply, aliases=["sip:a@b"], flow_token=None), bool)
    assert_type(registrar.save_pending(request), bool)
    assert_type(registrar.confirm_pending("a@b"), bool)
    registrar.set_associated_uris("a@b", ["sip:c@b"])
    assert_type(registrar.associated_uris("a@b"), list[str])
    assert_type(registrar.asserted_identity("a@b"), str | None)
    registrar.set_service_routes("a@b", [])
    assert_type(registrar.service_route("a@b"), list[str])


# -- 12 auth


def credentials(request: Request) -> None:
    assert_type(auth.require_www_digest(request), bool)
    assert_type(auth.require_proxy_digest(request, "example.com"), bool)
    assert_type(auth.require_digest(request, realm="example.com", password="secret"), bool)
    assert_type(auth.verify_digest(request, ha1="0" * 32), bool)
    assert_type(auth.generate_nonce(), str)
    assert_type(auth.validate_nonce("x"), bool)


# -- 15 timer, log


def timers() -> None:
    handle = timer.set("key", 250, rang)
    assert_type(handle.key, str)
    assert_type(handle.cancel(), bool)
    timer.set("key", 0.5, rang_async)
    timer.set("key", 250, lambda key: log.info(key))
    assert_type(timer.cancel("key"), bool)
    assert_type(timer.active_count, int)
    log.debug("a")
    log.info("a")
    log.warn("a")
    log.warning("a")
    log.error("a")


# -- 15.6 sdp


def descriptions(request: Request, reply: Reply) -> None:
    description = sdp.parse(request)
    assert_type(description.origin, str | None)
    assert_type(description.session_name, str | None)
    assert_type(description.connection, str | None)
    description.filter_codecs(["PCMU"])
    description.remove_codecs(("G729", "telephone-event"))
    description.remove_media("video")
    description.attrs = [*description.attrs, "ice-lite"]
    for section in description.media:
        assert_type(section.media_type, str)
        assert_type(section.protocol, str)
        assert_type(section.codecs, list[str])
        assert_type(section.get_attr("ptime"), str | None)
        assert_type(section.get_attrs_by_name("candidate"), list[str])
        assert_type(section.has_attr("sendrecv"), bool)
        section.port = section.port or 9
        section.set_attr("sendonly")
        section.set_attrs_by_name("candidate", [])
        section.remove_attr("sendrecv")
    description.apply(request)
    sdp.parse(bytes(description)).apply(reply)
    sdp.parse(str(description))
