/*
 * lone_ddl.cpp: a statement that takes its turn first (recipe R3).
 *
 * Nothing of it has been executed. The session's (empty) transaction is ended, the text goes to capture as an 'L'
 * message, and the backend waits outside any transaction, without lock, snapshot or xmin, until the apply worker has
 * executed it at its position, or has refused it. Then a new transaction is begun for the caller.
 *
 * The slot goes kCapturing -> kHandedOver -> kDone, never to kTurn. Cancel is as for any held transaction: 57014 before
 * the hand-over, 40003 after it.
 */
#include "hold_internal.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/hold.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

// Keeps the caller's memory context, which must outlive the transaction (the portal's or the message's).
void LeaveTransaction() {
  MemoryContext const context = CurrentMemoryContext;
  if (ActivePortal != nullptr && ActivePortal->portalSnapshot != nullptr) {
    PopActiveSnapshot();
    ActivePortal->portalSnapshot = nullptr;
  }
  InvalidateCatalogSnapshot();
  CommitTransactionCommand();
  MemoryContextSwitchTo(context);
}

void EnterTransaction() {
  MemoryContext const context = CurrentMemoryContext;
  StartTransactionCommand();
  if (ActivePortal != nullptr) EnsurePortalSnapshotExists();
  MemoryContextSwitchTo(context);
}

void AwaitExecution() {
  for (;;) {
    SlotView const seen = Look();
    if (seen.state == SlotState::kDone) break;
    DADBS_CHECK(seen.state == SlotState::kCapturing || seen.state == SlotState::kHandedOver ||
                seen.state == SlotState::kReleased);
    AwaitChange(seen);
  }
  if (Look().outcome == Outcome::kRefused) ThrowRefusal();
  RememberId();
  LeaveDone();
}

}  // namespace

void HoldLoneDdl(const core::DdlChange& change) {
  core::Bytes const bytes = core::EncodeChange(change);
  LoneMessage lone;
  lone.procno = static_cast<uint32>(MyProc->pgprocno);
  lone.begun_at_us = UnixMicros(GetCurrentStatementStartTimestamp());
  lone.user = SessionUserName();
  lone.application_name = application_name != nullptr ? application_name : "";
  lone.changes = {bytes};

  RequireWritable();
  EnsureExitCallback();
  Call([] { LeaveTransaction(); });
  lone.hold = BeginHold({HoldKind::kLoneDdl, true});
  try {
    if (pg_atomic_read_u64(&shared->capture_from_xid) == 0) {
      LeaveBeforeHandOver();
      RequireWritable();
    }
    SendToCapture(EncodeLone(lone, SharedSecret()));
    AwaitExecution();
  } catch (...) {
    if (MySlot()->state != SlotState::kIdle) AbandonHold();
    throw;
  }
  Call([] { EnterTransaction(); });
}

}  // namespace dadbs::pg
