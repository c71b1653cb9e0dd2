/*
 * version.cpp: which dadbs this library is, and whether the SQL objects of the extension are the same.
 *
 * They come apart while an extension is upgraded: the library is the one that the postmaster has loaded, the objects are what CREATE EXTENSION or
 * ALTER EXTENSION dadbs UPDATE has left in the database. A library works with its own objects and with those of the release before it, so what
 * is found is told (log of the apply worker's start, dadbs.health) and stops nothing. The other way round, objects that the library does not know,
 * is what ALTER EXTENSION refuses in a session: the new library is not running yet.
 *
 * An object of its own: test/modules/newer compiles it with other numbers.
 */
#include "dadbs/pg/version.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "access/xact.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_library_version);
}

#ifndef DADBS_RULES
#define DADBS_RULES 9
#endif

namespace dadbs::pg {

const int kRulesVersion = DADBS_RULES;
const char kLibraryVersion[] = DADBS_VERSION;

namespace {

// The only text that a query of catalogs gives, or null. Inside a transaction.
char* Ask(const char* query) {
  MemoryContext const caller = CurrentMemoryContext;
  char* answer = nullptr;
  SPI_connect();
  if (SPI_execute(query, true, 1) != SPI_OK_SELECT) elog(ERROR, "SPI failed: %s", query);
  if (SPI_processed > 0)
    if (char* const text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)) answer = MemoryContextStrdup(caller, text);
  SPI_finish();
  return answer;
}

}  // namespace

void TellVersions() {
  Call([] {
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    char* const objects = Ask("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'dadbs'");
    if (objects != nullptr && strcmp(objects, kLibraryVersion) != 0)
      ereport(LOG, (errmsg("dadbs: the library of this server is version %s, the extension's objects in this database are version %s",
                           kLibraryVersion, objects),
                    errhint("ALTER EXTENSION dadbs UPDATE brings newer objects. Where the library is the older one: install version %s, and "
                            "restart the server.", objects)));
    PopActiveSnapshot();
    CommitTransactionCommand();
  });
}

void CheckUpdate(AlterExtensionStmt* statement) {
  if (strcmp(statement->extname, "dadbs") != 0) return;
  const char* target = nullptr;
  ListCell* cell;
  foreach (cell, statement->options)
    if (auto* const option = lfirst_node(DefElem, cell); strcmp(option->defname, "new_version") == 0) target = defGetString(option);
  if (target == nullptr) target = Ask("SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = 'dadbs'");
  if (target == nullptr || strcmp(target, kLibraryVersion) == 0) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("extension \"dadbs\" cannot be updated to version %s: the library that this server runs is version %s", target, kLibraryVersion),
                  errhint("Install the library of version %s and restart the server first.", target)));
}

}  // namespace dadbs::pg

extern "C" PGDLLEXPORT Datum dadbs_library_version(PG_FUNCTION_ARGS) {
  return PointerGetDatum(cstring_to_text(dadbs::pg::kLibraryVersion));
}
