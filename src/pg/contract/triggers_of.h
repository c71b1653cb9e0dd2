/*
 * triggers_of.h: the triggers that call a function, by the catalogs. Postgres code: raises by ereport.
 */
#pragma once

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc_d.h"
#include "catalog/pg_trigger.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
}

namespace dadbs::pg::contract {

// visit(HeapTuple, TupleDesc of pg_trigger) for each; the tuple is gone when it returns.
template <class F>
void EachTriggerOf(Oid function, F visit) {
  Relation const depend = table_open(DependRelationId, AccessShareLock);
  Relation const catalog = table_open(TriggerRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
  ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(function));
  SysScanDesc const scan = systable_beginscan(depend, DependReferenceIndexId, true, nullptr, 2, keys);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    auto* const form = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    if (form->classid != TriggerRelationId) continue;
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(form->objid));
    SysScanDesc const inner = systable_beginscan(catalog, TriggerOidIndexId, true, nullptr, 1, &key);
    if (HeapTuple const trigger = systable_getnext(inner); HeapTupleIsValid(trigger)) visit(trigger, RelationGetDescr(catalog));
    systable_endscan(inner);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  table_close(depend, AccessShareLock);
}

}  // namespace dadbs::pg::contract
