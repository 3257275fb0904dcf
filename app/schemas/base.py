"""What all schemas share: strict inputs, complete outputs, and the few types that recur."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from app import words


class In(BaseModel):
    """An input: unknown fields are refused, and no value is taken for one of another type."""

    model_config = ConfigDict(extra="forbid", json_schema_mode_override="validation")


class Out(BaseModel):
    """An output: every field is always there, null when empty."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_mode_override="serialization",
        json_schema_serialization_defaults_required=True,
    )


def _name(value: str) -> str:
    found = words.clean(value)
    if not found:
        raise PydanticCustomError("string_too_short", "too short", {"min_length": 1})
    if len(found) > words.MAX_NAME:  # the normal form may be longer than what was typed
        raise PydanticCustomError("string_too_long", "too long", {"max_length": words.MAX_NAME})
    if words.holds_address(found):
        raise PydanticCustomError("address_in_name", "a web address")
    if not words.is_printable(found):
        raise PydanticCustomError("unprintable", "unprintable characters")
    return found


def _email(value: str) -> str:
    try:
        return words.email(value)
    except ValueError:
        raise PydanticCustomError("email", "not an e-mail address") from None


TIME_ZONES: Final = available_timezones() - {"localtime", "Factory"}  # which some systems have, and no other knows


def _time_zone(value: str) -> str:
    if value not in TIME_ZONES:
        raise PydanticCustomError("time_zone", "no time zone")
    return value


_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _instant(value: object) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            found = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if 2000 <= found.year < 3000:
                return found.replace(microsecond=found.microsecond // 1000 * 1000)
    raise PydanticCustomError("datetime_parsing", "no moment with its zone")


def _only_text(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "not a string")
    return value


def _line(value: str) -> str:
    found = words.clean(value)
    if not found:
        raise PydanticCustomError("string_too_short", "too short", {"min_length": 1})
    if not words.is_printable(found):
        raise PydanticCustomError("unprintable", "unprintable characters")
    return found


Name = Annotated[str, Field(min_length=1, max_length=words.MAX_NAME), AfterValidator(_name)]
ShownName = Annotated[str, Field(max_length=words.MAX_NAME, examples=["Nordwerk GmbH"])]
Email = Annotated[
    str,
    Field(
        min_length=3,
        max_length=254,
        description="E-mail address; ASCII before the @, any domain.",
        examples=["eva@nordwerk.example.com"],
        json_schema_extra={"format": "idn-email"},
    ),
    AfterValidator(_email),
]
ShownEmail = Annotated[
    str, Field(max_length=254, examples=["eva@nordwerk.example.com"], json_schema_extra={"format": "idn-email"})
]
Password = Annotated[
    str, BeforeValidator(_only_text), Field(min_length=1, max_length=1024, examples=["correct horse battery"])
]
TimeZone = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="Name of a time zone in the IANA database. Whoever counts in days, months or years counts by its "
        "calendar and its clocks.",
        examples=["Europe/Berlin"],
    ),
    AfterValidator(_time_zone),
]
Language = Annotated[Literal["en", "de"], Field(description="Language of mails and pages.")]
GivenInstant = Annotated[
    datetime,
    BeforeValidator(_instant),
    Field(
        description="Moment with its zone (RFC 3339), from 2000 to 2999; kept in UTC, to the millisecond.",
        examples=["2026-11-23T09:30:00Z"],
        json_schema_extra={"format": "date-time", "maxLength": 35},
    ),
]
Instant = Annotated[
    datetime,
    PlainSerializer(words.stamp, return_type=str),
    Field(
        description="Moment in UTC (RFC 3339).",
        examples=["2026-11-23T09:30:00.000Z"],
        json_schema_extra={"format": "date-time", "maxLength": 35},
    ),
]
OrderNumber = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Number of the order, as your own systems know it.",
        examples=["PO-2026-1188"],
    ),
    AfterValidator(_line),
]
InvoiceNumber = Annotated[
    str,
    Field(min_length=1, max_length=64, description="Number of the invoice.", examples=["RE-2026-0042"]),
    AfterValidator(_line),
]
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="Why, for whoever reads the change log.",
        examples=["Agreed with the customer."],
    ),
    AfterValidator(_line),
]
