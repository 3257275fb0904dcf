from typing import Annotated

from pydantic import Field

from app.schemas.account import AccountRead
from app.schemas.account_article import AccountArticleRead
from app.schemas.base import Out
from app.schemas.entitlement import EntitlementRead
from app.schemas.invitation import InvitationRead
from app.schemas.licence import LicenceRead
from app.schemas.member import MemberRead
from app.schemas.price_model import PriceModelKey
from app.schemas.property import Label
from app.schemas.text import Description


def _more(address: str) -> object:
    return Field(description=f"Whether there are more than are shown here: `{address}` has all of them.")


class OverviewPriceModel(Out):
    """The price model that an account is in; what it grants stands among the licences."""

    key: PriceModelKey
    name: Label
    description: Description


class AccountOverview(Out):
    """Everything of one account, as of one moment."""

    account: Annotated[AccountRead, Field(description="The account itself, with its property values.")]
    price_model: Annotated[OverviewPriceModel | None, Field(description="The price model that it is in, if any.")]
    members: Annotated[list[MemberRead], Field(max_length=1000, description="By name.")]
    members_more: Annotated[bool, _more("{account}/members")]
    pending_invitations: Annotated[list[InvitationRead], Field(max_length=1000, description="Newest first.")]
    pending_invitations_more: Annotated[bool, _more("{account}/invitations")]
    articles: Annotated[
        list[AccountArticleRead],
        Field(max_length=100, description="The purchases that have not ended; those that start last come first."),
    ]
    articles_more: Annotated[bool, _more("{account}/articles")]
    licences: Annotated[
        list[LicenceRead],
        Field(max_length=100, description="The licences that give their units now, will give them later, or are "
              "suspended; those that start last come first."),
    ]  # fmt: skip
    licences_more: Annotated[bool, _more("{account}/licences")]
    entitlements: Annotated[
        list[EntitlementRead],
        Field(max_length=100, description="What it may use and uses: the features that it is or will be licensed for, "
              "uses, or has by default; by key."),
    ]  # fmt: skip
    entitlements_more: Annotated[bool, _more("{account}/entitlements")]
