/*
 * analyze_cycles.cpp: contracts that fire or call each other in a circle.
 *
 * From the tables that the contract writes, and the contracts that it calls, to the contracts which these run, and so on; writes
 * in branches that depend on NEW, OLD or TG_OP are left out, since that is how a circle is ended. Deployed contracts are
 * functions in the schema dadbs_contract; a table's are named by its triggers (dadbs.contract).
 */
#include "analyze_internal.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr int kContractsMax = 200;  // that are followed

struct Search {
  Analysis* a;
  List* seen;  // String: contracts that were looked at
};

// Calls visit(table, contract's name) for each marker, of one table or of all.
template <class F>
void EachMarker(Oid table, F visit) {
  Relation const catalog = table_open(TriggerRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
  bool const one = OidIsValid(table);
  SysScanDesc const scan = systable_beginscan(catalog, TriggerRelidNameIndexId, one, nullptr, one ? 1 : 0, &key);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto* const form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
    if (form->tgnargs < 1 || !IsContractMarker(form->tgfoid)) continue;
    bool null = true;
    Datum const arguments = fastgetattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(catalog), &null);
    if (!null) visit(form->tgrelid, pstrdup(VARDATA_ANY(DatumGetByteaPP(arguments))));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

void Follow(Search* search, List* written, List* called, const char* by);

void Visit(Search* search, const char* name, const char* by) {
  check_stack_depth();
  Analysis* const a = search->a;
  if (strcmp(name, a->name) == 0) {
    a->query = nullptr;
    Report(a, Rule::kReentrancy, -1, "End the circle by a condition (IF ... IS DISTINCT FROM ...), or write all of it in one contract.",
           "contract \"%s\" runs this one again", by);
    return;
  }
  ListCell* cell;
  foreach (cell, search->seen)
    if (strcmp(static_cast<char*>(lfirst(cell)), name) == 0) return;
  Oid const function = FindDeployed(name);
  if (!OidIsValid(function) || list_length(search->seen) >= kContractsMax) return;
  search->seen = lappend(search->seen, pstrdup(name));
  Analysis* const inner = AnalyzeInner(a, function);
  Follow(search, inner->written, inner->called, name);
}

void Follow(Search* search, List* written, List* called, const char* by) {
  Analysis* const a = search->a;
  ListCell* cell;
  foreach (cell, written) {
    Oid const table = lfirst_oid(cell);
    bool const own = by != nullptr && a->trigger && list_length(a->tables) == 1 && linitial_oid(a->tables) == table;
    if (own) Visit(search, a->name, by);
    List* names = NIL;
    EachMarker(table, [&](Oid, char* name) { names = lappend(names, name); });
    ListCell* inner;
    foreach (inner, names) {
      auto* const name = static_cast<char*>(lfirst(inner));
      if (by != nullptr || strcmp(name, a->name) != 0) Visit(search, name, by == nullptr ? name : by);
    }
  }
  foreach (cell, called) Visit(search, static_cast<char*>(lfirst(cell)), by == nullptr ? static_cast<char*>(lfirst(cell)) : by);
}

}  // namespace

Oid FindDeployed(const char* name) {
  Oid const schema = get_namespace_oid("dadbs_contract", true);
  if (!OidIsValid(schema)) return InvalidOid;
  CatCList* const list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
  Oid found = InvalidOid;
  for (int i = 0; i < list->n_members; i++) {
    auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&list->members[i]->tuple));
    if (form->pronamespace == schema) found = form->oid;
  }
  ReleaseCatCacheList(list);
  return found;
}

List* TablesFiring(const char* name) {
  List* tables = NIL;
  if (name[0] != '\0')
    EachMarker(InvalidOid, [&](Oid table, char* fired) {
      if (strcmp(fired, name) == 0) tables = list_append_unique_oid(tables, table);
    });
  return tables;
}

void CheckCycles(Analysis* a) {
  a->line = 1;
  Search search = {a, NIL};
  Follow(&search, a->written, a->called, nullptr);
}

}  // namespace dadbs::pg::analysis
