# make demo    the whole path, from a manifest to a model that answers in another engine, offline
# make demo WIZARD=1  the wizard, on what the demo installed
# make pictures  every page of the wizard in both languages, into docs/pictures
# make test    every test
# make quick   the tests that take seconds
# make campaign  the hard tests in their long form, two sections at a time, with a table of counts at the end
# make check   format, lint, types, import directions, shell scripts, quick tests

PYTHON ?= python3
V := .venv/bin
export PYTHON
# Two spinning OpenMP threads on a busy machine are many times slower than two that sleep.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo pictures test quick campaign check format setup clean

demo: setup
	@sh scripts/room.sh 5
	@sh scripts/system-packages.sh unshare mount ip strace
	@$(V)/python -m $(if $(WIZARD),demo.wizard,demo)

pictures: setup
	@sh scripts/system-packages.sh unshare mount ip strace
	@$(V)/python -m demo.pictures $(or $(PREFIX),build/demo/site/opt)

test: setup
	@sh scripts/room.sh 12
	@sh scripts/system-packages.sh unshare mount ip strace busybox dash mksh ksh93 mmdebstrap node npm go
	@OMP_NUM_THREADS=1 $(V)/python -m pytest -n 2 --dist loadgroup

quick: setup
	@OMP_NUM_THREADS=1 $(V)/python -m pytest -n 2 --dist loadgroup -m "not slow and not gpu"

campaign: setup
	@sh scripts/room.sh 20
	@sh scripts/system-packages.sh unshare mount ip strace busybox dash mksh ksh93 yash posh mmdebstrap
	@$(V)/python -m tests.campaign

check: setup
	@sh scripts/system-packages.sh busybox dash
	$(V)/ruff format --check .
	$(V)/ruff check .
	$(V)/mypy
	$(V)/lint-imports
	$(V)/shellcheck install.sh scripts/*.sh .ci/run
	@OMP_NUM_THREADS=1 $(V)/python -m pytest -q -n 2 --dist loadgroup -m "not slow and not gpu"

format: setup
	$(V)/ruff format .
	$(V)/ruff check --fix .

setup:
	@sh scripts/setup.sh

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
