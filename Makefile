# The pipeline as targets with real files behind them. `make` alone lists them.
#
#   make demo                                        everything once, on embedded data
#   make report NAME=shrec14 STORE=runs/shrec14/store TEACHER_RECIPE=shrec17 STUDENT_RECIPE=shrec17_kd
#
# Each stage writes below runs/$(NAME)/ and is made again only when what it reads is newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
NAME ?= signs
RUN := runs/$(NAME)
STORE ?= $(RUN)/store
TEACHER ?= last_e_nano
STUDENT ?= last_lite_nano
TEACHER_RECIPE ?= demo
STUDENT_RECIPE ?= demo_kd
# What `make run` recognises: the clips that the student was tested on are at hand.
SOURCE ?= store:$(STORE)
THREADS ?= 0
FLAVOUR ?= tensorrt-rtx
PRECISION ?= int8 fp16 fp32
# The emulated boards: where their system lies, stores to evaluate on, short videos.
ARM64 ?= runs/boards/arm64
CLIPS ?=
# The demo's run, and its share of the signs: two takes by ten people to learn from, by four others to test.
DEMO ?= demo
DEMO_SYNTH ?= --signers 14 --clips 2
# Further options: of `data synth`, of `train` and `distill` (--set training.epochs=5), of `bench`.
SYNTH ?=
SET ?=
BENCH ?=
# Of the report: what the device affords, and how many test clips are played as long recordings.
BUDGET ?= --budget-ms 1 --budget-kb 150
STREAMS ?= 100

# Two busy OpenMP threads that spin make training ten times slower as soon as anything else runs.
export OMP_WAIT_POLICY = passive

BIN := $(VENV)/bin
CLI := $(BIN)/last-edge
INSTALLED := $(VENV)/.installed
# A finished run whose input is newer is trained anew; an interrupted one is continued.
again = $(if $(wildcard $(1)),--force)

.PHONY: help setup doctor data teacher students distill export quantize parity engine verify bench run report demo webcam \
        web board-check test test-slow lint type results verify-zoo sbom audit size docs dist zoo-wheel format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  NAME=$(NAME)  STORE=$(STORE)  TEACHER_RECIPE=$(TEACHER_RECIPE)  STUDENT_RECIPE=$(STUDENT_RECIPE)"

setup: $(INSTALLED) ## Make .venv (VENV=) with everything installed

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.11"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

doctor: $(INSTALLED) ## Show what this machine has and lacks
	$(CLI) doctor

data: $(STORE)/store.json ## Clip store: synthetic signs, unless STORE names another

$(RUN)/store/store.json: | $(INSTALLED)
	$(CLI) data synth --out $(RUN)/store $(SYNTH)

ifneq ($(STORE),$(RUN)/store)
$(STORE)/store.json:
	@echo "error: no clip store at STORE=$(STORE); make one: last-edge data prepare NAME SOURCE --out $(STORE)" >&2; exit 3
endif

teacher: $(RUN)/teacher/final.json ## Train the teacher

$(RUN)/teacher/final.json: $(STORE)/store.json | $(INSTALLED)
	$(CLI) train --model $(TEACHER) --store $(STORE) --out $(@D) --recipe $(TEACHER_RECIPE) --threads $(THREADS) \
	  $(SET) $(call again,$@)

students: $(RUN)/student_alone/final.json ## Train the student on labels alone, to see what the teacher adds

$(RUN)/student_alone/final.json: $(STORE)/store.json | $(INSTALLED)
	$(CLI) train --model $(STUDENT) --store $(STORE) --out $(@D) --recipe $(STUDENT_RECIPE) --threads $(THREADS) \
	  $(SET) $(call again,$@)

distill: $(RUN)/student/final.json ## Train the student on labels and the teacher's answers

$(RUN)/student/final.json: $(RUN)/teacher/final.json
	$(CLI) distill --teacher $(<D) --model $(STUDENT) --store $(STORE) --out $(@D) --recipe $(STUDENT_RECIPE) \
	  --threads $(THREADS) $(SET) $(call again,$@)

export: $(RUN)/bundle/model.fp32.onnx ## Export the student as a bundle

$(RUN)/bundle/model.fp32.onnx: $(RUN)/student/final.json
	$(CLI) export $(<D) --out $(@D) --store $(STORE) --force

quantize: $(RUN)/bundle/model.int8.onnx ## Put the INT8 file into the bundle

$(RUN)/bundle/model.int8.onnx: $(RUN)/bundle/model.fp32.onnx
	$(CLI) quantize $(@D) --store $(STORE) --recipe $(STUDENT_RECIPE) --force

parity: $(RUN)/bundle/model.int8.onnx ## Compare torch, FP32 and INT8, and every backend that is here
	$(CLI) parity $(<D) --store $(STORE) --run $(RUN)/student
	$(CLI) parity $(<D) --store $(STORE) --backends all

engine: $(RUN)/bundle/model.int8.onnx ## Build TensorRT engines (PRECISION=int8, FLAVOUR=tensorrt on its device, tensorrt-rtx anywhere)
	$(if $(filter int8,$(PRECISION)),$(CLI) quantize $(<D) --store $(STORE) --recipe $(STUDENT_RECIPE) --target tensorrt --force)
	$(foreach each,$(PRECISION),$(CLI) engine $(<D) --flavour $(FLAVOUR) --precision $(each) --force &&) true

verify: $(RUN)/bundle/model.int8.onnx ## Rebuild every figure of the bundle, and of the report where there is one
	$(CLI) verify $(<D) --store $(STORE)
	$(if $(wildcard $(RUN)/report.json),$(CLI) verify $(RUN)/report.json)

bench: $(RUN)/bench.json ## Time the exported files

$(RUN)/bench.json: $(RUN)/bundle/model.int8.onnx
	$(CLI) bench $(<D) --out $@ --force $(BENCH)

run: $(RUN)/events.jsonl ## Recognise SOURCE (a video, replay:x.pose, store:FOLDER or synthetic)

$(RUN)/events.jsonl: $(RUN)/bundle/model.int8.onnx
	$(CLI) run $(<D) --source $(SOURCE) --no-window --events $@ --force

report: $(RUN)/report.html ## Everything measured, side by side
	@echo "report: $(CURDIR)/$<"

$(RUN)/report.html: $(RUN)/teacher/final.json $(RUN)/student/final.json $(RUN)/student_alone/final.json $(RUN)/bench.json
	$(CLI) report $(RUN) --store $(STORE) --out $@ --force --streams $(STREAMS) $(BUDGET)

demo: ## The whole pipeline on embedded data, in a few minutes, set-up included
	@$(MAKE) --no-print-directory run verify report NAME=$(DEMO) SYNTH="$(DEMO_SYNTH)"

# BUNDLE= names a bundle, a run or a name of the zoo; without it the one of $(RUN) is made first.
ifdef BUNDLE
webcam: $(INSTALLED) ## Recognise in front of the camera; BUNDLE=last_lite_nano_shrec14 needs no training
	$(CLI) run $(BUNDLE) --source cam:0 --window
else
webcam: $(RUN)/bundle/model.int8.onnx
	$(CLI) run $(<D) --source cam:0 --window
endif

web: $(RUN)/bundle/model.int8.onnx ## Recognise in the browser, on this machine alone
	$(CLI) web $(<D)

board-check: $(INSTALLED) ## Ask emulated ARM boards what this machine answers (CLIPS=, STORES=, CHECK=--dry-run)
	$(BIN)/python -m last_edge.tools.boards.check --root $(ARM64) $(foreach clip,$(CLIPS),--clip $(clip)) \
	  $(foreach store,$(STORES),--store $(store)) $(CHECK)

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED) ## Run all tests, the slow ones too
	$(BIN)/python -m pytest

lint: $(INSTALLED) ## Style, formatting and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(INSTALLED) ## Check types
	$(BIN)/mypy

results: $(INSTALLED) ## Make docs/results/index.md: published figures beside ours
	$(BIN)/python -m last_edge.tools.report.anchors > docs/results/index.md.partial
	mv docs/results/index.md.partial docs/results/index.md

verify-zoo: $(INSTALLED) ## Measure the shipped bundles' figures again (SHREC=STORE of 14 gestures, UTD=, SHREC21=, POSE=, HANDS=)
	$(if $(SHREC),$(foreach name,$(wildcard zoo/*_shrec14),$(CLI) verify $(name) --store $(SHREC) &&) true)
	$(if $(UTD),$(foreach name,$(wildcard zoo/*_utd27),$(CLI) verify $(name) --store $(UTD) &&) true)
	$(if $(SHREC21),$(foreach name,$(wildcard zoo/*_shrec21),$(CLI) verify $(name) --store $(SHREC21) &&) true)
	$(if $(POSE),$(CLI) verify pose_stream --store $(POSE))
	$(if $(HANDS),$(CLI) verify hands_stream --store $(HANDS))

sbom: $(INSTALLED) ## List every installed package with version and licence in dist/sbom.json (CycloneDX)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet cyclonedx-bom pip-audit
	mkdir -p dist
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python -o dist/sbom.json

audit: sbom ## Ask PyPI's list of known weaknesses about every installed package (network)
	.venv-audit/bin/pip-audit --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

size: ## Count lines, files, the median file and the share of imports
	@$(PYTHON) tools/size.py

docs: $(INSTALLED) ## Build the site into site/; a broken link stops it
	$(BIN)/python -m last_edge.tools.site.pages build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site: $(CURDIR)/site/index.html"

dist: $(INSTALLED) zoo-wheel ## Build the wheel and the zoo's wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

zoo-wheel: $(INSTALLED) ## Build the zoo's wheel into dist/
	$(BIN)/python -m last_edge.tools.zoo_wheel --out dist

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build results; runs and .venv stay
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
