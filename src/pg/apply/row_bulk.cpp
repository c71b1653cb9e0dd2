/*
 * row_bulk.cpp: many inserts into one table, put into it together. Part of row_apply.cpp.
 *
 * A load of a million rows is a million 'I' changes. From the 65th in a row on they are gathered, checked one by one as
 * always, and written as COPY writes them: one page and one WAL record for many rows, their index entries after that.
 * What comes next of any other kind, or of another table, finds them in place: they are written before it, and at the
 * end. Tables with foreign keys are left out: each of their rows is looked for right after it is there. So are those with
 * contracts, which are told where each row is.
 *
 * No check of a row can see another one (expressions read no tables), so it makes no difference when it is written; of
 * two failures in one write set another one may come first than row by row, on every member alike.
 *
 * A gathered row keeps a copy of its values: what its checks have left in per-tuple memory goes with the next row.
 */
#include <utility>

#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/sharing.h"
#include "row_state.h"

extern "C" {
#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/rel.h"
}

namespace dadbs::pg {

constexpr int kGatherAfterInserts = 64;
constexpr int kGatheredRowsMax = 1000;
constexpr size_t kGatheredBytesMax = 256u << 10;

struct GatheredRows {
  BulkInsertState bulk;
  int count;
  size_t bytes;
  TupleTableSlot* slots[kGatheredRowsMax];  // the first ones that were ever needed
};

bool MayGather(RowApplierState* state, OpenRelation* rel) {
  if (state->last_insert != rel) state->inserts_in_a_row = 0;
  state->last_insert = rel;
  return ++state->inserts_in_a_row > kGatherAfterInserts && rel->plan->foreign_key_count == 0 &&
         !rel->plan->has_contracts;
}

void BeginGathered(RowApplierState* state, OpenRelation* rel) {
  MemoryContext const before = MemoryContextSwitchTo(state->context);
  if (rel->gathered == nullptr) rel->gathered = static_cast<GatheredRows*>(palloc0(sizeof(GatheredRows)));
  GatheredRows* const rows = rel->gathered;
  if (rows->bulk == nullptr) rows->bulk = GetBulkInsertState();
  TupleTableSlot*& slot = rows->slots[rows->count];
  if (slot == nullptr) slot = MakeSingleTupleTableSlot(RelationGetDescr(rel->relation), &TTSOpsVirtual);
  MemoryContextSwitchTo(before);
  std::swap(rel->new_slot, slot);
}

void EndGathered(RowApplierState* state, OpenRelation* rel, const core::Tuple& tuple) {
  GatheredRows* const rows = rel->gathered;
  ExecMaterializeSlot(rel->new_slot);
  std::swap(rel->new_slot, rows->slots[rows->count++]);
  for (const core::ColumnValue& value : tuple) rows->bytes += value.bytes.size();
  state->gathering = rel;
  if (rows->count == kGatheredRowsMax || rows->bytes >= kGatheredBytesMax) WriteGathered(state);
}

void WriteGathered(RowApplierState* state) {
  OpenRelation* const rel = state->gathering;
  if (rel == nullptr) return;
  state->gathering = nullptr;
  GatheredRows* const rows = rel->gathered;
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  RestrictTo(rel->relation);
  EnterExpression();
  MemoryContext const before = MemoryContextSwitchTo(GetPerTupleMemoryContext(state->estate));
  table_multi_insert(rel->relation, rows->slots, rows->count, GetCurrentCommandId(true), 0, rows->bulk);
  for (int i = 0; i < rows->count; i++) {
    std::swap(rel->new_slot, rows->slots[i]);
    InsertIndexEntries(state, rel, false);
    std::swap(rel->new_slot, rows->slots[i]);
    ExecClearTuple(rows->slots[i]);
    CHECK_FOR_INTERRUPTS();
  }
  rows->count = 0;
  rows->bytes = 0;
  Step();
  MemoryContextSwitchTo(before);
  ResetPerTupleExprContext(state->estate);
  LeaveExpression();
  SetUserIdAndSecContext(user, security);
}

void CloseGathered(OpenRelation* rel) {
  if (rel->gathered == nullptr) return;
  for (TupleTableSlot* slot : rel->gathered->slots)
    if (slot != nullptr) ExecDropSingleTupleTableSlot(slot);
  if (rel->gathered->bulk) FreeBulkInsertState(rel->gathered->bulk);
}

}  // namespace dadbs::pg
