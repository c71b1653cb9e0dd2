/*
 * worker.cpp: the apply worker's process: environment, start, loop.
 *
 * A dynamic background worker in the shared database, one of the set that the launcher starts. It follows the journal
 * behind the consensus worker and carries the chain out (applier.cpp). Whatever it evaluates must give the same on
 * every member, so its settings are fixed here, above anything that a configuration file, database or role says.
 *
 * Start: turns that an earlier worker set granted are taken back first and those that are committing waited for, since
 * after that nobody but this process steps the applied position. Then the history says where to go on, and the index
 * is rebuilt before anything is certified. Reads of clients wait (read_gate.cpp) until what the journal held when
 * consensus opened it is applied.
 *
 * SIGTERM ends it: between two steps in order, in a wait for a lock by FATAL. Nothing is lost either way. SIGINT ends
 * what is executed, and it is executed again; it never ends the worker (Cancellable).
 */
#include <string>

#include "applier.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/definitions.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/version.h"
#include "dadbs/pg/worker.h"
#include "dadbs/pg/xids.h"
#include "../sql/cluster_database.h"
#include "recover.h"

extern "C" {
#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "replication/origin.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

PGDLLEXPORT void dadbs_apply_main(Datum);
}

namespace dadbs::pg {
namespace {

constexpr long kIdleMs = 1000;
constexpr long kBusyLingerMs = 100;     // apply_busy stays on that long: toggling it wakes the launcher
constexpr long kStartPollMs = 10;

struct Setting {
  const char* name;
  const char* value;
};
const Setting kEnvironment[] = {
    {"TimeZone", "UTC"},
    {"timezone_abbreviations", "Default"},
    {"DateStyle", "ISO, YMD"},
    {"IntervalStyle", "postgres"},
    {"extra_float_digits", "1"},
    {"bytea_output", "hex"},
    {"xmlbinary", "base64"},
    {"xmloption", "content"},
    {"array_nulls", "on"},
    {"standard_conforming_strings", "on"},
    {"backslash_quote", "safe_encoding"},
    {"transform_null_equals", "off"},
    {"quote_all_identifiers", "off"},
    {"escape_string_warning", "off"},
    {"default_text_search_config", "pg_catalog.simple"},
    {"lc_messages", "C"},
    {"lc_monetary", "C"},
    {"lc_numeric", "C"},
    {"lc_time", "C"},
    {"search_path", "pg_catalog"},
    {"row_security", "off"},
    {"check_function_bodies", "off"},
    {"default_tablespace", ""},
    {"temp_tablespaces", ""},
    {"default_table_access_method", "heap"},
    {"default_toast_compression", "pglz"},
    {"password_encryption", "scram-sha-256"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_deferrable", "off"},
    {"session_replication_role", "origin"},
    {"jit", "off"},
    // Plans of contracts follow from the catalogs alone (contract/plans.cpp).
    {"plan_cache_mode", "force_generic_plan"},
    {"enable_seqscan", "on"},
    {"enable_indexscan", "on"},
    {"enable_indexonlyscan", "off"},
    {"enable_bitmapscan", "on"},
    {"enable_tidscan", "on"},
    {"enable_sort", "on"},
    {"enable_incremental_sort", "on"},
    {"enable_hashagg", "on"},
    {"enable_nestloop", "on"},
    {"enable_hashjoin", "on"},
    {"enable_mergejoin", "on"},
    {"enable_material", "on"},
    {"enable_memoize", "off"},
    {"enable_partition_pruning", "on"},
    {"enable_partitionwise_join", "off"},
    {"enable_partitionwise_aggregate", "off"},
    {"geqo", "off"},
    {"from_collapse_limit", "8"},
    {"join_collapse_limit", "8"},
    {"constraint_exclusion", "partition"},
    {"cursor_tuple_fraction", "0.1"},
    {"seq_page_cost", "1"},
    {"random_page_cost", "4"},
    {"cpu_tuple_cost", "0.01"},
    {"cpu_index_tuple_cost", "0.005"},
    {"cpu_operator_cost", "0.0025"},
    {"effective_cache_size", "4GB"},
    {"work_mem", "4MB"},
    {"hash_mem_multiplier", "1"},
    {"max_stack_depth", StackLimit(Stack::kUsual)},  // the same everywhere, and more than sessions have
    {"max_parallel_workers_per_gather", "0"},
    {"synchronous_commit", "off"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"idle_session_timeout", "0"},
    // The other one in a deadlock is to find it first; the watcher is faster than both.
    {"deadlock_timeout", "600000"},
    {"application_name", "dadbs apply"},
};

void FixEnvironment() {
  for (const Setting& s : kEnvironment) SetConfigOption(s.name, s.value, PGC_SUSET, PGC_S_OVERRIDE);
}

// As the other workers, and in a wait for a lock too.
void AskToEnd(SIGNAL_ARGS) {
  ShutdownRequestPending = true;
  die(postgres_signal_arg);
}

void ClearOnExit(int, Datum) {
  pg_atomic_write_u64(&shared->paused_for, 0);
  pg_atomic_write_u32(&shared->history_damaged, 0);
  pg_atomic_write_u32(&shared->apply_busy, 0);
  pg_atomic_write_u32(&shared->impasse, 0);
  pg_atomic_write_u64(&shared->turn_waiting_pid, 0);
}

bool Sleep(long timeout_ms) {  // false: nobody has set the latch
  return Call([&] {
    int const events =
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    return (events & WL_LATCH_SET) != 0;
  });
}

void SetBusy(bool busy) {
  if ((pg_atomic_read_u32(&shared->apply_busy) != 0) == busy) return;
  pg_atomic_write_u32(&shared->apply_busy, busy ? 1 : 0);
  pg_memory_barrier();
  if (busy && pg_atomic_read_u32(&shared->watcher_sleeping) != 0) WakeWorker(&shared->launcher);
}

class Worker {
 public:
  void Run();

 private:
  bool AwaitTurnsOver();
  bool AwaitConsensus();
  bool Step(Applier* applier, Feed* feed);
  void StandStill(Applier* applier);
  std::optional<core::Certifier> CertifierOf(const Recovered& recovered, std::string* damage);
  void AwaitMending(const std::string& damage);
  void NoteReplayed();
};

// Rows are compared and ordered by the database's collation: with another one keys and indexes mean something else here than elsewhere. So do
// names that begin with the database's.
void CheckDatabase() {
  Call([] { StartTransactionCommand(); });
  std::string database;
  DatabaseFacts const now = ReadDatabaseFacts(&database);
  Call([] { CommitTransactionCommand(); });
  const DatabaseFacts& then = CurrentMember()->config.facts;
  auto const compare = [](const char* what, const std::string& is, const std::string& was) {
    if (is != was) throw PgError(kErrHalted, std::string("the ") + what + " of the shared database is \"" + is + "\", and was \"" + was + "\" when it was shared");
  };
  compare("name", database, CurrentMember()->config.database_name);
  compare("encoding", now.encoding, then.encoding);
  compare("locale provider", now.provider, then.provider);
  compare("collation", now.collate, then.collate);
  compare("character classification", now.ctype, then.ctype);
  compare("ICU locale", now.icu_locale, then.icu_locale);
}

// False: asked to end.
bool Worker::AwaitTurnsOver() {
  SetBusy(true);
  while (!RevokeTurns()) {
    if (ShutdownAsked()) return false;
    Sleep(kStartPollMs);
  }
  return true;
}

bool Worker::AwaitConsensus() {
  while (shared->consensus == nullptr) {
    if (ShutdownAsked()) return false;
    Sleep(kStartPollMs);
    HandleWorkerInterrupts();
  }
  return true;
}

void Worker::NoteReplayed() {
  if (pg_atomic_read_u32(&shared->replay_done) != 0) return;
  if (Applied() < core::PrefixWholeBlock(core::Height{pg_atomic_read_u64(&shared->replay_target)})) return;
  pg_atomic_write_u32(&shared->replay_done, 1);
  Call([] { ConditionVariableBroadcast(&shared->applied_changed); });
  WakeWorker(&shared->consensus);
}

// For a session that has asked for it, between two blocks: it has the turn as long as it keeps us (pause.h).
// `applier`: none where nothing is applied.
void Worker::StandStill(Applier* applier) {
  uint64 const pid = pg_atomic_read_u64(&shared->pause_pid);
  if (pid == 0) return;
  if (applier != nullptr) applier->Settle();
  pg_atomic_write_u64(&shared->paused_for, pid);
  SetBusy(true);
  while (!ShutdownAsked() && pg_atomic_read_u64(&shared->pause_pid) == pid && BackendPidGetProc(static_cast<int>(pid)) != nullptr) {
    Sleep(kIdleMs);
    if (applier != nullptr) applier->PublishDurable();
    HandleWorkerInterrupts();
  }
  pg_atomic_write_u64(&shared->paused_for, 0);
  uint64 mine = pid;  // it may have died
  (void)pg_atomic_compare_exchange_u64(&shared->pause_pid, &mine, 0);
}

// None: the history does not say what was written.
std::optional<core::Certifier> Worker::CertifierOf(const Recovered& recovered, std::string* damage) try {
  return RebuildCertifier(recovered);
} catch (const PgError& e) {
  if (e.sqlstate() != ERRCODE_DATA_CORRUPTED) throw;
  Call([] { AbortOutOfAnyTransaction(); });
  *damage = e.message();
  return std::nullopt;
}

// Nothing can be certified; a session may take the turn and mend the history, and then the workers begin anew.
void Worker::AwaitMending(const std::string& damage) {
  SetApplyReason((damage + ". CALL dadbs.rebuild_database() takes the outcomes from the others").c_str());
  Call([&] { ereport(LOG, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("dadbs apply: %s", damage.c_str()), errhint("CALL dadbs.rebuild_database()."))); });
  pg_atomic_write_u32(&shared->history_damaged, 1);
  while (!ShutdownAsked() && pg_atomic_read_u32(&shared->outcomes_mended) == 0) {
    StandStill(nullptr);
    Sleep(kIdleMs);
    HandleWorkerInterrupts();
  }
  pg_atomic_write_u32(&shared->history_damaged, 0);
  SetApplyReason("");
}

// One block, or the end of what there is. True: there may be more.
bool Worker::Step(Applier* applier, Feed* feed) {
  std::shared_ptr<const DeliveredBlock> block;
  std::string error;
  switch (feed->Next(DurablePosition(), &block, &error)) {
    case Feed::Outcome::kBlock:
      SetBusy(true);
      applier->Apply(block);
      return true;
    case Feed::Outcome::kNothingYet:
      applier->Settle();
      return false;
    case Feed::Outcome::kError:
      throw PgError(kErrHalted, error);
  }
  return false;
}

void Worker::Run() {
  RequireStack();
  Call([] {
    pqsignal(SIGTERM, AskToEnd);
    HandleCancels();
    before_shmem_exit(ClearOnExit, 0);
    BackgroundWorkerInitializeConnectionByOid(pg_atomic_read_u32(&shared->database), InvalidOid, 0);
    FixEnvironment();
    PrepareContracts();
    replorigin_session_origin = DoNotReplicateId;
    pgstat_report_activity(STATE_RUNNING, "applying the chain");
  });
  TellVersions();
  CheckDatabase();
  UseUpToldXids();
  pg_atomic_write_u32(&shared->outcomes_mended, 0);  // what follows is read from the history as it is now
  if (!AwaitTurnsOver()) return;
  core::NodeId const self{shared->self_id};
  Recovered const recovered = RecoverPosition();
  PublishTables(recovered.applied);
  DADBS_CHECK(Applied() <= recovered.applied);
  std::string damage;
  std::optional<core::Certifier> index = CertifierOf(recovered, &damage);
  StepApplied(recovered.applied);
  PublishSchemaPosition(recovered.applied);
  AnswerFromHistory(self);
  PublishWorker(&shared->apply);
  if (!AwaitConsensus()) return;
  if (!index) return AwaitMending(damage);

  TakeDefinitions();
  Applier applier(self, std::move(*index), recovered);
  Feed feed(JournalDirectory(), recovered.whole);
  while (!ShutdownAsked()) {
    StandStill(&applier);
    // What was certified against is not what the history says now.
    if (pg_atomic_read_u32(&shared->outcomes_mended) != 0) throw PgError(kErrState, "this member's outcomes were mended");
    bool const more = Step(&applier, &feed);
    NoteReplayed();  // also while blocks keep coming
    applier.PublishDurable();
    HandleWorkerInterrupts();
    if (SequencesAreDue()) {
      applier.Settle();
      SetBusy(true);  // the watcher looks: it opens tables
      NoteSequences();
    }
    if (more) continue;
    bool const busy = pg_atomic_read_u32(&shared->apply_busy) != 0;
    if (!Sleep(busy || applier.durable_pending() ? kBusyLingerMs : kIdleMs)) SetBusy(false);
  }
}

}  // namespace
}  // namespace dadbs::pg

extern "C" void dadbs_apply_main(Datum) {
  using namespace dadbs::pg;
  RunWorker([] {
    Worker worker;
    worker.Run();
  });
}
