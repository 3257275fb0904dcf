"""Routes of the express lane: what FastAPI has understood of a query string once is not worked out again."""

from collections import OrderedDict
from typing import Any, Final, cast
from uuid import UUID

from fastapi import Request, Response

from app.access import permissions_of
from app.rest import Handler, Route, refuse_ungated, with_retries

MAX_KEPT: Final = 2_000
MAX_LENGTH: Final = 1_000


class ExpressRoute(Route):
    """A `GET {p}/…` whose endpoint takes a gate, and else only what follows from the query string.

    FastAPI checks and converts the parameters of a query string when it comes for the first time; the next time that
    costs nothing. Nothing of a caller is kept: who may is asked each time, at the gate.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._understood = OrderedDict[bytes, dict[str, Any]]()
        super().__init__(*args, **kwargs)
        (gate,) = [d for d in self.dependant.dependencies if permissions_of(d)]
        self._open, self._gate = cast("Any", gate.call), cast("str", gate.name)
        self._answer = cast("Any", self.dependant.call)
        self.dependant.call = self._note

    async def _note(self, **values: Any) -> Response:
        query: bytes = values[self._gate].request.scope["query_string"]
        if len(query) <= MAX_LENGTH:
            self._understood[query] = {k: v for k, v in values.items() if k != self._gate}
            if len(self._understood) > MAX_KEPT:
                self._understood.popitem(last=False)
        return await self._answer(**values)

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            known = self._understood.get(request.scope["query_string"])
            partner_id = _uuid(request.path_params["partner_id"])
            if known is None or partner_id is None:
                return await inner(request)

            async def once(request: Request) -> Response:
                gate = await self._open(request, partner_id)
                response: Response = await self._answer(**known, **{self._gate: gate})
                refuse_ungated(request)
                return response

            return await with_retries(request, once)

        return handle


def _uuid(text: str) -> UUID | None:
    """An id in its one usual form; of others FastAPI may think what it likes."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
