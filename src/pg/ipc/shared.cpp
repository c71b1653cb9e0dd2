/*
 * shared.cpp: the shared memory of ipc.h: reserving it, laying it out, waking its parties.
 *
 * One allocation: Shared with its slots, MAXALIGNed, then the two queues. Laid out once by the postmaster (or anew
 * after a crash of a backend, when all shared memory is made again); everybody inherits the pointers by fork.
 */
#include "dadbs/pg/ipc.h"

extern "C" {
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {

Shared* shared = nullptr;
void* capture_queue = nullptr;
void* block_queue = nullptr;

namespace {

// Regular backends and background workers: the PGPROCs that can hold a COMMIT or take part.
int SlotCount() { return MaxBackends + NUM_AUXILIARY_PROCS; }

Size SlotsBytes() {
  return MAXALIGN(add_size(offsetof(Shared, slots), mul_size(SlotCount(), sizeof(BackendSlot))));
}

void InitializeShared() {
  memset(static_cast<void*>(shared), 0, SlotsBytes());
  shared->lock = &GetNamedLWLockTranche("dadbs")[0].lock;
  shared->xid_lock = &GetNamedLWLockTranche("dadbs")[1].lock;
  SpinLockInit(&shared->durable_mutex);
  SpinLockInit(&shared->block_order_mutex);
  SpinLockInit(&shared->vote_mutex);
  SpinLockInit(&shared->digest_mutex);
  shared->slot_count = SlotCount();
  ConditionVariableInit(&shared->applied_changed);
  for (int i = 0; i < shared->slot_count; i++) SpinLockInit(&shared->slots[i].mutex);
  if (!pg_strong_random(shared->secret, sizeof(shared->secret)))
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
}

}  // namespace

Size SharedBytes() { return add_size(add_size(SlotsBytes(), kCaptureQueueBytes), kBlockQueueBytes); }

void RequestShared() {
  RequestAddinShmemSpace(SharedBytes());
  RequestNamedLWLockTranche("dadbs", 2);
}

void AttachShared() {
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  shared = static_cast<Shared*>(ShmemInitStruct("dadbs", SharedBytes(), &found));
  capture_queue = reinterpret_cast<char*>(shared) + SlotsBytes();
  block_queue = static_cast<char*>(capture_queue) + kCaptureQueueBytes;
  if (!found) InitializeShared();
  LWLockRelease(AddinShmemInitLock);
}

BackendSlot* SlotOf(int procno) {
  Assert(procno >= 0 && procno < shared->slot_count);
  return &shared->slots[procno];
}

BackendSlot* MySlot() { return SlotOf(MyProc->pgprocno); }

void WakeSlot(int procno) { SetLatch(&GetPGProcByNumber(procno)->procLatch); }

void WakeWorker(PGPROC* volatile* worker) {
  PGPROC* const proc = *worker;
  if (proc != nullptr) SetLatch(&proc->procLatch);
}

void AddStage(Stage stage, int64 micros) {
  StageStat* const s = &shared->stages[stage];
  uint64 const value = micros > 0 ? static_cast<uint64>(micros) : 0;
  pg_atomic_fetch_add_u64(&s->count, 1);
  pg_atomic_fetch_add_u64(&s->sum_us, static_cast<int64>(value));
  uint64 seen = pg_atomic_read_u64(&s->max_us);
  while (value > seen && !pg_atomic_compare_exchange_u64(&s->max_us, &seen, value)) {
  }
}

MemberState GetMemberState() { return static_cast<MemberState>(pg_atomic_read_u32(&shared->member_state)); }

void SetMemberState(MemberState state, const char* reason) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  pg_atomic_write_u32(&shared->member_state, static_cast<uint32>(state));
  strlcpy(shared->member_reason, reason, sizeof(shared->member_reason));
  LWLockRelease(shared->lock);
}

const char* MemberStateName(MemberState state) {
  switch (state) {
    case MemberState::kUnconfigured: return "unconfigured";
    case MemberState::kStarting: return "starting";
    case MemberState::kJoining: return "joining";
    case MemberState::kReplaying: return "replaying";
    case MemberState::kWaitingForQuorum: return "waiting for quorum";
    case MemberState::kCatchingUp: return "catching up";
    case MemberState::kRejoining: return "rejoining";
    case MemberState::kReady: return "ready";
    case MemberState::kDiverged: return "diverged";
    case MemberState::kJournalFailing: return "unable to journal";
    case MemberState::kHalted: return "halted";
  }
  return "unknown";
}

}  // namespace dadbs::pg
