/*
 * worker.h: what dadbs's background workers have in common: signals, their place in shared memory, how they end.
 *
 * A worker's entry point is `RunWorker([] { ... });`. SIGTERM and SIGHUP only set flags and the latch: the loop looks
 * at ShutdownAsked() and ends in order. An error ends the process, and the launcher starts the whole set again; a
 * broken invariant (DADBS_CHECK, or kErrHalted thrown on purpose) halts the member first: the set stays down, and
 * dadbs.status says why.
 */
#pragma once

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
}

namespace dadbs::pg {

void BeginWorker();                           // handlers in place, signals unblocked
void PublishWorker(PGPROC* volatile* place);  // "ready": stores MyProc, wakes the launcher; cleared at exit
void NoteWorkerError(const char* message);    // for dadbs.status, until the set runs again
void HaltMember(const std::string& reason);   // log and dadbs.status; the launcher sees it when the set ends
// Is this process one of dadbs's workers?
inline bool IsOwnWorker() {
  return MyBgworkerEntry != nullptr && strcmp(MyBgworkerEntry->bgw_library_name, "dadbs") == 0;
}
inline bool ShutdownAsked() { return ShutdownRequestPending != 0; }
void HandleWorkerInterrupts();  // configuration, barriers, memory dumps; between two steps of a loop

// A transaction of its own with a snapshot and SPI, to read by; an error ends the worker, and the transaction with it.
void BeginReading();
void EndReading();

template <class F>
void RunWorker(F&& body) {
  Enter([&] {
    Call([] { BeginWorker(); });
    try {
      body();
    } catch (const PgError& e) {
      NoteWorkerError(e.what());
      if (e.sqlstate() == kErrHalted) HaltMember(e.message() + (e.detail().empty() ? "" : " (" + e.detail() + ")"));
      throw;
    } catch (const core::BrokenInvariant& e) {
      HaltMember(e.what());
      throw;
    } catch (const std::exception& e) {
      NoteWorkerError(e.what());
      throw;
    }
  });
}

}  // namespace dadbs::pg
