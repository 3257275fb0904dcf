"""The check that every answer goes through: what passes `tests/promises.py`, and what does not."""

import json
import re
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest
from httpx import Request, Response

from tests.contract import CONTRACT, meant
from tests.promises import Broken, head_heard, heard, kept

ROLES, PARTNER = "/v1/roles", "/v1/partners/0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"


def shown(schema: str) -> Any:
    """An example of the contract."""
    return deepcopy(CONTRACT["components"]["schemas"][schema]["examples"][0])


def required(at: str, method: str, status: int) -> dict[str, str]:
    """The headers without which an answer is none of the contract's, as its examples have them."""
    path = re.sub(r"[0-9a-f-]{36}", "{}", at.partition("?")[0])
    paths: dict[str, Any] = CONTRACT["paths"]
    operations: Any = {re.sub(r"\{\w+\}", "{}", name): paths[name] for name in paths}.get(path, {})
    answers: Any = operations.get(method.lower().replace("head", "get"), {}).get("responses", {})
    headers: dict[str, Any] = meant(answers[str(status)]).get("headers", {}) if str(status) in answers else {}
    return {name: one["example"] for name, ref in headers.items() if (one := meant(ref)).get("required")}


def problem(code: str) -> Any:
    return deepcopy(meant({"$ref": f"#/components/examples/{code}"})["value"])


async def told(
    body: Any = None,
    *,
    at: str = PARTNER,
    method: str = "GET",
    status: int = 200,
    media_type: str = "",
    **headers: str | None,
) -> None:
    """Raises Broken: such an answer, with the headers that it needs unless they are None, is not as is promised."""
    kind = media_type or ("application/problem+json" if status >= 400 else "application/json")
    known = required(at, method, status) | {"Content-Type": kind}
    known |= {k.replace("_", "-"): v for k, v in headers.items()}
    request, sent = Request(method, f"http://localhost{at}"), {k: v for k, v in known.items() if v is not None}
    await kept(Response(status, headers=sent, content=json.dumps(body), request=request))


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
        ({"ETag": None}, "lacks headers: etag"),
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


SHEET = f"{PARTNER}/accounts"


async def read(content: bytes, *, at: str, media_type: str) -> None:
    """Raises Broken: such a body, in pieces of three bytes, is not what it is said to be."""

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), 3):
            yield content[begin : begin + 3]

    headers = required(at, "GET", 200) | {"Content-Type": media_type}
    answer = Response(200, headers=headers, content=pieces(), request=Request("GET", f"http://localhost{at}"))
    await kept(answer)
    assert await answer.aread() == content


def event(**change: Any) -> bytes:
    told = shown("AccountEvent") | {"position": 7, "type": "account.archived"} | change
    return f"id: 7\nevent: account.archived\ndata: {json.dumps(told)}\n\n".encode()


async def test_what_comes_in_pieces_is_looked_at_while_it_is_read():
    stream = f"{PARTNER}/events/stream"
    workbook = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    await read(
        '\ufeffname,städte\r\n"a\r\nb","c,""d"\r\n'.encode(), at=f"{SHEET}.csv", media_type="text/csv; charset=utf-8"
    )
    await read(b"a;b\r\n1,5;2\r\n", at=f"{SHEET}.csv?separator=semicolon", media_type="text/csv")
    await read(b"PK\x03\x04....PK\x05\x06" + bytes(18), at=f"{SHEET}.xlsx", media_type=workbook)
    await read(b"retry: 2000\nid: 6\n\n: still here\n\n" + event(), at=stream, media_type="text/event-stream")
    for content, at, media_type, fault in (
        (b"name,name\r\n", f"{SHEET}.csv", "text/csv", "names its columns"),
        (b"a,b\r\n1\r\n", f"{SHEET}.csv", "text/csv", "a row of 1 cells below 2 names"),
        (b"a,b\r\n1,2", f"{SHEET}.csv", "text/csv", "whose last row has no end"),
        (b"", f"{SHEET}.csv", "text/csv", "without rows"),
        (b"PK\x03\x04....", f"{SHEET}.xlsx", workbook, "is no workbook"),
        (event(surprise=1), stream, "text/event-stream", "an event that is not one: .*surprise"),
        (event(position=8), stream, "text/event-stream", "at 7 that is account.archived at 8"),
        (event()[:-1], stream, "text/event-stream", "ends within an event"),
        (b"what: 1\n\n", stream, "text/event-stream", "lines that begin with what"),
        (b"a,b\r\n", f"{SHEET}.csv", "text/plain", "has a body of text/plain, not of text/csv"),
    ):
        with pytest.raises(Broken, match=fault):
            await read(content, at=at, media_type=media_type)
    with pytest.raises(Broken, match="at /: "):
        await read(b"no token", at=f"{SHEET}/{PARTNER[-36:]}/licence-file", media_type="application/jwt")


def test_what_did_not_come_by_a_client_of_ours_is_looked_at_too():
    known = {"x-request-id": "1", "content-type": "application/json", "etag": '"1"'}
    heard("GET", PARTNER, 200, known, json.dumps(shown("PartnerRead")).encode())
    with pytest.raises(Broken, match="surprise"):
        heard("GET", PARTNER, 200, known, json.dumps(shown("PartnerRead") | {"surprise": 1}).encode())
    heard("GET", PARTNER, 200, known, None)
    with pytest.raises(Broken, match="headers that are not named: x-surprise"):
        head_heard("GET", PARTNER, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Surprise: 1\r\n\r\n")


async def test_nothing_is_promised_to_be_empty_and_is_not():
    with pytest.raises(Broken, match="has a body of application/json, not of none"):
        await told({}, at=f"{PARTNER}/views/{PARTNER[-36:]}", method="DELETE", status=204)
