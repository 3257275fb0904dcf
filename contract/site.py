"""What the site of the guides has besides `docs/`: the README as its first page, and a page for each problem code."""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

from app.problems import KINDS, Problem

OUTSIDE: Final = re.compile(r"\[[^]]+\]\((?:\.\./)*(CONTRIBUTING\.md|Makefile|Dockerfile|[\w-]+\.(?:json|yaml|toml))\)")
"""A link to a file of the project that is no page."""
INTRODUCTION: Final = (
    "Every error is a problem document (RFC 9457). Decide by its `code`: it is never renamed. What to do about each:"
)


def on_files(files: Files, config: Any) -> Files:
    readme = (Path(config.config_file_path).parent / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=readme.replace("](docs/", "](")))
    codes = "\n".join(f"- [`{code}`]({code}.md): {kind.title.en}" for code, kind in sorted(KINDS.items()))
    files.append(File.generated(config, "problems/index.md", content=f"# Problems\n\n{INTRODUCTION}\n\n{codes}\n"))
    for code, kind in KINDS.items():
        files.append(File.generated(config, f"problems/{code}.md", content=page_of(kind)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    return OUTSIDE.sub(r"`\1`", markdown.replace("](../README.md", "](index.md"))


def page_of(kind: type[Problem]) -> str:
    return (
        f"# {kind.code}\n\n**{kind.title.en}** (status {kind.status})\n\n{kind.detail.en}\n\n"
        f"*{kind.title.de}.* {kind.detail.de}\n\n[All problems](index.md)\n"
    )
