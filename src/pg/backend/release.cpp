/*
 * release.cpp: internal abort (recipe R2): the true outcome after a rollback.
 *
 * A held transaction that has been handed over must sometimes let go of its locks although the chain may still commit
 * it: it stands in the way of the holder of the turn, or the applier has to execute it. Then it is rolled back inside
 * the PRE_COMMIT callback, the backend waits outside any transaction for what replay makes of it, and goes on in a
 * new, empty transaction, which core commits: the client gets its COMMIT, or the verdict's error, truthfully.
 *
 * With the transaction goes session state that COMMIT would have kept: settings, LISTEN and NOTIFY. It is read before
 * and given back in a transaction of its own. Prepared statements, sequences, advisory locks and held cursors survive
 * by themselves. What was written to temporary (or, if allowed, local) tables is lost, and so are temporary and local
 * objects that were defined: such a transaction is refused before the hand-over if it surely aborts internally, and one
 * that is forced later reads 40003 and what was lost. The same goes for calls of pg_notify() as a function, whose
 * arguments no hook shows.
 */
#include <optional>

#include "hold_internal.h"

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
}

namespace dadbs::pg {
namespace {

bool in_internal_abort = false;

// ---- settings -----------------------------------------------------------------------------------------------------

struct SavedSetting {
  std::string name;
  std::optional<std::string> value;  // none: RESET
  GucContext context;
  Oid role;
};

bool IsRole(const std::string& name) { return name == "role" || name == "session_authorization"; }

bool SurvivesCommit(const config_generic& setting) {
  if (setting.stack == nullptr || setting.context == PGC_INTERNAL) return false;
  if (strncmp(setting.name, "transaction_", strlen("transaction_")) == 0 || strcmp(setting.name, "seed") == 0)
    return false;
  return setting.stack->state == GUC_SET || setting.stack->state == GUC_SET_LOCAL;
}

const char* Text(config_generic* setting, const config_var_val* masked) {
  switch (setting->vartype) {
    case PGC_BOOL:
      return (masked ? masked->boolval : *reinterpret_cast<config_bool*>(setting)->variable) ? "on" : "off";
    case PGC_INT: return psprintf("%d", masked ? masked->intval : *reinterpret_cast<config_int*>(setting)->variable);
    case PGC_REAL:
      return psprintf("%.17g", masked ? masked->realval : *reinterpret_cast<config_real*>(setting)->variable);
    case PGC_STRING: return masked ? masked->stringval : *reinterpret_cast<config_string*>(setting)->variable;
    case PGC_ENUM: {
      auto* const e = reinterpret_cast<config_enum*>(setting);
      return config_enum_lookup_by_value(e, masked ? masked->enumval : *e->variable);
    }
  }
  return nullptr;
}

std::vector<SavedSetting> SaveSettings() {
  std::vector<SavedSetting> saved;
  config_generic** const all = get_guc_variables();
  int const count = GetNumConfigOptions();
  for (int i = 0; i < count; i++) {
    config_generic* const setting = all[i];
    if (!SurvivesCommit(*setting)) continue;
    bool const local = setting->stack->state == GUC_SET_LOCAL;
    SavedSetting s{setting->name, std::nullopt, local ? setting->stack->masked_scontext : setting->scontext,
                   local ? setting->stack->masked_srole : setting->srole};
    const char* const text = Call([&] { return Text(setting, local ? &setting->stack->masked.val : nullptr); });
    if (text != nullptr && (local || setting->source == PGC_S_SESSION)) s.value = text;
    // The role last, for it is set in the right of the session's user.
    bool const first = s.name == "session_authorization";
    saved.insert(first ? saved.begin() : saved.end(), std::move(s));
  }
  return saved;
}

void RestoreSetting(const SavedSetting& s) {
  const char* const name = s.name.c_str();
  const char* const value = s.value ? s.value->c_str() : nullptr;
  Call([&] {
    (void)set_config_option_ext(name, value, s.context, PGC_S_SESSION, s.role, GUC_ACTION_SET, true, ERROR, false);
  });
}

// ---- LISTEN, UNLISTEN, NOTIFY -------------------------------------------------------------------------------------

struct Notification {
  int level;  // of the subtransaction
  NodeTag kind;
  std::string channel, payload;  // UNLISTEN *: no channel
};
std::vector<Notification> notifications;
ProcessUtility_hook_type previous_process_utility = nullptr;
object_access_hook_type previous_object_access = nullptr;
bool called_pg_notify = false;  // in this transaction

void NoteFunction(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void* argument) {
  if (access == OAT_FUNCTION_EXECUTE && object == F_PG_NOTIFY) called_pg_notify = true;
  if (previous_object_access) previous_object_access(access, class_id, object, sub_id, argument);
}

void Record(Node* statement) {
  int const level = GetCurrentTransactionNestLevel();
  auto text = [](const char* s) { return std::string(s != nullptr ? s : ""); };
  switch (nodeTag(statement)) {
    case T_NotifyStmt: {
      auto* const s = reinterpret_cast<NotifyStmt*>(statement);
      notifications.push_back({level, T_NotifyStmt, text(s->conditionname), text(s->payload)});
      break;
    }
    case T_ListenStmt:
      notifications.push_back({level, T_ListenStmt, text(reinterpret_cast<ListenStmt*>(statement)->conditionname), ""});
      break;
    case T_UnlistenStmt:
      notifications.push_back(
          {level, T_UnlistenStmt, text(reinterpret_cast<UnlistenStmt*>(statement)->conditionname), ""});
      break;
    default: break;
  }
}

void RestoreNotification(const Notification& n) {
  const char* const channel = n.channel.c_str();
  const char* const payload = n.payload.c_str();
  Call([&] {
    if (n.kind == T_NotifyStmt) {
      Async_Notify(channel, payload);
    } else if (n.kind == T_ListenStmt) {
      Async_Listen(channel);
    } else if (*channel != '\0') {
      Async_Unlisten(channel);
    } else {
      Async_UnlistenAll();
    }
  });
}

void RunUtility(PlannedStmt* statement, const char* text, bool read_only_tree, ProcessUtilityContext context,
                ParamListInfo params, QueryEnvironment* environment, DestReceiver* dest, QueryCompletion* completion) {
  NodeTag const tag = nodeTag(statement->utilityStmt);
  bool const recorded = tag == T_NotifyStmt || tag == T_ListenStmt || tag == T_UnlistenStmt;
  if (previous_process_utility)
    previous_process_utility(statement, text, read_only_tree, context, params, environment, dest, completion);
  else
    standard_ProcessUtility(statement, text, read_only_tree, context, params, environment, dest, completion);
  if (recorded) Enter([&] { Record(statement->utilityStmt); });
}

extern "C" void ForgetRolledBackNotifications(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  int const level = GetCurrentTransactionNestLevel();
  if (event == SUBXACT_EVENT_ABORT_SUB)
    while (!notifications.empty() && notifications.back().level >= level) notifications.pop_back();
  if (event == SUBXACT_EVENT_COMMIT_SUB)
    for (auto n = notifications.rbegin(); n != notifications.rend() && n->level >= level; ++n) n->level = level - 1;
}

extern "C" void ForgetNotifications(XactEvent event, void*) {
  if ((event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) || in_internal_abort) return;
  notifications.clear();
  called_pg_notify = false;
}

// ---- the session across the abort ---------------------------------------------------------------------------------

struct SessionState {
  std::vector<SavedSetting> settings;
  std::vector<Notification> notifications;
};

// In a transaction of its own: in the outer one, a cancel would answer 57014 for a committed transaction.
void RestoreSession(const SessionState& state) {
  if (state.settings.empty() && state.notifications.empty()) return;
  const char* failed = nullptr;
  bool role = false;
  try {
    Call([] { StartTransactionCommand(); });
    for (const SavedSetting& s : state.settings) {
      failed = s.name.c_str();
      role = IsRole(s.name);
      RestoreSetting(s);
    }
    failed = "LISTEN and NOTIFY";
    role = false;
    for (const Notification& n : state.notifications) RestoreNotification(n);
    Call([] { CommitTransactionCommand(); });
  } catch (const PgError& e) {
    Call([&] {
      AbortCurrentTransaction();
      // With another role than it believes to have, the session must not go on.
      bool const lost_role = role || (!state.settings.empty() && IsRole(state.settings.front().name));
      ereport(lost_role ? FATAL : WARNING,
              (errcode(e.sqlstate()), errmsg("the transaction was committed, but %s could not be restored", failed),
               errdetail("%s", e.what())));
    });
  }
}

// ---- the wait -----------------------------------------------------------------------------------------------------

// A utility's own commits (CREATE INDEX CONCURRENTLY, VACUUM FULL, ...) hold what an abort would take from under them.
bool CanAbortInternally() {
  return MyBackendType == B_BACKEND && !(ActivePortal != nullptr && !SPI_inside_nonatomic_context());
}

void AwaitOutcome() {
  for (;;) {
    SlotView seen = Look();
    if (seen.state == SlotState::kDone) return;
    DADBS_CHECK(seen.state == SlotState::kReleased);
    seen.doomed = false;  // it has let go: a cancel is the user's now
    AwaitChange(seen);
  }
}

void TakeOutcome() {
  if (Look().outcome == Outcome::kRefused) ThrowRefusal();
  RememberId();
  LeaveDone();
}

void AbortAndAwait(bool turn_lost, bool lost_writes) {
  SessionState state{SaveSettings(), notifications};
  Call([] { AbortCurrentTransaction(); });
  if (turn_lost) LoseTurn(true);
  pg_atomic_fetch_add_u64(&shared->internal_aborts, 1);
  AwaitOutcome();
  TakeOutcome();
  RestoreSession(state);
  if (lost_writes)
    throw PgError(kErrUnknown,
                  "the transaction was committed, but its changes of temporary and local tables and definitions and its "
                  "calls of pg_notify() were lost",
                  "Another transaction needed its locks, and the shared changes were applied from the block.",
                  "Do not retry the transaction: repeat its local part only.");
  Call([] { StartTransactionCommand(); });
}

}  // namespace

bool InInternalAbort() { return in_internal_abort; }

bool CalledPgNotify() { return called_pg_notify; }

void RequireInternalAbort() {
  if (CanAbortInternally()) return;
  throw PgError(kErrNotSupported, "this command cannot change shared objects",
                "It commits by itself, and what it does has to be applied from the block.");
}

void AbortInternally(bool turn_lost, bool lost_writes) {
  if (!CanAbortInternally()) ThrowUnknown("the command commits by itself");
  in_internal_abort = true;
  try {
    AbortAndAwait(turn_lost, lost_writes);
  } catch (...) {
    in_internal_abort = false;
    if (MySlot()->state != SlotState::kIdle) AbandonHold();
    EndHeldTransaction();
    notifications.clear();
    called_pg_notify = false;
    throw;
  }
  in_internal_abort = false;
}

void InstallSessionStateHooks() {
  previous_process_utility = ProcessUtility_hook;
  ProcessUtility_hook = RunUtility;
  previous_object_access = object_access_hook;
  object_access_hook = NoteFunction;
  RegisterXactCallback(ForgetNotifications, nullptr);
  RegisterSubXactCallback(ForgetRolledBackNotifications, nullptr);
}

}  // namespace dadbs::pg
