# SPDX-License-Identifier: MIT
# One non-recursive Makefile. Sources are found by wildcard, everything that is built lies under build/.
#
#   make            the programs                      make demo         the main job on real Debian systems
#   make check      all tests (installs what they need, runs check-unit, check-root, check-vm)
#   make bench      measures; BENCH="NAME…" some of it; BENCH_SIZE=small only shows that it works
#   make fuzz       fuzz targets with libFuzzer, each for FUZZ_SECONDS (60); FUZZ="NAME…" some of them
#   make deps       installs the Debian packages of tests/packages.txt that are missing
#   make lint       compilers' warnings, clang's documentation check, shellcheck, shfmt, manual pages
#   make install-host DESTDIR=… PREFIX=…   the tools    make install-guest DESTDIR=…   what a guest needs    make install   both
#   SAN=address,undefined   build with sanitizers (in build/san-…, beside the ordinary build)

VERSION := 0.1.0

CC ?= cc
STRIP ?= strip
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla \
	-Wwrite-strings -Wformat=2 -Wundef -Wno-unused-parameter -Werror=implicit-function-declaration \
	-Werror=unused-result -Werror=return-type -Werror=incompatible-pointer-types
WERROR ?= -Werror
STD := -std=gnu11
CPP_ALL := -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DMLIMG_VERSION='"$(VERSION)"'

comma := ,
# nettle's choice of code for this processor, which SHA-256 needs, refers to all of AES (20 KB). The agent encrypts
# nothing: to the linker these are there, so that it does not look for them, and nobody calls them.
UNUSED_CIPHERS := $(foreach k,aesni c,$(foreach w,128 192 256,$(foreach f,aes$(w)_encrypt aes$(w)_decrypt \
	cbc_aes$(w)_encrypt,-Wl$(comma)--defsym=_nettle_$(f)_$k=0))) $(foreach f,set_key_pclmul update_pclmul \
	set_key_c update_table,-Wl$(comma)--defsym=_nettle_ghash_$f=0)

SAN ?=
ifneq ($(SAN),)
B := build/san-$(subst $(comma),-,$(SAN))
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
AGENT_STATIC :=
else
B := build
SANFLAGS :=
AGENT_STATIC := -static
# The agent is in every initramfs: what it does not call is left out, and so are tables for C++'s
# exceptions, which nobody throws (debuggers have .debug_frame).
SMALL := -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
AGENT_LINK := -Wl,--gc-sections $(UNUSED_CIPHERS) -Wl,-T,guest-agent/no-unwind.ld
endif

C_ALL = $(STD) $(WARN) $(WERROR) $(CPP_ALL) -fstack-protector-strong -fno-strict-aliasing \
	-ffile-prefix-map=$(CURDIR)=. $(SMALL) $(SANFLAGS) $(CFLAGS)

PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/lib/mlimg
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
SYSTEMDDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
INITRAMFSDIR ?= $(PREFIX)/share/initramfs-tools
DRACUTDIR ?= $(PREFIX)/lib/dracut/modules.d
DESTDIR ?=

LIB_SRC := $(wildcard libmlimg/*.c)
TOOL_MAIN := $(wildcard tools/mlimg-*.c)
TOOL_SRC := $(filter-out $(TOOL_MAIN),$(wildcard tools/*.c))
AGENT_MAIN := $(wildcard guest-agent/mlimg-agent.c guest-agent/mlimg.c)
AGENT_SRC := $(filter-out $(AGENT_MAIN),$(wildcard guest-agent/*.c))
UNIT_MAIN := $(wildcard tests/unit/test_*.c)
FUZZ_MAIN := $(wildcard tests/fuzz/fuzz_*.c)
# Programs for guests.
GUEST_MAIN := tests/lib/fsprobe.c tests/lib/powerload.c tests/lib/counter.c tests/lib/randread.c
TESTLIB_MAIN := $(filter-out $(GUEST_MAIN),$(wildcard tests/lib/*.c))

obj = $(patsubst %.c,$(B)/%.o,$(1))
LIBMLIMG := $(B)/libmlimg.a
LIBTOOLS := $(B)/libtools.a
LIBAGENT := $(B)/libagent.a
TOOLS := $(patsubst tools/%.c,$(B)/bin/%,$(TOOL_MAIN))
AGENT := $(patsubst guest-agent/%.c,$(B)/bin/%,$(AGENT_MAIN))
UNITS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_MAIN))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(FUZZ_MAIN))
TESTLIBS := $(patsubst tests/lib/%.c,$(B)/tests/lib/%,$(TESTLIB_MAIN))
GUESTS := $(patsubst tests/lib/%.c,$(B)/tests/lib/%,$(GUEST_MAIN))

# libmlimg and the agent link statically against these and nothing else.
LIB_LIBS := -ljansson -lhogweed -lnettle -lgmp
# A program needs only those that it uses: libcryptsetup alone brings eight more.
TOOL_LIBS := -Wl,--as-needed -lext2fs -lcom_err -larchive -lcryptsetup -lcrypto -lsqlite3 -lvirt-qemu -lvirt -lnbd -lpthread

all: $(TOOLS) $(AGENT)

# Without this a machine that has not got the libraries would show a page of errors, not the way out.
HEADERS := ext2fs/ext2fs.h archive.h libcryptsetup.h openssl/pkcs7.h sqlite3.h libvirt/libvirt.h libnbd.h jansson.h nettle/sha2.h
$(B)/headers-found:
	@mkdir -p $(@D)
	@for h in $(HEADERS); do \
		printf '#include <stdio.h>\n#include <%s>\n' $$h | $(CC) -E -x c - >/dev/null 2>&1 || \
			{ echo "$(CC) does not find <$$h>: run 'make deps' as root first" >&2; exit 1; }; \
	done
	@touch $@

$(B)/%.o: %.c | $(B)/headers-found
	@mkdir -p $(@D)
	$(CC) $(C_ALL) -MMD -MP -c -o $@ $<

# What the agent does itself waits for disks; what computes is the library's, and of that not what is done once or for each account, package or layer.
LIB_SMALL := $(foreach part,accounts boot class compose dpkg-version json layer notes packages queue rebuild reconcile-databases \
	reconcile-kept records report sidecar stack unionfs \
	user-layer verity,$(wildcard libmlimg/$(part)*.c))
$(call obj,$(AGENT_SRC) $(AGENT_MAIN) $(LIB_SMALL)): CFLAGS := $(patsubst -O2,-Os,$(CFLAGS))

$(LIBMLIMG): $(call obj,$(LIB_SRC))
$(LIBTOOLS): $(call obj,$(TOOL_SRC))
$(LIBAGENT): $(call obj,$(AGENT_SRC))
%.a:
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcsD $@ $^

$(TOOLS): $(B)/bin/%: $(B)/tools/%.o $(LIBTOOLS) $(LIBMLIMG)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

# Of the host's parts the agent takes the command line (tools/cli.h) alone; the user's command what
# writes files, too.
$(AGENT): $(B)/bin/%: $(B)/guest-agent/%.o $(LIBAGENT) $(LIBTOOLS) $(LIBMLIMG) guest-agent/no-unwind.ld
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(AGENT_STATIC) $(AGENT_LINK) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIB_LIBS)

# Unit tests may use the library, the tools' parts and the agent's parts.
$(UNITS): $(B)/tests/%: $(B)/tests/unit/%.o $(LIBAGENT) $(LIBTOOLS) $(LIBMLIMG)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

# A fuzz target with a main that runs the files of a corpus through it, or (tests/fuzz/run) with libFuzzer's.
FUZZ_LIBFUZZER := $(if $(findstring fuzzer-no-link,$(SAN)),-fsanitize=fuzzer)
$(FUZZERS): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(if $(FUZZ_LIBFUZZER),,$(B)/tests/fuzz/run_corpus.o) $(LIBAGENT) $(LIBTOOLS) $(LIBMLIMG)
	$(CC) $(SANFLAGS) $(FUZZ_LIBFUZZER) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

$(TESTLIBS): $(B)/tests/lib/%: $(B)/tests/lib/%.o $(LIBAGENT) $(LIBTOOLS) $(LIBMLIMG)
	$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

# They run in guests that have no libraries, and one is measured: without sanitizers.
$(GUESTS): $(B)/tests/lib/%: tests/lib/%.c $(wildcard tests/lib/power-*.h) | $(B)/headers-found
	@mkdir -p $(@D)
	$(CC) $(filter-out $(SANFLAGS),$(C_ALL)) -static $(LDFLAGS) -o $@ $<

-include $(wildcard $(B)/libmlimg/*.d $(B)/tools/*.d $(B)/guest-agent/*.d $(B)/tests/unit/*.d \
	$(B)/tests/lib/*.d $(B)/tests/fuzz/*.d)

deps:
	tests/lib/install-packages

bench-deps: deps
	tests/lib/install-packages tests/bench/packages.txt

# Made by all processors, unless this make was told how many jobs there may be. A make of its own, since packages must be there before anything is compiled.
MAKE_ALL = $(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# What the demo and the benchmarks run; and what the tests run.
helpers: all $(TESTLIBS) $(GUESTS)
testing: helpers $(UNITS) $(FUZZERS)

RUN := MLIMG_BUILD=$(abspath $(B)) tests/run

check: deps bench-deps
	+$(MAKE_ALL) testing
	$(RUN) unit root vm

check-unit: testing
	$(RUN) unit

check-root: testing
	$(RUN) root

check-vm: testing
	$(RUN) vm

bench: bench-deps
	+$(MAKE_ALL) helpers
	MLIMG_BUILD=$(abspath $(B)) tests/bench/run $(BENCH)

fuzz: deps
	+$(MAKE_ALL) helpers
	+tests/fuzz/run $(FUZZ)

demo: deps
	+$(MAKE_ALL) helpers
	MLIMG_BUILD=$(abspath $(B)) tests/demo/run

lint:
	tests/lib/lint $(STD) $(WARN) -Werror $(CPP_ALL)

install: install-host install-guest

# install-each: files, folder, mode. What is not there is left out.
install-each = $(if $(wildcard $(1)),install -D -m $(3) -t $(DESTDIR)$(2) $(wildcard $(1)))

install-host: all
	$(call install-each,$(TOOLS),$(SBINDIR),0755)
	$(call install-each,initramfs/mlimg-mkinitramfs,$(SBINDIR),0755)
	$(call install-each,initramfs/lib/* initramfs/init,$(LIBEXECDIR),0644)
	$(call install-each,tools/*.8 initramfs/mlimg-mkinitramfs.8,$(MANDIR)/man8,0644)
	$(call install-each,initramfs/*.7,$(MANDIR)/man7,0644)
	$(call install-each,tools/completion/*,$(COMPLETIONDIR),0644)
	$(call install-each,tools/*.service,$(SYSTEMDDIR),0644)
	install -D -m 0644 tools/mlimg.sysusers $(DESTDIR)$(SYSUSERSDIR)/mlimg.conf
	[ -n "$(DESTDIR)" ] || ! command -v systemd-sysusers >/dev/null || systemd-sysusers $(SYSUSERSDIR)/mlimg.conf

# The agent is in every initramfs, which is unpacked at every boot: without symbols it is two thirds as large.
install-guest: $(AGENT)
	@[ "$(PREFIX)" = /usr ] || { echo "install-guest: PREFIX must be /usr: initramfs-tools, systemd and the scripts look there" >&2; exit 1; }
	install -D -m 0755 -s --strip-program=$(STRIP) -t $(DESTDIR)$(SBINDIR) $(B)/bin/mlimg-agent
	install -D -m 0755 -s --strip-program=$(STRIP) -t $(DESTDIR)$(BINDIR) $(B)/bin/mlimg
	$(call install-each,guest-agent/*.service guest-agent/*.socket,$(SYSTEMDDIR),0644)
	$(call install-each,guest-agent/*.rules,$(UDEVDIR),0644)
	$(call install-each,guest-agent/*.8,$(MANDIR)/man8,0644)
	$(call install-each,guest-agent/*.1,$(MANDIR)/man1,0644)
	$(call install-each,initramfs/*.7,$(MANDIR)/man7,0644)
	$(call install-each,guest-agent/completion/*,$(COMPLETIONDIR),0644)
	$(call install-each,initramfs/lib/*,$(LIBEXECDIR),0644)
	install -D -m 0755 initramfs/initramfs-tools/hook $(DESTDIR)$(INITRAMFSDIR)/hooks/mlimg
	install -D -m 0755 initramfs/initramfs-tools/boot $(DESTDIR)$(INITRAMFSDIR)/scripts/mlimg
	install -D -m 0755 initramfs/initramfs-tools/modules $(DESTDIR)$(INITRAMFSDIR)/scripts/init-top/mlimg
	$(call install-each,initramfs/dracut/90mlimg/*,$(DRACUTDIR)/90mlimg,0755)
	for d in $(notdir $(wildcard initramfs/systemd/*.d)); do \
		install -D -m 0644 -t $(DESTDIR)$(SYSTEMDDIR)/$$d initramfs/systemd/$$d/*; \
	done
	for want in sysinit/mlimg-rebuild.service multi-user/mlimg-rebuild-rest.service multi-user/mlimg-profile.service sockets/mlimg-agent.socket; do \
		mkdir -p $(DESTDIR)$(SYSTEMDDIR)/$${want%/*}.target.wants && \
			ln -sfn ../$${want#*/} $(DESTDIR)$(SYSTEMDDIR)/$${want%/*}.target.wants/$${want#*/} || exit; \
	done
	for unit in ssh.service ssh.socket sshd.service; do \
		mkdir -p $(DESTDIR)$(SYSTEMDDIR)/$$unit.wants && \
			ln -sfn ../mlimg-host-keys.service $(DESTDIR)$(SYSTEMDDIR)/$$unit.wants/mlimg-host-keys.service || exit; \
	done

clean:
	rm -rf build

.PHONY: all deps helpers testing check check-unit check-root check-vm bench bench-deps fuzz demo lint install install-host install-guest clean
.SECONDARY:
.DELETE_ON_ERROR:
