/*
 * sandbox.cpp: what contracts may do, whatever the static analysis has let through; the same on every member.
 *
 * Asked when a query of a contract is planned, on the rewritten tree, which shows defaults, views and policies (planner_hook):
 *   tables     shared ones and views in shared schemas only: catalogs, local tables, dadbs's own differ between members
 *   functions  built-in ones that are immutable, or stable and not on the list below; those for contracts; the user's immutable
 *              ones. Sequences, the session's user, system columns, random samples, SKIP LOCKED, NOWAIT: never
 *   endless    WITH RECURSIVE and generate_series: a loop in PL/pgSQL is counted
 *   nesting    of json and of patterns is counted (nesting.cpp, conversions.cpp)
 * When a query starts: what it writes is watched (effects.cpp), its nodes count the rows that pass. Before its triggers fire:
 * a statement that changed several rows of a table with contracts is refused, for they have no order.
 * When a utility statement comes: refused. When a function is called that is a trigger's and no contract's: refused.
 * At each statement of PL/pgSQL (its plugin hook): counted; EXCEPTION blocks, which would take this member's own failure for a
 * verdict, EXECUTE, and loops without a body, whose rounds nobody counts, are refused.
 *
 * Plans outlive positions. Those of contracts are made while contracts run, so they were asked; those of other functions may
 * have been made before, on one member and not on another: then all are made again.
 */
#include "internal.h"

#include <unordered_map>

#include "dadbs/pg/own_failure.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "plpgsql.h"
#include "postmaster/bgworker.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

planner_hook_type previous_planner = nullptr;
ExecutorStart_hook_type previous_start = nullptr;
ExecutorFinish_hook_type previous_finish = nullptr;
ProcessUtility_hook_type previous_utility = nullptr;
bool planned_outside = true;  // since contracts ran last
bool plans_are_new = false;   // those of contracts, since this position began

// ---- functions

// For contracts, in the schema dadbs.
bool IsForContracts(const char* name) {
  for (const char* ours : {"block_time", "block_height", "transaction_id", "origin_node", "session_user_name", "caller_key"})
    if (strcmp(name, ours) == 0) return true;
  return false;
}

bool StartsWith(const char* text, const char* start) { return strncmp(text, start, strlen(start)) == 0; }

// Declared stable, and yet not the same on all members: what asks this server, its catalogs, its session.
bool AsksThisServer(const char* name) {
  for (const char* start : {"pg_", "has_", "to_reg", "reg", "current_s", "inet_", "txid_", "ts_stat", "col_desc", "obj_desc",
                            "shobj_desc", "table_to_xml", "query_to_xml", "cursor_to_xml", "schema_to_xml", "database_to_xml",
                            "get_", "row_security", "oid", "acl", "makeacl", "xid", "mxid", "current_d", "getpg"})
    if (StartsWith(name, start)) return true;
  for (const char* exact : {"version", "age", "lastval", "currtid2", "session_user", "current_user", "timeofday"})
    if (strcmp(name, exact) == 0) return true;
  return false;
}

bool IsForbiddenFunction(Oid function, void* found);

// An aggregate is immutable itself, whatever it calls.
bool CallsForbidden(Oid aggregate, Oid* found) {
  HeapTuple const tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_aggregate const form = *reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  for (Oid const called : {form.aggtransfn, form.aggfinalfn, form.aggcombinefn, form.aggserialfn, form.aggdeserialfn, form.aggmtransfn,
                           form.aggminvtransfn, form.aggmfinalfn})
    if (OidIsValid(called) && IsForbiddenFunction(called, found)) return true;
  CheckTypeItself(form.aggtranstype);
  if (OidIsValid(form.aggmtranstype)) CheckTypeItself(form.aggmtranstype);
  return false;
}

bool IsForbiddenFunction(Oid function, void* found) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* const form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  const char* const name = NameStr(form->proname);
  bool good;
  if (function < FirstUnpinnedObjectId)
    good = strcmp(name, "generate_series") != 0 && form->provolatile != PROVOLATILE_VOLATILE &&
           !ShowsCatalogNumbers(function) &&
           (form->provolatile == PROVOLATILE_IMMUTABLE || !AsksThisServer(name));
  else if (form->pronamespace == get_namespace_oid("dadbs", true))
    good = IsForContracts(name);
  else
    good = form->provolatile == PROVOLATILE_IMMUTABLE && IsSharedSchema(form->pronamespace);
  bool const aggregate = form->prokind == PROKIND_AGGREGATE && function >= FirstUnpinnedObjectId;
  ReleaseSysCache(tuple);
  if (!good) *static_cast<Oid*>(found) = function;
  return !good || (aggregate && CallsForbidden(function, static_cast<Oid*>(found)));
}

void CheckFunctions(Node* node) {
  Oid function = InvalidOid;
  if (!check_functions_in_node(node, IsForbiddenFunction, &function)) return;
  RaiseForbidden(psprintf("call function %s", get_func_name(function)),
                 "Contracts may call functions that depend on their arguments alone, and dadbs.block_time() and the like.");
}

// ---- queries

// The others are those of the operating system's locales, where the server was set up.
void CheckCollation(Oid collation) {
  if (collation >= FirstUnpinnedObjectId)
    RaiseForbidden(psprintf("use collation \"%s\"", get_collation_name(collation)), "Members may not have it. Use the database's or \"C\".");
}

void CheckTable(const RangeTblEntry* entry) {
  ListCell* cell;
  foreach (cell, entry->functions) CheckColumnTypes(lfirst_node(RangeTblFunction, cell));
  if (entry->rtekind == RTE_TABLEFUNC) RaiseForbidden("use XMLTABLE", nullptr);
  if (entry->rtekind != RTE_RELATION) return;
  if (entry->tablesample != nullptr) RaiseForbidden("use TABLESAMPLE", nullptr);
  bool const view = entry->relkind == RELKIND_VIEW && IsSharedSchema(get_rel_namespace(entry->relid));
  if (view || IsSharedRelation(entry->relid)) return;
  RaiseForbidden(psprintf("use \"%s\", which is not shared", get_rel_name(entry->relid)), "Contracts see shared tables only.");
}

void CheckSqlValue(const SQLValueFunction* value) {
  switch (value->op) {
    case SVFOP_CURRENT_ROLE:
    case SVFOP_CURRENT_USER:
    case SVFOP_USER:
    case SVFOP_SESSION_USER:
      RaiseForbidden("ask for the current or session user", "Use dadbs.session_user_name() or dadbs.origin_node().");
    case SVFOP_CURRENT_CATALOG:
    case SVFOP_CURRENT_SCHEMA: RaiseForbidden("ask for the current database or schema", nullptr);
    default: return;  // the time is the block's
  }
}

bool CheckNode(Node* node, void* context);

void CheckQueryItself(const Query* query) {
  if (query->hasRecursive) RaiseForbidden("use WITH RECURSIVE", "Write a loop in PL/pgSQL, whose rounds are counted.");
  if (query->hasModifyingCTE) RaiseForbidden("change rows in WITH", "Use a statement for each change.");
  ListCell* cell;
  foreach (cell, query->rtable) CheckTable(lfirst_node(RangeTblEntry, cell));
  foreach (cell, query->rowMarks)
    if (lfirst_node(RowMarkClause, cell)->waitPolicy != LockWaitBlock) RaiseForbidden("use SKIP LOCKED or NOWAIT", nullptr);
}

bool CheckNode(Node* node, void* context) {
  if (node == nullptr) return false;
  switch (nodeTag(node)) {
    case T_Query:
      CheckQueryItself(reinterpret_cast<Query*>(node));
      return query_tree_walker(reinterpret_cast<Query*>(node), reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(CheckNode)), context, 0);
    case T_CollateExpr: CheckCollation(reinterpret_cast<CollateExpr*>(node)->collOid); break;
    case T_Param: CheckCollation(reinterpret_cast<Param*>(node)->paramcollid); break;
    case T_SQLValueFunction: CheckSqlValue(reinterpret_cast<SQLValueFunction*>(node)); break;
    case T_NextValueExpr: RaiseForbidden("use sequences", "Members have other values. Take the key from the row that is written.");
    case T_XmlExpr: RaiseForbidden("use XML functions", nullptr);
    case T_Var:
      if (reinterpret_cast<Var*>(node)->varattno < 0) RaiseForbidden("use system columns", nullptr);
      break;
    default: break;
  }
  CheckType(node);
  CheckFunctions(node);
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(CheckNode)), context);
}

PlannedStmt* OnPlan(Query* query, const char* text, int cursor_options, ParamListInfo params) {
  if (ContractsRunning()) {
    (void)CheckNode(reinterpret_cast<Node*>(query), nullptr);
    CheckConversions(query, text);
    query = GuardNesting(query);
  } else {
    planned_outside = true;
  }
  return previous_planner ? previous_planner(query, text, cursor_options, params) : standard_planner(query, text, cursor_options, params);
}

// ---- rows

std::unordered_map<PlanState*, ExecProcNodeMtd> counted_nodes;

TupleTableSlot* CountRow(PlanState* node) {
  TupleTableSlot* const slot = counted_nodes.find(node)->second(node);
  if (!TupIsNull(slot) && ++running.rows > kRowsMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("queries of contracts passed more than " UINT64_FORMAT " rows in one transaction", kRowsMax)));
  return slot;
}

// Below these, how many rows pass depends on which comes first.
bool StopsEarly(const PlanState* node) {
  switch (nodeTag(node->plan)) {
    case T_Limit: return true;
    case T_NestLoop:
    case T_MergeJoin:
    case T_HashJoin: {
      auto* const join = reinterpret_cast<const Join*>(node->plan);
      return join->inner_unique || join->jointype == JOIN_SEMI || join->jointype == JOIN_ANTI;
    }
    default: return false;
  }
}

bool CountNode(PlanState* node, void* context);

bool CountNode(PlanState* node, void* context) {
  if (node == nullptr) return false;
  if (node->ExecProcNodeReal != nullptr && node->ExecProcNodeReal != CountRow) {
    Enter([&] { counted_nodes[node] = node->ExecProcNodeReal; });
    node->ExecProcNodeReal = CountRow;
  }
  if (StopsEarly(node)) return false;
  // Subqueries in expressions (EXISTS, scalar ones) may stop early: not they, only what the plan itself reads.
  List* const subplans = node->subPlan;
  List* const init_plans = node->initPlan;
  node->subPlan = node->initPlan = NIL;
  bool const result = planstate_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(CountNode)), context);
  node->subPlan = subplans;
  node->initPlan = init_plans;
  return result;
}

// ---- execution

bool HasContractTargets(const EState* estate) {
  ListCell* cell;
  foreach (cell, estate->es_opened_result_relations)
    if (HasContractTriggers(static_cast<ResultRelInfo*>(lfirst(cell))->ri_RelationDesc)) return true;
  return false;
}

void OnStart(QueryDesc* query, int flags) {
  if (previous_start)
    previous_start(query, flags);
  else
    standard_ExecutorStart(query, flags);
  if (!ContractsRunning() || (flags & EXEC_FLAG_EXPLAIN_ONLY) != 0) return;
  CountStatement();
  bool const writes = query->estate->es_opened_result_relations != NIL;
  if (writes && (flags & EXEC_FLAG_SKIP_TRIGGERS) != 0)
    RaiseForbidden("set off actions of foreign keys", "Delete or change the rows that refer to it in the contract.");
  if (writes) WatchTargets(query->estate);
  (void)CountNode(query->planstate, nullptr);
}

void OnFinish(QueryDesc* query) {
  bool const watched = ContractsRunning() && query->estate->es_opened_result_relations != NIL;
  bool const several = watched && query->estate->es_processed > 1;
  if (several && HasContractTargets(query->estate))
    RaiseForbidden("change several rows of a table with contracts in one statement", "Change them one by one, in a loop with an ORDER BY.");
  size_t const first = watched ? EffectCount() : 0;
  if (previous_finish)
    previous_finish(query);
  else
    standard_ExecutorFinish(query);
  if (several) SortEffects(first);
}

void OnUtility(PlannedStmt* statement, const char* text, bool read_only_tree, ProcessUtilityContext context, ParamListInfo params,
               QueryEnvironment* environment, DestReceiver* destination, QueryCompletion* completion) {
  if (ContractsRunning()) RaiseForbidden(psprintf("run %s", CreateCommandName(statement->utilityStmt)), nullptr);
  (previous_utility ? previous_utility : standard_ProcessUtility)(statement, text, read_only_tree, context, params, environment,
                                                                  destination, completion);
}

// ---- PL/pgSQL

bool IsEmptyLoop(const PLpgSQL_stmt* statement) {
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_LOOP: return reinterpret_cast<const PLpgSQL_stmt_loop*>(statement)->body == NIL;
    case PLPGSQL_STMT_WHILE: return reinterpret_cast<const PLpgSQL_stmt_while*>(statement)->body == NIL;
    case PLPGSQL_STMT_FORI: return reinterpret_cast<const PLpgSQL_stmt_fori*>(statement)->body == NIL;
    default: return false;
  }
}

void OnFunction(PLpgSQL_execstate* estate, PLpgSQL_function* function) {
  NoteCompiled(function);
  if (!ContractsRunning()) return;
  EnterFunction(estate);
  CheckVariables(estate);
}

void OnFunctionEnd(PLpgSQL_execstate* estate, PLpgSQL_function*) {
  if (ContractsRunning()) LeaveFunction(estate);
}

// At positions, outside of contracts: a handler would take this member's own failure for the answer of an expression. In a handler
// that does something, its first statement is where we see what it has caught.
void CheckHandlers(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement) {
  if (!IsOwnWorker()) return;
  if (estate->cur_error != nullptr && IsOwnFailure(*estate->cur_error)) ReThrowError(estate->cur_error);
  if (statement->cmd_type != PLPGSQL_STMT_BLOCK) return;
  const PLpgSQL_exception_block* const handlers = reinterpret_cast<const PLpgSQL_stmt_block*>(statement)->exceptions;
  ListCell* cell;
  foreach (cell, handlers != nullptr ? handlers->exc_list : NIL)
    if (static_cast<PLpgSQL_exception*>(lfirst(cell))->action == NIL)
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("cannot run function %s, which has an exception handler that does nothing", estate->func->fn_signature),
                      errdetail("A failure of one member could pass for its result."), errhint("Write a RETURN, or an assignment, into the handler.")));
}

void OnStatement(PLpgSQL_execstate* estate, PLpgSQL_stmt* statement) {
  if (!ContractsRunning()) return CheckHandlers(estate, statement);
  CountStatement();
  if (statement->cmd_type == PLPGSQL_STMT_BLOCK && reinterpret_cast<PLpgSQL_stmt_block*>(statement)->exceptions != nullptr)
    RaiseForbidden("use EXCEPTION blocks", "They would take a failure of one member for the outcome.");
  if (statement->cmd_type == PLPGSQL_STMT_DYNEXECUTE || statement->cmd_type == PLPGSQL_STMT_DYNFORS)
    RaiseForbidden("use EXECUTE", "Write the statement out.");
  if (IsEmptyLoop(statement)) RaiseForbidden("use a loop without a body", nullptr);
  CheckVariablesOf(estate, statement);
}

PLpgSQL_plugin plugin = {nullptr, OnFunction, OnFunctionEnd, OnStatement, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

void RaiseForbidden(const char* what, const char* hint) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("contracts cannot %s", what), hint != nullptr ? errhint("%s", hint) : 0));
  pg_unreachable();
}

void BeginSandbox() {
  if (planned_outside) ResetPlanCache();
  plans_are_new = planned_outside;
  planned_outside = false;
  running.statement_limit = StatementLimit();
}

// A field of a record had another type when PL/pgSQL made the plan. With new plans that is so only if it has two types within this
// position, and then it is so on every member; a position that old plans do for has one.
bool FailedForAnOldPlan(const PgError& e) {
  if (plans_are_new || e.sqlstate() != ERRCODE_DATATYPE_MISMATCH || !e.message().starts_with("type of parameter ")) return false;
  planned_outside = true;
  return true;
}

void EndSandbox() noexcept {
  counted_nodes.clear();
  ForgetFunctions();
}

}  // namespace contract

void InitContracts() {
  using namespace contract;
  previous_planner = planner_hook;
  planner_hook = OnPlan;
  previous_start = ExecutorStart_hook;
  ExecutorStart_hook = OnStart;
  previous_finish = ExecutorFinish_hook;
  ExecutorFinish_hook = OnFinish;
  previous_utility = ProcessUtility_hook;
  ProcessUtility_hook = OnUtility;
  InitPlans();
  InitNesting();
  InitConstants();
}

// PL/pgSQL looks for the plugin when it is loaded.
void PrepareContracts() {
  *reinterpret_cast<PLpgSQL_plugin**>(find_rendezvous_variable("PLpgSQL_plugin")) = &contract::plugin;
  load_file("$libdir/plpgsql", false);
  constexpr const char* kSettings[][2] = {{"plpgsql.variable_conflict", "error"},
                                          {"plpgsql.extra_errors", "none"},
                                          {"plpgsql.extra_warnings", "none"},
                                          {"plpgsql.print_strict_params", "off"},
                                          {"plpgsql.check_asserts", "on"}};
  for (const auto& setting : kSettings) SetConfigOption(setting[0], setting[1], PGC_SUSET, PGC_S_OVERRIDE);
}

void CheckContractCall(Oid function) {
  if (get_func_rettype(function) != TRIGGEROID || function == ContractMarker() || function == ProtectionMarker()) return;
  Oid const schema = get_func_namespace(function);
  if (schema == get_namespace_oid(kContractSchema, true) || schema == get_namespace_oid("dadbs_internal", true)) return;
  contract::RaiseForbidden(psprintf("fire trigger function %s", get_func_name(function)),
                           "Ordinary triggers run at the origin only. Make it a contract.");
}

}  // namespace dadbs::pg
