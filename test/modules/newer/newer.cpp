/*
 * newer.cpp: what a release of dadbs has that the one before it did not have, for test/cluster/upgrade_test.py: a function, which the script of
 * ALTER EXTENSION dadbs UPDATE makes known to the database.
 */
extern "C" {
#include "postgres.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dadbs_newer);
}

extern "C" PGDLLEXPORT Datum dadbs_newer(PG_FUNCTION_ARGS) { return PointerGetDatum(cstring_to_text("version " DADBS_VERSION)); }
