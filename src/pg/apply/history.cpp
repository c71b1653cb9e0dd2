/*
 * history.cpp: the insert-only rows of dadbs_internal that say what was applied.
 *
 * Called by the apply worker for its runs and by a client's backend in its turn, always inside the local transaction
 * that carries the data. Inserts go straight to heap and indexes: no executor, no triggers, no permission check (the
 * tables are ours), nothing of the session's settings can interfere. DoNotReplicateId stands in the rows' WAL records
 * only while they are written, so that the transaction of a client stays decodable.
 */
#include <memory>
#include <string>

#include "dadbs/pg/history.h"

#include "dadbs/pg/errors.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr Size kPackedBytesMin = 64 << 10;

bytea* NewBytea(size_t size) {
  auto* const result = static_cast<bytea*>(MemoryContextAllocHuge(CurrentMemoryContext, VARHDRSZ + size));
  SET_VARSIZE(result, VARHDRSZ + size);
  return result;
}

Datum ByteaDatum(core::ByteView bytes) {
  bytea* const result = NewBytea(bytes.size());
  if (!bytes.empty()) memcpy(VARDATA(result), bytes.data(), bytes.size());
  return PointerGetDatum(result);
}

char* PutU32(char* at, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<char>(v >> shift);
  return at;
}

// u32 count, count x blob: written in place, since a batch may have hundreds of megabytes.
Datum BatchBody(const core::Batch& batch) {
  size_t size = 4;
  for (const core::Bytes& ws : batch.write_sets) size += 4 + ws.size();
  bytea* const result = NewBytea(size);
  char* at = PutU32(VARDATA(result), static_cast<uint32_t>(batch.write_sets.size()));
  for (const core::Bytes& ws : batch.write_sets) {
    at = PutU32(at, static_cast<uint32_t>(ws.size()));
    memcpy(at, ws.data(), ws.size());
    at += ws.size();
  }
  return PointerGetDatum(result);
}

// A large value is compressed before a row is made of it, not after: the row's copy of it is as small as what is stored.
// Where that gives nothing, null.
Datum Packed(FormData_pg_attribute* column, Datum value) {
  if (column->attlen != -1 || column->attstorage != TYPSTORAGE_EXTENDED) return 0;
  if (VARSIZE_ANY(DatumGetPointer(value)) < kPackedBytesMin) return 0;
  return toast_compress_datum(value, column->attcompression);
}

HeapTuple FormRow(Relation rel, const Datum* values, bool* nulls) {
  TupleDesc const columns = RelationGetDescr(rel);
  auto* const packed = static_cast<Datum*>(palloc0(sizeof(Datum) * columns->natts));
  auto* const stored = static_cast<Datum*>(palloc0(sizeof(Datum) * columns->natts));
  for (int i = 0; i < columns->natts; i++) {
    if (nulls[i]) continue;
    packed[i] = Packed(TupleDescAttr(columns, i), values[i]);
    stored[i] = packed[i] != 0 ? packed[i] : values[i];
  }
  HeapTuple const row = heap_form_tuple(columns, stored, nulls);
  for (int i = 0; i < columns->natts; i++)
    if (packed[i] != 0) pfree(DatumGetPointer(packed[i]));
  pfree(stored);
  pfree(packed);
  return row;
}

void InsertBatch(core::Height height, int item, uint32_t first_index, const core::Batch& batch) {
  const core::BatchHeader& h = batch.header;
  Datum values[] = {Int64GetDatum(height.value), Int32GetDatum(item), Int32GetDatum(first_index),
                    Int16GetDatum(h.origin.value), Int64GetDatum(h.incarnation), Int64GetDatum(h.first_number),
                    Int32GetDatum(h.count), BatchBody(batch)};
  bool nulls[lengthof(values)] = {};
  InsertInternalRow("batch", values, nulls);
  pfree(DatumGetPointer(values[7]));
}

}  // namespace

Oid InternalTable(const char* table) {
  Oid const space = get_namespace_oid("dadbs_internal", true);
  Oid const result = OidIsValid(space) ? get_relname_relid(table, space) : InvalidOid;
  if (!OidIsValid(result))
    ereport(ERROR, (errcode(kErrHalted), errmsg("table dadbs_internal.%s does not exist", table),
                    errhint("Is the extension dadbs still there in this database?")));
  return result;
}

void InsertInternalRow(const char* table, Datum* values, bool* nulls) {
  RepOriginId const origin = replorigin_session_origin;
  replorigin_session_origin = DoNotReplicateId;
  PG_TRY();
  {
    Relation rel = table_open(InternalTable(table), RowExclusiveLock);
    HeapTuple const tuple = FormRow(rel, values, nulls);
    // For catalogs, but right for any table whose indexes have neither expressions nor predicates.
    CatalogTupleInsert(rel, tuple);
    heap_freetuple(tuple);
    table_close(rel, NoLock);
  }
  PG_FINALLY();
  {
    replorigin_session_origin = origin;
  }
  PG_END_TRY();
}

void WriteTransactionRow(const TransactionRow& row) {
  std::string const message(row.message);
  Call([&] {
    Datum values[11] = {};
    bool nulls[lengthof(values)] = {};
    values[0] = Int64GetDatum(row.position.height.value);
    values[1] = Int32GetDatum(row.position.index);
    values[2] = Int16GetDatum(row.id.origin.value);
    values[3] = Int64GetDatum(row.id.incarnation);
    values[4] = Int64GetDatum(row.id.number);
    values[5] = Int64GetDatum(row.origin_xid);
    values[6] = Int16GetDatum(static_cast<int16>(row.verdict));
    nulls[7] = nulls[8] = row.sqlstate == 0;
    if (row.sqlstate != 0) {
      values[7] = CStringGetTextDatum(unpack_sql_state(row.sqlstate));
      values[8] = CStringGetTextDatum(message.c_str());
    }
    nulls[9] = row.verdict != core::Verdict::kCommitted;
    if (!nulls[9]) values[9] = ByteaDatum(row.keys);
    values[10] = TimestampTzGetDatum(GetCurrentTimestamp());
    InsertInternalRow("transaction", values, nulls);
  });
}

void WriteBlock(const core::Block& block, const core::Certificate& certificate,
                std::span<const std::shared_ptr<const core::Batch>> batches) {
  core::Bytes const body = block.Encode();
  core::Bytes const signatures = certificate.Encode();
  core::Digest const hash = block.header.hash();
  Call([&] {
    Datum values[] = {Int64GetDatum(block.header.height.value), ByteaDatum(hash.view()), ByteaDatum(body),
                      ByteaDatum(signatures), TimestampTzGetDatum(GetCurrentTimestamp())};
    bool nulls[lengthof(values)] = {};
    InsertInternalRow("block", values, nulls);
    size_t next_batch = 0;
    uint32_t index = 0;
    for (size_t item = 0; item < block.items.size(); item++) {
      if (!std::holds_alternative<core::BatchHeader>(block.items[item])) continue;
      const core::Batch& batch = *batches[next_batch++];
      InsertBatch(block.header.height, static_cast<int>(item), index, batch);
      index += batch.header.count;
    }
  });
}

}  // namespace dadbs::pg
