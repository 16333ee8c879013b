# make run   builds both programs and runs the main job on the simulated bench
# make test  runs everything; it installs what it needs when it can
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The runtime overwrites what it frees, names and numbers among it (agent/scrub).
LDFLAGS  = -s -w -X main.version=$(VERSION) -X runtime.godebugDefault=clobberfree=1,gcshrinkstackoff=1
BUILD    = CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags "$(LDFLAGS)"
MAINS    = ./agent/cmd/sentinel ./simulator/cmd/sentinel-sim

.PHONY: build run test lint arm tools fuzz torture bench play clean

build:
	@command -v $(GO) >/dev/null || { echo "make: Go 1.26 or newer is needed (https://go.dev/dl), then make again"; exit 1; }
	@mkdir -p bin
	$(BUILD) -o bin/ $(MAINS)

run: build
	@./bin/sentinel-sim bench

# The last command is go test, so that its own output closes the run.
test: tools lint arm build
	@./.ci/test

lint:
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*')); \
	  [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool -modfile=.ci/tools.mod staticcheck ./...

# What ships runs on ARM without cgo: both must build for every board.
arm:
	@mkdir -p bin/arm64 bin/armv7
	GOOS=linux GOARCH=arm64 $(BUILD) -o bin/arm64/ $(MAINS)
	GOOS=linux GOARCH=arm GOARM=7 $(BUILD) -o bin/armv7/ $(MAINS)

tools:
	@./.ci/tools

# make fuzz FUZZTIME=60s
FUZZTIME ?= 10s
fuzz:
	@./.ci/fuzz $(FUZZTIME)

# make torture FOR=60s   the queue on bad disks, then its way and its clocks, so
# long each; SENTINEL_NEED_FUSE=1 fails where no card can be mounted
FOR ?= 10m
torture:
	$(GO) test ./agent/queue ./simulator -p 1 -run 'Torture|Controls' -count=1 -v -timeout 0 -torture $(FOR)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

play: build
	./bin/sentinel-sim play -j 4 simulator/testdata/*.txt

clean:
	rm -rf bin
