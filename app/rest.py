"""The HTTP conventions that every router shares: strict JSON, pages, ETags, idempotent POSTs, retries."""

import asyncio
import hashlib
import json
import random
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

from fastapi import Depends, Header, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from app import cursors
from app.db import is_transient
from app.idempotency import Replay, fingerprint, idempotency_key, remember
from app.problems import (
    Fault,
    Invalid,
    PreconditionRequired,
    Text,
    VersionMismatch,
)
from app.records import record
from app.strict import StrictRequest

BARE: Final[dict[str, Any]] = {"x-headers": []}
"""Of a route whose answer is no resource: no ETag and no Location."""

T = TypeVar("T")


class Tagged(Protocol):
    """What has an ETag."""

    @property
    def etag(self) -> str: ...


V = TypeVar("V", bound=Tagged)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


# --- the route class ---

RETRIES = 5


class Route(APIRoute):
    """A route with the conventions: strict JSON in, 304 when nothing changed, deadlocks run again."""

    idempotent = False
    streams = False
    """Whether the endpoint reads the body itself, and tells two requests apart by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"generate_unique_id_function": operation_id})
        if self.idempotent and "POST" in (self.methods or ()):
            self.openapi_extra = {**(self.openapi_extra or {}), "x-idempotent": True}

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()
        expects_body = self.body_field is not None
        tag_content = tags_content(self)

        async def once(request: Request) -> Response:
            response = await inner(request)
            refuse_ungated(request)
            if "idempotency" in request.scope:
                await remember(request, response)
            return conditional(request, response, tag_content) if request.method == "GET" else response

        known, strict = query_names(self.dependant), self.path.startswith("/v1")

        async def handle(request: Request) -> Response:
            if strict and request.scope["query_string"] and not request.query_params.keys() <= known:
                raise Invalid(errors=[unknown_parameter(k) for k in request.query_params if k not in known][:10])
            request = StrictRequest(request.scope, request.receive)
            await request.check(expects_body=expects_body)
            if self.idempotent and not self.streams and request.method == "POST" and (key := idempotency_key(request)):
                request.scope["idempotency"] = (key, fingerprint(request, await request.body()))
            return await with_retries(request, once)

        return handle


def tags_content(route: APIRoute) -> bool:
    """Whether its answer is one thing, whose content is its version if it has no other."""
    shown = route.response_model
    return "GET" in (route.methods or ()) and isinstance(shown, type) and not is_page(shown)


def refuse_ungated(request: Request) -> None:
    """A gate asks who may only of whoever goes through it."""
    if request.scope.get("gate") == "closed":
        raise RuntimeError("an answer past a gate that nobody went through")


def operation_id(route: APIRoute) -> str:
    """create_account is createAccount: a method's name in most generated clients."""
    first, *rest = route.name.split("_")
    return first + "".join(word.title() for word in rest)


def query_names(dependant: Dependant) -> set[str]:
    """The query parameters of an endpoint and of all that it depends on."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*(query_names(d) for d in dependant.dependencies))


def unknown_parameter(name: str) -> Fault:
    """A misspelt filter must not quietly show everything."""
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else "?"
    said = Text("There is no such parameter.", "Diesen Parameter gibt es nicht.")
    return Fault(f"query:{shown}", "extra_forbidden", said)


class IdempotentRoute(Route):
    """Besides, a repeated POST with the same Idempotency-Key gets the first answer."""

    idempotent = True


async def with_retries(request: Request, once: Handler) -> Response:
    """Run the whole transaction again after a deadlock, a serialization failure, or a connection lost before the
    commit: each undid all of it.
    """
    for attempt in range(1, RETRIES + 1):
        try:
            async with AsyncExitStack() as stack:
                request.scope["fastapi_function_astack"] = stack  # the commit happens when it closes: in here
                try:
                    return await once(request)
                except Replay as replay:
                    return replay.response
        except Exception as error:
            if attempt == RETRIES or not is_transient(error):
                raise
            await asyncio.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


# --- pages ---

MAX_CURSOR: Final = 8192  # it holds the values of three sorted columns, and they may be long
SOME_CURSOR: Final = "eyJhIjpbXX0.c2ln"


class Page(BaseModel, Generic[T]):
    """One page of a list. `next_cursor` is null on the last page."""

    items: Annotated[list[T], Field(max_length=200)]
    next_cursor: (
        Annotated[
            str,
            Field(
                max_length=MAX_CURSOR, description="Pass it as `cursor` to get the next page.", examples=[SOME_CURSOR]
            ),
        ]
        | None
    )
    total: Annotated[int, Field(ge=0, description="Rows on all pages; only with `count=true`.")] | None


def is_page(model: object) -> bool:
    return isinstance(model, type) and issubclass(model, Page)


@record
class Paging:
    """Which page of which query: `after` are the sort values of the row before it."""

    limit: int
    count: bool
    after: list[Any] | None
    request: Request
    signed_to: str
    stamp: str | None = None
    """The version of something else that the query hangs on: its cursors are good for this one only."""

    def stamped(self, stamp: str | None, pointer: str = "query:cursor") -> "Paging":
        """The same page, of a query that hangs on a version which is known only now.

        Raises:
            Invalid: the cursor is one of another version.
        """
        if stamp is None or self.after is None:
            return replace(self, stamp=stamp)
        *after, had = self.after
        if had != stamp:
            raise Invalid(errors=[Fault(pointer, "invalid_cursor", NO_CURSOR)])
        return replace(self, after=after, stamp=stamp)

    def page(self, rows: Sequence[T], position: Callable[[T], list[Any]], response: Response,
             total: int | None = None) -> Page[Any]:  # fmt: skip
        """Cut a page out of `limit + 1` rows; `position` gives a row's sort values."""
        items = list(rows[: self.limit])
        cursor = self._cursors.to([*position(items[-1]), *self._stamps]) if len(rows) > self.limit else None
        response.headers.update(self._link(cursor))
        return Page(items=items, next_cursor=cursor, total=total)

    def answer(self, items: bytes, place: bytes | None, total: int | None = None) -> Response:
        """The same of rows that are JSON already, with commas between; `place` is the position of the last one as JSON,
        if there are more.
        """
        if place and self._stamps:
            place = json.dumps([*json.loads(place), *self._stamps]).encode()
        cursor = self._cursors.to_json(place) if place else None
        following = "null" if cursor is None else f'"{cursor}"'
        end = f'],"next_cursor":{following},"total":{"null" if total is None else total}}}'
        body = b'{"items":[' + items + end.encode()
        return Response(body, media_type="application/json", headers=self._link(cursor))

    @property
    def _cursors(self) -> cursors.Cursors:
        return _cursors(self.request, self.signed_to)

    @property
    def _stamps(self) -> list[str]:
        return [] if self.stamp is None else [self.stamp]

    def _link(self, cursor: str | None) -> dict[str, str]:
        if cursor is None or self.request.method != "GET":
            return {}
        scope = self.request.scope
        return {"Link": f'<{_following(scope["path"], scope["query_string"])}cursor={cursor}>; rel="next"'}


@lru_cache(maxsize=1000)
def _following(path: str, query: bytes) -> str:
    """The address of the same list, up to the cursor of the next page."""
    parts = quote(query, safe="=&%+:,;@/?!$'()*~[]").split("&")
    same = [part for part in parts if part and not part.startswith("cursor=")]
    return f"{quote(path)}?{'&'.join([*same, ''])}"


PAGING = ("cursor", "limit", "count")


def _cursors(request: Request, signed_to: str) -> cursors.Cursors:
    return cursors.of(request.app.state.keys.derived("cursors"), f"{request.scope['path']}?{signed_to}")


def paging(request: Request, limit: int, cursor: str | None, signed_to: str, *, count: bool, pointer: str) -> Paging:
    """The page that is asked for of a query, which `signed_to` names.

    Raises:
        Invalid: the cursor is not one of this query.
    """
    try:
        after = _cursors(request, signed_to).read(cursor) if cursor is not None else None
    except cursors.StrangeCursor:
        raise Invalid(errors=[Fault(pointer, "invalid_cursor", NO_CURSOR)]) from None
    return Paging(limit, count, after, request, signed_to)


NO_CURSOR = Text("Not a cursor of this list with these parameters.", "Kein Cursor dieser Liste mit diesen Parametern.")


@record
class PageAsked:
    """What a query string says of the page, not yet checked."""

    limit: int
    cursor: str | None
    count: bool
    signed_to: str

    def of(self, request: Request) -> Paging:
        """Raises:
        Invalid: the cursor is not one of this query.
        """
        return paging(request, self.limit, self.cursor, self.signed_to, count=self.count, pointer="query:cursor")


async def page_asked(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows on a page.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            max_length=MAX_CURSOR,
            description="`next_cursor` of the page before, with the same parameters.",
            examples=[SOME_CURSOR],
        ),
    ] = None,
    count: Annotated[bool, Query(description="Also count all rows, as `total`. Costs time on large lists.")] = False,
) -> PageAsked:
    query = sorted((k, v) for k, v in request.query_params.multi_items() if k not in PAGING)
    return PageAsked(limit, cursor, count, str(query))


AskedPage = Annotated[PageAsked, Depends(page_asked)]


async def page_query(request: Request, asked: AskedPage) -> Paging:
    return asked.of(request)


PageQuery = Annotated[Paging, Depends(page_query)]


# --- conditional requests (RFC 9110, section 13) ---

ETAG_PATTERN = r'^(\*|(W/)?"[\x21\x23-\x7e]*"(\s*,\s*(W/)?"[\x21\x23-\x7e]*")*)$'


def tagged(response: Response, row: V, view: object = "") -> V:
    """Put the row's ETag on the response, and hand the row on.

    `view` stands for what else makes the answer look as it does, in numbers with dots between: it freshens caches,
    and does not hinder changes.
    """
    response.headers["ETag"] = f'"{row.etag}.{view}"' if view else f'"{row.etag}"'
    return row


def created(response: Response, request: Request, row: V, name: object, view: object = "") -> V:
    """The same for a new row, with the address (`Location`) at which it is to be found."""
    response.headers["Location"] = f"{request.url.path}/{name}"
    return tagged(response, row, view)


class Match:
    """The version that the client last read, from `If-Match`."""

    def __init__(self, tag: str | None) -> None:
        self.tag = tag

    def check(self, row: V) -> V:
        """Raises:
        PreconditionRequired: there was no If-Match.
        VersionMismatch: the row has changed since.
        """
        if self.tag is None:
            raise PreconditionRequired
        versions = (re.sub(r'(\.\d+)+"$', '"', tag) for tag in _tags(self.tag))
        if self.tag != "*" and f'"{row.etag}"' not in versions:  # strong comparison: W/ never matches
            raise VersionMismatch
        return row


async def if_match(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            max_length=200,
            pattern=ETAG_PATTERN,
            description="The ETag that you read, or `*`. Required (428).",
            examples=['"3"'],
        ),
    ] = None,
) -> Match:
    return Match(if_match)


IfMatch = Annotated[Match, Depends(if_match)]


def _tags(header: str) -> Iterable[str]:
    return (tag.strip() for tag in header.split(","))


FRESHENED = ("ETag", "Cache-Control", "Content-Security-Policy", "Vary")  # a 304 renews them in the client's cache


def conditional(request: Request, response: Response, tag_content: bool) -> Response:
    """304 when the client has it already. What has no version of its own is tagged by its content, weakly."""
    if response.status_code != 200 or getattr(response, "late", False):  # not made yet: it comes here when it is
        return response
    tag = response.headers.get("ETag")
    if tag is None and tag_content:
        tag = f'W/"{hashlib.blake2b(response.body, digest_size=12).hexdigest()}"'
        response.headers["ETag"] = tag
    given = request.headers.get("If-None-Match")
    if tag is None or given is None:
        return response
    if given.strip() == "*" or tag.removeprefix("W/") in (t.removeprefix("W/") for t in _tags(given)):
        kept = {name: response.headers[name] for name in FRESHENED if name in response.headers}
        return Response(status_code=304, headers=kept)
    return response
