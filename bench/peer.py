"""The peer: the same two endpoints in the style of the well-known FastAPI full-stack template.

Synchronous SQLModel, the current user by token, `count(*)`, offset and limit, an unindexed sort of a JSONB value, a
response model; commit and refresh. Its tables are its own and simple, filled with the same data, with an index on
the partner and one on the name. It asks for no membership, which makes it faster than the same feature would be.
"""

import os
import uuid
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import JSON, Column, DateTime, Float, cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, create_engine, func, select


def now() -> datetime:
    return datetime.now(UTC)


# --- models.py ---


class User(SQLModel, table=True):
    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    email: str = Field(unique=True, index=True, max_length=255)
    is_active: bool = True
    is_superuser: bool = False


class TokenPayload(SQLModel):
    sub: str | None = None


class AccountBase(SQLModel):
    name: str = Field(max_length=120)
    properties: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class AccountCreate(AccountBase):
    pass


class Account(AccountBase, table=True):
    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    partner_id: uuid.UUID = Field(index=True)
    name: str = Field(max_length=120, index=True)
    status: str = Field(default="active", max_length=20)
    price_model: str | None = Field(default=None, max_length=40)
    time_zone: str | None = Field(default=None, max_length=64)
    member_count: int = 1
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class AccountMember(SQLModel, table=True):
    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    account_id: uuid.UUID = Field(foreign_key="account.id", index=True)
    user_id: uuid.UUID = Field(index=True)
    role: str


class Event(SQLModel, table=True):
    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    partner_id: uuid.UUID = Field(index=True)
    type: str
    subject_id: uuid.UUID
    actor_id: uuid.UUID
    details: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class AccountPublic(AccountBase):
    id: uuid.UUID
    partner_id: uuid.UUID
    status: str
    price_model: str | None
    time_zone: str | None
    member_count: int
    created_at: datetime
    updated_at: datetime


class AccountsPublic(SQLModel):
    data: list[AccountPublic]
    count: int


# --- core/db.py, api/deps.py ---

engine = create_engine(os.environ["BENCH_DATABASE_URL"])
SECRET = os.environ["BENCH_SECRET"]


def get_db() -> Generator[Session, None, None]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]
TokenDep = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="/login/access-token"))]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    try:
        payload = TokenPayload(**jwt.decode(token, SECRET, algorithms=["HS256"]))
    except jwt.InvalidTokenError:
        raise HTTPException(status_code=403, detail="Could not validate credentials") from None
    user = session.get(User, payload.sub)
    if not user:
        raise HTTPException(status_code=404, detail="User not found")
    if not user.is_active:
        raise HTTPException(status_code=400, detail="Inactive user")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]

# --- api/routes/accounts.py ---

app = FastAPI()
NUMBERS = {"revenue"}


@app.get("/partners/{partner_id}/accounts", response_model=AccountsPublic)
def read_accounts(
    session: SessionDep,
    current_user: CurrentUser,  # noqa: ARG001 - whoever it is
    partner_id: uuid.UUID,
    sort: str = "name",
    skip: int = 0,
    limit: int = 50,
) -> Any:
    """Retrieve accounts."""
    key = sort.removeprefix("-")
    value = Account.properties[key]  # type: ignore[index]
    by = col(Account.name) if key == "name" else cast(value.astext, Float) if key in NUMBERS else value.astext
    order = by.desc().nulls_last() if sort.startswith("-") else by.asc().nulls_last()
    mine = (Account.partner_id == partner_id, Account.status != "archived")
    count = session.exec(select(func.count()).select_from(Account).where(*mine)).one()
    found = session.exec(select(Account).where(*mine).order_by(order).offset(skip).limit(limit)).all()
    return AccountsPublic(data=found, count=count)  # type: ignore[arg-type]


@app.post("/partners/{partner_id}/accounts", response_model=AccountPublic, status_code=201)
def create_account(
    *, session: SessionDep, current_user: CurrentUser, partner_id: uuid.UUID, account_in: AccountCreate
) -> Any:
    """Create new account."""
    account = Account.model_validate(account_in, update={"partner_id": partner_id})
    member = AccountMember(account_id=account.id, user_id=current_user.id, role="account_admin")
    session.add(account)
    session.flush()
    session.add(member)
    for type, subject, details in (
        ("account.created", account.id, account_in.model_dump()),
        ("account_member.added", member.id, {"user_id": str(current_user.id), "role": member.role}),
    ):
        session.add(
            Event(partner_id=partner_id, type=type, subject_id=subject, actor_id=current_user.id, details=details)
        )
    session.commit()
    session.refresh(account)
    return account


def prepare() -> None:
    """Make the tables; whoever fills them does so past this program."""
    SQLModel.metadata.create_all(engine)


if __name__ == "__main__":
    prepare()
