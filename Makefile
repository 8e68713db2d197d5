# The project's commands; `make` alone lists them. Those that need a virtual environment make it first, and see by its
# stamp that it is still right: a file inside it, younger than setup.cfg.

# A Python to make the environments with, if the first that is found is not the one you want.
PYTHON ?=
# Where the package and the tools of its tests are installed; another VENV beside it serves another Python.
VENV ?= .venv
# The benchmark's own; with PYTHON given, one for each version, so that versions can be measured side by side.
BENCH_VENV ?= .venv-bench$(if $(PYTHON),-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
# The fuzzer's own, since atheris has no wheel for every Python.
FUZZ_VENV ?= .venv-fuzz
# Passed on to what run, test, bench and fuzz start: make run ARGS='--port 9000', make test ARGS='-k frames'
ARGS ?=

python := $(VENV)/bin/python
bench_python := $(BENCH_VENV)/bin/python
fuzz_python := $(FUZZ_VENV)/bin/python
a10_python := .venv-nonebot-a10/bin/python
todays_python := .venv-nonebot-2.5/bin/python
drivers_python := .venv-nonebot-2.5-drivers/bin/python
coverage := $(python) -m coverage
# NoneBot is not beside our tests, so what imports it is measured and typed where it is: by `make hosts`.
guests := nbdriver/nonebot
modules = $(addprefix --module ,$(subst /,.,$(patsubst %.py,%,$(patsubst %/__init__.py,%,$(1)))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Targets share environments, and pip does not share.
.NOTPARALLEL:
.PHONY: help run test lint types coverage check format stress fuzz bench bench-quick bench-check hosts conformance adapters proxies
.PHONY: autobahn autobahn-full clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## serve an echo bot on 127.0.0.1:8080 (ARGS='--port 9000' to change it)
	@$(python) -m nbdriver demo $(ARGS)

test: $(VENV)/.test ## run the tests (ARGS='-k name' for some of them)
	@$(python) -m pytest $(ARGS)

lint: $(VENV)/.test ## look at the style
	@$(python) -m ruff check
	@$(python) -m ruff format --check

types: $(VENV)/.test ## check the types
	@$(python) -m mypy
	@$(python) -m mypy $(wildcard benchmarks/*.py examples/*.py)

coverage: $(VENV)/.test ## run the tests and see that they reach every line and branch
	@$(coverage) erase
	@$(coverage) run -m pytest $(ARGS)
	@$(coverage) combine --quiet
	@$(coverage) report --omit '$(guests)/*'

check: lint types coverage ## style, types, and the tests with their coverage

format: $(VENV)/.test ## put the style right where that can be done for you
	@$(python) -m ruff check --fix
	@$(python) -m ruff format

stress: $(VENV)/.test ## end the server at random moments under load (ARGS='--seed 17' to repeat one)
	@cd tests && PYTHONPATH=$(CURDIR):. $(abspath $(python)) -m stress.run $(ARGS)

bench: $(BENCH_VENV)/.bench ## measure what an event costs, beside its peers, in a quarter of an hour
	@$(bench_python) -m benchmarks $(ARGS)

bench-quick: $(BENCH_VENV)/.bench ## take a first look at the same, in two or three minutes
	@$(bench_python) -m benchmarks --quick $(ARGS)

bench-check: $(VENV)/.run ## see that an event takes no more instructions than it did (needs valgrind; ARGS=--record to renew)
	@$(python) -m benchmarks.instructions $(ARGS)

fuzz: $(FUZZ_VENV)/.fuzz ## look for inputs that break something, for a minute (ARGS='--seconds 3600' for longer)
	@PYTHONPATH=tests $(fuzz_python) -m fuzz $(ARGS)

hosts: export COVERAGE_FILE := .coverage-hosts
hosts: $(VENV)/.test ## run the tests inside NoneBot 2.0.0a10 and 2.3 to 2.5, in environments of their own
	@$(python) tests/hosts/environments.py
	@$(coverage) erase
	@$(coverage) run -m pytest tests/hosts $(ARGS)
	@$(drivers_python) -m coverage run -m pytest -p no:nonebug $(wildcard tests/guests tests/conformance) $(ARGS)
	@$(coverage) combine --quiet
	@$(coverage) report --include '$(guests)/*'
	@$(python) -m mypy --python-executable $(a10_python) $(call modules,$(guests)/logs.py $(guests)/v2_0_0a10.py)
	@$(python) -m mypy --python-executable $(todays_python) \
		$(call modules,$(filter-out %/v2_0_0a10.py,$(wildcard $(guests)/*.py $(guests)/v2/*.py)))

conformance: $(VENV)/.test ## run NoneBot's own drivers and ours through the same tests (part of hosts)
	@$(python) tests/hosts/environments.py
	@$(drivers_python) -m pytest -p no:nonebug tests/conformance $(ARGS)

adapters: $(VENV)/.test ## run NoneBot's adapters on our driver, end to end, beside other people's peers (some need npm)
	@$(python) tests/adapters/environments.py
	@$(python) -m pytest tests/adapters $(ARGS)

proxies: $(VENV)/.test ## run the tests with real proxies (Debian: nginx, haproxy, tinyproxy-bin, microsocks)
	@$(python) -m pytest tests/proxies $(ARGS)

autobahn: $(VENV)/.test ## run Autobahn's testsuite against our server and our client, but for its long cases
	@PYTHONPATH=tests $(python) -m autobahn --exclude '12.*' '13.*' $(ARGS)

autobahn-full: $(VENV)/.test ## the same with all its cases (ARGS=--write-docs for docs/autobahn.md)
	@PYTHONPATH=tests $(python) -m autobahn $(ARGS)

clean: ## remove what these commands have made, the environments too
	rm -rf .venv* build dist *.egg-info .coverage* .fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path './.*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

# One line while it works, and pip's own words only if it fails.
define pip_install
@echo "Installing $(1) into $(@D) (once) ..."
@said=$$($(@D)/bin/python -m pip install --disable-pip-version-check $(2) 2>&1) || { printf '%s\n' "$$said" >&2; exit 1; }
endef

# An environment that is there already stays what it is, whatever PYTHON says; so who asks for another is told.
ifdef PYTHON
version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(wildcard $(python)),)
ifneq ($(call version_of,$(PYTHON)),$(call version_of,$(python)))
run test lint types coverage check stress hosts conformance adapters proxies autobahn autobahn-full bench-check: other-python
other-python:
	@echo "$(VENV) has Python $(call version_of,$(python)), and PYTHON is $(call version_of,$(PYTHON)): say VENV=.venv-$(call version_of,$(PYTHON)) too, or make clean" >&2; exit 1
endif
endif
endif

$(VENV)/.run: setup.cfg pyproject.toml | $(VENV)/bin/pip
	$(call pip_install,nbdriver,--editable .)
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/pip
	$(call pip_install,nbdriver and the tools of its tests,--editable '.[test]')
	@touch $(@D)/.run $@

$(BENCH_VENV)/.bench: setup.cfg pyproject.toml | $(BENCH_VENV)/bin/pip
	$(call pip_install,nbdriver and what it is measured beside,--editable '.[bench]')
	@touch $@

$(FUZZ_VENV)/.fuzz: setup.cfg pyproject.toml | $(FUZZ_VENV)/bin/pip
	@echo "Installing nbdriver and its fuzzer into $(@D) (once) ..."
	@said=$$($(@D)/bin/python -m pip install --disable-pip-version-check --only-binary atheris --editable '.[test,fuzz]' 2>&1) || { \
		printf '%s\n' "$$said" "atheris has wheels for CPython 3.11, 3.12 and 3.13 on Linux; if none is found for this" \
		"Python, say: rm -r $(@D); make fuzz PYTHON=/path/to/another" >&2; exit 1; }
	@touch $@

# pip is the last thing that venv makes, so where it stands the environment is whole. A name on the search path proves
# nothing (pyenv's shims answer 'command not found'), so each Python is asked for its version.
%/bin/pip:
	@found=none; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
		version=$$("$$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
		found="Python $$version"; \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue; \
		echo "Making $* with Python $$version ..."; \
		said=$$("$$python" -m venv --clear $* 2>&1) || { printf '%s\n' "$$said" >&2; exit 1; }; \
		exit 0; \
	done; \
	echo "expected Python 3.11 or newer, found $$found; say make PYTHON=/path/to/python" >&2; \
	exit 1
