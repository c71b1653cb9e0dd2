/*
 * doom.cpp: a transaction that stands in the way of the holder of the turn, while it still executes.
 *
 * The watcher sets `doomed` with the victim's virtual transaction id in the victim's slot, then wakes it by signals of
 * growing strength (recipe R7). What the client would read of those ("canceling statement due to user request", "...
 * due to conflict with recovery") is not what has happened: the hooks around the executor and utilities replace such
 * an error, and a deadlock with the apply worker, by SQLSTATE 40001 with our words, and end a doomed transaction at its
 * next statement even when no signal came. An error that arises outside of them (planning, a fastpath call) is
 * rewritten where it is reported: emit_log_hook (which Postgres calls only where log_min_messages lets errors through).
 *
 * A COMMIT (or ROLLBACK) always ends the transaction block, whatever comes of it, and clients count on that: some don't
 * look at the state that the server reports with the error and send no ROLLBACK. A signal that arrives while COMMIT is
 * parsed, before its command runs, would leave an aborted block behind: the same hook closes it.
 *
 * The hooks also notice settings that must not change between a statement and COMMIT: track_counts,
 * session_replication_role and default_toast_compression; and transaction ids that a client may be told (xids.h).
 */
#include "hold_internal.h"

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/xids.h"

extern "C" {
#include "access/toast_compression.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
}

namespace dadbs::pg {

static constexpr int kFastPathStackMaxKb = 5 * 1024;

bool counts_were_off = false;
bool replica_role_was_set = false;

namespace {

constexpr char kLost[] = "could not complete the transaction: another member's transaction wrote the same rows or "
                         "definitions first";
constexpr char kLostDetail[] = "It held a lock that the next transaction of the chain needs.";
constexpr char kLostHint[] = "Retry the transaction.";
constexpr char kLostSessionHint[] = "Connect again and retry the transaction.";

ExecutorStart_hook_type previous_executor_start = nullptr;
ExecutorRun_hook_type previous_executor_run = nullptr;
ExecutorFinish_hook_type previous_executor_finish = nullptr;
ProcessUtility_hook_type previous_process_utility = nullptr;
emit_log_hook_type previous_emit_log = nullptr;
bool block_is_ending = false;  // the command of COMMIT or ROLLBACK has run, in this transaction

bool CausedBySignal(int sqlstate) {
  return sqlstate == ERRCODE_QUERY_CANCELED || sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE ||
         sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED;
}

bool EndsBlock(const Node* statement) {
  auto const kind = reinterpret_cast<const TransactionStmt*>(statement)->kind;
  return kind == TRANS_STMT_COMMIT || kind == TRANS_STMT_ROLLBACK || kind == TRANS_STMT_PREPARE;
}

// Past white space and comments.
void SkipSpace(const char** text) {
  const char*& at = *text;
  for (;;) {
    if (isspace(static_cast<unsigned char>(*at))) {
      at++;
    } else if (at[0] == '-' && at[1] == '-') {
      at += strcspn(at, "\n");
    } else if (at[0] == '/' && at[1] == '*') {
      const char* const end = strstr(at + 2, "*/");
      at = end != nullptr ? end + 2 : at + strlen(at);
    } else {
      return;
    }
  }
}

// The watcher comes too late where Postgres finds the deadlock as soon as the second of the two goes to sleep.
bool Lost(int sqlstate) {
  if (!CausedBySignal(sqlstate)) return false;
  if (Doomed()) return true;
  PGPROC* const apply = shared != nullptr ? shared->apply : nullptr;
  return sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED && apply != nullptr && SleepsOnLock(apply);
}

void RaiseLost() {
  ereport(ERROR, (errcode(kErrConflict), errmsg("%s", kLost), errdetail("%s", kLostDetail), errhint("%s", kLostHint)));
}

// In PG_CATCH: ends in an error either way.
void RethrowAsLost(MemoryContext context) {
  if (!Lost(geterrcode())) PG_RE_THROW();
  MemoryContextSwitchTo(context);
  FlushErrorState();
  RaiseLost();
}

void NoteSettings() {
  if (unlikely(!pgstat_track_counts)) counts_were_off = true;
  if (unlikely(SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)) replica_role_was_set = true;
  // Whether a wide value fits into an index depends on how well it was compressed; the applier's method decides.
  if (unlikely(default_toast_compression != TOAST_PGLZ_COMPRESSION)) replica_role_was_set = true;
  // With more stack than this a session could find a CHECK true at whose evaluation the others' stack ends (apply/impasse.cpp).
  if (unlikely(max_stack_depth > kFastPathStackMaxKb)) replica_role_was_set = true;
}

void StartExecutor(QueryDesc* query, int flags) {
  NoteSettings();
  if (unlikely(Doomed())) RaiseLost();
  CheckForeignWrites(query->plannedstmt);
  if (previous_executor_start)
    previous_executor_start(query, flags);
  else
    standard_ExecutorStart(query, flags);
}

void RunExecutor(QueryDesc* query, ScanDirection direction, uint64 count, bool once) {
  MemoryContext const context = CurrentMemoryContext;
  PG_TRY();
  {
    if (previous_executor_run)
      previous_executor_run(query, direction, count, once);
    else
      standard_ExecutorRun(query, direction, count, once);
    NoteXid();
  }
  PG_CATCH();
  {
    RethrowAsLost(context);
  }
  PG_END_TRY();
}

void FinishExecutor(QueryDesc* query) {
  MemoryContext const context = CurrentMemoryContext;
  PG_TRY();
  {
    if (previous_executor_finish)
      previous_executor_finish(query);
    else
      standard_ExecutorFinish(query);
  }
  PG_CATCH();
  {
    RethrowAsLost(context);
  }
  PG_END_TRY();
}

void RunUtility(PlannedStmt* statement, const char* text, bool read_only_tree, ProcessUtilityContext context,
                ParamListInfo params, QueryEnvironment* environment, DestReceiver* dest, QueryCompletion* completion) {
  MemoryContext const memory = CurrentMemoryContext;
  NoteSettings();
  if (IsA(statement->utilityStmt, TransactionStmt)) block_is_ending = EndsBlock(statement->utilityStmt);
  PG_TRY();
  {
    if (previous_process_utility)
      previous_process_utility(statement, text, read_only_tree, context, params, environment, dest, completion);
    else
      standard_ProcessUtility(statement, text, read_only_tree, context, params, environment, dest, completion);
    NoteXid();
  }
  PG_CATCH();
  {
    RethrowAsLost(memory);
  }
  PG_END_TRY();
}

// COMMIT, END, ROLLBACK or ABORT [WORK | TRANSACTION] [AND [NO] CHAIN], and nothing behind it.
bool AsksForEnd(const char* text) {
  std::string word;
  bool first = true;
  for (SkipSpace(&text); *text != '\0' && *text != ';'; SkipSpace(&text)) {
    word.clear();
    while (isalpha(static_cast<unsigned char>(*text)))
      word += static_cast<char>(tolower(static_cast<unsigned char>(*text++)));
    bool const known = first ? word == "commit" || word == "end" || word == "rollback" || word == "abort"
                             : word == "work" || word == "transaction" || word == "and" || word == "no" || word == "chain";
    if (!known) return false;
    first = false;
  }
  while (*text == ';') SkipSpace(&++text);
  return !first && *text == '\0';
}

void EndBlockAsAsked() {
  if (block_is_ending || !IsTransactionBlock() || debug_query_string == nullptr || !AsksForEnd(debug_query_string)) return;
  block_is_ending = true;
  (void)EndTransactionBlock(false);  // which the error at hand makes fail
}

// elog.c frees its texts when a FATAL one has been reported, so each must be allocated where it expects it.
void Put(char** field, const ErrorData* error, const char* text) {
  *field = MemoryContextStrdup(error->assoc_context != nullptr ? error->assoc_context : ErrorContext, text);
}

// Reported outside of the hooks above.
void RewriteReport(ErrorData* error) {
  if (error->elevel >= ERROR && error->sqlerrcode != kErrUnknown && shared != nullptr && MyProc != nullptr) {
    SlotState const state = MySlot()->state;
    if (state == SlotState::kCommitting || (state == SlotState::kTurn && error->elevel >= FATAL)) {
      error->sqlerrcode = kErrUnknown;
      Put(&error->hint, error, "The transaction has been handed over to the group and may commit. "
                               "Look at dadbs.transaction_status().");
    } else if (Lost(error->sqlerrcode)) {
      error->sqlerrcode = kErrConflict;
      Put(&error->message, error, kLost);
      Put(&error->detail, error, kLostDetail);
      Put(&error->hint, error, error->elevel >= FATAL ? kLostSessionHint : kLostHint);
      if (error->elevel == ERROR) EndBlockAsAsked();
    }
  }
  if (previous_emit_log) previous_emit_log(error);
}

}  // namespace

bool Doomed() {
  if (shared == nullptr || MyProc == nullptr) return false;
  const BackendSlot* const slot = MySlot();
  uint64 const transaction = VirtualId(MyProc, MyProc->lxid);
  return slot->doomed && transaction != 0 && slot->doomed_transaction == transaction;
}

void ClearDoom() noexcept {
  block_is_ending = false;
  BackendSlot* const slot = MySlot();
  if (!slot->doomed) return;
  SlotGuard guard(slot);
  slot->doomed = false;
  slot->doomed_transaction = 0;
}

void ThrowLost() { throw PgError(kErrConflict, kLost, kLostDetail, kLostHint); }

void InstallDoomHooks() {
  previous_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = StartExecutor;
  previous_executor_run = ExecutorRun_hook;
  ExecutorRun_hook = RunExecutor;
  previous_executor_finish = ExecutorFinish_hook;
  ExecutorFinish_hook = FinishExecutor;
  previous_process_utility = ProcessUtility_hook;
  ProcessUtility_hook = RunUtility;
  previous_emit_log = emit_log_hook;
  emit_log_hook = RewriteReport;
}

}  // namespace dadbs::pg
