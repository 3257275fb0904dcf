"""What a fuzzer needs to get anywhere: a partner with something of everything, and the addresses of it all.

Its names are those of the examples of openapi.json, so that these are right where they refer to something.
"""

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx

OPERATOR: Final = "operator@example.com"
ADMIN: Final = "anna@sensorhaus.example.com"
WORDS: Final = (
    "Nordwerk", "assets", "users", "SEN-T-100", "SEN-T-200", "professional", "basic", "entitlement:read",
    "account:read", "partner_viewer", "EUR", "12.50", "eva@nordwerk.example.com", "P1Y", "name", "-created_at",
    "Europe/Berlin", "2027-01-31T09:30:00Z", "2027-01-31", "contract_end", "vip", "fresh", "asset:4711",
    "https://erp.example.com/hooks", "account.created", "203.0.113.0/24",
)  # fmt: skip
"""What is right in many a place."""
VARIABLE: Final = re.compile(r"\{(\w+)\}")
MOST: Final = 100
"""Values of a parameter: of what the set-up and the run made."""


@dataclass
class Scene:
    """A partner, as an operator sets it up and its admin fills it."""

    operator: httpx.Client
    contract: dict[str, Any]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15))
    """Of all people but the operator."""
    admin: str = ""
    """The id of the partner's admin, and the first of its members."""
    _read_mails: set[str] = field(default_factory=set[str])
    _found: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    # making it

    def make(self) -> None:
        self._catalogue()
        self._post("/v1/partners", name="Zweithaus GmbH")
        partner = self._post("/v1/partners", name="Sensorhaus GmbH", first_admin_email=ADMIN)["id"]
        place = f"/v1/partners/{partner}"
        self.admin = self._join(ADMIN)
        for role in ("partner_manager", "partner_viewer"):
            self._post(f"{place}/invitations", email=f"{role}@sensorhaus.example.com", role=role)
            self._join(f"{role}@sensorhaus.example.com")
        self._post(f"{place}/invitations", email="eva@nordwerk.example.com", role="partner_viewer")
        self._columns(place)
        self._integration(place)
        for number in range(6):
            self._account(place, number)

    def _catalogue(self) -> None:
        for key, kind in (("assets", "quota"), ("users", "quota"), ("export", "switch")):
            self._post("/v1/features", key=key, kind=kind, name={"en": key.title()})
        for key in ("professional", "basic"):
            self._post("/v1/price-models", key=key, name={"en": key.title()})
        for number in ("SEN-T-100", "SEN-T-200", "SEN-T-300"):
            self._post("/v1/articles", number=number, name={"en": number}, billing_period="monthly",
                       price={"amount": "12.50", "currency": "EUR"},
                       grants=[{"feature": "assets", "units": 100, "duration": "P1Y"}])  # fmt: skip
        for name in ("Billing", "Portal"):
            self._post("/v1/service-clients", name=name, scopes=["entitlement:read"])

    def _columns(self, place: str) -> None:
        label, option = {"en": "Column"}, {"label": {"en": "VIP"}, "colour": "#bf8700"}
        for key, more in {
            "contract_end": {"type": "date"},
            "revenue": {"type": "number"},
            "tags": {"type": "multi_select", "options": [{"key": "vip", **option}, {"key": "pilot", **option}]},
            "note": {"type": "text"},
        }.items():
            self._post(f"{place}/properties", key=key, label=label, **more)
        for name in ("Contracts ending", "Large"):
            self._post(f"{place}/views", name=name, shared=True)

    def _account(self, place: str, number: int) -> None:
        values = {"contract_end": "2027-01-31", "revenue": number * 10.5, "tags": ["vip"]}
        made = self._post(f"{place}/accounts", name=f"Nordwerk {number}", price_model="professional", properties=values)
        inside = f"{place}/accounts/{made['id']}"
        for _ in range(2):
            self._post(f"{inside}/articles", article="SEN-T-100", quantity=2)
            self._post(f"{inside}/licences", feature="users", units=10, reason="A trial")
        for thing in range(3):
            self._post(f"{inside}/claims", feature="assets", resource=f"asset:{thing}", units=1)
        if number in (0, 5):  # the first and the last of the list, whichever that is
            self._post(f"{inside}/invitations", email=ADMIN, role="account_admin")
            self._join(ADMIN, member=True)
        for role in ("account_admin", "account_viewer"):
            email = f"{role}@nordwerk{number}.example.com"
            self._post(f"{inside}/invitations", email=email, role=role)
            if not number:
                self._join(email)
                self._post(f"{inside}/invitations", email=f"another.{email}", role=role)

    def _integration(self, place: str) -> None:
        for name in ("ERP", "CRM"):
            self._post(f"{place}/api-clients", name=name, scopes=["account:read"])
            made = self._post(f"{place}/webhooks", url=f"https://{name}.example.com/", types=["account.created"])
            self._post(f"{place}/webhooks/{made['id']}/ping")
        for name in ("A", "B"):
            file = ("accounts.csv", f"name\nImported {name}\n".encode())
            answer = self.operator.post(f"{place}/account-imports", files={"file": file}, data={"mode": "create"})
            assert answer.status_code in (201, 202), answer.text

    def _post(self, address: str, **body: Any) -> Any:
        answer = self.operator.post(address, json=body or None)
        assert answer.is_success or answer.status_code == 503, (address, answer.text)  # nobody answers to a ping
        return answer.json()

    def _join(self, email: str, *, member: bool = False) -> str:
        """Somebody who was invited follows the link of the mail; a member of something logs in for it."""
        body = {"token": self._token_for(email), "name": "Anna Sommer", "password": self.password}
        headers: dict[str, str] = {}
        if member:
            token = self._post("/v1/sessions", email=email, password=self.password)["access_token"]
            body, headers = {"token": body["token"]}, {"Authorization": f"Bearer {token}"}
        place = f"{self.operator.base_url}/v1/registrations"
        answer = httpx.post(place, json=body, headers=headers, trust_env=False)
        assert answer.status_code == 201, answer.text
        return answer.json()["user"]["id"]

    def _token_for(self, email: str) -> str:
        """Of the newest mail to somebody that was not read yet."""
        for _ in range(400):
            for mail in re.findall(r'href="(/dev/mail/[^"]+)"', self.operator.get("/dev/mail").text):
                if mail not in self._read_mails:
                    text = self.operator.get(mail).text
                    if (found := re.search(r"#token=([\w.-]+)", text)) and f"<dd>{email}</dd>" in text:
                        self._read_mails.add(mail)
                        return found[1]
            time.sleep(0.05)
        raise AssertionError(f"no mail to {email}")

    # looking at it

    def values(self, place: str) -> list[str]:
        """What there is for the last parameter of a path, `/v1/partners/{partner_id}`: where the list beside it says.
        For those before it, the first that there is.
        """
        if place not in self._found:
            self._found[place] = self._read(place)
        return self._found[place]

    def _read(self, place: str) -> list[str]:
        collection, _, name = place[:-1].rpartition("/{")
        address = collection
        for match in VARIABLE.finditer(collection):
            known = self.values(collection[: match.end()])
            if not known:
                return []
            address = address.replace(match[0], known[0])
        if name == "credential_id":  # there is no list of them: a client shows its own
            client = self.operator.get(address.removesuffix("/credentials")).json()
            return [one["id"] for one in client["credentials"]]
        if "get" not in self.contract["paths"].get(collection, {}):
            return []
        answer = self.operator.get(address)
        assert answer.status_code == 200, (address, answer.text)
        found = [value for item in answer.json()["items"][:MOST] if (value := _named(item, name))]
        return sorted(found, key=lambda value: value != self.admin)


def _named(item: dict[str, Any], name: str) -> str:
    for key in (name, name.removesuffix("_id"), "id"):
        value: Any = item.get(key)
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get("id")
        if isinstance(value, str):
            return value
    return ""
