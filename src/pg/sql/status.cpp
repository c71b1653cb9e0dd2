/*
 * status.cpp: how this member and the others are: rows for dadbs.status, dadbs.nodes and dadbs.catch_up, and waiting until it is ready.
 *
 * Everything is read from shared memory, where the consensus worker, the apply worker and the launcher publish it; a
 * copy is taken under the lock and turned into rows after it.
 */
#include <algorithm>
#include <memory>

#include "dadbs/core/chain.h"
#include "dadbs/core/quorum.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/settings.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_member_status);
PG_FUNCTION_INFO_V1(dadbs_node_status);
PG_FUNCTION_INFO_V1(dadbs_state_digests);
PG_FUNCTION_INFO_V1(dadbs_fault_counts);
PG_FUNCTION_INFO_V1(dadbs_catch_up_status);
PG_FUNCTION_INFO_V1(dadbs_wait_for_ready);
}

namespace dadbs::pg {
namespace {

constexpr long kReadyPoll_ms = 50;
constexpr int64 kNoticeInterval_us = 1'000'000;

struct Snapshot {
  MemberState state;
  std::string reason, waiting_for;
  std::vector<NodeStatus> nodes;
};

Snapshot TakeSnapshot() {
  auto const nodes = std::make_unique<NodeStatus[]>(kNodesShownMax);
  char reason[kReasonBytes], waiting_for[kReasonBytes];
  LWLockAcquire(shared->lock, LW_SHARED);
  MemberState const state = GetMemberState();
  strlcpy(reason, shared->member_reason, sizeof(reason));
  strlcpy(waiting_for, shared->waiting_for, sizeof(waiting_for));
  uint32 const count = std::min<uint32>(pg_atomic_read_u32(&shared->node_count), kNodesShownMax);
  memcpy(static_cast<void*>(nodes.get()), shared->nodes, sizeof(NodeStatus) * count);
  LWLockRelease(shared->lock);
  return {state, reason, waiting_for, std::vector<NodeStatus>(nodes.get(), nodes.get() + count)};
}

uint64 Read(pg_atomic_uint64* value) { return pg_atomic_read_u64(value); }
int64 Signed(uint64 value) { return static_cast<int64>(value); }
uint64 AppliedHeight() { return core::WholeBlocks(core::Prefix{Read(&shared->applied)}).value; }
uint64 Lag(uint64 behind, uint64 ahead) { return ahead > behind ? ahead - behind : 0; }

bool IsMember(MemberState state) {
  return pg_atomic_read_u32(&shared->database) != InvalidOid && state != MemberState::kUnconfigured;
}

// One row also where there is no cluster: "unconfigured" is an answer.
Datum MemberStatus(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  Row row;
  if (shared == nullptr) {
    row.Text("not loaded").Bool(false).Null().Null().Null().Null().Null().Null().Null().Null().Null().Null().Null();
    row.Text("dadbs is not in shared_preload_libraries").Null().Null().Null().Null().Null().Null();
    row.Put(set);
    return static_cast<Datum>(0);
  }
  Snapshot const s = TakeSnapshot();
  row.Text(MemberStateName(s.state)).Bool(pg_atomic_read_u32(&shared->can_write) != 0);
  const Member* const member = IsMember(s.state) ? CurrentMember() : nullptr;
  if (member == nullptr) {
    row.Null().Null().Null().Null().Null().Null().Null().Null().Null().Null().Null();
    row.TextOrNull(s.reason).Null().Null().Null().Null().Null();
  } else {
    size_t const members = member->genesis.members.size();
    uint64 const height = Read(&shared->delivered_height), applied = AppliedHeight();
    uint64 const network = std::max(Read(&shared->network_height), height);
    auto const connected =
        std::count_if(s.nodes.begin(), s.nodes.end(), [](const NodeStatus& n) { return n.connected; });
    row.Text(NodeName(core::NodeId{static_cast<uint16_t>(pg_atomic_read_u32(&shared->primary_id))}));
    row.Int64(Signed(Read(&shared->view))).Int32(static_cast<int32>(members));
    row.Int32(static_cast<int32>(core::QuorumSize(members))).Int32(static_cast<int32>(connected));
    row.Int64(Signed(height)).Int64(Signed(applied)).Int64(Signed(network)).Int64(Signed(Lag(applied, network)));
    row.TextOrNull(s.waiting_for).Text(member->config.name).TextOrNull(s.reason);
    row.Text(member->genesis.cluster_name).Bytes(member->genesis.chain_id().view());
    row.Int64(Signed(Read(&shared->incarnation))).Int64(Signed(Read(&shared->journal_bytes)));
    row.Int64(Signed(Read(&shared->journal_syncs)));
  }
  row.Int64(Signed(Read(&shared->refused_peers)));
  row.Put(set);
  return static_cast<Datum>(0);
}

std::string NodeState(const NodeStatus& node, MemberState own) {
  if (node.id == shared->self_id) return MemberStateName(own);
  return node.connected ? "connected" : "unreachable";
}

Datum NodeStatuses(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  if (shared == nullptr) return static_cast<Datum>(0);
  Snapshot const s = TakeSnapshot();
  if (!IsMember(s.state)) return static_cast<Datum>(0);
  uint64 const network = std::max(Read(&shared->network_height), Read(&shared->delivered_height));
  for (const NodeStatus& node : s.nodes) {
    bool const self = node.id == shared->self_id;
    uint64 const committed = self ? Read(&shared->delivered_height) : node.committed;
    uint64 const applied = self ? AppliedHeight() : node.applied;
    Row row;
    row.Int16(static_cast<int16>(node.id)).Text(node.name).TextOrNull(node.address).Text(NodeState(node, s.state));
    row.Bool(node.is_primary).Bool(self);
    // Of a member that was never heard of since the start nothing is known.
    if (self || node.last_seen != 0)
      row.Int64(Signed(committed)).Int64(Signed(applied)).Int64(Signed(Lag(applied, network)));
    else
      row.Null().Null().Null();
    row.Time(node.last_seen).Time(node.connected_since).TextOrNull(self ? s.reason : std::string(node.reason));
    row.Int64(Signed(node.bytes_sent)).Int64(Signed(node.bytes_received)).Int64(Signed(node.queued_bytes));
    row.Bytes({node.key, sizeof(node.key)});
    row.Put(set);
  }
  return static_cast<Datum>(0);
}

// ---- state digests

Datum StateDigests(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  if (shared == nullptr) return static_cast<Datum>(0);
  Snapshot const s = TakeSnapshot();
  if (!IsMember(s.state)) return static_cast<Datum>(0);
  for (const NodeStatus& node : s.nodes) {
    if (node.digest_height == 0) continue;
    Row row;
    row.Text(node.name).Int64(Signed(node.digest_height)).Bytes({node.digest, sizeof(node.digest)});
    row.Put(set);
  }
  return static_cast<Datum>(0);
}

// ---- faults

Datum FaultCounts(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  if (shared == nullptr) return static_cast<Datum>(0);
  auto const faults = std::make_unique<FaultCount[]>(kFaultsMax);
  LWLockAcquire(shared->lock, LW_SHARED);
  uint32 const count = std::min(shared->fault_count, kFaultsMax);
  memcpy(faults.get(), shared->faults, count * sizeof(FaultCount));
  LWLockRelease(shared->lock);
  for (uint32 i = 0; i < count; i++) {
    const FaultCount& f = faults[i];
    Row()
        .Int16(static_cast<int16>(f.node))
        .Text(f.kind)
        .Int64(Signed(f.count))
        .Raw(TimestampTzGetDatum(f.first_at))
        .Raw(TimestampTzGetDatum(f.last_at))
        .Put(set);
  }
  return static_cast<Datum>(0);
}

// ---- catch_up

Datum SecondsAsInterval(uint64 seconds) {
  return Call([&] {
    auto* const interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
    interval->time = static_cast<int64>(seconds) * USECS_PER_SEC;
    return PointerGetDatum(interval);
  });
}

Datum CatchUpStatus(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  if (shared == nullptr || !IsMember(GetMemberState())) return static_cast<Datum>(0);
  LWLockAcquire(shared->lock, LW_SHARED);
  CatchUp const c = shared->catch_up;
  LWLockRelease(shared->lock);
  uint64 const applied = AppliedHeight(), fetched = Read(&shared->delivered_height);
  bool const behind = c.target > applied;
  uint64 const left = Lag(applied, c.target);
  Row row;
  row.Text(!behind ? "up to date" : c.waits_for_apply || fetched >= c.target ? "applying" : "fetching and applying");
  row.Int64(Signed(applied)).Int64(Signed(fetched)).Int64(Signed(behind ? c.target : fetched)).Int64(Signed(left));
  if (behind && c.milliblocks_per_second > 0)
    row.Int64(Signed((c.milliblocks_per_second + 999) / 1000)).Raw(SecondsAsInterval((left * 1000 + c.milliblocks_per_second - 1) / c.milliblocks_per_second));
  else
    row.Null().Null();
  row.Time(behind ? c.since : 0).TextOrNull(behind ? c.servers : "").TextOrNull(c.servers_left);
  row.Int64(Signed(Read(&shared->wrong_answers))).Int64(Signed(Read(&shared->missed_answers)));
  row.Int64(Signed(Read(&shared->blocks_served))).Int64(Signed(Read(&shared->block_bytes_served)));
  row.Put(set);
  return static_cast<Datum>(0);
}

// ---- wait_for_ready

std::string Describe(const Snapshot& s) {
  std::string text = MemberStateName(s.state);
  if (!s.reason.empty()) text += ": " + s.reason;
  if (!s.waiting_for.empty() && s.waiting_for != s.reason) text += "; waiting for " + s.waiting_for;
  return text;
}

bool IsReady(MemberState state) {
  return state == MemberState::kReady && pg_atomic_read_u32(&shared->can_write) != 0 &&
         pg_atomic_read_u32(&shared->replay_done) != 0;
}

// What no waiting is going to change.
void ThrowIfHopeless(const Snapshot& s) {
  if (s.state == MemberState::kHalted) throw PgError(kErrHalted, "this member is halted", s.reason);
  if (s.state == MemberState::kDiverged)
    throw PgError(kErrDiverged, "this member has diverged from the others", s.reason, "It can be read, and takes no writes. See docs/operations.md.");
  if (s.state == MemberState::kJoining && pg_atomic_read_u32(&shared->join_refused) != 0)
    throw PgError(
        kErrState, "this server cannot join the cluster", s.reason,
        "Call dadbs.join_cluster() again with the right arguments, or have the founder name this node as it is.");
  if (s.state == MemberState::kUnconfigured)
    throw PgError(kErrNotConfigured, "this server is not a member of a cluster", "",
                  "Call dadbs.create_cluster() or dadbs.join_cluster() first.");
}

void WaitALittle() {
  Call([] {
    CHECK_FOR_INTERRUPTS();
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kReadyPoll_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  });
}

void WaitForReady(int64 timeout_us) {
  if (shared == nullptr) RequireSettings();
  if (GetTopTransactionIdIfAny() != InvalidTransactionId)
    throw PgError(ERRCODE_ACTIVE_SQL_TRANSACTION, "wait_for_ready cannot run in a transaction that has written",
                  "The member becomes ready only after this transaction has ended.");
  int64 const start = MonotonicUs();
  int64 told_at = start;
  std::string told;
  while (!IsReady(GetMemberState())) {
    Snapshot const s = TakeSnapshot();
    ThrowIfHopeless(s);
    int64 const now = MonotonicUs();
    std::string const text = Describe(s);
    if (now - start >= timeout_us)
      throw PgError(kErrNotReady, "this member did not become ready in time", "It is " + text + ".");
    if (text != told && now - told_at >= kNoticeInterval_us) {
      told = text;
      told_at = now;
      const char* const shown = told.c_str();
      Call([&] { ereport(NOTICE, (errmsg("%s", shown))); });
    }
    WaitALittle();
  }
}

int64 Microseconds(const Interval& interval) {
  return interval.time + (static_cast<int64>(interval.day) + static_cast<int64>(interval.month) * 30) * USECS_PER_DAY;
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_member_status(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return MemberStatus(fcinfo); });
}

extern "C" Datum dadbs_node_status(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return NodeStatuses(fcinfo); });
}

extern "C" Datum dadbs_state_digests(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return StateDigests(fcinfo); });
}

extern "C" Datum dadbs_fault_counts(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return FaultCounts(fcinfo); });
}

extern "C" Datum dadbs_catch_up_status(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return CatchUpStatus(fcinfo); });
}

// (timeout)
extern "C" Datum dadbs_wait_for_ready(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    WaitForReady(Microseconds(*PG_GETARG_INTERVAL_P(0)));
    return Call([] { return PointerGetDatum(cstring_to_text("ready")); });
  });
}
