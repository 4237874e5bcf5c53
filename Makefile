# Everything that a person or the CI does with this project starts here; `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench chaos fresh test-systemd setup setup-test install uninstall clean

# A link holds characters that make and the shell would read as their own. It is taken as it was typed and reaches
# the recipes by the environment alone; and so are the others.
override URL := $(value URL)
override SEED := $(value SEED)
override SUITE := $(value SUITE)
override PREFIX := $(value PREFIX)
override SEAFILE_USER := $(value SEAFILE_USER)
override SEAFILE_CONF := $(value SEAFILE_CONF)
export URL SEED SUITE PREFIX SEAFILE_USER SEAFILE_CONF
# Debian keeps servers where only root looks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

run: setup ## run the daemon here (config and files in .run); URL=https://... downloads that link and ends
	@.venv/bin/python tools/run.py

install: ## install the service, or upgrade it (root; PREFIX=/opt/odl-daemon SEAFILE_USER= SEAFILE_CONF=)
	@sh tools/install.sh

uninstall: ## remove the service; data, config and user stay (root)
	@sh tools/uninstall.sh

test: setup-test lint ## check everything: linters, types, floors, tests
	@# three at a time, as most wait for others more than for a core: a file is one's own, with its servers
	@.venv/bin/pytest -m "not chaos and not systemd" -n 3 --dist loadfile --no-loadscope-reorder

lint: setup-test ## the checks without the tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup-test ## measure against plain aria2c and a process-per-download worker
	@.venv/bin/python -m bench

chaos: setup-test ## long runs that kill everything at random; SEED=n replays one
	@sh tools/chaos.sh

fresh: ## prove the set-up on a fresh Debian tree (root; SUITE=bookworm or trixie)
	@sh tools/fresh-machine.sh

test-systemd: ## prove the service in a Debian machine with its own systemd (root; SUITE as well)
	@sh tools/test-systemd.sh

setup: ## install what `make run` needs
	@sh tools/setup.sh run

setup-test: ## install what `make test` needs
	@sh tools/setup.sh test

clean: ## delete what was built; .run, with your downloads, stays
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis src/*.egg-info
	find src tests tools bench -name __pycache__ -prune -exec rm -rf {} +
