/*
 * apply.h: what the apply worker offers to the other processes.
 *
 * The turn. Certification of a local transaction that waits in kHandedOver ends in a grant: under the slot's mutex the
 * apply worker writes position, applied_after, next_procno and keys, and sets kTurn. Several consecutive local
 * transactions are granted together; each waits for its predecessor (shared->applied has reached its own position), so
 * the turn passes from backend to backend without the apply worker in between. What the backend does when it sees
 * kTurn, in this order:
 *
 *   1  AwaitPredecessor()   false: taken back (doomed, or the worker set is gone): abort internally and LoseTurn()
 *   2  validate own rows; on an error: abort and LoseTurn()
 *   3  WriteTurnRow()       the history row, in the same transaction
 *   4  EnterCommit()        kTurn -> kCommitting; false: as in 1. Nothing may be asked of the client after it.
 *   5  FinishTurn()         in XACT_EVENT_COMMIT, throw-free: applied is stepped, the successor and apply are woken,
 *                           the slot is idle
 *   or LoseTurn()           in XACT_EVENT_ABORT or at exit, throw-free, after the locks are gone or as they go: the
 *                           apply worker replays the transaction from the block; the slot is kReleased (the backend
 *                           waits for the outcome) or kIdle (it does not)
 */
#pragma once

#include "dadbs/core/types.h"
#include "dadbs/pg/ipc.h"

namespace dadbs::pg {

// -- a backend in its turn
bool AwaitPredecessor();
void WriteTurnRow();
bool EnterCommit();
void FinishTurn() noexcept;
void LoseTurn(bool waits_for_outcome) noexcept;

// -- anyone
core::Prefix Applied();
// Until `prefix` is applied here. False: timeout (negative: none). Interruptible; throws PgError when interrupted.
bool WaitForPosition(core::Prefix prefix, int64 timeout_ms);
// Whoever counts himself in shared->applied_waiters calls it at the end, also of his process (before_shmem_exit).
void StopWaitingForApplied(int code, Datum arg);
// Is it asleep on a heavyweight lock?
bool SleepsOnLock(PGPROC* proc);

// -- the launcher, about every 5 ms while shared->apply_busy: clears the way of the holder of the turn.
void WatchLocks();
// Whenever it wakes, and a backend wakes it that waits long: clears the way of capture, for which every local commit waits.
void WatchCapture();
// Reads of shared relations wait after a start until the replay is done (post_parse_analyze_hook).
void InitReadGate();

}  // namespace dadbs::pg
