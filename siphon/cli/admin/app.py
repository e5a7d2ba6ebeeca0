"""The applications: one for `admin.listen`, one for `metrics.prometheus.listen`; one for both where they are equal.

Everything is read when it is asked for, from the shared tables. Answers are JSON but for the metrics. An error of ours
is 500 with one line in the log; nothing about it goes to the client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from siphon.cli import gateways, in_progress
from siphon.cli.admin import page, registrations
from siphon.cli.admin.access import Access
from siphon.cli.admin.built_in import built_in
from siphon.cli.bans import facts, lift
from siphon.cli.exits import Exit, Refusal
from siphon.cli.ready import readiness
from siphon.cli.status import Status, read
from siphon.config.log import Log
from siphon.services.bans import Bans, parse_unit
from siphon.services.location import Location
from siphon.services.metrics.families import CONTENT_TYPE, Family, families, text, to_json
from siphon.services.store import RecordTable, StoreError

Answer = Callable[[Request], Awaitable[Response]]
REMOVE_LOOK_SECS = 0.01
MOST_WHOLE = 2**31 - 1


class Site:
    """What the pages are made of. `place` is the shared directory, `timeout` that of shared state in seconds."""

    def __init__(
        self,
        place: Path,
        metrics: RecordTable,
        location: Callable[[], Location],
        bans: Bans,
        timeout: float,
        log: Log,
    ) -> None:
        self.place = place
        self.metrics_table = metrics
        self.location = location
        self.bans = bans
        self.timeout = timeout
        self.log = log

    def status(self) -> Status:
        found = read(self.place)
        if found is None:
            raise Refused(503, "siphond is starting or has ended")
        return found

    def families(self) -> list[Family]:
        return [*built_in(self.status()), *families(self.metrics_table)]

    # -- reading

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        found = readiness(self.place)
        return JSONResponse(found.to_json(), 200 if found.ready else 503)

    async def stats(self, request: Request) -> Response:
        return JSONResponse(self.status().to_json())

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(text(self.families()), media_type=CONTENT_TYPE)

    async def metrics_json(self, request: Request) -> Response:
        return JSONResponse({"metrics": to_json(self.families())})

    async def list_registrations(self, request: Request) -> Response:
        limit = whole(request, "limit", 1000, least=1)
        found, following = registrations.page(self.location(), limit, whole(request, "cursor", 0))
        return JSONResponse({"registrations": found, "cursor": following})

    async def show_registration(self, request: Request) -> Response:
        found = registrations.one(self.location(), request.path_params["aor"])
        if found is None:
            raise Refused(404, "not registered")
        return JSONResponse(found)

    async def list_calls(self, request: Request) -> Response:
        found = in_progress.calls(self.place)
        return JSONResponse({"calls": found[: whole(request, "limit", 1000)], "total": len(found)})

    async def list_bans(self, request: Request) -> Response:
        now = time.time()
        return JSONResponse({"bans": [facts(ban, now) for ban in self.bans.list()]})

    async def list_gateways(self, request: Request) -> Response:
        return JSONResponse({"gateways": gateways.to_json(gateways.read(self.place))})

    async def page(self, request: Request) -> Response:
        now = time.time()
        made = page.page(
            self.status(),
            in_progress.calls(self.place),
            registrations.page(self.location(), page.MOST, 0)[0],
            gateways.to_json(gateways.read(self.place)),
            [facts(ban, now) for ban in self.bans.list()],
        )
        return HTMLResponse(made, headers=page.HEADERS)

    # -- writing

    async def order_gateway(self, request: Request) -> Response:
        group, destination, action = (request.path_params[name] for name in ("group", "dest", "action"))
        if action not in gateways.ACTIONS:
            raise ValueError(f"the last part is one of {', '.join(gateways.ACTIONS)}")
        try:
            await run_in_threadpool(gateways.order, self.place, group, destination, action)
        except Refusal as error:
            raise Refused(404 if error.status is Exit.NOT_DONE else 503, str(error)) from None
        return JSONResponse({"group": group, "destination": destination, "done": action})

    async def remove_ban(self, request: Request) -> Response:
        unit = parse_unit(request.path_params["source"])
        gone = lift(self.bans, unit, request.query_params.get("user"))
        if not gone:
            raise Refused(404, "not banned")
        return JSONResponse({"removed": unit, "bans": gone})

    async def remove_registration(self, request: Request) -> Response:
        location = self.location()
        found = registrations.one(location, request.path_params["aor"])
        if found is None:
            raise Refused(404, "not registered")
        await remove(location, found["aor"], self.timeout)
        return JSONResponse({"removed": found["aor"], "contacts": len(found["contacts"])})


async def remove(location: Location, aor: str, timeout: float) -> None:
    """Removes what is registered. Where Redis has the bindings it has agreed when this returns; Refused otherwise."""
    loop = asyncio.get_running_loop()
    location.remove(aor, time.time())
    deadline = loop.time() + timeout
    while location.is_registered(aor, time.time()):
        if loop.time() > deadline:
            raise Refused(503, "the shared state did not answer in time")
        await asyncio.sleep(REMOVE_LOOK_SECS)


class Refused(Exception):
    """An answer that says why not."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def page_route(site: Site, access: Access) -> Route:
    """The page for people. A browser can ask for the token by Basic authentication, and by nothing else."""
    guard = guarded(site, access, site.page, writes=False, challenge='Basic realm="siphond", charset="UTF-8"')
    return Route("/admin/ui", guard, methods=["GET"])


def admin_routes(site: Site, access: Access) -> list[Route]:
    """Everything else under /admin, and the metrics."""

    def reads(path: str, answer: Answer, open_to_all: bool = False) -> Route:
        guard = answered(site, answer) if open_to_all else guarded(site, access, answer, writes=False)
        return Route(path, guard, methods=["GET"])

    def writes(path: str, answer: Answer, method: str) -> Route:
        return Route(path, guarded(site, access, answer, writes=True), methods=[method])

    return [
        reads("/admin/health", site.health, open_to_all=True),
        reads("/admin/ready", site.ready, open_to_all=True),
        reads("/admin/stats", site.stats),
        reads("/admin/registrations", site.list_registrations),
        reads("/admin/registrations/{aor:path}", site.show_registration),
        writes("/admin/registrations/{aor:path}", site.remove_registration, "DELETE"),
        reads("/admin/calls", site.list_calls),
        reads("/admin/bans", site.list_bans),
        writes("/admin/bans/{source:path}", site.remove_ban, "DELETE"),
        reads("/admin/gateways", site.list_gateways),
        writes("/admin/gateways/{group}/{dest:path}/{action}", site.order_gateway, "POST"),
        reads("/metrics", site.metrics),
        reads("/admin/metrics.json", site.metrics_json),
    ]


def metrics_routes(site: Site, path: str) -> list[Route]:
    """What Prometheus reads."""
    return [Route(path, answered(site, site.metrics), methods=["GET"])]


def application(routes: list[Route], origins: list[str]) -> Starlette:
    """An ASGI application of these routes."""
    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["Authorization"]
    )
    return Starlette(
        routes=routes, middleware=[cors] if origins else [], exception_handlers={HTTPException: not_served}
    )


async def not_served(request: Request, error: Exception) -> Response:
    """A path or a method that is not there, as JSON like every other error."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def guarded(site: Site, access: Access, answer: Answer, writes: bool, challenge: str = "Bearer") -> Answer:
    """`answer` for whom it is allowed; what is written is logged."""
    inner = answered(site, answer)

    async def check(request: Request) -> Response:
        against = access.refusal(request.headers, writes)
        if against is not None:
            status, why = against
            headers = {"WWW-Authenticate": challenge} if status == 401 else None
            response: Response = JSONResponse({"error": why}, status, headers)
        else:
            response = await inner(request)
        if writes:
            client = request.client.host if request.client else "-"
            facts = {"method": request.method, "path": request.url.path, "client": client}
            site.log.info("admin.write", **facts, status=response.status_code)
        return response

    return check


def answered(site: Site, answer: Answer) -> Answer:
    """`answer`, or what was wrong as JSON."""

    async def safely(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refused:
            return JSONResponse({"error": refused.why}, refused.status)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        except StoreError as error:
            site.log.error("admin.store", path=request.url.path, error=str(error))
            return JSONResponse({"error": str(error)}, 503)
        except Exception as error:
            site.log.exception("admin.failed", error, path=request.url.path)
            return JSONResponse({"error": "internal error; the log says more"}, 500)

    return safely


def whole(request: Request, name: str, default: int, least: int = 0) -> int:
    """A number of the query; ValueError for what is none, or none that a place of a table could have."""
    given: Any = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or len(given) > 10 or not least <= int(given) <= MOST_WHOLE:
        raise ValueError(f"{name} is a whole number from {least} to {MOST_WHOLE}")
    return int(given)
