"""What is recorded in the change log, as plain data: every type of event, with what it says."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class EventType(NamedTuple):
    """The noun before the dot, the kind of thing that it happened to, and a sentence for those who follow."""

    noun: str
    subject: str
    description: str


_FEED: Final[Mapping[str, Mapping[str, str]]] = {
    "partner": {
        "created": "The partner was created.",
        "updated": "The partner was changed: its name, status, language or time zone, or partner management.",
        "viewed": "An operator of the service read something of the partner's: which operation, at most once in 15 "
        "minutes.",
    },
    "partner_member": {
        "added": "Somebody became a member of the partner.",
        "role_changed": "A member of the partner got another role.",
        "removed": "Somebody is no longer a member of the partner.",
    },
    "account": {
        "created": "An account was created.",
        "updated": "An account was changed: its name, status, price model, time zone or property values.",
        "archived": "An account was archived.",
        "restored": "An account was brought back from the archive.",
    },
    "accounts": {"exported": "Somebody took accounts along as a file: how many columns, not what they say."},
    "audit_log": {"exported": "Somebody took the audit log along as a file."},
    "account_member": {
        "added": "Somebody became a member of an account.",
        "role_changed": "A member of an account got another role.",
        "removed": "Somebody is no longer a member of an account.",
    },
    "invitation": {
        "created": "Somebody was invited.",
        "resent": "An invitation was sent again, with a new link.",
        "revoked": "An invitation was taken back.",
        "accepted": "An invitation was accepted.",
        "expired": "An invitation was too old when somebody invited the same address again.",
        "mail_sent": "A mail server took the mail of an invitation.",
        "mail_failed": "The mail of an invitation could not be delivered.",
    },
    "api_client": {
        "created": "An API client was made.",
        "updated": "An API client was changed: its name, scopes, networks or end.",
        "taken_over": "An API client has another owner.",
        "revoked": "An API client was revoked for good.",
        "credential_added": "An API client got another secret or key.",
        "credential_ended": "A secret or key of an API client was ended.",
    },
    "webhook": {
        "created": "A webhook was made.",
        "updated": "A webhook was changed: its address, description or types.",
        "enabled": "A webhook is sent to again.",
        "disabled": "A webhook is not sent to any more: by hand, because its receiver failed for days, or was gone.",
        "deleted": "A webhook was deleted, with its deliveries.",
        "secret_rotated": "A webhook got another secret.",
        "redelivery_requested": "One delivery of a webhook, or all since a moment, are to be sent again.",
    },
    "property": {
        "created": "A column of the accounts table was defined.",
        "updated": "The definition of a column was changed.",
        "archived": "A column was archived; accounts keep its values.",
        "restored": "A column was brought back from the archive.",
        "deleted": "A column was deleted, with its values.",
    },
    "view": {
        "created": "A view of the accounts table was saved.",
        "updated": "A saved view was changed.",
        "deleted": "A saved view was deleted.",
    },
    "account_import": {
        "created": "A file of accounts was uploaded.",
        "checked": "The dry run of an import has ended.",
        "confirmed": "An import was confirmed, and runs.",
        "cancelled": "An import was cancelled.",
        "finished": "An import has come to its end.",
        "failed": "An import ended before its last row.",
    },
    "account_article": {
        "bought": "An article was bought for an account.",
        "updated": "The order or invoice number of a purchase was changed.",
        "cancelled": "A purchase was cancelled; it ends when `ends_at` says.",
        "renewed": "A purchase was continued by another one.",
        "upgraded": "A purchase was replaced by one of another article.",
    },
    "licence": {
        "granted": "An account got a licence.",
        "updated": "A licence was changed.",
        "suspended": "A licence was suspended: it gives nothing until it is resumed.",
        "resumed": "A licence gives its units again.",
        "revoked": "A licence was revoked for good.",
        "ended": "A licence got an earlier end, with what granted it.",
        "ends_soon": "A licence ends in 30 days, in 7, or in one.",
    },
    "entitlement": {
        "nearly_used": "An account has used most of what it may use of a feature.",
        "used_up": "An account has used all that it may use of a feature.",
    },
    "licence_file": {"issued": "Somebody took a signed file of an account's entitlements along."},
    "claim": {
        "created": "A resource took units of a feature.",
        "released": "A resource gave its units back.",
    },
}  # fmt: skip
"""In the feed of a partner: by noun, then by what became of it."""

_SUBJECTS: Final = {"accounts": "partner", "audit_log": "partner"}
"""Where the noun is not what it happened to."""

FEED: Final[Mapping[str, EventType]] = {
    f"{noun}.{past}": EventType(noun, _SUBJECTS.get(noun, noun), said)
    for noun, types in _FEED.items()
    for past, said in types.items()
}

OF_NO_PARTNER: Final = frozenset({
    "user.created", "user.updated", "user.password_changed", "user.password_reset", "user.password_reset_opened",
    "user.recovery_code_used", "user.recovery_codes_renewed", "user.totp_started", "user.totp_enabled",
    "user.totp_disabled", "user.erasure_asked", "user.erased", "session.started", "session.ended",
    "data_export.created",
    *(f"{noun}.{past}" for noun in ("feature", "article", "price_model")
      for past in ("created", "updated", "archived", "restored")),
})  # fmt: skip
"""Users, their sessions, and the catalogue: in no partner's feed."""

KNOWN: Final = frozenset(FEED) | OF_NO_PARTNER
