# magicoder-repro: the Magicoder paper, stage by stage. `make help` lists the targets in pipeline order.
#
# Make builds the environment and names the stages. What is stale is decided by content, not by time stamps: every node's
# fingerprint holds its settings and its inputs' hashes (src/magicoder_repro/pipeline/), because one changed value of a profile
# must re-run what depends on it and nothing else, and a damaged file must be noticed.

PROFILE ?= smoke
PYTHON  ?= python3.11
RESCORE ?= yes
RUNNER  ?= auto
UPGRADE ?=
ENGINE  ?= docker
ENVS    ?= core evalplus-0.2.0 evalplus-0.3.1 multipl-e serve-cpu ds1000 ds1000-original
BUILD_FLAGS ?=
RUN_FLAGS ?=

READY     := .envs/core/.ready .envs/evalplus-0.2.0/.ready
BIN       := .envs/core/bin
MAGICODER := $(BIN)/magicoder
PYTEST    := $(BIN)/python -m pytest --durations 10
SPREAD    := --numprocesses auto --maxprocesses 8
BUILD     := $(MAKE) --no-print-directory
export PYTHON
.NOTPARALLEL: # `make -j2`: targets share environments and a run's folder, and each uses all cores by itself

# What is misspelt on the command line is told before anything is built.
quoted = '$(subst ','\'',$(1))'
nearest = $(shell PYTHONPATH=src $(call quoted,$(PYTHON)) -c 'import sys; from magicoder_repro.errors import nearest; \
	print(nearest(sys.argv[1], sys.argv[2].split()))' $(call quoted,$(1)) '$(2)' 2>/dev/null)
VARIABLES := $(shell sed -n 's/^\([A-Z_]*\) *?=.*/\1/p' Makefile)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
DEFINED := $(shell sed -n 's/^\([A-Z_]*\) *[?:]=.*/\1/p' Makefile)
$(foreach name,$(filter-out $(DEFINED),$(GIVEN)),$(error $(name): no variable of this Makefile: \
	$(call nearest,$(name),$(VARIABLES))there are $(VARIABLES) (one of the environment goes first: $(name)=... make ...)))
PROFILES := $(basename $(notdir $(wildcard profiles/*.yaml)))
ifneq ($(shell test -f $(call quoted,$(if $(filter %.yaml %.yml,$(PROFILE)),$(PROFILE),profiles/$(PROFILE).yaml)) && echo yes),yes)
$(error PROFILE=$(PROFILE): no such profile: $(call nearest,$(PROFILE),$(PROFILES))profiles/ has $(PROFILES))
endif
ifeq ($(filter yes no,$(RESCORE)),)
$(error RESCORE=$(RESCORE): yes or no)
endif
RUNNERS := auto host docker podman apptainer
ifeq ($(filter $(RUNNERS),$(RUNNER)),)
$(error RUNNER=$(RUNNER): $(call nearest,$(RUNNER),$(RUNNERS))one of $(RUNNERS))
endif
ASKED := --profile $(call quoted,$(PROFILE))

VERSION  = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)$(shell git status --porcelain 2>/dev/null | sed -n '1s/.*/+changes/p')

.DEFAULT_GOAL := help
STAGES := corpus seeds oss-instruct deduplicate decontaminate evol-instruct sft generate score analyze report
.PHONY: help all rescore plan rehearse test lint check check-fast check-long check-ds1000 lock clean distclean record regress archive toolchains images test-images check-images lint-images lock-images $(STAGES)

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo "  PROFILE=smoke (default: laptop, no GPU, no account) or PROFILE=paper-cl (REPRODUCE.md); profiles/ has them all"
	@echo "  RUNNER=auto (default), host, docker, podman, apptainer: where each stage works; auto takes an engine that has the images;"
	@echo "    rescore, rehearse and the tests work on the host"
	@echo "  RESCORE=no: \`make all\` ends without the published answers (it judges them where they can be fetched)"

all: $(READY) ## every stage and the report; with the default profile also `make rescore`, where there is a network
	@$(MAGICODER) run $(ASKED) --runner $(RUNNER)
ifeq ($(PROFILE) $(RESCORE),smoke yes)
	@if $(MAGICODER) rescore --fetch-only; then $(BUILD) .envs/evalplus-0.3.1/.ready || :; $(MAGICODER) rescore --if-possible; fi
endif
rescore: $(READY) .envs/evalplus-0.3.1/.ready ## the authors' published answers, fetched and judged again: 16 cells of Tables 1 and 4
	@$(MAGICODER) rescore
plan: $(READY) ## what would be made, why, and what is missing; nothing is made
	@$(MAGICODER) plan $(ASKED) --runner $(RUNNER)

rehearse: $(READY) ## every node of a profile with all that is large made small (PROFILE=paper-cl): its numbers mean nothing
	@$(MAGICODER) rehearse $(ASKED)

corpus: $(READY) ## open-source documents of each language
seeds: $(READY) ## seed snippets (PROTOCOL section 1)
oss-instruct: $(READY) ## problems and solutions from the teacher
deduplicate: $(READY) ## repeated records removed
decontaminate: $(READY) ## records with benchmark text removed, of every data set
evol-instruct: $(READY) ## the second training set, where the teacher evolves it
sft: $(READY) ## every model that is trained: Magicoder, then MagicoderS
generate: $(READY) ## completions of every model
score: $(READY) ## pass@1 by isolated execution
analyze: $(READY) ## figures of the training data
report: $(READY) ## tables, figures, the diff with the recorded run
$(STAGES):
	@$(MAGICODER) run $@ $(ASKED) --runner $(RUNNER)

toolchains: ## install the compilers of MultiPL-E's languages that the distribution has (root, apt-get)
	@sh docker/multipl-e/toolchains.sh
record: $(READY) ## record this run's numbers under results/
	@$(MAGICODER) record $(ASKED)
regress: $(READY) ## this run against the recorded one, by the profile's report.regress; runs/PROFILE/regress/ is for CI
	@$(MAGICODER) regress $(ASKED) --junit $(OF_CI)/junit.xml --markdown $(OF_CI)/regress.md
OF_CI := runs/$(basename $(notdir $(lastword $(PROFILE))))/regress
archive: $(READY) ## what a deposit (Zenodo) needs, in one zip under dist/: source, locks, recorded results, manifests, RO-Crate metadata
	@$(MAGICODER) archive
test: lint check ## code and behaviour: ruff, mypy, pytest
lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
check: $(READY) .envs/evalplus-0.3.1/.ready
	@$(PYTEST) $(SPREAD) -m "not timing and not long"
	@$(PYTEST) -m "timing and not long"
check-fast: $(READY) ## the tests that need seconds and no processes, for the inner loop
	@$(PYTEST) $(SPREAD) -m "not process and not sandbox and not timing and not chain and not long"
check-long: $(READY) .envs/evalplus-0.3.1/.ready ## what takes minutes each: kills in the middle of a stage, whole published sets, a rehearsal, trainings in several processes
	@$(PYTEST) -m long
check-ds1000: $(READY) .envs/ds1000/.ready .envs/ds1000-original/.ready ## the tests of the DS-1000 judges, with their libraries (12 GB, minutes)
	@$(PYTEST) tests/benchmarks/ds1000
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
images: ## the images of ENVS, with ENGINE=docker, podman or buildah; BUILD_FLAGS="--build-arg ..." (docker/README.md)
	@set -e; for env in $(ENVS); do \
		$(ENGINE) build $(BUILD_FLAGS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
			--file docker/$$env/Dockerfile --tag magicoder-repro/$$env:$(VERSION) .; done
test-images: lint-images images check-images ## build them, and ask each whether it is right
check-images: ## the same of images that are there: as an ordinary user, without network, rights or a root to write to; RUN_FLAGS="..."
	@set -e; for env in $(ENVS); do echo "magicoder-repro/$$env:$(VERSION)"; $(ENGINE:buildah=podman) run --rm --user 1000:1000 \
		--network none --cap-drop ALL --security-opt no-new-privileges $(FOR_SANDBOX_$(ENGINE:buildah=podman)) \
		--read-only --tmpfs /tmp $(RUN_FLAGS) magicoder-repro/$$env:$(VERSION) selfcheck $$env; done
FOR_SANDBOX_docker := --security-opt seccomp=docker/seccomp.json --security-opt systempaths=unconfined --security-opt apparmor=unconfined
FOR_SANDBOX_podman := --security-opt unmask='/proc/*'
lint-images: ## hadolint over the Dockerfiles, where it is installed
	@if command -v hadolint >/dev/null; then hadolint docker/*/Dockerfile; else echo "Dockerfiles: no hadolint here to lint them"; fi
lock-images: $(READY) ## the base images' digests in docker/images.lock beside what their registry has now
	@$(BIN)/python -m magicoder_repro.images
MADE := .cache .pytest_cache .mypy_cache .ruff_cache build dist
# Says what it deletes before it does; not what somebody works in (a run's lock, an environment's).
define delete
@for lock in runs/*/.lock .envs/.*.lock; do [ ! -e "$$lock" ] || flock --nonblock "$$lock" true || { \
	echo "error: $$lock: something works there: wait for it or stop it" >&2; exit 2; }; done
@$(if $(wildcard $(1)),echo deleting:; du -h --max-depth=1 $(wildcard $(1)),echo nothing to delete)
@rm -rf $(1)
endef
clean: ## remove what can be made again at no cost: the ground truth, tools' caches (`magicoder gc`: results that no run leads to)
	$(call delete,$(MADE))
distclean: ## every run and every environment too
	$(call delete,runs .envs $(MADE))

.SECONDEXPANSION:
.envs/%/.ready: $$(wildcard docker/$$*/*) docker/uv.txt docker/install.sh pyproject.toml
	@sh docker/install.sh $* .envs/$*
