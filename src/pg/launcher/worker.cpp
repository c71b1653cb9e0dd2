/*
 * worker.cpp: see worker.h.
 */
#include "dadbs/pg/worker.h"

#include "dadbs/pg/errors.h"

extern "C" {
#include <signal.h>

#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"
}

namespace dadbs::pg {
namespace {

void ClearPlace(int code, Datum place) {
  *reinterpret_cast<PGPROC* volatile*>(DatumGetPointer(place)) = nullptr;
  WakeWorker(&shared->launcher);
}

}  // namespace

void BeginWorker() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
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
  Call([] {
    CHECK_FOR_INTERRUPTS();
    if (!ConfigReloadPending) return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  });
}

}  // namespace dadbs::pg
