from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue

from app.models import AccountStatus, FeatureKind, LicenceSource, Overage, PartnerStatus, SuspendedBy
from app.policy import Role
from app.schemas.base import Instant, Out, ShownName
from app.schemas.feature import FeatureKey
from app.schemas.property import Label

INT64: dict[str, JsonValue] = {"format": "int64"}
Limit = Annotated[
    int,
    Field(ge=0, le=2**53, json_schema_extra=INT64, examples=[100],
          description="Units that the licences in force give, or the feature's default when there is none."),
]  # fmt: skip
Used = Annotated[int, Field(ge=0, description="Units that live claims hold.", examples=[42])]
Cap = Annotated[
    int | None, Field(ge=1, description="The most that one claim may take; null: no such bound.", examples=[5])
]
Asked = Annotated[int, Field(ge=1, le=1_000_000, description="Units that were asked about.", examples=[1])]
Code = Annotated[
    str | None,
    Field(max_length=80, pattern=r"^[a-z_]+$", examples=["licence_exhausted"],
          description="Code of the problem that a claim would be answered with; null: it would be made."),
]  # fmt: skip
FitsAt = Annotated[
    Instant | None,
    Field(description="When there will be so many units, by the clock alone; null: never, or there are now."),
]
Expires = Annotated[
    Instant | None,
    Field(description="The earliest end of a licence in force; its days of grace come after it. Null: none ends."),
]
Share = Annotated[
    int,
    Field(ge=0, le=1_000_000, examples=[42],
          description="Used units in percent of the limit, rounded down; 1,000,000 for units without any limit."),
]  # fmt: skip


class NextChange(Out):
    """When a limit will be another one by the clock alone, and which."""

    at: Instant
    limit: Limit


class EntitlementRead(Out):
    """What an account may use of a feature, and what of it is used."""

    feature: FeatureKey
    kind: FeatureKind
    name: Label
    unit: Annotated[Label | None, Field(description="What one unit is called; null for a switch.")]
    overage: Annotated[Overage, Field(description="How far above the limit claims may go.")]
    licensed: Annotated[bool, Field(description="Whether a licence is in force, or the feature has a default.")]
    limit: Limit
    reach: Annotated[
        int | None,
        Field(ge=0, le=2**54, json_schema_extra=INT64, examples=[125],
              description="Up to how many units claims may go, overage included; null: as far as they like."),
    ]  # fmt: skip
    used: Used
    available: Annotated[
        int,
        Field(
            ge=0,
            le=2**53,
            json_schema_extra=INT64,
            description="Units below the limit that nobody holds.",
            examples=[58],
        ),
    ]
    overused: Annotated[
        int,
        Field(
            ge=0, description="Units that are held above the limit: a limit shrank, or may be overrun.", examples=[0]
        ),
    ]
    max_units_per_claim: Cap
    next_change: Annotated[
        NextChange | None, Field(description="When the limit changes next by the clock alone; null: never.")
    ]
    expires_at: Expires


class EntitlementCheck(EntitlementRead):
    """An entitlement, and whether the caller could claim so many units of it now."""

    units: Asked
    fits: Annotated[bool, Field(description="Whether a claim of the caller's for so many units would be made now.")]
    code: Code
    fits_at: FitsAt


class ExplanationStep(Out):
    """One question that is asked of every claim. The first that is answered with no decides."""

    step: Annotated[
        Literal["user", "partner", "role", "account", "licence", "use", "limit"],
        Field(
            description="`user`: may the person sign in; `partner`: is it active, and its people let in; `role`: is "
            "the person a member who may claim; `account`: is it active; `licence`: is one in force; `use`: may one "
            "claim take so many units; `limit`: are there so many left."
        ),
    ]
    passed: bool
    code: Code


class ExplainedLicence(Out):
    """A licence of the account for the feature."""

    id: UUID
    state: Literal["scheduled", "active", "grace", "expired", "suspended", "revoked"]
    counts: Annotated[bool, Field(description="Whether it gives its units now.")]
    units: Annotated[int, Field(ge=0, examples=[100])]
    max_units_per_claim: Cap
    starts_at: Instant
    ends_at: Instant | None
    grace_days: Annotated[int, Field(ge=0, description="Days after its end in which it still gives its units.")]
    source: LicenceSource
    account_article_id: Annotated[UUID | None, Field(description="The purchase that gave it.")]
    article: Annotated[
        str | None, Field(max_length=40, description="Number of the article that was bought.", examples=["ASSET-100"])
    ]
    price_model: Annotated[
        str | None, Field(max_length=40, description="Key of the price model that gave it.", examples=["basic"])
    ]
    order_number: Annotated[
        str | None, Field(max_length=100, description="The order it came with.", examples=["PO-2026-1188"])
    ]
    suspended_by: SuspendedBy | None


class RemedyPrice(Out):
    """What a remedy costs: an amount of a currency, with as many decimal places as that has, or as it needs."""

    amount: Annotated[
        str,
        Field(max_length=20, pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$", description="Decimal number.",
              examples=["49.00"]),
    ]  # fmt: skip
    currency: Annotated[
        str, Field(pattern=r"^[A-Z]{3}$", min_length=3, max_length=3, description="ISO 4217.", examples=["EUR"])
    ]


class Remedy(Out):
    """What would turn a step that fails. Fields that its kind has nothing to say in are null."""

    kind: Annotated[
        Literal[
            "activate_user", "join", "change_role", "resume_partner", "resume_account", "restore_account", "release",
            "claim_less", "resume_licence", "wait", "buy", "widen_scopes",
        ],
        Field(
            description="`join`: become a member with `role`; `change_role`: to `role`; `release`: claims of so many "
            "`units`; `claim_less`: at most `units` at once; `resume_licence`: those of `licences` that are suspended "
            "(`suspended_by` says whose people may); `wait`: until `at`; `buy`: `quantity` of `article`, the cheapest "
            "of its currency; `widen_scopes`: give the API client the scope `claim:manage`."
        ),
    ]  # fmt: skip
    role: Annotated[Role | None, Field(description="The role of the least rights that may claim.")]
    units: Annotated[
        int | None,
        Field(
            ge=0,
            json_schema_extra=INT64,
            description="Units to be released, to be claimed at most, or that the purchase gives.",
        ),
    ]
    at: Instant | None
    article: Annotated[
        str | None,
        Field(
            max_length=40,
            description="Number of the cheapest article of this currency that gives enough.",
            examples=["LIC-A-10"],
        ),
    ]
    article_name: Label | None
    quantity: Annotated[int | None, Field(ge=1, le=1000, description="How many pieces of it are enough.")]
    price: Annotated[RemedyPrice | None, Field(description="Of the whole quantity, for one billing period.")]


class ExplanationRead(EntitlementRead):
    """Whether somebody may use so many units of a feature, and why: the same verdict that a claim gets."""

    user_id: Annotated[UUID | None, Field(description="The user of whom it speaks; null: the API client that asked.")]
    units: Asked
    allowed: bool
    code: Code
    over_limit: Annotated[bool, Field(description="Whether these units would lie above the limit, wholly or in part.")]
    fits_at: FitsAt
    account_role: Annotated[Role | None, Field(description="The user's role in the account; null: no member.")]
    partner_role: Annotated[Role | None, Field(description="The user's role in the partner; null: no member.")]
    account_status: AccountStatus
    partner_status: PartnerStatus
    partner_management_enabled: bool
    steps: Annotated[list[ExplanationStep], Field(max_length=7, description="In the order in which they are asked.")]
    licences: Annotated[
        list[ExplainedLicence], Field(max_length=100, description="Those in force first, then the latest.")
    ]
    remedies: Annotated[
        list[Remedy],
        Field(max_length=20,
              description="What would make the claim pass, step by step; for too few units, the ways to choose from: "
              "first what costs nothing, then the cheapest purchase of each currency, beginning with the one in which "
              "the account's price model has most prices. Empty when it passes, or nothing would help."),
    ]  # fmt: skip


class AccountEntitlementRead(Out):
    """What one of a partner's accounts may use of a feature, and what of it is used."""

    account_id: UUID
    account_name: ShownName
    account_status: AccountStatus
    feature: FeatureKey
    overage: Overage
    limit: Limit
    used: Used
    available: Annotated[
        int, Field(ge=0, le=2**53, json_schema_extra=INT64, description="Units below the limit that nobody holds.")
    ]
    overused: Annotated[int, Field(ge=0, description="Units that are held above the limit.", examples=[0])]
    usage_percent: Share
    expires_at: Expires
