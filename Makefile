# sipagent: `make run` and `make test` do all the set-up there is. PYTHON=python3.13 chooses the interpreter.
SHELL := /bin/bash
PYTHON ?= python3
TOOLS ?= required
BIN := .venv/bin
RUN := .venv/.run.stamp
TEST := .venv/.test.stamp
FUZZ := .venv/.fuzz.stamp
QUALITY := .venv/.quality.stamp
COMPILE := .venv/.compile.stamp
FUZZ_S ?= 60

# run and demo run what `make compile` has made, if it is of these sources; bench and profile have it made. With
# COMPILED=no all of them run the source.
COMPILED ?= yes
ifeq ($(COMPILED),yes)
PROGRAM := compile
AS_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/compiled$${PYTHONPATH:+:$$PYTHONPATH}"
else
PROGRAM := $(RUN)
endif

.PHONY: help run demo compile test interop check fuzz loss rate bench profile quality talk image container tools lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(RUN) ## start sipagent on config.yaml, place one demonstration call, stay up
	@$(BIN)/python scripts/compile.py --forget
	@$(AS_COMPILED) $(BIN)/sipagent run --demo

demo: $(RUN) ## place the demonstration call and end; exit status 0 only if it went right
	@$(BIN)/python scripts/compile.py --forget
	@$(AS_COMPILED) $(BIN)/sipagent demo

compile: $(COMPILE) ## compile what runs for every packet, where there is a C compiler: half the processor time, for some minutes once
	@$(BIN)/python scripts/compile.py

test: $(TEST) $(COMPILE) tools ## run every test (TOOLS=optional: skip those whose programs can't be installed)
	@$(BIN)/python -m pytest

interop: $(TEST) ## talk to Kamailio, baresip, PJSIP, linphone, pyVoIP, Chromium and scanners; print who can do what
	@scripts/setup_interop.sh
	@$(BIN)/python -m pytest tests/interop -m interop

check: $(TEST) ## lint, types and the import rule
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fuzz: $(FUZZ) ## look for input that breaks us, a minute a target (FUZZ_S=600: ten)
	@$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_S)

loss: $(TEST) tools ## 500 calls of SIPp's over a network that loses 30 % of the signalling each way
	@$(BIN)/python tests/sipp/lossy.py

rate: $(TEST) tools ## how many calls of SIPp's a second are taken
	@$(BIN)/python tests/sipp/rate.py

bench: $(PROGRAM) ## measure how many calls one core carries and what each costs, against the bars; write docs/performance.md
	@$(AS_COMPILED) $(BIN)/sipagent bench --page docs/performance.md

profile: $(TEST) $(PROGRAM) ## who takes the time: a flame graph of 100 calls, build/profile.svg; figures, build/profile.json
	@$(AS_COMPILED) $(BIN)/python tests/bench/run_profile.py

quality: $(QUALITY) tools ## measure how it sounds: speech over bad networks, tones, delays; write docs/quality.md
	@$(BIN)/python tests/quality/run.py

talk: $(QUALITY) tools ## measure how it converses: interruptions, echo, noise, a model that fails; write docs/conversation.md
	@$(BIN)/python tests/talk/run.py

image: ## build the container image
	docker build -t sipagent .

container: ## run the image's steps in a bare Debian root, without Docker (root, debootstrap)
	@tests/container/run.sh

tools: ## install SIPp, baresip, flite, recorded speech and music, which some tests need
	@scripts/setup_test_tools.sh $(TOOLS)

lock: $(TEST) ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@scripts/lock.sh

clean: ## remove the virtual environment and everything built
	rm -rf .venv .venv-interop build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.venv.stamp: scripts/setup_venv.sh
	@scripts/setup_venv.sh '$(PYTHON)'
	@touch $@

$(RUN): .venv/.venv.stamp requirements/run.txt pyproject.toml
	@scripts/install.sh requirements/run.txt
	@touch $@

$(TEST): $(RUN) requirements/test.txt
	@scripts/install.sh requirements/test.txt
	@touch $@

$(FUZZ): $(TEST) requirements/fuzz.txt
	@scripts/install.sh requirements/fuzz.txt
	@touch $@

$(COMPILE): $(RUN) requirements/compile.txt
	@scripts/install.sh requirements/compile.txt
	@touch $@

$(QUALITY): $(TEST) requirements/quality.txt
	@scripts/install.sh requirements/quality.txt
	@touch $@
