/*
 * run.cpp: runs the contracts of a transaction's rows, in the apply worker of every member, the origin included.
 *
 * When: after all rows of the write set are applied and their constraints hold, in the local transaction of that position and
 * of no other. In the order of the write set, on each row the triggers of its table by name: those whose function is
 * dadbs.contract, which in a session do nothing. The rows are found again by where they are, as Postgres finds those of AFTER
 * triggers. What a contract writes is ordinary SQL: it fires the marker triggers of these tables, where the marker runs their
 * contracts at once, up to kDepthMax inside each other.
 *
 * As whom: the contract's owner, a role of the group, in a restricted context. Deferrable constraints are checked at the end of
 * each statement.
 *
 * State: `running` says that contracts run, for which position, and what they have used. It is of one position, and forgotten
 * with its local transaction.
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteManip.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dadbs_contract);
}

namespace dadbs::pg {
namespace contract {

Running running;

namespace {

// A table of which rows were changed, for as long as the position lasts.
struct OpenTable {
  Relation relation;
  TriggerDesc* triggers;  // a copy: the relation cache may make its own anew while contracts run; null: none
  TupleTableSlot *old_slot, *new_slot;
  FmgrInfo* functions;    // by trigger
  ExprState** conditions;  // by trigger; null: none, or not yet made
  OpenTable* next;
};

struct Runner {
  EState* estate;
  OpenTable* tables;
};

OpenTable* Open(Runner* runner, Oid relation) {
  for (OpenTable* table = runner->tables; table != nullptr; table = table->next)
    if (RelationGetRelid(table->relation) == relation) return table;
  MemoryContext const before = MemoryContextSwitchTo(runner->estate->es_query_cxt);
  auto* const table = static_cast<OpenTable*>(palloc0(sizeof(OpenTable)));
  table->relation = table_open(relation, RowExclusiveLock);
  table->old_slot = table_slot_create(table->relation, nullptr);
  table->new_slot = table_slot_create(table->relation, nullptr);
  table->triggers = CopyTriggerDesc(table->relation->trigdesc);
  int const count = table->triggers != nullptr ? table->triggers->numtriggers : 0;
  table->functions = static_cast<FmgrInfo*>(palloc0(sizeof(FmgrInfo) * (count + 1)));
  table->conditions = static_cast<ExprState**>(palloc0(sizeof(ExprState*) * (count + 1)));
  table->next = runner->tables;
  runner->tables = table;
  MemoryContextSwitchTo(before);
  return table;
}

void CloseAll(Runner* runner) {
  for (OpenTable* table = runner->tables; table != nullptr; table = table->next) {
    ExecDropSingleTupleTableSlot(table->old_slot);
    ExecDropSingleTupleTableSlot(table->new_slot);
    table_close(table->relation, NoLock);
  }
}

bool Matches(const Trigger& trigger, char op, Oid marker) {
  if (trigger.tgfoid != marker || trigger.tgnargs < 1) return false;
  if (trigger.tgenabled != TRIGGER_FIRES_ON_ORIGIN && trigger.tgenabled != TRIGGER_FIRES_ALWAYS) return false;
  if (!TRIGGER_FOR_ROW(trigger.tgtype) || !TRIGGER_FOR_AFTER(trigger.tgtype)) return false;
  return op == 'I' ? TRIGGER_FOR_INSERT(trigger.tgtype) : op == 'U' ? TRIGGER_FOR_UPDATE(trigger.tgtype) : TRIGGER_FOR_DELETE(trigger.tgtype);
}

// As TriggerEnabled() does it, with the rights of the table's owner: the condition may call functions, and we are a superuser.
bool ConditionHolds(Runner* runner, OpenTable* table, int at, const ContractEvent& event) {
  const Trigger& trigger = table->triggers->triggers[at];
  if (trigger.tgqual == nullptr) return true;
  EState* const estate = runner->estate;
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  SetUserIdAndSecContext(table->relation->rd_rel->relowner, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  EnterExpression();
  if (table->conditions[at] == nullptr) {
    MemoryContext const before = MemoryContextSwitchTo(estate->es_query_cxt);
    Node* condition = static_cast<Node*>(stringToNode(trigger.tgqual));
    ChangeVarNodes(condition, PRS2_OLD_VARNO, INNER_VAR, 0);
    ChangeVarNodes(condition, PRS2_NEW_VARNO, OUTER_VAR, 0);
    table->conditions[at] = ExecPrepareQual(make_ands_implicit(reinterpret_cast<Expr*>(condition)), estate);
    MemoryContextSwitchTo(before);
  }
  ExprContext* const context = GetPerTupleExprContext(estate);
  context->ecxt_innertuple = event.op == 'I' ? nullptr : table->old_slot;
  context->ecxt_outertuple = event.op == 'D' ? nullptr : table->new_slot;
  bool const holds = ExecQual(table->conditions[at], context);
  LeaveExpression();
  SetUserIdAndSecContext(user, security);
  return holds;
}

void Fetch(Relation relation, const ItemPointerData& where, TupleTableSlot* slot) {
  ItemPointerData tid = where;
  if (!ItemPointerIsValid(&tid)) return;
  if (!table_tuple_fetch_row_version(relation, &tid, SnapshotAny, slot))
    elog(ERROR, "could not find a row of \"%s\" for its contracts", RelationGetRelationName(relation));
}

// Postgres's own trigger manager, for a contract: `data` names the marker's trigger, whose first argument is the contract.
// What is found out about it is kept in `function`, and in the memory given.
void RunTrigger(TriggerData data, FmgrInfo* function, MemoryContext memory) {
  const char* const name = data.tg_trigger->tgargs[0];
  if (running.depth >= kDepthMax)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("contracts run each other more than %d deep", kDepthMax),
                    errdetail("The last one is \"%s\".", name)));
  if (!OidIsValid(function->fn_oid)) {
    Oid const oid = FindContract(name);
    if (!OidIsValid(oid)) ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("contract \"%s\" does not exist", name)));
    fmgr_info_cxt(oid, function, memory);
  }
  Trigger trigger = *data.tg_trigger;
  trigger.tgnargs--;
  trigger.tgargs++;
  data.tg_trigger = &trigger;
  LOCAL_FCINFO(call, 0);
  InitFunctionCallInfoData(*call, function, 0, InvalidOid, reinterpret_cast<Node*>(&data), nullptr);
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(OwnerOf(function->fn_oid), context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  const char* const outer = running.name;
  size_t const outer_run = running.run;
  running.name = name;
  running.run = BeginRun(name, false);
  running.depth++;
  (void)FunctionCallInvoke(call);
  running.depth--;
  running.name = outer;
  running.run = outer_run;
  SetUserIdAndSecContext(user, context);
}

TriggerData MakeData(OpenTable* table, int at, const ContractEvent& event) {
  TriggerData data = {};
  data.type = T_TriggerData;
  data.tg_event = TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER |
                  (event.op == 'I' ? TRIGGER_EVENT_INSERT : event.op == 'U' ? TRIGGER_EVENT_UPDATE : TRIGGER_EVENT_DELETE);
  data.tg_relation = table->relation;
  data.tg_trigger = &table->triggers->triggers[at];
  data.tg_trigslot = event.op == 'I' ? table->new_slot : table->old_slot;
  data.tg_trigtuple = ExecFetchSlotHeapTuple(data.tg_trigslot, true, nullptr);
  if (event.op == 'U') {
    data.tg_newslot = table->new_slot;
    data.tg_newtuple = ExecFetchSlotHeapTuple(data.tg_newslot, true, nullptr);
  }
  return data;
}

void RunOnRow(Runner* runner, const ContractEvent& event, Oid marker) {
  OpenTable* const table = Open(runner, event.relation);
  const TriggerDesc* const triggers = table->triggers;
  ResetPerTupleExprContext(runner->estate);
  MemoryContext const before = MemoryContextSwitchTo(GetPerTupleMemoryContext(runner->estate));
  Fetch(table->relation, event.old_tid, table->old_slot);
  Fetch(table->relation, event.new_tid, table->new_slot);
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++) {
    if (!Matches(triggers->triggers[i], event.op, marker) || !ConditionHolds(runner, table, i, event)) continue;
    RunTrigger(MakeData(table, i, event), &table->functions[i], runner->estate->es_query_cxt);
  }
  ExecClearTuple(table->old_slot);
  ExecClearTuple(table->new_slot);
  MemoryContextSwitchTo(before);
}

// Deferred triggers cannot fire in a restricted context.
void CheckConstraintsAtOnce() {
  auto* const statement = makeNode(ConstraintsSetStmt);
  statement->deferred = false;
  AfterTriggerSetState(statement);
}

void RunAll(const ContractEvents& events) {
  int const level = EnterContracts();
  Oid const marker = ContractMarker();
  Runner runner = {CreateExecutorState(), nullptr};
  for (int i = 0; i < events.count; i++) {
    CHECK_FOR_INTERRUPTS();
    RunOnRow(&runner, events.items[i], marker);
  }
  CloseAll(&runner);
  FreeExecutorState(runner.estate);
  LeaveContracts(level);
}

}  // namespace

Oid OwnerOf(Oid function) {
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "function %u of a contract is gone", function);
  Oid const owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
  ReleaseSysCache(tuple);
  return owner;
}

int EnterContracts() {
  int const level = NewGUCNestLevel();
  (void)set_config_option("row_security", "on", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  CheckConstraintsAtOnce();
  PushActiveSnapshot(GetTransactionSnapshot());
  return level;
}

void LeaveContracts(int level) {
  PopActiveSnapshot();
  AtEOXact_GUC(false, level);
}

namespace {

// Writes what they wrote and what ran, and forgets it.
void Finish(const AtPosition& at, core::KeyList* keys) {
  WriteEffects(at, keys);
  std::vector<ContractRun> const runs = TakeContractRuns();
  WriteContractRuns(at, runs);
  ForgetContracts();
}

}  // namespace

void RunAt(const AtPosition& at, core::KeyList* keys, const std::function<void()>& contracts) {
  ForgetContracts();
  running.at = &at;
  try {
    contracts();
  } catch (const PgError& e) {
    running.at = nullptr;
    if (FailedForAnOldPlan(e)) throw PgError(ERRCODE_T_R_SERIALIZATION_FAILURE, "contracts run again with new plans", e.message());
    throw;
  } catch (...) {
    running.at = nullptr;
    throw;
  }
  running.at = nullptr;
  Finish(at, keys);
}

void CountStatement() {
  CountStatementOf(running.run);
  if (++running.statements <= running.statement_limit) return;
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("contracts executed more than " UINT64_FORMAT " statements in one transaction", running.statement_limit),
                  errdetail("The last one was of contract \"%s\".", running.name != nullptr ? running.name : "")));
}

}  // namespace contract

bool ContractsRunning() { return contract::running.at != nullptr; }

void ForgetContracts() noexcept {
  contract::running = {};
  contract::EndSandbox();
  contract::ForgetEffects();
  contract::ForgetRuns();
}

void RunContracts(const ContractEvents& events, const AtPosition& at, core::KeyList* keys) {
  contract::RunAt(at, keys, [&] {
    Call([&] {
      contract::BeginSandbox();
      contract::RunAll(events);
    });
  });
}

}  // namespace dadbs::pg

// The function of marker triggers: in a session it does nothing, since the write set drives the contracts.
extern "C" Datum dadbs_contract(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("dadbs.contract() is the function of triggers only")));
  auto* const data = reinterpret_cast<TriggerData*>(fcinfo->context);
  if (!ContractsRunning() || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_AFTER(data->tg_event) ||
      data->tg_trigger->tgnargs < 1)
    return PointerGetDatum(nullptr);
  FmgrInfo function = {};
  contract::RunTrigger(*data, &function, CurrentMemoryContext);
  return PointerGetDatum(nullptr);
}
