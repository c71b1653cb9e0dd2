/*
 * local.cpp: tables that this member keeps for itself inside a shared schema.
 *
 * dadbs.set_local(table) names the table in dadbs_internal.local_relation, and sharing.h then leaves it alone. Only before
 * anything of it was shared: the other members would keep what they have. The row goes with the table; while it is there,
 * the table keeps its name, since rows are by name.
 */
#include "internal.h"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(dadbs_set_local);
}

namespace dadbs::pg::ddl {
namespace {

void Run(const char* command, int count, Datum* values) {
  Oid types[] = {TEXTOID, TEXTOID};
  SPI_connect();
  if (SPI_execute_with_args(command, count, types, values, nullptr, false, 0) < 0) elog(ERROR, "SPI failed: %s", command);
  SPI_finish();
}

void SetLocal(Oid relation) {
  char const kind = get_rel_relkind(relation);
  if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", get_rel_name(relation))));
  if (IsSharedRelation(relation))
    ereport(ERROR, (errcode(kErrState), errmsg("table \"%s\" is shared already", get_rel_name(relation)),
                    errhint("Call dadbs.set_local before dadbs.create_cluster or dadbs.join_cluster, or drop the table and "
                            "make it in a schema that is not shared.")));
  Datum values[] = {CStringGetTextDatum(get_namespace_name(get_rel_namespace(relation))),
                    CStringGetTextDatum(get_rel_name(relation))};
  Run("INSERT INTO dadbs_internal.local_relation SELECT $1, $2 "
      "WHERE NOT EXISTS (SELECT FROM dadbs_internal.local_relation WHERE schema_name = $1 AND relation_name = $2)",
      2, values);  // a user catalog table knows no ON CONFLICT
  CacheInvalidateRelcacheByRelid(relation);
}

}  // namespace

void CheckLocalNames(Node* node) {
  RangeVar* name = nullptr;
  if (IsA(node, RenameStmt) && reinterpret_cast<RenameStmt*>(node)->renameType == OBJECT_TABLE)
    name = reinterpret_cast<RenameStmt*>(node)->relation;
  if (IsA(node, AlterObjectSchemaStmt)) name = reinterpret_cast<AlterObjectSchemaStmt*>(node)->relation;
  if (name == nullptr) return;
  Oid const relation = RangeVarGetRelid(name, NoLock, true);
  if (OidIsValid(relation) && IsSharedSchema(get_rel_namespace(relation)))
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("local table \"%s\" cannot be renamed or moved", name->relname),
                    errdetail("Its name in a shared schema is what keeps it apart.")));
}

void ForgetDroppedLocals() {
  if (!OidIsValid(get_extension_oid("dadbs", true))) return;  // it was the extension that was dropped
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
  Run("DELETE FROM dadbs_internal.local_relation "
      "WHERE pg_catalog.to_regclass(pg_catalog.format('%I.%I', schema_name, relation_name)) IS NULL",
      0, nullptr);
  SetUserIdAndSecContext(user, context);
}

}  // namespace dadbs::pg::ddl

extern "C" PGDLLEXPORT Datum dadbs_set_local(PG_FUNCTION_ARGS) {
  dadbs::pg::ddl::SetLocal(PG_GETARG_OID(0));
  PG_RETURN_VOID();
}
