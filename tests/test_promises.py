"""The check that every answer goes through: what passes `tests/promises.py`, and what does not."""

import json
from copy import deepcopy
from typing import Any

import pytest
from httpx import Request, Response

from tests.contract import CONTRACT, meant
from tests.promises import Broken, kept

ROLES, PARTNER = "/v1/roles", "/v1/partners/0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"


def shown(schema: str) -> Any:
    """An example of the contract."""
    return deepcopy(CONTRACT["components"]["schemas"][schema]["examples"][0])


def problem(code: str) -> Any:
    return deepcopy(meant({"$ref": f"#/components/examples/{code}"})["value"])


async def told(
    body: Any = None, *, at: str = PARTNER, method: str = "GET", status: int = 200, media_type: str = "", **headers: str
) -> None:
    """Raises Broken: such an answer is not as the contract promises."""
    kind = media_type or ("application/problem+json" if status >= 400 else "application/json")
    known = {"X-Request-Id": "1", "Content-Type": kind} | {k.replace("_", "-"): v for k, v in headers.items()}
    request = Request(method, f"http://localhost{at}")
    await kept(Response(status, headers=known, content=json.dumps(body), request=request))


async def test_what_the_contract_promises_passes():
    await told(shown("PartnerRead"), ETag='"1"', RateLimit='"credential";r=1;t=1')
    await told(shown("PartnerRead"), method="HEAD")
    await told(problem("NotFound"), status=404, Content_Language="de")
    await told(problem("Unavailable"), status=503, Retry_After="2")
    await told(problem("NotFound") | {"status": 405}, method="PUT", status=405, Allow="GET, PATCH")
    await told({"anything": "goes"}, at="/dev/mail")
    await told(method="OPTIONS", Access_Control_Allow_Methods="GET")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"status": 201}, "201 is not among its statuses"),
        ({"status": 410}, "410 is not among its statuses"),
        ({"X_Surprise": "1"}, "headers that are not named: x-surprise"),
        ({"ETag": "bare"}, "etag: "),
        ({"media_type": "text/csv"}, "has a body of text/csv, not of application/json"),
        ({"method": "PUT"}, "where there is no operation"),
    ],
)
async def test_another_status_header_or_media_type_does_not(answer: dict[str, Any], fault: str):
    with pytest.raises(Broken, match=fault):
        await told(shown("PartnerRead"), **answer)


async def test_another_field_does_not_nor_one_that_is_missing_or_of_another_kind():
    for change, fault in (
        ({"surprise": 1}, "at /: .*surprise"),
        ({"name": 7}, "at /name: "),
        ({"id": "no id"}, "at /id: "),
        ({"created_at": "yesterday"}, "at /created_at: "),
    ):
        with pytest.raises(Broken, match=fault):
            await told(shown("PartnerRead") | change)
    less = shown("PartnerRead")
    del less["name"]
    with pytest.raises(Broken, match='at /: "name" is a required property'):
        await told(less)
    page = shown("PartnerPage")
    page["items"][0]["surprise"] = 1
    with pytest.raises(Broken, match=r"at /items/0: .*surprise"):
        await told(page, at="/v1/partners")


async def test_another_problem_does_not():
    with pytest.raises(Broken, match="is name_taken, which is not among its problems"):
        await told(problem("NameTaken") | {"status": 404}, status=404)
    with pytest.raises(Broken, match=r"at /: .*surprise"):
        await told(problem("NotFound") | {"surprise": 1}, status=404)
    with pytest.raises(Broken, match="retry-after: "):
        await told(problem("Unavailable"), status=503, Retry_After="soon")


async def test_nothing_is_promised_to_be_empty_and_is_not():
    with pytest.raises(Broken, match="has a body of application/json, not of none"):
        await told({}, at=f"{PARTNER}/views/{PARTNER[-36:]}", method="DELETE", status=204)
