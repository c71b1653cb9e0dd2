/*
 * watcher.cpp: clears the way of the holder of the turn. Runs in the launcher, which is never asleep on a lock.
 *
 * The holder is the apply worker, or the backend whose position is next. When it sleeps on a heavyweight lock,
 * everybody who stands before it (holding a conflicting lock, or queued for one ahead of it) has to let go, since its
 * position is lower than any that they can get:
 *
 *   executing               doomed for its present transaction, and told so by a ladder in time: SIGINT (a statement
 *                           that runs or waits ends; an idle session doesn't notice, but its next statement fails), the
 *                           signal of a recovery conflict (40001; an idle transaction ends with its session), SIGTERM
 *   capturing, handed over  doomed, and its latch: it aborts internally, the chain decides about it
 *   turn                    the same while it waits for its predecessor, that is with a higher position
 *   committing              waited for
 *   autovacuum              SIGINT
 *   a lock of a moment      waited for: to make a table grow takes no transaction (relation extension, pages)
 *   prepared transaction    can't be told: dadbs.status says that it stands in the way. (One that holds locks of shared
 *                           tables is refused at PREPARE; this is what holds others, of catalogs say)
 *
 * A session for which apply stands still between two positions (pause.h) is the holder as long as it does.
 *
 * The same is done for the capture worker once it is in service: decoding reads catalogs, and every local commit waits
 * for it, also that of the session which holds the lock (hazard H24). At its start it waits for whole transactions; those
 * are named in dadbs.status and left alone.
 *
 * A signal is only sent while the process is still in the transaction that is in the way: each step looks at pid and
 * local transaction id again, and each step is taken once.
 */
#include <algorithm>
#include <vector>

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"

#include "turn.h"

extern "C" {
#include <signal.h>

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
}

namespace dadbs::pg {
namespace {

constexpr int64 kCancelAfterUs = 0;
constexpr int64 kConflictSignalAfterUs = 250 * 1000;
constexpr int64 kTerminateAfterUs = 2000 * 1000;
constexpr int64 kAutovacuumAgainAfterUs = 1000 * 1000;

struct Blocker {
  int pid = 0;
  bool prepared = false;
  bool operator==(const Blocker&) const = default;
};

// How far the ladder was climbed with one process in one transaction.
struct Ladder {
  int pid = 0;
  LocalTransactionId lxid = InvalidLocalTransactionId;
  int64 began = 0;  // MonotonicUs
  int steps = 0;
};
std::vector<Ladder> ladders;  // by procno

// The backend whose turn it is now, and where it stands.
PGPROC* HolderOfTurn(uint64* position) {
  uint64 const applied = Applied().value;
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    if (slot->state != SlotState::kTurn && slot->state != SlotState::kCommitting) continue;
    if ((slot->height << 20 | slot->index) != applied) continue;
    *position = applied;
    return GetPGProcByNumber(procno);
  }
  return nullptr;
}

bool IsAhead(const BlockedProcsData& data, const BlockedProcData& blocked, int pid) {
  for (int i = 0; i < blocked.num_waiters; i++)
    if (data.waiter_pids[blocked.first_waiter + i] == pid) return true;
  return false;
}

// Held while a table gets new pages, or an index takes in what was put aside: its holder waits for nobody meanwhile.
bool IsMomentary(const LOCKTAG& tag) {
  return tag.locktag_type == LOCKTAG_RELATION_EXTEND || tag.locktag_type == LOCKTAG_PAGE;
}

// As pg_blocking_pids(): those who hold what conflicts, and those who wait ahead for what conflicts.
void AddBlockers(const BlockedProcsData& data, const BlockedProcData& blocked, std::vector<Blocker>* blockers) {
  const LockInstanceData* mine = nullptr;
  for (int i = 0; i < blocked.num_locks; i++) {
    const LockInstanceData* const lock = &data.locks[blocked.first_lock + i];
    if (lock->pid == blocked.pid) mine = lock;
  }
  if (mine == nullptr || mine->waitLockMode == NoLock || IsMomentary(mine->locktag)) return;
  LOCKMASK const conflicts = GetLockTagsMethodTable(&mine->locktag)->conflictTab[mine->waitLockMode];
  for (int i = 0; i < blocked.num_locks; i++) {
    const LockInstanceData* const lock = &data.locks[blocked.first_lock + i];
    if (lock == mine || (lock->pid != 0 && lock->leaderPid == mine->leaderPid)) continue;
    bool const holds = (conflicts & lock->holdMask) != 0;
    bool const queued = lock->waitLockMode != NoLock && (conflicts & LOCKBIT_ON(lock->waitLockMode)) != 0 &&
                        IsAhead(data, blocked, lock->pid);
    if (!holds && !queued) continue;
    Blocker const blocker{lock->leaderPid != 0 ? lock->leaderPid : lock->pid, lock->pid == 0};
    if (std::find(blockers->begin(), blockers->end(), blocker) == blockers->end()) blockers->push_back(blocker);
  }
}

std::vector<Blocker> BlockersOf(int pid) {
  std::vector<Blocker> blockers;
  MemoryContext scratch = nullptr;
  const BlockedProcsData* const data = Call([&] {
    scratch = AllocSetContextCreate(TopMemoryContext, "dadbs watcher", ALLOCSET_DEFAULT_SIZES);
    MemoryContext const before = MemoryContextSwitchTo(scratch);
    BlockedProcsData* const found = GetBlockerStatusData(pid);
    MemoryContextSwitchTo(before);
    return found;
  });
  for (int i = 0; i < data->nprocs; i++) AddBlockers(*data, data->procs[i], &blockers);
  MemoryContextDelete(scratch);
  return blockers;
}

// Whether the signal may be sent: the process is still where it was.
bool StillThere(const PGPROC* proc, const Ladder& ladder) {
  return ladder.pid > 0 && proc->pid == ladder.pid && proc->lxid == ladder.lxid;
}

// lxid: of the transaction that was found in the way, whatever the process does by now.
void ClimbLadder(PGPROC* proc, LocalTransactionId lxid, bool autovacuum) {
  Ladder& ladder = ladders[proc->pgprocno];
  int64 const now = MonotonicUs();
  if (ladder.pid != proc->pid || ladder.lxid != lxid) {
    ladder = {proc->pid, lxid, now, 0};
    if (!autovacuum) pg_atomic_fetch_add_u64(&shared->conflicts[kConflictLock], 1);
  }
  int64 const waited = now - ladder.began;
  if (!StillThere(proc, ladder)) return;
  if (autovacuum) {
    if (waited >= ladder.steps * kAutovacuumAgainAfterUs) {
      ladder.steps++;
      kill(ladder.pid, SIGINT);
    }
  } else if (ladder.steps == 0 && waited >= kCancelAfterUs) {
    ladder.steps = 1;
    kill(ladder.pid, SIGINT);
  } else if (ladder.steps == 1 && waited >= kConflictSignalAfterUs) {
    ladder.steps = 2;
    (void)SendProcSignal(ladder.pid, PROCSIG_RECOVERY_CONFLICT_LOCK, proc->backendId);
  } else if (ladder.steps == 2 && waited >= kTerminateAfterUs) {
    ladder.steps = 3;
    kill(ladder.pid, SIGTERM);
  }
}

// By the slot: executing and waiting transactions are doomed. True: it executes, so a signal has to tell it.
bool DoomBlocker(PGPROC* proc, LocalTransactionId lxid, uint64 position) {
  BackendSlot* const slot = SlotOf(proc->pgprocno);
  uint64 const transaction = VirtualId(proc, lxid);
  bool executes = false, wake = false;
  SpinLockAcquire(&slot->mutex);
  switch (slot->state) {
    case SlotState::kIdle:
      executes = transaction != 0;
      if (executes) slot->doomed = true, slot->doomed_transaction = transaction;
      break;
    case SlotState::kCapturing:
    case SlotState::kHandedOver:
      wake = !slot->doomed;
      slot->doomed = true;
      slot->doomed_transaction = transaction;
      break;
    case SlotState::kTurn:
      wake = (slot->height << 20 | slot->index) > position;
      if (wake) slot->doomed = true, slot->doomed_transaction = transaction;
      break;
    case SlotState::kCommitting:
    case SlotState::kReleased:
    case SlotState::kDone:
      break;
  }
  SpinLockRelease(&slot->mutex);
  if (wake) WakeSlot(proc->pgprocno);
  return executes;
}

void Clear(const Blocker& blocker, uint64 position) {
  if (blocker.prepared) return SetApplyReason("a prepared transaction holds a lock that the next position needs: "
                                              "commit it or roll it back (see pg_prepared_xacts)");
  PGPROC* const proc = BackendPidGetProc(blocker.pid);
  if (proc == nullptr || proc == shared->apply || proc == shared->capture || proc->pgprocno >= shared->slot_count)
    return;
  bool const autovacuum = (proc->statusFlags & PROC_IS_AUTOVACUUM) != 0;
  LocalTransactionId const lxid = proc->lxid;
  if (autovacuum || DoomBlocker(proc, lxid, position)) ClimbLadder(proc, lxid, autovacuum);
}

}  // namespace

// Whoever has the turn is about to commit, and is waited for.
void WatchCapture() {
  PGPROC* const capture = shared->capture;
  if (capture == nullptr || pg_atomic_read_u64(&shared->capture_from_xid) == 0 || !SleepsOnLock(capture)) return;
  ladders.resize(shared->slot_count);
  for (const Blocker& blocker : BlockersOf(capture->pid)) Clear(blocker, UINT64_MAX);
}

void WatchLocks() {
  ladders.resize(shared->slot_count);
  uint64 position = Applied().value;
  PGPROC* holder = shared->apply;
  if (uint64 const pid = pg_atomic_read_u64(&shared->paused_for); pid != 0)
    holder = BackendPidGetProc(static_cast<int>(pid));  // apply stands still for it (pause.h)
  else if (holder == nullptr || !SleepsOnLock(holder))
    holder = pg_atomic_read_u64(&shared->turn_waiting_pid) != 0 ? HolderOfTurn(&position) : nullptr;
  if (holder == nullptr || !SleepsOnLock(holder)) return;
  for (const Blocker& blocker : BlockersOf(holder->pid)) Clear(blocker, position);
}

}  // namespace dadbs::pg
