"""Routes of the express lane: what was understood of a query string once is answered without FastAPI the next time."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access import permissions_of
from app.db import is_outage, is_transient
from app.problems import Problem, Unavailable
from app.recent import Recent
from app.rest import IdempotentRoute, Route, conditional, refuse_ungated, tags_content, with_retries
from app.strict import StrictRequest

MAX_KEPT: Final = 2_000
MAX_LENGTH: Final = 1_000


class ExpressRoute(Route):
    """A `GET {p}/…` whose endpoint takes a gate (or a door), and else only what follows from the query string.

    FastAPI checks and converts the parameters of a query string when it comes for the first time; what it made of them
    is kept. Nothing of a caller is: who may is asked each time, at the gate.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.understood = Recent[bytes, Mapping[str, Any]](MAX_KEPT)
        super().__init__(*args, **kwargs)
        (gate,) = [d for d in self.dependant.dependencies if permissions_of(d)]
        self._open, self._gate = cast("Any", gate.call), cast("str", gate.name)
        self._answer = cast("Any", self.dependant.call)
        self._tag_content = tags_content(self)
        self.dependant.call = self._note

    async def _note(self, **values: Any) -> Response:
        query: bytes = values[self._gate].request.scope["query_string"]
        if len(query) <= MAX_LENGTH:
            self.understood.note(query, {k: v for k, v in values.items() if k != self._gate})
        return await self._answer(**values)

    async def again(self, request: Request, ids: Mapping[str, UUID], known: Mapping[str, Any]) -> Response:
        """The answer of the endpoint to what is known of the query string already."""
        gate = await self._open(request, **ids)
        response: Response = await self._answer(**known, **{self._gate: gate})
        refuse_ungated(request)
        return conditional(request, response, self._tag_content)


class Shortcut:
    """Plain ASGI in front of FastAPI: answers what an express route understood before, and problems with it.

    All else goes the usual way, and so does what fails otherwise when something is only read, and may be asked twice.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[ExpressRoute], posts: Sequence["PostRoute"]) -> None:
        self._app, self._routes, self._posts = app, routes, posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for post in self._posts:
                if match := post.path_regex.match(scope["path"]):
                    response, receive = await post.at_once(scope, receive, match.groupdict())
                    if response:
                        return await response(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET":
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


class PostRoute(IdempotentRoute):
    """A POST whose endpoint takes a gate (or a turnstile) and a body, and nothing else.

    What is as usual is put together without FastAPI. With anything that is not (another form of an id, a query string,
    an Idempotency-Key, a body that is not valid), FastAPI does it, and says what is wrong.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        (gate,) = [d for d in self.dependant.dependencies if permissions_of(d)]
        (field,) = self.dependant.body_params
        self._open, self._gate, self._body = cast("Any", gate.call), cast("str", gate.name), field.name
        self._model = cast("type[BaseModel]", field.field_info.annotation)

    async def at_once(
        self, scope: Scope, receive: Receive, texts: Mapping[str, str]
    ) -> tuple[Response | None, Receive]:
        """The answer; none if it is to be had the usual way, and what is to be read there.

        Raises:
            Problem: any that the usual way would answer with.
        """
        ids = _ids(texts)
        if ids is None or scope["query_string"] or _has_key(scope):
            return None, receive
        request = StrictRequest(scope, receive)
        await request.check(expects_body=True)
        given = await request.body()
        try:
            body = self._model.model_validate(await request.json() if given else None)
        except ValidationError:
            return None, _once_more(given)

        async def once(request: Request) -> Response:
            gate = await self._open(request, **ids)
            response: Response = await self.endpoint(**{self._body: body, self._gate: gate})
            refuse_ungated(request)
            return response

        scope["endpoint"] = self.endpoint
        try:
            return await with_retries(request, once), receive
        except (DBAPIError, OSError, PoolTimeout) as error:
            if is_outage(error) or is_transient(error):
                raise Unavailable from None
            raise


def _has_key(scope: Scope) -> bool:
    return any(name == b"idempotency-key" for name, _ in scope["headers"])


def _once_more(body: bytes) -> Any:
    """A body that was read, to be read once more."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


@lru_cache(maxsize=10_000)
def _uuid(text: str) -> UUID | None:
    """An id in its one usual form; of others FastAPI may think what it likes."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


def _ids(texts: Mapping[str, str]) -> Mapping[str, UUID] | None:
    """All of them, if each is one."""
    found = {name: _uuid(text) for name, text in texts.items()}
    return None if None in found.values() else cast("Mapping[str, UUID]", found)
