"""Clients, by every generator that matters: how each is generated from openapi.json, and how it is compiled, as
strictly as its templates allow.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.server import serving
from contract.tools import DOCUMENT, HERE, NODE, PYTHON, TOOLS, node, run

DEBIAN_JAVA: Final = Path("/usr/share/java")
JAVA: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Programs that run for seconds are not worth optimising: half the time of the defaults, on one core."""
KOTLIN: Final = TOOLS / "kotlin-compiler"


def generator_program() -> Path:
    """openapi-generator, and in it the Jackson that its clients in Java and Kotlin need."""
    return next(HERE.glob(".venv/lib/python3*/site-packages/openapi_generator_cli/openapi-generator.jar"))


def size_of(folder: Path, ending: str) -> str:
    """How much there is to compile."""
    files = [file for file in folder.rglob(f"*.{ending}") if "node_modules" not in file.parts]
    return f"{len(files)} files, {sum(file.read_text().count(chr(10)) for file in files)} lines"


@dataclass(frozen=True)
class Client:
    """How a client is made of the document, in a folder of its own, and how it is compiled; and a program of use/ that
    is compiled with it, and then run against a server.
    """

    generate: Callable[[Path], object]
    compile: Callable[[Path], str]
    program: str = ""
    interpreter: Path = NODE

    def __call__(self, folder: Path) -> str:
        self.generate(folder)
        if not self.program:
            return self.compile(folder)
        shutil.copy(HERE / "use" / self.program, folder)
        compiled = self.compile(folder)
        with serving() as settings:
            return f"{compiled}; {run(self.interpreter, self.program, folder=folder, settings=settings).strip()}"


def typescript(**options: bool) -> Callable[[Path], str]:
    """Compiles what is in the folder by the strictest settings (tsconfig.json) but for those given."""

    def compile_all(folder: Path) -> str:
        (folder / "node_modules").symlink_to(TOOLS)
        settings = {"extends": str(HERE / "tsconfig.json"), "compilerOptions": options, "include": ["**/*.ts"]}
        (folder / "tsconfig.json").write_text(json.dumps(settings))
        node("typescript/bin/tsc", "--project", folder / "tsconfig.json", folder=folder)
        return size_of(folder, "ts")

    return compile_all


def openapi_generator(name: str, *options: str) -> Callable[[Path], str]:
    """Generates with openapi-generator, which looks at the document first, too."""
    return lambda folder: run("java", *JAVA, "-jar", generator_program(), "generate", "--input-spec", DOCUMENT,
                              "--generator-name", name, "--output", folder, *options)  # fmt: skip


def python_client(folder: Path) -> str:
    """Leaves nothing out: that would be a warning."""
    return run(PYTHON, "-m", "openapi_python_client", "generate", "--path", DOCUMENT, "--config",
               HERE / "openapi-python-client.yaml", "--output-path", folder / "client", "--meta", "none",
               "--fail-on-warning")  # fmt: skip


def mypy(folder: Path) -> str:
    run(PYTHON, "-m", "mypy", "--config-file", HERE / "mypy.ini", ".", folder=folder)
    return size_of(folder, "py")


def python_modules(folder: Path) -> str:
    """Imports every module: its type hints are for pydantic, not for mypy."""
    files = (folder / "openapi_client").rglob("*.py")
    modules = [".".join(file.relative_to(folder).with_suffix("").parts) for file in files]
    run(PYTHON, "-W", "error", "-c", "\n".join(f"import {module}" for module in modules), folder=folder)
    return size_of(folder / "openapi_client", "py")


def javac(folder: Path) -> str:
    """Without a warning, but for those of its templates: of serial numbers, and of a Jackson newer than theirs."""
    jars = [DEBIAN_JAVA / f"{name}.jar" for name in ("jakarta-annotation-api", "httpmime", "httpclient", "httpcore")]
    options = [f"-J{option}" for option in JAVA]
    run("javac", *options, "-Xlint:all,-processing,-classfile,-path,-serial,-deprecation", "-Werror", "-proc:none",
        "-d", folder / "classes", "-cp", ":".join(map(str, [generator_program(), *jars])),
        *(folder / "src" / "main").rglob("*.java"))  # fmt: skip
    return size_of(folder / "src" / "main", "java")


def kotlinc(folder: Path) -> str:
    """The models, without a warning: what the rest needs, OkHttp, is no Debian package."""
    jars = [KOTLIN / "lib" / f"{name}.jar" for name in ("kotlin-compiler", "kotlin-stdlib", "kotlin-script-runtime",
                                                        "kotlin-reflect", "kotlinx-coroutines-core-jvm")]  # fmt: skip
    models = next(folder.glob("src/main/**/models"))
    run("java", *JAVA, "-cp", ":".join(map(str, jars)), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        "-kotlin-home", KOTLIN, "-Werror", "-d", folder / "classes", "-cp", generator_program(), models)  # fmt: skip
    return size_of(models, "kt")


def go(folder: Path) -> str:
    """Compiles, and looks for what compiles but is likely wrong."""
    shutil.rmtree(folder / "test")
    settings = {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": "/usr/share/gocode"}
    run("go", "build", ".", folder=folder, settings=settings)
    run("go", "vet", ".", folder=folder, settings=settings)
    return size_of(folder, "go")


def php(folder: Path) -> str:
    run("php", HERE / "load.php", folder=folder)
    return size_of(folder / "lib", "php")


CLIENTS: Final[dict[str, Client]] = {
    "kotlin": Client(openapi_generator("kotlin", "--additional-properties=serializationLibrary=jackson"), kotlinc),
    "go": Client(openapi_generator("go", "--additional-properties=enumClassPrefix=true"), go),
    "java": Client(
        openapi_generator("java", "--additional-properties=library=native,useJakartaEe=true,openApiNullable=false",
                          # its unions cannot hold a list
                          "--schema-mappings=SearchCondition_value=Object,ShownCondition_value=Object"),
        javac,
    ),
    "openapi-python-client": Client(python_client, mypy, "openapi_python_client.py", PYTHON),
    "python": Client(openapi_generator("python"), python_modules),
    "typescript-fetch": Client(
        openapi_generator("typescript-fetch"),
        typescript(noUnusedLocals=False, noUnusedParameters=False, noUncheckedIndexedAccess=False,
                   exactOptionalPropertyTypes=False, noImplicitOverride=False),  # what its templates write
    ),
    "php": Client(openapi_generator("php"), php),
    "typescript-axios": Client(
        openapi_generator("typescript-axios"),
        typescript(exactOptionalPropertyTypes=False),  # its own runtime is not written for it
    ),
    "openapi-typescript": Client(
        lambda folder: node("openapi-typescript/bin/cli.js", DOCUMENT, "--output", folder / "schema.ts",
                            "--default-non-nullable=false"),  # else what has a default must be given
        typescript(),
        "openapi-fetch.ts",
    ),
    "hey-api": Client(
        lambda folder: node("@hey-api/openapi-ts/bin/run.js", "--input", DOCUMENT, "--output", folder / "client",
                            "--client", "@hey-api/client-fetch", folder=folder),
        typescript(exactOptionalPropertyTypes=False),  # its own runtime, which it copies, is not written for it
    ),
    "orval": Client(
        lambda folder: node("orval/dist/bin/orval.mjs", "--input", DOCUMENT, "--output", folder / "api.ts",
                            "--client", "fetch", "--mode", "tags-split", folder=folder),
        typescript(),
    ),
}  # fmt: skip
"""Every generator whose clients must compile. The slowest first: a stage that begins late ends late."""
