# Everything needs Go, git and make; what else is needed, the go command fetches. Works with GNU make 3.81 and later.

GO ?= go
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Checkers are run at these versions and are never in go.mod: what they need is not what an importer needs.
GOLANGCI_LINT_VERSION := v2.15.0
ACTIONLINT_VERSION := v1.7.12
golangci_lint = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
GREMLINS_VERSION := v0.6.0
gremlins = $(GO) run github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS_VERSION)
actionlint = $(GO) run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

# What reports on changes is a module of its own, and is built for each run: "go run" would hide its exit code.
tools = set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; trap 'exit 130' HUP INT TERM; \
	$(GO) build -C internal/tools -o "$$dir/" ./specupdate ./compat; "$$dir"

# The race detector where it can be had; CI insists on it.
race = race=; cc=$$($(GO) env CC); \
	if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$${cc%% *}" >/dev/null 2>&1 && \
		$(GO) list -race errors >/dev/null 2>&1; then race=-race; \
	elif [ "$${CI:-}" = true ]; then \
		echo 'make $@: CI insists on the race detector, which needs cgo and a C compiler' >&2; exit 1; \
	else \
		echo 'make $@: without the race detector, which needs cgo and a C compiler' >&2; \
	fi

# Modules below this one, which "./..." does not reach.
MODULES := internal/tools internal/consumer internal/faults

# To be set on the command line, as in: make test PKGS=./api TESTFLAGS='-run Retrieve -v'
ARGS ?=
BENCH ?= .
BENCHTIME ?= 30ms
FUZZTIME ?= 5s
ROUNDS ?= 10
MUTATE ?= errors.go decode.go call.go wait.go
MUTATESKIP ?= ^(Fuzz|TestStream|TestUpload|TestDownload[A-Z]|TestWaitAllMany|TestWaitConnections|TestSchedule[DT]|TestSamplesOfVerbs|TestSecurity[BI])
OPS ?=
PAGE ?=
PKGS ?= ./...
TESTFLAGS ?=
UNCOMPILED ?=

.PHONY: help generate check-generated spec spec-diff spec-fetch compat demo test faults fuzz lint fmt tidy bench footprint cover
.PHONY: mutate consumer rename ci

help: ## List the targets.
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

generate: ## Make openapi.yaml from the pages, and the client from openapi.yaml.
	@$(GO) generate ./...

check-generated: ## Fail if generating would change a file; changes nothing.
	@$(GO) run ./internal/project/checkgen

spec: ## Take in published pages, regenerate and report (PAGE="path or folder ...", OPS, UNCOMPILED=1).
	@$(tools)/specupdate -op "$$OPS" $(if $(UNCOMPILED),-uncompiled) "$$PAGE"

spec-diff: ## Report what "make spec" would do; changes nothing.
	@$(tools)/specupdate -n -op "$$OPS" $(if $(UNCOMPILED),-uncompiled) "$$PAGE"

spec-fetch: ## Download the published pages to a temporary folder, and print its name (uses the network).
	@$(tools)/specupdate fetch

compat: ## Compare the exported API with the last tag: what broke must stand in the changelog.
	@$(tools)/compat

demo: ## Follow a task to its video, against a stand-in server (ARGS="..." is passed on).
	@$(GO) run ./internal/demo $(ARGS)

test: ## Run the tests, with the race detector where it can be had (PKGS, TESTFLAGS).
	@$(race); $(GO) test $$race -shuffle=on $(TESTFLAGS) $(PKGS)

faults: ## Break the network between client and stand-in server, and print what came of it (ARGS='-tasks 20000 -seed 7').
	@$(race); cd internal/faults && $(GO) test $$race -count=1 -timeout 30m -args $(ARGS)

lint: ## Check format, code, go.mod and workflows (builds its checkers the first time: some minutes).
	@files=$$(gofmt -l .) && { [ -z "$$files" ] || { echo "not formatted (run make fmt):"; echo "$$files"; exit 1; }; }
	@for module in . $(MODULES); do (cd $$module && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) mod verify >/dev/null) || exit 1; done
	@$(actionlint) -shellcheck= -pyflakes=
	@$(golangci_lint) config verify
	@for module in . $(MODULES); do (cd $$module && $(golangci_lint) run) || exit 1; done

fmt: ## Format the code and sort the imports.
	@$(golangci_lint) fmt

tidy: ## Bring go.mod and go.sum in step with the imports.
	@for module in . $(MODULES); do (cd $$module && $(GO) mod tidy) || exit 1; done

bench: ## Compare each verb with the same by hand and with the generated call, in one table (BENCH, BENCHTIME, ROUNDS).
	@$(GO) run ./internal/project/bench -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -rounds '$(ROUNDS)'

footprint: ## Show what an importer of api takes on; fails beyond the limits.
	@$(GO) run ./internal/project/footprint

cover: ## Show what the tests of api do not reach; fails below 95 % of the hand-written statements.
	@$(GO) run ./internal/project/cover

# The go command's own store of inputs is left out: reading a grown one takes longer than FUZZTIME. Up to Go 1.26 a target whose
# time is up can fail with this very line and nothing else (go.dev/issue/75804); an input that fails is printed in another way.
fuzz: ## Run each fuzz target for FUZZTIME, from the inputs kept in testdata/fuzz. What fails is kept there too.
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; trap 'exit 130' HUP INT TERM; \
	$(GO) list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r pkg src; do \
		for target in $$(cat "$$src"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "$$pkg $$target" && $(GO) test -vet off -run '^$$' -fuzz "^$$target\$$" -fuzztime '$(FUZZTIME)' -fuzzminimizetime 1s \
				"$$pkg" -args -test.fuzzcachedir="$$dir/$$target" </dev/null 2>&1 | tee "$$dir/log" && \
			grep -q -e '^ok' -e '^    context deadline exceeded$$' "$$dir/log" || exit 1; \
		done; \
	done

# What it calls not covered are constants and the conditions of a switch, which Go's coverage does not count.
mutate: ## Change the code in small ways and see which changes no test notices (MUTATE names the files; takes long).
	@GOFLAGS="$$($(GO) env GOFLAGS) -vet=off -skip=$(MUTATESKIP)" $(gremlins) unleash --workers 1 --timeout-coefficient 5 \
		--invert-logical --invert-loopctrl --exclude-files ^zaitest/ $$(cd api && for f in *.go; do \
		case " $(MUTATE) " in *" $$f "*) ;; *) printf ' --exclude-files ^%s$$' "$$f" ;; esac; done) ./api

consumer: ## Test the client from a module that uses it, as its users do.
	@cd internal/consumer && $(GO) test -count=1 ./... && $(GO) run .

rename: ## Move the module to another path: make rename MODULE=host/path.
	@$(GO) run ./internal/project/rename "$$MODULE"

ci: ## Run everything that CI runs, race detector included.
	@echo '== check-generated' && $(MAKE) check-generated
	@echo '== lint' && $(MAKE) lint
	@echo '== footprint' && $(MAKE) footprint
	@echo '== bench, each once' && $(MAKE) bench BENCHTIME=1x ROUNDS=1
	@echo '== demo' && $(MAKE) demo ARGS= ZAI_API_KEY=
	@echo '== test' && $(MAKE) test CI=true PKGS=./... TESTFLAGS=
	@echo '== cover, and so at full size what the race detector cuts short' && $(MAKE) cover
	@echo '== fuzz' && $(MAKE) fuzz FUZZTIME=5s
	@echo '== test of the tools' && cd internal/tools && $(GO) test ./...
	@echo '== consumer' && $(MAKE) consumer
	@echo '== compat' && $(MAKE) compat
	@echo '== faults' && $(MAKE) faults CI=true ARGS=
