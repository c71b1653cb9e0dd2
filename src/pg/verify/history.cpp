/*
 * history.cpp: see history.h. Three cursors run side by side: batches, verdicts of committed transactions, effects of contracts.
 */
#include "history.h"

#include <memory>
#include <vector>

#include "dadbs/core/chain.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr char kBatches[] =
    "SELECT height, first_index::bigint, body FROM dadbs_internal.batch ORDER BY height, item";
constexpr char kBlocks[] = "SELECT height, body FROM dadbs_internal.block ORDER BY height";
constexpr char kCommitted[] =
    "SELECT height, index::bigint FROM dadbs_internal.transaction WHERE verdict = 1 ORDER BY height, index";
constexpr char kEffects[] =
    "SELECT height, index::bigint, ordinal::bigint, change FROM dadbs_internal.contract_effect ORDER BY height, index, ordinal";

core::Position PositionOf(const Cursor& row) {
  return {core::Height{static_cast<uint64_t>(row.Number(1))}, static_cast<uint32_t>(row.Number(2))};
}

[[noreturn]] void Damaged(core::Position at, const char* what) {
  throw PgError(ERRCODE_DATA_CORRUPTED,
                "the history of this member is damaged at block " + std::to_string(at.height.value) + ": " + what, "",
                "dadbs.verify_chain() tells more.");
}

class Reading {
 public:
  Reading(Visitor* visitor, bool definitions_only)
      : visitor_(visitor), definitions_only_(definitions_only), blocks_(kBlocks, 100), committed_(kCommitted, 1000),
        effects_(definitions_only ? nullptr : new Cursor(kEffects, 100)) {}

  void Batch(core::Position first, core::ByteView body) {
    core::Reader r(body);
    uint32_t const count = r.U32();
    for (uint32_t i = 0; i < count && r.ok(); i++) {
      core::ByteView const write_set = r.Blob();
      if (!r.ok()) break;
      core::Position const at{first.height, first.index + i};
      while (!committed_.done() && PositionOf(committed_) < at) committed_.Next();
      if (!committed_.done() && PositionOf(committed_) == at) One(at, write_set);
      if (effects_) Effects(at);
    }
    if (!r.Done()) Damaged(first, "a batch cannot be decoded");
  }

 private:
  void One(core::Position at, core::ByteView write_set) {
    core::WriteSetHeader header;
    if (!core::ParseWriteSetHeader(write_set, &header)) Damaged(at, "a committed transaction cannot be decoded");
    if (definitions_only_ && (header.flags & core::kHasDdl) == 0) return;
    core::WriteSetView view;
    if (!core::ParseWriteSet(write_set, &view)) Damaged(at, "a committed transaction cannot be decoded");
    visitor_->Transaction(at, BlockTime(at), view);
  }

  int64 BlockTime(core::Position at) {
    int64 const height = static_cast<int64>(at.height.value);
    if (time_height_ == height) return time_us_;
    while (!blocks_.done() && blocks_.Number(1) < height) blocks_.Next();
    core::Block block;
    if (blocks_.done() || blocks_.Number(1) != height || !core::Block::Decode(blocks_.Bytes(2), &block))
      Damaged(at, "the block is missing or cannot be decoded");
    time_height_ = height;
    return time_us_ = block.header.time_us;
  }

  void Effects(core::Position at) {
    while (!effects_->done() && PositionOf(*effects_) < at) effects_->Next();
    for (; !effects_->done() && PositionOf(*effects_) == at; effects_->Next())
      visitor_->Effect(at, static_cast<uint32_t>(effects_->Number(3)), effects_->Bytes(4));
  }

  Visitor* visitor_;
  bool definitions_only_;
  Cursor blocks_, committed_;
  std::unique_ptr<Cursor> effects_;
  int64 time_height_ = 0, time_us_ = 0;
};

}  // namespace

Cursor::Cursor(const char* query, long rows_per_fetch) : rows_per_fetch_(rows_per_fetch) {
  portal_ = Call([&] {
    SPIPlanPtr const plan = SPI_prepare(query, 0, nullptr);
    if (plan == nullptr) elog(ERROR, "dadbs: query failed: %s", query);
    return SPI_cursor_open(nullptr, plan, nullptr, nullptr, true);
  });
  Fetch();
}

// An error ends the transaction, and the portal with it.
Cursor::~Cursor() {
  if (std::uncaught_exceptions() > 0) return;
  if (table_ != nullptr) SPI_freetuptable(table_);
  SPI_cursor_close(portal_);
}

void Cursor::Fetch() {
  Call([&] { SPI_cursor_fetch(portal_, true, rows_per_fetch_); });
  table_ = SPI_tuptable;
  count_ = SPI_processed;
  at_ = 0;
}

int64 Cursor::Number(int column) const {
  bool null = false;
  return DatumGetInt64(SPI_getbinval(table_->vals[at_], table_->tupdesc, column, &null));
}

core::ByteView Cursor::Bytes(int column) {
  bool null = false;
  Datum const value = SPI_getbinval(table_->vals[at_], table_->tupdesc, column, &null);
  if (null) return {};
  struct varlena* const plain = Call([&] { return PG_DETOAST_DATUM_PACKED(value); });
  if (plain != reinterpret_cast<struct varlena*>(DatumGetPointer(value))) {
    if (taken_ != nullptr) pfree(taken_);
    taken_ = plain;
  }
  return {reinterpret_cast<const uint8_t*>(VARDATA_ANY(plain)), VARSIZE_ANY_EXHDR(plain)};
}

std::string Cursor::Text(int column) {
  char* const text = Call([&] { return SPI_getvalue(table_->vals[at_], table_->tupdesc, column); });
  if (text == nullptr) return "";
  std::string result(text);
  pfree(text);
  return result;
}

void Cursor::Next() {
  if (taken_ != nullptr) pfree(taken_);
  taken_ = nullptr;
  if (++at_ < count_) return;
  Call([&] { SPI_freetuptable(table_); });
  table_ = nullptr;
  Fetch();
}

void ReadHistory(Visitor* visitor, bool definitions_only, const Progress& progress) {
  Reading reading(visitor, definitions_only);
  for (Cursor batches(kBatches, 4); !batches.done(); batches.Next()) {
    core::Position const first = PositionOf(batches);
    progress(batches.Number(1));
    reading.Batch(first, batches.Bytes(3));
    Call([] { CHECK_FOR_INTERRUPTS(); });
  }
}

}  // namespace dadbs::pg::verify
