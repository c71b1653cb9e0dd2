/*
 * hook.cpp: the ProcessUtility hook. Every utility statement of a session in the shared database comes by here.
 *
 *   session   SET, COPY, VACUUM, LISTEN, BEGIN, ... and TRUNCATE, which capture sees as rows: untouched
 *   local     about temporary objects or objects outside shared schemas: plain Postgres, with a look afterwards that
 *             nothing permanent now stands on shared objects
 *   nothing   about what exists nowhere, or is there already: plain Postgres says so, and must have done nothing
 *   shared    alone in its transaction: ordered, and executed by the apply worker of every member (hold.h)
 *             inside one: executed at once, as every member will, and travels in the write set
 *
 * No C++ object with a destructor is alive around Postgres's code here; Enter() guards what is called of hold.h.
 */
#include "internal.h"

#include <string>

#include "dadbs/pg/approval.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/version.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/queryjumble.h"
}

namespace dadbs::pg {
namespace ddl {
namespace {

ProcessUtility_hook_type previous_utility = nullptr;

struct UtilityCall {
  PlannedStmt* statement;
  const char* text;
  bool read_only_tree;
  ProcessUtilityContext context;
  ParamListInfo params;
  QueryEnvironment* environment;
  DestReceiver* destination;
  QueryCompletion* completion;
};

void Pass(const UtilityCall& c) {
  (previous_utility ? previous_utility : standard_ProcessUtility)(c.statement, c.text, c.read_only_tree, c.context, c.params,
                                                                  c.environment, c.destination, c.completion);
}

// Sub-statements belong to the statement that was judged; our own workers do what they must.
bool Concerns(ProcessUtilityContext context) {
  if (context == PROCESS_UTILITY_SUBCOMMAND || creating_extension || !SharingActive()) return false;
  return !IsOwnWorker();
}

// What leaves catalogs alone, has statements of its own inside, or may be lost (statistics, another file for the same rows).
bool MayDefine(Node* node) {
  switch (nodeTag(node)) {
    case T_TransactionStmt:
    case T_VariableSetStmt:
    case T_CallStmt:
    case T_DoStmt:
    case T_CopyStmt:
    case T_ExecuteStmt:
    case T_DeclareCursorStmt:
    case T_FetchStmt:
    case T_TruncateStmt:
    case T_VacuumStmt:
    case T_ReindexStmt:
    case T_ClusterStmt:
      return false;
    case T_ExplainStmt:
      return ExplainsCreateTableAs(node);
    default:
      return true;
  }
}

void PassLocal(const UtilityCall& c) {
  if (!MayDefine(c.statement->utilityStmt)) {
    Pass(c);
    return;
  }
  uint64 const before = CountCatalogRows();
  Pass(c);
  if (IsTransactionState() && CountCatalogRows() != before) Enter([] { NoteLocalDefinition(); });
}

Targets Judge(Node* node) {
  Targets targets = Classify(node);
  if (IsA(node, GrantStmt)) LocalGrantees(reinterpret_cast<GrantStmt*>(node), &targets);
  return targets;
}

Recorder* Recorded(RecordedAs as, void (*pass)(const UtilityCall&), const UtilityCall& c) {
  Recorder* const recorder = StartRecording(as);
  PG_TRY();
  { pass(c); }
  PG_FINALLY();
  { StopRecording(recorder); }
  PG_END_TRY();
  return recorder;
}

// Plain Postgres's error or NOTICE.
void RunForNothing(UtilityCall c) {
  c.statement = WithoutConcurrency(c.statement, c.context == PROCESS_UTILITY_TOPLEVEL);
  uint64 const before = CountCatalogRows();
  Recorder* const recorder = Recorded(RecordedAs::kLocal, Pass, c);
  RequireNothingDone(recorder, CountCatalogRows() - before);
}

// The contracts go with it, and all that it keeps.
bool DropsDadbs(Node* node) {
  if (!IsA(node, DropStmt) || reinterpret_cast<DropStmt*>(node)->removeType != OBJECT_EXTENSION) return false;
  ListCell* cell;
  foreach (cell, reinterpret_cast<DropStmt*>(node)->objects)
    if (strcmp(strVal(lfirst(cell)), "dadbs") == 0) return true;
  return false;
}

void RunLocal(UtilityCall c) {
  Node* node = c.statement->utilityStmt;
  CheckLocalNames(node);
  c.statement = FixNames(c.statement, c.context == PROCESS_UTILITY_TOPLEVEL);
  Recorder* const recorder = Recorded(DropsDadbs(node) ? RecordedAs::kDropExtension : RecordedAs::kLocal, PassLocal, c);
  JudgeAgain(node, Judge);
  if (!AnythingRecorded(recorder) || IsRoleStatement(node)) return;
  CommandCounterIncrement();
  if (IsA(node, DropStmt))
    ForgetDroppedLocals();
  else
    CheckLocalEffects(recorder);
}

Statement Describe(const UtilityCall& c) {
  int location = c.statement->stmt_location, length = c.statement->stmt_len;
  const char* begin = CleanQuerytext(c.text, &location, &length);
  Statement s;
  s.text = pnstrdup(begin, length);
  s.role = AuthorRole();
  s.search_path = TravellingSearchPath();
  s.names = s.values = NIL;
  TravellingSettings(&s.names, &s.values);
  s.superusers = SuperusersNamed(c.statement->utilityStmt);
  return s;
}

// What travels, out of palloc'd strings, for as long as it is needed.
class Travelling {
 public:
  explicit Travelling(const Statement& s) : text_(s.text), role_(s.role), path_(s.search_path) {
    for (int i = 0; i < list_length(s.names); i++)
      settings_.emplace_back(strVal(list_nth(s.names, i)), strVal(list_nth(s.values, i)));
    for (int i = 0; i < list_length(s.superusers); i++) superusers_.emplace_back(strVal(list_nth(s.superusers, i)));
  }
  core::DdlChange change() const {
    core::DdlChange c;
    c.text = text_;
    c.role = role_;
    c.search_path = path_;
    for (const auto& [name, value] : settings_) c.settings.emplace_back(name, value);
    for (const auto& name : superusers_) c.superusers.emplace_back(name);
    return c;
  }

 private:
  std::string text_, role_, path_;
  std::vector<std::pair<std::string, std::string>> settings_;
  std::vector<std::string> superusers_;
};

void RunAlone(const UtilityCall& c) {
  Node* node = c.statement->utilityStmt;
  GuardEarly(node);
  Statement s = Describe(c);
  Node* password = nullptr;
  s.text = WithoutPassword(node, s.text, &password);
  if (IsA(node, DropStmt)) NoticeMissing(reinterpret_cast<DropStmt*>(node));
  if (IsA(node, IndexStmt) && reinterpret_cast<IndexStmt*>(node)->concurrent)
    ereport(NOTICE, (errmsg("the index is built without CONCURRENTLY on a shared table")));
  Enter([&] {
    Travelling const travelling(s);
    HoldLoneDdl(travelling.change());
  });
  // In a pipeline it looks alone when it comes first: what follows starts a transaction of its own.
  MyXactFlags |= XACT_FLAGS_NEEDIMMEDIATECOMMIT;
  if (password != nullptr) SetPasswordHere(password);
}

void RunInside(const UtilityCall& c) {
  Statement const s = Describe(c);
  List* written = NIL;
  Execute(s, nullptr, &written);
  Enter([&] {
    Travelling const travelling(s);
    EmitChange(core::Change(travelling.change()));
  });
}

void RunShared(const UtilityCall& c) {
  Node* node = c.statement->utilityStmt;
  bool const alone = c.context == PROCESS_UTILITY_TOPLEVEL && !IsInTransactionBlock(true);
  PreventCommandIfReadOnly(CreateCommandName(node));
  PreventCommandIfParallelMode(CreateCommandName(node));
  if (c.params != nullptr && c.params->numParams > 0)
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("parameters are not supported in statements that define shared objects"),
                    errhint("Write the values into the statement.")));
  if (MyBackendType != B_BACKEND)
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("a background worker cannot define shared objects")));
  CheckTaken(node, !alone);
  CheckNesting(node);
  if (alone)
    RunAlone(c);
  else
    RunInside(c);
}

[[noreturn]] void RaiseMixed(const Targets& t) {
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("one statement cannot name shared and local objects: \"%s\" is shared, \"%s\" is not",
                         t.shared_name ? t.shared_name : "", t.local_name ? t.local_name : ""),
                  errhint("Use a statement for each.")));
  pg_unreachable();
}

// While a shared statement is executed: its own sub-statements, or what a function that it calls tries to do.
void RunNested(const UtilityCall& c) {
  Node* node = c.statement->utilityStmt;
  if (c.context == PROCESS_UTILITY_SUBCOMMAND) {
    PlaceByDefault(node);
    if (!ExecuteSequenceStatement(node)) Pass(c);
    return;
  }
  if (KindOf(node) == Kind::kDefinition)
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("a function that a shared definition calls cannot run %s",
                                                      CreateCommandName(node))));
  Pass(c);
}

void Dispatch(const UtilityCall& c) {
  Node* node = c.statement->utilityStmt;
  if (Executing()) {
    RunNested(c);
    return;
  }
  if (IsA(node, AlterExtensionStmt)) CheckUpdate(reinterpret_cast<AlterExtensionStmt*>(node));
  if (!Concerns(c.context)) {
    CheckRolesElsewhere(node);
    Pass(c);
    return;
  }
  if (KindOf(node) == Kind::kSession) {
    CheckLocal(node);
    ExplainsCreateTableAs(node) ? RunLocal(c) : PassLocal(c);
    return;
  }
  Targets const targets = Judge(node);
  if (targets.mixed()) RaiseMixed(targets);
  if (targets.shared > 0)
    RunShared(c);
  else if (targets.local > 0)
    RunLocal(c);
  else if (targets.missing > 0)
    RunForNothing(c);
  else
    PassLocal(c);
}

void OnUtility(PlannedStmt* statement, const char* text, bool read_only_tree, ProcessUtilityContext context,
               ParamListInfo params, QueryEnvironment* environment, DestReceiver* destination, QueryCompletion* completion) {
  Dispatch({statement, text, read_only_tree, context, params, environment, destination, completion});
}

}  // namespace
}  // namespace ddl

void InitDdl() {
  ddl::previous_utility = ProcessUtility_hook;
  ProcessUtility_hook = ddl::OnUtility;
  ddl::InitEffects();
  ddl::InitSequences();
  ddl::InitCodeGuard();
}

}  // namespace dadbs::pg
