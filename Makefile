# The extension by PGXS; the core libraries and their tests by CMake in $(BUILD).
#   make, make install, make installcheck   as any extension
#   make demo, make check, make bench       see README.md
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" dadbs.control)
EXTENSION = dadbs
MODULE_big = dadbs
BUILD ?= build
PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config

PG_SOURCES := $(sort $(shell find src/pg -name '*.cpp'))
OBJS = $(PG_SOURCES:.cpp=.o)
DATA_built = sql/dadbs--$(EXTVERSION).sql
DATA = $(wildcard sql/dadbs--*--*.sql)  # upgrades from older versions, by hand
EXTRA_CLEAN = $(DATA_built) $(BUILD)
REGRESS = $(patsubst test/regress/sql/%.sql,%,$(sort $(wildcard test/regress/sql/*.sql)))
REGRESS_OPTS = --inputdir=test/regress

CORE_LIBS = $(BUILD)/libdadbs_net.a $(BUILD)/libdadbs_storage.a $(BUILD)/libdadbs_core.a
# Seen outside is what Postgres looks up by name, nothing else: two extensions in C++ must not mix.
SHLIB_LINK = -Wl,--version-script=src/pg/exports.map $(CORE_LIBS) -luv -lprotobuf-c -lssl -lcrypto -lsodium -lstdc++ -lm

override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Postgres's headers are not ours to warn about; C++ headers come first (port.h redefines snprintf).
DADBS_CXXFLAGS = -std=c++20 -O2 -g -fPIC -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-clobbered -fno-strict-aliasing -fwrapv -DDADBS_VERSION='"$(EXTVERSION)"' $(CXXFLAGS_EXTRA)
DEPFILES := $(OBJS:.o=.d)
EXTRA_CLEAN += $(DEPFILES)

PG_INCLUDES = $(addprefix -isystem ,$(realpath $(includedir_server) $(includedir_internal)))

%.o: %.cpp
	$(CXX) $(DADBS_CXXFLAGS) -Iinclude $(PG_INCLUDES) -D_GNU_SOURCE -MMD -MP -c -o $@ $<
-include $(DEPFILES)
src/pg/launcher/version.o: dadbs.control

dadbs.so: $(CORE_LIBS)

.PHONY: core
core:
	@test -f $(BUILD)/build.ninja || cmake -S . -B $(BUILD) -G Ninja -DDADBS_TESTS=$(if $(TESTS),ON,OFF) >/dev/null
	@cmake --build $(BUILD) --target dadbs_net dadbs_storage dadbs_core
$(CORE_LIBS): core ;

sql/dadbs--$(EXTVERSION).sql: $(sort $(wildcard sql/parts/*.sql))
	cat $^ > $@

.PHONY: demo check bench
demo check bench:
	scripts/$@
