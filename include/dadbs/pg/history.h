/*
 * history.h: the rows of dadbs_internal.* that record what was applied.
 *
 * They are plain heap and index inserts, without SPI, triggers or permission checks, usable from any backend inside its
 * transaction: the apply worker and a backend in its turn write them in the local transaction that carries the data, so
 * that both are there or neither is. The rows are hidden from capture by DoNotReplicateId (set and restored inside).
 * All functions throw PgError; none may be called where C++ frames must not be left by one.
 */
#pragma once

#include "dadbs/core/chain.h"
#include "dadbs/core/types.h"
#include "dadbs/pg/boundary.h"

namespace dadbs::pg {

struct TransactionRow {
  core::Position position;
  core::TransactionId id;
  uint64_t origin_xid = 0;      // 0: lone DDL
  core::Verdict verdict = core::Verdict::kUnknown;
  int sqlstate = 0;             // refused only
  std::string_view message;     // refused only
  core::ByteView keys;          // EncodeKeys of what it wrote; committed only
};

void WriteTransactionRow(const TransactionRow& row);

// The block's row and one row per batch: before the rows of its transactions.
void WriteBlock(const core::Block& block, const core::Certificate& certificate,
                std::span<const std::shared_ptr<const core::Batch>> batches);

// Any other table of dadbs_internal: one row, values in attribute order. Plain values only; runs Postgres code, so call
// it inside Call() or where no C++ object is alive.
void InsertInternalRow(const char* table, Datum* values, bool* nulls);

// Oid of a table of dadbs_internal, looked up once per process and after an invalidation.
Oid InternalTable(const char* table);

}  // namespace dadbs::pg
