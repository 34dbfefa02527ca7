# magicoder-repro: the Magicoder paper, stage by stage. `make help` lists the targets in pipeline order.
#
# Make builds the environment and names the stages. What is stale is decided by content, not by time stamps: every stage's
# fingerprint holds its settings, its inputs' hashes and its environment's lock (src/magicoder_repro/pipeline.py), because one
# changed value of a profile must re-run what depends on it and nothing else, and a damaged file must be noticed.

PROFILE ?= smoke
PYTHON  ?= python3.11

READY     := .envs/core/.ready .envs/evalplus-0.2.0/.ready
BIN       := .envs/core/bin
MAGICODER := $(BIN)/magicoder
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help all test lint check check-ds1000 lock clean distclean record toolchains \
	corpus seeds oss-instruct decontaminate evol-instruct sft generate score analyze report

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo "  PROFILE=smoke (default: laptop, no GPU, no account) or PROFILE=paper (REPRODUCE.md); profiles/ has them all"

all: $(READY) ## every stage and the report
	@$(MAGICODER) run --profile $(PROFILE)

corpus: $(READY) ## open-source documents of each language
	@$(MAGICODER) run corpus --profile $(PROFILE)
seeds: $(READY) ## seed snippets (PROTOCOL section 1)
	@$(MAGICODER) run seeds --profile $(PROFILE)
oss-instruct: $(READY) ## problems and solutions from the teacher
	@$(MAGICODER) run oss-instruct --profile $(PROFILE)
clean: $(READY) ## repeated records removed
	@$(MAGICODER) run clean --profile $(PROFILE)
decontaminate: $(READY) ## records with benchmark text removed
	@$(MAGICODER) run decontaminate --profile $(PROFILE)
evol-instruct: $(READY) ## the second training set
	@$(MAGICODER) run evol-decontaminate --profile $(PROFILE)
sft: $(READY) ## Magicoder, then MagicoderS
	@$(MAGICODER) run sft-magicoder sft-magicoder-s --profile $(PROFILE)
generate: $(READY) ## completions of base, Magicoder and MagicoderS
	@$(MAGICODER) run generate-base generate-magicoder generate-magicoder-s --profile $(PROFILE)
score: $(READY) ## pass@1 by isolated execution
	@$(MAGICODER) run score --profile $(PROFILE)
analyze: $(READY) ## figures of the training data
	@$(MAGICODER) run analyze --profile $(PROFILE)
report: $(READY) ## tables, figures, the diff with the recorded run
	@$(MAGICODER) run report --profile $(PROFILE)

toolchains: ## install the compilers of MultiPL-E's languages that the distribution has (root, apt-get)
	@sh docker/multipl-e/toolchains.sh
record: $(READY) ## record this run's numbers under results/
	@$(MAGICODER) record --profile $(PROFILE)
test: lint check ## code and behaviour: ruff, mypy, pytest
lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
check: $(READY) .envs/evalplus-0.3.1/.ready
	@$(BIN)/python -m pytest -m "not timing" --numprocesses auto --maxprocesses 8 --durations 10
	@$(BIN)/python -m pytest -m timing --durations 10
check-ds1000: $(READY) .envs/ds1000/.ready ## the tests of the DS-1000 judge, with its libraries (7 GB, minutes)
	@$(BIN)/python -m pytest tests/score/test_ds1000*.py
LOCK := .envs/core/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links --python-platform x86_64-unknown-linux-gnu
lock: $(READY) ## resolve docker/*/*.in into requirements.lock again (UPGRADE=--upgrade for newer versions)
	@for folder in $(dir $(wildcard docker/*/requirements.in)); do echo $$folder; $(LOCK) $(UPGRADE) \
		--python-version $$(cat $${folder}python.txt 2>/dev/null || echo 3.11) --override $${folder}overrides.txt \
		$$(ls $${folder}*.in $${folder}torch.txt 2>/dev/null) -o $${folder}requirements.lock; done
	@$(LOCK) $(UPGRADE) --python-version 3.10 docker/uv.in -o docker/uv.txt
	@for folder in $(dir $(wildcard docker/*/torch.txt)); do echo $${folder}torch.lock; $(LOCK) $(UPGRADE) \
		--python-version $$(cat $${folder}python.txt 2>/dev/null || echo 3.11) --constraint $${folder}requirements.lock \
		$$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' $${folder}requirements.lock) \
		$${folder}torch.txt -o $${folder}torch.lock; done
distclean: ## remove every run, every environment and the ground truth
	rm -rf runs .envs .cache

.SECONDEXPANSION:
.envs/%/.ready: $$(wildcard docker/$$*/*) docker/uv.txt docker/install.sh pyproject.toml
	@sh docker/install.sh $* .envs/$*
