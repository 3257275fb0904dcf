"""Saved views: a question to the accounts table under a name, of one person alone or shared with the partner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Select, Uuid, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import Inside, Prepared, param
from app.models import PartnerMember, View
from app.policy import PARTNER_ROLES, Access
from app.problems import Fault, Forbidden, Invalid, NameTaken, NotFound, Text, TooManyOwnViews, TooManyViews
from app.services import columns, events, lists, partners, tables, walks
from app.services.columns import Columns

MAX_VIEWS: Final = 200
MAX_OWN: Final = 50
QUESTION: Final = ("columns", "all", "any", "q", "sort")
TABLE: Final = lists.Table(
    View,
    {
        "name": lists.Column(View.name_search, lists.TEXT, words.search_key, sortable=True),
        "shared": lists.Column(View.shared, ("eq",), lists.truth),
        "created_at": lists.Column(View.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="name",
    search=View.name_search,
)

UNKNOWN = Text("There is no such view, or none that you may see.",
               "Diese Ansicht gibt es nicht, oder Sie dürfen sie nicht sehen.")  # fmt: skip
NO_COLUMN = Text("There is no such column.", "Diese Spalte gibt es nicht.")
TOO_MANY = Text(f"At most {lists.MAX_FILTERS} conditions, `all` and `any` together.",
                f"Höchstens {lists.MAX_FILTERS} Bedingungen, `all` und `any` zusammen.")  # fmt: skip
NOT_OWNER = Text("Only its owner may make it private.", "Nur wer sie angelegt hat, darf sie privat machen.")


class Applied(NamedTuple):
    """A query with a view worked into it. `stamp` is the view's version, for cursors; None without a view."""

    query: lists.Query
    columns: tuple[str, ...] | None
    stamp: str | None


async def listed(db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(db, _visible(access), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, view_id: UUID, *, lock: bool = False) -> View:
    """A view that the caller may see: a shared one, or one of the caller's own; with `lock`, it stays as it is."""
    view = await _find(db, access, view_id, lock=lock)
    if view is None:
        raise NotFound
    return view


async def create(db: AsyncSession, access: Access, values: Mapping[str, Any]) -> View:
    """Keep a question to the table; the caller owns it.

    Raises:
        Invalid: a part of it names no column that can be shown, filtered or sorted by.
        TooManyViews, TooManyOwnViews: the partner, or the caller, has as many as there can be.
        NameTaken: a shared view, or a private one of the caller, has this name.
    """
    checked = await _checked(db, access, values, values)
    await _refuse_leaver(db, access)
    own = func.count().filter(View.owner_id == access.user_id)
    everybodys, own_ones = (await db.execute(select(func.count(), own).select_from(View))).one()
    if own_ones >= MAX_OWN:
        raise TooManyOwnViews
    if everybodys >= MAX_VIEWS:
        raise TooManyViews
    view = View(partner_id=access.partner_id, owner_id=access.user_id, **checked)
    await _save(db, view)
    events.record(db, access, "view.created", view, after=events.facts(view))
    return view


async def update(db: AsyncSession, access: Access, view: View, patch: Mapping[str, Any]) -> View:
    """Change a view (a merge patch). What is broken may stay so; what is changed must be sound.

    Raises:
        Invalid: a changed part names no column that can be shown, filtered or sorted by.
        Forbidden: it is shared, and would become the private view of somebody else.
        NameTaken: a shared view, or a private one of the owner, has this name.
    """
    if patch.get("shared") is False and view.shared:
        if view.owner_id != access.user_id:
            raise Forbidden(errors=[Fault("/shared", "not_owner", NOT_OWNER)])
        await _refuse_leaver(db, access)
    before, after = events.changed(view, await _checked(db, access, {**question(view), **patch}, patch))
    if after:
        await _save(db, view)
        events.record(db, access, "view.updated", view, before=before, after=after)
    return view


async def delete(db: AsyncSession, access: Access, view: View) -> None:
    await db.delete(view)
    events.record(db, access, "view.deleted", view, before=events.facts(view))


async def forget(db: AsyncSession, access: Access, user_id: UUID) -> None:
    """Delete the private views of somebody who leaves the partner; shared ones stay.

    Called under the partner's lock, as `create` is: so none is made meanwhile.
    """
    private = select(View).where(View.owner_id == user_id, View.shared.is_(False)).with_for_update()
    for view in await db.scalars(private):
        await delete(db, access, view)


async def applied(db: AsyncSession, access: Access, known: Columns, view_id: UUID | None, query: lists.Query,
                  columns: Sequence[str] | None, *, pointer: str) -> Applied:  # fmt: skip
    """Work a view into a query: its conditions hold besides the query's own; its columns, sort and `q` do where the
    query has none. Whoever compiles the result is pointed to the part of the view that does not hold any more; columns
    that are gone are left out.

    Raises:
        Invalid: there is no such view, or none that the caller may see.
    """
    if view_id is None:
        return Applied(query, None if columns is None else tuple(columns), None)
    return _worked_in(await _find(db, access, view_id), known, query, columns, pointer)


async def applied_at(inside: Inside, view_id: UUID, query: lists.Query, names: Sequence[str] | None, *,
                     pointer: str) -> Applied:  # fmt: skip
    """The same on the express lane."""
    access = inside.access
    found = await _EXPRESS.one(inside.line, partner=access.partner_id, view=view_id, user=access.user_id)
    view = None if found is None else cast("View", SimpleNamespace(**dict(zip(_FIELDS, found, strict=True))))
    return _worked_in(view, await columns.at(inside.line, access.partner_id, inside.version), query, names, pointer)


def _worked_in(view: View | None, known: Columns, query: lists.Query, names: Sequence[str] | None,
               pointer: str) -> Applied:  # fmt: skip
    if view is None:
        raise Invalid(errors=[Fault(pointer, "unknown_view", UNKNOWN)])
    found = replace(
        query,
        q=view.q if query.q is None else query.q,
        sort=query.sort or view.sort,
        sort_pointer=query.sort_pointer if query.sort else f"{pointer}/sort",
        all=(*query.all, *lists.typed(view.all, f"{pointer}/all")),
        also_any=lists.typed(view.any, f"{pointer}/any"),
    )
    if names is None and view.columns is not None:
        names = [name for name in view.columns if name in tables.names_of(known)]
    return Applied(found, None if names is None else tuple(names), str(view.version))


def shown(known: Columns, access: Access, view: View) -> dict[str, Any]:
    """A view as this caller sees it: as it was saved, and what of it does not hold (for the caller).

    What is asked of a masked column would tell of its values: such a condition stays, without the value. So it does if
    the column is deleted, for nobody knows then whether it was sensitive.
    """
    broken = [fault.pointer for fault in _faults(known, question(view), masked=columns.masks(access))]
    own = ("id", "partner_id", "owner_id", "name", "shared", "created_at", "updated_at")
    return (
        {name: getattr(view, name) for name in own} | question(view) | _told(known, access, view) | {"broken": broken}
    )


def _told(known: Columns, access: Access, view: View) -> dict[str, Any]:
    if not columns.masks(access):
        return {}
    told = {*tables.FIXED, *(tables.PREFIX + d.key for d in known.by_key.values() if not d.sensitive)}
    return {side: [c if c["field"] in told else {**c, "value": None} for c in getattr(view, side)]
            for side in ("all", "any")}  # fmt: skip


def question(view: View) -> dict[str, Any]:
    """What a view asks."""
    return {name: getattr(view, name) for name in QUESTION}


async def _save(db: AsyncSession, view: View) -> None:
    try:
        async with db.begin_nested():
            db.add(view)
    except IntegrityError as error:
        if not any(index in str(error.orig) for index in ("uq_views_shared_name_key", "uq_views_owner_id_name_key")):
            raise
        raise NameTaken from None


def _visible(access: Access) -> Select[Any]:
    return select(View).where(or_(View.shared, View.owner_id == access.user_id))


async def _find(db: AsyncSession, access: Access, view_id: UUID, *, lock: bool = False) -> View | None:
    found = _visible(access).where(View.id == view_id)
    return await db.scalar(found.with_for_update() if lock else found)


_FIELDS: Final = [c.key for c in View.__mapper__.column_attrs]
_EXPRESS: Final = Prepared(
    select(*(getattr(View, f) for f in _FIELDS)).where(
        View.partner_id == param("partner", Uuid()), View.id == param("view", Uuid()),
        or_(View.shared, View.owner_id == param("user", Uuid())),
    )
)  # fmt: skip


async def _refuse_leaver(db: AsyncSession, access: Access) -> None:
    """Whoever was removed since the guard looked must leave no private view behind that nobody can ever see.

    Until the end nobody else is removed, nor makes a view.
    """
    await partners.get(db, access.partner_id, lock=True)
    if access.roles <= PARTNER_ROLES:
        member = select(PartnerMember.id).where(PartnerMember.user_id == access.user_id)
        if await db.scalar(member) is None:
            raise NotFound


async def _checked(db: AsyncSession, access: Access, whole: Mapping[str, Any],
                   given: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """The values of the row that change, if there is nothing wrong with those parts of the whole that were given."""
    known = await columns.load(db, access.partner_id)
    found = dict(given)
    if found.get("columns") is not None:
        found["columns"] = list(dict.fromkeys(tables.full_name(known, name) for name in found["columns"]))
    found |= {name: [] for name in ("all", "any") if name in found and found[name] is None}
    faults = _faults(known, {**whole, **found}, masked=columns.masks(access))
    if faults := [fault for fault in faults if fault.pointer.split("/")[1] in given]:
        raise Invalid(errors=faults)
    if "name" in found:
        found |= {"name_key": words.name_key(found["name"]), "name_search": words.search_key(found["name"])}
    return found


def _faults(known: Columns, asked: Mapping[str, Any], *, masked: bool) -> list[Fault]:
    """What of a view does not hold: pointers into it."""
    named, alive = asked["columns"] or (), tables.names_of(known)
    found = [Fault(f"/columns/{n}", "unknown_field", NO_COLUMN) for n, name in enumerate(named) if name not in alive]
    query = lists.Query(sort=asked["sort"], all=lists.typed(asked["all"], "/all"),
                        any=lists.typed(asked["any"], "/any"), sort_pointer="/sort")  # fmt: skip
    if len(query.all) + len(query.any) > lists.MAX_FILTERS:
        found += [Fault(f"/{side}", "too_many", TOO_MANY) for side in ("all", "any") if asked[side]]
    return found + lists.faults(tables.all_of(known, masked=masked), query)
