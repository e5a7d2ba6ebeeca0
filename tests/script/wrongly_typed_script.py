"""Uses of the script interface that an editor or mypy must call wrong: each line with `E:` is one error of that code,
and there is no other. Checked by tests/script/test_types.py; never run.
"""

import siphon
from siphon import Contact, Flow, Reply, Request, SipUri, auth, log, proxy, registrar, timer


@proxy.on_request  # E: type-var
def without_request() -> None: ...


@proxy.on_request(5)  # E: call-overload untyped-decorator
def number_as_filter(request: Request) -> None: ...


@proxy.on_request("INVITE")  # E: type-var
def two_arguments(request: Request, reply: Reply) -> None: ...


@proxy.on_reply  # E: type-var
def without_reply(request: Request) -> None: ...


@proxy.on_reply("INVITE")  # E: call-overload untyped-decorator
def filtered(request: Request, reply: Reply) -> None: ...


@registrar.on_change  # E: type-var
def too_few(aor: str) -> None: ...


@timer.every  # E: arg-type
def without_interval() -> None: ...


@timer.every(5)  # E: type-var
def with_argument(key: str) -> None: ...


@timer.every("5")  # E: arg-type
def text_as_interval() -> None: ...


def failed(request: Request, code: int, reason: str) -> None: ...


def fired(key: str) -> None: ...


async def wrong(request: Request, reply: Reply, contact: Contact) -> None:
    log.info(siphon.http)  # E: attr-defined
    log.info(request.methd)  # E: attr-defined
    request.method = "BYE"  # E: misc
    request.ruri = 5  # E: assignment
    request.ruri.user = 5  # E: assignment
    request.ruri.is_local = True  # E: misc
    request.auth_user = 7  # E: assignment
    request.vars = "x"  # E: assignment
    request.get_header(5)  # E: arg-type
    request.set_header("Expires", 60)  # E: arg-type
    request.get_header("X").strip()  # E: union-attr
    request.from_uri.user = "x"  # E: union-attr
    request.set_body(5)  # E: arg-type
    request.reply("200", "OK")  # E: arg-type
    request.relay(5)  # E: arg-type
    request.relay(timeout="5")  # E: arg-type
    request.relay(on_failure=fired)  # E: arg-type
    request.relay(on_reply=failed)  # E: arg-type
    request.relay(flow="udp:192.0.2.1:5060")  # E: arg-type
    request.relay(on_replies=failed)  # E: call-arg
    request.fork("sip:a@b", 5)  # E: arg-type
    request.fork([5])  # E: list-item
    request.record_route(True)  # E: call-arg
    request.source_ip_in(5)  # E: arg-type
    reply.reject("486")  # E: arg-type
    reply.reply(486, "Busy Here")  # E: attr-defined
    reply.status_code = 200  # E: misc
    contact.q = 0.5  # E: misc
    proxy.sanity_check(reply)  # E: arg-type
    proxy.sanity_chek(request)  # E: attr-defined
    proxy.rate_limit(request, "10", 100)  # E: arg-type
    registrar.save(reply)  # E: arg-type
    registrar.lookup(5)  # E: arg-type
    log.info(registrar.lookup("a@b").uri)  # E: attr-defined
    registrar.aor_count() + 1  # E: operator
    auth.require_digest(reply)  # E: arg-type
    auth.require_digest(request, 5)  # E: arg-type
    timer.set("key", "250", fired)  # E: arg-type
    timer.set(5, 250, fired)  # E: arg-type
    timer.set("key", 250, failed)  # E: arg-type
    timer.set("key", 250)  # E: call-arg
    timer.cancel()  # E: call-arg
    timer.active_count = 3  # E: misc
    timer.after(5)  # E: attr-defined
    log.info("one", "two")  # E: call-arg
    SipUri(hostname="b")  # E: call-arg
    Flow("udp")  # E: call-arg
    Flow("udp", "a", "b").transport = "tcp"  # E: misc
