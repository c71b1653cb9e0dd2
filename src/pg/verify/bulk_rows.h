/*
 * bulk_rows.h: rows into a table that nobody else writes, many with one call (heap_multi_insert), as COPY does.
 *
 * Postgres code: ereport, and no destructor; an error ends the transaction, and what is here with it.
 */
#pragma once

extern "C" {
#include "postgres.h"

#include "access/heapam.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
}

namespace dadbs::pg::verify {

class BulkRows {
 public:
  // In the current memory context. `into` stays open until Finish(); `options` as of heap_multi_insert, which knows no HEAP_INSERT_NO_LOGICAL.
  void Begin(Relation into, int options);
  // By attribute number - 1; what they refer to is copied.
  void Add(const Datum* values, const bool* nulls);
  void Finish();

 private:
  void Flush();

  Relation into_ = nullptr;
  int options_ = 0;
  BulkInsertState state_ = nullptr;
  MemoryContext memory_ = nullptr, batch_ = nullptr;
  TupleTableSlot** slots_ = nullptr;
  int count_ = 0, made_ = 0;
  size_t bytes_ = 0;
};

}  // namespace dadbs::pg::verify
