/*
 * execute.cpp: the execution of one shared statement: at its position in the apply worker of every member, or early in the
 * session of its author when it stands inside a transaction (the position then executes it again, from the block).
 *
 * The same in both places, so that what the author sees is what the members get: the statement is parsed again from its
 * text, judged again by rules.cpp and classify.cpp in the catalogs of this member (an origin that lies gets nothing else
 * executed), role names are turned into this member's, and it runs
 *   - as its author's role on the chain, or as dadbs_owner where a superuser wrote it, in a restricted context that cannot be
 *     left by SET ROLE; only a superuser's change of owner, which runs nobody's code, keeps the worker's rights;
 *   - with a search_path of shared schemas, the settings that travelled and fixed values for others that matter;
 *   - as PROCESS_UTILITY_SUBCOMMAND, which event triggers do not see: they are this member's own.
 * Default privileges play no part, since nobody may set any for roles of the chain (roles.cpp).
 * Errors leave by ereport; the caller's (sub)transaction, which it must roll back, restores user and settings.
 */
#include "internal.h"

#include "dadbs/pg/approval.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/own_failure.h"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace dadbs::pg {
namespace ddl {
namespace {

struct Setting {
  const char* name;
  const char* value;  // at the position, unless the author's travelled
  bool travels;
};

// What changes the meaning of a definition's text, or what it makes.
constexpr Setting kSettings[] = {
    {"standard_conforming_strings", "on", true},
    {"check_function_bodies", "on", true},
    {"TimeZone", "UTC", true},
    {"timezone_abbreviations", "Default", false},
    {"DateStyle", "ISO, MDY", true},
    {"IntervalStyle", "postgres", true},
    {"xmloption", "content", true},
    {"transform_null_equals", "off", true},
    {"array_nulls", "on", true},
    {"extra_float_digits", "1", true},
    {"bytea_output", "hex", true},
    {"default_text_search_config", "pg_catalog.simple", true},
    {"default_tablespace", "", false},
    {"default_table_access_method", "heap", false},
    {"default_toast_compression", "pglz", false},
    {"row_security", "on", false},
    {"session_replication_role", "origin", false},
    {"statement_timeout", "0", false},
    {"lock_timeout", "0", false},
    {"quote_all_identifiers", "off", false},
    {"backslash_quote", "safe_encoding", false},
    {"escape_string_warning", "off", false},
    {"lc_monetary", "C", false},
    {"lc_numeric", "C", false},
    {"lc_time", "C", false},
    {"restrict_nonsystem_relation_kind", "", false},  // not in every minor release
    {"plpgsql.extra_errors", "none", false},
    {"plpgsql.extra_warnings", "none", false},
    {"plpgsql.variable_conflict", "error", false},
    {"plpgsql.check_asserts", "on", false},
};

bool executing = false;

void Set(const char* name, const char* value) {
  // A name with a dot may be set before its library is loaded; another may be unknown to this minor release.
  if (strchr(name, '.') == nullptr && GetConfigOption(name, true, false) == nullptr) return;
  (void)set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

bool Travels(const char* name) {
  for (const Setting& setting : kSettings)
    if (setting.travels && strcmp(setting.name, name) == 0) return true;
  return false;
}

// Every schema of a search_path that came from elsewhere must be shared, if it is here at all.
void CheckSearchPath(const char* path) {
  List* names = NIL;
  if (!SplitIdentifierString(pstrdup(path), ',', &names))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid search_path in a shared statement")));
  ListCell* cell;
  foreach (cell, names) {
    auto* name = static_cast<char*>(lfirst(cell));
    if (strcmp(name, "pg_catalog") != 0 && !IsSharedSchemaName(name))
      ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("schema \"%s\" is not shared", name)));
  }
}

bool IsChangeOfOwner(Node* node) {
  if (IsA(node, AlterOwnerStmt)) return true;
  if (!IsA(node, AlterTableStmt)) return false;
  ListCell* cell;
  foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds)
    if (lfirst_node(AlterTableCmd, cell)->subtype != AT_ChangeOwner) return false;
  return true;
}

void CheckTargets(Node* node) {
  Targets const t = Classify(node);
  if (t.local > 0)
    ereport(ERROR, (errcode(kErrInvalidWriteSet),
                    errmsg("\"%s\" is not shared: a shared statement cannot touch it", t.local_name)));
  if (t.shared == 0 && t.missing == 0)
    ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("a shared statement without a shared object")));
}

void RunUtility(Node* node, const char* text) {
  PlannedStmt* planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->canSetTag = false;
  planned->utilityStmt = node;
  planned->stmt_location = 0;
  planned->stmt_len = 0;
  PushActiveSnapshot(GetTransactionSnapshot());
  ProcessUtility(planned, text, false, PROCESS_UTILITY_SUBCOMMAND, nullptr, nullptr, None_Receiver, nullptr);
  if (ActiveSnapshotSet()) PopActiveSnapshot();
  CommandCounterIncrement();
}

// Runs `node` as its author and says what was recorded.
Recorder* RunAsAuthor(Node* node, const Statement& statement) {
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  bool const as_worker = statement.role[0] == '\0' && IsChangeOfOwner(node);
  Oid const role = as_worker ? user : ExecutingRole(statement);
  Recorder* volatile recorder = StartRecording();
  executing = true;
  SetUserIdAndSecContext(role, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  PG_TRY();
  { RunUtility(node, statement.text); }
  PG_FINALLY();
  {
    executing = false;
    StopRecording(recorder);
    SetUserIdAndSecContext(user, context);
  }
  PG_END_TRY();
  return recorder;
}

}  // namespace

Oid ExecutingRole(const Statement& statement) {
  if (statement.role[0] == '\0') return get_role_oid(kOwnerRole, false);
  if (!IsChainRole(statement.role))
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("role \"%s\" was not made through the chain", statement.role)));
  return get_role_oid(LocalRoleName(statement.role, false), false);
}

bool Executing() { return executing; }

Node* ParseOne(const char* text) {
  List* statements = raw_parser(text, RAW_PARSE_DEFAULT);
  if (list_length(statements) != 1)
    ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("a shared statement must be one statement")));
  return linitial_node(RawStmt, statements)->stmt;
}

char* TravellingSearchPath() {
  StringInfoData path;
  initStringInfo(&path);
  ListCell* cell;
  foreach (cell, fetch_search_path(false)) {
    Oid const schema = lfirst_oid(cell);
    if (schema != PG_CATALOG_NAMESPACE && !IsSharedSchema(schema)) continue;
    if (path.len > 0) appendStringInfoString(&path, ", ");
    appendStringInfoString(&path, quote_identifier(get_namespace_name(schema)));
  }
  return path.data;
}

void TravellingSettings(List** names, List** values) {
  for (const Setting& setting : kSettings) {
    if (!setting.travels) continue;
    const char* value = GetConfigOption(setting.name, false, false);
    if (strcmp(value, setting.value) == 0) continue;
    *names = lappend(*names, makeString(pstrdup(setting.name)));
    *values = lappend(*values, makeString(pstrdup(value)));
  }
}

void DropConcurrently(Node* node) {
  if (IsA(node, IndexStmt)) reinterpret_cast<IndexStmt*>(node)->concurrent = false;
  if (IsA(node, DropStmt)) reinterpret_cast<DropStmt*>(node)->concurrent = false;
}

int EnterEnvironment(const Statement& statement) {
  int const level = NewGUCNestLevel();
  for (const Setting& setting : kSettings) Set(setting.name, setting.value);
  ListCell *name, *value;
  forboth(name, statement.names, value, statement.values) {
    if (!Travels(strVal(lfirst(name))))
      ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("setting \"%s\" cannot travel", strVal(lfirst(name)))));
    Set(strVal(lfirst(name)), strVal(lfirst(value)));
  }
  CheckSearchPath(statement.search_path);
  bool const empty = statement.search_path[0] == '\0';
  Set("search_path", empty ? "" : psprintf("%s, pg_temp", statement.search_path));
  return level;
}

void LeaveEnvironment(int level) { AtEOXact_GUC(true, level); }

void Execute(const Statement& statement, const core::Position* position, List** written) {
  int const level = EnterEnvironment(statement);
  Node* node = ParseOne(statement.text);
  CheckTaken(node, false);
  if (IsRoleStatement(node)) {
    GuardEarly(node);
    ExecuteRoleStatement(node, statement);
    LeaveEnvironment(level);
    return;
  }
  if (KindOf(node) != Kind::kDefinition)
    ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("%s is not a shared definition", CreateCommandName(node))));
  MapRoles(node, statement);
  CheckTargets(node);
  CheckSchemaCreation(node, statement, position != nullptr);
  DropConcurrently(node);
  CheckPartitionBounds(node);
  if (IsA(node, AlterTableStmt)) CheckFilling(reinterpret_cast<AlterTableStmt*>(node));
  if (position != nullptr) DropLocalDependents(node);
  List* const named = NamedRelations(node);
  BeginGuard(node);
  if (position != nullptr) ForgetCompiled();
  bool const chooses = position != nullptr && TakeNames(node, named);
  Recorder* const recorder = RunAsAuthor(node, statement);
  RecordMarks(recorder, node);
  if (chooses) GiveNamesBack();
  if (position != nullptr) ForgetRecorded(recorder);
  if (position != nullptr) DropLocalValuesOf(recorder);
  CheckEffects(recorder);
  EndGuard();
  *written = WrittenRelations(recorder, named);
  KeepReplicaIdentities(*written);
  if (position != nullptr) WriteRelationVersions(*written, *position);
  LeaveEnvironment(level);
}

namespace {

char* CopyText(std::string_view s) { return pnstrdup(s.data(), s.size()); }

// Postgres code: in Call().
void ToStatement(const core::DdlChange& ddl, Statement* out) {
  out->text = CopyText(ddl.text);
  out->role = CopyText(ddl.role);
  out->search_path = CopyText(ddl.search_path);
  out->names = out->values = out->superusers = NIL;
  for (const auto& [name, value] : ddl.settings) {
    out->names = lappend(out->names, makeString(CopyText(name)));
    out->values = lappend(out->values, makeString(CopyText(value)));
  }
  for (std::string_view name : ddl.superusers) out->superusers = lappend(out->superusers, makeString(CopyText(name)));
}

void AppendKeys(List* relations, core::KeyList* keys) {
  for (int i = 0; i < list_length(relations); i++) {
    auto* relation = static_cast<RelName*>(list_nth(relations, i));
    keys->push_back({RelationDefinitionKey(relation->schema, relation->name), uint8_t(core::KeyUse::kExistence)});
  }
}

}  // namespace
}  // namespace ddl

void ExecuteDdlAtPosition(const core::DdlChange& change, core::Position position, core::KeyList* keys) {
  List* written = NIL;
  Call([&] {
    ddl::Statement statement;
    ddl::ToStatement(change, &statement);
    ddl::Execute(statement, &position, &written);
  });
  ddl::AppendKeys(written, keys);
}

void DdlKeys(const core::DdlChange& change, core::KeyList* keys) {
  // In a subtransaction of its own: what fails here is going to fail when it is executed.
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  List* named = NIL;
  Call([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
  });
  try {
    Call([&] {
      ddl::Statement statement;
      ddl::ToStatement(change, &statement);
      int const level = ddl::EnterEnvironment(statement);
      named = ddl::NamedRelations(ddl::ParseOne(statement.text));
      ddl::LeaveEnvironment(level);
      ReleaseCurrentSubTransaction();
    });
  } catch (const PgError& e) {
    named = NIL;
    Call([&] { RollbackAndReleaseCurrentSubTransaction(); });
    if (IsOwnFailure(e)) throw;
  }
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  ddl::AppendKeys(named, keys);
}

}  // namespace dadbs::pg
