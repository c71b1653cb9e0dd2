/*
 * protection.cpp: tables that only contracts write: dadbs.protect_table.
 *
 * A protection is a trigger, BEFORE each row that is inserted, updated or deleted, whose function is dadbs.protected_table and
 * whose arguments are the contracts that may write the table. So it is ordered, dumped, renamed and dropped as the table's
 * definitions are, and seen in \d; undoing it is a change of a guarded table (guard.cpp).
 *
 * In a session the trigger refuses the row at once. That is a courtesy: what counts is that the apply worker of every member
 * refuses rows of the table in a write set, whatever the session has done (RaiseProtected, from row_apply.cpp). Rows that
 * contracts write are no part of a write set; when they do, the trigger asks whether the contract is listed. A listed contract is
 * guarded as one that triggers run is, by its name, so that nobody can put another in its place.
 */
#include "internal.h"

#include "../ddl/internal.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/sharing.h"
#include "proposal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(dadbs_protect_table);
PG_FUNCTION_INFO_V1(dadbs_protected_table);
}

namespace dadbs::pg {
namespace contract {
namespace {

constexpr char kTrigger[] = "dadbs_protected";
constexpr int16 kShape = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

[[noreturn]] void RaiseShape(const char* what) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("a trigger that protects a table %s", what),
                  errhint("Use SELECT dadbs.protect_table('table').")));
  pg_unreachable();
}

int CompareNames(const ListCell* a, const ListCell* b) {
  return strcmp(static_cast<char*>(lfirst(a)), static_cast<char*>(lfirst(b)));
}

void Tell(const char* table, List* contracts) {
  StringInfoData names;
  initStringInfo(&names);
  ListCell* cell;
  foreach (cell, contracts) appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", static_cast<char*>(lfirst(cell)));
  if (contracts == NIL)
    ereport(WARNING, (errmsg("nobody can write table \"%s\" any more: no contract names it", table),
                      errhint("Name the contracts that may: dadbs.protect_table('%s', contracts => '{...}').", table)));
  else
    ereport(NOTICE, (errmsg("only these contracts write table \"%s\": %s", table, names.data)));
}

}  // namespace

List* Names(ArrayType* array) {
  Datum* elements;
  bool* nulls;
  int count;
  deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &elements, &nulls, &count);
  List* names = NIL;
  for (int i = 0; i < count; i++) {
    if (nulls[i]) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("contracts must not contain nulls")));
    names = lappend(names, pstrdup(NameStr(*DatumGetName(elements[i]))));
  }
  return names;
}

List* ContractsNaming(const char* table) {
  List* names = NIL;
  Oid const schema = get_namespace_oid(kContractSchema, false);
  Relation const catalog = table_open(ProcedureRelationId, AccessShareLock);
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
    if (form->pronamespace != schema) continue;
    bool is_null;
    Datum const source = heap_getattr(tuple, Anum_pg_proc_prosrc, RelationGetDescr(catalog), &is_null);
    if (!is_null && NamesIt(TextDatumGetCString(source), table)) names = lappend(names, pstrdup(NameStr(form->proname)));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  list_sort(names, CompareNames);
  return names;
}

char* ProtectionText(const char* table, List* contracts) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION dadbs.protected_table(",
                   kTrigger, table);
  ListCell* cell;
  foreach (cell, contracts)
    appendStringInfo(&text, "%s%s", foreach_current_index(cell) > 0 ? ", " : "", quote_literal_cstr(static_cast<char*>(lfirst(cell))));
  appendStringInfoChar(&text, ')');
  return text.data;
}

}  // namespace contract

void RaiseProtected(const char* table) {
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("table \"%s\" is protected: only contracts write it", table),
                  errhint("Write what its contracts are run on. To undo the protection: SELECT dadbs.propose('DROP TRIGGER %s ON %s', 'why').",
                          contract::kTrigger, quote_identifier(table))));
  pg_unreachable();
}

void CheckProtection(HeapTuple tuple, TupleDesc columns, bool shared_table) {
  using namespace contract;
  auto* const form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
  if (form->tgfoid != ProtectionMarker()) return;
  if (!shared_table) RaiseShape("must be on a shared table");
  bool no_condition, is_null;
  (void)heap_getattr(tuple, Anum_pg_trigger_tgqual, columns, &no_condition);
  if (form->tgtype != kShape || form->tgattr.dim1 > 0 || !no_condition)
    RaiseShape("must be BEFORE INSERT OR UPDATE OR DELETE FOR EACH ROW, without a condition");
  Datum const arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, columns, &is_null);
  if (is_null) return;
  const char* at = VARDATA_ANY(DatumGetByteaPP(arguments));
  for (int i = 0; i < form->tgnargs; i++, at += strlen(at) + 1)
    if (!OidIsValid(FindContract(at)))
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" does not exist", at)));
}

}  // namespace dadbs::pg

using namespace dadbs::pg;

// (relation, contracts)
extern "C" Datum dadbs_protect_table(PG_FUNCTION_ARGS) {
  if (PG_ARGISNULL(0)) PG_RETURN_VOID();
  Oid const relation = PG_GETARG_OID(0);
  const char* const name = get_rel_name(relation);
  if (name == nullptr) ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
  if (!IsSharedRelation(relation))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a shared table", name)));
  if (get_rel_relkind(relation) != RELKIND_RELATION || get_rel_relispartition(relation))
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("\"%s\" is partitioned, or a partition, and cannot be protected", name),
                    errdetail("Contracts write neither.")));
  List* const contracts = PG_ARGISNULL(1) ? contract::ContractsNaming(name) : contract::Names(PG_GETARG_ARRAYTYPE_P(1));
  char* const table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
  char* const text = contract::ProtectionText(table, contracts);
  SPI_connect();
  if (SPI_execute(text, false, 0) < 0) elog(ERROR, "SPI failed: %s", text);
  SPI_finish();
  contract::Tell(name, contracts);
  PG_RETURN_VOID();
}

// The function of protections.
extern "C" Datum dadbs_protected_table(PG_FUNCTION_ARGS) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("dadbs.protected_table() is the function of triggers only")));
  auto* const data = reinterpret_cast<TriggerData*>(fcinfo->context);
  HeapTuple const row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
  const char* const table = RelationGetRelationName(data->tg_relation);
  if (!ContractsRunning()) {
    if (SharingActive() && !guc_deploy_unchecked) RaiseProtected(table);
    return PointerGetDatum(row);
  }
  const char* const writer = contract::running.name != nullptr ? contract::running.name : "";
  for (int i = 0; i < data->tg_trigger->tgnargs; i++)
    if (strcmp(data->tg_trigger->tgargs[i], writer) == 0) return PointerGetDatum(row);
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("contract \"%s\" may not write protected table \"%s\"", writer, table),
                  errdetail("The table's protection does not list it.")));
  return PointerGetDatum(nullptr);
}
