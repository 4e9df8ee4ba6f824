# make help lists the targets.

GO       ?= go
PREFIX   ?= $(HOME)/.local
FUZZTIME ?= 10s
BENCH    ?= .
VERSION  ?=

# Git refuses a checkout of another owner; then, and without a checkout, the version has no commit.
VCS     := $(shell git status >/dev/null 2>&1 || echo -buildvcs=false)
RELEASE  = $(VCS) -trimpath -ldflags '-s -w -X seedbed/cmd/seedbed/version.release=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz bench battery soak bars chart demo install package release clean vendor peers cc seaweedfs

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./seedbed (VERSION=1.2.3 names a release)
	$(GO) build $(RELEASE) -o seedbed ./cmd/seedbed

test: peers ## all tests, with other clients if they can be installed (root and apt)
	@failed=0; \
	$(GO) test -timeout 30m $(TESTFLAGS) ./... || failed=1; \
	$(GO) -C packaging test -timeout 30m $(TESTFLAGS) ./... || failed=1; \
	exit $$failed

race: peers cc ## all tests under the race detector
	$(GO) test -race -timeout 30m $(TESTFLAGS) ./...

lint: ## gofmt, vet for three systems, staticcheck (pinned in go.mod)
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted by gofmt:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) -C packaging vet ./...
	staticcheck=$$($(GO) tool -n staticcheck) && cd packaging && $$staticcheck ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@$(GO) test -list '^Fuzz' ./... >/dev/null || { $(GO) test -list '^Fuzz' ./...; exit 1; }
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "$$pkg $$name"; \
		log=$$($(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$pkg" 2>&1) && { echo "$$log" | tail -n 3; continue; }; \
		echo "$$log"; \
		case $$log in *"Failing input"* | *panic* | *fatal*) exit 1 ;; esac; \
		case $$log in *"context deadline exceeded"*) echo "(the time ended during an input, which go test reports as a failure; no input failed)" ;; *) exit 1 ;; esac; \
	done

bench: ## run the benchmarks whose names match BENCH (all), with allocations
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# Batteries are tests that inject faults many times (docs/testing.md). They log their results, which go test prints only with -v.
BATTERY = $(GO) test -count 1 -v -timeout 60m -run '^TestBattery' ./swarm/... ./node ./node/publish ./node/follow ./cmd/seedbed ./integration | grep --line-buffered -v '^=== \|no tests\|no test files\|^PASS'

battery: peers ## test with injected faults and hostile peers, small counts, and print the results
	@bash -o pipefail -c "$(BATTERY)"

soak: peers seaweedfs ## the same with large counts (some minutes) and SeaweedFS with its bars, large simulations of the DHT, and a release for all systems twice
	@SEEDBED_SOAK=1 bash -o pipefail -c "$(BATTERY)"
	SEEDBED_SOAK=1 $(GO) test -timeout 60m -run '^$$' -bench '^BenchmarkBar(Store|Fleet)' -benchtime 1x ./integration
	SEEDBED_SOAK=1 $(GO) test -count 1 -timeout 60m ./dht ./dht/announce
	SEEDBED_SOAK=1 $(GO) -C packaging test -count 1 -timeout 60m -run '^TestReleaseIsReproducible$$'

bars: peers ## compare with physical limits and other clients; fails if a figure exceeds its limit
	$(GO) test -timeout 60m -run '^$$' -bench '^BenchmarkBar' -benchtime 1x ./integration

chart: ## simulate flash crowds and draw the chart of docs/performance.md
	$(GO) test -count 1 -timeout 60m -run '^TestCrowdChart$$' ./swarm/engine -chart

demo: ## run a demonstration on this machine, without a network
	$(GO) run ./cmd/seedbed demo

install: ## install seedbed in PREFIX/bin (~/.local/bin)
	@mkdir -p "$(DESTDIR)$(PREFIX)/bin"
	$(GO) build $(RELEASE) -o "$(DESTDIR)$(PREFIX)/bin/seedbed" ./cmd/seedbed

# Packages have the time of the commit, so that two builds of it give the same bytes. Without a version they have one that
# sorts before every release.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
# The maintainer of the packages, the home page of the project, and the folder from which the archives can be downloaded.
MAINTAINER ?= $(shell git log -1 --format='%an <%ae>' 2>/dev/null)
HOMEPAGE   ?=
DOWNLOADS  ?=
PACKAGING   = SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(GO) -C packaging run . -maintainer '$(subst ','\'',$(MAINTAINER))' -homepage '$(HOMEPAGE)' -downloads '$(DOWNLOADS)' -version $(or $(VERSION),0.0.0~git$(shell git log -1 --format=%cd.%h --date=format:%Y%m%d 2>/dev/null))

package: ## make the Debian and RPM packages in dist/ (VERSION=1.2.3 names a release)
	$(PACKAGING) package

release: ## make everything that belongs to a release in dist/, with checksums (VERSION=1.2.3)
	@[ -n "$(VERSION)" ] || { echo "name the release: make release VERSION=1.2.3"; exit 1; }
	$(PACKAGING) release

clean: ## remove what was built here
	rm -rf seedbed dist

vendor: ## fetch the libraries of the web page from npm; fails if they differ from those here
	@sh node/web/vendor.sh

peers: ## install the clients that the integration tests use (root and apt)
	@sh integration/peers/setup

# The race detector needs a C compiler on Linux.
cc:
	@sh integration/peers/setup cc

# SeaweedFS is built for the soak only.
seaweedfs:
	@sh integration/peers/setup seaweedfs
