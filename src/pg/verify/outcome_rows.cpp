/*
 * outcome_rows.cpp: see outcome_rows.h. Runs inside SPI, in the transaction of the caller.
 */
#include "outcome_rows.h"

#include <algorithm>
#include <exception>
#include <string>

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/subtransaction.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr size_t kChangesLookedAtMax = 10'000;
constexpr char kMended[] = "the outcome that the group has come to, in the place of this member's";

void Execute(const char* text, std::initializer_list<Oid> types, std::initializer_list<Datum> values, const char* nulls, int expected) {
  Call([&] {
    if (SPI_execute_with_args(text, static_cast<int>(types.size()), const_cast<Oid*>(types.begin()), const_cast<Datum*>(values.begin()), nulls, false,
                              0) != expected)
      elog(ERROR, "dadbs: query failed: %s", text);
  });
}

Datum Height(core::Height height) { return Int64GetDatum(static_cast<int64>(height.value)); }
Datum Index(uint32_t index) { return Int32GetDatum(static_cast<int32>(index)); }

// Empty: the history does not have the batch.
core::Bytes WriteSetAt(core::Position at) {
  constexpr char kQuery[] =
      "SELECT d.write_set FROM dadbs_internal.batch b, dadbs_internal.decode_batch(b.body, b.first_index) d WHERE b.height = $1 AND d.index = $2";
  Call([&] {
    Oid types[] = {INT8OID, INT4OID};
    Datum values[] = {Height(at.height), Index(at.index)};
    if (SPI_execute_with_args(kQuery, 2, types, values, nullptr, true, 1) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", kQuery);
  });
  SPITupleTable* const table = SPI_tuptable;
  core::Bytes write_set;
  if (SPI_processed > 0) {
    bool null = false;
    Datum const value = SPI_getbinval(table->vals[0], table->tupdesc, 1, &null);
    core::ByteView const bytes = BytesArgument(Call([&] { return DatumGetByteaPP(value); }));
    write_set.assign(bytes.begin(), bytes.end());
  }
  Call([&] { SPI_freetuptable(table); });
  return write_set;
}

[[noreturn]] void CannotMend(core::Position at, const std::string& what) {
  throw PgError(kErrNotSupported,
                "what came of position " + std::to_string(at.index) + " of block " + std::to_string(at.height.value) + " cannot be mended",
                "It is " + what + ", which ended otherwise here than in the group.",
                "Set this member up anew: a base backup of it from before that block, or of its server anew (docs/operations.md).");
}

// Rows can be made anew from what is in the history. What definitions, deployments, approvals, votes and evidence have done, or not done, cannot;
// nor is it known here whether the nonce of a signed call counts as used.
void CheckCanMend(core::Position at, core::ByteView write_set) {
  core::WriteSetView view;
  if (!core::ParseWriteSet(write_set, &view)) return;  // nothing that could have been executed
  if (view.kind == core::WriteSetKind::kVote) CannotMend(at, "a vote on a position");
  if (view.kind == core::WriteSetKind::kEvidence) CannotMend(at, "evidence");
  for (const core::ChangeView& change : view.changes) {
    core::Change decoded;
    if (!core::DecodeChange(change.bytes, &decoded)) continue;
    if (std::holds_alternative<core::DdlChange>(decoded)) CannotMend(at, "a definition");
    if (std::holds_alternative<core::ContractChange>(decoded)) CannotMend(at, "a contract's deployment");
    if (std::holds_alternative<core::ProposalChange>(decoded)) CannotMend(at, "a proposal or an approval");
    if (const auto* const call = std::get_if<core::CallChange>(&decoded); call != nullptr && call->is_signed) CannotMend(at, "a signed call");
  }
}

// The transactions of one block, as its batches give them, by index.
class BlockRows {
 public:
  BlockRows(core::Height height, MemoryContext context) : height_(height) {
    Call([&] {
      constexpr char kQuery[] =
          "SELECT d.index, b.origin, b.incarnation, b.first_number + (d.index - b.first_index), coalesce(d.origin_xid, 0), d.write_set"
          " FROM dadbs_internal.batch b, dadbs_internal.decode_batch(b.body, b.first_index) d WHERE b.height = $1 ORDER BY d.index";
      Oid types[] = {INT8OID};
      Datum values[] = {Height(height)};
      MemoryContextSwitchTo(context);
      if (SPI_execute_with_args(kQuery, 1, types, values, nullptr, true, 0) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", kQuery);
    });
    table_ = SPI_tuptable;
    count_ = SPI_processed;
  }
  ~BlockRows() {
    if (std::uncaught_exceptions() == 0) SPI_freetuptable(table_);
  }
  BlockRows(const BlockRows&) = delete;
  BlockRows& operator=(const BlockRows&) = delete;
  // Throws where the batches do not have it.
  HeapTuple At(uint32_t index) const {
    if (index >= count_)
      throw PgError(ERRCODE_DATA_CORRUPTED, "block " + std::to_string(height_.value) + " of the history is damaged", "", "dadbs.verify_chain() tells more.");
    return table_->vals[index];
  }
  Datum Value(uint32_t index, int column) const {
    bool null = false;
    return SPI_getbinval(At(index), table_->tupdesc, column, &null);
  }

 private:
  core::Height height_;
  SPITupleTable* table_;
  uint64 count_;
};

void WriteTransaction(core::Height height, const core::BlockOutcomes::Transaction& t, const BlockRows& rows, MemoryContext context) {
  (void)rows.At(t.index);
  Call([&] {
    MemoryContextSwitchTo(context);
    char const nulls[] = {' ', ' ', ' ', t.keys.empty() ? 'n' : ' ', ' ', ' ', ' ', ' ', ' ', '\0'};
    Oid types[] = {INT8OID, INT4OID, INT2OID, BYTEAOID, TEXTOID, INT2OID, INT8OID, INT8OID, INT8OID};
    Datum values[] = {Height(height), Index(t.index), Int16GetDatum(static_cast<int16>(t.verdict)), PointerGetDatum(MakeBytea(t.keys)),
                      CStringGetTextDatum(kMended), rows.Value(t.index, 2), rows.Value(t.index, 3), rows.Value(t.index, 4), rows.Value(t.index, 5)};
    constexpr char kWrite[] =
        "INSERT INTO dadbs_internal.transaction (height, index, origin, incarnation, number, origin_xid, verdict, message, keys, applied_at)"
        " VALUES ($1, $2, $6, $7, $8, $9, $3, $5, $4, now())"
        " ON CONFLICT (height, index) DO UPDATE SET verdict = $3, sqlstate = NULL, message = $5, keys = $4";
    if (SPI_execute_with_args(kWrite, lengthof(types), types, values, nulls, false, 0) != SPI_OK_INSERT) elog(ERROR, "dadbs: query failed: %s", kWrite);
  });
}

void WriteEffects(core::Height height, const core::BlockOutcomes& theirs, MemoryContext context) {
  Execute("DELETE FROM dadbs_internal.contract_effect WHERE height = $1", {INT8OID}, {Height(height)}, nullptr, SPI_OK_DELETE);
  for (const core::BlockOutcomes::Effect& e : theirs.effects)
    Call([&] {
      MemoryContextSwitchTo(context);
      Oid types[] = {INT8OID, INT4OID, INT4OID, TEXTOID, BYTEAOID};
      Datum values[] = {Height(height), Index(e.index), Index(e.ordinal), PointerGetDatum(MakeText(e.contract)), PointerGetDatum(MakeBytea(e.change))};
      constexpr char kWrite[] = "INSERT INTO dadbs_internal.contract_effect VALUES ($1, $2, $3, $4::name, $5)";
      if (SPI_execute_with_args(kWrite, 5, types, values, nullptr, false, 0) != SPI_OK_INSERT) elog(ERROR, "dadbs: query failed: %s", kWrite);
    });
}

bool HasOneOf(const core::WriteSetView& view, size_t change, const core::KeyList& wanted) {
  core::WriteSetView one = view;
  one.changes = {view.changes[change]};
  core::KeyList rows, schemas;
  if (!Try([&] { DeriveKeys(one, &rows, &schemas); })) return false;
  auto const is_wanted = [&](const core::KeyEntry& e) {
    return std::any_of(wanted.begin(), wanted.end(), [&](const core::KeyEntry& w) { return w.key == e.key; });
  };
  return std::any_of(rows.begin(), rows.end(), is_wanted);
}

}  // namespace

const char* NameOf(const Difference& difference) {
  if (!difference.effect.empty()) return "effects";
  return difference.here.verdict != difference.there.verdict ? "verdict" : "keys";
}

std::optional<int32> FindChange(const Difference& difference) {
  if (!difference.effect.empty()) return std::nullopt;
  core::Bytes const write_set = WriteSetAt(difference.position);
  core::WriteSetView view;
  if (write_set.empty() || !core::ParseWriteSet(write_set, &view) || view.changes.empty()) return std::nullopt;
  if (difference.here.verdict != difference.there.verdict) return 0;
  core::KeyList here, there, wanted;
  if (!core::DecodeKeys(difference.here.keys, &here) || !core::DecodeKeys(difference.there.keys, &there)) return std::nullopt;
  std::set_symmetric_difference(here.begin(), here.end(), there.begin(), there.end(), std::back_inserter(wanted));
  for (size_t i = 0; i < std::min(view.changes.size(), kChangesLookedAtMax); i++)
    if (HasOneOf(view, i, wanted)) return static_cast<int32>(i);
  return std::nullopt;
}

void WriteOutcomes(const core::BlockOutcomes& ours, const core::BlockOutcomes& theirs, MemoryContext context) {
  core::Height const height = theirs.height;
  std::optional<BlockRows> rows;
  size_t at = 0;
  auto const remove_until = [&](uint32_t index) {  // rows of this member's that no transaction has
    for (; at < ours.transactions.size() && ours.transactions[at].index < index; at++)
      Execute("DELETE FROM dadbs_internal.transaction WHERE height = $1 AND index = $2", {INT8OID, INT4OID},
              {Height(height), Index(ours.transactions[at].index)}, nullptr, SPI_OK_DELETE);
  };
  for (const auto& t : theirs.transactions) {
    remove_until(t.index);
    const auto* const mine = at < ours.transactions.size() && ours.transactions[at].index == t.index ? &ours.transactions[at++] : nullptr;
    if (mine != nullptr && *mine == t) continue;
    if (!rows) rows.emplace(height, context);
    bool const is_known = mine != nullptr && mine->verdict != core::Verdict::kUnknown;  // else the row was lost, not what came of it
    if (is_known && mine->verdict != t.verdict)
      CheckCanMend({height, t.index}, BytesArgument(Call([&] { return DatumGetByteaPP(rows->Value(t.index, 6)); })));
    WriteTransaction(height, t, *rows, context);
  }
  remove_until(UINT32_MAX);
  if (ours.effects != theirs.effects) WriteEffects(height, theirs, context);
}

void ReplaceDigests(core::Height from, core::Height height, const core::Digest& digest) {
  // The blocks worker writes one that it has computed before the workers began anew only where it sees that they need not (digest.cpp).
  Execute("LOCK TABLE dadbs_internal.state_digest IN SHARE ROW EXCLUSIVE MODE", {}, {}, nullptr, SPI_OK_UTILITY);
  Execute("DELETE FROM dadbs_internal.state_digest WHERE height > $1 OR height = $2", {INT8OID, INT8OID}, {Height(from), Height(height)}, nullptr,
          SPI_OK_DELETE);
  Call([&] {
    Oid types[] = {INT8OID, BYTEAOID};
    Datum values[] = {Height(height), PointerGetDatum(MakeBytea(digest.view()))};
    constexpr char kWrite[] = "INSERT INTO dadbs_internal.state_digest VALUES ($1, $2, now())";
    if (SPI_execute_with_args(kWrite, 2, types, values, nullptr, false, 0) != SPI_OK_INSERT) elog(ERROR, "dadbs: query failed: %s", kWrite);
  });
}

}  // namespace dadbs::pg::verify
