/*
 * limit.cpp: how many statements the contracts of one transaction may execute: a limit of the group, so that an endless loop ends
 * alike everywhere.
 *
 * It stands on the chain: kStatementsDefault, until a proposal that holds SELECT dadbs.set_contract_statement_limit(n) is executed
 * (steps.cpp, approval.cpp); from that position on it is n. There is no setting for it: a member that counted by another limit
 * would come to other verdicts.
 *
 * State: dadbs_internal.contract_limit, insert-only, written at positions. Read anew for each transaction that runs contracts:
 * what was remembered of it would outlive a local transaction that is rolled back and retried.
 */
#include "proposal.h"

#include "dadbs/pg/history.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_contract_statement_limit);
PG_FUNCTION_INFO_V1(dadbs_set_contract_statement_limit);
}

namespace dadbs::pg::contract {
namespace {

struct Limit {
  int64 number;  // of the change
  int64 statements;
};

Limit LastLimit() {
  Limit last = {0, static_cast<int64>(kStatementsDefault)};
  Relation const relation = table_open(InternalTable("contract_limit"), AccessShareLock);
  Relation const by = index_open(InternalTable("contract_limit_pkey"), AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc const scan = systable_beginscan_ordered(relation, by, snapshot, 0, nullptr);
  HeapTuple const tuple = systable_getnext_ordered(scan, BackwardScanDirection);
  if (HeapTupleIsValid(tuple)) {
    bool is_null;
    last.number = DatumGetInt64(heap_getattr(tuple, 1, RelationGetDescr(relation), &is_null));
    last.statements = DatumGetInt64(heap_getattr(tuple, 2, RelationGetDescr(relation), &is_null));
  }
  systable_endscan_ordered(scan);
  UnregisterSnapshot(snapshot);
  index_close(by, AccessShareLock);
  table_close(relation, AccessShareLock);
  return last;
}

}  // namespace

uint64 StatementLimit() { return static_cast<uint64>(LastLimit().statements); }

void CheckStatementLimit(int64 statements) {
  if (statements < kStatementLimitMin || statements > kStatementLimitMax)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the limit must be between " INT64_FORMAT " and " INT64_FORMAT " statements", kStatementLimitMin, kStatementLimitMax)));
}

void SetStatementLimit(int64 statements, const AtPosition& at) {
  CheckStatementLimit(statements);
  Datum values[4] = {Int64GetDatum(LastLimit().number + 1), Int64GetDatum(statements), Int64GetDatum(static_cast<int64>(at.position.height.value)),
                     Int32GetDatum(static_cast<int32>(at.position.index))};
  bool nulls[lengthof(values)] = {};
  InsertInternalRow("contract_limit", values, nulls);
  CommandCounterIncrement();
}

}  // namespace dadbs::pg::contract

using namespace dadbs::pg;

extern "C" Datum dadbs_contract_statement_limit(PG_FUNCTION_ARGS) {
  PG_RETURN_INT64(static_cast<int64>(contract::StatementLimit()));
}

// It is there to stand in proposals, and to say so.
extern "C" Datum dadbs_set_contract_statement_limit(PG_FUNCTION_ARGS) {
  int64 const statements = PG_GETARG_INT64(0);
  contract::CheckStatementLimit(statements);
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("the limit of contracts is changed by the group only"),
                  errhint("SELECT dadbs.propose('SELECT dadbs.set_contract_statement_limit(" INT64_FORMAT ")', 'why');", statements)));
  PG_RETURN_VOID();
}
