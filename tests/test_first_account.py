"""Flow 1 of the product, end to end: from an operator to a customer inside its own account."""

from jose import jwt

from tests.conftest import World, problem, token_of

NEW_PASSWORD = "nine purple lanterns"


async def register(world: World, name: str, password: str = NEW_PASSWORD) -> dict[str, str]:
    """Accept the newest invitation as a new user, as the page behind the link does."""
    anonymous = await world.client()
    token = token_of((await world.mails())[0])
    answer = await anonymous.post("/v1/registrations", json={"token": token, "name": name, "password": password})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def log_in(world: World, email: str, password: str = NEW_PASSWORD) -> str:
    anonymous = await world.client()
    answer = await anonymous.post("/v1/sessions", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    return answer.json()["access_token"]


async def test_from_operator_to_account(world: World):
    operator = await world.client("Olivia", operator=True)
    body = {"name": "Sensorhaus GmbH", "language": "de", "first_admin_email": "anna@sensorhaus.example.com"}
    made = await operator.post("/v1/partners", json=body)
    assert made.status_code == 201, made.text
    partner = made.headers["location"]

    joined = await register(world, "Anna Admin")
    assert (joined["role"], joined["account_id"]) == ("partner_admin", None)
    anna = await world.client(token=await log_in(world, "anna@sensorhaus.example.com"))

    me = (await anna.get("/v1/me")).json()
    assert me["navigation"] == {"partner_management": True, "operator": False}
    assert [(p["name"], p["role"]) for p in me["partners"]] == [("Sensorhaus GmbH", "partner_admin")]

    account = (await anna.post(f"{partner}/accounts", json={"name": "Nordwerk GmbH"})).json()
    table = (await anna.get(f"{partner}/accounts")).json()
    assert [row["name"] for row in table["items"]] == ["Nordwerk GmbH"]
    here = f"{partner}/accounts/{account['id']}"
    members = (await anna.get(f"{here}/members")).json()["items"]
    assert [(m["email"], m["role"]) for m in members] == [("anna@sensorhaus.example.com", "account_admin")]

    entered = (await anna.post(f"{here}/switch")).json()
    claims = jwt.decode(entered["access_token"], (await anna.get("/.well-known/jwks.json")).json(), ["ES256"],
                        audience=f"{world.settings.url}/accounts", issuer=world.settings.url)  # fmt: skip
    assert (claims["account_id"], claims["role"]) == (account["id"], "account_admin")
    inside = await world.client(token=entered["access_token"])
    assert (await inside.get(here)).json()["name"] == "Nordwerk GmbH"
    assert problem(await inside.get(f"{partner}/accounts")) == (403, "insufficient_scope")

    await anna.post(f"{partner}/invitations", json={"email": "bob@sensorhaus.example.com", "role": "partner_admin"})
    await register(world, "Bob")
    bob = await world.client(token=await log_in(world, "bob@sensorhaus.example.com"))
    assert (await bob.get(here)).json()["name"] == "Nordwerk GmbH"
    assert (await bob.get(f"{here}/overview")).json()["account"]["name"] == "Nordwerk GmbH"
    assert problem(await bob.post(f"{here}/switch")) == (403, "not_a_member")
