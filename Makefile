# make            build ./bin/btu-scan
# make test       what the README promises: all tests
# make check      what CI runs (see .ci/run)
GO ?= go
LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# A number of runs: at the end of a duration the go command may fail with
# "context deadline exceeded" though nothing was found. 5m works, too.
FUZZTIME ?= 100000x
FUZZPKGS ?= ./...

.PHONY: build test race lint vuln fuzz bench bench-model parity zoo zoo-train zoo-repair compare-scanners gotch gotch-test generate golden picture man packaging check clean
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/btu-scan ./cmd/btu-scan

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

lint:
	$(LINT) run ./...

vuln:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

# Every fuzz target of FUZZPKGS, FUZZTIME each.
fuzz:
	@set -e; for pkg in $$($(GO) list $(FUZZPKGS)); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

# Speed, side by side with scripts/bench/*.py. MODEL and BASE are folders of a
# fine-tuned model and its base; PYTHON has torch, numpy and safetensors.
bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./internal/kernel ./scan ./scan/report
	$(GO) run ./internal/tools/bench -bin bin/btu-scan -model "$(MODEL)" -base "$(BASE)" -python "$(or $(PYTHON),python3)"

# The engine and the tokenizers beside PyTorch and Hugging Face's tokenizers.
# MODELS are folders of classifiers, comma-separated, and BATCHES a file of
# scripts/bench/sst_lengths.py; PYTHON has torch and transformers. See
# docs/engine.md.
bench-model: build
	$(GO) test -run '^$$' -bench 'Mul|Others' ./internal/gemm
	$(GO) test -run '^$$' -bench . ./internal/vecmath
	$(GO) run ./internal/tools/benchmodel -python "$(or $(PYTHON),python3)" -tokenizers
	$(GO) run ./internal/tools/benchmodel -bin bin/btu-scan -python "$(or $(PYTHON),python3)" -models "$(MODELS)" -batches "$(BATCHES)"

# How far the engine is from PyTorch, and the tokenizers from Hugging Face's, on
# the vectors in testdata. REAL adds trained models, as FOLDER=VECTORS with
# commas between, with vectors of testdata/scripts/make_parity.py --real, and
# VECTORS is another folder of testdata/scripts/make_tokenizer_vectors.py vectors.
parity:
	@{ PARITY=1 PARITY_REAL="$(REAL)" $(GO) test -v -count 1 -timeout 60m -run Parity ./model && \
	  PARITY=1 $(GO) test -v -count 1 -run Parity ./tokenizer $(if $(VECTORS),-vectors "$(VECTORS)"); } >parity.out; code=$$?; \
	  if [ $$code = 0 ]; then grep '^|' parity.out; else cat parity.out; fi; rm -f parity.out; exit $$code

# The detector on real models: ZOO is a folder of model folders with meta.json
# (scripts/zoo/README.md makes one), BASE their base.
zoo: build
	$(GO) run ./internal/tools/zoo -bin bin/btu-scan -base "$(BASE)" $(ZOO)

# Such models, trained with our own engine: DATA is a folder with train.tsv and
# test.tsv, BASE a model of type bert, RECIPE a file as scripts/zoo/dev.txt, OUT
# the folder of the models. ONLY picks models of the recipe by name.
zoo-train:
	$(GO) run ./internal/tools/zootrain -base "$(BASE)" -data "$(DATA)" -out "$(OUT)" -recipe "$(RECIPE)" $(if $(ONLY),-only "$(ONLY)")

# What sanitize and other repairs do to backdoored models: DATA has dev.tsv, which
# is fine-tuned on, and test.tsv, which is measured with.
zoo-repair: build
	$(GO) run ./internal/tools/zoorepair -bin bin/btu-scan -base "$(BASE)" -data "$(DATA)" $(ZOO)

# Public scanners beside btu-scan on the hostile corpus (docs/hostile-corpus.md).
# PYTHON makes a virtual environment in .scanners and installs them there; nothing
# of the corpus is executed. ONLY picks scanners, comma-separated.
SCANNERS = picklescan==1.0.5 modelscan==0.8.8 fickling==0.1.12 modelaudit==0.2.54
compare-scanners: build
	test -x .scanners/bin/python || $(or $(PYTHON),python3) -m venv .scanners
	.scanners/bin/python -m pip install -q $(SCANNERS)
	$(GO) run ./internal/tools/comparescanners -bin bin/btu-scan -python .scanners/bin/python -classes $(if $(ONLY),-scanners "$(ONLY)")

# bin/btu-scan-gotch has libtorch as a second engine, for CUDA with LIBTORCH=cuda.
# scripts/libtorch.sh fetches it first: 690 MB, or 2.5 GB for CUDA. A C++ compiler
# is needed. gotch-test: how far the engines are apart, and how long they take,
# one thread each.
LIBTORCH ?= cpu
gotch:
	eval "$$(scripts/libtorch.sh $(LIBTORCH))" && $(GO) build -tags gotch -o bin/btu-scan-gotch ./cmd/btu-scan

gotch-test:
	@eval "$$(scripts/libtorch.sh $(LIBTORCH))" && export OMP_NUM_THREADS=1 && \
	  $(GO) vet -tags gotch ./model/gotch ./cmd/btu-scan && $(GO) test -tags gotch -count 1 -run 'Scripts/doctor' ./cmd/btu-scan && \
	  { PARITY=1 $(GO) test -tags gotch -v -count 1 ./model/gotch >gotch.out; code=$$?; \
	  if [ $$code = 0 ]; then grep '^|' gotch.out; else cat gotch.out; fi; rm -f gotch.out; exit $$code; }

generate:
	$(GO) generate ./...

golden:
	$(GO) test ./... -update

check:
	bash .ci/run

# release/man and release/completions, as the archives of a release hold them. The
# program itself does not hold what writes the pages (build tag man).
man:
	rm -rf release/man release/completions && mkdir -p release/completions
	$(GO) build -tags man -o release/btu-scan ./cmd/btu-scan
	release/btu-scan man release/man
	for shell in bash zsh fish powershell; do release/btu-scan completion $$shell >release/completions/btu-scan.$$shell || exit 1; done
	rm release/btu-scan

# The workflows, the release's description and the image's content.
# RELEASER is a goreleaser, and SHELLCHECK=shellcheck lints the scripts, too.
packaging:
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck "$(SHELLCHECK)" -pyflakes ""
	$(or $(RELEASER),$(GO) run github.com/goreleaser/goreleaser/v2@v2.14.0) check
	scripts/gate/scratch.sh

clean:
	rm -rf bin dist release

# The terminal picture of the README.
picture: build
	bin/btu-scan demo --top 8 --color always | $(GO) run ./internal/tools/picture -command "btu-scan demo --top 8" >docs/demo.svg
