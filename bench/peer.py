"""The peer: the same two endpoints in the style of the well-known FastAPI full-stack template.

Synchronous SQLModel, `count(*)`, offset and limit, an unindexed sort of a JSONB value, a response model; commit and
refresh. Its tables are its own and simple, filled with the same data, with an index on the partner and on the name.
Like the template's own endpoints without their `CurrentUser`, which makes it faster than that style is in life.
"""

import os
import uuid
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy import JSON, Column, DateTime, Float, cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, create_engine, func, select


def now() -> datetime:
    return datetime.now(UTC)


# --- models.py ---


class AccountBase(SQLModel):
    name: str = Field(max_length=120)
    properties: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class AccountCreate(AccountBase):
    pass


class Account(AccountBase, table=True):
    __tablename__ = "peer_accounts"

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    partner_id: uuid.UUID = Field(index=True)
    name: str = Field(max_length=120, index=True)
    status: str = Field(default="active", max_length=20)
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class AccountMember(SQLModel, table=True):
    __tablename__ = "peer_account_members"

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    account_id: uuid.UUID = Field(foreign_key="peer_accounts.id", index=True)
    user_id: uuid.UUID = Field(index=True)
    role: str


class Event(SQLModel, table=True):
    __tablename__ = "peer_events"

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
    created_at: datetime
    updated_at: datetime


class AccountsPublic(SQLModel):
    data: list[AccountPublic]
    count: int


# --- core/db.py, api/deps.py ---

engine = create_engine(os.environ["BENCH_DATABASE_URL"])
USER = uuid.UUID(os.environ["BENCH_USER"])


def get_db() -> Generator[Session, None, None]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]

# --- api/routes/accounts.py ---

app = FastAPI()
NUMBERS = {"revenue"}


@app.get("/partners/{partner_id}/accounts", response_model=AccountsPublic)
def read_accounts(
    session: SessionDep, partner_id: uuid.UUID, sort: str = "name", skip: int = 0, limit: int = 50
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
def create_account(*, session: SessionDep, partner_id: uuid.UUID, account_in: AccountCreate) -> Any:
    """Create new account."""
    account = Account.model_validate(account_in, update={"partner_id": partner_id})
    member = AccountMember(account_id=account.id, user_id=USER, role="account_admin")
    session.add(account)
    session.flush()
    session.add(member)
    for type, subject, details in (
        ("account.created", account.id, account_in.model_dump()),
        ("account_member.added", member.id, {"user_id": str(USER), "role": member.role}),
    ):
        session.add(Event(partner_id=partner_id, type=type, subject_id=subject, actor_id=USER, details=details))
    session.commit()
    session.refresh(account)
    return account


def prepare() -> None:
    """Make the tables; whoever fills them does so past this program."""
    SQLModel.metadata.create_all(engine)


if __name__ == "__main__":
    prepare()
