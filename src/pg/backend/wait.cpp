/*
 * wait.cpp: the backend's side of its slot: entering a hold, waiting, leaving it.
 *
 * The slot is the truth, the latch only a wake-up. What ends the wait early depends on whether capture has handed the
 * transaction over. Before that, cancel and terminate are what they are anywhere: the transaction rolls back.
 * After it, only the chain decides: the client gets SQLSTATE 40003 with the transaction's id, and what it changed is
 * committed or refused by replay (dadbs.transaction_status tells).
 */
#include "hold_internal.h"

#include "dadbs/core/chain.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

// The latch is what counts; this bounds the harm of a lost wake-up.
constexpr long kRecheckMs = 1000;

core::TransactionId last_id;
int64 hold_began_us = 0;  // MonotonicUs

core::TransactionId IdOf(BackendSlot* slot) {
  SlotGuard guard(slot);
  return {core::NodeId{slot->id_origin}, slot->id_incarnation, slot->id_number};
}

bool HandedOver(SlotState state) { return state != SlotState::kCapturing && state != SlotState::kIdle; }

std::string OwnName() {
  char name[NAMEDATALEN] = "";
  LWLockAcquire(shared->lock, LW_SHARED);
  for (uint32 i = 0; i < pg_atomic_read_u32(&shared->node_count); i++)
    if (shared->nodes[i].id == shared->self_id) strlcpy(name, shared->nodes[i].name, sizeof(name));
  LWLockRelease(shared->lock);
  return name;
}

std::string StatusHint(const core::TransactionId& id, FullTransactionId xid) {
  if (id.number != 0) return "Ask for its outcome with SELECT dadbs.transaction_status('" + core::ToString(id) + "').";
  if (FullTransactionIdIsValid(xid))
    return "Ask for its outcome with SELECT dadbs.transaction_status('" + OwnName() + "', '" +
           std::to_string(U64FromFullTransactionId(xid)) + "').";
  return "Look for it in dadbs.transactions.";
}

// The client wants to go, or must. Cancel before the hand-over: false, and the error is Postgres's own.
void StopWaiting(SlotState state, const char* why) {
  if (!HandedOver(state) && LeaveBeforeHandOver()) {
    Call([] { CHECK_FOR_INTERRUPTS(); });
    throw PgError(ERRCODE_QUERY_CANCELED, std::string("canceled before the transaction was handed over: ") + why, "",
                  "Nothing was changed. Retry the transaction.");
  }
  QueryCancelPending = false;
  if (!ProcDiePending) ThrowUnknown(why);
  ProcDiePending = false;
  BackendSlot* const slot = MySlot();
  core::TransactionId const id = IdOf(slot);
  std::string const hint = StatusHint(id, slot->xid);
  AbandonHold();
  const char* const hint_text = hint.c_str();
  Call([&] {
    ereport(FATAL, (errcode(kErrUnknown), errmsg("terminating connection while COMMIT waits for the group"),
                    errdetail("The transaction has been handed over and may commit."), errhint("%s", hint_text)));
  });
}

// A signal of the watcher that came late: it is doomed already, and that is all the signal says.
void AbsorbSignal() {
  try {
    Call([] { CHECK_FOR_INTERRUPTS(); });
  } catch (const PgError&) {
  }
}

void ServeInterrupts(const SlotView& seen) {
  if (!InterruptPending) return;
  if (QueryCancelPending && !ProcDiePending && seen.doomed) return AbsorbSignal();
  if (QueryCancelPending || ProcDiePending)
    return StopWaiting(seen.state,
                       ProcDiePending ? "terminated by the administrator" : "canceled on the user's request");
  Call([] { CHECK_FOR_INTERRUPTS(); });
}

long RemainingMs() {
  if (guc_commit_timeout_ms <= 0) return kRecheckMs;
  return Min(kRecheckMs, static_cast<long>(guc_commit_timeout_ms - (MonotonicUs() - hold_began_us) / 1000));
}

std::string WaitingFor() {
  char text[kReasonBytes];
  LWLockAcquire(shared->lock, LW_SHARED);
  if (pg_atomic_read_u64(&shared->capture_from_xid) == 0 && shared->capture_reason[0] != '\0')
    snprintf(text, sizeof(text), "It waits for %s.", shared->capture_reason);
  else
    strlcpy(text, shared->member_reason[0] != '\0' ? shared->member_reason : shared->waiting_for, sizeof(text));
  LWLockRelease(shared->lock);
  return text;
}

// Its workers stay down: nobody is going to answer. Or what it would answer is not what the others have come to.
void LeaveHaltedMember(const SlotView& seen) {
  MemberState const state = GetMemberState();
  int const code = state == MemberState::kHalted         ? kErrHalted
                   : state == MemberState::kUnconfigured ? kErrNotConfigured
                   : state == MemberState::kDiverged     ? kErrDiverged
                                                         : 0;
  if (code == 0) return;
  std::string const why = std::string("this member is ") + MemberStateName(state);
  if (HandedOver(seen.state)) ThrowUnknown(why.c_str());
  if (LeaveBeforeHandOver())
    throw PgError(code, "could not commit: " + why, WaitingFor(), "Nothing was changed. Look at dadbs.status.");
}

}  // namespace

int64 UnixMicros(TimestampTz t) {
  return t + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

uint32 BeginHold(const HoldRequest& request) {
  BackendSlot* const slot = MySlot();
  TimestampTz const now = GetCurrentTimestamp();
  uint64 const transaction = VirtualId(MyProc, MyProc->lxid);
  hold_began_us = MonotonicUs();
  SlotGuard guard(slot);
  if (slot->doomed && slot->doomed_transaction != transaction) slot->doomed = false;  // of an earlier transaction
  slot->state = SlotState::kCapturing;
  slot->hold++;
  slot->kind = request.kind;
  slot->no_fast_path = request.no_fast_path;
  slot->pid = MyProcPid;
  slot->xid = request.xid;
  slot->held_since = slot->state_since = now;
  slot->rows_counted = request.rows_counted;
  slot->rows_captured = 0;
  slot->base = slot->schema_base = 0;
  slot->id_origin = 0;
  slot->id_incarnation = slot->id_number = 0;
  slot->height = 0;
  slot->index = 0;
  slot->next_procno = -1;
  slot->keys_length = 0;
  slot->keys_segment = DSM_HANDLE_INVALID;
  slot->outcome = Outcome::kNone;
  slot->sqlstate = 0;
  slot->message[0] = slot->detail[0] = slot->hint[0] = '\0';
  return slot->hold;
}

SlotView Look() {
  BackendSlot* const slot = MySlot();
  SlotGuard guard(slot);
  return {slot->state, slot->doomed, slot->no_fast_path, slot->outcome};
}

bool LeaveBeforeHandOver() {
  BackendSlot* const slot = MySlot();
  SlotGuard guard(slot);
  if (slot->state != SlotState::kCapturing) return false;
  slot->state = SlotState::kIdle;
  return true;
}

bool Release() {
  BackendSlot* const slot = MySlot();
  TimestampTz const now = GetCurrentTimestamp();
  {
    SlotGuard guard(slot);
    if (slot->state != SlotState::kHandedOver) return false;
    slot->state = SlotState::kReleased;
    slot->state_since = now;
  }
  WakeWorker(&shared->apply);
  return true;
}

void LeaveDone() {
  SlotGuard guard(MySlot());
  MySlot()->state = SlotState::kIdle;
}

void AbandonHold() noexcept {
  BackendSlot* const slot = MySlot();
  LoseTurn(false);  // if it is ours
  SlotGuard guard(slot);
  slot->state = SlotState::kIdle;
}

void AwaitChange(const SlotView& seen) {
  ServeInterrupts(seen);
  LeaveHaltedMember(seen);
  long const wait_ms = RemainingMs();
  if (wait_ms <= 0) StopWaiting(seen.state, "dadbs.commit_timeout");
  Call([&] {
    int const events =
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    // Capture is slow, or asleep on a lock: the watcher looks.
    if ((events & WL_TIMEOUT) != 0 && seen.state == SlotState::kCapturing) WakeWorker(&shared->launcher);
  });
}

void RememberId() {
  core::TransactionId const id = IdOf(MySlot());
  if (id.number != 0) last_id = id;
}

bool LastId(core::TransactionId* id) {
  *id = last_id;
  return last_id.number != 0;
}

void ThrowRefusal() {
  BackendSlot* const slot = MySlot();
  RememberId();
  PgError error(0, "");
  {
    int sqlstate;
    char message[sizeof(slot->message)], detail[sizeof(slot->detail)], hint[sizeof(slot->hint)];
    {
      SlotGuard guard(slot);
      sqlstate = slot->sqlstate;
      strlcpy(message, slot->message, sizeof(message));
      strlcpy(detail, slot->detail, sizeof(detail));
      strlcpy(hint, slot->hint, sizeof(hint));
      slot->state = SlotState::kIdle;
    }
    if (sqlstate == kErrConflict && hint[0] == '\0') strlcpy(hint, "Retry the transaction.", sizeof(hint));
    error = PgError(sqlstate, message, detail, hint);
  }
  throw error;
}

void ThrowUnknown(const char* why) {
  BackendSlot* const slot = MySlot();
  RememberId();
  core::TransactionId const id = IdOf(slot);
  FullTransactionId const xid = slot->xid;
  std::string const name = id.number != 0 ? " " + core::ToString(id) : "";
  AbandonHold();
  throw PgError(kErrUnknown, "the outcome of transaction" + name + " is not known yet: " + why,
                "It has been handed over to the group and may commit.", StatusHint(id, xid));
}

void RequireWritable() {
  bool const agrees = pg_atomic_read_u32(&shared->can_write) != 0;
  bool const captures = pg_atomic_read_u64(&shared->capture_from_xid) != 0;
  if (agrees && captures) return;
  MemberState const state = GetMemberState();
  std::string const reason = WaitingFor();
  if (state == MemberState::kHalted)
    throw PgError(kErrHalted, "this member is halted and takes no writes", reason, "Look at dadbs.status.");
  if (state == MemberState::kDiverged)
    throw PgError(kErrDiverged, "this member has diverged from the others and takes no writes", reason,
                  "Nothing was changed. Look at dadbs.status; write to another member.");
  // Ready, but not to be written: the workers are being stopped. Consensus publishes the loss of a quorum as a state
  // before it takes can_write away.
  if (!agrees && state == MemberState::kWaitingForQuorum)
    throw PgError(kErrNoQuorum, "cannot write: too few members can be reached to agree on a commit", reason,
                  "Nothing was changed. Look at dadbs.status and dadbs.nodes, and retry later.");
  const char* const what = state == MemberState::kReady ? "starting its workers again" : MemberStateName(state);
  throw PgError(kErrNotReady, std::string("cannot write yet: this member is ") + what, reason,
                "Nothing was changed. Look at dadbs.status, and retry later.");
}

std::string SessionUserName() {
  const char* const name = Call([] { return GetUserNameFromId(GetSessionUserId(), true); });
  return name != nullptr ? name : "";
}

}  // namespace dadbs::pg
