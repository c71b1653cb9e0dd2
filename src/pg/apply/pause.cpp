/*
 * pause.cpp: see pause.h; the other side is Worker::StandStill. State: pause_pid (who asks; written by the session, taken back by it or,
 * when it is gone, by apply) and paused_for (written by apply) in shared memory.
 */
#include "dadbs/pg/pause.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
}

namespace dadbs::pg {
namespace {

constexpr long kPollMs = 5;
bool prepared = false;

void GiveBack() noexcept {
  uint64 mine = static_cast<uint64>(MyProcPid);
  if (pg_atomic_compare_exchange_u64(&shared->pause_pid, &mine, 0)) WakeWorker(&shared->apply);
}

void OnTransactionEnd(XactEvent event, void*) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT) GiveBack();
}

void OnExit(int, Datum) { GiveBack(); }

bool Ask() {
  uint64 nobody = 0;
  if (pg_atomic_compare_exchange_u64(&shared->pause_pid, &nobody, static_cast<uint64>(MyProcPid))) return true;
  if (nobody == static_cast<uint64>(MyProcPid)) return true;
  return false;
}

}  // namespace

void TakeTurn() {
  if (shared->apply == nullptr)
    throw PgError(kErrState, "the apply worker does not run", "", "dadbs.status says why.");
  Call([] {
    PreventInTransactionBlock(true, "this function");
    if (prepared) return;
    RegisterXactCallback(OnTransactionEnd, nullptr);
    before_shmem_exit(OnExit, 0);
    prepared = true;
  });
  if (!Ask()) throw PgError(ERRCODE_OBJECT_IN_USE, "another session rebuilds a table", "", "Wait for it; dadbs.table_work shows it.");
  WakeWorker(&shared->apply);
  while (!HoldsTurn()) {
    if (pg_atomic_read_u64(&shared->pause_pid) != static_cast<uint64>(MyProcPid) || shared->apply == nullptr)
      throw PgError(kErrState, "the apply worker has ended", "", "Call it again.");
    Call([] {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kPollMs, PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
      CHECK_FOR_INTERRUPTS();
    });
  }
}

bool HoldsTurn() { return pg_atomic_read_u64(&shared->paused_for) == static_cast<uint64>(MyProcPid); }

}  // namespace dadbs::pg
