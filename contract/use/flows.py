# What an integrator writes with openapi-python-client: the steps of flows.txt. Checked by mypy --strict, then run.
import os
import re
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import TypeVar, cast
from uuid import UUID

from tenantry_client import AuthenticatedClient, Client
from tenantry_client.api.accounts import (
    create_account,
    export_accounts_as_csv,
    get_account,
    list_accounts,
    search_accounts,
    switch_account,
    update_account,
)
from tenantry_client.api.claims import create_claim, release_claim
from tenantry_client.api.imports import confirm_account_import, create_account_import, get_account_import
from tenantry_client.api.invitations import (
    create_account_invitation,
    create_partner_invitation,
    list_account_invitations,
    resend_account_invitation,
    revoke_account_invitation,
)
from tenantry_client.api.licences import grant_licence
from tenantry_client.api.me import get_me
from tenantry_client.api.members import list_account_members
from tenantry_client.api.partners import create_partner
from tenantry_client.api.properties import create_property, order_properties
from tenantry_client.api.registrations import create_registration, preview_invitation
from tenantry_client.api.sessions import create_session
from tenantry_client.api.views import create_view
from tenantry_client.models import (
    AccountCreate,
    AccountCreateProperties,
    AccountImportCreate,
    AccountImportRead,
    AccountInvitationCreate,
    AccountInvitationCreateRole,
    AccountRead,
    AccountSearch,
    AccountUpdate,
    AccountUpdateProperties,
    BooleanPropertyCreate,
    ClaimCreate,
    ClaimRead,
    DatePropertyCreate,
    DatetimePropertyCreate,
    EmailPropertyCreate,
    EntitlementProblem,
    InvitationPreviewRequest,
    InvitationRead,
    Label,
    LicenceCreate,
    MoneyPropertyCreate,
    MoneyPropertyRead,
    MultiSelectPropertyCreate,
    MultiSelectPropertyRead,
    NumberPropertyCreate,
    NumberPropertyRead,
    Option,
    PartnerCreate,
    PartnerInvitationCreate,
    PhonePropertyCreate,
    ProblemDetails,
    PropertyOrder,
    RegistrationCreate,
    SearchCondition,
    SelectPropertyCreate,
    SessionCreate,
    TextPropertyCreate,
    UrlPropertyCreate,
    UserPropertyCreate,
    ViewCreate,
)
from tenantry_client.types import UNSET, File, Unset

URL = os.environ["TENANTRY_URL"]
DOMAIN = os.environ["MAIL_DOMAIN"]
PASSWORD = "nine purple lanterns"
anonymous = Client(base_url=URL)
seen: set[str] = set()

T = TypeVar("T")


def made(answer: T | ProblemDetails | EntitlementProblem | None) -> T:
    """What was asked for; a problem is raised, by its code."""
    if isinstance(answer, ProblemDetails | EntitlementProblem):
        raise RuntimeError(f"{answer.code}: {answer.detail}")
    assert answer is not None
    return answer


def log_in(email: str, password: str) -> AuthenticatedClient:
    tokens = made(create_session.sync(client=anonymous, body=SessionCreate(email=email, password=password)))
    return AuthenticatedClient(base_url=URL, token=tokens.access_token)


def token_for(email: str) -> str:
    """The token in a mail to somebody, which comes a moment after the invitation; each is good once."""
    page = anonymous.get_httpx_client()
    for _ in range(300):
        for mail in re.findall(r'href="(/dev/mail/[^"]+)"', page.get("/dev/mail").text):
            shown = page.get(mail).text
            found = re.search(r"#token=([\w.-]+)", shown)
            if found and found[1] not in seen and f"<dd>{email}</dd>" in shown:
                seen.add(found[1])
                return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"no mail to {email}")


def register(email: str, name: str) -> AuthenticatedClient:
    body = RegistrationCreate(token=token_for(email), name=name, password=PASSWORD)
    # a token may be there or not; the generator knows only that one may
    made(create_registration.sync(client=cast(AuthenticatedClient, anonymous), body=body))
    return log_in(email, PASSWORD)


def accounts(client: AuthenticatedClient, partner: UUID, conditions: list[str]) -> Iterator[AccountRead]:
    """Every account for which the conditions hold, page by page."""
    cursor: str | Unset | None = UNSET
    while cursor is not None:
        page = made(
            list_accounts.sync(
                partner, client=client, filter_=conditions, sort="-properties.seats", limit=2, cursor=cursor
            )
        )
        yield from page.items
        cursor = page.next_cursor


def shown(column: object) -> str:
    """Columns are told apart by their class."""
    match column:
        case NumberPropertyRead(key=key, unit=unit):
            return f"{key} in {unit}"
        case MoneyPropertyRead(key=key, currency=currency):
            return f"{key} in {currency}"
        case MultiSelectPropertyRead(key=key, options=options):
            return f"{key} of {' '.join(option.key for option in options)}"
        case _:
            return str(getattr(column, "key", column))


def names(rows: Iterable[AccountRead]) -> str:
    return ", ".join(row.name for row in rows)


# an operator opens a partner, whose first admin follows the link of a mail, and lets a colleague see it
operator = log_in("operator@example.com", os.environ["OPERATOR_PASSWORD"])
opened = PartnerCreate(name="Sensorhaus GmbH", first_admin_email=f"anna@{DOMAIN}")
partner = made(create_partner.sync(client=operator, body=opened)).id
anna = register(f"anna@{DOMAIN}", "Anna")
colleague = PartnerInvitationCreate(email=f"bob@{DOMAIN}", role="partner_viewer")
made(create_partner_invitation.sync(partner, client=anna, body=colleague))
bob = register(f"bob@{DOMAIN}", "Bob")
for client in (anna, bob):
    me = made(get_me.sync(client=client))
    print("partner:", me.name, "is", me.partners[0].role, "of", me.partners[0].name)

# she creates an account: the key makes it safe to ask again
nordwerk = AccountCreate(name="Nordwerk GmbH", time_zone="Europe/Berlin")
asked = [
    made(create_account.sync(partner, client=anna, body=nordwerk, idempotency_key=f"order-4711@{DOMAIN}"))
    for _ in range(2)
]
account = asked[0].id
print("account: asked twice,", "made once" if asked[1].id == account else "made twice")
print("account:", names(made(list_accounts.sync(partner, client=anna)).items))

# whoever is a member may enter it; a problem is a value with a type
for client in (anna, bob):
    entered = switch_account.sync(partner, account, client=client)
    print("enter:", f"{entered.status} {entered.code}" if isinstance(entered, ProblemDetails) else made(entered).role)


# people are invited: one who is new, one who is known already, and one by mistake
def invite(email: str, role: AccountInvitationCreateRole) -> InvitationRead:
    body = AccountInvitationCreate(email=email, role=role)
    return made(create_account_invitation.sync(partner, account, client=anna, body=body))


otto = invite(f"otto@{DOMAIN}", "account_admin").id
made(resend_account_invitation.sync(partner, account, otto, client=anna))
revoke_account_invitation.sync(partner, account, otto, client=anna, if_match="*")
invite(f"eva@{DOMAIN}", "account_editor")
eva = register(f"eva@{DOMAIN}", "Eva")
invite(f"bob@{DOMAIN}", "account_viewer")
pending = made(list_account_invitations.sync(partner, account, client=anna, filter_=["status:eq:pending"]))
print("pending:", ", ".join(one.email.partition("@")[0] for one in pending.items))
token = token_for(f"bob@{DOMAIN}")
preview = made(preview_invitation.sync(client=anonymous, body=InvitationPreviewRequest(token=token)))
assert preview.account is not None
print("preview:", preview.invited_by, "invites into", preview.account.name, "as", preview.role)
made(create_registration.sync(client=bob, body=RegistrationCreate(token=token)))
members = made(list_account_members.sync(partner, account, client=anna, sort="name"))
print("members:", ", ".join(member.name for member in members.items))

# columns of her own, in an order of her own
columns = (
    NumberPropertyCreate(type_="number", key="seats", label=Label(en="Seats", de="Plätze"), unit="pcs", min_=0),
    DatePropertyCreate(type_="date", key="contract_end", label=Label(en="Contract end")),
    MoneyPropertyCreate(type_="money", key="fee", label=Label(en="Fee"), currency="EUR"),
    MultiSelectPropertyCreate(
        type_="multi_select",
        key="tags",
        label=Label(en="Tags"),
        options=[Option(key="vip", label=Label(en="VIP")), Option(key="pilot", label=Label(en="Pilot"))],
    ),
)
for column in columns:
    made(create_property.sync(partner, client=anna, body=column))
order = PropertyOrder(keys=["tags", "seats", "fee", "contract_end"])
ordered = made(order_properties.sync(partner, client=anna, body=order))
print("columns:", ", ".join(map(shown, ordered.items)))

# values: a merge patch leaves alone what it does not name, and clears what is None
for seats in range(1, 7):
    tags = ["vip"] if seats % 2 == 0 else ["pilot"]
    values = {"seats": seats, "tags": tags, "contract_end": f"2027-0{seats}-01"}
    new = AccountCreate(name=f"Account {seats}", properties=AccountCreateProperties.from_dict(values))
    made(create_account.sync(partner, client=anna, body=new))


def patch(properties: dict[str, object], version: str) -> AccountRead | ProblemDetails | None:
    body = AccountUpdate(properties=AccountUpdateProperties.from_dict(properties), time_zone=None)
    return update_account.sync(partner, account, client=anna, body=body, if_match=version)


first = get_account.sync_detailed(partner, account, client=anna)
version = first.headers["ETag"]
made(patch({"seats": 40, "fee": {"amount": "12.50", "currency": "EUR"}, "tags": ["vip"]}, version))
changed = made(patch({"tags": None, "contract_end": "2027-03-15"}, "*"))
print("values:", ", ".join(str(changed.properties[key] or "none") for key in ("contract_end", "seats", "tags")))
print("time zone:", changed.time_zone or "none")

# a column of every other type: each is told by its type, takes a value, and leads to the account that has it
manager = str(made(get_me.sync(client=anna)).id)
large = Option(key="large", label=Label(en="Large"))
others = (
    BooleanPropertyCreate(type_="boolean", key="premium", label=Label(en="Premium")),
    DatetimePropertyCreate(type_="datetime", key="visited", label=Label(en="Last visit")),
    EmailPropertyCreate(type_="email", key="contact", label=Label(en="Contact")),
    PhonePropertyCreate(type_="phone", key="phone", label=Label(en="Phone")),
    SelectPropertyCreate(type_="select", key="size", label=Label(en="Size"), options=[large]),
    TextPropertyCreate(type_="text", key="hall", label=Label(en="Hall"), max_length=40),
    UrlPropertyCreate(type_="url", key="website", label=Label(en="Website")),
    UserPropertyCreate(type_="user", key="manager", label=Label(en="Manager")),
)
kinds = [type(made(create_property.sync(partner, client=anna, body=column))).__name__ for column in others]
print("types:", ", ".join(kind.removesuffix("PropertyRead").lower() for kind in kinds))
given: dict[str, object] = {
    "premium": True,
    "visited": "2027-01-31T10:30:00+01:00",
    "contact": "ops@nordwerk.example",
    "phone": "+49 30 123456",
    "size": "large",
    "hall": "Hall 3",
    "website": "https://nordwerk.example",
    "manager": manager,
}
typed = made(patch(given, "*")).properties
spoken = {True: "true", manager: "Anna"}
print("typed:", ", ".join(spoken.get(typed[key], str(typed[key])) for key in given))
leads = ["premium:eq:true", "visited:lt:2027-02-01", "contact:contains:ops@", "phone:starts_with:+49"]
leads += ["size:eq:large", "hall:eq:hall 3", "website:contains:nordwerk", f"manager:eq:{manager}"]
print("by each:", names(row for lead in leads for row in accounts(bob, partner, [f"properties.{lead}"])))

# the table, filtered and sorted, in pages of two; with typed conditions; by a view that others share; as a file
print("pages:", names(accounts(bob, partner, ["properties.seats:gte:2", "status:eq:active"])))
ending = SearchCondition(field="properties.contract_end", operator="lt", value="2027-04-01")
search = AccountSearch(
    all_=[ending],
    any_=[
        SearchCondition(field="properties.seats", operator="in", value=["1", "2"]),
        SearchCondition(field="name", operator="starts_with", value="Nord"),
    ],
    sort="name",
)
print("search:", names(made(search_accounts.sync(partner, client=anna, body=search)).items))
ends = ["name", "properties.contract_end"]
soon = ViewCreate(name="Ending soon", shared=True, columns=ends, all_=[ending], sort="name")
view = made(create_view.sync(partner, client=anna, body=soon)).id
viewed = made(list_accounts.sync(partner, client=bob, view=view)).items
print("view:", ", ".join(f"{row.name} {row.properties['contract_end']}" for row in viewed))
csv = made(export_accounts_as_csv.sync(partner, client=bob, view=view))
print("csv:", len(csv.splitlines()), "lines")

# the file comes back: tried first, then done; what was exported imports back unchanged
file = File(payload=BytesIO(csv.encode()), file_name="accounts.csv", mime_type="text/csv")
begun = made(create_account_import.sync(partner, client=anna, body=AccountImportCreate(file=file, match="name")))


def reached(status: str) -> AccountImportRead:
    for _ in range(300):
        now = cast(AccountImportRead, made(get_account_import.sync(partner, begun.id, client=anna)))
        if now.status == status:
            return now
        time.sleep(0.1)
    raise TimeoutError(status)


reached("checked")
made(confirm_account_import.sync(partner, begun.id, client=anna))
counts = reached("done").result
assert counts is not None
print(f"import: {counts.created} created, {counts.updated} updated, {counts.unchanged} unchanged")

# problems: somebody was faster, and a field that is not valid
stale = patch({"seats": 41}, version)
assert isinstance(stale, ProblemDetails)
print("problem:", stale.status, stale.code)
wrong = AccountCreate(name="Ost AG", properties=AccountCreateProperties.from_dict({"seats": -1}))
invalid = create_account.sync(partner, client=anna, body=wrong)
assert isinstance(invalid, ProblemDetails)
print("problem:", invalid.status, ",".join(f"{one.pointer} {one.code}" for one in invalid.errors))

# units of a feature that the operator has granted are taken, up to the limit
licence = LicenceCreate(feature="assets", units=3, reason="A trial")
made(grant_licence.sync(partner, account, client=operator, body=licence))


def claim(resource: str) -> ClaimRead | ProblemDetails | EntitlementProblem | None:
    body = ClaimCreate(feature="assets", resource=resource, units=2)
    return create_claim.sync(partner, account, client=eva, body=body)


taken = made(claim("plant-1"))
print("claim:", taken.units, taken.feature, "for", taken.resource)
refused = claim("plant-2")
assert isinstance(refused, EntitlementProblem)
print("claim:", refused.code, refused.used, "of", refused.limit, "used,", refused.available, "left")
released = release_claim.sync_detailed(partner, account, taken.id, client=eva)
print("release:", int(released.status_code))
