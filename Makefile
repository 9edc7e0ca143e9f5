# make train | test | slow | lint | bench | tensorboard. Everything sets itself up in .venv first.
PYTHON ?= $(shell for v in 3.13 3.12 3.11 3.10; do command -v python$$v >/dev/null 2>&1 && python$$v -c 'import venv, ensurepip' 2>/dev/null && echo python$$v && break; done || true)
EXPERIMENT ?= effnet_b0
BIN := .venv/bin

.PHONY: train test slow lint bench tensorboard clean

train: .venv/user
	$(BIN)/python -m trainers.main --experiment=$(EXPERIMENT) $(ARGS)

test: .venv/developer lint
	$(BIN)/python -m pytest tests $(ARGS)

slow: .venv/developer
	$(BIN)/python -m pytest tests -m slow $(ARGS)

lint: .venv/developer
	$(BIN)/ruff check .

bench: .venv/developer
	$(BIN)/python -m trainers.main --experiment=$(EXPERIMENT) --mode=benchmark $(ARGS)

tensorboard: .venv/user
	$(BIN)/tensorboard --logdir runs $(ARGS)

.venv/bin/python:
	$(or $(PYTHON),python3) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

.venv/user: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/developer: requirements.txt requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/user

clean:
	rm -rf .venv
