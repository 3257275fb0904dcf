"""Routes of the express lane: what was understood of a query string once is answered without FastAPI the next time."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from uuid import UUID

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access import permissions_of
from app.db import is_outage, is_transient
from app.problems import Problem, Unavailable
from app.rest import Route, conditional, refuse_ungated, tags_content

MAX_KEPT: Final = 2_000
MAX_LENGTH: Final = 1_000


class ExpressRoute(Route):
    """A `GET {p}/…` whose endpoint takes a gate (or a door), and else only what follows from the query string.

    FastAPI checks and converts the parameters of a query string when it comes for the first time; what it made of them
    is kept. Nothing of a caller is: who may is asked each time, at the gate.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.understood = OrderedDict[bytes, Mapping[str, Any]]()
        super().__init__(*args, **kwargs)
        (gate,) = [d for d in self.dependant.dependencies if permissions_of(d)]
        self._open, self._gate = cast("Any", gate.call), cast("str", gate.name)
        self._answer = cast("Any", self.dependant.call)
        self._tag_content = tags_content(self)
        self.dependant.call = self._note

    async def _note(self, **values: Any) -> Response:
        query: bytes = values[self._gate].request.scope["query_string"]
        if len(query) <= MAX_LENGTH:
            self.understood[query] = {k: v for k, v in values.items() if k != self._gate}
            if len(self.understood) > MAX_KEPT:
                self.understood.popitem(last=False)
        return await self._answer(**values)

    async def again(self, request: Request, ids: Mapping[str, UUID], known: Mapping[str, Any]) -> Response:
        """The answer of the endpoint to what is known of the query string already."""
        gate = await self._open(request, **ids)
        response: Response = await self._answer(**known, **{self._gate: gate})
        refuse_ungated(request)
        return conditional(request, response, self._tag_content)


class Shortcut:
    """Plain ASGI in front of FastAPI: answers what an express route understood before, and problems with it.

    All else goes the usual way, and so does what fails otherwise: these routes only read, and may be asked twice.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[ExpressRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            for route in self._routes:
                known = route.understood.get(scope["query_string"])
                if known is not None and (match := route.path_regex.match(scope["path"])):
                    ids = _ids(match.groupdict())
                    response = None if ids is None else await _again(route, scope, receive, ids, known)
                    if response:
                        return await response(scope, receive, send)
        return await self._app(scope, receive, send)


async def _again(
    route: ExpressRoute, scope: Scope, receive: Receive, ids: Mapping[str, UUID], known: Mapping[str, Any]
) -> Response | None:
    scope["endpoint"] = route.endpoint
    try:
        return await route.again(Request(scope, receive), ids, known)
    except Problem:
        raise
    except Exception as error:
        if is_outage(error) and not is_transient(error):
            raise Unavailable from None  # twice as patient as the usual way is patient enough
        return None


def _ids(texts: Mapping[str, str]) -> Mapping[str, UUID] | None:
    """Ids in their one usual form; of others FastAPI may think what it likes."""
    try:
        found = {name: UUID(text) for name, text in texts.items()}
    except ValueError:
        return None
    return found if all(str(found[name]) == text.lower() for name, text in texts.items()) else None
