"""What every table shares."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Enum, Integer, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, declared_attr, mapped_column
from uuid_utils.compat import uuid7

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

PLATFORM = UUID(int=0)
"""Stands for the service itself where a partner id is due: the stream of events that belong to no partner."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): made here, in order of time."""
    return uuid7()


def first_id(at: datetime) -> UUID:
    """Where in the order of ids those begin that are made from this moment on."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def word(kind: type[StrEnum]) -> Enum:
    """A column of one of a few words, as text: a new word needs no ALTER TYPE (its CHECK constraint says which)."""
    return Enum(kind, native_enum=False, length=20, values_callable=lambda _: [k.value for k in kind])


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True, repr=False, eq=False):
    """A table. Constructors take keywords only and are type-checked."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        str: Text(),
        bytes: LargeBinary(),
        int: Integer(),
        dict[str, Any]: JSONB(none_as_null=True),
    }


class Tenanted(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """A row of one partner (or of `PLATFORM`). `app.tenancy` and row-level security confine every statement to it."""

    partner_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-20)


class Identified(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """A row with an id of its own."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=new_id, sort_order=-10)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now, init=False, sort_order=90)


class Versioned(MappedAsDataclass, kw_only=True, repr=False, eq=False):
    """A row with an optimistic lock."""

    version: Mapped[int] = mapped_column(init=False, sort_order=92)
    updated_at: Mapped[datetime] = mapped_column(default_factory=utc_now, onupdate=utc_now, init=False, sort_order=91)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}

    @property
    def etag(self) -> str:
        """Changes whenever what the API shows of the row does."""
        return str(self.version)


__all__ = ["PLATFORM", "Base", "Identified", "Tenanted", "Versioned", "new_id", "utc_now", "word"]
