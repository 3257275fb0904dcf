"""Uploads: a form with one file, taken in by pieces, and only from somebody who may send it."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app import words
from app.access import PartnerId, in_partner
from app.db import UnitsOfWork, unit_of_work
from app.downloads import Places
from app.policy import Access, Permission
from app.problems import Fault, Invalid, Malformed, Text, UnsupportedMediaType, UploadsBusy
from app.rest import Handler, IdempotentRoute, idempotency_key

M = TypeVar("M", bound=BaseModel)

FORM: Final = "multipart/form-data"
MAX_FIELDS: Final = 100
MAX_FIELD: Final = 1024
CHUNK: Final = 1 << 20
MOST_ARRIVING: Final = 8
MOST_OF_PARTNER: Final = 2
NO_FILE = Text("A file is required: -F file=@accounts.csv.", "Eine Datei ist erforderlich: -F file=@accounts.csv.")
NO_TEXT = Text("Must be a text of at most 1,024 characters.", "Muss ein Text mit höchstens 1.024 Zeichen sein.")
TWICE = Text("Every field once.", "Jedes Feld nur einmal.")


@dataclass(frozen=True)
class Upload(Generic[M]):
    """A file that has arrived, and what the form says besides."""

    form: M
    name: str
    size: int
    file: UploadFile

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file from its beginning, by pieces."""
        await self.file.seek(0)
        while data := await self.file.read(CHUNK):
            yield data


class UploadRoute(IdempotentRoute):
    """A POST that takes a form with a file: not read into memory, and read after the caller is known."""

    streams = True

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            finally:
                if "upload" in request.scope:
                    await request.scope["upload"].file.close()

        return handle


Check = Callable[[Request, AsyncSession, Access], Awaitable[None]]


def arrivals() -> Places:
    """How many files may arrive at once in this process: each takes room on its disk before anything is known of it."""
    return Places(MOST_ARRIVING, MOST_OF_PARTNER, UploadsBusy)


def received(permission: Permission, model: type[M], check: Check) -> Any:
    """Dependency that takes the file in. It stands before the guard in the endpoint, whose transaction has not begun.

    The guard, and `check`, are asked once before, in a transaction of its own: what will be refused does not reach the
    disk, and a slow file holds no connection.

    Raises:
        UploadsBusy: as many files are arriving as can, in this process or for this partner.
        UnsupportedMediaType: it is no form.
        Malformed: it is a broken one.
        Invalid: a field is wrong, or there is no file.
    """
    admit = in_partner(permission).dependency

    async def receive(request: Request, begin: UnitsOfWork, partner_id: PartnerId) -> Upload[M]:
        if "upload" not in request.scope:  # else the transaction runs again: what was read is there
            async with unit_of_work(begin) as db:
                await check(request, db, await admit(request, db, partner_id))
            key = idempotency_key(request)
            with request.app.state.arrivals.taken(partner_id):
                upload = request.scope["upload"] = await _taken(request, model)
                if key:
                    request.scope["idempotency"] = (key, await _fingerprint(request, upload))
        return cast("Upload[M]", request.scope["upload"])

    return receive


async def _taken(request: Request, model: type[M]) -> Upload[M]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType
    parser = MultiPartParser(request.headers, request.stream(), max_files=1,
                             max_fields=MAX_FIELDS, max_part_size=MAX_FIELD)  # fmt: skip
    try:
        form = await parser.parse()
    except MultiPartException:
        raise Malformed from None
    try:
        return _checked(form, model)
    except BaseException:
        await form.close()
        raise


def _checked(form: FormData, model: type[M]) -> Upload[M]:
    fields = dict(form)
    if len(fields) < len(form.multi_items()):
        raise Invalid(
            errors=[Fault(f"/{_safe(k)}", "duplicate_key", TWICE) for k in fields if len(form.getlist(k)) > 1]
        )
    file = fields.pop("file", None)
    if not isinstance(file, UploadFile):
        raise Invalid(errors=[Fault("/file", "missing", NO_FILE)])
    wrong = [k for k, v in fields.items() if not isinstance(v, str) or "\0" in v]
    if wrong:
        raise Invalid(errors=[Fault(f"/{_safe(k)}", "string_type", NO_TEXT) for k in wrong])
    try:
        told = model.model_validate({**fields, "file": b""})
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None
    return Upload(told, _name(file.filename or ""), file.size or 0, file)


def _safe(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else "?"


def _name(given: str) -> str:
    """The file's own name, as it may be shown: no folders, nothing that cannot be printed."""
    last = re.split(r"[/\\]", words.clean(given))[-1]
    return "".join(c for c in last if words.is_printable(c))[:200]


async def _fingerprint(request: Request, upload: Upload[Any]) -> bytes:
    """What makes two uploads the same: not the body, for every client separates its parts by another random line."""
    found = hashlib.sha256(
        f"{request.method} {request.url.path}\n{upload.form.model_dump_json()}\n{upload.name}\n".encode()
    )
    async for data in upload.chunks():
        await asyncio.to_thread(found.update, data)
    return found.digest()
