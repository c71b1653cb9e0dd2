/*
 * history_reader.cpp: see history_reader.h. Runs in the blocks worker. Heights whose block is not there yet, or not any more, end the
 * stream.
 */
#include "history_reader.h"

#include <algorithm>

#include "dadbs/core/encoding.h"
#include "dadbs/core/outcomes.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
}

namespace dadbs::pg {
namespace {

constexpr int kHeightsPerPiece = 256;

// Rows of a query about one height. Valid until the next one.
class RowsOf {
 public:
  RowsOf(const char* query, core::Height height) {
    Call([&] {
      Oid types[1] = {INT8OID};
      Datum values[1] = {Int64GetDatum(static_cast<int64>(height.value))};
      if (SPI_execute_with_args(query, 1, types, values, nullptr, true, 0) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", query);
    });
    table_ = SPI_tuptable;
    count_ = SPI_processed;
  }
  ~RowsOf() { SPI_freetuptable(table_); }
  RowsOf(const RowsOf&) = delete;
  RowsOf& operator=(const RowsOf&) = delete;
  uint64 count() const { return count_; }
  int64 Number(uint64 row, int column) const {
    bool null = false;
    return DatumGetInt64(SPI_getbinval(table_->vals[row], table_->tupdesc, column, &null));
  }
  core::Bytes Bytes(uint64 row, int column) const {
    bool null = false;
    Datum const value = SPI_getbinval(table_->vals[row], table_->tupdesc, column, &null);
    if (null) return {};
    varlena* const plain = Call([&] { return PG_DETOAST_DATUM_PACKED(value); });
    const auto* const bytes = reinterpret_cast<const uint8_t*>(VARDATA_ANY(plain));
    core::Bytes copy(bytes, bytes + VARSIZE_ANY_EXHDR(plain));
    if (plain != reinterpret_cast<varlena*>(DatumGetPointer(value))) pfree(plain);
    return copy;
  }
  std::string Text(uint64 row, int column) const {
    core::Bytes const bytes = Bytes(row, column);
    return {bytes.begin(), bytes.end()};
  }

 private:
  SPITupleTable* table_;
  uint64 count_;
};

core::Bytes OutcomesOf(core::Height height) {
  core::BlockOutcomes outcomes;
  outcomes.height = height;
  RowsOf const transactions("SELECT index::bigint, verdict::bigint, keys FROM dadbs_internal.transaction WHERE height = $1 ORDER BY index", height);
  for (uint64 row = 0; row < transactions.count(); row++)
    outcomes.transactions.push_back({static_cast<uint32_t>(transactions.Number(row, 1)), static_cast<core::Verdict>(transactions.Number(row, 2)),
                                     transactions.Bytes(row, 3)});
  RowsOf const effects("SELECT index::bigint, ordinal::bigint, contract::text, change FROM dadbs_internal.contract_effect WHERE height = $1"
                       " ORDER BY index, contract::text COLLATE \"C\", change, ordinal", height);
  for (uint64 row = 0; row < effects.count(); row++)
    outcomes.effects.push_back({static_cast<uint32_t>(effects.Number(row, 1)), static_cast<uint32_t>(effects.Number(row, 2)),
                                effects.Text(row, 3), effects.Bytes(row, 4)});
  return outcomes.Encode();
}

core::Bytes StoredAt(core::Height height, const RowsOf& blocks) {
  core::StoredBlock stored;
  stored.block = blocks.Bytes(0, 1);
  stored.certificate = blocks.Bytes(0, 2);
  RowsOf const batches("SELECT body FROM dadbs_internal.batch WHERE height = $1 ORDER BY item", height);
  for (uint64 row = 0; row < batches.count(); row++) stored.batch_bodies.push_back(batches.Bytes(row, 1));
  return stored.Encode();
}

core::Bytes Read(core::HistoryPart part, core::Height height) {
  RowsOf const blocks("SELECT body, certificate FROM dadbs_internal.block WHERE height = $1", height);
  if (blocks.count() == 0) return {};
  core::Writer w;
  w.Blob(part == core::HistoryPart::kOutcomes ? OutcomesOf(height) : StoredAt(height, blocks));
  return w.Take();
}

}  // namespace

const core::Bytes& HistoryReader::ElementOf(core::HistoryPart part, core::Height height) {
  if (element_.empty() || part != part_ || height != height_) {
    element_ = Read(part, height);
    part_ = part;
    height_ = height;
  }
  return element_;
}

core::HistoryMessage HistoryReader::Piece(const Order& order) {
  core::HistoryMessage piece{order.peers_number, core::Height{order.from}, order.offset, {}};
  core::Height const applied = core::WholeBlocks(Applied());  // before the snapshot: all that comes of these is in it
  BeginReading();
  for (int heights = 0; heights < kHeightsPerPiece && piece.next <= applied; heights++) {
    const core::Bytes& element = ElementOf(static_cast<core::HistoryPart>(order.part), piece.next);
    if (piece.offset >= element.size()) break;  // there is none, or nobody asks so
    uint64_t const taken = std::min<uint64_t>(element.size() - piece.offset, core::kHistoryPieceBytesMax - piece.bytes.size());
    auto const begin = element.begin() + static_cast<ptrdiff_t>(piece.offset);
    piece.bytes.insert(piece.bytes.end(), begin, begin + static_cast<ptrdiff_t>(taken));
    piece.offset += taken;
    if (piece.offset < element.size()) break;  // it is kept for the next piece
    piece.next = piece.next.next();
    piece.offset = 0;
  }
  EndReading();
  if (piece.offset == 0) element_ = {};
  return piece;
}

}  // namespace dadbs::pg
