/*
 * read_gate.cpp: after a start, no read of a table is answered before what the journal holds is applied.
 *
 * The server recovers to what Postgres had made durable; what it had acknowledged may be a little more (local commits
 * are asynchronous, the journal is the commit log) and is replayed by the apply worker. Until then every statement of a
 * client that names a relation of a user's schema waits in parse analysis, before the snapshot that it runs under is
 * taken; where the transaction's one snapshot is older than the end of the wait, 40001. Catalogs and dadbs's own views
 * are always readable, so that it can be seen what the member waits for.
 */
#include <string>

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"

extern "C" {
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace {

post_parse_analyze_hook_type previous_post_parse_analyze = nullptr;

bool GateIsClosed() {
  return shared != nullptr && MyBackendType == B_BACKEND && pg_atomic_read_u32(&shared->replay_done) == 0 &&
         OidIsValid(MyDatabaseId) && pg_atomic_read_u32(&shared->database) == MyDatabaseId;
}

bool IsOwnSchema(Oid space) {
  char* const name = OidIsValid(space) ? get_namespace_name(space) : nullptr;
  return name != nullptr && (strcmp(name, "dadbs") == 0 || strcmp(name, "dadbs_internal") == 0);
}

bool IsUsersRelation(Oid relation) {
  Oid const space = get_rel_namespace(relation);
  if (!OidIsValid(space) || IsCatalogNamespace(space) || isAnyTempNamespace(space) || IsOwnSchema(space)) return false;
  char* const name = get_namespace_name(space);
  return name != nullptr && strcmp(name, "information_schema") != 0;
}

bool WalkForRelation(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, RangeTblEntry)) {
    auto* const rte = castNode(RangeTblEntry, node);
    return rte->rtekind == RTE_RELATION && IsUsersRelation(rte->relid);
  }
  auto* const walker = reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(WalkForRelation));  // as C declares it
  if (IsA(node, Query)) return query_tree_walker(castNode(Query, node), walker, context, QTW_EXAMINE_RTES_BEFORE);
  return expression_tree_walker(node, walker, context);
}

bool NamesUsersRelation(Node* node) {
  if (node == nullptr) return false;
  switch (nodeTag(node)) {
    case T_Query: {
      Node* const utility = castNode(Query, node)->utilityStmt;
      return utility != nullptr ? NamesUsersRelation(utility) : WalkForRelation(node, nullptr);
    }
    case T_ExplainStmt:
      return NamesUsersRelation(castNode(ExplainStmt, node)->query);
    case T_CreateTableAsStmt:
      return NamesUsersRelation(castNode(CreateTableAsStmt, node)->query);
    case T_DeclareCursorStmt:
      return NamesUsersRelation(castNode(DeclareCursorStmt, node)->query);
    case T_CallStmt: {  // rebuild_database() is what some members wait for
      auto* const call = castNode(CallStmt, node);
      return call->funcexpr == nullptr || !IsOwnSchema(get_func_namespace(call->funcexpr->funcid));
    }
    case T_CopyStmt:
    case T_ExecuteStmt:
      return true;
    default:
      return false;
  }
}

void WaitForReplay() {
  int64 const deadline = MonotonicUs() + static_cast<int64>(guc_start_read_timeout_ms) * 1000;
  pg_atomic_fetch_add_u32(&shared->applied_waiters, 1);
  PG_ENSURE_ERROR_CLEANUP(StopWaitingForApplied, Datum(0));
  {
    ConditionVariablePrepareToSleep(&shared->applied_changed);
    while (GateIsClosed()) {
      long const left = static_cast<long>((deadline - MonotonicUs() + 999) / 1000);
      if (left <= 0 || GetMemberState() == MemberState::kHalted)
        ereport(ERROR, (errcode(kErrNotReady),
                        errmsg("this member has not yet replayed what its journal holds"),
                        errdetail("Applied: block %llu of %llu.",
                                  static_cast<unsigned long long>(core::PrefixHeight(Applied()).value),
                                  static_cast<unsigned long long>(pg_atomic_read_u64(&shared->replay_target))),
                        errhint("See dadbs.status. dadbs.start_read_timeout says how long a read waits.")));
      ConditionVariableTimedSleep(&shared->applied_changed, Min(left, 1000), PG_WAIT_EXTENSION);
    }
  }
  PG_END_ENSURE_ERROR_CLEANUP(StopWaitingForApplied, Datum(0));
  StopWaitingForApplied(0, Datum(0));
  if (IsolationUsesXactSnapshot() && FirstSnapshotSet)
    ereport(
        ERROR,
        (errcode(kErrConflict),
         errmsg("the snapshot of this transaction is older than what this member had acknowledged before its start"),
         errhint("Retry the transaction.")));
}

void GateReads(ParseState* pstate, Query* query, JumbleState* jumble) {
  if (previous_post_parse_analyze) previous_post_parse_analyze(pstate, query, jumble);
  if (!GateIsClosed()) return;
  if (NamesUsersRelation(reinterpret_cast<Node*>(query))) WaitForReplay();
}

}  // namespace

void InitReadGate() {
  previous_post_parse_analyze = post_parse_analyze_hook;
  post_parse_analyze_hook = GateReads;
}

}  // namespace dadbs::pg
