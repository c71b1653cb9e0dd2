/*
 * alone.cpp: whether a call stands alone: in its transaction, and in its statement.
 *
 * What a call does is ordered, and may be committed, before the session goes on: nothing that comes after it in the statement or the
 * transaction could undo it, and nothing before it could hold a lock, or a transaction id, that others wait for. So it is taken as
 *
 *   SELECT dadbs.call_contract(...)           its arguments read no table
 *   SELECT ... FROM dadbs.call_contract(...)  columns of the result, and nothing else
 *   CALL contracts.name(...)
 *
 * sent by the client itself, outside of a transaction block. That the function is called by the plan of the client's statement, and by
 * nothing inside a function that the plan calls, shows in the expression that it is told to stand for: it is the plan's own node.
 *
 * The arguments' own functions, and casts, may have read or written what the plan does not show. Before the hand-over the locks are
 * looked at: while it waits for its position the session cannot let go of one, and the position may need it.
 */
#include "internal.h"

extern "C" {
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/portal.h"
}

namespace dadbs::pg::contract {
namespace {

constexpr char kHint[] = "Send it as a statement of its own. dadbs.call_contracts() makes several calls in one transaction.";

[[noreturn]] void RaiseNotAlone(const char* where) {
  ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION), errmsg("a contract cannot be called %s", where),
                  errdetail("The result is known only when the call has been ordered and executed by the members."), errhint("%s", kHint)));
  pg_unreachable();
}

bool AllColumns(const List* targets) {
  ListCell* cell;
  foreach (cell, targets)
    if (!IsA(lfirst_node(TargetEntry, cell)->expr, Var)) return false;
  return true;
}

bool OnlyCalls(const PlannedStmt* statement, const Node* call) {
  const Plan* const plan = statement->planTree;
  if (statement->commandType != CMD_SELECT || statement->hasModifyingCTE || statement->relationOids != NIL || statement->subplans != NIL ||
      plan->lefttree != nullptr || plan->righttree != nullptr || plan->qual != NIL || plan->initPlan != NIL)
    return false;
  if (IsA(plan, Result)) {
    if (reinterpret_cast<const Result*>(plan)->resconstantqual != nullptr || list_length(plan->targetlist) != 1) return false;
    return reinterpret_cast<const Node*>(linitial_node(TargetEntry, plan->targetlist)->expr) == call;
  }
  if (!IsA(plan, FunctionScan)) return false;
  const List* const functions = reinterpret_cast<const FunctionScan*>(plan)->functions;
  return list_length(functions) == 1 && linitial_node(RangeTblFunction, functions)->funcexpr == call && AllColumns(plan->targetlist);
}

// The client's statement, not one inside of it.
bool IsClients(const Portal portal) {
  return portal != nullptr && debug_query_string != nullptr && strcmp(portal->sourceText, debug_query_string) == 0 &&
         (portal->cursorOptions & CURSOR_OPT_HOLD) == 0;
}

bool IsSelect(const FunctionCallInfo fcinfo) {
  const Portal portal = ActivePortal;
  return IsClients(portal) && portal->strategy == PORTAL_ONE_SELECT && portal->queryDesc != nullptr &&
         OnlyCalls(portal->queryDesc->plannedstmt, fcinfo->flinfo->fn_expr);
}

bool IsCall(const FunctionCallInfo fcinfo) {
  const Portal portal = ActivePortal;
  if (!IsClients(portal) || list_length(portal->stmts) != 1 || fcinfo->context == nullptr || !IsA(fcinfo->context, CallContext) ||
      reinterpret_cast<const CallContext*>(fcinfo->context)->atomic)
    return false;
  Node* const statement = linitial_node(PlannedStmt, portal->stmts)->utilityStmt;
  return statement != nullptr && IsA(statement, CallStmt) &&
         reinterpret_cast<CallStmt*>(statement)->funcexpr->funcid == fcinfo->flinfo->fn_oid;
}

bool OfPartition(SHM_QUEUE* locks) {
  for (auto* lock = reinterpret_cast<PROCLOCK*>(SHMQueueNext(locks, locks, offsetof(PROCLOCK, procLink))); lock != nullptr;
       lock = reinterpret_cast<PROCLOCK*>(SHMQueueNext(locks, &lock->procLink, offsetof(PROCLOCK, procLink)))) {
    uint8 const type = lock->tag.myLock->tag.locktag_type;
    if (lock->holdMask != 0 && type != LOCKTAG_ADVISORY && type != LOCKTAG_USERLOCK && type != LOCKTAG_VIRTUALTRANSACTION) return true;
  }
  return false;
}

// Locks that last until the transaction ends, of tables above all: the fast path's, then those in the shared table.
bool HoldsLocks() {
  LWLockAcquire(&MyProc->fpInfoLock, LW_SHARED);
  bool held = MyProc->fpLockBits != 0;
  LWLockRelease(&MyProc->fpInfoLock);
  for (int i = 0; !held && i < NUM_LOCK_PARTITIONS; i++) {
    LWLock* const partition = LockHashPartitionLockByIndex(i);
    LWLockAcquire(partition, LW_SHARED);
    held = OfPartition(&MyProc->myProcLocks[i]);
    LWLockRelease(partition);
  }
  return held;
}

}  // namespace

void RequireNothingHeld() {
  if (TransactionIdIsValid(GetTopTransactionIdIfAny())) RaiseNotAlone("with arguments that have changed something");
  if (HoldsLocks()) RaiseNotAlone("with arguments that have read a table");
}

void RequireOwnStatement(const FunctionCallInfo fcinfo) {
  if (IsTransactionBlock() || IsSubTransaction()) RaiseNotAlone("inside a transaction block");
  if (IsInTransactionBlock(true)) RaiseNotAlone("after other statements of a pipeline");
  if (!IsSelect(fcinfo) && !IsCall(fcinfo)) RaiseNotAlone("as a part of another statement, or from a function");
  if (TransactionIdIsValid(GetTopTransactionIdIfAny())) RaiseNotAlone("by a statement that has changed something itself");
  // In a pipeline it looks alone when it comes first: what follows starts a transaction of its own.
  MyXactFlags |= XACT_FLAGS_NEEDIMMEDIATECOMMIT;
}

}  // namespace dadbs::pg::contract
