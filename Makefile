# Everything that people and CI run. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Processes that share the tests among them.
JOBS ?= 2
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full image-check lint format bench bench-growth faults fuzz audit lock pictures schemas clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.project ## Virtual environment with everything, from the locked requirements

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Packhouse needs Python 3.11 or later: make PYTHON=python3.11")'
	PYTHON=$(PYTHON) .ci/need import:ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.requirements: requirements/dev.txt $(VENV)/.python
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.requirements
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Two real Olive runs become ranked ZIPs, before your eyes
	$(BIN)/python -m packhouse.local.demo

lint: setup ## Style, types, architecture, and what must not be in a file
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python --warnings
	$(BIN)/lint-imports --no-cache
	.ci/check-files

test: lint ## What a change has to pass: lint, and every test of less than a minute
	.ci/need unzip=unzip node=nodejs npm=npm
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not full"

test-full: setup ## The tests that take minutes or gigabytes
	.ci/need ip=iproute2 nsenter=util-linux debootstrap=debootstrap kubectl=kubernetes-client promtool=prometheus nginx=nginx-light redis-server=redis-server redis-cli=redis-tools jq=jq openssl=openssl unzip=unzip node=nodejs npm=npm g++=g++ cmake=cmake javac=default-jdk-headless chromium=chromium
	$(PYTEST) -n $(JOBS) --dist loadfile -m full

image-check: setup ## The container image: lint it, run its steps in a Debian, and a worker in what comes of them
	.ci/need debootstrap=debootstrap
	$(PYTEST) -m "" tests/e2e/test_image.py

faults: setup ## Every fault at random for ten minutes (FAULTS_SECONDS, FAULTS_SEED), then the books
	.ci/need unzip=unzip
	$(BIN)/python tests/faults/long_form.py

fuzz: setup ## Changed inputs for every reader of what others wrote: tests/fuzz/README.md
	cd tests && ../$(BIN)/python -m fuzz

audit: setup ## Known vulnerabilities of what is locked; asks the package registries' own services
	.ci/need npm=npm
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --requirement requirements/dev.txt --no-deps --disable-pip --strict --progress-spinner off
	cd deploy/local/packhouse/local/azure/azurite && npm audit --omit=dev

bench: setup ## Time, memory and bytes beside cp, Olive and others: tests/bench/README.md
	cd tests && ../$(BIN)/python -m bench

bench-growth: setup ## How cost grows, and what a cluster would carry: tests/bench/README.md
	cd tests && BENCH_ROWS="$${BENCH_ROWS:-grow-*,two-workers*}" BENCH_JSON="$${BENCH_JSON:-../$(VENV)/growth.json}" ../$(BIN)/python -m bench
	cd tests && ../$(BIN)/python -m bench.simulate "$${BENCH_JSON:-../$(VENV)/growth.json}"

pictures: setup ## Take the pictures of the guides anew, of a running stack
	.ci/need chromium=chromium pngquant=pngquant
	PYTHONPATH=tests $(BIN)/python -m support.pictures

schemas: setup ## Write what follows from the code: schemas/json, the tables in README
	$(BIN)/python -m packhouse.schemas.export schemas/json
	$(BIN)/python tests/support/readme.py

format: setup ## Let ruff set the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

lock: setup ## Resolve the dependencies anew and write the locked requirements
	$(LOCK) --upgrade pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(LOCK) --constraints requirements/dev.txt pyproject.toml --extra worker --output-file requirements/worker.txt
	$(LOCK) --constraints requirements/dev.txt pyproject.toml --extra worker --extra azure --extra tracing --output-file requirements/worker-azure.txt
	$(LOCK) --constraints requirements/dev.txt pyproject.toml --extra flower --output-file requirements/flower.txt
	$(LOCK) --constraints requirements/dev.txt --group build --output-file requirements/build.txt

clean: ## Remove what the other targets made
	rm -rf $(VENV) .packhouse .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
