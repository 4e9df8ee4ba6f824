# make help lists the targets.

GO       ?= go
PREFIX   ?= $(HOME)/.local
FUZZTIME ?= 10s
BENCH    ?= .
VERSION  ?=

# A checkout of another owner, or no checkout, provides no commit for the version.
VCS     := $(shell git status >/dev/null 2>&1 || echo -buildvcs=false)
RELEASE  = $(VCS) -trimpath -ldflags '-s -w -X main.release=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench battery soak bars chart demo install clean peers cc

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./seedbed (VERSION=1.2.3 names a release)
	$(GO) build $(RELEASE) -o seedbed ./cmd/seedbed

test: peers ## all tests, with real clients if they can be installed (root and apt)
	$(GO) test -timeout 30m $(TESTFLAGS) ./...

race: peers cc ## the same under the race detector
	$(GO) test -race -timeout 30m $(TESTFLAGS) ./...

lint: ## gofmt, vet for three systems, staticcheck (pinned in go.mod)
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted by gofmt:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	@$(GO) test -list '^Fuzz' ./... >/dev/null || { $(GO) test -list '^Fuzz' ./...; exit 1; }
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "$$pkg $$name"; \
		log=$$($(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$pkg" 2>&1) && { echo "$$log" | tail -n 3; continue; }; \
		echo "$$log"; \
		case $$log in *"Failing input"* | *panic* | *fatal*) exit 1 ;; esac; \
		case $$log in *"context deadline exceeded"*) echo "(the time was up in the middle of an input, which go test calls a failure: no input failed)" ;; *) exit 1 ;; esac; \
	done

bench: ## every benchmark with its allocations (BENCH=regexp chooses)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# The batteries log what they did, which only -v shows.
BATTERY = $(GO) test -count 1 -v -timeout 60m -run '^TestBattery' ./swarm/... ./node ./node/follow ./integration | grep --line-buffered -v '^=== \|no tests\|no test files\|^PASS'

battery: peers ## the batteries against faults and hostile peers, small, with what they did
	@bash -o pipefail -c "$(BATTERY)"

soak: peers ## the same, large (some minutes), and the large simulations of the DHT
	@SEEDBED_SOAK=1 bash -o pipefail -c "$(BATTERY)"
	SEEDBED_SOAK=1 $(GO) test -count 1 -timeout 60m ./dht ./dht/announce

bars: peers ## compare with physical limits and other clients; fails if a figure falls short
	$(GO) test -timeout 60m -run '^$$' -bench '^BenchmarkBar' -benchtime 1x ./integration

chart: ## simulate flash crowds and draw the chart of docs/performance.md
	$(GO) test -count 1 -timeout 60m -run '^TestCrowdChart$$' ./swarm/engine -chart

demo: ## a demonstration on this machine, without a network
	$(GO) run ./cmd/seedbed demo

install: ## install seedbed into PREFIX/bin (~/.local/bin)
	@mkdir -p "$(DESTDIR)$(PREFIX)/bin"
	$(GO) build $(RELEASE) -o "$(DESTDIR)$(PREFIX)/bin/seedbed" ./cmd/seedbed

clean: ## remove what was built here
	rm -rf seedbed dist

peers: ## install the clients for the integration tests
	@sh integration/peers/setup

# The race detector needs a C compiler on Linux.
cc:
	@sh integration/peers/setup cc
