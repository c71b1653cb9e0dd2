/*
 * triggers.cpp: which triggers may run contracts, judged from the catalogs after the trigger was made, in the session and at the
 * position. A contract sees rows as the write set has them: after all of the transaction, without the statement that wrote them.
 */
#include "internal.h"

#include "dadbs/pg/approval.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace {

[[noreturn]] void RaiseMarker(const char* what, const char* hint) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("a trigger that runs a contract %s", what), hint != nullptr ? errhint("%s", hint) : 0));
  pg_unreachable();
}

void CheckShape(Form_pg_trigger form) {
  if (!TRIGGER_FOR_ROW(form->tgtype)) RaiseMarker("must be FOR EACH ROW", "A write set holds rows, not statements.");
  if (!TRIGGER_FOR_AFTER(form->tgtype)) RaiseMarker("must be AFTER", "It runs when the transaction's rows are in place.");
  if (form->tgattr.dim1 > 0)
    RaiseMarker("cannot be UPDATE OF columns", "A write set holds no SET list. Use WHEN (OLD.c IS DISTINCT FROM NEW.c).");
  if (form->tgnargs < 1) RaiseMarker("must name it", "EXECUTE FUNCTION dadbs.contract('name', ...)");
}

char* TextOrNull(HeapTuple tuple, AttrNumber column, TupleDesc columns) {
  bool is_null;
  Datum const value = heap_getattr(tuple, column, columns, &is_null);
  return is_null ? nullptr : TextDatumGetCString(value);
}

void CheckTuple(HeapTuple tuple, TupleDesc columns) {
  CheckShape(reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple)));
  bool no_old, no_new, is_null;
  (void)heap_getattr(tuple, Anum_pg_trigger_tgoldtable, columns, &no_old);
  (void)heap_getattr(tuple, Anum_pg_trigger_tgnewtable, columns, &no_new);
  if (!no_old || !no_new) RaiseMarker("cannot have transition tables", nullptr);
  const char* const condition = TextOrNull(tuple, Anum_pg_trigger_tgqual, columns);
  if (condition != nullptr && contain_mutable_functions(static_cast<Node*>(stringToNode(condition))))
    RaiseMarker("must have a WHEN of immutable functions", "Ask in the contract.");
  Datum const arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, columns, &is_null);
  const char* const name = VARDATA_ANY(DatumGetByteaPP(arguments));
  Oid const function = contract::FindContract(name);
  if (!OidIsValid(function))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" does not exist", name),
                    errhint("Deploy it first: SELECT dadbs.deploy_contract(...).")));
  if (get_func_rettype(function) != TRIGGEROID)
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("contract \"%s\" is not a trigger's", name),
                    errhint("Deploy it without arguments, and returning trigger.")));
}

}  // namespace

void CheckContractTrigger(Oid trigger, bool shared_table) {
  Relation const catalog = table_open(TriggerRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
  SysScanDesc const scan = systable_beginscan(catalog, TriggerOidIndexId, true, SnapshotSelf, 1, &key);
  HeapTuple const tuple = systable_getnext(scan);
  if (HeapTupleIsValid(tuple)) CheckProtection(tuple, RelationGetDescr(catalog), shared_table);
  if (HeapTupleIsValid(tuple) && reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgfoid == ContractMarker()) {
    if (!shared_table) RaiseMarker("must be on a shared table", nullptr);
    CheckTuple(tuple, RelationGetDescr(catalog));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

}  // namespace dadbs::pg
