# SPDX-License-Identifier: MIT
# One non-recursive Makefile. Sources are found by wildcard, everything that is built lies under build/.
#
#   make            the programs                      make demo         the main job on real Debian systems
#   make check      all tests (installs what they need, runs check-unit, check-root, check-vm)
#   make lint       compilers' warnings, clang's documentation check, shellcheck, shfmt, manual pages
#   make install DESTDIR=… PREFIX=…   everything      make install-host, make install-guest: one side only
#   SAN=address,undefined   build with sanitizers (in build/san-…, beside the ordinary build)

VERSION := 0.1.0

CC ?= cc
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla \
	-Wwrite-strings -Wformat=2 -Wundef -Wno-unused-parameter -Werror=implicit-function-declaration \
	-Werror=unused-result -Werror=return-type -Werror=incompatible-pointer-types
WERROR ?= -Werror
STD := -std=gnu11
CPP_ALL := -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DMLIMG_VERSION='"$(VERSION)"'

comma := ,
SAN ?=
ifneq ($(SAN),)
B := build/san-$(subst $(comma),-,$(SAN))
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
AGENT_STATIC :=
else
B := build
SANFLAGS :=
AGENT_STATIC := -static
endif

C_ALL := $(STD) $(WARN) $(WERROR) $(CPP_ALL) -fstack-protector-strong -fno-strict-aliasing $(SANFLAGS) $(CFLAGS)

PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/lib/mlimg
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
SYSTEMDDIR ?= /lib/systemd/system
UDEVDIR ?= /lib/udev/rules.d
DESTDIR ?=

LIB_SRC := $(wildcard libmlimg/*.c)
TOOL_MAIN := $(wildcard tools/mlimg-*.c)
TOOL_SRC := $(filter-out $(TOOL_MAIN),$(wildcard tools/*.c))
AGENT_MAIN := guest-agent/mlimg-agent.c
AGENT_SRC := $(filter-out $(AGENT_MAIN),$(wildcard guest-agent/*.c))
UNIT_MAIN := $(wildcard tests/unit/test_*.c)

obj = $(patsubst %.c,$(B)/%.o,$(1))
LIBMLIMG := $(B)/libmlimg.a
LIBTOOLS := $(B)/libtools.a
LIBAGENT := $(B)/libagent.a
TOOLS := $(patsubst tools/%.c,$(B)/bin/%,$(TOOL_MAIN))
AGENT := $(B)/bin/mlimg-agent
UNITS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_MAIN))

# libmlimg and the agent link statically against these and nothing else.
LIB_LIBS := -ljansson -lnettle
TOOL_LIBS := -lext2fs -lcom_err -larchive -lpthread

all: $(TOOLS) $(if $(wildcard $(AGENT_MAIN)),$(AGENT))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(C_ALL) -MMD -MP -c -o $@ $<

$(LIBMLIMG): $(call obj,$(LIB_SRC))
$(LIBTOOLS): $(call obj,$(TOOL_SRC))
$(LIBAGENT): $(call obj,$(AGENT_SRC))
%.a:
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcsD $@ $^

$(TOOLS): $(B)/bin/%: $(B)/tools/%.o $(LIBTOOLS) $(LIBMLIMG)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

$(AGENT): $(call obj,$(AGENT_MAIN)) $(LIBAGENT) $(LIBMLIMG)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(AGENT_STATIC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

# Unit tests may use the library, the tools' parts and the agent's parts.
$(UNITS): $(B)/tests/%: $(B)/tests/unit/%.o $(LIBTOOLS) $(LIBAGENT) $(LIBMLIMG)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) $(LIB_LIBS)

-include $(wildcard $(B)/libmlimg/*.d $(B)/tools/*.d $(B)/guest-agent/*.d $(B)/tests/unit/*.d \
	$(B)/tests/lib/*.d $(B)/tests/fuzz/*.d)

clean:
	rm -rf build

.PHONY: all clean
.SECONDARY:
.DELETE_ON_ERROR:
