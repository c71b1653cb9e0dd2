/*
 * bulk_rows.cpp: see bulk_rows.h.
 */
#include "bulk_rows.h"

extern "C" {
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace dadbs::pg::verify {
namespace {

// As COPY (copyfrom.c): beyond that nothing is gained.
constexpr int kRowsMax = 1000;
constexpr size_t kBytesMax = 65'535;

}  // namespace

void BulkRows::Begin(Relation into, int options) {
  into_ = into;
  options_ = options;
  state_ = GetBulkInsertState();
  memory_ = AllocSetContextCreate(CurrentMemoryContext, "dadbs bulk rows", ALLOCSET_DEFAULT_SIZES);
  batch_ = AllocSetContextCreate(memory_, "dadbs batch of rows", ALLOCSET_DEFAULT_SIZES);
  slots_ = static_cast<TupleTableSlot**>(MemoryContextAlloc(memory_, sizeof(TupleTableSlot*) * kRowsMax));
}

void BulkRows::Add(const Datum* values, const bool* nulls) {
  TupleDesc const columns = RelationGetDescr(into_);
  MemoryContext const before = MemoryContextSwitchTo(memory_);
  if (count_ == made_) slots_[made_++] = MakeSingleTupleTableSlot(columns, &TTSOpsHeapTuple);
  MemoryContextSwitchTo(batch_);
  HeapTuple const row = heap_form_tuple(columns, const_cast<Datum*>(values), const_cast<bool*>(nulls));
  MemoryContextSwitchTo(before);
  ExecStoreHeapTuple(row, slots_[count_++], true);
  bytes_ += row->t_len;
  if (count_ == kRowsMax || bytes_ >= kBytesMax) Flush();
}

void BulkRows::Flush() {
  if (count_ == 0) return;
  MemoryContext const before = MemoryContextSwitchTo(batch_);
  heap_multi_insert(into_, slots_, count_, GetCurrentCommandId(true), options_, state_);
  MemoryContextSwitchTo(before);
  for (int i = 0; i < count_; i++) ExecClearTuple(slots_[i]);
  MemoryContextReset(batch_);
  count_ = 0;
  bytes_ = 0;
}

void BulkRows::Finish() {
  Flush();
  for (int i = 0; i < made_; i++) ExecDropSingleTupleTableSlot(slots_[i]);
  FreeBulkInsertState(state_);
  MemoryContextDelete(memory_);
}

}  // namespace dadbs::pg::verify
