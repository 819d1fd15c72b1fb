# One command each, the same here, in README.md and in .ci/run. Every target may be run again at any time.
# Paths are relative on purpose: the folder may have any name, spaces included.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
SECONDS := 60
# Most tests wait for something rather than compute; WORKERS=0 is one process.
WORKERS := 2

.PHONY: help env demo test lint bench soak fuzz docs clients generate lock release-baseline jaeger clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

env: ## make or refresh .venv (every other target does it by itself)
	@tools/env

demo: env ## a nation in a minute: a birth without papers, changes, attacks, a proof
	@.venv/bin/govbus demo

test: env ## every test except the long runs
	@$(PY) -m pytest -q $(if $(filter-out 0,$(WORKERS)),-n $(WORKERS))

soak: env ## the long runs
	@$(PY) -m pytest -q -m soak

fuzz: env ## new inputs for every parser under sanitizers, SECONDS=60 for each
	@$(PY) -m native.fuzz.fuzz run --seconds $(SECONDS)

lint: env ## ruff, mypy --strict, buf, and that generated code is what the contracts say
	@$(PY) -m ruff check --no-cache .
	@$(PY) -m ruff format --no-cache --check .
	@$(PY) -m mypy --strict . tools/generate
	@.venv/bin/buf lint
	@.venv/bin/buf breaking protos --against protos/baseline.binpb
	@$(PY) tools/generate --check

bench: ## CPU and latency beside bare Envoy and a Python forwarder; policy at a country's size
	@tools/env --bench
	@$(PY) -m benchmarks
	@$(PY) -m benchmarks.policy_scale

docs: env ## the contracts' reference pages, into build/docs
	@mkdir -p build
	@.venv/bin/buf build protos -o build/contracts.binpb
	@.venv/bin/govbus contract docs build/contracts.binpb --out build/docs

clients: ## what the tests of clients in Go, Java and Node need, into build/clients (downloads)
	@tools/clients

jaeger: ## build a Jaeger for the test of the traces; with Go, some minutes, once
	@tools/jaeger

generate: env ## rewrite the generated code from the contracts
	@$(PY) tools/generate

lock: env ## renew requirements.lock from pyproject.toml (needs a package index)
	@tools/lock

release-baseline: env ## a release only: what buf breaking compares with from now on
	@.venv/bin/buf build protos --exclude-source-info -o protos/baseline.binpb

clean: ## remove the environment and everything built
	@rm -rf .venv build dist govbus.egg-info .mypy_cache .ruff_cache native/_fast.c native/gate/gate.c native/gate/gate.h benchmarks/native/build
	@find native -name '*.so' -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
