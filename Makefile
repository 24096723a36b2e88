# Thin targets over meson. On a bare Debian 12 with make and gcc, `make run` and
# `make test` install what is missing (that needs root), and say what it is.
#   B=DIR            where to build (build); DIR-asan, DIR-fuzz, DIR-check too
#   FUZZ_SECONDS=N   how long each fuzz target runs
#   DESTDIR=, PREFIX=  as usual, for install
B ?= build
FUZZ_SECONDS ?= 30
SOAK ?= 10000

# $(call configure,DIR,OPTIONS): new, or again with these options.
configure = if [ -e $(1)/build.ninja ]; then \
		meson setup --reconfigure $(2) $(1) >/dev/null; \
	else \
		meson setup $(2) $(1); \
	fi
sanitize = -Db_sanitize=address,undefined -Db_lundef=false

all: deps-build $(B)/build.ninja
	@ninja -C $(B)

$(B)/build.ninja: | deps-build
	@$(call configure,$(B),)

deps-%:
	@tools/deps $(subst +, ,$*)

run: deps-build+tour all
	@tools/tour $(B)/davit

# Everything runs twice, the second time under the sanitizers. The old logs go
# first, so that a run that does not get as far counts as failed.
test: deps-build+test
	@rm -f $(B)/meson-logs/testlog.json $(B)-asan/meson-logs/testlog.json
	@$(call configure,$(B),-Dtests=true)
	@$(call configure,$(B)-asan,-Dtests=true $(sanitize))
	ninja -C $(B)
	ninja -C $(B)-asan
	-meson test -C $(B) --no-rebuild --print-errorlogs
	-meson test -C $(B)-asan --no-rebuild --print-errorlogs -t 5
	@tools/summary $(B)/meson-logs/testlog.json \
		$(B)-asan/meson-logs/testlog.json

bench: deps-build+bench all
	@DAVIT=$(abspath $(B))/davit B=$(abspath $(B)) bench/start
	@DAVIT=$(abspath $(B))/davit B=$(abspath $(B)) bench/stdio
	@DAVIT=$(abspath $(B))/davit B=$(abspath $(B)) bench/exec
	@B=$(abspath $(B)) bench/rpc
	@B=$(abspath $(B)) bench/mesh

# The whole-program tests of that name, with more starts and more verbs than
# `make test` has; and the mesh: every order of larger scenarios, and ten minutes each of a storm
# in one process and between 20 of them, under the sanitizers.
soak: deps-build+test
	@$(call configure,$(B),-Dtests=true)
	@$(call configure,$(B)-asan,-Dtests=true $(sanitize))
	ninja -C $(B)
	ninja -C $(B)-asan
	@DAVIT=$(abspath $(B))/davit LIBDAVIT=$(abspath $(B)) SRC=$(CURDIR) \
		SOAK=$(SOAK) bats tests/soak.bats
	@DAVIT=$(abspath $(B))/davit LIBDAVIT=$(abspath $(B)) SRC=$(CURDIR) \
		SEQUENCES=2000 bats tests/keeper_soak.bats
	DAVIT_SOAK=1 $(B)/mesh-node_explore_test
	DAVIT_SOAK=1 $(B)-asan/mesh-node_storm_test
	@DAVIT=$(abspath $(B))-asan/davit LIBDAVIT=$(abspath $(B))-asan \
		SRC=$(CURDIR) MESH_SECONDS=600 bats tests/mesh_storm.bats

fuzz: deps-build+fuzz
	@[ -e $(B)-fuzz/build.ninja ] || \
		CC=clang meson setup -Dfuzz=true $(sanitize) $(B)-fuzz
	@meson setup --reconfigure $(B)-fuzz >/dev/null
	@ninja -C $(B)-fuzz
	@set -e; for target in $(B)-fuzz/fuzz/*_fuzz; do \
		name=$$(basename $$target _fuzz); \
		found=$(B)-fuzz/corpus/$$name; \
		mkdir -p $$found; \
		echo "fuzz: $$name, $(FUZZ_SECONDS) s"; \
		$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
			-print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(B)-fuzz/$$name- \
			$$found fuzz/corpus/$$name; \
	done

# The first three are part of `make test`, too; the rest takes minutes. One that
# finds something does not keep the others from looking.
check: deps-build+test+check all
	@$(call configure,$(B)-check,-Dtests=true -Dwerror=true -Danalyze=true)
	@$(call configure,$(B),-Dtests=true)
	@found=; \
	tools/check-layers || found=1; \
	tools/check-size $(B)/davit-agent || found=1; \
	tools/check-format || found=1; \
	ninja -k 0 -C $(B)-check || found=1; \
	ninja -C $(B) || found=1; \
	cd $(B); \
	sed -n 's/^ *"file": "\(.*\)".*/\1/p' compile_commands.json | \
		grep -E '/(src|fuzz|bench)/.*[.]c$$' | grep -v _test[.]c | \
		sort -u | xargs -n 1 -P $$(nproc) clang-tidy -p . --quiet || \
		found=1; \
	test -z "$$found"

install: all
	@$(if $(PREFIX),meson configure --prefix=$(PREFIX) $(B))
	meson install -C $(B)

clean:
	rm -rf $(B) $(B)-asan $(B)-fuzz $(B)-check

# ninja does what can be done side by side; here the order counts.
.NOTPARALLEL:
.PHONY: all run test bench soak fuzz check install clean
