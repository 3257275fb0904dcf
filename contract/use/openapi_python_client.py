# What an integrator writes with openapi-python-client: from an operator to a claim. Checked by mypy --strict, then run.
import os
import re
import time
from collections.abc import Iterator
from typing import TypeVar, cast
from uuid import UUID

from client import AuthenticatedClient, Client
from client.api.accounts import create_account, list_accounts, update_account
from client.api.catalogue import create_feature
from client.api.claims import create_claim, release_claim
from client.api.invitations import create_partner_invitation
from client.api.licences import grant_licence
from client.api.me import get_me
from client.api.partners import create_partner
from client.api.properties import create_property
from client.api.registrations import create_registration
from client.api.sessions import create_session
from client.models import (
    AccountCreate,
    AccountCreateProperties,
    AccountRead,
    AccountUpdate,
    AccountUpdateProperties,
    ClaimCreate,
    EntitlementProblem,
    FeatureCreate,
    FeatureKind,
    Label,
    LicenceCreate,
    NumberPropertyCreate,
    NumberPropertyCreateType,
    PartnerCreate,
    PartnerInvitationCreate,
    PartnerInvitationCreateRole,
    ProblemDetails,
    RegistrationCreate,
    SessionCreate,
)
from client.types import UNSET, Unset

URL = os.environ["TENANTRY_URL"]
PASSWORD = "nine purple lanterns"
anonymous = Client(base_url=URL)

T = TypeVar("T")


def made(answer: T | ProblemDetails | EntitlementProblem | None) -> T:
    """What was asked for, and no problem."""
    assert answer is not None
    assert not isinstance(answer, ProblemDetails | EntitlementProblem), answer
    return answer


def log_in(email: str, password: str) -> AuthenticatedClient:
    tokens = made(create_session.sync(client=anonymous, body=SessionCreate(email=email, password=password)))
    return AuthenticatedClient(base_url=URL, token=tokens.access_token)


def token_for(email: str) -> str:
    """The token of the newest mail to somebody; mails come a moment after what they tell of."""
    page = anonymous.get_httpx_client()
    for _ in range(200):
        for mail in re.findall(r'href="(/dev/mail/[^"]+)"', page.get("/dev/mail").text):
            text = page.get(mail).text
            if (found := re.search(r"#token=([\w.-]+)", text)) and f"<dd>{email}</dd>" in text:
                return found[1]
        time.sleep(0.1)
    raise AssertionError(f"no mail to {email}")


def join(email: str, name: str) -> AuthenticatedClient:
    body = RegistrationCreate(token=token_for(email), name=name, password=PASSWORD)
    # a token may be there or not; the generator knows only that one may
    made(create_registration.sync(client=cast(AuthenticatedClient, anonymous), body=body))
    return log_in(email, PASSWORD)


def rows(client: AuthenticatedClient, partner: UUID, *conditions: str) -> Iterator[AccountRead]:
    """Every account for which the conditions hold, page by page."""
    cursor: str | Unset | None = UNSET
    while cursor is not None:
        page = made(
            list_accounts.sync(
                partner, client=client, filter_=list(conditions), sort="-properties.seats", limit=2, cursor=cursor
            )
        )
        yield from page.items
        cursor = page.next_cursor


operator = log_in("operator@example.com", os.environ["OPERATOR_PASSWORD"])

# an operator opens a partner, whose first admin follows the link of a mail, and invites another
partner = made(
    create_partner.sync(
        client=operator, body=PartnerCreate(name="Sensorhaus GmbH", first_admin_email="anna@sensorhaus.example.com")
    )
).id
anna = join("anna@sensorhaus.example.com", "Anna Admin")
assert [one.name for one in made(get_me.sync(client=anna)).partners] == ["Sensorhaus GmbH"]
viewer = PartnerInvitationCreateRole.PARTNER_VIEWER
invitation = PartnerInvitationCreate(email="bob@sensorhaus.example.com", role=viewer)
made(create_partner_invitation.sync(partner, client=anna, body=invitation))
bob = join("bob@sensorhaus.example.com", "Bob")

# a column, accounts with values of it, and a table that is filtered by it and read in pages
column = NumberPropertyCreate(key="seats", label=Label(en="Seats"), type_=NumberPropertyCreateType.NUMBER)
made(create_property.sync(partner, client=anna, body=column))
accounts: list[AccountRead] = []
for seats in range(7):
    values = AccountCreateProperties.from_dict({"seats": seats})
    account = AccountCreate(name=f"Nordwerk {seats}", properties=values)
    accounts.append(made(create_account.sync(partner, client=anna, body=account, idempotency_key=f"nordwerk-{seats}")))
last = accounts[-1]
change = AccountUpdate(properties=AccountUpdateProperties.from_dict({"seats": 40}))
changed = update_account.sync_detailed(partner, last.id, client=anna, body=change, if_match="*")
assert made(changed.parsed).properties["seats"] == 40
found = [row.name for row in rows(bob, partner, "properties.seats:gte:2")]
assert found == ["Nordwerk 6", "Nordwerk 5", "Nordwerk 4", "Nordwerk 3", "Nordwerk 2"], found

# problems are values with types
stale = update_account.sync_detailed(partner, last.id, client=anna, body=change, if_match='"7"')
assert isinstance(stale.parsed, ProblemDetails)
assert (stale.status_code, stale.parsed.status, stale.parsed.code) == (412, 412, "version_mismatch")
unnamed = create_account.sync(partner, client=anna, body=AccountCreate(name=""))
assert isinstance(unnamed, ProblemDetails)
assert [error.pointer for error in unnamed.errors] == ["/name"]

# units of a feature that the operator has granted are taken, up to the limit
feature = FeatureCreate(key="assets", kind=FeatureKind.QUOTA, name=Label(en="Assets"))
made(create_feature.sync(client=operator, body=feature))
licence = LicenceCreate(feature="assets", units=3, reason="A trial")
made(grant_licence.sync(partner, last.id, client=operator, body=licence))
claim = made(
    create_claim.sync(partner, last.id, client=anna, body=ClaimCreate(feature="assets", resource="plant-1", units=2))
)
assert (claim.units, claim.resource) == (2, "plant-1")
refused = create_claim.sync(
    partner, last.id, client=anna, body=ClaimCreate(feature="assets", resource="plant-2", units=2)
)
assert isinstance(refused, EntitlementProblem)
assert (refused.code, refused.limit, refused.used, refused.available) == ("licence_exhausted", 3, 2, 1)
assert release_claim.sync_detailed(partner, last.id, claim.id, client=anna).status_code == 204

print(f"a partner, {len(accounts)} accounts, {len(found)} rows in pages of 2, a claim, 3 problems")
