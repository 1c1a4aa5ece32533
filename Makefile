# The front door.  Meson does the work; see CONTRIBUTING.md.
#
#   make          the command at build/weir, the library beside it
#   make demo     build, start a sample site, fetch a few thousand URLs
#   make demo-docindex  build, index this repository's documents, ask questions
#   make check    build, run every test
#   make interop  PostgreSQL, beside River's own Go client (needs Go)
#   make prove    every check of docs/verification.md
#   make install  to PREFIX (/usr/local) under DESTDIR

PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build

all: deps
	@scripts/build $(BUILD) --buildtype=release --prefix=$(PREFIX)

deps:
	@scripts/deps build

demo: all
	@scripts/demo $(BUILD)

demo-docindex: all
	@scripts/deps demo-docindex
	@scripts/demo-docindex $(BUILD)

check: deps-check
	@scripts/check build-check --buildtype=debugoptimized

deps-check:
	@scripts/deps build check

install: all
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

bench: all
	@scripts/deps build check bench
	@bench/run --build $(BUILD)

asan: deps-check
	@scripts/check build-asan -Db_sanitize=address,undefined -Db_lundef=false

tsan: deps-check
	@scripts/check build-tsan -Db_sanitize=thread -Db_lundef=false

interop: deps-check
	@tests/interop/run build-check

lint: deps-check
	@scripts/deps build check lint
	@scripts/lint

prove: deps-check
	@scripts/deps build check lint prove
	@scripts/prove

coverage: deps-check
	@scripts/coverage

clean:
	rm -rf build build-*

.PHONY: all deps deps-check demo demo-docindex check install bench asan tsan interop lint prove coverage clean
