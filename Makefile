# padlock: build, install, demo, test.  `make help` lists the targets.

EXTENSION = padlock
EXTVERSION = 1.0
MODULE_big = padlock
DATA = padlock--$(EXTVERSION).sql

# Rooms in the order in which one may depend on the one before.
ROOMS = core identity audit limits queue email accounts envelope catalog search documents worker
OBJS = $(patsubst %.c,%.o,$(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))))

# The helper programs: plain C, no server headers, started by the workers.
AGENT_PROGRAMS = src/agent/padlock_fetch src/agent/padlock_parse
AGENT_HEADERS = $(wildcard src/agent/*.h)
FETCH_SOURCES = $(sort $(wildcard src/agent/fetch*.c)) src/agent/channel.c src/agent/sandbox.c
PARSE_SOURCES = $(sort $(wildcard src/agent/parse*.c)) src/agent/channel.c src/agent/sandbox.c
FETCH_LIBRARIES = libcurl libcrypto libseccomp
PARSE_LIBRARIES = poppler-glib gumbo libxml-2.0 jansson libseccomp

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --load-extension=padlock
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=padlock

# -Wextra counts the unused arguments of PG_FUNCTION_ARGS and hooks, and the
# server's own headers compare signed with unsigned and end initialisers early.
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -std=gnu99 $(WARNINGS)
SHLIB_LINK = -lcrypto
EXTRA_CLEAN = $(AGENT_PROGRAMS) .build

# The planner's JIT gains nothing from bitcode of functions that call C anyway.
override with_llvm := no

# The targets that install packages must work where pg_config is missing yet.
ifeq ($(filter demo test check-deep bench help,$(MAKECMDGOALS)),)
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
endif

AGENT_CFLAGS = -std=gnu99 -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -D_GNU_SOURCE \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wdeclaration-after-statement -Isrc
AGENT_LDFLAGS = -pie -Wl,-z,relro,-z,now

all: $(AGENT_PROGRAMS)

$(OBJS): $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.h)) $(AGENT_HEADERS)

src/agent/padlock_fetch: $(FETCH_SOURCES) $(AGENT_HEADERS)
	$(CC) $(AGENT_CFLAGS) $(CPPFLAGS_AGENT) $(shell pkg-config --cflags $(FETCH_LIBRARIES)) \
		$(FETCH_SOURCES) $(AGENT_LDFLAGS) $(shell pkg-config --libs $(FETCH_LIBRARIES)) -o $@

src/agent/padlock_parse: $(PARSE_SOURCES) $(AGENT_HEADERS)
	$(CC) $(AGENT_CFLAGS) $(CPPFLAGS_AGENT) $(shell pkg-config --cflags $(PARSE_LIBRARIES)) \
		$(PARSE_SOURCES) $(AGENT_LDFLAGS) $(shell pkg-config --libs $(PARSE_LIBRARIES)) -o $@

install: install-agents
install-agents: $(AGENT_PROGRAMS)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_PROGRAM) $(AGENT_PROGRAMS) '$(DESTDIR)$(pkglibdir)/'

uninstall: uninstall-agents
uninstall-agents:
	rm -f $(addprefix '$(DESTDIR)$(pkglibdir)'/,$(notdir $(AGENT_PROGRAMS)))

# The extension script is committed, so that an installation needs no more
# than make; `make check-script` fails when it is stale.
SCRIPT_PARTS = src/core/prologue.sql \
	$(wildcard $(foreach room,$(ROOMS),src/$(room)/$(room).sql)) \
	$(wildcard $(foreach room,$(ROOMS),src/$(room)/$(room)_tables.sql)) \
	src/core/epilogue.sql

padlock--$(EXTVERSION).sql: $(SCRIPT_PARTS) src/core/assemble.sh Makefile
	ROOMS='$(ROOMS)' sh src/core/assemble.sh > $@.new && mv $@.new $@

check-script:
	ROOMS='$(ROOMS)' sh src/core/assemble.sh | diff -u padlock--$(EXTVERSION).sql - \
		|| { echo 'padlock--$(EXTVERSION).sql is stale: run make and commit it'; exit 1; }

# Whole-machine targets: they install missing Debian packages themselves.
demo:
	sh demo/run $(if $(KEEP),keep)
test:
	sh test/run
check-deep:
	sh test/run deep
bench:
	sh test/bench/run $(ROOM)

help:
	@echo 'make            build the extension and its helper programs'
	@echo 'make install    install them into the PostgreSQL of pg_config'
	@echo 'make demo       show the whole product at work (KEEP=1 leaves the cluster up)'
	@echo 'make test       every test, on temporary clusters'
	@echo 'make check-deep what takes longer'
	@echo 'make bench      measure beside the alternatives (ROOM=limits: one table)'

.PHONY: install-agents uninstall-agents check-script demo test check-deep bench help
