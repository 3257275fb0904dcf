"""Clients, by every generator that matters: how each is generated from openapi.json, and how it is compiled, as
strictly as its templates allow.
"""

import difflib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.document import DOCUMENT
from contract.server import SERVER
from contract.tools import HERE, NODE, PYTHON, TOOLS, Refused, node, run

DEBIAN_JAVA: Final = Path("/usr/share/java")
JAVA: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Programs that run for seconds are not worth optimising: half the time of the defaults, on one core."""
KOTLIN: Final = TOOLS / "kotlin-compiler"
STEPS: Final = HERE / "use" / "flows.txt"
"""What every program of use/ prints: flows 1, 2 and 3, a claim, and problems."""


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

    tool: Callable[..., object]
    """Takes the folder and the options."""
    compile: Callable[[Path], str]
    options: Sequence[str] = ()
    """As the guide shows them (docs/clients.md)."""
    program: str = ""
    start: Sequence[str | Path] = ()

    def __call__(self, folder: Path) -> str:
        self.tool(folder, *self.options)
        if not self.program:
            return self.compile(folder)
        shutil.copy(HERE / "use" / self.program, folder)
        compiled = self.compile(folder)
        settings = SERVER.settings(Path(self.program).suffix[1:])
        printed, meant = run(*self.start, folder=folder, settings=settings), STEPS.read_text()
        if printed != meant:
            raise Refused(
                "\n".join(difflib.unified_diff(meant.splitlines(), printed.splitlines(), STEPS.name, "printed"))
            )
        return f"{compiled}; {self.program}: all {len(meant.splitlines())} lines"


def typescript(**options: bool) -> Callable[[Path], str]:
    """Compiles what is in the folder by the strictest settings (tsconfig.json) but for those given."""

    def compile_all(folder: Path) -> str:
        (folder / "node_modules").symlink_to(TOOLS)
        tsc(folder, options, include=["**/*.ts"])
        return size_of(folder, "ts")

    return compile_all


def tsc(folder: Path, options: Mapping[str, bool | str], **which: Sequence[str]) -> None:
    """Compile `include` or `files` of a folder by contract/tsconfig.json, but for these options."""
    settings = {"extends": str(HERE / "tsconfig.json"), "compilerOptions": options, **which}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    node("typescript/bin/tsc", "--project", folder / "tsconfig.json", folder=folder)


def openapi_generator(name: str, into: str = "") -> Callable[..., str]:
    """Generates with openapi-generator, which looks at the document first, too."""

    def generate(folder: Path, *options: str) -> str:
        return run("java", *JAVA, "-jar", generator_program(), "generate", "--input-spec", DOCUMENT,
                   "--generator-name", name, "--output", folder / into, *options)  # fmt: skip

    return generate


def python_client(folder: Path, *options: str) -> str:
    return run(PYTHON, "-m", "openapi_python_client", "generate", "--path", DOCUMENT, "--config",
               HERE / "openapi-python-client.yaml", "--output-path", folder / "tenantry_client", *options)  # fmt: skip


def openapi_typescript(folder: Path, *options: str) -> str:
    return node("openapi-typescript/bin/cli.js", DOCUMENT, "--output", folder / "schema.ts", *options)


def hey_api(folder: Path, *options: str) -> str:
    return node("@hey-api/openapi-ts/bin/run.js", "--input", DOCUMENT, "--output", folder / "client", *options,
                folder=folder)  # fmt: skip


def orval(folder: Path, *options: str) -> str:
    return node("orval/dist/bin/orval.mjs", "--input", DOCUMENT, "--output", folder / "api.ts", *options, folder=folder)


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
    (folder / "needs").write_text(f"-cp {':'.join(map(str, ['classes', generator_program(), *jars]))}")
    options = [f"-J{option}" for option in JAVA]
    run("javac", *options, "-Xlint:all,-processing,-classfile,-path,-serial,-deprecation", "-Werror", "-proc:none",
        "-encoding", "UTF-8", "-d", "classes", "@needs", *folder.glob("*.java"),
        *(folder / "src" / "main").rglob("*.java"), folder=folder)  # fmt: skip
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
    """Compiles, and looks for what compiles but is likely wrong. Whoever has compiled the same before is soon done."""
    client = folder / "src" / "tenantry"
    shutil.rmtree(client / "test")
    settings = {"GO111MODULE": "off", "GOFLAGS": "-trimpath", "GOPATH": f"{folder}:/usr/share/gocode"}
    run("go", "build", "-o", "flows", "flows.go", folder=folder, settings=settings)
    for what in ("tenantry", "flows.go"):
        run("go", "vet", what, folder=folder, settings=settings)
    return size_of(client, "go")


def php(folder: Path) -> str:
    run("php", HERE / "load.php", folder=folder)
    return size_of(folder / "lib", "php")


CLIENTS: Final[dict[str, Client]] = {
    "kotlin": Client(openapi_generator("kotlin"), kotlinc,
                     ["--additional-properties=serializationLibrary=jackson,enumUnknownDefaultCase=true"]),
    "java": Client(
        openapi_generator("java"),
        javac,
        ["--additional-properties=library=native,useJakartaEe=true,openApiNullable=false,"
         "enumUnknownDefaultCase=true,useOneOfDiscriminatorLookup=true,useSingleRequestParameter=static,"
         "invokerPackage=tenantry,apiPackage=tenantry.api,modelPackage=tenantry.model",
         "--parameter-name-mappings=wait=waitFor",  # a method called `wait` cannot be
         "--schema-mappings=SearchCondition_value=Object,ShownCondition_value=Object"],  # its unions hold no list
        "Flows.java",
        ["java", *JAVA, "-Dfile.encoding=UTF-8", "@needs", "Flows"],
    ),
    "go": Client(
        openapi_generator("go", into="src/tenantry"),
        go,
        # unless told, it refuses fields that are new, and has room for seven digits of a number
        ["--additional-properties=packageName=tenantry,enumClassPrefix=true,enumUnknownDefaultCase=true,"
         "disallowAdditionalPropertiesIfNotPresent=false,useOneOfDiscriminatorLookup=true",
         "--type-mappings=number=float64"],
        "flows.go",
        ["./flows"],
    ),
    "openapi-python-client": Client(
        python_client,
        mypy,
        ["--meta=none", "--fail-on-warning"],  # of what it leaves out
        "flows.py",
        [PYTHON, "flows.py"],
    ),
    # unless told, what has a default must be given
    "openapi-typescript": Client(openapi_typescript, typescript(), ["--default-non-nullable=false"],
                                 "flows.ts", [NODE, "flows.ts"]),
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
    "hey-api": Client(
        hey_api,
        typescript(exactOptionalPropertyTypes=False),  # its own runtime, which it copies, is not written for it
        ["--client=@hey-api/client-fetch"],
    ),
    "orval": Client(orval, typescript(), ["--client=fetch", "--mode=tags-split"]),
}  # fmt: skip
"""Every generator whose clients must compile. The slowest first: a stage that begins late ends late."""
