/*
 * lone_calls.cpp: calls of contracts: their names and arguments are ordered first, and executed at their position by the apply
 * worker of every member.
 *
 * The session has done nothing in its transaction, which stays open: it has no id, so nobody waits for it, and it holds no lock on
 * a table, so nobody can be in its way (contract/alone.cpp sees to both). What it holds is a snapshot, for as long as it waits.
 *
 * The slot goes kCapturing -> kHandedOver -> kDone, never to kTurn. Cancel is as for any held transaction: 57014 before the
 * hand-over, 40003 after it. Once the call is committed a cancel comes too late, as after any COMMIT: it is held off until the
 * session's transaction has ended, lest the client be told 57014.
 */
#include "hold_internal.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/hold.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

bool cancels_held = false;  // in this transaction

void HoldCancels() {
  QueryCancelPending = false;
  if (cancels_held) return;
  HOLD_CANCEL_INTERRUPTS();
  cancels_held = true;
}

core::Position AwaitExecution() {
  for (;;) {
    SlotView seen = Look();
    if (seen.state == SlotState::kDone) break;
    DADBS_CHECK(seen.state == SlotState::kCapturing || seen.state == SlotState::kHandedOver);
    if (seen.doomed && seen.state == SlotState::kCapturing && LeaveBeforeHandOver()) ThrowLost();
    if (seen.state == SlotState::kHandedOver) seen.doomed = false;  // there is nothing to let go of: a cancel is the user's
    AwaitChange(seen);
  }
  if (Look().outcome == Outcome::kRefused) ThrowRefusal();
  RememberId();
  BackendSlot* const slot = MySlot();
  SlotGuard guard(slot);
  slot->state = SlotState::kIdle;
  return {core::Height{slot->height}, slot->index};
}

}  // namespace

void ResumeCancels() noexcept {
  if (cancels_held && QueryCancelHoldoffCount > 0) RESUME_CANCEL_INTERRUPTS();  // an error has put it to 0
  cancels_held = false;
}

core::Position HoldCalls(const std::vector<core::Bytes>& changes) {
  LoneMessage lone;
  lone.kind = core::WriteSetKind::kCalls;
  lone.procno = static_cast<uint32>(MyProc->pgprocno);
  lone.begun_at_us = UnixMicros(GetCurrentStatementStartTimestamp());
  lone.user = SessionUserName();
  lone.application_name = application_name != nullptr ? application_name : "";
  lone.changes.assign(changes.begin(), changes.end());

  RequireWritable();
  if (Doomed()) ThrowLost();
  EnsureExitCallback();
  lone.hold = BeginHold({HoldKind::kCalls, true});
  try {
    if (pg_atomic_read_u64(&shared->capture_from_xid) == 0) {
      LeaveBeforeHandOver();
      RequireWritable();
    }
    SendToCapture(EncodeLone(lone, SharedSecret()));
    core::Position const position = AwaitExecution();
    HoldCancels();
    return position;
  } catch (...) {
    if (MySlot()->state != SlotState::kIdle) AbandonHold();
    throw;
  }
}

}  // namespace dadbs::pg
