"""Property definitions as they are given: one model a type, told apart by `type`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from app.schemas.base import In

RESERVED = frozenset({"id", "name", "status", "created_at", "updated_at", "member_count", "price_model", "partner_id"})
KEY = r"^[a-z][a-z0-9_]{0,39}$"


def _key(value: str) -> str:
    if value in RESERVED:
        raise PydanticCustomError("reserved_key", "a column of every account has this name")
    return value


Key = Annotated[
    str,
    Field(
        pattern=KEY,
        max_length=40,
        description="Stable name, unique in the partner: what JSON, filters and CSV use. Never changes.",
        examples=["contract_end"],
    ),
]
Line = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["Contract end"])]
Help = Annotated[str, Field(min_length=1, max_length=1000, examples=["As on the signed offer."])]
Bound = Annotated[float, Field(strict=True, ge=-1e15, le=1e15, allow_inf_nan=False, examples=[0])]
Amount = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$", max_length=21, examples=["0.00"])]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10, examples=["2027-01-31"])]
Moment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(Z|[+-][0-9]{2}:[0-9]{2})$",
        max_length=35,
        examples=["2027-01-31T09:30:00Z"],
    ),
]
Editor = Literal["partner_admin", "partner_manager"]
Editors = Annotated[
    list[Editor], Field(max_length=2, description="Roles that may change values; operators always may.")
]
Flag = Annotated[bool, Field(strict=True)]


class Label(BaseModel):
    """What people read, in English or German; where one is missing, the other is shown."""

    model_config = {"extra": "forbid"}

    en: Line | None = None
    de: Line | None = None


class HelpText(BaseModel):
    """What helps people to fill it in."""

    model_config = {"extra": "forbid"}

    en: Help | None = None
    de: Help | None = None


class Option(BaseModel):
    """One choice. Its key is the value; label, colour, order and archiving touch no values."""

    model_config = {"extra": "forbid"}

    key: Key
    label: Label
    colour: Annotated[
        str | None, Field(pattern=r"^#[0-9a-f]{6}$", max_length=7, description="sRGB, `#rrggbb`.", examples=["#1a7f37"])
    ] = None
    archived: Annotated[Flag, Field(description="Stays on the values that have it; cannot be chosen any more.")] = False


# --- what each type asks for ---


class TextInputs(BaseModel):
    max_length: Annotated[
        int, Field(ge=1, le=10_000, strict=True, description="Characters; a filterable text has at most 200.")
    ] = 200
    pattern: Annotated[
        str | None,
        Field(max_length=500, description="RE2 syntax; the whole text must match.", examples=["[A-Z]{2}-[0-9]{4}"]),
    ] = None
    multi_line: Flag = False


class NumberInputs(BaseModel):
    min: Bound | None = None
    max: Bound | None = None
    decimals: Annotated[int | None, Field(ge=0, le=15, strict=True, description="Decimal places at most.")] = None
    unit: Annotated[Line | None, Field(max_length=20, examples=["kWh"])] = None


class MoneyInputs(BaseModel):
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217.", examples=["EUR"])]
    min: Amount | None = None
    max: Amount | None = None


class BooleanInputs(BaseModel):
    true_label: Label | None = None
    false_label: Label | None = None


class DateInputs(BaseModel):
    min: Day | None = None
    max: Day | None = None


class DatetimeInputs(BaseModel):
    min: Moment | None = None
    max: Moment | None = None


class OptionInputs(BaseModel):
    options: Annotated[list[Option], Field(min_length=1, max_length=200, description="In the order of display.")]


class UserInputs(BaseModel):
    roles: Annotated[
        list[Literal["partner_admin", "partner_manager", "partner_viewer"]],
        Field(min_length=1, max_length=3, description="Members of the partner with one of these roles may be chosen."),
    ] = ["partner_admin", "partner_manager", "partner_viewer"]


class UniqueInput(BaseModel):
    unique: Annotated[Flag, Field(description="No two accounts that are not archived share a value.")] = False


# --- making one ---


class _Create(In):
    key: Annotated[Key, AfterValidator(_key)]
    label: Label
    help: HelpText = HelpText()
    required: Annotated[Flag, Field(description="Asked for when an account is created or its values change.")] = False
    filterable: Annotated[Flag, Field(description="Whether the table is filtered and sorted by it.")] = True
    sensitive: Annotated[
        Flag, Field(description="Hidden from whoever may not change accounts, from exports, webhooks and `q`.")
    ] = False
    editable_by: Editors = ["partner_admin", "partner_manager"]
    default: Annotated[Any, Field(description="Value of a new account for which none is given.")] = None


class TextPropertyCreate(_Create, TextInputs, UniqueInput):
    """A text."""

    type: Literal["text"]


class NumberPropertyCreate(_Create, NumberInputs, UniqueInput):
    """A number, exact to 15 digits."""

    type: Literal["number"]


class MoneyPropertyCreate(_Create, MoneyInputs):
    """An amount of one currency."""

    type: Literal["money"]


class BooleanPropertyCreate(_Create, BooleanInputs):
    """Yes or no."""

    type: Literal["boolean"]


class DatePropertyCreate(_Create, DateInputs, UniqueInput):
    """A day."""

    type: Literal["date"]


class DatetimePropertyCreate(_Create, DatetimeInputs):
    """A moment."""

    type: Literal["datetime"]


class SelectPropertyCreate(_Create, OptionInputs):
    """One of several options."""

    type: Literal["select"]


class MultiSelectPropertyCreate(_Create, OptionInputs):
    """Any of several options."""

    type: Literal["multi_select"]


class UrlPropertyCreate(_Create, UniqueInput):
    """A web address."""

    type: Literal["url"]


class EmailPropertyCreate(_Create, UniqueInput):
    """An e-mail address."""

    type: Literal["email"]


class PhonePropertyCreate(_Create, UniqueInput):
    """A telephone number, kept as E.164."""

    type: Literal["phone"]


class UserPropertyCreate(_Create, UserInputs):
    """One of the partner's members."""

    type: Literal["user"]


PropertyCreate = Annotated[
    TextPropertyCreate
    | NumberPropertyCreate
    | MoneyPropertyCreate
    | BooleanPropertyCreate
    | DatePropertyCreate
    | DatetimePropertyCreate
    | SelectPropertyCreate
    | MultiSelectPropertyCreate
    | UrlPropertyCreate
    | EmailPropertyCreate
    | PhonePropertyCreate
    | UserPropertyCreate,
    Field(discriminator="type"),
]
CREATES: dict[str, type[BaseModel]] = {
    "text": TextPropertyCreate, "number": NumberPropertyCreate, "money": MoneyPropertyCreate,
    "boolean": BooleanPropertyCreate, "date": DatePropertyCreate, "datetime": DatetimePropertyCreate,
    "select": SelectPropertyCreate, "multi_select": MultiSelectPropertyCreate, "url": UrlPropertyCreate,
    "email": EmailPropertyCreate, "phone": PhonePropertyCreate, "user": UserPropertyCreate,
}  # fmt: skip


class PropertyUpdate(In):
    """JSON merge patch: a field left out stays as it is; which others there are depends on the type."""

    label: Annotated[Label, Field(default=None, validate_default=False)]
    help: Annotated[HelpText, Field(default=None, validate_default=False)]
    required: Annotated[Flag, Field(default=None, validate_default=False)]
    unique: Annotated[Flag, Field(default=None, validate_default=False)]
    filterable: Annotated[Flag, Field(default=None, validate_default=False)]
    sensitive: Annotated[Flag, Field(default=None, validate_default=False)]
    editable_by: Annotated[Editors, Field(default=None, validate_default=False)]
    default: Annotated[Any, Field(description="Value of a new account for which none is given; null: none.")] = None
    max_length: Annotated[int, Field(default=None, validate_default=False, ge=1, le=10_000, strict=True)]
    pattern: Annotated[str | None, Field(max_length=500, examples=["[A-Z]{2}[0-9]+"])] = None
    multi_line: Annotated[Flag, Field(default=None, validate_default=False)]
    min: Bound | Amount | Day | Moment | None = None
    max: Bound | Amount | Day | Moment | None = None
    decimals: Annotated[int | None, Field(ge=0, le=15, strict=True)] = None
    unit: Annotated[Line | None, Field(max_length=20, examples=["kWh"])] = None
    currency: Annotated[
        str, Field(default=None, validate_default=False, pattern=r"^[A-Z]{3}$", max_length=3, examples=["EUR"])
    ]
    true_label: Label | None = None
    false_label: Label | None = None
    options: Annotated[list[Option], Field(default=None, validate_default=False, min_length=1, max_length=200)]
    roles: Annotated[
        list[Annotated[str, Field(max_length=40, examples=["account_admin"])]],
        Field(default=None, validate_default=False, min_length=1, max_length=3),
    ]
