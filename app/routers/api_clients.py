"""API clients of a partner: its own programs, and those of its customers' systems."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import in_partner
from app.db import Db
from app.idempotency import keep_sealed
from app.models import ApiClient
from app.policy import Access, Permission
from app.problems import (
    ApiClientRevoked,
    NameTaken,
    PreconditionRequired,
    TooManyApiClients,
    TooManyCredentials,
    VersionMismatch,
    raises,
)
from app.rest import BARE, IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.api_client import (
    ApiClientCreate,
    ApiClientCreated,
    ApiClientRead,
    ApiClientUpdate,
    CredentialCreate,
    CredentialCreated,
)
from app.services import api_clients, api_credentials, lists

router = APIRouter(prefix="/v1/partners/{partner_id}/api-clients", tags=["api clients"], route_class=IdempotentRoute)

MayRead = Annotated[Access, in_partner(Permission.API_CLIENT_READ)]
MayManage = Annotated[Access, in_partner(Permission.API_CLIENT_MANAGE)]
ClientQuery = Annotated[lists.Query, list_query(api_clients.TABLE)]
ClientId = Annotated[UUID, Path(description="Id of the API client: its `client_id`.")]
CredentialId = Annotated[UUID, Path(description="Id of the secret or public key.")]


@router.get("", response_model=Page[ApiClientRead])
async def list_api_clients(_: MayRead, db: Db, page: PageQuery, query: ClientQuery, response: Response) -> Page[Any]:
    """The API clients of a partner. Revoked ones are left out unless a filter names `revoked`."""
    found = await api_clients.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    listed = page_of(found, page, response)
    return listed.model_copy(update={"items": await api_clients.shown(db, listed.items)})


@router.post("", response_model=ApiClientCreated, status_code=201, openapi_extra=raises(NameTaken, TooManyApiClients))
async def create_api_client(
    body: ApiClientCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Make an API client, which acts for you within its scopes. Its secret is shown in this answer and never again.

    With the secret it gets tokens (`createToken`), or sends it as a bearer token as it is. It may what its scopes name,
    as long as you may: if you leave the partner, it is refused until another admin takes it over.
    """
    keep_sealed(request)
    client, secret = await api_clients.create(db, access, body.model_dump())
    created(response, request, client, client.id)
    return await _shown(db, client, response) | {"secret": secret}


@router.get("/{client_id}", response_model=ApiClientRead)
async def get_api_client(client_id: ClientId, _: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """One API client, revoked or not. Secrets are not shown again."""
    return await _shown(db, await api_clients.get(db, client_id), response)


@router.patch(
    "/{client_id}", response_model=ApiClientRead,
    openapi_extra=raises(NameTaken, ApiClientRevoked, VersionMismatch, PreconditionRequired),
)  # fmt: skip
async def update_api_client(
    body: ApiClientUpdate, client_id: ClientId, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change an API client: what it may do and from where counts with its next request."""
    client = match.check(await api_clients.hold(db, client_id))
    return await _shown(db, await api_clients.update(db, access, client, body.model_dump(exclude_unset=True)), response)


@router.delete(
    "/{client_id}", status_code=204, openapi_extra=raises(ApiClientRevoked, VersionMismatch, PreconditionRequired)
)
async def revoke_api_client(client_id: ClientId, access: MayManage, db: Db, match: IfMatch) -> None:
    """Revoke an API client for good: its secrets, keys and tokens are refused from the next request on."""
    await api_clients.revoke(db, access, match.check(await api_clients.hold(db, client_id)))


@router.post("/{client_id}/take-over", response_model=ApiClientRead, openapi_extra=raises(ApiClientRevoked))
async def take_over_api_client(client_id: ClientId, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Become the owner of an API client, for example of one whose owner has left: its secrets stay good."""
    client = await api_clients.hold(db, client_id)
    return await _shown(db, await api_clients.take_over(db, access, client), response)


@router.post(
    "/{client_id}/credentials", response_model=CredentialCreated, status_code=201,
    openapi_extra=raises(ApiClientRevoked, TooManyCredentials) | BARE,
)  # fmt: skip
async def create_api_client_credential(
    body: CredentialCreate, client_id: ClientId, access: MayManage, db: Db, request: Request
) -> dict[str, Any]:
    """Give an API client another secret, or a public key of its own. To rotate, say when the others end. A secret is
    shown in this answer and never again.
    """
    keep_sealed(request)
    client = await api_clients.hold(db, client_id)
    return await api_credentials.add(db, access, client, body.model_dump())


@router.delete("/{client_id}/credentials/{credential_id}", status_code=204, openapi_extra=raises(ApiClientRevoked))
async def end_api_client_credential(
    client_id: ClientId, credential_id: CredentialId, access: MayManage, db: Db
) -> None:
    """End one secret or key of an API client at once. The tokens that were had with it end as well."""
    await api_credentials.end(db, access, await api_clients.hold(db, client_id), credential_id)


async def _shown(db: Db, client: ApiClient, response: Response) -> dict[str, Any]:
    (found,) = await api_clients.shown(db, [tagged(response, client)])
    return found
