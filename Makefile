# make train | degradation | test | slow | lint | bench | tensorboard | clean. Each target first creates or updates .venv.
PYTHON ?= $(shell for v in 3.13 3.12 3.11 3.10; do command -v python$$v >/dev/null 2>&1 && python$$v -c 'import venv, ensurepip' 2>/dev/null && echo python$$v && break; done || true)
EXPERIMENT ?= effnet_b0
BIN := .venv/bin

# File by file, for what a file sets up serves all of its tests.
ON_ALL_CORES := -n auto --maxprocesses=4 --dist=loadfile

SEEDS := 0 1 2
NETWORKS := plain56 resnet56 plain20 resnet20

.PHONY: train degradation test slow lint bench tensorboard clean

train: .venv/user
	$(BIN)/python -m trainers.main --experiment=$(EXPERIMENT) $(ARGS)

# The claim of the ResNet paper, on the embedded digits: two runs at a time, each on one core.
degradation: .venv/user
	for net in $(NETWORKS); do for seed in $(SEEDS); do echo $$net $$seed; done; done | \
	  OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 xargs -P 2 -L 1 sh -c '$(BIN)/python -m trainers.main \
	  --experiment=$$0_cifar10 --data=sample --seed=$$1 --model_dir=runs/degradation/$$0-seed$$1 --quiet'
	$(BIN)/python -m trainers.main --mode=report --runs='runs/degradation/*-seed*' --model_dir=runs/degradation/report

# Two processes at once: one thread each costs a third less than threads that wait for one another.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1

test: .venv/developer lint
	$(ONE_THREAD) $(BIN)/python -m pytest tests $(ON_ALL_CORES) $(ARGS)

slow: .venv/developer
	$(ONE_THREAD) $(BIN)/python -m pytest tests -m slow $(ON_ALL_CORES) $(ARGS)

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
