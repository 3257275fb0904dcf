"""The rules of the house, each as a test: a reader finds them in one place, and forgetting one stops the build."""

import ast
import re
from collections.abc import Iterator
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import UniqueConstraint

from app.access import Public, refuse_unguarded
from app.config import Settings
from app.contract import pretty
from app.main import create_app
from app.models import Base, Tenanted
from app.policy import GRANTS, OF_FIELDS, Permission, Role
from app.problems import KINDS
from tests.conftest import ROOT
from tests.contract import parameters_of

GLOBAL = {
    "partners", "users", "sessions", "refresh_tokens", "recovery_codes", "password_resets", "throttles", "worker_beats",
    "price_models", "features", "articles", "api_credentials", "used_assertions", "rate_buckets",
    "data_exports", "data_export_parts", "erasures",
}  # fmt: skip

# A layer may import itself and the layers named here; nothing else of `app`.
COMMANDS = {
    "config",
    "db",
    "localpg",
    "migrate",
    "models",
    "parts",
    "policy",
    "problems",
    "security",
    "services",
    "tenancy",
    "words",
}
MAY_IMPORT: dict[str, set[str]] = {
    "policy": {"records"},
    "addresses": set(),
    "config": {"addresses", "words"},
    "words": set(),
    "problems": set(),
    "cursors": set(),
    "recent": set(),
    "records": set(),
    "sheets": set(),
    "event_types": set(),
    "localpg": set(),
    "models": {"policy"},
    "schemas": {"event_types", "models", "policy", "problems", "words"},
    "tenancy": {"models"},
    "security": {"problems"},
    "services": {"addresses", "event_types", "express", "models", "networks", "policy",
                "problems", "proofs", "recent", "records", "security", "sheets", "tenancy", "words"},
    "express": {"db", "policy", "records"},
    "lines": {"db", "express"},
    "networks": set(),
    "proofs": {"security"},
    "limits": {"express", "lines", "models", "problems", "recent"},
    "turns": {"problems", "recent"},
    "bearer": {"db", "limits", "models", "networks", "problems", "proofs", "recent", "records", "security", "turns"},
    "standing": {"bearer", "express", "models", "policy", "problems", "records"},
    "db": {"problems"},
    "looks": {"db", "models", "policy", "recent", "services", "tenancy"},
    "bells": {"db", "express"},
    "follows": {"bells", "db", "downloads", "problems", "rest"},
    "strict": {"problems"},
    "idempotency": {"db", "express", "models", "problems", "security", "tenancy"},
    "downloads": {"problems"},
    "rest": {"cursors", "db", "idempotency", "problems", "records", "strict"},
    "uploads": {"access", "db", "downloads", "policy", "problems", "rest", "words"},
    "outbound": {"addresses"},
    "mailing": {"config", "db", "logs", "metrics", "models", "post", "security", "services", "tenancy"},
    "delivering": {"config", "db", "logs", "metrics", "models", "outbound", "security", "services", "tenancy"},
    "importing": {"db", "models", "problems", "services", "sheets", "tenancy"},
    "access": {"bearer", "db", "idempotency", "looks", "models", "networks", "policy", "problems", "standing", "tenancy", "turns"},
    "gate": {"access", "bearer", "express", "idempotency", "lines", "models", "policy", "problems", "recent", "records", "standing"},
    "faults": {"db", "problems"},
    "metrics": {"config"},
    "logs": {"config", "db"},
    "edge": {"config", "faults", "limits", "looks", "metrics", "models", "problems"},
    "post": {"words"},
    "callbacks": {"event_types", "schemas", "tidying"},
    "contract": {"callbacks", "phrases", "problems", "tidying"},
    "phrases": {"tidying"},
    "tidying": set(),
    "lanes": {"access", "db", "problems", "recent", "rest", "strict"},
    "queues": {"problems"},
    "protocol": set(),
    "turnstile": {"access", "bearer", "express", "idempotency", "lines", "models", "policy", "problems", "queues", "recent", "records", "standing"},
    "door": {"access", "bearer", "express", "lines", "models", "policy", "recent", "records", "standing"},
    "routers": {"access", "config", "db", "delivering", "door", "downloads", "express", "faults", "follows", "gate", "idempotency", "lanes", "metrics", "models",
                "networks", "outbound", "policy", "post", "problems", "proofs", "records", "rest", "schemas", "security", "services", "sheets", "tenancy", "turnstile", "uploads", "words"},
    "worker": {"bells", "config", "db", "delivering", "importing", "limits", "logs", "mailing", "metrics", "models", "post", "security", "services", "tenancy"},
    "migrate": {"db", "models"},
    "main": {"access", "bells", "config", "contract", "db", "downloads", "edge", "faults", "lanes", "limits", "lines",
                "logs", "migrate", "outbound", "parts", "problems", "queues", "routers", "security", "turns", "uploads", "worker"},
    "parts": {"config", "db", "localpg", "post", "security"},
    "operate": COMMANDS,
    "welcome": COMMANDS | {"operate"},
    "personal": COMMANDS | {"operate"},
    "demo_columns": {"policy", "schemas", "services"},
    "demo_catalogue": {"models", "policy", "problems", "services"},
    "demo_purchases": {"demo_catalogue", "express", "models", "policy", "services"},
    "demo": COMMANDS | {"demo_catalogue", "demo_columns", "demo_purchases", "operate", "welcome"},
    "cli": COMMANDS | {"logs", "operate", "personal", "welcome", "worker"},
    "__main__": {"cli"},
}  # fmt: skip


def sources() -> Iterator[tuple[str, Path, str]]:
    """Every module of the app, with its layer and its text."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        layer = path.relative_to(ROOT / "app").parts[0].removesuffix(".py")
        if layer != "__init__":
            yield layer, path, path.read_text()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"app.{a.name}" for a in node.names] if node.module == "app" else [node.module]
            yield from names
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names)


def test_each_layer_imports_only_what_it_may():
    for layer, path, text in sources():
        for name in imported(ast.parse(text)):
            if name.startswith("app."):
                assert name.split(".")[1] in MAY_IMPORT[layer] | {layer}, f"{path.name} imports {name}"
            if layer in {"services", "models", "policy", "words", "security", "tenancy"}:
                assert not name.startswith(("fastapi", "starlette")), f"{path.name} imports {name}"


def test_the_decision_on_layers_says_the_same():
    text = (ROOT / "docs" / "decisions" / "0001-house-and-layers.md").read_text()
    rows = re.findall(r"^\| ([a-z_, ]+) \| ([a-z_, ]+)(?:;[^|]*)? \|$", text, re.MULTILINE)
    said = {layer: set(may.split(", ")) - {"nothing"} for layers, may in rows for layer in layers.split(", ")}
    assert said == {layer: MAY_IMPORT[layer] for layer in said}
    assert {"policy", "models", "schemas", "services", "access", "routers"} <= set(said)


def test_imports_stand_at_the_top():
    for _, path, text in sources():
        tree = ast.parse(text)
        inner = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and n not in tree.body]
        assert not inner, f"{path}:{inner[0].lineno} imports inside"


def test_files_and_functions_are_short():
    for layer, path, text in sources():
        if layer != "problems":  # a catalogue
            assert len(text.splitlines()) <= 400, f"{path.name} is two things"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                nested = any(isinstance(n, ast.AsyncFunctionDef) for n in ast.walk(node) if n is not node)
                assert lines <= 40 or nested, f"{path.name}: {node.name} has {lines} lines"


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\.commit\(\)", {"db", "migrate"}),  # one request is one transaction
        # no SQL by hand where the session cannot confine it; of pages, an expression over what has been found
        (r"(?<![.\w])(text|TextClause)\(", {"db", "migrate", "models", "operate", "services/pages"}),
        (r"__table__", {"services/tables"}),  # columns, which a session refuses to ask for on their own
        (r"EVERYONE", {"tenancy", "access"}),
        (r"HTTPException", {"faults"}),
        (r"Role\.\w+ (not )?in |roles? [!=]= Role", {"access"}),  # permissions are checked in one place
        (r"datetime\.now\(", {"models", "security", "operate"}),
        (r"os\.environ", {"cli", "localpg", "operate"}),
        (r"TYPE_CHECKING", set[str]()),
    ],
)
def test_what_may_stand_in_few_places_only(pattern: str, allowed: set[str]):
    for layer, path, text in sources():
        place = path.relative_to(ROOT / "app").with_suffix("").as_posix()
        if not allowed & {layer, place}:
            found = [n for n, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]
            assert not found, f"{path.name}:{found[0]} has {pattern}"


def test_members_of_accounts_come_and_go_where_they_are_counted():
    """Also those of the tests' own worlds: else `member_count` would be wrong there, and nobody would believe it."""
    counting = {"services/members.py", "services/accounts.py", "models/account.py"}
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        if not path.as_posix().endswith((*counting, "test_rules.py")):
            assert not re.search(r"\bAccountMember\(", path.read_text()), path


def test_licences_begin_and_end_where_their_pools_are_held():
    """Whoever claims waits for the pool's row and believes what it reads then: no licence changes past that row."""
    for _, path, text in sources():
        inside = path.relative_to(ROOT / "app").as_posix()
        if inside not in {"services/licence_grants.py", "models/licence.py"}:
            assert not re.search(r"(?<!class )\bLicence\(", text), f"{path.name} makes licences"
        if inside != "services/base_grants.py":
            assert not re.search(r"\b(insert\(db, |(update|delete|insert)\()Licence\b", text), (
                f"{path.name} writes licences"
            )
    ending = {path.name for _, path, text in sources() if "events.changed(licence" in text}
    assert ending == {"licence_grants.py", "licences.py"}
    for name in ("licence_grants", "base_grants", "licences"):
        assert re.search(r"await pools\.hold(_many)?\(", (ROOT / "app" / "services" / f"{name}.py").read_text()), name


def test_sql_by_hand_stands_in_one_reviewed_place():
    found = {path.name for _, path, text in sources() if "exec_driver_sql" in text}
    assert found == {"tenancy.py", "bulks.py"}


def indexed_in_line(text: str) -> Iterator[str]:
    """The calls of a migration that build an index of `accounts` while its writers wait."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "op.create_index":
            on = next(
                (k.value for k in node.keywords if k.arg == "table_name"), node.args[1] if node.args[1:] else None
            )
            beside = any(k.arg == "postgresql_concurrently" and ast.unparse(k.value) == "True" for k in node.keywords)
            if not beside and not (isinstance(on, ast.Constant) and on.value != "accounts"):
                yield ast.unparse(node)


def test_indexes_of_accounts_are_built_beside_the_service():
    """From the third revision on: before, nobody had a database with accounts."""
    migrations = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    assert list(indexed_in_line(migrations[1].read_text()))
    for path in migrations[2:]:
        text = path.read_text()
        assert not list(indexed_in_line(text)), path.name
        assert not re.search(r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)[^;]*\bON (ONLY )?accounts\b", text), path.name


def test_the_policy_speaks_of_every_permission_and_every_role():
    assert set(GRANTS) == set(Permission)
    assert {role for roles in GRANTS.values() for role in roles} == set(Role)


def test_every_permission_guards_an_operation():
    used = {o["x-permission"] for p in create_app(Settings()).openapi()["paths"].values() for o in p.values()}
    assert {p.value for p in Permission} - OF_FIELDS == used - {"self", "anyone", "public"}


def test_every_table_is_tenanted_or_named_global():
    tenanted = {m.local_table.name for m in Base.registry.mappers if issubclass(m.class_, Tenanted)}  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
    assert tenanted | GLOBAL == set(Base.metadata.tables)


def test_tenant_tables_can_be_distributed_by_partner():
    """The rules for Citus: the partner leads every primary key, and is part of every unique and foreign key."""
    for name, table in Base.metadata.tables.items():
        if name in GLOBAL:
            continue
        assert next(iter(table.primary_key.columns)).name == "partner_id", name
        uniques = [[c.name for c in u.columns] for u in table.constraints if isinstance(u, UniqueConstraint)]
        uniques += [[c.name for c in i.columns] for i in table.indexes if i.unique]
        assert all("partner_id" in columns for columns in uniques), name
        for key in table.foreign_key_constraints:
            assert key.referred_table.name in GLOBAL or "partner_id" in key.column_keys, f"{name}: {key.name}"
            assert key.ondelete in {"CASCADE", "RESTRICT", "NO ACTION"}, f"{name}: {key.name}"


@pytest.mark.parametrize("guards", [0, 2])
def test_an_app_with_an_unguarded_endpoint_does_not_start(guards: int):
    router = APIRouter()

    @router.get("/open", dependencies=[Public] * guards)
    async def endpoint() -> None: ...

    with pytest.raises(RuntimeError, match="exactly one guard"):
        refuse_unguarded(r for r in router.routes if isinstance(r, APIRoute))


def test_no_endpoint_and_no_dependency_waits_for_a_thread():
    """FastAPI runs plain functions in threads: a hundred microseconds each, and forty at a time."""

    def calls(dependant: Dependant) -> Iterator[Any]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls(inner)

    routes = [r for r in create_app(Settings()).routes if isinstance(r, APIRoute)]
    assert len(routes) > 50
    for route in routes:
        for call in calls(route.dependant):
            assert iscoroutinefunction(call) or isasyncgenfunction(call), f"{route.path}: {call}"


def test_the_committed_contract_is_that_of_the_app():
    assert (ROOT / "openapi.json").read_text() == pretty(create_app(Settings()).openapi())


def test_every_file_of_a_list_is_exported_by_an_operation_that_says_as_what():
    contract = create_app(Settings()).openapi()
    files = {path: item["get"]["operationId"] for path, item in contract["paths"].items()
             if path.endswith((".csv", ".xlsx"))}  # fmt: skip
    assert len(files) >= 3
    for path, name in files.items():
        assert re.fullmatch(rf"export[A-Z]\w+As{path.rpartition('.')[2].title()}", name), path


def test_every_post_takes_an_idempotency_key_but_searches_and_those_about_ones_own_log_in():
    own = ("/v1/me/", "/v1/sessions", "/v1/oauth/", "/v1/registrations", "/v1/password-resets", "/v1/invitations/")
    posts = {path: item["post"] for path, item in create_app(Settings()).openapi()["paths"].items() if "post" in item}
    without = {o["operationId"] for path, o in posts.items()
               if "Idempotency-Key" not in str(parameters_of(o)) and not path.startswith(own)}  # fmt: skip
    assert len(posts) > 60
    assert without == {"searchAccounts", "summariseAccounts", "switchAccount"}


def test_every_problem_is_said_in_both_languages():
    for kind in KINDS.values():
        for text in (kind.title, kind.detail):
            assert text.en
            assert text.de
            assert text.en != text.de


def test_the_contract_describes_every_tag_and_its_integers_are_as_wide_as_they_say():
    """A tag of no description, or a number that a generated client cannot hold, is a fault of ours and not of theirs."""
    contract = create_app(Settings()).openapi()
    items = [*contract["paths"].values(), *contract["components"]["pathItems"].values()]
    used = {tag for path in items for operation in path.values() for tag in operation["tags"]}
    assert {tag["name"] for tag in contract["tags"]} == used
    widths = {"int32": 2**31 - 1, "int64": 2**63 - 1}
    integers = list(integers_of(contract))
    assert len(integers) > 50
    for found in integers:
        assert -widths[found["format"]] <= found.get("minimum", 0), found
        assert found.get("maximum", 0) <= widths[found["format"]], found


def integers_of(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an integer."""
    if isinstance(part, dict):
        found = cast("dict[str, Any]", part)
        if "integer" in str(found.get("type")):
            yield found
        for value in found.values():
            yield from integers_of(value)
    elif isinstance(part, list):
        for value in cast("list[Any]", part):
            yield from integers_of(value)
