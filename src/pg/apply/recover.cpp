/*
 * recover.cpp: see recover.h. Read with SPI: nothing here is on the commit path.
 */
#include "recover.h"

#include <string>

#include "dadbs/pg/errors.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace {

constexpr long kRowsPerFetch = 1000;

void Query(const std::string& sql) {
  const char* const text = sql.c_str();
  Call([&] {
    if (SPI_execute(text, true, 0) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", text);
  });
}

int64 NumberAt(uint64 row, int column, int64 otherwise) {
  bool null = false;
  Datum const value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null);
  return null ? otherwise : DatumGetInt64(value);
}

std::string TextAt(uint64 row, int column) {
  char* const text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
  return text != nullptr ? text : "";
}

// One row of the history into the index. The bytes are the server's own, so what does not decode is damage.
void RecordRow(core::Certifier* index, uint64 row) {
  core::Position const position{core::Height{static_cast<uint64_t>(NumberAt(row, 1, 0))},
                                static_cast<uint32_t>(NumberAt(row, 2, 0))};
  bool null = false;
  Datum const value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 3, &null);
  bytea* const bytes = null ? nullptr : Call([&] { return DatumGetByteaPP(value); });
  core::KeyList keys;
  if (bytes == nullptr ||
      !core::DecodeKeys({reinterpret_cast<const uint8_t*>(VARDATA_ANY(bytes)), VARSIZE_ANY_EXHDR(bytes)}, &keys))
    throw PgError(ERRCODE_DATA_CORRUPTED, "the stored keys of height " + std::to_string(position.height.value) + ", index " +
                                  std::to_string(position.index) + " are damaged");
  index->BeginBlock(position.height);
  index->Record(keys, position);
}

Answer AnswerOf(int64 verdict, std::string sqlstate, std::string message) {
  if (verdict == static_cast<int64>(core::Verdict::kCommitted)) return {Outcome::kCommitted, 0, "", "", ""};
  int const code = sqlstate.size() == 5
                       ? MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])
                       : ERRCODE_INTERNAL_ERROR;
  return {Outcome::kRefused, code, std::move(message), "", code == kErrConflict ? "Retry the transaction." : ""};
}

}  // namespace

Recovered RecoverPosition() {
  Recovered r;
  BeginReading();
  Query(
      "SELECT height, (SELECT coalesce(sum(transaction_count), 0) FROM dadbs_internal.batch x WHERE x.height = "
      "b.height),"
      " (SELECT max(index)::bigint FROM dadbs_internal.transaction t WHERE t.height = b.height)"
      " FROM dadbs_internal.block b ORDER BY height DESC LIMIT 1");
  if (SPI_processed > 0) {
    core::Height const height{static_cast<uint64_t>(NumberAt(0, 1, 0))};
    int64 const count = NumberAt(0, 2, 0);
    int64 const done = NumberAt(0, 3, -1) + 1;
    bool const whole = done == count;
    DADBS_CHECK(done <= count);
    r.whole = whole ? height : height.prev();
    r.partial = whole ? 0 : static_cast<uint32_t>(done);
    r.block_written = !whole;
    r.applied = whole ? core::PrefixWholeBlock(height) : core::Prefix{height.value << 20 | static_cast<uint64_t>(done)};
  } else {
    r.applied = core::PrefixWholeBlock(core::Height{0});
  }
  EndReading();
  return r;
}

core::Certifier RebuildCertifier(const Recovered& recovered) {
  core::Certifier index;
  core::Height const next = recovered.whole.next();
  std::string const sql =
      "SELECT height, index::bigint, keys FROM dadbs_internal.transaction WHERE verdict = 1 AND height >= " +
      std::to_string(core::Certifier::RebuildFrom(next).value) + " ORDER BY height, index";
  BeginReading();
  const char* const text = sql.c_str();
  Portal const cursor = Call([&] {
    SPIPlanPtr const plan = SPI_prepare(text, 0, nullptr);
    if (plan == nullptr) elog(ERROR, "dadbs: query failed: %s", text);
    return SPI_cursor_open(nullptr, plan, nullptr, nullptr, true);
  });
  for (;;) {
    Call([&] { SPI_cursor_fetch(cursor, true, kRowsPerFetch); });
    if (SPI_processed == 0) break;
    for (uint64 row = 0; row < SPI_processed; row++) RecordRow(&index, row);
    Call([] { SPI_freetuptable(SPI_tuptable); });
  }
  Call([&] { SPI_cursor_close(cursor); });
  EndReading();
  return index;
}

void AnswerFromHistory(core::NodeId self) {
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    SpinLockAcquire(&slot->mutex);
    bool const waits = slot->state == SlotState::kHandedOver || slot->state == SlotState::kReleased;
    LocalWaiter const waiter{procno, slot->hold};
    core::TransactionId const id{core::NodeId{slot->id_origin}, slot->id_incarnation, slot->id_number};
    SpinLockRelease(&slot->mutex);
    if (!waits || id.origin != self || id.number == 0) continue;
    BeginReading();
    Query(
        "SELECT t.verdict::bigint, t.sqlstate, t.message FROM dadbs_internal.batch b JOIN dadbs_internal.transaction t"
        " ON t.height = b.height AND t.number = " +
        std::to_string(id.number) +
        " AND t.origin = b.origin"
        " AND t.incarnation = b.incarnation WHERE b.origin = " +
        std::to_string(id.origin.value) + " AND b.incarnation = " + std::to_string(id.incarnation) +
        " AND b.first_number <= " + std::to_string(id.number) + " AND b.first_number + b.transaction_count > " +
        std::to_string(id.number));
    if (SPI_processed > 0) AnswerWaiter(waiter, AnswerOf(NumberAt(0, 1, 0), TextAt(0, 2), TextAt(0, 3)));
    EndReading();
  }
}

}  // namespace dadbs::pg
