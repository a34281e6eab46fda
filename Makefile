# make            build ./bin/btu-scan
# make test       what the README promises: all tests
# make check      what CI runs (see .ci/run)
GO ?= go
LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# A number of runs: at the end of a duration the go command may fail with
# "context deadline exceeded" though nothing was found. 5m works, too.
FUZZTIME ?= 100000x
FUZZPKGS ?= ./...

.PHONY: build test race lint vuln fuzz bench zoo generate golden picture check clean
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

# The detector on real models: ZOO is a folder of model folders with meta.json
# (scripts/zoo/README.md makes one), BASE their base.
zoo: build
	$(GO) run ./internal/tools/zoo -bin bin/btu-scan -base "$(BASE)" $(ZOO)

generate:
	$(GO) generate ./...

golden:
	$(GO) test ./... -update

check:
	bash .ci/run

clean:
	rm -rf bin dist

# The terminal picture of the README.
picture: build
	bin/btu-scan demo --top 8 --color always | $(GO) run ./internal/tools/picture -command "btu-scan demo --top 8" >docs/demo.svg
