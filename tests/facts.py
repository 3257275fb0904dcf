"""Whether what was recorded is what the contract says of it."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.event_types import FEED, OF_NO_PARTNER
from app.schemas.event_facts import FACTS


@cache
def adapter(noun: str) -> TypeAdapter[Any]:
    return TypeAdapter(FACTS[noun])


def strange(type: str, subject: str, details: Mapping[str, Any] | None) -> Iterator[str]:
    """What the union of events does not know, or knows otherwise."""
    if type in OF_NO_PARTNER:
        return
    kind = FEED[type]
    if subject != kind.subject:
        yield f"{type} happened to a {subject}"
    for name in ("before", "after"):
        side = (details or {}).get(name)
        if side is None:
            continue
        yield from (f"{type}: {name}.{key} is not known" for key in set(side) - set(FACTS[kind.noun].__annotations__))
        try:
            adapter(kind.noun).validate_python(side)
        except ValidationError as error:
            yield from (f"{type}: {name}.{e['loc']}: {e['msg']}" for e in error.errors())
