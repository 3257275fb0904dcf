"""What the contract says in so many words, once for all operations: preface, tags, shared headers and parameters."""

from typing import Any, Final

from app.tidying import EXAMPLE_ID

Document = dict[str, Any]

SCHEME: Final = "accessToken"

DONE: Final = {
    "200": "Done.",
    "201": "Created.",
    "202": "Taken; it is done soon.",
    "204": "Done; there is nothing to show.",
}

UNIONS: Final = {
    "TextPropertyRead": (
        "PropertyRead",
        "A column that the partner has invented; `type` says what else there is of it.",
    ),
    "TextPropertyCreate": ("PropertyCreate", "A column to be added; `type` says what can be said of it."),
    "BatchCreate": ("BatchItem", "An account to be opened or changed; `action` says which."),
    "TextSummary": ("ColumnSummary", "What a column sums up to; `kind` says of what kind it is."),
    "SecretCreate": ("CredentialCreate", "What a client is to prove itself with; `kind` says which."),
}
"""Names of unions, by the first of their kinds."""
PAGE: Final = "A page of a list. With its `next_cursor` the next one is got; on the last page that is null."

TAGS: Final = {
    "sessions": "Logging in and out, and forgotten passwords.",
    "me": "The signed-in user: profile, password, second factor, sessions, and the user's own data.",
    "registrations": "Accepting invitations.",
    "partners": "Resellers with child accounts.",
    "accounts": "Child accounts: the customers of a partner.",
    "imports": "Accounts from CSV and XLSX files: a dry run first, then a job.",
    "jobs": "What workers do for a partner over minutes, of all kinds.",
    "properties": "The columns of the accounts table that a partner invents.",
    "catalogue": "What the service offers: features that may be used, articles that are sold, and price models.",
    "purchases": "Articles that accounts bought: bought, cancelled, renewed, upgraded.",
    "licences": "What accounts may use and for how long: by purchase, by price model, by hand.",
    "entitlements": "What accounts may use, what of it they use, and why something may or may not be used.",
    "claims": "Single uses of what an account is entitled to: units that a resource takes until it is released.",
    "views": "Saved views of the accounts table.",
    "members": "Users with a role in a partner or in an account.",
    "invitations": "E-mails with a role, waiting to become memberships.",
    "events": "What happened in a partner: in order, for programs; and as the audit log, for people.",
    "api clients": "Programs that call for a partner, or for the cloud: their keys, and tokens for them.",
    "webhooks": "Addresses to which a partner has its events sent, signed as Standard Webhooks asks.",
    "policy": "Which role may do what, and the keys that verify tokens.",
    "operation": "Health checks.",
}

DESCRIPTION: Final = """\
Partner management for B2B and IoT clouds: partners create customer accounts, invite people, and see what
each account has.

Send `Authorization: Bearer …` with an access token (people: `POST /v1/sessions`; programs: `POST /v1/oauth/token`)
or with the key of an API client. `x-permission` of an operation is what its caller must be allowed; `GET /v1/roles`
says which role is, and an API client is allowed the scopes that it was given.

Every error is a problem document (RFC 9457) with a stable `code`. Lists are paged by cursor. `PATCH` and
`DELETE` of a resource with an `ETag` need `If-Match`. A `POST` that is repeated with the same
`Idempotency-Key` has its effect once.
"""

INFO: Final = {
    "description": DESCRIPTION,
    "contact": {"name": "The operators of the service"},
    "license": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
}

SERVER: Final = {
    "url": "/",
    "description": "The service that answers with this document, local or in production.",
    "x-internal": False,
}


def _header(description: str, example: object, **schema: Any) -> Document:
    plain: Document = {"type": "string", "maxLength": 200} | ({} if "enum" in schema else {"pattern": "^[ -~]+$"})
    return {"description": description, "schema": plain | schema, "example": example}


HEADERS: Final[dict[str, Document]] = {
    "X-Request-Id": _header("Quote it when you report a problem; yours, if you sent one.", EXAMPLE_ID,
                            maxLength=64, pattern="^[A-Za-z0-9._-]+$"),
    "Access-Control-Allow-Origin": _header("Where the page is from that may read this: for browsers (CORS), when a "
                                           "page asks that the service trusts.", "https://app.example.com",
                                           maxLength=300),
    "ETag": _header("Version of the resource, for If-Match and If-None-Match.", '"3"', pattern='^(W/)?"[!#-~]*"$'),
    "Location": _header("Address of the new resource.", f"/v1/partners/{EXAMPLE_ID}", maxLength=500,
                        format="uri-reference"),
    "Link": _header('RFC 8288; rel="next" while there is another page.', '</v1/partners?cursor=eyJ>; rel="next"',
                    maxLength=60_000),  # the address that was asked for, each sign as three at worst, and a cursor
    "Content-Disposition": _header("RFC 6266: that it is a file, and its name.",
                                   'attachment; filename="accounts-2026-11-24.csv"'),
    "Content-Language": _header("Of `title` and `detail`: what Accept-Language prefers of `en` and `de`.", "en",
                                enum=["en", "de"]),
    "Allow": _header("Methods of this address.", "GET, PATCH"),
    "Idempotency-Replayed": _header("`true` when this is the answer to an earlier request with the same key.", "true",
                                    enum=["true"]),
    "Retry-After": {"description": "Seconds to wait.", "example": 2,
                    "schema": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 86400}},
    "RateLimit-Policy": _header("What the caller may spend: units (`q`) in so many seconds (`w`).",
                                '"credential";q=6000;w=60'),
    "RateLimit": _header("What is left of it (`r`), and in how many seconds all of it is there again (`t`).",
                         '"credential";r=5994;t=1'),
    "WWW-Authenticate": _header("RFC 9110, 11.6.1.", "Bearer"),
}  # fmt: skip
ALWAYS_SENT: Final = ("X-Request-Id", "ETag", "Location", "Content-Disposition", "Content-Language")
"""Headers that no answer lacks of which they are told."""

NOT_WITH_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    "LicenceCreate": ("ends_at",),
    "TokenRequest": ("client_assertion",),
    "PropertyUpdate": ("unit", "currency"),
}
"""Fields that cannot be said together with others, and are left out of the example of a schema."""
PERSON: Final[Document] = {"name": "Eva Nord"}
FEATURE: Final[Document] = {"name": {"en": "Assets", "de": "Anlagen"}, "unit": {"en": "asset", "de": "Anlage"}}
PLAN: Final[Document] = {"name": {"en": "Professional", "de": "Professional"}}
ARTICLE: Final[Document] = {"name": {"en": "100 sensors, one year", "de": "100 Sensoren, ein Jahr"}}
BETTER_SAID: Final[dict[str, Document]] = {
    "UserRead": PERSON,
    "ShownCondition": {"value": "2028-01-01"},
    "MyPartner": {"name": "Sensorhaus GmbH", "role": "partner_admin"},
    "MyAccount": {"role": "account_admin"},
    "AccountArticleRead": ARTICLE,
    "ArticleCreate": ARTICLE,
    "ArticleRead": ARTICLE,
    "DataExportRead": {"status": "done"},
    "EntitlementCheck": FEATURE | {"code": None, "fits_at": None},
    "EntitlementRead": FEATURE,
    "ExplanationRead": FEATURE,
    "FeatureCreate": {"name": FEATURE["name"]},
    "FeatureRead": FEATURE | {"archived_at": None},
    "InvitationPreview": {"role": "account_viewer"},
    "InvitationRead": {"role": "account_viewer"},
    "Me": PERSON | {"operator": False},
    "OverviewPriceModel": PLAN,
    "PartnerRead": {"name": "Sensorhaus GmbH"},
    "PriceModelCreate": PLAN,
    "PriceModelRead": PLAN | {"archived_at": None},
    "RegistrationRead": {"role": "account_viewer"},
    "ViewRead": {"name": "Ending soon", "broken": []},
}
"""What the example of a schema says where those of its fields, each right alone, would contradict each other. What is
part of others comes first: they have it from there."""

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any unique string. A repeat within 24 hours with the same key gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "5e4f0b1c-order-1188",
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag that you have: 304 without a body when it is still the same.",
    "schema": {"type": "string", "maxLength": 200, "pattern": '^(\\*|(W/)?"[!#-~]*")$'},
    "example": '"3"',
}

SECURITY: Final = {
    SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
             "description": "Access token (RFC 6750) of `createSession`, `switchAccount` or `createToken`: a JWT "
                            "as RFC8725 asks. Or the secret of an API client as it is."}
}  # fmt: skip
