# Everything a person types here. Set-up runs by itself, once, and again when what it installs from has changed.
#   PYTHON=python3.12   the Python to build .venv with (3.11 or later)
#   TORCH="torch==…"    pip's words for another torch, such as a CUDA build (default: the CPU build)
#   FAULTS=--long-faults  let each fault of Redis last a minute in `make test-faults`
#   ROWS, JOB_ROWS      how large the jobs of `make test-large` are
#   PARTS=jobs,beside   the only ones that `make bench-docs` measures
PYTHON ?= python3
TORCH ?=
FAULTS ?=
PARTS ?=
ROWS ?= 1000000
JOB_ROWS ?= 5000000
CUTS ?= 20
export TORCH
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup up test test-tools screenshots test-gpu test-faults test-large lint fmt types audit models bench bench-full bench-docs chaos chaos-long powercut fuzz docs containers-test sync-client constraints clean

help:  ## what can be made here
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

setup:  ## install everything into .venv (the other targets do this by themselves)
	@command -v $(PYTHON) >/dev/null || { echo "Takt needs Python 3.11 or later; '$(PYTHON)' is not on the PATH."; exit 1; }
	@$(PYTHON) tools/install.py

up: setup  ## start everything on this machine: Valkey, gateway, workers; Ctrl-C ends it
	@$(BIN)/takt up

test: models  ## run the tests, two files at a time, with coverage
	$(BIN)/python -m tests.retrial --cov --numprocesses 2 --dist loadfile

test-large: models  ## run the tests of large jobs, minutes each: ROWS=1000000 JOB_ROWS=5000000
	$(BIN)/python -m pytest -m large tests/large --rows $(ROWS) --job-rows $(JOB_ROWS)

test-tools: models  ## the tests with programs that others make: Prometheus, a browser, Flower
	$(BIN)/python -m tests.retrial -m tools --timeout 300

screenshots: models  ## take the pictures of the console that the documents show, in a real browser
	$(BIN)/python -m tests.screenshots

test-gpu: models  ## the tests that need a CUDA device; they skip without one
	$(BIN)/python -m pytest -m gpu tests/integration --timeout 300

test-faults: models  ## the tests that kill, hang, flood and starve parts of a running Takt
	$(BIN)/python -m tests.retrial -m faults --numprocesses 2 --dist loadfile --timeout 300 $(FAULTS)

lint: setup  ## style, format and the arrows between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

fmt: setup  ## write the format, and mend what can be mended
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

types: setup  ## the strict type checker
	$(BIN)/mypy

audit: setup  ## ask PyPI whether a tested version has a known vulnerability
	@$(BIN)/python -m tools.audit

models: setup  ## build the models that are not built yet
	@$(BIN)/takt models build

bench: setup  ## benchmarks, online: Takt beside its rivals, a quarter of an hour
	$(BIN)/python -m bench

bench-full: setup  ## all benchmarks, hours: every model and load, open loops, millions of rows, single-row jobs, costs
	$(BIN)/python -m bench --full --rivals guide,celery_tasks,litserve,bentoml,mlserver,ray_serve,mosec,takt_native,takt
	$(BIN)/python -m bench.offline --rows 1000000 --rivals celery_tasks,litserve,bentoml,mlserver,ray_serve,mosec
	$(BIN)/python -m bench.offline --rows 10000000 --rivals ""
	$(BIN)/python -m bench.offline --model classifier --formats parquet,arrow
	$(BIN)/python -m bench.jobs --rivals ray_tasks,celery_tasks
	$(BIN)/python -m bench.beside
	$(BIN)/python -m bench.stages --models iris,classifier,heavy
	$(BIN)/python -m bench.costs
	$(BIN)/python -m bench.studies.fronts --fronts takt,plain,dateless,h11,asyncio,granian,granian_mt --rounds 5
	$(BIN)/python -m bench.studies.tuning --rounds 5
	$(BIN)/python -m bench.kernels
	$(BIN)/python -m bench.simulation --rounds 3
	$(BIN)/python -m bench.fair_shares

bench-docs: setup  ## measure what the documents show, and write it into them, three quarters of an hour; PARTS=jobs,beside
	$(BIN)/python -m bench.documents $(if $(PARTS),--only $(PARTS))

chaos: setup  ## ten minutes of killed parts under load: is anything lost, doubled or wrong?
	$(BIN)/python -m tests.chaos

chaos-long: setup  ## the same for an hour, with at least 100 faults
	$(BIN)/python -m tests.chaos --minutes 60 --faults 100

powercut: models  ## cut the power of a loaded Takt twenty times in each durability mode, half an hour: CUTS=20
	$(BIN)/python -m tests.powercut --cuts $(CUTS)

fuzz: models  ## a running Takt against its own OpenAPI document, with hundreds of examples an operation
	$(BIN)/python -m tests.fuzz

docs: setup  ## the documents as a site to read from files, without the internet: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

containers-test:  ## build and run the containers, where Docker answers
	@$(PYTHON) -m tests.containers

sync-client: setup  ## generate the SDK's synchronous client from the asynchronous client
	$(BIN)/python -m tools.sync_client

constraints: setup  ## write the versions in .venv, which were tested, to constraints.txt
	@$(BIN)/python tools/install.py --freeze

clean:  ## remove .venv, caches and built models; .takt (jobs, logs) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build dist site
	rm -rf models/*/[0-9]*/ bench/models/*/[0-9]*/ .bench
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
