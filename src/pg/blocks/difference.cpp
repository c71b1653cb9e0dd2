/*
 * difference.cpp: see difference.h. A background worker that runs once: it waits for other members, which the blocks worker cannot. It
 * reads this member's history and changes nothing but the row about the divergence. Whatever ends it, it is started again.
 */
#include "difference.h"

#include <algorithm>

#include "dadbs/pg/clock.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PGDLLEXPORT void dadbs_difference_main(Datum);
}

namespace dadbs::pg {
namespace {

constexpr int kPauseMin_ms = 5'000, kPauseMax_ms = 600'000;
constexpr char kQuery[] = "SELECT dadbs_internal.name_difference()";

void Prepare() {
  Call([] {
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SIG_IGN);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(pg_atomic_read_u32(&shared->database), InvalidOid, 0);
    SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
    pgstat_report_activity(STATE_RUNNING, "comparing outcomes with other members");
  });
}

// Not by a query of its own for nothing: it is asked for as long as the member differs.
bool IsNamed() {
  BeginReading();
  Call([] {
    constexpr char kUnnamed[] = "SELECT FROM dadbs_internal.divergence WHERE first_height IS NULL AND NOT no_quorum";
    if (SPI_execute(kUnnamed, true, 1) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", kUnnamed);
  });
  bool const is_named = SPI_processed == 0;
  EndReading();
  return is_named;
}

BackgroundWorkerHandle* Start() {
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "dadbs", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, "dadbs_difference_main", BGW_MAXLEN);
  strlcpy(worker.bgw_name, "dadbs difference", BGW_MAXLEN);
  strlcpy(worker.bgw_type, "dadbs difference", BGW_MAXLEN);
  return Call([&]() -> BackgroundWorkerHandle* {
    MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
    BackgroundWorkerHandle* handle = nullptr;
    bool const has_place = RegisterDynamicBackgroundWorker(&worker, &handle);
    MemoryContextSwitchTo(before);
    return has_place ? handle : nullptr;  // else later
  });
}

}  // namespace

bool Naming::Runs() const {
  pid_t pid = 0;
  return handle_ != nullptr && GetBackgroundWorkerPid(handle_, &pid) != BGWH_STOPPED;
}

void Naming::Step() {
  if (tried_at_us_ != 0 && MonotonicUs() - tried_at_us_ < int64{pause_ms_} * 1000) return;
  if (Runs()) return;
  if (handle_ != nullptr) pfree(handle_);
  handle_ = nullptr;
  tried_at_us_ = MonotonicUs();
  pause_ms_ = std::clamp(pause_ms_ * 2, kPauseMin_ms, kPauseMax_ms);
  if (!IsNamed()) handle_ = Start();
}

}  // namespace dadbs::pg

extern "C" void dadbs_difference_main(Datum) {
  using namespace dadbs::pg;
  Enter([] {
    Prepare();
    try {
      BeginReading();
      Call([] {
        if (SPI_execute(kQuery, false, 0) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", kQuery);
      });
      EndReading();
    } catch (const PgError& e) {
      Call([&] {
        AbortOutOfAnyTransaction();
        ereport(LOG, (errcode(e.sqlstate()), errmsg("dadbs: which position differs first is not known yet: %s", e.what())));
      });
    }
  });
}
