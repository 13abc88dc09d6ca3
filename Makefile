# Commands for work on the repository. Set-up runs automatically, and again if its inputs have changed.
#   PYTHON=python3.12   the Python for .venv (3.11 or later)
#   TORCH="torch==…"    pip arguments for another torch, such as a CUDA build (default: the CPU build)
#   FAULTS=--long-faults  each fault of Redis in `make test-faults` lasts a minute
#   ROWS, JOB_ROWS      size of the jobs in `make test-large`
#   PARTS=jobs,beside   run only these parts of `make bench-docs`
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
.PHONY: help setup up test test-tools screenshots test-gpu test-faults test-large lint fmt types audit models bench bench-full bench-docs chaos chaos-long powercut fuzz docs grpc containers-test sync-client constraints clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

setup:  ## install everything into .venv (other targets do this automatically)
	@command -v $(PYTHON) >/dev/null || { echo "Takt requires Python 3.11 or later; '$(PYTHON)' is not on the PATH."; exit 1; }
	@$(PYTHON) tools/install.py

up: setup  ## start Valkey, the gateway and the workers on this machine; Ctrl-C stops them
	@$(BIN)/takt up

test: models  ## run the tests, two files at a time, with coverage
	$(BIN)/python -m tests.retrial --cov --numprocesses 2 --dist loadfile

test-large: models  ## test large jobs, minutes each: ROWS=1000000 JOB_ROWS=5000000
	$(BIN)/python -m pytest -m large tests/large --rows $(ROWS) --job-rows $(JOB_ROWS)

test-tools: models  ## run the tests with external programs: Prometheus, a browser, Flower
	$(BIN)/python -m tests.retrial -m tools --timeout 300

screenshots: models  ## take the screenshots of the console for the documentation, in a browser
	$(BIN)/python -m tests.screenshots

test-gpu: models  ## run the tests that need a CUDA device; they are skipped without a device
	$(BIN)/python -m pytest -m gpu tests/integration --timeout 300

test-faults: models  ## run the tests that kill, hang, flood and starve the processes of a running Takt
	$(BIN)/python -m tests.retrial -m faults --numprocesses 2 --dist loadfile --timeout 300 $(FAULTS)

lint: setup  ## check style, format and the imports between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

fmt: setup  ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

types: setup  ## run the strict type checker
	$(BIN)/mypy

audit: setup  ## check the tested package versions for known vulnerabilities, on PyPI
	@$(BIN)/python -m tools.audit

models: setup  ## build the models that are not built
	@$(BIN)/takt models build

bench: setup  ## run the online benchmarks of Takt and its rivals, a quarter of an hour
	$(BIN)/python -m bench

bench-full: setup  ## run all benchmarks, hours: every model and load, open loops, millions of rows, single-row jobs, costs
	$(BIN)/python -m bench --full --rivals guide,celery_tasks,litserve,bentoml,mlserver,ray_serve,mosec,takt_native,takt
	$(BIN)/python -m bench.offline --rows 1000000 --rivals celery_tasks,litserve,bentoml,mlserver,ray_serve,mosec
	$(BIN)/python -m bench.offline --rows 10000000 --rivals ""
	$(BIN)/python -m bench.offline --model classifier --formats parquet,arrow
	$(BIN)/python -m bench.jobs --rivals ray_tasks,celery_tasks
	$(BIN)/python -m bench.beside
	$(BIN)/python -m bench.stages --models iris,classifier,heavy
	$(BIN)/python -m bench.costs
	$(BIN)/python -m bench.studies.fronts --fronts takt,timers,asgi,two_writes,plain,h11,asyncio,granian,granian_mt
	$(BIN)/python -m bench.studies.tuning --rounds 5
	$(BIN)/python -m bench.kernels
	$(BIN)/python -m bench.simulation --rounds 3
	$(BIN)/python -m bench.fair_shares

bench-docs: setup  ## measure the figures in the documentation and update them, three quarters of an hour: PARTS=jobs,beside
	$(BIN)/python -m bench.documents $(if $(PARTS),--only $(PARTS))

chaos: setup  ## kill processes under load for ten minutes, and check that no row is lost, duplicated or wrong
	$(BIN)/python -m tests.chaos

chaos-long: setup  ## run `chaos` for an hour, with at least 100 faults
	$(BIN)/python -m tests.chaos --minutes 60 --faults 100

powercut: models  ## simulate twenty power cuts under load in each durability mode, half an hour: CUTS=20
	$(BIN)/python -m tests.powercut --cuts $(CUTS)

fuzz: models  ## test a running Takt against its OpenAPI document, and with random gRPC messages
	$(BIN)/python -m tests.fuzz

docs: setup  ## build the documentation as an offline site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

containers-test:  ## build and test the containers; needs Docker
	@$(PYTHON) -m tests.containers

grpc: setup  ## generate the gRPC messages from api/rpc/inference.proto; an old generator, for the runtimes since 6.31
	python3 -m venv .bench/protoc && .bench/protoc/bin/pip install --quiet grpcio-tools==1.76.0
	.bench/protoc/bin/python -m grpc_tools.protoc -I api/rpc --python_out=api/rpc --pyi_out=api/rpc api/rpc/inference.proto

sync-client: setup  ## generate the SDK's synchronous client from the asynchronous client
	$(BIN)/python -m tools.sync_client

constraints: setup  ## write the versions in .venv to constraints.txt
	@$(BIN)/python tools/install.py --freeze

clean:  ## remove .venv, caches and built models; keep .takt (jobs, logs)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build dist site
	rm -rf models/*/[0-9]*/ bench/models/*/[0-9]*/ .bench
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
