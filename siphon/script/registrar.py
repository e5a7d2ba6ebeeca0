"""The namespace `registrar`: the shared location service as scripts see it (RFC 3261 §10, RFC 3327)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import Any, TypeVar, overload

from siphon.forwarding.routes import names_us
from siphon.script import binding, text
from siphon.script._lookup import aor_of
from siphon.script._saving import LOOP_DETECTED as LOOP_DETECTED
from siphon.script._saving import Saving
from siphon.script.checking import parsed
from siphon.script.contact import Contact
from siphon.script.context import Services
from siphon.script.outcome import Answer
from siphon.script.registry import decorator
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.stubs import unavailable
from siphon.script.uri import SipUri
from siphon.services.location import Granted, RegisterFacts, RegisterResult, register_facts
from siphon.sip.uri import NameAddr

Function = TypeVar("Function", bound=Callable[[str, str, list[Contact]], Any])
Address = str | SipUri


class Registrar(Saving):
    """`from siphon import registrar`."""

    __slots__ = ()

    def _save(self, request: Request, force: bool, aliases: Sequence[Address], flow_token: str | None) -> bool:
        """save() of what is not plain."""
        facts = _facts(request, aliases, flow_token, bool(force))
        return _answer(request, _location(request._context.services).save(facts, request._context.wall))

    def _refuse(self, request: object, what: str) -> None:
        """TypeError or ValueError for what no REGISTER is."""
        _require_register(request, what)

    def lookup_contact(self, uri: Address) -> list[Contact]:
        """Live bindings with that Contact URI, over all addresses of record."""
        services = binding.current().services
        wall = services.wall()
        return [Contact(found, services, wall) for _, found in _location(services).lookup_contact(aor_of(uri), wall)]

    def is_registered_contact(self, uri: Address) -> bool:
        """Whether any live binding has that Contact URI."""
        return bool(self.lookup_contact(uri))

    def lookup_by_token(self, token: str | None) -> Contact | None:
        """The binding saved with that flow token."""
        if token is None:
            return None
        services = binding.current().services
        wall = services.wall()
        found = _location(services).lookup_by_token(text.one_line(token, "token"), wall)
        return None if found is None else Contact(found, services, wall)

    def is_registered(self, uri: Address) -> bool:
        """Whether the address of record has a live binding."""
        services = binding.current().services
        return bool(_location(services).lookup(aor_of(uri), services.wall()))

    def remove(self, uri: Address) -> None:
        """Drop the bindings and all else of an address of record."""
        services = binding.current().services
        _location(services).remove(aor_of(uri), services.wall())

    expire = remove

    async def aor_count(self) -> int:
        """Addresses of record with a live binding."""
        services = binding.current().services
        return int(_location(services).count(services.wall()))

    def save_proxy(
        self, request: Request, reply: Reply, aliases: Sequence[Address] = (), flow_token: str | None = None
    ) -> bool:
        """Remember what another registrar has accepted by this reply; arms nothing. False where there is nothing to
        remember: no 2xx, no Contact, a To that is no SIP address, or a later CSeq is known already.

        ValueError when the reply names no lifetime for a Contact.
        """
        _require_register(request, "save_proxy()")
        if not isinstance(reply, Reply):
            raise TypeError(f"a Reply is needed, not {type(reply).__name__}")
        facts = _facts(request, aliases, flow_token, force=False)
        if not 200 <= reply.status_code <= 299 or not facts.contacts or not facts.aor:
            return False
        context = request._context
        facts = replace(facts, path=_beyond_us(facts.path, context.identity))
        granted = Granted(reply._message.values("Contact"), reply._message.first("Expires"))
        return bool(_location(context.services).save_proxy(facts, granted, context.wall).ok)

    def save_pending(self, request: Request) -> bool:
        """As save(), but what it changes stays invisible until confirm_pending(); dropped after 32 s."""
        _require_register(request, "save_pending()")
        if not request._may_arm("registrar.save_pending()"):
            return False
        facts = _facts(request, (), None, force=False)
        return _answer(request, _location(request._context.services).save_pending(facts, request._context.wall))

    def confirm_pending(self, aor: Address) -> bool:
        """Apply what save_pending() has put aside; False when there is nothing to confirm."""
        services = binding.current().services
        return bool(_location(services).confirm(aor_of(aor), services.wall()))

    def set_associated_uris(self, aor: Address, uris: Iterable[Address]) -> None:
        """Store the alias list of an address of record; [] clears it."""
        services = binding.current().services
        values = [text.one_line(str(uri), "URI") for uri in uris]
        _location(services).set_associated_uris(aor_of(aor), values, services.wall())

    def associated_uris(self, aor: Address) -> list[str]:
        """The stored alias list."""
        return list(_location(binding.current().services).associated_uris(aor_of(aor)))

    def asserted_identity(self, aor: Address) -> str | None:
        """The first associated URI."""
        return next(iter(self.associated_uris(aor)), None)

    def set_service_routes(self, aor: Address, routes: Iterable[Address]) -> None:
        """Store the service routes of an address of record."""
        services = binding.current().services
        values = [text.one_line(str(route), "route") for route in routes]
        _location(services).set_service_routes(aor_of(aor), values, services.wall())

    def service_route(self, aor: Address) -> list[str]:
        """The stored service routes."""
        return list(_location(binding.current().services).service_routes(aor_of(aor)))

    @overload
    def on_change(self, function: Function, /) -> Function: ...
    @overload
    def on_change(self, function: None = None, /) -> Callable[[Function], Function]: ...
    def on_change(self, function: Any = None, /) -> Any:
        """Told of changed bindings, in one process: `fn(aor, event_type, contacts)`."""
        if function is not None and not callable(function):
            raise TypeError("registrar.on_change takes no filter")
        return decorator("registrar.on_change", function)

    reginfo_xml = unavailable("registrar.reginfo_xml")
    save_as_contact = unavailable("registrar.save_as_contact")

    def __repr__(self) -> str:
        return "<namespace registrar>"


def _require_register(request: object, what: str) -> None:
    if not isinstance(request, Request):
        raise TypeError(f"a Request is needed, not {type(request).__name__}")
    if request.method != "REGISTER":
        raise ValueError(f"{what} is for REGISTER, not {request.method}")


def _facts(request: Request, aliases: Sequence[Address], flow_token: str | None, force: bool) -> RegisterFacts:
    """The REGISTER as the handlers left it."""
    if isinstance(aliases, (str, SipUri)):
        raise TypeError("aliases is a list of addresses of record")
    context, draft, listener = request._context, request._draft, request._context.listener
    message = request._message if draft is None or not draft.changed else parsed(draft.to_bytes())
    facts = register_facts(
        message,
        context.identity,
        transaction=context.transaction_id,
        source=context.source,
        local=(context.local_ip or (listener.ip if listener else ""), listener.port if listener else 0),
        transport=request.transport,
        behind_nat=request._nat_register,
        auth_user=request._auth_user,
        auth_realm=binding.current().settings.auth.realm,
        aliases=[aor_of(alias) for alias in aliases],
        flow_token=None if flow_token is None else text.one_line(flow_token, "flow_token"),
        force=force,
    )
    return replace(facts, after=tuple(wait for wait, _ in request._confirms)) if request._confirms else facts


def _answer(request: Request, result: RegisterResult) -> bool:
    request._arm(Answer(result.status, result.reason, headers=list(result.headers), later=result.later))
    return result.ok


def _beyond_us(path: tuple[str, ...], identity: Any) -> tuple[str, ...]:
    """Without the values on top that this proxy has put there for the registrar beyond: the way from here on."""
    return tuple(dropwhile(lambda value: _names_us(value, identity), path))


def _names_us(value: str, identity: Any) -> bool:
    try:
        return names_us(NameAddr.parse(text.encode(value)).uri, identity)
    except ValueError:
        return False


def _location(services: Services) -> Any:
    if services.location is None:
        raise RuntimeError("the registrar is not there: a script may use it in handlers, not while it is loaded")
    return services.location
