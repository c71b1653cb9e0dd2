/*
 * run.cpp: positions that the apply worker executes itself, gathered into one local transaction.
 *
 * A run holds block rows, refused transactions (their verdict's row) and executed ones (rows and data), in position
 * order. Nothing of it counts before its commit: then the index remembers the keys, applied is stepped, and those who
 * wait for an outcome get it. When something in it fails, the local transaction is rolled back; verdicts found before
 * are kept.
 */
#include <signal.h>

#include <algorithm>

#include "applier.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/definitions.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/row_apply.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr size_t kRunTransactionsMax = 512;
constexpr size_t kRunChangesMax = 5000;
constexpr size_t kRunBytesMax = 4u << 20;
constexpr long kBackOffFirstMs = 5, kBackOffMaxMs = 1000;
constexpr int kBackOffSilentAttempts = 3;
constexpr long kVotePollMs = 100;
constexpr int64 kVoteInterval_us = 3'000'000;
constexpr int kInternalAttempts = 5;
constexpr int64 kInternalStays_us = 1'000'000;
constexpr char kBackOffHint[] = "Remove the cause on this member; it goes on by itself. If all members say the same, none can "
                                "execute it: keep them running and report it.";

// Internal errors, and nothing else in between, again and again.
class InternalFailure {
 public:
  bool Stays(const PgError& e) {
    if (!IsInternalFailure(e)) return times_ = 0, false;
    int64 const now = MonotonicUs();
    if (times_ == 0) since_us_ = now;
    return ++times_ >= kInternalAttempts && now - since_us_ >= kInternalStays_us;
  }

 private:
  int64 since_us_ = 0;
  int times_ = 0;
};

// What its origin has committed by itself without executing it here is not to be refused because others cannot execute it.
bool MayBeCommittedUnseen(const Work& work) {
  return !work.parsed || work.of_plain_rows();
}

volatile sig_atomic_t cancellable = 0;

void Cancel(SIGNAL_ARGS) {
  if (cancellable != 0) StatementCancelHandler(postgres_signal_arg);
}

void EndCancellable() {
  cancellable = 0;
  QueryCancelPending = false;
}

constexpr int64 kPostgresEpochUs = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

// now() of what is executed at a position is the block's time (recipe R4). Assertions want a parallel worker's number.
void FixTimestamps(int64_t block_time_us) {
  TimestampTz const at = block_time_us - kPostgresEpochUs;
  int const number = ParallelWorkerNumber;
  ParallelWorkerNumber = 0;
  SetParallelStartTimestamps(at, at);
  ParallelWorkerNumber = number;
}

std::string Describe(const Work& work) {
  return "transaction " + core::ToString(work.id) + " of member " + NodeName(work.id.origin) + " at height " +
         std::to_string(work.position.height.value) + ", index " + std::to_string(work.position.index);
}

void Pause(long ms) {
  Call([&] {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  });
}

}  // namespace

void Applier::OpenRun(int64_t block_time_us) {
  if (open_) return;
  Call([&] {
    FixTimestamps(block_time_us);
    StartTransactionCommand();
    MemoryContextSwitchTo(context_);
  });
  open_ = true;
}

bool Applier::RunIsFull() const {
  return run_.size() >= kRunTransactionsMax || run_changes_ >= kRunChangesMax || run_bytes_ >= kRunBytesMax;
}

// Puts one more position into the run, whatever it takes.
void Applier::Add(const Item& item) {
  if (RunIsFull()) Settle();
  try {
    Cancellable const while_executed;
    OpenRun(item.block ? item.block->block->header.time_us : item.work->block_time_us);
    Carry(item);
  } catch (const PgError& e) {
    if (IsHalt(e)) throw;
    Redo(AbortRun());
    Alone(item);
    return;
  }
  run_.push_back(item);
  if (!item.work) return;
  run_bytes_ += item.work->bytes.size();
  run_changes_ += item.work->view.changes.size();
}

// Executes one position in the open local transaction and writes its row.
void Applier::Carry(const Item& item) {
  if (item.block) {
    WriteBlock(*item.block->block, item.block->certificate, item.block->batches);
    run_bytes_ += item.block->block->header.body_bytes;
    return;
  }
  Work* const work = item.work.get();
  work->writing_row = false;
  bool const execute = work->verdict == core::Verdict::kUnknown || work->verdict == core::Verdict::kCommitted;
  if (execute) Execute(work);
  core::KeyList const all = execute ? work->AllKeys() : core::KeyList{};
  core::Bytes const keys = execute ? core::EncodeKeys(all) : core::Bytes{};
  TransactionRow row;
  row.position = work->position;
  row.id = work->id;
  row.origin_xid = work->parsed ? work->view.header.origin_xid : 0;
  row.verdict = execute ? core::Verdict::kCommitted : work->verdict;
  row.sqlstate = work->refusal.sqlstate;
  row.message = work->refusal.message;
  row.keys = keys;
  work->writing_row = true;
  if (execute && work->has_ddl()) KeepDefinitions(work->position);
  WriteTransactionRow(row);
  if (!execute) WriteContractRuns(work->at(), work->runs);
  work->writing_row = false;
  Call([&] {
    CommandCounterIncrement();
    MemoryContextReset(context_);
  });
  if (!execute) return;
  work->verdict = core::Verdict::kCommitted;
  Record(work, all);
}

void Applier::Record(Work* work, const core::KeyList& all) {
  if (work->recorded) return;
  certifier_.Record(all, work->position);
  work->recorded = true;
}

void Applier::Execute(Work* work) {
  TimestampTz const began = GetCurrentTimestamp();
  work->verdict = core::Verdict::kUnknown;
  work->written_keys.clear();
  work->runs.clear();
  if (work->is_vote()) return AnswerVote(*work);
  Call([] { PushActiveSnapshot(GetTransactionSnapshot()); });
  try {
    work->calls() ? ExecuteCalls(work) : ExecuteChanges(work);
  } catch (...) {
    work->runs = TakeContractRuns();
    for (ContractRun& run : work->runs) run.result.reset();
    throw;
  }
  Call([] {
    if (ActiveSnapshotSet()) PopActiveSnapshot();
  });
  AddStage(kStageApply, GetCurrentTimestamp() - began);
}

void Applier::AnswerVote(const Work& work) {
  core::Change change;
  DADBS_CHECK(core::DecodeChange(work.view.changes[0].bytes, &change));  // parsed
  vote_answers_.Take(work.id.origin, std::get<core::ImpasseVote>(change), work.position.height, GetCurrentTimestamp());
}

void Applier::ExecuteCalls(Work* work) {
  if (work->view.changes.size() > static_cast<size_t>(kCallsMax))
    throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "more than " + std::to_string(kCallsMax) + " calls in one transaction");
  std::vector<core::CallChange> calls;
  for (const core::ChangeView& view : work->view.changes) {
    core::Change change;
    if (!core::DecodeChange(view.bytes, &change)) throw InvalidWriteSet(kErrInvalidWriteSet, "malformed change");
    calls.push_back(std::get<core::CallChange>(change));
  }
  RunCalls(calls, work->at(), &work->written_keys);
}

void Applier::ExecuteChanges(Work* work) {
  RowApplier rows;
  try {
    rows.Begin();
    core::Change change;
    for (const core::ChangeView& view : work->view.changes) {
      if (!core::DecodeChange(view.bytes, &change)) throw InvalidWriteSet(kErrInvalidWriteSet, "malformed change");
      if (const auto* const row = std::get_if<core::RowChange>(&change)) {
        rows.Apply(*row);
      } else if (const auto* const truncate = std::get_if<core::TruncateChange>(&change)) {
        rows.Apply(*truncate);
      } else if (const auto* const sequence = std::get_if<core::SequenceChange>(&change)) {
        rows.Apply(*sequence);
      } else if (const auto* const contract = std::get_if<core::ContractChange>(&change)) {
        rows.CloseRelations();
        ResetExpressions();
        ExecuteContractChange(*contract, work->at(), &work->written_keys);
      } else if (const auto* const evidence = std::get_if<core::EvidenceChange>(&change)) {
        ExecuteEvidence(*evidence, work->at());
      } else if (const auto* const proposal = std::get_if<core::ProposalChange>(&change)) {
        rows.CloseRelations();
        ResetExpressions();
        ExecuteProposalChange(*proposal, work->at(), work->view.changes.size() == 1, &work->written_keys);
      } else {
        rows.CloseRelations();
        ResetExpressions();
        ExecuteDdlAtPosition(std::get<core::DdlChange>(change), work->position, &work->written_keys);
      }
    }
    rows.End();
    if (rows.contract_events().count > 0) {
      if (work->has_ddl())
        throw PgError(kErrNotSupported, "cannot change rows of tables with contracts in a transaction that holds definitions", "",
                      "Use two transactions.");
      RunContracts(rows.contract_events(), work->at(), &work->written_keys);
    }
  } catch (...) {
    rows.Abort();
    throw;
  }
}

void Applier::CommitRun() {
  if (!open_) return;
  Call([] { CommitTransactionCommand(); });
  EndCancellable();  // it is committed: nothing may say that it failed
  open_ = false;
  Items const done = std::move(run_);
  run_.clear();
  run_bytes_ = run_changes_ = 0;
  for (const Item& item : done) Finish(item);
  if (shared->apply_reason[0] != '\0') SetApplyReason("");  // it went on
  Call([&] {
    MemoryContextSwitchTo(TopMemoryContext);
    MemoryContextReset(context_);
    pgstat_report_stat(false);
  });
}

// After the commit: visible, so it may be told.
void Applier::Finish(const Item& item) {
  core::Prefix applied;
  if (item.block) {
    core::Height const height = item.block->height();
    bool const empty = item.block->block->header.transaction_count == 0;
    applied = empty ? core::PrefixWholeBlock(height) : core::Prefix{height.value << 20};
  } else {
    applied = item.work->applied_after;
  }
  DADBS_CHECK(applied > Applied());
  StepApplied(applied);
  Work* const work = item.work.get();
  bool const committed = work != nullptr && work->verdict == core::Verdict::kCommitted;
  // After applied (a schema base is never above the base), before the author goes on.
  if (committed && work->has_ddl()) PublishSchemaPosition(applied);
  NoteApplied(applied);
  if (work == nullptr) return;
  pg_atomic_fetch_add_u64(committed ? &shared->transactions_committed : &shared->transactions_lost, 1);
  if (work->verdict == core::Verdict::kRejected) pg_atomic_fetch_add_u64(&shared->conflicts[kConflictRejected], 1);
  if (work->verdict == core::Verdict::kInvalid) pg_atomic_fetch_add_u64(&shared->conflicts[kConflictInvalid], 1);
  if (!work->waiter) return;
  if (committed) pg_atomic_fetch_add_u64(&shared->replayed_local, 1);
  AnswerWaiter(work->waiter, committed ? Answer{Outcome::kCommitted, 0, "", "", "", work->position} : work->refusal);
}

Cancellable::Cancellable() { cancellable = 1; }

Cancellable::~Cancellable() { EndCancellable(); }

void HandleCancels() {
  pqsignal(SIGINT, Cancel);
  EndCancellable();
}

// Rolls the run back; returns what was good in it.
Applier::Items Applier::AbortRun() {
  Call([&] {
    AbortOutOfAnyTransaction();
    ResetExpressions();
    ForgetContracts();
    ForgetCompiledInVain();
    MemoryContextSwitchTo(TopMemoryContext);
    MemoryContextReset(context_);
  });
  open_ = false;
  Items undone = std::move(run_);
  run_.clear();
  run_bytes_ = run_changes_ = 0;
  return undone;
}

// Executes once more, and commits, what was rolled back with a run: it was good, and it is again.
void Applier::Redo(const Items& items) {
  if (items.empty()) return;
  for (int attempt = 0;;) {
    try {
      Cancellable const while_executed;
      OpenRun(items[0].block ? items[0].block->block->header.time_us : items[0].work->block_time_us);
      for (const Item& item : items) {
        Carry(item);
        run_.push_back(item);
      }
      CommitRun();
      return;
    } catch (const PgError& e) {
      if (IsHalt(e)) throw;
      AbortRun();
      BackOff(e, nullptr, &attempt);
    }
  }
}

// One position in a local transaction of its own, until it is committed with a verdict.
void Applier::Alone(const Item& item) {
  Work* const work = item.work.get();
  InternalFailure internal;
  for (int attempt = 0;;) {
    StackScope const stack(work != nullptr && work->passage == Passage::kExecute ? Stack::kDecided : Stack::kUsual);
    try {
      Cancellable const while_executed;
      OpenRun(item.block ? item.block->block->header.time_us : work->block_time_us);
      if (work != nullptr && Decide(work) == Decision::kTakeTurn) Doom(work->waiter);
      Carry(item);
      run_.push_back(item);
      CommitRun();
      return;
    } catch (const PgError& e) {
      if (IsHalt(e)) throw;
      bool const at_commit = !run_.empty();
      AbortRun();
      bool const own = work == nullptr || work->writing_row || work->recorded || at_commit;
      if (!own && work->passage == Passage::kUndecided && (IsStackFailure(e) || (internal.Stays(e) && !MayBeCommittedUnseen(*work))))
        AwaitPassage(work, e);
      else if (own || IsOwnFailure(e))
        BackOff(e, work, &attempt);
      else if (!work->certified)
        RefuseUnreadable(work, e);
      else
        RefuseByError(work, e);
    }
  }
}

// Whether the transaction can be executed with that much stack; what it does is rolled back.
bool Applier::IsEnough(Stack use, Work* work) {
  InternalFailure internal;
  for (int attempt = 0;;) {
    StackScope const stack(use);
    try {
      Cancellable const while_executed;
      OpenRun(work->block_time_us);
      if (Decide(work) == Decision::kTakeTurn) Doom(work->waiter);
      if (work->verdict == core::Verdict::kUnknown) Execute(work);
      AbortRun();
      return true;
    } catch (const PgError& e) {
      if (IsHalt(e)) throw;
      AbortRun();
      if (IsStackFailure(e)) return false;
      if (!IsOwnFailure(e)) return true;
      if (internal.Stays(e)) return false;
      BackOff(e, work, &attempt);
    }
  }
}

// Until the members have said what becomes of the transaction (impasse.cpp). Meanwhile it is tried, and rolled back: an internal error may
// go away, and then the vote changes.
void Applier::AwaitPassage(Work* work, const PgError& why) {
  bool const of_stack = IsStackFailure(why);
  size_t const members = CurrentMember()->genesis.members.size();
  vote_answers_.Settled(work->position);
  VoteCount count(JournalDirectory(), work->position, members, of_stack, &vote_answers_);
  pg_atomic_write_u32(&shared->impasse, 1);
  std::optional<bool> can;
  int64_t cast_us = 0;
  while ((work->passage = count.Look(DurablePosition())) == Passage::kUndecided) {
    if (int64 const now = MonotonicUs(); cast_us == 0 || now - cast_us >= kVoteInterval_us) {
      if (of_stack && !can)
        can = IsEnough(Stack::kDecided, work) && IsEnough(Stack::kAsked, work);  // the first makes plans
      else if (!of_stack && can != true)
        can = cast_us != 0 && IsEnough(Stack::kUsual, work);
      CastVote({work->position, *can});
      cast_us = now;
    }
    std::string const obstacle = of_stack ? " takes more stack than is usual. " : " cannot be executed: " + why.message() + ". ";
    SetApplyReason((Describe(*work) + obstacle + std::to_string(count.voters()) + " of the " + std::to_string(count.needed()) +
                    " members that are needed have said on the chain whether they can execute it").c_str());
    Pause(kVotePollMs);
  }
  pg_atomic_write_u32(&shared->impasse, 0);
  SetApplyReason("");
  if (work->passage != Passage::kRefuse) return;
  work->runs.clear();  // how far contracts came is not the same on all members
  if (of_stack)
    work->Refuse(core::Verdict::kRejected, ERRCODE_STATEMENT_TOO_COMPLEX, "stack depth limit exceeded on a quorum of the members", "",
                 "Use values and expressions that are nested less deeply.");
  else
    work->Refuse(core::Verdict::kRejected, ERRCODE_INTERNAL_ERROR, why.message(), "A quorum of the members could not execute it.");
}

// This member's own failure: say so, wait a little, and try again. Never a verdict by itself, never skipped.
void Applier::BackOff(const PgError& e, const Work* work, int* attempt) const {
  std::string const what = work == nullptr ? "block " + std::to_string(height_.value) : Describe(*work);
  std::string const reason = what + " is retried: " + e.message() + " (SQLSTATE " + unpack_sql_state(e.sqlstate()) + ")";
  SetApplyReason((reason + ". " + kBackOffHint).c_str());
  bool const speak = ++*attempt > kBackOffSilentAttempts && (*attempt & (*attempt - 1)) == 0;
  long const wait_ms = std::min(kBackOffMaxMs, kBackOffFirstMs << std::min(*attempt, 10));
  Call([&] {
    if (speak)
      ereport(LOG,
              (errcode(e.sqlstate()), errmsg("dadbs apply: %s", reason.c_str()),
               errdetail("Attempt %d. It is never skipped: positions after it wait, and so does COMMIT here.", *attempt),
               errhint("%s", kBackOffHint)));
  });
  Pause(wait_ms);
}

}  // namespace dadbs::pg
