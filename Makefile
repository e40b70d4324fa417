# ispawn - one Makefile, no recursion; everything built goes under $(BUILD).
#
#   make                    build
#   sudo make check         install what the tests need, build with -Werror, run every rung
#   sudo make demo          one confined ssh login, side by side with the host
#   sudo make demo-shell    the same, and leave you at its prompt
#   sudo make install       DESTDIR and PREFIX as usual
#
# SANITIZE=1 builds with ASan and UBSan (give it a BUILD of its own).

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/ispawn
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
DOCDIR     ?= $(PREFIX)/share/doc/ispawn
COMPDIR    ?= $(PREFIX)/share/bash-completion/completions
# The directory libpam searches: beside pam_permit.so, wherever this system keeps it.
PAMDIR     ?= $(or $(patsubst %/pam_permit.so,%,$(firstword $(wildcard \
		/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/security/pam_permit.so \
		/usr/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/security/pam_permit.so \
		/lib64/security/pam_permit.so /usr/lib64/security/pam_permit.so \
		/lib/security/pam_permit.so /usr/lib/security/pam_permit.so))),/lib/security)
PAMDIR     := $(PAMDIR)

BUILD ?= build
CC    ?= cc

WARNINGS = -Wall -Wextra -Wformat=2 -Wconversion -Wshadow -Wvla -Wundef -Wcast-qual \
	-Wwrite-strings -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes
HARDEN   = -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
	-ftrivial-auto-var-init=zero -fvisibility=hidden
FORTIFY  = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
OPTIMISE ?= -O2 -g
LINKHARD = -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs
WERROR   ?=

ifneq ($(SANITIZE),)
OPTIMISE = -O1 -g -fno-omit-frame-pointer
FORTIFY  = -U_FORTIFY_SOURCE
SAN      = -fsanitize=address,undefined -fno-sanitize-recover=undefined
# A PAM module is loaded into programs without ASan's runtime, and a static program has none:
# both keep the undefined-behaviour half, trapping.
SAN_TRAP = -fsanitize=undefined -fsanitize-undefined-trap-on-error
# Where the findings of programs go whose stderr nobody reads.
SAN_OPTIONS = $(BUILD)/pie/tests/lib/sanitizer.o
endif

PATHS = -DISPAWN_SYSCONFDIR='"$(SYSCONFDIR)/ispawn"' -DISPAWN_BINDIR='"$(BINDIR)"' \
	-DISPAWN_LIBEXECDIR='"$(LIBEXECDIR)"' -DISPAWN_PAMDIR='"$(PAMDIR)"'
ISP_CPPFLAGS = -D_GNU_SOURCE -Iinclude -I$(BUILD)/generated $(FORTIFY) $(PATHS) $(CPPFLAGS)
ISP_CFLAGS   = -std=c17 $(OPTIMISE) $(WARNINGS) $(WERROR) $(HARDEN) $(CFLAGS)

# --- what is compiled -------------------------------------------------------------------------
# Every file of common/ three times: for the module (pic), for programs (pie), and for the
# static programs (static), which differ from pie only under SANITIZE.
COMMON  := $(filter-out %_generate.c,$(wildcard common/*/*.c))
MODULE  := $(wildcard pam_module/*.c)
# ispawnctl stands in for a program inside (enter) as the login shell does, with the same three files.
RELAY   := $(addprefix shell/ispawn-shell-,streams.c terminal.c relay.c)
CTL     := $(wildcard shell/ispawnctl*.c) $(RELAY)
SHELL_  := $(wildcard shell/ispawn-shell*.c)
INIT    := $(wildcard shell/ispawn-init*.c) shell/ispawn-supervisor-names.c
SUPER   := $(wildcard shell/ispawn-supervisor*.c)
DOOR    := $(wildcard shell/ispawn-door*.c)
SECCOMP := $(wildcard shell/ispawn-seccomp*.c)
# ispawn-enter starts one tenant as init does, with the same two files.
ENTER   := shell/ispawn-enter.c shell/ispawn-init-tenant.c shell/ispawn-init-report.c
# As root, ispawn lives the supervisor's life in a copy of itself.
RUN     := shell/ispawn.c $(wildcard shell/ispawn-run-*.c) $(RELAY) \
	$(addprefix shell/ispawn-supervisor-,life.c names.c)

GENERATED := $(BUILD)/generated/seccomp_default.h $(BUILD)/generated/build.h

objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

PROGRAMS := $(BUILD)/pam_ispawn.so $(BUILD)/ispawn-supervisor $(BUILD)/ispawn-init \
	$(BUILD)/ispawn-shell $(BUILD)/ispawn-door $(BUILD)/ispawn-seccomp $(BUILD)/ispawnctl \
	$(BUILD)/ispawn $(BUILD)/ispawn-enter

.PHONY: all install uninstall check demo demo-shell bench lint format clean unit-tests fuzzers
.DELETE_ON_ERROR:
.SECONDARY:
all: $(PROGRAMS)

FLAGS_pic    = -fPIC $(SAN_TRAP)
FLAGS_pie    = -fPIE $(SAN)
FLAGS_static = -fPIE $(SAN_TRAP)

define compile
$(BUILD)/$(1)/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $$(@D)
	$$(CC) $$(ISP_CPPFLAGS) $$(ISP_CFLAGS) $$(FLAGS_$(1)) -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1)/libispawn.a: $$(call objects,$(1),$$(COMMON))
	@rm -f $$@
	$$(AR) rcs $$@ $$^
endef
$(foreach kind,pic pie static,$(eval $(call compile,$(kind))))

# The built-in filters: compiled once, here, by libseccomp; the programs carry the finished BPF.
GENERATE := $(addprefix common/container/seccomp_,generate.c flatten_generate.c share_generate.c)
$(BUILD)/seccomp_generate: $(GENERATE) common/container/seccomp_generate.h include/ispawn/container/seccomp_numbers.h Makefile
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Iinclude -std=c17 -O1 $(WARNINGS) $(WERROR) -o $@ $(GENERATE) -lseccomp
$(BUILD)/generated/seccomp_default.h: $(BUILD)/seccomp_generate
	@mkdir -p $(@D)
	$< > $@

# What tells one build from another (isp_build()): all that goes into the programs.
SOURCES := $(sort $(wildcard include/ispawn/*/*.h common/*/*.[ch] pam_module/*.[ch] shell/*.[ch]))
$(BUILD)/generated/build.h: $(SOURCES) Makefile
	@mkdir -p $(@D)
	(echo $(PATHS); cat $(SOURCES)) | sha256sum | sed 's/^\(.\{16\}\).*/#define ISP_BUILD "\1"/' > $@

$(BUILD)/pam_ispawn.so: $(call objects,pic,$(MODULE)) $(BUILD)/pic/libispawn.a pam_module/pam_ispawn.map
	$(CC) -shared -o $@ $(filter %.o %.a,$^) $(SAN_TRAP) $(LINKHARD) $(LDFLAGS) \
		-Wl,--version-script=pam_module/pam_ispawn.map -Wl,--as-needed -lpam -liniparser
$(BUILD)/ispawn-door: $(call objects,pie,$(DOOR)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -liniparser
$(BUILD)/ispawn-seccomp: $(call objects,pie,$(SECCOMP)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -lseccomp -ljansson -lcap-ng
$(BUILD)/ispawnctl: $(call objects,pie,$(CTL)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -liniparser
$(BUILD)/ispawn-enter: $(call objects,pie,$(ENTER)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -lcap-ng
# Static: nothing of the container's (init) or of the user's environment (shell: LD_PRELOAD) can
# be loaded into them.
# The supervisor and the runner, because they start in less time without a loader and libraries to
# map; ASan has no runtime for static programs.
ifeq ($(SANITIZE),)
$(BUILD)/ispawn: $(call objects,static,$(RUN)) $(BUILD)/static/libispawn.a
	$(CC) -static-pie -o $@ $^ $(LINKHARD) $(LDFLAGS) -liniparser -lcap-ng
$(BUILD)/ispawn-supervisor: $(call objects,static,$(SUPER)) $(BUILD)/static/libispawn.a
	$(CC) -static-pie -o $@ $^ $(LINKHARD) $(LDFLAGS) -lcap-ng
$(BUILD)/ispawn-init: $(call objects,static,$(INIT)) $(BUILD)/static/libispawn.a
	$(CC) -static-pie -o $@ $^ $(LINKHARD) $(LDFLAGS) -lcap-ng
else
$(BUILD)/ispawn: $(call objects,pie,$(RUN)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -liniparser -lcap-ng
$(BUILD)/ispawn-supervisor: $(call objects,pie,$(SUPER)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -lcap-ng
# Its libraries are the host's: it is executed before the container has a tree.
$(BUILD)/ispawn-init: $(call objects,pie,$(INIT)) $(BUILD)/pie/libispawn.a $(SAN_OPTIONS)
	$(CC) -pie -o $@ $^ $(SAN) $(LINKHARD) $(LDFLAGS) -Wl,--as-needed -lcap-ng
endif
$(BUILD)/ispawn-shell: $(call objects,static,$(SHELL_)) $(BUILD)/static/libispawn.a
	$(CC) -static-pie -o $@ $^ $(SAN_TRAP) $(LINKHARD) $(LDFLAGS)

# --- unit tests and fuzzers ---------------------------------------------------------------------
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
unit-tests: $(UNIT)
# The reader of profiles belongs to one program, and is tested alone.
PROFILE := $(filter-out shell/ispawn-seccomp.c,$(SECCOMP))
$(BUILD)/unit/test_profile: $(call objects,pie,$(PROFILE))
$(BUILD)/unit/%: $(BUILD)/pie/tests/unit/%.o $(BUILD)/pie/libispawn.a
	@mkdir -p $(@D)
	$(CC) -pie -o $@ $(filter %.o,$^) $(filter %.a,$^) $(SAN) $(LDFLAGS) -Wl,--as-needed -lcmocka -liniparser -lcap-ng -lseccomp -ljansson

# The code under test once, not once per fuzzer; what is undefined ends a fuzzer as a crash does.
FUZZ_FLAGS = -D_GNU_SOURCE -Iinclude -I$(BUILD)/generated $(PATHS) -std=c17 -O1 -g $(WARNINGS) $(WERROR) \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -ffunction-sections
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzzers: $(FUZZ)
$(BUILD)/fuzz/fuzz_profile: $(call objects,fuzzer,$(PROFILE))
$(BUILD)/fuzzer/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/%: $(BUILD)/fuzzer/tests/fuzz/%.o $(call objects,fuzzer,$(COMMON))
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer -Wl,--gc-sections -o $@ $^ -liniparser -lcap-ng \
		-lseccomp -ljansson

# --- install --------------------------------------------------------------------------------------
# init is 0711: executing a file that one may not read leaves the process non-dumpable from its
# first instruction, so nobody inside can trace PID 1 or open /proc/1/exe.
# A socket that accepts starts the template of its own name (systemd.socket(5)): hence the alias.
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(PAMDIR)
	install -m 0755 $(BUILD)/ispawn-shell $(DESTDIR)$(BINDIR)/ispawn-shell
	install -m 0755 $(BUILD)/ispawn $(DESTDIR)$(BINDIR)/ispawn
	install -m 0755 $(BUILD)/ispawnctl $(DESTDIR)$(SBINDIR)/ispawnctl
	install -m 0755 $(BUILD)/ispawn-supervisor $(DESTDIR)$(LIBEXECDIR)/ispawn-supervisor
	install -m 0711 $(BUILD)/ispawn-init $(DESTDIR)$(LIBEXECDIR)/ispawn-init
	install -m 0755 $(BUILD)/ispawn-door $(DESTDIR)$(LIBEXECDIR)/ispawn-door
	install -m 0755 $(BUILD)/ispawn-seccomp $(DESTDIR)$(LIBEXECDIR)/ispawn-seccomp
	install -m 0755 $(BUILD)/ispawn-enter $(DESTDIR)$(LIBEXECDIR)/ispawn-enter
	install -m 0644 $(BUILD)/pam_ispawn.so $(DESTDIR)$(PAMDIR)/pam_ispawn.so
	install -d -m 0755 $(DESTDIR)$(SYSCONFDIR)/ispawn/conf.d $(DESTDIR)$(SYSCONFDIR)/ispawn/seccomp
	[ -e $(DESTDIR)$(SYSCONFDIR)/ispawn/ispawn.conf ] || \
		install -m 0644 conf/ispawn.conf $(DESTDIR)$(SYSCONFDIR)/ispawn/ispawn.conf
	install -d $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(MANDIR)/man1
	install -m 0644 conf/*.5 $(DESTDIR)$(MANDIR)/man5
	install -m 0644 pam_module/*.8 shell/*.8 $(DESTDIR)$(MANDIR)/man8
	install -m 0644 shell/*.1 $(DESTDIR)$(MANDIR)/man1
	install -d $(DESTDIR)$(UNITDIR)
	install -m 0644 conf/ispawn.socket $(DESTDIR)$(UNITDIR)/ispawn.socket
	sed 's|@LIBEXECDIR@|$(LIBEXECDIR)|' conf/ispawn-door@.service.in > $(DESTDIR)$(UNITDIR)/ispawn-door@.service
	ln -sf ispawn-door@.service $(DESTDIR)$(UNITDIR)/ispawn@.service
	install -d $(DESTDIR)$(COMPDIR)
	install -m 0644 conf/completions/* $(DESTDIR)$(COMPDIR)
	install -d $(DESTDIR)$(DOCDIR)
	install -m 0644 README.md conf/ispawn.conf conf/*.snippet $(DESTDIR)$(DOCDIR)

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/ispawn $(DESTDIR)$(BINDIR)/ispawn-shell $(DESTDIR)$(SBINDIR)/ispawnctl
	rm -f $(DESTDIR)$(LIBEXECDIR)/ispawn-supervisor $(DESTDIR)$(LIBEXECDIR)/ispawn-init
	rm -f $(DESTDIR)$(LIBEXECDIR)/ispawn-door $(DESTDIR)$(LIBEXECDIR)/ispawn-seccomp \
		$(DESTDIR)$(LIBEXECDIR)/ispawn-enter
	rm -f $(DESTDIR)$(UNITDIR)/ispawn.socket $(DESTDIR)$(UNITDIR)/ispawn-door@.service \
		$(DESTDIR)$(UNITDIR)/ispawn@.service
	rm -f $(DESTDIR)$(PAMDIR)/pam_ispawn.so
	-rmdir $(DESTDIR)$(LIBEXECDIR)
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(wildcard conf/*.5)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(wildcard pam_module/*.8 shell/*.8)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(wildcard shell/*.1)))
	rm -f $(addprefix $(DESTDIR)$(COMPDIR)/,$(notdir $(wildcard conf/completions/*)))
	rm -rf $(DESTDIR)$(DOCDIR)

# --- tests, demo, checks --------------------------------------------------------------------------
check:
	tests/check/run

demo:
	tests/lib/demo

demo-shell:
	tests/lib/demo --shell

bench:
	tests/bench/run

lint:
	tests/check/lint

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
