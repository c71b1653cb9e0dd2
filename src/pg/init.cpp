/*
 * init.cpp: _PG_init, one call per subsystem, previous hooks chained.
 *
 * Only a preloaded library can share memory, start workers and stand in front of every COMMIT. Loaded any other way
 * (a function called on a server whose shared_preload_libraries lacks dadbs) it defines its settings and nothing else:
 * its functions say what is missing, user tables stay usable.
 */
#include "dadbs/pg/member.h"

#include "dadbs/pg/apply.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/sharing.h"
#include "consensus/doubt.h"

extern "C" {
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

namespace dadbs::pg {
namespace {

shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;

void ShmemRequest() {
  if (previous_shmem_request) previous_shmem_request();
  RequestShared();
}

void ShmemStartup() {
  if (previous_shmem_startup) previous_shmem_startup();
  AttachShared();
  if (!IsUnderPostmaster) PublishMember();
}

void RegisterLauncher() {
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_library_name, "dadbs", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, "dadbs_launcher_main", BGW_MAXLEN);
  strlcpy(worker.bgw_name, "dadbs launcher", BGW_MAXLEN);
  strlcpy(worker.bgw_type, "dadbs launcher", BGW_MAXLEN);
  RegisterBackgroundWorker(&worker);
}

}  // namespace
}  // namespace dadbs::pg

extern "C" void _PG_init(void) {
  using namespace dadbs::pg;
  DefineGucs();
  if (!process_shared_preload_libraries_in_progress) return;
  previous_shmem_request = shmem_request_hook;
  shmem_request_hook = ShmemRequest;
  previous_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = ShmemStartup;
  NoteBackupLabel();
  InitSharingHooks();
  InitHold();
  InitDdl();
  InitContracts();
  InitReadGate();
  InitClusterHooks();
  RegisterLauncher();
}
