/*
 * worker.cpp: see worker.h.
 *
 * Memory: one transaction of hundreds of megabytes must not stay in the workers' memory for ever. Large pieces come
 * from the system and go back to it when freed (glibc would raise the limit for that with each one that is freed, and
 * keep them); what small ones have left behind is given back from time to time.
 */
#include "dadbs/pg/worker.h"

#include <malloc.h>

#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include <signal.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr int kMappedAllocationBytesMin = 1 << 20;
constexpr int kFreeTopBytesMax = 4 << 20;  // else the heap's end comes and goes with every row; ReturnFreedMemory takes it back
constexpr int kTrimIntervalMs = 2'000;

void ReturnFreedMemory() {
  static int64 returned_at = 0;
  int64 const now = MonotonicUs();
  if (now - returned_at < kTrimIntervalMs * 1000) return;
  returned_at = now;
  malloc_trim(0);
}

void ClearPlace(int code, Datum place) {
  *reinterpret_cast<PGPROC* volatile*>(DatumGetPointer(place)) = nullptr;
  WakeWorker(&shared->launcher);
}

}  // namespace

void BeginWorker() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  mallopt(M_MMAP_THRESHOLD, kMappedAllocationBytesMin);
  mallopt(M_TRIM_THRESHOLD, kFreeTopBytesMax);
  BackgroundWorkerUnblockSignals();
}

void PublishWorker(PGPROC* volatile* place) {
  before_shmem_exit(ClearPlace, PointerGetDatum(const_cast<PGPROC**>(place)));
  *place = MyProc;
  if (place != &shared->launcher) WakeWorker(&shared->launcher);
}

void NoteWorkerError(const char* message) {
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  if (shared->worker_error[0] == '\0') strlcpy(shared->worker_error, message, sizeof(shared->worker_error));
  LWLockRelease(shared->lock);
}

void HaltMember(const std::string& reason) {
  const char* const text = reason.c_str();
  Call([&] {
    SetMemberState(MemberState::kHalted, text);
    ereport(LOG, (errcode(kErrHalted), errmsg("dadbs is halted: %s", text),
                  errdetail("Its workers stay down until the server is restarted.")));
  });
}

void HandleWorkerInterrupts() {
  ReturnFreedMemory();
  Call([] {
    CHECK_FOR_INTERRUPTS();
    if (!ConfigReloadPending) return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  });
}

void BeginReading() {
  Call([] {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
  });
}

void EndReading() {
  Call([] {
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
  });
}

}  // namespace dadbs::pg
