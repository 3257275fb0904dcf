"""Importing accounts over HTTP: what is uploaded, what the dry run says, what is then true."""

from typing import Any

import pytest
from httpx import AsyncClient, Response

from app.models import Partner
from app.policy import Role
from tests.conftest import World, problem

STAR = {"If-Match": "*"}


class Desk:
    """Somebody who imports: a client, the partner's address, and a worker that does what waits."""

    def __init__(self, world: World, partner: Partner, api: AsyncClient) -> None:
        self.world, self.partner, self.api = world, partner, api
        self.path = f"/v1/partners/{partner.id}"

    @classmethod
    async def of(cls, world: World, name: str = "Acme", who: str = "Anna") -> "Desk":
        partner = await world.partner(name, **{who: Role.PARTNER_ADMIN})
        return cls(world, partner, await world.client(who))

    async def define(self, key: str, type: str, **inputs: Any) -> None:
        body = {"key": key, "type": type, "label": {"en": key.title()}} | inputs
        answer = await self.api.post(f"{self.path}/properties", json=body)
        assert answer.status_code == 201, answer.text

    async def upload(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> Response:
        data = content if isinstance(content, bytes) else content.encode()
        return await self.api.post(f"{self.path}/account-imports", files={"file": (name, data)}, data=told)

    async def work(self) -> None:
        await self.world.worker().import_all()

    async def get(self, import_id: str) -> dict[str, Any]:
        return (await self.api.get(f"{self.path}/account-imports/{import_id}")).json()

    async def checked(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> dict[str, Any]:
        """What the dry run says."""
        answer = await self.upload(content, name, **told)
        assert answer.status_code == 201, answer.text
        await self.work()
        return await self.get(answer.json()["id"])

    async def confirm(self, import_id: str, **query: str) -> Response:
        return await self.api.post(f"{self.path}/account-imports/{import_id}/confirm", params=query)

    async def imported(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> dict[str, Any]:
        """Uploaded, checked without an error, confirmed, done."""
        found = await self.checked(content, name, **told)
        assert found["status"] == "checked", found
        assert found["planned"]["errors"] == 0, await self.errors(found["id"])
        assert (await self.confirm(found["id"])).status_code == 200
        await self.work()
        done = await self.get(found["id"])
        assert (done["status"], done["result"]) == ("done", found["planned"])
        return done

    async def errors(self, import_id: str, language: str = "en") -> list[tuple[int, str | None, str, str]]:
        answer = await self.api.get(
            f"{self.path}/account-imports/{import_id}/errors",
            params={"limit": 200},
            headers={"Accept-Language": language},
        )
        return [(e["row"], e["column"], e["code"], e["detail"]) for e in answer.json()["items"]]

    async def accounts(self) -> dict[str, dict[str, Any]]:
        found = await self.api.get(f"{self.path}/accounts", params={"limit": 200})
        return {a["name"]: a for a in found.json()["items"]}


@pytest.fixture
async def desk(world: World) -> Desk:
    return await Desk.of(world)


async def test_a_file_is_checked_confirmed_and_done(desk: Desk):
    await desk.define("revenue", "number")
    answer = await desk.upload("name,revenue\nNordwerk GmbH,12.5\nSüdbau AG,\n")
    assert (answer.status_code, answer.json()["status"]) == (201, "checking")
    assert answer.headers["Location"].endswith(answer.json()["id"])
    await desk.work()
    found = await desk.get(answer.json()["id"])
    assert (found["status"], found["rows_total"], found["failure"]) == ("checked", 2, None)
    assert found["planned"] == {"created": 2, "updated": 0, "unchanged": 0, "errors": 0}
    assert found["columns"] == [
        {"header": "name", "field": "name"},
        {"header": "revenue", "field": "properties.revenue"},
    ]
    assert await desk.accounts() == {}
    assert (await desk.confirm(found["id"])).json()["status"] == "running"
    await desk.work()
    done = await desk.get(found["id"])
    assert (done["status"], done["rows_done"], done["result"]) == ("done", 2, found["planned"])
    made = await desk.accounts()
    assert {name: a["properties"] for name, a in made.items()} == {
        "Nordwerk GmbH": {"revenue": 12.5}, "Südbau AG": {"revenue": None}}  # fmt: skip
