/*
 * state.cpp: what goes on in this member now: held transactions, stages of the commit path, conflicts; and the functions by
 * which a session asks about its own transactions.
 *
 * Reads shared memory; each slot is copied under its mutex, so a row is consistent in itself.
 */
#include <string>

#include "dadbs/core/chain.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "miscadmin.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_held_transactions);
PG_FUNCTION_INFO_V1(dadbs_stage_stats);
PG_FUNCTION_INFO_V1(dadbs_conflict_stats);
PG_FUNCTION_INFO_V1(dadbs_last_transaction_id);
PG_FUNCTION_INFO_V1(dadbs_wait_for_height);
PG_FUNCTION_INFO_V1(dadbs_wait_for_position);
PG_FUNCTION_INFO_V1(dadbs_applied_height);
PG_FUNCTION_INFO_V1(dadbs_own_incarnation);
PG_FUNCTION_INFO_V1(dadbs_is_shared);
}

namespace dadbs::pg {
namespace {

void RequireShared() {
  if (!shared)
    throw PgError(kErrState, "dadbs is not loaded by shared_preload_libraries", "",
                  "Add shared_preload_libraries = 'dadbs' to postgresql.conf and restart the server.");
}

struct SlotCopy {
  SlotState state;
  bool doomed;
  HoldKind kind;
  int pid;
  uint64 xid;
  TimestampTz held_since, state_since;
  uint64 rows, height;
  uint32 index;
  core::TransactionId id;
};

SlotCopy CopySlot(BackendSlot* slot) {
  SlotCopy c;
  SpinLockAcquire(&slot->mutex);
  c.state = slot->state;
  c.doomed = slot->doomed;
  c.kind = slot->kind;
  c.pid = slot->pid;
  c.xid = U64FromFullTransactionId(slot->xid);
  c.held_since = slot->held_since;
  c.state_since = slot->state_since;
  c.rows = slot->rows_counted;
  c.height = slot->height;
  c.index = slot->index;
  c.id = {core::NodeId{slot->id_origin}, slot->id_incarnation, slot->id_number};
  SpinLockRelease(&slot->mutex);
  return c;
}

const char* StateName(SlotState state) {
  switch (state) {
    case SlotState::kIdle: return "idle";
    case SlotState::kCapturing: return "capturing";
    case SlotState::kHandedOver: return "ordering";
    case SlotState::kTurn: return "in turn";
    case SlotState::kCommitting: return "committing";
    case SlotState::kReleased: return "ordering, locks released";
    case SlotState::kDone: return "decided";
  }
  return "unknown";
}

// For what a held transaction waits, and for whom.
std::string WaitsFor(const SlotCopy& c, const std::string& consensus) {
  switch (c.state) {
    case SlotState::kCapturing: return "the capture worker";
    case SlotState::kHandedOver:
    case SlotState::kReleased:
      if (c.height != 0) return "its turn in block " + std::to_string(c.height);
      return consensus.empty() ? "its place in a block" : consensus;
    case SlotState::kTurn: return "the transactions before it in block " + std::to_string(c.height);
    default: return "";
  }
}

std::string ConsensusWaitsFor() {
  char text[kReasonBytes];
  LWLockAcquire(shared->lock, LW_SHARED);
  strlcpy(text, shared->waiting_for, sizeof(text));
  LWLockRelease(shared->lock);
  return text;
}

Datum HeldTransactions(FunctionCallInfo fcinfo) {
  RequireShared();
  ReturnSetInfo* const set = BeginSet(fcinfo);
  std::string const consensus = ConsensusWaitsFor();
  for (int i = 0; i < shared->slot_count; i++) {
    SlotCopy const c = CopySlot(SlotOf(i));
    if (c.state == SlotState::kIdle) continue;
    Row row;
    row.Int32(c.pid).Text(c.kind == HoldKind::kRows ? "rows" : c.kind == HoldKind::kLoneDdl ? "ddl" : "call").Text(StateName(c.state));
    if (c.id.number != 0) row.Text(core::ToString(c.id)); else row.Null();
    row.Time(c.held_since).Time(c.state_since).TextOrNull(WaitsFor(c, consensus)).Bool(c.doomed);
    row.Int64(static_cast<int64>(c.rows));
    if (c.height != 0) row.Int64(static_cast<int64>(c.height)).Int32(static_cast<int32>(c.index)); else row.Null().Null();
    row.Put(set);
  }
  return static_cast<Datum>(0);
}

Datum StageStats(FunctionCallInfo fcinfo) {
  static const char* const names[kStages] = {"capture", "batch",   "propose",      "prepare",      "commit",
                                             "journal", "certify", "wait for turn", "local commit", "apply"};
  RequireShared();
  ReturnSetInfo* const set = BeginSet(fcinfo);
  for (int i = 0; i < kStages; i++) {
    StageStat* const s = &shared->stages[i];
    uint64 const count = pg_atomic_read_u64(&s->count);
    uint64 const sum = pg_atomic_read_u64(&s->sum_us);
    Row()
        .Text(names[i])
        .Int64(static_cast<int64>(count))
        .Int64(count ? static_cast<int64>(sum / count) : 0)
        .Int64(static_cast<int64>(pg_atomic_read_u64(&s->max_us)))
        .Put(set);
  }
  return static_cast<Datum>(0);
}

Datum ConflictStats(FunctionCallInfo fcinfo) {
  static const char* const names[kConflictKinds] = {"key",      "base too old", "definition changed", "lock needed by the turn",
                                                    "rejected", "invalid",      "capture restarted"};
  RequireShared();
  ReturnSetInfo* const set = BeginSet(fcinfo);
  for (int i = 0; i < kConflictKinds; i++)
    Row().Text(names[i]).Int64(static_cast<int64>(pg_atomic_read_u64(&shared->conflicts[i]))).Put(set);
  return static_cast<Datum>(0);
}

int64 Milliseconds(Interval* interval) {
  return interval->time / 1000 + (static_cast<int64>(interval->day) + static_cast<int64>(interval->month) * 30) * 86'400'000;
}

Datum WaitFor(core::Prefix prefix, FunctionCallInfo fcinfo, int timeout_argument) {
  RequireShared();
  int64 const timeout_ms = PG_ARGISNULL(timeout_argument) ? -1 : Milliseconds(PG_GETARG_INTERVAL_P(timeout_argument));
  return BoolGetDatum(WaitForPosition(prefix, timeout_ms));
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_held_transactions(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return HeldTransactions(fcinfo); });
}

extern "C" Datum dadbs_stage_stats(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return StageStats(fcinfo); });
}

extern "C" Datum dadbs_conflict_stats(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return ConflictStats(fcinfo); });
}

extern "C" Datum dadbs_last_transaction_id(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    dadbs::core::TransactionId id;
    if (!shared || !LastTransactionId(&id)) {
      fcinfo->isnull = true;
      return static_cast<Datum>(0);
    }
    std::string const shown = dadbs::core::ToString(id);
    return Call([&] { return PointerGetDatum(MakeText(shown)); });
  });
}

// (height, timeout)
extern "C" Datum dadbs_wait_for_height(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    int64 const height = PG_GETARG_INT64(0);
    if (height < 0) throw PgError(ERRCODE_INVALID_PARAMETER_VALUE, "a height cannot be negative");
    return WaitFor(dadbs::core::PrefixWholeBlock(dadbs::core::Height{static_cast<uint64_t>(height)}), fcinfo, 1);
  });
}

// (height, index, timeout)
extern "C" Datum dadbs_wait_for_position(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    dadbs::core::Position const position{dadbs::core::Height{static_cast<uint64_t>(PG_GETARG_INT64(0))},
                                         static_cast<uint32_t>(PG_GETARG_INT32(1))};
    return WaitFor(dadbs::core::PrefixAfter(position), fcinfo, 2);
  });
}

extern "C" Datum dadbs_applied_height(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequireShared();
    return Int64GetDatum(static_cast<int64>(dadbs::core::WholeBlocks(Applied()).value));
  });
}

extern "C" Datum dadbs_own_incarnation(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    RequireShared();
    uint64 const incarnation = pg_atomic_read_u64(&shared->own_incarnation);
    pg_read_barrier();
    uint64 const height = pg_atomic_read_u64(&shared->own_incarnation_height);
    return Row().Int64(static_cast<int64>(incarnation)).Int64(static_cast<int64>(height)).Record(fcinfo);
  });
}

extern "C" Datum dadbs_is_shared(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return BoolGetDatum(shared && IsSharedRelation(PG_GETARG_OID(0))); });
}
