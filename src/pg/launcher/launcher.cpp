/*
 * launcher.cpp: the static background worker that starts the others, and the watcher of lock waits.
 *
 * It waits for a configuration (files of member.h; configure_requests says that they changed) and runs the workers
 * that it asks for as one set: consensus, capture, apply and blocks for a member, consensus alone while joining. They depend on
 * each other's state in memory, so when one ends all end, and the whole set starts again as a new generation after a
 * pause that grows while it keeps failing. Three things keep the set down: no configuration, settings that do not allow
 * it to run, and a broken invariant (kHalted), which only a restart of the server or a new configuration clears.
 *
 * State owned: shared->generation, shared->launcher; member_state while no set runs. Nothing durable. If the launcher
 * crashes the postmaster restarts everything; if it errs it stops the set on its way out, the postmaster starts it
 * again after a second, and what may still run of an older set is stopped first.
 *
 * A process asleep on a lock cannot signal whoever blocks it: while apply is busy this process wakes every few
 * milliseconds and calls WatchLocks() (apply/watcher.cpp).
 */
#include <algorithm>

#include "dadbs/core/chain.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/settings.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include <signal.h>

#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"

PGDLLEXPORT void dadbs_launcher_main(Datum);
}

namespace dadbs::pg {
namespace {

constexpr int kWatchInterval_ms = 5;
constexpr int kIdleInterval_ms = 10'000;
constexpr int kStopPoll_ms = 50;
constexpr int64 kPauseMin_ms = 200, kPauseMax_ms = 10'000;
constexpr int64 kHealthyAfter_ms = 30'000;  // a set that ran this long starts again without a long pause

struct Role {
  const char* name;
  const char* entry;
  bool connects;  // needs the catalogs
  PGPROC* volatile Shared::*place;
};
constexpr Role kConsensus{"dadbs consensus", "dadbs_consensus_main", false, &Shared::consensus};
constexpr Role kCapture{"dadbs capture", "dadbs_capture_main", true, &Shared::capture};
constexpr Role kApply{"dadbs apply", "dadbs_apply_main", true, &Shared::apply};
constexpr Role kBlocks{"dadbs blocks", "dadbs_blocks_main", true, &Shared::blocks};
constexpr const Role* kRoles[] = {&kConsensus, &kCapture, &kApply, &kBlocks};

void Sleep(long timeout_ms) {
  Call([&] {
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  });
}

class Launcher {
 public:
  void Run();

 private:
  enum class Wants { kNothing, kJoin, kMember };
  struct Running {
    const Role* role;
    BackgroundWorkerHandle* handle;
  };

  void Loop();
  void ReadConfiguration();
  void StartSet();
  bool StartWorker(const Role& role);
  const Role* FindEnded();
  void StopSet();
  void AfterEnd(const Role& ended);
  void Pause(const std::string& why);
  void StepOnce();
  void Wait();

  Wants wants_ = Wants::kNothing;
  uint32 seen_requests_ = 0;
  std::vector<Running> set_;
  int64 started_at_ = 0, not_before_ = 0;  // MonotonicUs
  int64 pause_ms_ = 0;
};

BgwHandleStatus StatusOf(BackgroundWorkerHandle* handle) {
  pid_t pid = 0;
  return GetBackgroundWorkerPid(handle, &pid);
}

bool IsHalted() { return GetMemberState() == MemberState::kHalted; }

void Log(const std::string& message) {
  const char* const text = message.c_str();
  Call([&] { ereport(LOG, (errmsg("dadbs launcher: %s", text))); });
}

void SetState(MemberState state, const std::string& reason) {
  SetMemberState(state, reason.c_str());
  pg_atomic_write_u32(&shared->can_write, 0);
}

// Workers of a launcher that has failed: nobody holds their handles any more.
void StopStrays() {
  for (const Role* role : kRoles) {
    while (PGPROC* const proc = shared->*role->place) {
      if (int const pid = proc->pid; pid != 0) kill(pid, SIGTERM);
      Sleep(kStopPoll_ms);
      if (ShutdownAsked()) return;
    }
  }
}

void Launcher::Run() {
  StopStrays();
  PublishWorker(&shared->launcher);
  try {
    Loop();
  } catch (...) {
    StopSet();
    throw;
  }
  StopSet();
}

void Launcher::Loop() {
  seen_requests_ = pg_atomic_read_u32(&shared->configure_requests);
  ReadConfiguration();
  while (!ShutdownAsked()) {
    HandleWorkerInterrupts();
    StepOnce();
    Wait();
  }
}

void Launcher::StepOnce() {
  if (uint32 const requests = pg_atomic_read_u32(&shared->configure_requests); requests != seen_requests_) {
    seen_requests_ = requests;
    StopSet();
    pause_ms_ = 0;
    not_before_ = 0;
    ReadConfiguration();
  }
  if (const Role* const ended = FindEnded()) AfterEnd(*ended);
  if (set_.empty() && wants_ != Wants::kNothing && !IsHalted() && MonotonicUs() >= not_before_) StartSet();
  if (pg_atomic_read_u32(&shared->apply_busy) != 0) WatchLocks();
  WatchCapture();
}

void Launcher::ReadConfiguration() try {
  wants_ = Wants::kNothing;
  std::optional<MemberConfig> const config = LoadMemberConfig();
  if (!config) return SetState(MemberState::kUnconfigured, "no cluster has been created or joined");
  std::string lines;
  if (std::string const problems = JoinProblems(FindSettingProblems(), &lines); !problems.empty()) {
    SetState(MemberState::kHalted, problems);
    return Log("not started: " + problems);
  }
  wants_ = LoadMember() ? Wants::kMember : Wants::kJoin;
  SetState(wants_ == Wants::kMember ? MemberState::kStarting : MemberState::kJoining, "the workers are being started");
} catch (const PgError& e) {
  wants_ = Wants::kNothing;
  SetState(MemberState::kHalted, e.message());
  Log("not started: " + e.message());
}

void Launcher::StartSet() {
  pg_atomic_fetch_add_u32(&shared->generation, 1);
  pg_atomic_write_u64(&shared->tables, 0);  // the set that begins looks where they are by now
  started_at_ = MonotonicUs();
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  shared->worker_error[0] = '\0';
  LWLockRelease(shared->lock);
  for (const Role* role : kRoles) {
    if (wants_ == Wants::kJoin && role != &kConsensus) continue;
    if (StartWorker(*role)) continue;
    StopSet();
    return Pause("there is no free background worker: max_worker_processes is too small");
  }
  if (wants_ == Wants::kMember)
    Log("started the workers, generation " + std::to_string(pg_atomic_read_u32(&shared->generation)));
}

bool Launcher::StartWorker(const Role& role) {
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | (role.connects ? BGWORKER_BACKEND_DATABASE_CONNECTION : 0);
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  worker.bgw_notify_pid = MyProcPid;
  worker.bgw_main_arg = UInt32GetDatum(pg_atomic_read_u32(&shared->generation));
  strlcpy(worker.bgw_library_name, "dadbs", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, role.entry, BGW_MAXLEN);
  strlcpy(worker.bgw_name, role.name, BGW_MAXLEN);
  strlcpy(worker.bgw_type, role.name, BGW_MAXLEN);
  BackgroundWorkerHandle* handle = nullptr;
  bool const registered = Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
    bool const ok = RegisterDynamicBackgroundWorker(&worker, &handle);
    MemoryContextSwitchTo(before);
    return ok;
  });
  if (registered) set_.push_back({&role, handle});
  return registered;
}

const Role* Launcher::FindEnded() {
  for (const Running& r : set_)
    if (StatusOf(r.handle) == BGWH_STOPPED) return r.role;
  return nullptr;
}

// Ends with every worker of the set gone, or with this process asked to end (the postmaster then stops the workers
// too).
void Launcher::StopSet() {
  pg_atomic_write_u32(&shared->can_write, 0);
  for (const Running& r : set_) TerminateBackgroundWorker(r.handle);
  for (const Running& r : set_) {
    while (StatusOf(r.handle) != BGWH_STOPPED && !ShutdownAsked()) Sleep(kStopPoll_ms);
    pfree(r.handle);
  }
  set_.clear();
}

void Launcher::AfterEnd(const Role& ended) {
  std::string why;
  LWLockAcquire(shared->lock, LW_SHARED);
  char text[kReasonBytes];
  strlcpy(text, shared->worker_error, sizeof(text));
  LWLockRelease(shared->lock);
  why = text[0] != '\0' ? text : std::string("the ") + ended.name + " worker has ended";
  StopSet();
  if (IsHalted() || ShutdownAsked()) return;
  // A join that is complete changes the configuration: it ends without an error and is no failure.
  if (pg_atomic_read_u32(&shared->configure_requests) != seen_requests_) return;
  Pause(why);
}

void Launcher::Pause(const std::string& why) {
  int64 const now = MonotonicUs();
  if (now - started_at_ > kHealthyAfter_ms * 1000) pause_ms_ = 0;
  pause_ms_ = std::clamp(pause_ms_ * 2, kPauseMin_ms, kPauseMax_ms);
  not_before_ = now + pause_ms_ * 1000;
  SetState(wants_ == Wants::kJoin ? MemberState::kJoining : MemberState::kStarting, "restarting: " + why);
  Log("starting the workers again in " + std::to_string(pause_ms_) + " ms: " + why);
}

// Sleeps until something may have changed. watcher_sleeping is raised first and apply_busy read after it, apply does it
// the other way round: one of the two sees the other.
void Launcher::Wait() {
  long timeout_ms = kIdleInterval_ms;
  if (set_.empty() && wants_ != Wants::kNothing && !IsHalted())
    timeout_ms = std::clamp<long>((not_before_ - MonotonicUs() + 999) / 1000, 0, kIdleInterval_ms);
  pg_atomic_write_u32(&shared->watcher_sleeping, 1);
  pg_memory_barrier();
  if (pg_atomic_read_u32(&shared->apply_busy) != 0) {
    pg_atomic_write_u32(&shared->watcher_sleeping, 0);
    timeout_ms = std::min<long>(timeout_ms, kWatchInterval_ms);
  }
  Sleep(timeout_ms);
  pg_atomic_write_u32(&shared->watcher_sleeping, 0);
}

}  // namespace
}  // namespace dadbs::pg

extern "C" void dadbs_launcher_main(Datum) {
  using namespace dadbs::pg;
  RunWorker([] {
    pqsignal(SIGUSR1, procsignal_sigusr1_handler);  // "a worker has started or ended" sets the latch
    Launcher launcher;
    launcher.Run();
  });
  proc_exit(1);  // 0 would mean "never start it again", which only the end of the server may mean
}
