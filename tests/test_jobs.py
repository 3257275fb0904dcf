"""The list of what workers do for a partner."""

from app.policy import Role
from tests.conftest import World, problem


async def test_imports_are_jobs_with_their_progress_and_the_list_is_filtered(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Vera=Role.PARTNER_VIEWER)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    anna, vera = await world.client("Anna"), await world.client("Vera")
    here = f"/v1/partners/{partner.id}"
    made = [(await anna.post(f"{here}/account-imports", files={"file": (name, b"name\nOne\nTwo\n")})).json()["id"]
            for name in ("a.csv", "b.csv")]  # fmt: skip
    await world.worker().import_all()
    assert (await anna.post(f"{here}/account-imports/{made[0]}/confirm")).status_code == 200
    await world.worker().import_all()
    found = (await vera.get(f"{here}/jobs?count=true")).json()
    assert found["total"] == 2
    waiting, done = found["items"]
    assert (waiting["id"], waiting["status"], waiting["title"]) == (made[1], "waiting", "b.csv")
    assert waiting["finished_at"] is None
    assert (done["id"], done["kind"], done["status"]) == (made[0], "account_import", "done")
    assert (done["done"], done["total"]) == (2, 2)
    assert done["created_by"] == str(world.people["Anna"].id)
    assert (await vera.get(done["url"])).json()["id"] == done["id"]
    assert (await vera.get(f"{here}/account-imports/{done['id']}")).json()["finished_at"] == done["finished_at"]
    for condition, expected in (
        ("kind:eq:account_import", made[::-1]), ("kind:ne:account_import", []), ("status:in:done,failed", made[:1]),
        ("status:eq:running", []), (f"created_by:eq:{world.people['Vera'].id}", []),
        (f"created_at:gte:{done['created_at']}", made[::-1]),
    ):  # fmt: skip
        shown = await vera.get(f"{here}/jobs?filter={condition}")
        assert [j["id"] for j in shown.json()["items"]] == expected, condition
    assert [j["id"] for j in (await vera.get(f"{here}/jobs?sort=created_at")).json()["items"]] == made
    first = await vera.get(f"{here}/jobs?limit=1")
    second = await vera.get(first.links["next"]["url"])
    assert [j["id"] for page in (first, second) for j in page.json()["items"]] == made[::-1]
    assert problem(await vera.get(f"{here}/jobs?filter=kind:eq:webhook")) == (422, "invalid")
    rita = await world.client("Rita")
    assert (await rita.get(f"/v1/partners/{rival.id}/jobs")).json()["items"] == []
    assert problem(await rita.get(f"{here}/jobs")) == (404, "not_found")
