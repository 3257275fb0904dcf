"""The columns that partners invent."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.access import in_partner
from app.db import Db
from app.models import Property
from app.policy import Access, Permission
from app.problems import (
    KeyTaken,
    NoSlotLeft,
    PreconditionRequired,
    TooManyProperties,
    ValuesConflict,
    VersionMismatch,
    raises,
)
from app.rest import BARE, IdempotentRoute, IfMatch, created, tagged
from app.schemas.property import CREATES, KEY, PropertyCreate, PropertyUpdate
from app.schemas.property_read import PropertyDeleted, PropertyList, PropertyOrder, PropertyRead, PropertyUsage
from app.services import definitions, properties

router = APIRouter(prefix="/v1/partners/{partner_id}", tags=["properties"], route_class=IdempotentRoute)

MayRead = Annotated[Access, in_partner(Permission.PROPERTY_READ)]
MayManage = Annotated[Access, in_partner(Permission.PROPERTY_MANAGE)]
PropertyKey = Annotated[
    str, Path(pattern=KEY, max_length=40, description="Key of the property.", examples=["contract_end"])
]
OnConflict = Annotated[
    Literal["refuse", "clear"],
    Query(description="What to do when values would become invalid: refuse (409), or remove those values."),
]


@router.get("/properties", response_model=PropertyList)
async def list_properties(_: MayRead, db: Db) -> dict[str, Any]:
    """List all property definitions in their order, archived ones included. A property is a column of the accounts
    table that the partner has invented.
    """
    return {"items": [definitions.shown(row) for row in await properties.listed(db)]}


@router.post(
    "/properties",
    response_model=PropertyRead,
    status_code=201,
    openapi_extra=raises(KeyTaken, TooManyProperties, NoSlotLeft),
)
async def create_property(
    body: PropertyCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Add a column to the accounts table, as the last one. Its key and its type are for good; all else can be changed
    later.
    """
    row = await properties.create(db, access, definitions.row_values(body.model_dump()))
    return definitions.shown(created(response, request, row, row.key))


@router.post("/property-order", response_model=PropertyList, openapi_extra=BARE)
async def order_properties(body: PropertyOrder, access: MayManage, db: Db) -> dict[str, Any]:
    """Put the columns into another order, all in one call. Those that are not named follow as they were."""
    return {"items": [definitions.shown(row) for row in await properties.order(db, access, body.keys)]}


@router.get("/properties/{key}", response_model=PropertyRead)
async def get_property(key: PropertyKey, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """Read one property definition, archived or not. It says of what type its values are, what they must be like, and
    who may change them.
    """
    return definitions.shown(tagged(response, await properties.get(db, access, key)))


@router.get("/properties/{key}/usage", response_model=PropertyUsage)
async def get_property_usage(key: PropertyKey, access: MayRead, db: Db) -> properties.Usage:
    """Count the accounts that have a value in a column: what goes with it when it is deleted."""
    return await properties.usage(db, await properties.get(db, access, key))


@router.patch(
    "/properties/{key}",
    response_model=PropertyRead,
    openapi_extra=raises(ValuesConflict, NoSlotLeft, VersionMismatch, PreconditionRequired),
)
async def update_property(key: PropertyKey, body: PropertyUpdate, access: MayManage, db: Db, match: IfMatch,
                          response: Response, on_conflict: OnConflict = "refuse") -> dict[str, Any]:  # fmt: skip
    """Change a definition. What would make values of accounts invalid is refused, unless `on_conflict=clear`."""
    row = match.check(await properties.get(db, access, key, lock=True))
    new = _patched(row, body.model_dump(exclude_unset=True))
    return definitions.shown(
        tagged(response, await properties.change(db, access, row, new, clear=on_conflict == "clear"))
    )


@router.delete(
    "/properties/{key}", response_model=PropertyDeleted, openapi_extra=raises(VersionMismatch, PreconditionRequired)
)
async def delete_property(key: PropertyKey, access: MayManage, db: Db, match: IfMatch) -> dict[str, Any]:
    """Delete a column and all its values; says how many. To keep the values, archive it instead."""
    row = match.check(await properties.get(db, access, key, lock=True))
    return {"key": key, "values": await properties.delete(db, access, row)}


@router.post("/properties/{key}/archive", response_model=PropertyRead)
async def archive_property(key: PropertyKey, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Take a column out of sight. Its values are kept; asked again, it changes nothing."""
    row = await properties.get(db, access, key, lock=True)
    return definitions.shown(tagged(response, await properties.archive(db, access, row, archived=True)))


@router.post("/properties/{key}/restore", response_model=PropertyRead)
async def restore_property(key: PropertyKey, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Bring an archived column back, with its values. Asked again, it changes nothing."""
    row = await properties.get(db, access, key, lock=True)
    return definitions.shown(tagged(response, await properties.archive(db, access, row, archived=False)))


def _patched(row: Property, patch: dict[str, Any]) -> dict[str, Any]:
    """The definition after a merge patch, checked as a new one of its type would be."""
    merged = _merge(definitions.document(row), patch)
    try:
        checked = CREATES[row.type.value].model_validate(merged)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
    new = definitions.row_values(checked.model_dump())
    return {k: v for k, v in new.items() if k not in ("key", "type")}


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396; null takes a field back to what it is when nothing is said."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merge(merged[name], value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            merged[name] = value
    return merged
