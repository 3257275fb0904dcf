"""Flow 2 of the product: an e-mail and a role become a membership."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from app.models import Account, Invitation, Partner, utc_now
from app.policy import Role
from tests.conftest import PASSWORD, World, link_of, problem, text_of, token_of

EVA = "eva@nordwerk.example.com"


class Stage:
    """A partner with an admin, an account of hers, and somebody to invite."""

    def __init__(
        self, world: World, partner: Partner, account: Account, anna: AsyncClient, anyone: AsyncClient
    ) -> None:
        self.world, self.partner, self.account, self.anna, self.anyone = world, partner, account, anna, anyone
        self.url = f"/v1/partners/{partner.id}/accounts/{account.id}"

    async def invite(self, email: str = EVA, role: str = "account_editor") -> dict[str, Any]:
        answer = await self.anna.post(f"{self.url}/invitations", json={"email": email, "role": role})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def token(self) -> str:
        """The token of the newest mail."""
        return token_of((await self.world.mails())[0])

    async def accept(self, token: str, client: AsyncClient | None = None, **values: str) -> Any:
        return await (client or self.anyone).post("/v1/registrations", json={"token": token, **values})

    async def members(self) -> dict[str, str]:
        return {m["email"]: m["role"] for m in (await self.anna.get(f"{self.url}/members")).json()["items"]}

    async def run_out(self, invitation_id: str) -> None:
        """Let the time of an invitation be over."""
        async with self.world.transaction(self.partner.id) as db:
            past = utc_now() - timedelta(seconds=1)
            await db.execute(update(Invitation).where(Invitation.id == UUID(invitation_id)).values(expires_at=past))


@pytest.fixture
async def stage(world: World) -> Stage:
    partner = await world.partner("Sensorhaus", language="de", Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    return Stage(world, partner, account, await world.client("Anna"), await world.client())


async def test_a_new_user_gets_a_mail_registers_and_is_a_member(stage: Stage):
    invited = await stage.invite()
    assert (invited["status"], invited["mail_status"], invited["email"]) == ("pending", "queued", EVA)
    (mail,) = await stage.world.mails()
    assert (mail["To"], "Nordwerk GmbH" in mail["Subject"], mail["Content-Language"]) == (EVA, True, "de")
    assert link_of(mail).startswith(f"{stage.world.settings.url}/register#token=tni_")
    assert "Anna" in text_of(mail)
    sent = await stage.anna.get(f"{stage.url}/invitations/{invited['id']}")
    assert sent.json()["mail_status"] == "sent"

    token = await stage.token()
    shown = (await stage.anyone.post("/v1/invitations/preview", json={"token": token})).json()
    assert (shown["partner"]["name"], shown["account"]["name"]) == ("Sensorhaus", "Nordwerk GmbH")
    assert (shown["email"], shown["role"], shown["invited_by"], shown["user_exists"]) == (
        EVA,
        "account_editor",
        "Anna",
        False,
    )

    joined = await stage.accept(token, name="Eva Nord", password="nine purple lanterns")
    assert joined.status_code == 201, joined.text
    assert (joined.json()["role"], joined.json()["user"]["language"]) == ("account_editor", "de")
    assert (await stage.members())[EVA] == "account_editor"
    session = await stage.anyone.post("/v1/sessions", json={"email": EVA, "password": "nine purple lanterns"})
    eva = await stage.world.client(token=session.json()["access_token"])
    assert [a["name"] for a in (await eva.get("/v1/me")).json()["accounts"]] == ["Nordwerk GmbH"]
    assert (await eva.post(f"{stage.url}/switch")).status_code == 200
    types = [e.type for e in await stage.world.events(stage.partner.id)]
    assert types[-4:] == ["invitation.created", "invitation.mail_sent", "account_member.added", "invitation.accepted"]


async def test_who_has_a_user_accepts_after_log_in_and_stays_one_user(stage: Stage):
    eva = await stage.world.user("Eva", language="en")
    await stage.invite("EVA@example.com")
    (mail,) = await stage.world.mails()
    assert mail["Content-Language"] == "en"  # the invitee's own language, not the partner's
    token = token_of(mail)
    assert (await stage.anyone.post("/v1/invitations/preview", json={"token": token})).json()["user_exists"] is True
    refused = await stage.accept(token, name="Somebody", password="nine purple lanterns")
    assert problem(refused) == (409, "log_in_required")
    other = await stage.world.client("Mallory")
    assert problem(await stage.accept(token, other)) == (403, "invitation_for_another")
    joined = await stage.accept(token, await stage.world.client("Eva"))
    assert (joined.status_code, joined.json()["user"]["id"]) == (201, str(eva.id))
    assert await stage.members() == {"anna@example.com": "account_admin", "eva@example.com": "account_editor"}


async def test_a_link_works_once(stage: Stage):
    await stage.invite()
    token = await stage.token()
    first = await stage.accept(token, name="Eva", password=PASSWORD)
    again = await stage.accept(token, name="Eve", password=PASSWORD)
    assert (first.status_code, problem(again)) == (201, (410, "invitation_used"))
    assert problem(await stage.anyone.post("/v1/invitations/preview", json={"token": token})) == (
        410,
        "invitation_used",
    )


async def test_resending_mails_a_new_link_and_kills_the_old_one(stage: Stage):
    invited = await stage.invite()
    old = await stage.token()
    again = await stage.anna.post(f"{stage.url}/invitations/{invited['id']}/resend")
    assert (again.status_code, again.json()["id"], again.json()["mail_status"]) == (200, invited["id"], "queued")
    assert again.json()["expires_at"] > invited["expires_at"]
    new = await stage.token()
    assert problem(await stage.accept(old, name="Eva", password=PASSWORD)) == (410, "invitation_replaced")
    assert (await stage.accept(new, name="Eva", password=PASSWORD)).status_code == 201
    closed = await stage.anna.post(f"{stage.url}/invitations/{invited['id']}/resend")
    assert problem(closed) == (409, "invitation_closed")


async def test_a_revoked_invitation_is_dead_and_stays_listed(stage: Stage):
    invited = await stage.invite()
    token = await stage.token()
    here = f"{stage.url}/invitations/{invited['id']}"
    assert problem(await stage.anna.delete(here)) == (428, "precondition_required")
    assert (await stage.anna.delete(here, headers={"If-Match": "*"})).status_code == 204
    assert problem(await stage.accept(token, name="Eva", password=PASSWORD)) == (410, "invitation_revoked")
    assert (await stage.anna.get(here)).json()["status"] == "revoked"
    assert problem(await stage.anna.delete(here, headers={"If-Match": "*"})) == (409, "invitation_closed")
    assert EVA not in await stage.members()


async def test_an_invitation_expires_by_the_clock_and_can_be_revived(stage: Stage):
    invited = await stage.invite()
    token = await stage.token()
    here = f"{stage.url}/invitations/{invited['id']}"
    tag = (await stage.anna.get(here)).headers["etag"]
    await stage.run_out(invited["id"])
    assert problem(await stage.accept(token, name="Eva", password=PASSWORD)) == (410, "invitation_expired")
    now = await stage.anna.get(here, headers={"If-None-Match": tag})
    assert (now.status_code, now.json()["status"]) == (200, "expired")
    for status, count in (("pending", 0), ("expired", 1)):
        found = (await stage.anna.get(f"{stage.url}/invitations", params={"filter": f"status:eq:{status}"})).json()
        assert len(found["items"]) == count
    assert (await stage.anna.post(f"{here}/resend")).json()["status"] == "pending"
    assert (await stage.accept(await stage.token(), name="Eva", password=PASSWORD)).status_code == 201


async def test_an_address_has_one_pending_invitation_per_account(stage: Stage):
    first = await stage.invite()
    body = {"email": "Eva@NORDWERK.example.com", "role": "account_admin"}
    assert problem(await stage.anna.post(f"{stage.url}/invitations", json=body)) == (409, "already_invited")
    other = await stage.world.account(stage.partner, "Südbau AG", by="Anna")
    elsewhere = f"/v1/partners/{stage.partner.id}/accounts/{other.id}/invitations"
    assert (await stage.anna.post(elsewhere, json=body)).status_code == 201
    assert (
        await stage.anna.post(f"/v1/partners/{stage.partner.id}/invitations", json=body | {"role": "partner_viewer"})
    ).status_code == 201
    await stage.run_out(first["id"])
    assert (await stage.anna.post(f"{stage.url}/invitations", json=body)).status_code == 201
    late = await stage.anna.post(f"{stage.url}/invitations/{first['id']}/resend")
    assert problem(late) == (409, "already_invited")


async def test_a_member_is_not_invited_again(stage: Stage):
    answer = await stage.anna.post(
        f"{stage.url}/invitations", json={"email": "anna@example.com", "role": "account_viewer"}
    )
    assert problem(answer) == (409, "already_member")


async def test_a_role_belongs_to_what_one_is_invited_into(stage: Stage):
    for url, role in ((f"{stage.url}/invitations", "partner_admin"), (f"{stage.url}/invitations", "operator"),
                      (f"/v1/partners/{stage.partner.id}/invitations", "account_admin")):  # fmt: skip
        answer = await stage.anna.post(url, json={"email": EVA, "role": role})
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["pointer"] == "/role"


@pytest.mark.parametrize(
    "token", ["", "x", "tni_", "tni_AAAA", "tnp_" + "A" * 86, "tni_" + "A" * 86, "tni_" + "/" * 86]
)
async def test_a_token_that_is_none_of_ours_finds_nothing(stage: Stage, token: str):
    await stage.invite()
    expected = (422, "invalid") if not token else (404, "not_found")
    assert problem(await stage.anyone.post("/v1/invitations/preview", json={"token": token})) == expected
    assert problem(await stage.accept(token, name="Eva", password=PASSWORD)) == expected


async def test_a_changed_token_finds_nothing(stage: Stage):
    await stage.invite()
    token = await stage.token()
    for position in range(4, len(token), 7):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert problem(await stage.accept(changed, name="Eva", password=PASSWORD)) == (404, "not_found")
    assert EVA not in await stage.members()


async def test_name_and_password_are_needed_for_a_new_user(stage: Stage):
    await stage.invite()
    token = await stage.token()
    answer = await stage.accept(token)
    assert problem(answer) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [
        ("/name", "missing"),
        ("/password", "missing"),
    ]
    weak = await stage.accept(token, name="Eva", password="short")
    assert (problem(weak), weak.json()["errors"][0]["code"]) == ((422, "invalid"), "password_too_short")
    assert EVA not in await stage.members()


async def test_nobody_joins_a_suspended_partner_or_an_archived_account(stage: Stage):
    await stage.invite()
    token = await stage.token()
    operator = await stage.world.client("Olivia", operator=True)
    partner = f"/v1/partners/{stage.partner.id}"
    for status, expected in (("suspended", 403), ("active", 200)):
        await operator.patch(partner, json={"status": status}, headers={"If-Match": "*"})
        answer = await stage.anyone.post("/v1/invitations/preview", json={"token": token})
        assert answer.status_code == expected
    await stage.anna.delete(stage.url, headers={"If-Match": "*"})
    assert problem(await stage.accept(token, name="Eva", password=PASSWORD)) == (409, "account_archived")
    invited = await stage.anna.post(
        f"{stage.url}/invitations", json={"email": "x@example.com", "role": "account_viewer"}
    )
    assert problem(invited) == (409, "account_archived")


async def test_an_address_gets_a_few_mails_a_day(stage: Stage):
    invited = await stage.invite()
    here = f"{stage.url}/invitations/{invited['id']}"
    answers = [await stage.anna.post(f"{here}/resend") for _ in range(12)]
    assert [a.status_code for a in answers[:9]] == [200] * 9
    assert problem(answers[-1]) == (429, "too_many_invitations")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await stage.anna.delete(here, headers={"If-Match": "*"})).status_code == 204
    again = await stage.anna.post(f"{stage.url}/invitations", json={"email": EVA.upper(), "role": "account_viewer"})
    assert problem(again) == (429, "too_many_invitations")
    assert len(await stage.world.mails()) <= 10


async def test_who_is_removed_has_no_way_back_by_an_invitation_of_their_own(stage: Stage):
    operator, mallory = await stage.world.client("Olivia", operator=True), await stage.world.user("Mallory")
    partner = f"/v1/partners/{stage.partner.id}"
    await operator.post(f"{partner}/invitations", json={"email": "mallory@example.com", "role": "partner_admin"})
    await stage.accept(await stage.token(), await stage.world.client("Mallory"))
    client = await stage.world.client("Mallory")
    await client.post(f"{partner}/invitations", json={"email": "m2@example.com", "role": "partner_admin"})
    token = await stage.token()
    await client.post(f"{stage.url}/invitations", json={"email": "m3@example.com", "role": "account_admin"})
    assert (await operator.delete(f"{partner}/members/{mallory.id}", headers={"If-Match": "*"})).status_code == 204
    assert problem(await stage.accept(token, name="Mallory", password=PASSWORD)) == (410, "invitation_revoked")
    for place in (partner, stage.url):
        left = (await operator.get(f"{place}/invitations", params={"filter": "status:eq:pending"})).json()["items"]
        assert left == []


async def test_a_token_of_an_account_cannot_renew_itself_or_plant_an_admin(stage: Stage):
    token = (await stage.anna.post(f"{stage.url}/switch")).json()["access_token"]
    inside = await stage.world.client(token=token)
    assert (await inside.get(f"{stage.url}/members")).status_code == 200
    for attempt in (inside.post(f"{stage.url}/switch"),
                    inside.post(f"{stage.url}/invitations", json={"email": EVA, "role": "account_admin"})):  # fmt: skip
        assert problem(await attempt) == (403, "insufficient_scope")
