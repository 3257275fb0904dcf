# One line a target; `make help` prints them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test check fix migration openapi lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && touch $@

run: .venv/ready ## install, start the database, migrate, serve, deliver mail
	@exec $(BIN)/tenantry serve

test: .venv/ready ## every test
	$(BIN)/pytest -n auto

check: .venv/ready ## format, lint, types, contract and migrations
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/pyright && $(BIN)/tenantry openapi --check && $(BIN)/tenantry migrate --check

fix: .venv/ready ## format and mend what a machine can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

openapi: .venv/ready ## write openapi.json
	$(BIN)/tenantry openapi --write

migration: .venv/ready ## make migration m="what it does"
	$(BIN)/tenantry migrate --new "$(m)"

lock: .venv/ready ## pin the newest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv && .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --extra dev --output-file requirements.lock pyproject.toml

clean: ## remove everything that can be made again, the data excepted
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
