/*
 * turn.cpp: both sides of the turn (see dadbs/pg/apply.h for the protocol).
 *
 * Every transition is made under the slot's spinlock by comparing (procno, hold, state); nothing but plain memory is
 * touched while it is held, latches are set after its release. `doomed` takes a turn back for as long as the backend
 * has not entered the commit. A backend that dies leaves through LoseTurn, so a position whose slot has left kTurn and
 * kCommitting without applied having been stepped is lost, and the apply worker replays it: the order of stores in
 * FinishTurn (applied first, then the state) makes that test safe.
 */
#include "turn.h"

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/history.h"

extern "C" {
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/dsm.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr long kTurnRecheckMs = 1000;  // the latch is what counts; this bounds the harm of a lost wake-up

core::Position PositionOf(const BackendSlot& slot) { return {core::Height{slot.height}, slot.index}; }

// What applied says when everything before `position` is done and nothing of it.
core::Prefix PrefixBefore(core::Position position) {
  return core::Prefix{position.height.value << 20 | position.index};
}

bool Waits(const BackendSlot& slot) {
  return slot.state == SlotState::kHandedOver || slot.state == SlotState::kReleased;
}

// As much as fits with its end, without a torn character.
std::string Clip(const std::string& text, size_t size) {
  return text.substr(0, pg_mbcliplen(text.c_str(), static_cast<int>(text.size()), static_cast<int>(size) - 1));
}

class SlotLock {  // no Postgres call and no throw while one lives
 public:
  explicit SlotLock(BackendSlot* slot) : slot_(slot) { SpinLockAcquire(&slot_->mutex); }
  ~SlotLock() { SpinLockRelease(&slot_->mutex); }
  SlotLock(const SlotLock&) = delete;
  SlotLock& operator=(const SlotLock&) = delete;

 private:
  BackendSlot* slot_;
};

// The successor, or the apply worker where there is none or it has lost its turn meanwhile. (If it loses it after this
// look, it wakes the apply worker itself.)
void WakeNext(int next_procno, core::Position position) noexcept {
  bool waits = false;
  if (next_procno >= 0) {
    BackendSlot* const next = SlotOf(next_procno);
    SlotLock lock(next);
    waits =
        next->state == SlotState::kTurn && next->height == position.height.value && next->index == position.index + 1;
  }
  if (waits)
    WakeSlot(next_procno);
  else
    WakeWorker(&shared->apply);
}

}  // namespace

// ---- a backend in its turn

bool AwaitPredecessor() {
  BackendSlot* const slot = MySlot();
  core::Prefix const before = PrefixBefore(PositionOf(*slot));
  for (;;) {
    bool mine;
    {
      SlotLock lock(slot);
      mine = slot->state == SlotState::kTurn && !slot->doomed;
    }
    if (!mine) return false;
    if (Applied() >= before) break;
    if (GetMemberState() == MemberState::kHalted) return false;  // nobody steps applied any more
    Call([] {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kTurnRecheckMs, PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
      CHECK_FOR_INTERRUPTS();
    });
  }
  DADBS_CHECK(Applied() == before);
  TimestampTz const now = GetCurrentTimestamp();
  AddStage(kStageTurn, now - slot->state_since);
  slot->state_since = now;
  return true;
}

void WriteTurnRow() {
  BackendSlot* const slot = MySlot();
  DADBS_CHECK(slot->state == SlotState::kTurn);
  dsm_segment* segment = nullptr;
  const uint8* keys = slot->keys;
  if (slot->keys_segment != DSM_HANDLE_INVALID) {
    segment = Call([&] { return dsm_attach(slot->keys_segment); });
    if (segment == nullptr) throw PgError(ERRCODE_INTERNAL_ERROR, "the keys of this transaction are gone");
    keys = static_cast<const uint8*>(dsm_segment_address(segment));
  }
  TransactionRow row;
  row.position = PositionOf(*slot);
  row.id = {core::NodeId{slot->id_origin}, slot->id_incarnation, slot->id_number};
  row.origin_xid = U64FromFullTransactionId(slot->xid);
  row.verdict = core::Verdict::kCommitted;
  row.keys = {keys, slot->keys_length};
  WriteTransactionRow(row);
  if (segment != nullptr) dsm_detach(segment);
}

bool EnterCommit() {
  BackendSlot* const slot = MySlot();
  SlotLock lock(slot);
  if (slot->state != SlotState::kTurn || slot->doomed || Applied() != PrefixBefore(PositionOf(*slot))) return false;
  slot->state = SlotState::kCommitting;
  return true;
}

void FinishTurn() noexcept {
  BackendSlot* const slot = MySlot();
  TimestampTz const began = slot->state_since;
  int const next = slot->next_procno;
  core::Position const position = PositionOf(*slot);
  StepApplied(core::Prefix{slot->applied_after});
  {
    SlotLock lock(slot);
    slot->outcome = Outcome::kCommitted;
    slot->state = SlotState::kIdle;
  }
  WakeNext(next, position);
  pg_atomic_fetch_add_u64(&shared->transactions_committed, 1);
  pg_atomic_fetch_add_u64(&shared->fast_path_commits, 1);
  AddStage(kStageLocalCommit, GetCurrentTimestamp() - began);
}

void LoseTurn(bool waits_for_outcome) noexcept {
  BackendSlot* const slot = MySlot();
  {
    SlotLock lock(slot);
    if (slot->state != SlotState::kTurn && slot->state != SlotState::kCommitting) return;
    slot->outcome = waits_for_outcome ? Outcome::kNone : Outcome::kFastPathLost;
    slot->state = waits_for_outcome ? SlotState::kReleased : SlotState::kIdle;
  }
  WakeWorker(&shared->apply);
}

// ---- the apply worker

void LocalWaiters::Scan(core::NodeId self) {
  waiters_.clear();
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    if (slot->id_origin != self.value || !Waits(*slot))
      continue;  // a glance without the lock; looked at again under it
    Key key{};
    LocalWaiter waiter;
    {
      SlotLock lock(slot);
      if (slot->id_origin == self.value && Waits(*slot)) {
        key = {slot->id_incarnation, slot->id_number};
        waiter = {procno, slot->hold};
      }
    }
    if (waiter && key.number != 0) waiters_.insert_or_assign(key, waiter);
  }
}

LocalWaiter LocalWaiters::Find(uint64_t incarnation, uint64_t number) const {
  auto const found = waiters_.find({incarnation, number});
  return found == waiters_.end() ? LocalWaiter{} : found->second;
}

WaiterState LookAtWaiter(const LocalWaiter& waiter, const core::Digest& identity) {
  BackendSlot* const slot = SlotOf(waiter.procno);
  SlotLock lock(slot);
  if (slot->hold != waiter.hold || !Waits(*slot)) return WaiterState::kGone;
  if (memcmp(slot->identity, identity.bytes.data(), sizeof(slot->identity)) != 0) return WaiterState::kStranger;
  bool const holds = slot->state == SlotState::kHandedOver && slot->kind == HoldKind::kRows && !slot->doomed &&
                     !slot->no_fast_path;
  return holds ? WaiterState::kHolds : WaiterState::kLetsGo;
}

bool GrantTurn(const Grant& grant) {
  BackendSlot* const slot = SlotOf(grant.waiter.procno);
  TimestampTz const now = GetCurrentTimestamp();
  SlotLock lock(slot);
  if (slot->hold != grant.waiter.hold || slot->state != SlotState::kHandedOver || slot->doomed) return false;
  slot->height = grant.position.height.value;
  slot->index = grant.position.index;
  slot->applied_after = grant.applied_after.value;
  slot->next_procno = grant.next_procno;
  slot->keys_length = static_cast<uint32>(grant.keys.size());
  slot->keys_segment = grant.keys_segment;
  if (grant.keys_segment == DSM_HANDLE_INVALID) memcpy(slot->keys, grant.keys.data(), grant.keys.size());
  slot->state_since = now;
  slot->state = SlotState::kTurn;
  return true;
}

TurnState LookAtTurn(const Grant& grant) {
  BackendSlot* const slot = SlotOf(grant.waiter.procno);
  bool busy;
  {
    SlotLock lock(slot);
    busy = slot->hold == grant.waiter.hold &&
           (slot->state == SlotState::kTurn || slot->state == SlotState::kCommitting);
  }
  if (Applied() >= grant.applied_after) return TurnState::kCommitted;
  return busy ? TurnState::kPending : TurnState::kLost;
}

bool RevokeTurns() {
  bool none = true;
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    bool wake = false;
    {
      SlotLock lock(slot);
      if (slot->state == SlotState::kTurn) slot->doomed = wake = true;
      if (slot->state == SlotState::kTurn || slot->state == SlotState::kCommitting) none = false;
    }
    if (wake) WakeSlot(procno);
  }
  return none;
}

void Doom(const LocalWaiter& waiter) {
  BackendSlot* const slot = SlotOf(waiter.procno);
  {
    SlotLock lock(slot);
    if (slot->hold != waiter.hold || !Waits(*slot)) return;
    slot->doomed = true;
  }
  WakeSlot(waiter.procno);
}

void AnswerWaiter(const LocalWaiter& waiter, const Answer& answer) {
  BackendSlot* const slot = SlotOf(waiter.procno);
  std::string const message = Clip(answer.message, sizeof(slot->message));
  std::string const detail = Clip(answer.detail, sizeof(slot->detail));
  std::string const hint = Clip(answer.hint, sizeof(slot->hint));
  {
    SlotLock lock(slot);
    if (slot->hold != waiter.hold || !Waits(*slot)) return;
    slot->outcome = answer.outcome;
    slot->sqlstate = answer.sqlstate;
    slot->height = answer.position.height.value;
    slot->index = answer.position.index;
    strlcpy(slot->message, message.c_str(), sizeof(slot->message));
    strlcpy(slot->detail, detail.c_str(), sizeof(slot->detail));
    strlcpy(slot->hint, hint.c_str(), sizeof(slot->hint));
    slot->state = SlotState::kDone;
  }
  WakeSlot(waiter.procno);
}

void CloseIncarnations(core::NodeId self, uint64_t incarnation) {
  Answer const lost{Outcome::kRefused, ERRCODE_T_R_SERIALIZATION_FAILURE,
                    "transaction was not ordered before this member's workers restarted", "",
                    "Retry the transaction."};
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    LocalWaiter waiter;
    {
      SlotLock lock(slot);
      if (Waits(*slot) && slot->id_origin == self.value && slot->id_number != 0 && slot->id_incarnation < incarnation)
        waiter = {procno, slot->hold};
    }
    if (!waiter) continue;
    AnswerWaiter(waiter, lost);
    pg_atomic_fetch_add_u64(&shared->conflicts[kConflictCaptureRestart], 1);
  }
}

}  // namespace dadbs::pg
