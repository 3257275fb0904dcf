"""Notices: of licences that end soon and of limits that are reached, each told once, to those who want to know."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import func, select

from app.config import Settings
from app.models import (
    PLATFORM,
    Account,
    AccountStatus,
    Delivery,
    Event,
    Feature,
    FeatureKind,
    Notice,
    Overage,
    SuspendedBy,
    User,
    UserStatus,
    utc_now,
)
from app.policy import Role
from app.services import notices
from tests import shop
from tests.conftest import Owner, World, problem, running, text_of
from tests.forks import Fork
from tests.pools import at, change, claim, feature, in_days, licence
from tests.test_mail import mail_server, posting, start_worker
from tests.test_worker import until

R = Role
STAR = {"If-Match": "*"}
SECOND, DAY, HOUR = timedelta(seconds=1), timedelta(days=1), timedelta(hours=1)
TOLD = ("licence.ends_soon", "entitlement.nearly_used", "entitlement.used_up")


async def look(world: World, account: Account, moment: datetime | None = None) -> dict[str, int]:
    """What a worker tells of the account's partner at that moment."""
    await world.worker().number_all()
    given, more = Counter[str](), True
    while more:
        async with world.transaction(account.partner_id) as db:
            told = await notices.step(db, account.partner_id, moment or utc_now())
        given.update(told.given)
        more = told.more
    return dict(given)


async def customer(world: World, **members: Role) -> tuple[Account, AsyncClient]:
    """An account and an admin of both it and its partner; there is a quota."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", **members)
    await feature(world)
    return account, await world.client("Anna")


async def told(world: World, account: Account) -> list[dict[str, Any]]:
    """What the change log says was told, oldest first."""
    return [
        {"type": e.type, **(e.details or {})["after"]} for e in await world.events(account.partner_id) if e.type in TOLD
    ]


async def release(client: AsyncClient, account: Account, *resources: str) -> None:
    for resource in resources:
        answer = await client.delete(f"{at(account)}/claims", params={"feature": "assets", "resource": resource})
        assert answer.status_code == 204, answer.text


async def use(client: AsyncClient, account: Account, units: int, resource: str = "a") -> None:
    assert (await claim(client, account, resource, units)).status_code == 201


# --- licences that end ---


async def test_end_of_a_licence_is_told_of_thirty_seven_and_one_days_before(world: World):
    account, anna = await customer(world)
    end = in_days(100)
    granted = await licence(world, account, "assets", 10, ends_at=end, grace_days=3)
    steps = [(end - 40 * DAY, None)]
    for days, kind in ((30, "ends_in_30_days"), (7, "ends_in_7_days"), (1, "ends_in_1_day")):
        steps += [(end - days * DAY - SECOND, None), (end - days * DAY, kind), (end - days * DAY + HOUR, None)]
    steps += [(end - SECOND, None), (end, None), (end + 3 * DAY, None), (end + 90 * DAY, None)]
    for moment, kind in steps:
        assert await look(world, account, moment) == ({kind: 1} if kind else {}), end - moment
    said = {"type": "licence.ends_soon", "feature": "assets", "units": 10, "ends_at": end.isoformat(), "grace_days": 3,
            "limit_then": 0}  # fmt: skip
    assert await told(world, account) == [said | {"days": days} for days in (30, 7, 1)]
    events = [e for e in await world.events(account.partner_id) if e.type == "licence.ends_soon"]
    assert {(e.subject_type, e.subject_id, e.account_id, e.actor) for e in events} == {
        ("licence", granted, account.id, "system")
    }
    mails = await world.mails()
    assert [str(m["To"]) for m in mails] == ["anna@example.com"] * 3
    assert (await anna.get(f"{at(account)}/licences/{granted}")).json()["state"] == "active"


async def test_who_looks_late_tells_of_the_nearest_end_only(world: World):
    account, _ = await customer(world)
    end = in_days(100)
    await licence(world, account, "assets", 10, ends_at=end)
    assert await look(world, account, end - 5 * DAY) == {"ends_in_7_days": 1}
    assert await look(world, account, end - 4 * DAY) == {}
    assert await look(world, account, end - HOUR) == {"ends_in_1_day": 1}


async def test_licence_is_told_of_only_at_times_after_its_beginning(world: World):
    account, _ = await customer(world)
    start = in_days(10)
    expected = {
        30: ["ends_in_7_days", "ends_in_1_day"],
        7: ["ends_in_1_day"],
        1: [],
        31: ["ends_in_30_days", "ends_in_7_days", "ends_in_1_day"],
    }
    for days in expected:
        await feature(world, f"of_{days}_days")
        await licence(world, account, f"of_{days}_days", 5, starts_at=start, ends_at=start + days * DAY)
    times = {start + (term - days) * DAY + off for term in expected for days in (30, 7, 1) for off in (-SECOND, SECOND)}
    for moment in sorted(times):
        await look(world, account, moment)
    async with world.transaction(account.partner_id) as db:
        found = (await db.scalars(select(Notice).order_by(Notice.id))).all()
    for days, kinds in expected.items():
        assert [n.kind for n in found if n.feature == f"of_{days}_days"] == kinds, days


async def test_licence_that_others_follow_without_a_loss_ends_in_silence(world: World):
    account, _ = await customer(world)
    end = in_days(20)
    cases: dict[str, tuple[list[dict[str, Any]], bool]] = {
        "nothing": ([], True),
        "seamless": ([{"units": 10, "starts_at": end}], False),
        "more": ([{"units": 50, "starts_at": end - DAY}], False),
        "less": ([{"units": 9, "starts_at": end}], True),
        "too_late": ([{"units": 10, "starts_at": end + SECOND}], True),
        "beside": ([{"units": 99}], True),  # an older one goes on, and the limit falls all the same
        "grace": ([{"units": 10, "starts_at": end + 2 * DAY}], False),  # within the days of grace
        "short": ([{"units": 10, "starts_at": end, "ends_at": end + DAY}], False),  # which is told of in its own time
        "stopped": ([{"units": 10, "starts_at": end, "suspended_by": SuspendedBy.PARTNER}], True),
        "revoked": ([{"units": 10, "starts_at": end, "revoked_at": in_days(-1)}], True),
    }
    for key, (others, _) in cases.items():
        await feature(world, key)
        await licence(world, account, key, 10, ends_at=end, grace_days=3 if key == "grace" else 0)
        for other in others:
            await licence(world, account, key, **other)
    await look(world, account)
    assert {said["feature"] for said in await told(world, account)} == {key for key, (_, loud) in cases.items() if loud}


async def test_purchase_that_was_renewed_is_silent_until_the_renewal_is_called_off(world: World):
    account, anna = await customer(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    end = in_days(90)
    bought = await anna.post(f"{at(account)}/articles", json={"article": "A-1", "ends_at": end.isoformat()})
    assert bought.status_code == 201, bought.text
    renewed = await anna.post(f"{at(account)}/articles/{bought.json()['id']}/renew", json={})
    assert renewed.status_code == 201, renewed.text
    assert await look(world, account, end - 20 * DAY) == {}
    off = await anna.post(f"{at(account)}/articles/{renewed.json()['id']}/cancel", json={})
    assert off.status_code == 200, off.text
    assert await look(world, account, end - 20 * DAY) == {"ends_in_30_days": 1}


async def test_suspended_or_revoked_licence_is_not_told_of_until_it_is_resumed(world: World):
    account, anna = await customer(world)
    suspended = await licence(world, account, "assets", 10, ends_at=in_days(20))
    revoked = await licence(world, account, "assets", 5, ends_at=in_days(20))
    for row, verb in ((suspended, "suspend"), (revoked, "revoke")):
        done = await anna.post(f"{at(account)}/licences/{row}/{verb}", json={"reason": "X"})
        assert done.status_code == 200, done.text
    assert await look(world, account) == {}
    assert (await anna.post(f"{at(account)}/licences/{suspended}/resume")).status_code == 200
    assert await look(world, account) == {"ends_in_30_days": 1}


async def test_another_end_is_told_of_anew(world: World):
    account, anna = await customer(world)
    body = {"feature": "assets", "units": 5, "reason": "A trial.", "starts_at": in_days(-90).isoformat()}
    ends = [in_days(20), in_days(60), in_days(22), in_days(22)]
    made = await anna.post(f"{at(account)}/licences", json=body | {"ends_at": ends[0].isoformat()})
    path = f"{at(account)}/licences/{made.json()['id']}"
    given = [await look(world, account)]
    for end in ends[1:]:
        changed = await anna.patch(path, json={"ends_at": end.isoformat()}, headers=STAR)
        assert changed.status_code == 200, changed.text
        given.append(await look(world, account))
    assert given == [{"ends_in_30_days": 1}, {}, {"ends_in_30_days": 1}, {}]


# --- limits that are reached ---


async def test_use_is_told_of_at_eighty_and_at_a_hundred_per_cent_and_again_after_it_fell(world: World):
    account, anna = await customer(world)
    await licence(world, account, "assets", 10)
    near, full = {"nearly_used": 1}, {"used_up": 1}

    async def used(units: int) -> dict[str, int]:
        """What is told when so many units are in use."""
        claims = (await anna.get(f"{at(account)}/claims", params={"filter": "live:eq:true", "limit": 200})).json()[
            "items"
        ]
        resources = [c["resource"] for c in claims]
        await release(anna, account, *resources[units:])
        for n in range(units - len(claims)):
            await use(anna, account, 1, f"{len(claims)}-{n}-{utc_now()}")
        return await look(world, account)

    for units, expected in ((7, {}), (8, near), (9, {}), (8, {}), (10, full), (9, {}), (10, full), (8, {}), (7, {}),
                            (8, near), (0, {}), (10, full), (9, {}), (0, {}), (9, near)):  # fmt: skip
        assert await used(units) == expected, units
    said = await told(world, account)
    assert said[:2] == [
        {"type": "entitlement.nearly_used", "feature": "assets", "used": 8, "limit": 10},
        {"type": "entitlement.used_up", "feature": "assets", "used": 10, "limit": 10},
    ]
    assert [s["type"].partition(".")[2] for s in said] == [
        "nearly_used",
        "used_up",
        "used_up",
        "nearly_used",
        "used_up",
        "nearly_used",
    ]
    events = [e for e in await world.events(account.partner_id) if e.subject_type == "entitlement"]
    assert {(e.account_id, e.actor) for e in events} == {(account.id, "system")}
    assert len({e.subject_id for e in events}) == 1  # the same entitlement
    assert len(await world.mails()) == 2  # each threshold once a day, however often it is crossed


async def test_use_that_crosses_again_on_another_day_is_mailed_again(world: World):
    account, anna = await customer(world)
    await licence(world, account, "assets", 10)
    for days, mails in ((0, 1), (0.9, 1), (1.1, 2)):
        await use(anna, account, 10)
        assert await look(world, account, in_days(days)) == {"used_up": 1}
        await release(anna, account, "a")
        assert await look(world, account, in_days(days)) == {}
        assert len(await world.mails()) == mails


async def test_limit_that_grows_or_falls_is_told_of_as_use_is(world: World):
    account, anna = await customer(world)
    row = await licence(world, account, "assets", 10)
    await use(anna, account, 9)
    assert await look(world, account) == {"nearly_used": 1}
    steps: Sequence[tuple[int, dict[str, int]]] = (
        (20, {}),
        (11, {"nearly_used": 1}),
        (9, {"used_up": 1}),
        (4, {}),
        (20, {}),
        (9, {"used_up": 1}),
    )
    for n, (units, expected) in enumerate(steps, 1):
        await change(world, account, row, units=units)  # without an event: found when all accounts are looked at
        assert await look(world, account, utc_now() + 2 * HOUR * n) == expected, units
    body = {"feature": "assets", "units": 50, "reason": "More."}
    assert (await anna.post(f"{at(account)}/licences", json=body)).status_code == 201
    assert await look(world, account) == {}
    async with world.transaction(account.partner_id) as db:
        assert set(await db.scalars(select(Notice.armed))) == {True}


async def test_limit_that_the_clock_lowers_is_told_of(world: World):
    account, anna = await customer(world)
    end = in_days(100)
    await licence(world, account, "assets", 10, ends_at=end, grace_days=2)
    await licence(world, account, "assets", 4, ends_at=end)
    await licence(world, account, "assets", 10)
    await use(anna, account, 12)
    assert await look(world, account, end - SECOND) == {"ends_in_1_day": 2}
    assert await look(world, account, end) == {}  # 12 of 20
    after = end + 2 * DAY
    assert [await look(world, account, after + hours * HOUR) for hours in (0, 1)].count({"used_up": 1}) == 1  # 12 of 10
    assert (await told(world, account))[-1] == {
        "type": "entitlement.used_up",
        "feature": "assets",
        "used": 12,
        "limit": 10,
    }


async def test_what_has_no_limit_worth_telling_of_is_silent(world: World):
    account, anna = await customer(world)
    await feature(world, "api", kind=FeatureKind.SWITCH)
    await feature(world, "by_default", default=4)
    await feature(world, "free", overage=Overage.ALLOWED)
    await feature(world, "roomy", overage=Overage.UP_TO_200)
    for key, units in (("api", 1), ("free", 0), ("roomy", 10)):
        await licence(world, account, key, units)
    for key, units in (("api", 1), ("by_default", 4), ("free", 50), ("roomy", 15)):
        assert (await claim(anna, account, "x", units, key)).status_code == 201
    assert await look(world, account) == {"used_up": 2}
    assert {(s["feature"], s["used"], s["limit"]) for s in await told(world, account)} == {
        ("by_default", 4, 4),
        ("roomy", 15, 10),
    }
    async with world.transaction(PLATFORM) as db:  # found when all accounts are looked at, for it is no event of theirs
        (await db.scalars(select(Feature).where(Feature.key == "by_default"))).one().default_units = 100
    assert await look(world, account, utc_now() + 2 * HOUR) == {}
    async with world.transaction(account.partner_id) as db:
        rows = (await db.scalars(select(Notice).where(Notice.feature == "by_default"))).all()
    assert [n.armed for n in rows] == [True, True]


# --- who is told ---


async def test_admins_who_want_to_know_are_told_in_their_language(world: World):
    account, anna = await customer(
        world, Ada=R.ACCOUNT_ADMIN, Ed=R.ACCOUNT_EDITOR, Vic=R.ACCOUNT_VIEWER, Sam=R.ACCOUNT_ADMIN
    )
    await world.user("Doris", language="de")
    partner = await world.partner("Other", Rita=R.PARTNER_ADMIN)
    await world.account(partner, by="Rita")
    more = [
        ("Doris", R.PARTNER_ADMIN),
        ("Max", R.PARTNER_MANAGER),
        ("Vera", R.PARTNER_VIEWER),
        ("Nora", R.PARTNER_ADMIN),
    ]
    await joined(world, account, more)
    nora, me = await world.client("Nora"), "/v1/me"
    assert (await nora.get(me)).json()["licence_notices"] is True
    assert (await nora.patch(me, json={"licence_notices": False}, headers=STAR)).json()["licence_notices"] is False
    assert (await nora.get(me)).json()["licence_notices"] is False
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["Sam"].id)).status = UserStatus.SUSPENDED
    await licence(world, account, "assets", 10, ends_at=in_days(6.5), grace_days=1)
    await feature(world, "loggers")
    await licence(world, account, "loggers", 5)
    assert (await claim(anna, account, "x", 5, "loggers")).status_code == 201
    assert await look(world, account) == {"ends_in_7_days": 1, "used_up": 1}
    mails = {str(m["To"]).partition("@")[0]: m for m in await world.mails()}
    assert set(mails) == {"anna", "ada", "doris"}
    assert mails["ada"]["Subject"] == "Nordwerk GmbH: licences end soon, limits are reached"
    assert mails["doris"]["Subject"] == "Nordwerk GmbH: Lizenzen enden bald, Grenzen sind erreicht"
    english, german = (text_of(mails[who]).replace("\r\n", "\n") for who in ("ada", "doris"))
    assert "Nordwerk GmbH (partner Acme):\n- Assets: a licence for 10 units ends on " in english
    assert (
        ", in 7 days. It goes on for 1 day of grace. The limit will be 0 then.\n- Loggers: 5 of 5 units are in use. The limit is reached."
        in english
    )
    assert "- Assets: Eine Lizenz über 10 Einheiten endet am " in german
    assert (
        ", in 7 Tagen. Sie gilt noch 1 Tag darüber hinaus. Dann liegt die Grenze bei 0.\n- Loggers: 5 von 5 Einheiten sind in Gebrauch. Die Grenze ist erreicht."
        in german
    )
    for mail in mails.values():
        html = mail.get_body(("html",))
        assert html is not None
        assert html.get_content().count("<li>") == 2


async def joined(world: World, account: Account, people: Sequence[tuple[str, Role]]) -> None:
    """Have people be members of the account's partner."""
    owner = await world.client("Olivia", operator=True)
    for name, role in people:
        user = await world.user(name)
        invited = await owner.post(
            f"/v1/partners/{account.partner_id}/invitations", json={"email": user.email, "role": role}
        )
        assert invited.status_code == 201, invited.text
    for mail in await world.mails():
        name = str(mail["To"]).partition("@")[0].title()
        token = next(w for w in text_of(mail).split() if "#token=" in w).partition("#token=")[2]
        accepted = await (await world.client(name)).post("/v1/registrations", json={"token": token})
        assert accepted.status_code == 201, accepted.text
    for kept in world.mailbox.folder.glob("*.eml"):
        kept.unlink()


async def test_wish_for_notices_is_true_or_false(world: World):
    anna = await world.client("Anna")
    for wrong in (None, "false", 0):
        answer = await anna.patch("/v1/me", json={"licence_notices": wrong}, headers=STAR)
        assert problem(answer) == (422, "invalid"), wrong
    assert (await anna.patch("/v1/me", json={"licence_notices": False}, headers=STAR)).status_code == 200
    (event,) = [e for e in await world.events(PLATFORM) if e.type == "user.updated"]
    assert event.details == {"before": {"licence_notices": True}, "after": {"licence_notices": False}}


async def test_who_has_left_or_changed_their_mind_gets_no_mail_that_was_waiting(world: World):
    account, _ = await customer(world, Ada=R.ACCOUNT_ADMIN, Bo=R.ACCOUNT_ADMIN, Cy=R.ACCOUNT_ADMIN)
    await licence(world, account, "assets", 10, ends_at=in_days(20))
    assert await look(world, account) == {"ends_in_30_days": 1}
    anna = await world.client("Anna")
    assert (await anna.delete(f"{at(account)}/members/{world.people['Ada'].id}", headers=STAR)).status_code == 204
    bo = await world.client("Bo")
    assert (await bo.patch("/v1/me", json={"licence_notices": False}, headers=STAR)).status_code == 200
    assert sorted(str(m["To"]) for m in await world.mails()) == ["anna@example.com", "cy@example.com"]
    async with world.transaction(account.partner_id) as db:
        assert Counter(await db.scalars(select(Delivery.outcome))) == {"sent": 2, "dropped": 2}


async def test_partner_whose_management_is_off_hears_nothing_and_its_accounts_do(world: World):
    account, _ = await customer(world, Ada=R.ACCOUNT_ADMIN)
    await joined(world, account, [("Doris", R.PARTNER_ADMIN)])
    olivia = await world.client("Olivia", operator=True)
    off = await olivia.patch(
        f"/v1/partners/{account.partner_id}", json={"partner_management_enabled": False}, headers=STAR
    )
    assert off.status_code == 200, off.text
    await licence(world, account, "assets", 10, ends_at=in_days(20))
    assert await look(world, account) == {"ends_in_30_days": 1}
    assert sorted(str(m["To"]) for m in await world.mails()) == [
        "ada@example.com",
        "anna@example.com",
    ]  # she is a member


async def test_stopped_account_or_partner_is_told_when_it_goes_on(world: World):
    account, anna = await customer(world)
    row = await licence(world, account, "assets", 10, ends_at=in_days(20))
    await use(anna, account, 9)
    olivia, here = await world.client("Olivia", operator=True), f"/v1/partners/{account.partner_id}"
    assert (await anna.patch(at(account), json={"status": AccountStatus.SUSPENDED}, headers=STAR)).status_code == 200
    assert await look(world, account) == {}
    assert (await anna.patch(at(account), json={"status": AccountStatus.ACTIVE}, headers=STAR)).status_code == 200
    assert (await olivia.patch(here, json={"status": "suspended"}, headers=STAR)).status_code == 200
    worker = world.worker()
    await worker.number_all()
    await worker.tell_all()
    assert await told(world, account) == []
    assert (await olivia.patch(here, json={"status": "active"}, headers=STAR)).status_code == 200
    await worker.number_all()
    await worker.tell_all()
    assert sorted(said["type"] for said in await told(world, account)) == [
        "entitlement.nearly_used",
        "licence.ends_soon",
    ]
    assert (await anna.get(f"{at(account)}/licences/{row}")).status_code == 200


async def test_mail_speaks_of_all_accounts_together_and_no_name_is_markup(world: World):
    account, anna = await customer(world)
    other = await anna.post(f"/v1/partners/{account.partner_id}/accounts", json={"name": "<b>Ost & Co</b>"})
    assert other.status_code == 201, other.text
    async with world.transaction(account.partner_id) as db:
        second = await db.get_one(Account, (account.partner_id, UUID(other.json()["id"])))
    for one in (account, second):
        await licence(world, one, "assets", 10, ends_at=in_days(20))
    assert await look(world, account) == {"ends_in_30_days": 2}
    (mail,) = await world.mails()
    assert mail["Subject"] == "2 accounts: licences end soon"
    html = mail.get_body(("html",))
    assert html is not None
    assert "<b>Ost & Co</b>" in text_of(mail)
    assert "&lt;b&gt;Ost &amp; Co&lt;/b&gt;" in html.get_content()
    assert "<b>" not in html.get_content()
    await feature(world, "<i>loggers</i>")
    await licence(world, second, "<i>loggers</i>", 3, ends_at=in_days(6))
    assert await look(world, account, utc_now() + 2 * HOUR) == {"ends_in_7_days": 1}
    newest = (await world.mails())[0]
    assert newest["Subject"] == "<b>Ost & Co</b>: licences end soon"
    html = newest.get_body(("html",))
    assert html is not None
    assert html.get_content().count("&lt;b&gt;Ost &amp; Co&lt;/b&gt;") == 3  # title, heading, and its place in the list
    assert "&lt;I&gt;Loggers&lt;/I&gt;: a licence for 3 units" in html.get_content()
    assert not {"<b>", "<I>"} & set(re.findall(r"<[^>]*>", html.get_content()))


# --- once ---


async def test_many_workers_at_once_tell_each_notice_once(world: World):
    account, anna = await customer(world)
    assert await look(world, account) == {}
    await licence(world, account, "assets", 10, ends_at=in_days(20))
    await use(anna, account, 10)
    await world.worker().number_all()

    async def step() -> int:
        async with world.transaction(account.partner_id) as db:
            return (await notices.step(db, account.partner_id, utc_now())).given.total()

    assert sum(await asyncio.gather(*(step() for _ in range(6)))) == 2
    assert await look(world, account) == {}
    assert len(await told(world, account)) == 2
    assert len(await world.mails()) == 1


async def test_who_dies_before_the_commit_has_told_nothing(world: World):
    account, _ = await customer(world)
    await licence(world, account, "assets", 10, ends_at=in_days(20))

    async def die() -> None:
        async with world.transaction(account.partner_id) as db:
            assert (await notices.step(db, account.partner_id, utc_now())).given.total() == 1
            await db.flush()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await die()
    assert await told(world, account) == []
    assert await world.mails() == []
    assert await look(world, account) == {"ends_in_30_days": 1}
    assert (len(await told(world, account)), len(await world.mails())) == (1, 1)


@pytest.mark.slow
async def test_workers_killed_while_they_look_tell_each_notice_once(settings: Settings, owner: Owner):
    dice = random.Random(7)
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        await feature(world)
        partners = [await world.partner(f"P{n}", **{f"Admin{n}": R.PARTNER_ADMIN}) for n in range(12)]
        for n, partner in enumerate(partners):
            account = await world.account(partner, by=f"Admin{n}")
            for _ in range(4):
                await licence(world, account, "assets", 10, ends_at=in_days(20))
        crew: list[Fork] = []
        killed_at: list[int] = []
        log = settings.data_dir / "workers.log"
        quick = {"TENANTRY_LEASE_SECONDS": "1"}
        for _ in range(4):
            crew += [start_worker(world.settings, log, **quick) for _ in range(2)]
            before = await owner.value("SELECT count(*) FROM notices")
            await until(20, lambda before=before: some_told(owner, before, len(partners) * 4))
            await asyncio.sleep(dice.uniform(0, 0.02))
            for process in crew:
                process.kill()
                process.wait()
            killed_at.append(await owner.value("SELECT count(*) FROM notices"))
            await owner.execute(
                "DELETE FROM notice_rounds WHERE partner_id = $1", dice.choice(partners).id
            )  # look again
        crew = [start_worker(world.settings, log, **quick) for _ in range(2)]
        try:
            await until(30, lambda: all_told(owner, len(partners) * 4))
            await until(30, lambda: all_sent(owner))
        finally:
            for process in crew:
                process.terminate()
            for process in crew:
                process.wait(20)
        events = await owner.rows(
            "SELECT subject_id, count(*) AS n FROM events WHERE type = 'licence.ends_soon' GROUP BY 1"
        )
        assert [e["n"] for e in events] == [1] * 48
        assert 0 < killed_at[0] < 48  # while they were at it
        assert await owner.value("SELECT count(*) FROM notices") == 48
        recipients = Counter((m.recipients[0], m.id) for m in post.mails)
        assert {who for who, _ in recipients} == {f"admin{n}@example.com" for n in range(12)}
        assert len(recipients) == 12  # a mail that is sent again has the same id


async def some_told(owner: Owner, before: int, most: int) -> bool:
    return await owner.value("SELECT count(*) FROM notices") > before or before == most


async def all_told(owner: Owner, number: int) -> bool:
    return await owner.value("SELECT count(*) FROM notices") == number


async def all_sent(owner: Owner) -> bool:
    return await owner.value("SELECT count(*) FROM deliveries WHERE done_at IS NULL") == 0


# --- where there is something to look at ---


async def test_worker_looks_only_where_something_happened_or_the_clock_says_so(world: World):
    account, anna = await customer(world)
    other = await world.partner("Other", Rita=R.PARTNER_ADMIN)
    end = in_days(100)
    await licence(world, account, "assets", 10, ends_at=end)

    async def due(moment: datetime | None = None, last: UUID = PLATFORM) -> set[UUID]:
        async with world.begin() as db:
            found = func.partners_to_be_told(moment or utc_now(), last).table_valued("partner_id")
            return {UUID(str(p)) for p in await db.scalars(select(found.c.partner_id))}

    worker = world.worker()
    await worker.number_all()
    assert await due() == {account.partner_id, other.id}
    assert await due(last=max(account.partner_id, other.id)) == set()
    await worker.tell_all()
    assert await due() == set()
    assert await due(utc_now() + HOUR) == {account.partner_id, other.id}  # the walk
    await use(anna, account, 8)
    assert await due() == set()
    await worker.number_all()
    assert await due() == {account.partner_id}
    await worker.tell_all()
    await worker.number_all()
    await worker.tell_all()
    assert await due() == set()
    assert [said["type"] for said in await told(world, account)] == ["entitlement.nearly_used"]
    near = end - 30 * DAY
    await look(world, account, near - 10 * timedelta(minutes=1))
    assert account.partner_id not in await due(near - SECOND)
    assert account.partner_id in await due(near)


@pytest.mark.slow
async def test_hundreds_of_licences_that_end_together_are_told_of_in_batches(world: World, owner: Owner):
    account, _ = await customer(world)
    number, end = notices.ACCOUNTS + 7, in_days(100)
    await look(world, account)
    await owner.execute(
        "INSERT INTO accounts (partner_id, id, name, name_key, name_search, status, member_count, created_at, updated_at,"
        " version) SELECT $1, gen_random_uuid(), 'N' || n, 'n' || n, 'n' || n, 'active', 0, now(), now(), 1"
        " FROM generate_series(1, $2::int) n", account.partner_id, number,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO licences (partner_id, id, account_id, feature, units, starts_at, ends_at, grace_days, source,"
        " created_at, updated_at, version) SELECT partner_id, gen_random_uuid(), id, 'assets', 5, now(), $2, 0, 'manual',"
        " now(), now(), 1 FROM accounts WHERE partner_id = $1 AND name LIKE 'N_%' AND member_count = 0",
        account.partner_id, end,
    )  # fmt: skip
    assert await look(world, account, end - 8 * DAY) == {"ends_in_30_days": number}
    assert await look(world, account, end - 7 * DAY) == {"ends_in_7_days": number}
    assert await look(world, account, end - 6 * DAY) == {}
    async with world.transaction(account.partner_id) as db:
        events = select(func.count()).select_from(Event).where(Event.type == "licence.ends_soon")
        assert await db.scalar(events) == 2 * number
        mails = [d.values["accounts"] for d in await db.scalars(select(Delivery))]
    assert sum(len(accounts) for accounts in mails) == 2 * number
    assert max(len(accounts) for accounts in mails) <= notices.ACCOUNTS
