"""Pages for people: the links of our mails, the documentation, the problems, and the development mailbox."""

import asyncio
import hashlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi_offline import consts
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.access import Public
from app.post import Mailbox
from app.problems import KINDS, NotFound, Problem
from app.rest import Route

router = APIRouter(
    dependencies=[Public], include_in_schema=False, default_response_class=HTMLResponse, route_class=Route
)

FOLDER = Path(__file__).parent.parent / "pages"
SWAGGER = Path(inspect.getfile(consts)).parent / "static"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# Swagger UI sets style attributes, and holds its icons as data: addresses.
DOCS_POLICY = CONTENT_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
# A mail is shown in a frame of our own page: styles only, and links that open elsewhere.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)

# Said here, not asked of the machine's own list of types: with `nosniff`, a wrong one stops a script.
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_pages = Environment(loader=PackageLoader("app", "pages"), autoescape=True, undefined=StrictUndefined)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """What is served as it is: read once, by name, so that no path is ever made of a request."""
    wanted = [f for f in FOLDER.iterdir() if f.suffix in MEDIA_TYPES]
    wanted += [SWAGGER / "swagger-ui-bundle.js", SWAGGER / "swagger-ui.css"]
    read = [(f.name, f.read_bytes(), MEDIA_TYPES[f.suffix]) for f in wanted]
    return {name: (body, kind, f'"{hashlib.blake2b(body, digest_size=9).hexdigest()}"') for name, body, kind in read}


def _page(html: str, policy: str = CONTENT_POLICY) -> HTMLResponse:
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})


def _rendered(template: str, policy: str = CONTENT_POLICY, **values: Any) -> HTMLResponse:
    return _page(_pages.get_template(template).render(values), policy)


def _guides(request: Request) -> str:
    return request.app.state.settings.guides_url


@router.get("/")
async def get_index(request: Request) -> Response:
    mailbox = request.app.state.mailbox is not None
    return _rendered("index.html", mailbox=mailbox, guides=_guides(request), version=request.app.version)


@router.get("/register")
async def get_register_page(request: Request) -> Response:
    return _rendered("register.html", min_length=request.app.state.settings.password_min_length)


@router.get("/reset-password")
async def get_reset_password_page(request: Request) -> Response:
    return _rendered("reset-password.html", min_length=request.app.state.settings.password_min_length)


@router.get("/docs")
async def get_docs_page(request: Request) -> Response:
    return _rendered("docs.html", DOCS_POLICY, guides=_guides(request))


@router.get("/openapi.json")
async def get_contract(request: Request) -> Response:
    text = await asyncio.to_thread(request.app.state.contract)  # the first time, it takes seconds
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-cache"})


@router.get("/pages/{name}")
async def get_page_file(name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise NotFound
    return Response(found[0], media_type=found[1], headers={"Cache-Control": "no-cache", "ETag": found[2]})


# --- one page per problem code ---


def _about(kind: type[Problem]) -> dict[str, Any]:
    return {"code": kind.code, "status": kind.status, "title": kind.title, "remedy": kind.detail}


def _operations(contract: dict[str, Any]) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Every operation of the contract, with the codes of the problems that it can answer with."""
    shared: dict[str, dict[str, Any]] = {
        f"#/components/responses/{name}": response for name, response in contract["components"]["responses"].items()
    }
    for path, item in contract["paths"].items():
        for method, found in item.items():
            codes: set[str] = set()
            failures: list[dict[str, Any]] = [r for s, r in found["responses"].items() if s[0] in "45"]
            for failure in failures:
                (said,) = shared.get(failure.get("$ref", ""), failure)["content"].values()
                codes |= set(said["examples"])
            yield {"id": found["operationId"], "tag": found["tags"][0], "method": method.upper(), "path": path}, codes


@router.get("/problems")
async def list_problems_page() -> Response:
    kinds = sorted(KINDS.values(), key=lambda k: (k.status, k.code))
    return _rendered("problems.html", problems=[_about(k) for k in kinds])


@router.get("/problems/{code}")
async def get_problem_page(request: Request, code: str) -> Response:
    kind = KINDS.get(code)
    if kind is None:
        raise NotFound
    operations = list(_operations(request.app.openapi()))
    by = [operation for operation, codes in operations if code in codes]
    return _rendered("problem.html", **_about(kind), operations=by, everywhere=len(by) == len(operations))


# --- the development mailbox ---


def _mailbox(request: Request) -> Mailbox:
    mailbox = request.app.state.mailbox
    if mailbox is None:  # production, or a real mail server
        raise NotFound
    return mailbox


@router.get("/dev/mail")
async def list_mails_page(request: Request) -> Response:
    return _rendered("dev-mail.html", mails=_mailbox(request).listed(), mail=None)


@router.get("/dev/mail/{mail_id}")
async def get_mail_page(request: Request, mail_id: str) -> Response:
    mailbox = _mailbox(request)
    message = mailbox.read(mail_id)
    if message is None:
        raise NotFound
    text = message.get_body(("plain",))
    shown = {
        "id": mail_id, "to": message["To"], "from_": message["From"], "subject": message["Subject"],
        "date": message["Date"], "text": text.get_content() if text else "", "headers": list(message.items()),
    }  # fmt: skip
    return _rendered("dev-mail.html", mails=mailbox.listed(), mail=shown)


@router.get("/dev/mail/{mail_id}/html")
async def get_mail_html(request: Request, mail_id: str) -> Response:
    message = _mailbox(request).read(mail_id)
    html = message.get_body(("html",)) if message else None
    if html is None:
        raise NotFound
    answer = _page(html.get_content(), MAIL_POLICY)
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer
