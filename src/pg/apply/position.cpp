/*
 * position.cpp: what is applied, and waiting for it; what the holder of the turn waits for. Any process.
 *
 * shared->applied only grows. Whoever steps it (the apply worker, a backend that has committed in its turn) wakes those
 * that sleep on applied_changed, if there are any: a waiter counts itself first and looks at applied afterwards.
 */
#include <algorithm>

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"

#include "applier.h"
#include "turn.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
}

namespace dadbs::pg {

constexpr int64 kSleepMaxMs = 3'600'000;

storage::JournalPosition DurablePosition() {
  SpinLockAcquire(&shared->durable_mutex);
  storage::JournalPosition const position{pg_atomic_read_u64(&shared->durable_generation), pg_atomic_read_u64(&shared->durable_offset)};
  SpinLockRelease(&shared->durable_mutex);
  return position;
}

core::Prefix Applied() { return core::Prefix{pg_atomic_read_u64(&shared->applied)}; }

void StepApplied(core::Prefix to) noexcept {
  pg_atomic_write_u64(&shared->applied, to.value);
  pg_memory_barrier();
  if (pg_atomic_read_u32(&shared->applied_waiters) != 0) ConditionVariableBroadcast(&shared->applied_changed);
  uint64 const awaited = pg_atomic_read_u64(&shared->applied_awaited);
  if (awaited != 0 && core::WholeBlocks(to).value >= awaited) {
    pg_atomic_write_u64(&shared->applied_awaited, 0);
    WakeWorker(&shared->consensus);
  }
}

void PublishTables(core::Prefix at) {
  pg_atomic_write_u64(&shared->tables, at.value);
  WakeWorker(&shared->consensus);
}

bool SleepsOnLock(PGPROC* proc) {
  return proc->waitStatus == PROC_WAIT_STATUS_WAITING && *const_cast<LOCK* volatile*>(&proc->waitLock) != nullptr;
}

void SetApplyReason(const char* reason) {
  Call([&] {
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    strlcpy(shared->apply_reason, reason, sizeof(shared->apply_reason));
    LWLockRelease(shared->lock);
  });
}

void StopWaitingForApplied(int, Datum) {
  ConditionVariableCancelSleep();
  pg_atomic_fetch_sub_u32(&shared->applied_waiters, 1);
}

bool WaitForPosition(core::Prefix prefix, int64 timeout_ms) {
  if (Applied() >= prefix) return true;
  bool reached = false;
  Call([&] {
    int64 const began = MonotonicUs();
    pg_atomic_fetch_add_u32(&shared->applied_waiters, 1);
    PG_ENSURE_ERROR_CLEANUP(StopWaitingForApplied, Datum(0));
    {
      ConditionVariablePrepareToSleep(&shared->applied_changed);
      while (!(reached = Applied() >= prefix)) {
        if (timeout_ms < 0) {
          ConditionVariableSleep(&shared->applied_changed, PG_WAIT_EXTENSION);
          continue;
        }
        int64 const left = timeout_ms - (MonotonicUs() - began) / 1000;
        if (left <= 0) break;
        ConditionVariableTimedSleep(&shared->applied_changed, static_cast<long>(Min(left, kSleepMaxMs)), PG_WAIT_EXTENSION);
      }
    }
    PG_END_ENSURE_ERROR_CLEANUP(StopWaitingForApplied, Datum(0));
    StopWaitingForApplied(0, Datum(0));
  });
  return reached;
}

}  // namespace dadbs::pg
