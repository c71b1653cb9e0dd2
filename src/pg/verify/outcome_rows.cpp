/*
 * outcome_rows.cpp: see outcome_rows.h. Runs inside SPI, in the transaction of the caller.
 */
#include "outcome_rows.h"

#include <algorithm>
#include <string>

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/records.h"
#include "subtransaction.h"

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
  if (SPI_processed == 0) return {};
  bool null = false;
  Datum const value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
  core::ByteView const bytes = BytesArgument(Call([&] { return DatumGetByteaPP(value); }));
  return {bytes.begin(), bytes.end()};
}

[[noreturn]] void CannotMend(core::Position at, const std::string& what) {
  throw PgError(kErrNotSupported,
                "what came of position " + std::to_string(at.index) + " of block " + std::to_string(at.height.value) + " cannot be mended",
                "It is " + what + ", which ended otherwise here than in the group.",
                "Set this member up anew: a base backup of it from before that block, or of its server anew (docs/operations.md).");
}

// Rows can be made anew from what is in the history. What definitions, deployments, approvals, votes and evidence have done, or not done, cannot.
void CheckCanMend(core::Position at) {
  core::Bytes const write_set = WriteSetAt(at);
  core::WriteSetView view;
  if (write_set.empty() || !core::ParseWriteSet(write_set, &view)) return;  // nothing that could have been executed
  if (view.kind == core::WriteSetKind::kVote) CannotMend(at, "a vote on a position");
  if (view.kind == core::WriteSetKind::kEvidence) CannotMend(at, "evidence");
  for (const core::ChangeView& change : view.changes) {
    core::Change decoded;
    if (!core::DecodeChange(change.bytes, &decoded)) continue;
    if (std::holds_alternative<core::DdlChange>(decoded)) CannotMend(at, "a definition");
    if (std::holds_alternative<core::ContractChange>(decoded)) CannotMend(at, "a contract's deployment");
    if (std::holds_alternative<core::ProposalChange>(decoded)) CannotMend(at, "a proposal or an approval");
  }
}

void WriteTransaction(core::Height height, const core::BlockOutcomes::Transaction& t) {
  Call([&] {
    auto const keys = PointerGetDatum(MakeBytea(t.keys));
    char const nulls[] = {' ', ' ', ' ', t.keys.empty() ? 'n' : ' ', ' ', '\0'};
    Oid types[] = {INT8OID, INT4OID, INT2OID, BYTEAOID, TEXTOID};
    Datum values[] = {Height(height), Index(t.index), Int16GetDatum(static_cast<int16>(t.verdict)), keys, CStringGetTextDatum(kMended)};
    constexpr char kWrite[] =
        "INSERT INTO dadbs_internal.transaction"
        " SELECT $1, $2, b.origin, b.incarnation, b.first_number + ($2 - b.first_index), coalesce(d.origin_xid, 0), $3, NULL, $5, $4, now()"
        " FROM dadbs_internal.batch b, dadbs_internal.decode_batch(b.body, b.first_index) d WHERE b.height = $1 AND d.index = $2"
        " ON CONFLICT (height, index) DO UPDATE SET verdict = $3, sqlstate = NULL, message = $5, keys = $4";
    if (SPI_execute_with_args(kWrite, 5, types, values, nulls, false, 0) != SPI_OK_INSERT) elog(ERROR, "dadbs: query failed: %s", kWrite);
    if (SPI_processed != 1) ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("block " UINT64_FORMAT " of the history is damaged", height.value),
                                            errhint("dadbs.verify_chain() tells more.")));
  });
}

void WriteEffects(core::Height height, const core::BlockOutcomes& theirs) {
  Execute("DELETE FROM dadbs_internal.contract_effect WHERE height = $1", {INT8OID}, {Height(height)}, nullptr, SPI_OK_DELETE);
  for (const core::BlockOutcomes::Effect& e : theirs.effects)
    Call([&] {
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

void WriteOutcomes(const core::BlockOutcomes& ours, const core::BlockOutcomes& theirs) {
  core::Height const height = theirs.height;
  for (const auto& t : theirs.transactions) {
    auto const same_index = [&](const auto& other) { return other.index == t.index; };
    auto const mine = std::find_if(ours.transactions.begin(), ours.transactions.end(), same_index);
    if (mine != ours.transactions.end() && *mine == t) continue;
    bool const is_known = mine != ours.transactions.end() && mine->verdict != core::Verdict::kUnknown;  // else the row was lost, not what came of it
    if (is_known && mine->verdict != t.verdict) CheckCanMend({height, t.index});
    WriteTransaction(height, t);
  }
  for (const auto& t : ours.transactions)
    if (std::none_of(theirs.transactions.begin(), theirs.transactions.end(), [&](const auto& other) { return other.index == t.index; }))
      Execute("DELETE FROM dadbs_internal.transaction WHERE height = $1 AND index = $2", {INT8OID, INT4OID}, {Height(height), Index(t.index)}, nullptr,
              SPI_OK_DELETE);
  if (ours.effects != theirs.effects) WriteEffects(height, theirs);
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
