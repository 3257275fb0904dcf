"""The kinds of failure that clients can meet, as RFC 9457 problems. Raise one; `app.faults` answers with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, Field, JsonValue

Language = str  # "en" or "de"


class Text(NamedTuple):
    """One sentence in each language that the service speaks."""

    en: str
    de: str

    def to(self, language: Language) -> str:
        return self.de if language == "de" else self.en


class Fault(NamedTuple):
    """One wrong field: where (JSON pointer into the body, or `query:name`), a stable code, and what to do."""

    pointer: str
    code: str
    detail: Text


class FieldError(BaseModel):
    """One field that is not valid."""

    pointer: Annotated[
        str,
        Field(
            max_length=300,
            description="JSON pointer (RFC 6901) into the body, or `query:name`, `path:name`, `header:name`.",
            examples=["/name"],
        ),
    ]
    code: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9_]+$", examples=["string_too_long"])]
    detail: Annotated[str, Field(max_length=500, examples=["At most 120 characters."])]


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457). `code` is stable; `title` and `detail` are for people, by `Accept-Language`."""

    type: Annotated[
        str,
        Field(
            max_length=300,
            description="Page about this kind of problem.",
            examples=["https://tenantry.example.com/problems/name_taken"],
        ),
    ]
    title: Annotated[str, Field(max_length=200, examples=["The name is already in use"])]
    status: Annotated[int, Field(ge=400, le=599, examples=[409])]
    code: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9_]+$", examples=["name_taken"])]
    detail: Annotated[str, Field(max_length=1000, examples=["Another account of this partner has this name."])]
    request_id: Annotated[str, Field(max_length=64, examples=["0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"])]
    errors: Annotated[list[FieldError], Field(max_length=100, description="The wrong fields; empty when none is.")]


INSTANT: dict[str, JsonValue] = {"format": "date-time", "maxLength": 35}


class LimitChange(BaseModel):
    """When a limit will be another one by the clock alone, and which."""

    at: Annotated[
        str,
        Field(description="Moment in UTC.", examples=["2027-01-01T00:00:00.000Z"], json_schema_extra=INSTANT),
    ]
    limit: Annotated[
        int, Field(ge=0, description="Units from then on.", examples=[150], json_schema_extra={"format": "int64"})
    ]


class EntitlementProblem(ProblemDetails):
    """Problem details, which say of what there is too little. With other codes than `licence_exhausted` and
    `too_many_units_for_one_use`, the members from `limit` on are left out."""

    limit: Annotated[
        int | None,
        Field(
            ge=0,
            description="Units that the licences in force give.",
            examples=[100],
            json_schema_extra={"format": "int64"},
        ),
    ] = None
    used: Annotated[int | None, Field(ge=0, description="Units that live claims hold.", examples=[100])] = None
    available: Annotated[
        int | None,
        Field(
            ge=0,
            description="Units below the limit that nobody holds.",
            examples=[0],
            json_schema_extra={"format": "int64"},
        ),
    ] = None
    max_units_per_claim: Annotated[
        int | None, Field(ge=1, description="The most that one claim may take; null: no such bound.", examples=[5])
    ] = None
    next_change: Annotated[
        LimitChange | None, Field(description="When the limit changes next by the clock alone; null: never.")
    ] = None
    fits_at: Annotated[
        str | None,
        Field(
            description="When as many units will fit, if nothing but the clock changes; null: never.",
            examples=["2027-01-01T00:00:00.000Z"],
            json_schema_extra=INSTANT,
        ),
    ] = None


UUID_TEXT: dict[str, JsonValue] = {"format": "uuid", "maxLength": 36}


class AdminOf(BaseModel):
    """A partner, or an account of it, in which nobody else is an active admin."""

    partner_id: Annotated[str, Field(description="Id of the partner.", json_schema_extra=UUID_TEXT)]
    partner_name: Annotated[str, Field(max_length=120, description="Its name.", examples=["Acme"])]
    account_id: Annotated[
        str | None, Field(description="Id of the account; null: it is the partner itself.", json_schema_extra=UUID_TEXT)
    ]
    account_name: Annotated[
        str | None, Field(max_length=120, description="The account's name.", examples=["Nordwerk GmbH"])
    ]


class LastAdminProblem(ProblemDetails):
    """Problem details, which say where somebody is the last admin. With other codes than `still_last_admin`, the
    member is left out."""

    admin_of: Annotated[
        list[AdminOf] | None, Field(max_length=100, description="Where another admin is needed first: at most 100.")
    ] = None


KINDS: dict[str, "type[Problem]"] = {}


class Problem(Exception):
    """An expected failure. A subclass per kind; its `code` is API and never renamed."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[Text]
    detail: ClassVar[Text]
    keep: ClassVar[bool] = False
    """Commit what was written before it was raised: the failure itself is worth recording."""
    fixed_headers: ClassVar[Mapping[str, str]] = {}
    shape: ClassVar[type[ProblemDetails]] = ProblemDetails
    example: ClassVar[Mapping[str, Any]] = {}
    """Of the members that its `shape` adds (RFC 9457, 3.2)."""
    fixed_members: ClassVar[Mapping[str, Any]] = {}
    """Those of them that are always the same."""

    def __init__(self, *, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None,
                 members: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        super().__init__(self.code)
        self.errors, self.members = list(errors), {**self.fixed_members, **(members or {})}
        self.headers = {**self.fixed_headers, **(headers or {})}

    def __init_subclass__(cls) -> None:
        KINDS[cls.code] = cls


# --- what any request can meet ---


class Malformed(Problem):
    status, code = 400, "malformed_request"
    title = Text("The request cannot be read", "Die Anfrage ist nicht lesbar")
    detail = Text("Send well-formed HTTP and UTF-8 JSON without duplicate keys, NaN or unpaired surrogates.",
                  "Erwartet wird UTF-8-JSON ohne doppelte Schlüssel, NaN oder einzelne Surrogate.")  # fmt: skip


class Unauthenticated(Problem):
    status, code = 401, "unauthenticated"
    title = Text("A valid access token is required", "Ein gültiges Zugriffstoken ist nötig")
    detail = Text("Send an access token (POST /v1/sessions, or refresh), or the secret of an API client, as a bearer "
                  "token. This one is unknown, has ended or was revoked, or there is none.",
                  "Senden Sie ein Zugriffstoken (POST /v1/sessions oder Erneuern) oder das Geheimnis eines API-Clients "
                  "als Bearer-Token. Dieses ist unbekannt, abgelaufen oder widerrufen, oder es fehlt.")  # fmt: skip
    fixed_headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    status, code = 403, "forbidden"
    title = Text("Your role does not allow this", "Ihre Rolle erlaubt das nicht")
    detail = Text("GET /v1/roles says which role may do it; ask an administrator for it.",
                  "GET /v1/roles nennt die nötige Rolle; ein Administrator kann sie vergeben.")  # fmt: skip


class InsufficientScope(Problem):
    status, code = 403, "insufficient_scope"
    title = Text("The token or key is not for this", "Das Token oder der Schlüssel ist nicht dafür")
    detail = Text("A token of an account is good for that account only; an API client, for what its scopes name: "
                  "WWW-Authenticate says which one is missing. Else use the access token of your session.",
                  "Ein Konto-Token gilt nur für sein Konto, ein API-Client nur für seine Scopes: WWW-Authenticate "
                  "nennt den fehlenden. Verwenden Sie sonst das Token Ihrer Sitzung.")  # fmt: skip
    fixed_headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


class NetworkNotAllowed(Problem):
    status, code = 403, "network_not_allowed"
    title = Text("This API client may not call from here", "Dieser API-Client darf von hier nicht aufrufen")
    detail = Text("Call from one of the client's networks, or have them changed.",
                  "Rufen Sie aus einem seiner Netze auf, oder lassen Sie diese ändern.")  # fmt: skip


class ClientOwnerGone(Problem):
    status, code = 403, "client_owner_gone"
    title = Text("Nobody answers for this API client any more", "Für diesen API-Client steht niemand mehr ein")
    detail = Text("Its owner has left the partner. An admin there can take the client over; its secrets stay good.",
                  "Wer ihn besaß, hat den Partner verlassen. Ein Admin kann ihn übernehmen; die Schlüssel "
                  "bleiben gültig.")  # fmt: skip


class NotFound(Problem):
    status, code = 404, "not_found"
    title = Text("Not found", "Nicht gefunden")
    detail = Text("There is no such thing, or none that you may see.",
                  "Das gibt es nicht, oder Sie dürfen es nicht sehen.")  # fmt: skip


class MethodNotAllowed(Problem):
    status, code = 405, "method_not_allowed"
    title = Text("The method is not allowed here", "Diese Methode ist hier nicht erlaubt")
    detail = Text("The Allow header names the methods of this address.",
                  "Der Allow-Header nennt die Methoden dieser Adresse.")  # fmt: skip


class RequestTimeout(Problem):
    status, code = 408, "request_timeout"
    title = Text("The request took too long to arrive", "Die Anfrage kam zu langsam an")
    detail = Text("Send the whole body without long pauses.", "Senden Sie den Inhalt ohne lange Pausen.")
    fixed_headers = {"Connection": "close"}


class ContentTooLarge(Problem):
    status, code = 413, "content_too_large"
    title = Text("The body is too large", "Der Inhalt ist zu groß")
    detail = Text("Send less in one request.", "Senden Sie weniger in einer Anfrage.")
    fixed_headers = {"Connection": "close"}


class UnsupportedMediaType(Problem):
    status, code = 415, "unsupported_media_type"
    title = Text("The body's format is not taken here", "Dieses Format wird hier nicht angenommen")
    detail = Text("Send JSON in UTF-8 as application/json, a file as multipart/form-data, a token request as "
                  "application/x-www-form-urlencoded, without Content-Encoding.",
                  "Senden Sie UTF-8-JSON als application/json, Dateien als multipart/form-data, Token-Anfragen als "
                  "application/x-www-form-urlencoded, ohne Content-Encoding.")  # fmt: skip


class Invalid(Problem):
    status, code = 422, "invalid"
    title = Text("The request is not valid", "Die Anfrage ist nicht gültig")
    detail = Text("See `errors`: each entry names one field.", "Siehe `errors`: jeder Eintrag nennt ein Feld.")


class HeadersTooLarge(Problem):
    status, code = 431, "headers_too_large"
    title = Text("A header field is too large", "Ein Header ist zu groß")
    detail = Text("Send shorter header fields and addresses.", "Senden Sie kürzere Header und Adressen.")


class Internal(Problem):
    status, code = 500, "internal_error"
    title = Text("Something failed on our side", "Bei uns ist ein Fehler aufgetreten")
    detail = Text("Nothing was changed. Try again; if it stays, report the request id.",
                  "Es wurde nichts geändert. Bleibt der Fehler, melden Sie die request_id.")  # fmt: skip


class Unavailable(Problem):
    status, code = 503, "unavailable"
    title = Text("The service cannot answer right now", "Der Dienst kann gerade nicht antworten")
    detail = Text("Retry after the given time, with the same Idempotency-Key if it was a POST.",
                  "Wiederholen Sie die Anfrage nach der genannten Zeit.")  # fmt: skip
    fixed_headers = {"Retry-After": "2"}


# --- conditional and repeated requests ---


class KeyInUse(Problem):
    status, code = 409, "idempotency_key_in_use"
    title = Text("The same request is still running", "Dieselbe Anfrage läuft noch")
    detail = Text("Retry in a moment with the same Idempotency-Key.",
                  "Wiederholen Sie sie gleich mit demselben Idempotency-Key.")  # fmt: skip
    fixed_headers = {"Retry-After": "1"}


class KeyReused(Problem):
    status, code = 422, "idempotency_key_reused"
    title = Text("The key belongs to a different request", "Der Schlüssel gehört zu einer anderen Anfrage")
    detail = Text("Use a new Idempotency-Key for each different request.",
                  "Verwenden Sie für jede andere Anfrage einen neuen Idempotency-Key.")  # fmt: skip


class VersionMismatch(Problem):
    status, code = 412, "version_mismatch"
    title = Text("It changed since you read it", "Es wurde inzwischen geändert")
    detail = Text("Read it again and repeat the change with the new ETag.",
                  "Lesen Sie es neu und wiederholen Sie die Änderung mit dem neuen ETag.")  # fmt: skip


class PreconditionRequired(Problem):
    status, code = 428, "precondition_required"
    title = Text("If-Match is required", "If-Match ist nötig")
    detail = Text("Send If-Match with the ETag that you read, or * to change whatever is there.",
                  "Senden Sie If-Match mit dem gelesenen ETag, oder * für jeden Stand.")  # fmt: skip


# --- signing in ---


class WrongCredentials(Problem):
    status, code = 401, "wrong_credentials"
    title = Text("E-mail, password or code is wrong", "E-Mail, Passwort oder Code ist falsch")
    detail = Text("Check all of them, or reset the password.", "Prüfen Sie alle, oder setzen Sie das Passwort zurück.")
    fixed_headers = {"WWW-Authenticate": "Bearer"}


class OneTimeCodeRequired(Problem):
    status, code = 401, "one_time_code_required"
    title = Text("A one-time code is required", "Ein Einmalcode ist nötig")
    detail = Text("Send one_time_code: six digits of the authenticator, or a recovery code.",
                  "Senden Sie one_time_code: sechs Ziffern der App oder einen Wiederherstellungscode.")  # fmt: skip
    fixed_headers = {"WWW-Authenticate": "Bearer"}


class RefreshTokenInvalid(Problem):
    status, code = 401, "refresh_token_invalid"
    title = Text("The refresh token is not valid", "Das Erneuerungstoken ist nicht gültig")
    detail = Text("Log in again. A refresh token that is used twice ends its session.",
                  "Melden Sie sich neu an. Ein zweimal benutztes Token beendet die Sitzung.")  # fmt: skip
    keep = True
    fixed_headers = {"WWW-Authenticate": "Bearer"}


class RefreshRaced(Problem):
    status, code = 409, "refresh_raced"
    title = Text("The token was renewed a moment ago", "Das Token wurde gerade erneuert")
    detail = Text("Another tab or thread of yours did it: use the tokens that it got.",
                  "Verwenden Sie die Tokens, die Ihr anderer Aufruf erhalten hat.")  # fmt: skip


class OAuthProblem(ProblemDetails):
    """Problem details, which say besides what OAuth's clients look for."""

    error: Annotated[
        str | None,
        Field(
            max_length=40, description="RFC 6749, 5.2; with other codes it is left out.", examples=["invalid_client"]
        ),
    ] = None
    error_description: Annotated[
        str | None,
        Field(
            max_length=300,
            description="The same as `detail`, in English, for whoever writes the client; left out as `error` is.",
            examples=["Ask for scopes that the client has, or leave `scope` out for all of them."],
        ),
    ] = None


class InvalidTokenRequest(Problem):
    status, code = 400, "invalid_token_request"
    title = Text("The token request lacks something", "Der Token-Anfrage fehlt etwas")
    detail = Text("Send a form with grant_type=client_credentials, each field once, and one proof of who you are.",
                  "Senden Sie ein Formular mit grant_type=client_credentials, jedes Feld einmal, und einem "
                  "Nachweis.")  # fmt: skip
    shape, example = OAuthProblem, {"error": "invalid_request", "error_description": detail.en}
    fixed_members = example


class UnsupportedGrantType(Problem):
    status, code = 400, "unsupported_grant_type"
    title = Text("This grant is not given", "Diese Art der Freigabe gibt es nicht")
    detail = Text(
        "Use grant_type=client_credentials; people log in with POST /v1/sessions.",
        "Verwenden Sie grant_type=client_credentials; Menschen melden sich mit POST /v1/sessions an.",
    )
    shape, example = OAuthProblem, {"error": "unsupported_grant_type", "error_description": detail.en}
    fixed_members = example


class InvalidScope(Problem):
    status, code = 400, "invalid_scope"
    title = Text("The client may not have this scope", "Diesen Scope darf der Client nicht haben")
    detail = Text("Ask for scopes that the client has, or leave `scope` out for all of them.",
                  "Fordern Sie Scopes an, die der Client hat, oder lassen Sie `scope` weg.")  # fmt: skip
    shape, example = OAuthProblem, {"error": "invalid_scope", "error_description": detail.en}
    fixed_members = example


class InvalidClient(Problem):
    status, code = 401, "invalid_client"
    title = Text("The client did not prove who it is", "Der Client hat sich nicht ausgewiesen")
    detail = Text(
        "It is unknown, revoked or expired, or its secret or assertion is not good (any more).",
        "Er ist unbekannt, widerrufen oder abgelaufen, oder sein Nachweis ist nicht (mehr) gültig.",
    )
    fixed_headers = {"WWW-Authenticate": "Basic"}
    shape, example = OAuthProblem, {"error": "invalid_client", "error_description": detail.en}
    fixed_members = example


class TooManyApiClients(Problem):
    status, code = 409, "too_many_api_clients"
    title = Text("There are too many API clients", "Es gibt zu viele API-Clients")
    detail = Text("Revoke one that is not used any more.", "Widerrufen Sie einen, der nicht mehr gebraucht wird.")


class TooManyCredentials(Problem):
    status, code = 409, "too_many_credentials"
    title = Text("The client has too many secrets and keys", "Der Client hat zu viele Schlüssel")
    detail = Text("End one that is not used any more.", "Beenden Sie einen, der nicht mehr gebraucht wird.")


class ApiClientRevoked(Problem):
    status, code = 409, "api_client_revoked"
    title = Text("The API client is revoked", "Der API-Client ist widerrufen")
    detail = Text("That is for good: make a new one.", "Das ist endgültig: legen Sie einen neuen an.")


class TooManyAttempts(Problem):
    status, code = 429, "too_many_attempts"
    title = Text("Too many failed attempts", "Zu viele Fehlversuche")
    detail = Text("Wait as long as Retry-After says, in seconds.", "Warten Sie, solange Retry-After sagt (Sekunden).")


class TooManyRequests(Problem):
    status, code = 429, "too_many_requests"
    title = Text("Too many requests", "Zu viele Anfragen")
    detail = Text(
        "Wait as long as Retry-After says, in seconds. RateLimit says how much is left of RateLimit-Policy.",
        "Warten Sie, solange Retry-After sagt (Sekunden). RateLimit nennt den Rest von RateLimit-Policy.",
    )


class SecondFactorConflict(Problem):
    status, code = 409, "second_factor_conflict"
    title = Text("The second factor is not in that state", "Der zweite Faktor ist nicht in diesem Zustand")
    detail = Text("GET /v1/me/totp says whether it is on; start or switch it off first.",
                  "GET /v1/me/totp sagt, ob er aktiv ist; beginnen oder beenden Sie ihn zuerst.")  # fmt: skip


# --- invitations and resets ---


class InvitationUsed(Problem):
    status, code = 410, "invitation_used"
    title = Text("The invitation was already accepted", "Die Einladung wurde schon angenommen")
    detail = Text("Log in instead.", "Melden Sie sich stattdessen an.")


class InvitationExpired(Problem):
    status, code = 410, "invitation_expired"
    title = Text("The invitation has expired", "Die Einladung ist abgelaufen")
    detail = Text("Ask for a new one.", "Bitten Sie um eine neue.")


class InvitationRevoked(Problem):
    status, code = 410, "invitation_revoked"
    title = Text("The invitation was withdrawn", "Die Einladung wurde zurückgezogen")
    detail = Text("Ask whoever invited you.", "Fragen Sie die Person, die Sie eingeladen hat.")


class InvitationReplaced(Problem):
    status, code = 410, "invitation_replaced"
    title = Text("A newer invitation was sent", "Es wurde eine neuere Einladung gesendet")
    detail = Text("Use the link in the newest mail.", "Verwenden Sie den Link in der neuesten Mail.")


class TooManyInvitations(Problem):
    status, code = 429, "too_many_invitations"
    title = Text("Too many invitations", "Zu viele Einladungen")
    detail = Text("An address gets a few mails a day, and each further one must wait: see Retry-After.",
                  "Eine Adresse bekommt wenige Mails am Tag; jede weitere muss warten: siehe Retry-After.")  # fmt: skip


class InvitationClosed(Problem):
    status, code = 409, "invitation_closed"
    title = Text("The invitation is no longer pending", "Die Einladung ist nicht mehr offen")
    detail = Text("It was accepted or revoked; invite again.",
                  "Sie wurde angenommen oder zurückgezogen; laden Sie neu ein.")  # fmt: skip


class InvitationForAnother(Problem):
    status, code = 403, "invitation_for_another"
    title = Text("The invitation is for another address", "Die Einladung gilt für eine andere Adresse")
    detail = Text("Log in as the user whom it invites.", "Melden Sie sich als der eingeladene Benutzer an.")


class LogInRequired(Problem):
    status, code = 409, "log_in_required"
    title = Text("This address already has a user", "Zu dieser Adresse gibt es schon einen Benutzer")
    detail = Text("Log in, then POST /v1/registrations with your bearer token and the invitation's token alone.",
                  "Melden Sie sich an; dann POST /v1/registrations mit Bearer-Token und Einladungstoken.")  # fmt: skip


class AlreadyInvited(Problem):
    status, code = 409, "already_invited"
    title = Text("An invitation is already pending", "Es gibt schon eine offene Einladung")
    detail = Text("Resend or revoke the pending invitation of this address.",
                  "Senden Sie die offene Einladung neu, oder ziehen Sie sie zurück.")  # fmt: skip


class AlreadyMember(Problem):
    status, code = 409, "already_member"
    title = Text("This person is already a member", "Diese Person ist schon Mitglied")
    detail = Text("Change the member's role instead.", "Ändern Sie stattdessen die Rolle des Mitglieds.")


class ResetUsed(Problem):
    status, code = 410, "reset_used"
    title = Text("The link was already used", "Der Link wurde schon benutzt")
    detail = Text("Ask for a new one if you still need it.", "Fordern Sie bei Bedarf einen neuen an.")


class ResetExpired(Problem):
    status, code = 410, "reset_expired"
    title = Text("The link has expired", "Der Link ist abgelaufen")
    detail = Text("Ask for a new one.", "Fordern Sie einen neuen an.")


class EventsGone(Problem):
    status, code = 410, "events_gone"
    title = Text("Events after this position are no longer in the feed", "Ereignisse ab hier sind nicht mehr abrufbar")
    detail = Text("Read the state anew with the lists, then follow the feed from its `latest` position on.",
                  "Lesen Sie den Stand neu aus den Listen und folgen Sie den Ereignissen ab `latest`.")  # fmt: skip


class EventsBusy(Problem):
    status, code = 503, "events_busy"
    title = Text("As many wait for events as can", "Es warten so viele auf Ereignisse, wie möglich sind")
    detail = Text("Try again after the given time, or ask without `wait`.",
                  "Versuchen Sie es nach der genannten Zeit wieder, oder fragen Sie ohne `wait`.")  # fmt: skip
    fixed_headers = {"Retry-After": "5"}


# --- partners, accounts and members ---


class NotAMember(Problem):
    status, code = 403, "not_a_member"
    title = Text("You are not a member of this account", "Sie sind kein Mitglied dieses Kontos")
    detail = Text("You may read its row and overview; to enter it, an account admin must invite you.",
                  "Sie dürfen Zeile und Übersicht lesen; zum Eintreten muss Sie ein Konto-Admin einladen.")  # fmt: skip


class PartnerManagementOff(Problem):
    status, code = 403, "partner_management_off"
    title = Text("Partner management is off", "Die Partnerverwaltung ist ausgeschaltet")
    detail = Text("Ask the operator of the service to switch it on for this partner.",
                  "Bitten Sie den Betreiber, sie für diesen Partner einzuschalten.")  # fmt: skip


class PartnerSuspended(Problem):
    status, code = 403, "partner_suspended"
    title = Text("The partner is suspended", "Der Partner ist gesperrt")
    detail = Text("Ask the operator of the service.", "Fragen Sie den Betreiber des Dienstes.")


class AccountSuspended(Problem):
    status, code = 409, "account_suspended"
    title = Text("The account is suspended", "Das Konto ist gesperrt")
    detail = Text("It can be read; set its status to active first.",
                  "Es ist lesbar; setzen Sie seinen Status zuerst auf active.")  # fmt: skip


class AccountArchived(Problem):
    status, code = 409, "account_archived"
    title = Text("The account is archived", "Das Konto ist archiviert")
    detail = Text("It can be read; restore it first.", "Es ist lesbar; stellen Sie es zuerst wieder her.")


class NotLicensed(Problem):
    status, code = 403, "not_licensed"
    title = Text("The account is not licensed for this", "Das Konto hat dafür keine Lizenz")
    detail = Text("No licence for this feature is in force, or there is no such feature; its explanation says more.",
                  "Für dieses Merkmal gilt gerade keine Lizenz, oder es gibt es nicht; mehr sagt die Erklärung "
                  "(explanation).")  # fmt: skip


class LicenceExhausted(Problem):
    status, code = 409, "licence_exhausted"
    title = Text("Too little is left for this", "Dafür ist zu wenig übrig")
    detail = Text("Release claims, buy more, or wait until `fits_at` (null: waiting does not help).",
                  "Geben Sie etwas frei, kaufen Sie mehr, oder warten Sie bis `fits_at` (null: Warten hilft nicht)."
                  )  # fmt: skip
    shape = EntitlementProblem
    example = {"limit": 100, "used": 100, "available": 0, "max_units_per_claim": None,
               "next_change": {"at": "2027-01-01T00:00:00.000Z", "limit": 150},
               "fits_at": "2027-01-01T00:00:00.000Z"}  # fmt: skip


class TooManyUnitsForOneUse(Problem):
    status, code = 409, "too_many_units_for_one_use"
    title = Text("One claim may not take so many units", "Ein Anspruch darf nicht so viele Einheiten nehmen")
    detail = Text("Every licence in force bounds what one claim takes: see `max_units_per_claim`.",
                  "Jede geltende Lizenz begrenzt, was ein Anspruch nimmt: siehe `max_units_per_claim`.")  # fmt: skip
    shape = EntitlementProblem
    example = {
        "limit": 100,
        "used": 20,
        "available": 80,
        "max_units_per_claim": 5,
        "next_change": None,
        "fits_at": None,
    }


class ClaimedOtherwise(Problem):
    status, code = 409, "claimed_with_other_units"
    title = Text("The resource holds another number of units", "Die Ressource hält eine andere Zahl von Einheiten")
    detail = Text("It has a live claim. To change its units, release that one and claim again: both in one batch.",
                  "Sie hat einen laufenden Anspruch. Für andere Einheiten geben Sie ihn frei und stellen einen neuen: "
                  "beides in einem Stapel.")  # fmt: skip


class PropertyNotEditable(Problem):
    status, code = 403, "property_not_editable"
    title = Text("Your role may not change this property", "Ihre Rolle darf diese Eigenschaft nicht ändern")
    detail = Text("See `errors`; the definition's editable_by names the roles that may.",
                  "Siehe `errors`; editable_by der Definition nennt die Rollen, die es dürfen.")  # fmt: skip


class ValueTaken(Problem):
    status, code = 409, "value_taken"
    title = Text("Another account has this value", "Ein anderes Konto hat diesen Wert")
    detail = Text("The property is unique: see `errors` for the values that are taken.",
                  "Die Eigenschaft ist eindeutig: `errors` nennt die vergebenen Werte.")  # fmt: skip


class KeyTaken(Problem):
    status, code = 409, "key_taken"
    title = Text("The key is already in use", "Der Schlüssel ist schon vergeben")
    detail = Text("Another one has it: perhaps an archived one, or a property whose values are still being removed.",
                  "Er ist vergeben: an etwas Archiviertes, oder eine Eigenschaft, die noch gelöscht wird.")  # fmt: skip


class NumberTaken(Problem):
    status, code = 409, "number_taken"
    title = Text("The number is already in use", "Die Nummer ist schon vergeben")
    detail = Text("Another article has it, perhaps an archived one.",
                  "Ein anderer Artikel hat sie, vielleicht ein archivierter.")  # fmt: skip


class TooManyProperties(Problem):
    status, code = 409, "too_many_properties"
    title = Text("There are too many properties", "Es gibt zu viele Eigenschaften")
    detail = Text("A partner has at most 100, archived ones included: delete one.",
                  "Ein Partner hat höchstens 100, archivierte mitgezählt: löschen Sie eine.")  # fmt: skip


class NoSlotLeft(Problem):
    status, code = 409, "too_many_filterable_properties"
    title = Text("There are too many filterable properties", "Es gibt zu viele filterbare Eigenschaften")
    detail = Text("At most 12 texts and choices and 12 numbers and dates: make another one not filterable first.",
                  "Höchstens 12 Texte und Auswahlen und 12 Zahlen und Daten: nehmen Sie erst eine heraus.")  # fmt: skip


class ColumnNotReady(Problem):
    status, code = 409, "column_not_ready"
    title = Text("The column is being prepared", "Die Spalte wird vorbereitet")
    detail = Text("It has just been made filterable: try again in a moment, or without it.",
                  "Sie wurde eben filterbar gemacht: versuchen Sie es gleich wieder, oder ohne sie.")  # fmt: skip
    fixed_headers = {"Retry-After": "2"}


class ExportsBusy(Problem):
    status, code = 503, "exports_busy"
    title = Text("As many exports are running as can", "Es laufen so viele Exporte, wie möglich sind")
    detail = Text("Try again when one of them has ended: after the given time.",
                  "Versuchen Sie es nach der genannten Zeit wieder, wenn einer davon fertig ist.")  # fmt: skip
    fixed_headers = {"Retry-After": "5"}


class UploadsBusy(Problem):
    status, code = 503, "uploads_busy"
    title = Text("As many files are arriving as can", "Es kommen so viele Dateien an, wie möglich sind")
    detail = Text("Try again when one of them has arrived: after the given time.",
                  "Versuchen Sie es nach der genannten Zeit wieder, wenn eine davon da ist.")  # fmt: skip
    fixed_headers = {"Retry-After": "5"}


class TooManyRows(Problem):
    status, code = 409, "too_many_rows"
    title = Text("There are more rows than a sheet can hold", "Es sind mehr Zeilen, als ein Tabellenblatt fasst")
    detail = Text("A sheet holds 1,048,575 accounts: filter them, or take the CSV file.",
                  "Ein Blatt fasst 1.048.575 Konten: filtern Sie, oder nehmen Sie die CSV-Datei.")  # fmt: skip


class ValuesConflict(Problem):
    status, code = 409, "values_conflict"
    title = Text("Accounts have values that this would make invalid", "Konten haben Werte, die ungültig würden")
    detail = Text("See `errors`: how many, and some of the accounts. With on_conflict=clear those values are removed.",
                  "Siehe `errors`: wie viele, und einige Konten. on_conflict=clear entfernt diese Werte.")  # fmt: skip


class TooManyViews(Problem):
    status, code = 409, "too_many_views"
    title = Text("The partner has too many views", "Der Partner hat zu viele Ansichten")
    detail = Text("A partner has at most 200 views, private ones included: delete one.",
                  "Ein Partner hat höchstens 200 Ansichten, private mitgezählt: löschen Sie eine.")  # fmt: skip


class TooManyOwnViews(Problem):
    status, code = 409, "too_many_own_views"
    title = Text("You have too many views", "Sie haben zu viele Ansichten")
    detail = Text("Everybody has at most 50 of a partner's views, shared ones included: delete one of yours.",
                  "Je Person und Partner höchstens 50 Ansichten, geteilte mitgezählt: löschen Sie eine.")  # fmt: skip


class ImportNotChecked(Problem):
    status, code = 409, "import_not_checked"
    title = Text("The import does not wait for a confirmation", "Der Import wartet nicht auf eine Bestätigung")
    detail = Text("Only one whose status is checked can be confirmed, and only once.",
                  "Nur einer mit dem Status checked kann bestätigt werden, und nur einmal.")  # fmt: skip


class ImportHasErrors(Problem):
    status, code = 409, "import_has_errors"
    title = Text("The file has rows with errors", "Die Datei hat fehlerhafte Zeilen")
    detail = Text("Mend the file and upload it again, or confirm with skip_errors=true to leave those rows out.",
                  "Bessern Sie die Datei nach, oder bestätigen Sie ohne diese Zeilen: skip_errors=true.")  # fmt: skip


class ImportFinished(Problem):
    status, code = 409, "import_finished"
    title = Text("The import has ended", "Der Import ist beendet")
    detail = Text("It is done, failed or cancelled: nothing is left to be stopped.",
                  "Er ist fertig, gescheitert oder abgebrochen: es gibt nichts mehr anzuhalten.")  # fmt: skip


class TooManyImports(Problem):
    status, code = 409, "too_many_imports"
    title = Text("There are too many unfinished imports", "Es gibt zu viele offene Importe")
    detail = Text("At most 5 at a time: confirm or cancel one first.",
                  "Höchstens 5 zugleich: bestätigen Sie einen oder brechen Sie ihn ab.")  # fmt: skip


class NameTaken(Problem):
    status, code = 409, "name_taken"
    title = Text("The name is already in use", "Der Name ist schon vergeben")
    detail = Text("Names are compared without regard to case. Choose another one.",
                  "Groß- und Kleinschreibung zählt dabei nicht. Wählen Sie einen anderen.")  # fmt: skip


class ArticleNotSold(Problem):
    status, code = 409, "article_not_sold"
    title = Text("The article is no longer sold", "Der Artikel wird nicht mehr verkauft")
    detail = Text("It is archived, or not offered on the day when the renewal starts: upgrade to another article.",
                  "Er ist archiviert oder wird zum Beginn nicht angeboten: wechseln Sie zu einem anderen.")  # fmt: skip


class PurchaseOver(Problem):
    status, code = 409, "purchase_over"
    title = Text("The purchase has ended or was cancelled", "Der Kauf ist beendet oder gekündigt")
    detail = Text("Nothing is left of it to be changed or continued: buy the article again.",
                  "Daran ist nichts mehr zu ändern oder fortzusetzen: kaufen Sie den Artikel neu.")  # fmt: skip


class PurchaseContinued(Problem):
    status, code = 409, "purchase_continued"
    title = Text("The purchase was renewed or upgraded already", "Der Kauf wurde schon verlängert oder umgestellt")
    detail = Text("Each is continued once: renew, upgrade or cancel the purchase that continues it.",
                  "Jeder wird einmal fortgesetzt: ändern Sie den Kauf, der ihn fortsetzt.")  # fmt: skip


class PurchaseOpenEnded(Problem):
    status, code = 409, "purchase_open_ended"
    title = Text("The purchase has no end", "Der Kauf hat kein Ende")
    detail = Text("It runs until it is cancelled: there is nothing to renew. If what it granted had a duration that is "
                  "over, buy the article again.",
                  "Er läuft, bis er gekündigt wird: es gibt nichts zu verlängern. Ist die Dauer dessen, was er gab, "
                  "abgelaufen, kaufen Sie den Artikel noch einmal.")  # fmt: skip


class LicenceNotByHand(Problem):
    status, code = 409, "licence_not_by_hand"
    title = Text("The licence comes from a purchase or a price model",
                 "Die Lizenz stammt aus einem Kauf oder Preismodell")  # fmt: skip
    detail = Text("Cancel or upgrade the purchase, or change the account's price model; or suspend or revoke it.",
                  "Ändern Sie den Kauf oder das Preismodell; oder sperren oder entziehen Sie sie.")  # fmt: skip


class LicenceOver(Problem):
    status, code = 409, "licence_over"
    title = Text("The licence has expired or was revoked", "Die Lizenz ist abgelaufen oder entzogen")
    detail = Text("It gives nothing any more: grant another one.", "Sie gibt nichts mehr: erteilen Sie eine andere.")


class LicenceSuspended(Problem):
    status, code = 409, "licence_suspended"
    title = Text("The licence is suspended already", "Die Lizenz ist schon gesperrt")
    detail = Text("Resume it first; an operator may suspend what a partner has suspended.",
                  "Geben Sie sie erst frei; Betreiber dürfen auch sperren, was ein Partner gesperrt hat.")  # fmt: skip


class LicenceNotSuspended(Problem):
    status, code = 409, "licence_not_suspended"
    title = Text("The licence is not suspended", "Die Lizenz ist nicht gesperrt")
    detail = Text("There is nothing to lift.", "Es gibt nichts aufzuheben.")


class SuspendedByOperator(Problem):
    status, code = 403, "suspended_by_operator"
    title = Text("The operator suspended this licence", "Der Betreiber hat diese Lizenz gesperrt")
    detail = Text("Only the operator of the service lifts it again: ask there.",
                  "Nur der Betreiber des Dienstes hebt das wieder auf: fragen Sie dort.")  # fmt: skip


class TooManyLicences(Problem):
    status, code = 409, "too_many_licences"
    title = Text("The account has too many licences of a feature", "Das Konto hat zu viele Lizenzen eines Merkmals")
    detail = Text("At most 1,000 that are not over, of each feature: end or revoke some, or grant more units in one.",
                  "Je Merkmal höchstens 1.000, die nicht vorbei sind: beenden oder bündeln Sie einige.")  # fmt: skip


class TooManyWebhooks(Problem):
    status, code = 409, "too_many_webhooks"
    title = Text("The partner has as many webhooks as it may", "Der Partner hat so viele Webhooks, wie er haben darf")
    detail = Text("Delete one, or let one receive events of more types.",
                  "Löschen Sie einen, oder lassen Sie einen mehr Arten von Ereignissen empfangen.")  # fmt: skip


class TooManySecrets(Problem):
    status, code = 409, "too_many_secrets"
    title = Text("Five secrets of this webhook are in force", "Fünf Geheimnisse dieses Webhooks gelten bereits")
    detail = Text("Wait until one has expired, or rotate with `overlap_hours` 0, which ends all others at once.",
                  "Warten Sie, bis eines abgelaufen ist, oder wechseln Sie mit `overlap_hours` 0, das alle anderen "
                  "sofort beendet.")  # fmt: skip


class WebhookDisabled(Problem):
    status, code = 409, "webhook_disabled"
    title = Text("The webhook is disabled", "Der Webhook ist abgeschaltet")
    detail = Text("Enable it first (PATCH with status `enabled`).",
                  "Schalten Sie ihn erst ein (PATCH mit dem Status `enabled`).")  # fmt: skip


class LastAdmin(Problem):
    status, code = 409, "last_admin"
    title = Text("The last admin must stay", "Der letzte Admin muss bleiben")
    detail = Text("Make another member an admin first.", "Machen Sie zuerst ein anderes Mitglied zum Admin.")


class StillLastAdmin(Problem):
    status, code = 409, "still_last_admin"
    title = Text("Somebody else must be in charge first", "Zuerst muss jemand anderes zuständig sein")
    detail = Text("You are the last admin of what `admin_of` names: make another member an admin there, or have the "
                  "account archived.",
                  "Sie sind der letzte Admin dessen, was `admin_of` nennt: machen Sie dort ein anderes Mitglied zum "
                  "Admin, oder lassen Sie das Konto archivieren.")  # fmt: skip
    shape = LastAdminProblem
    example = {"admin_of": [{"partner_id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60", "partner_name": "Acme",
                             "account_id": None, "account_name": None}]}  # fmt: skip


class DataExportRunning(Problem):
    status, code = 409, "data_export_running"
    title = Text("An export of your data is being written", "Ein Export Ihrer Daten wird gerade geschrieben")
    detail = Text("Wait until it is done; then ask for another one.",
                  "Warten Sie, bis er fertig ist; danach können Sie einen neuen anfordern.")  # fmt: skip


class DataExportNotReady(Problem):
    status, code = 409, "data_export_not_ready"
    title = Text("The file is not there yet", "Die Datei ist noch nicht da")
    detail = Text("It is being written. Ask again when `status` is `done`.",
                  "Sie wird gerade geschrieben. Fragen Sie wieder, wenn `status` `done` ist.")  # fmt: skip


def raises(*kinds: type[Problem]) -> dict[str, list[str]]:
    """`openapi_extra=` of a route: the kinds it can answer with, besides those that follow from its shape."""
    return {"x-problems": [kind.code for kind in kinds]}
