/*
 * code_guard.cpp: a superuser's session does not run code that came over the chain.
 *
 * A trigger, default, policy or view that another member ordered calls its functions in the sessions of this one, with the
 * rights of whoever runs the statement: a superuser would lend them his (design.md, section 8). Functions in shared schemas
 * that belong to dadbs_owner or to a role of the group are therefore refused there, unless dadbs.run_shared_code says that
 * this member's owner accepts it. The price is paid by a superuser who loaded his own functions: he works as another role
 * (SET ROLE dadbs_owner will do), or sets it.
 *
 * Asked where a function is about to run: object_access_hook for calls in expressions, fmgr_hook for triggers and everything
 * else that goes through fmgr. Planning a query over a table whose indexes use such a function is no call: needs_fmgr_hook
 * only keeps the planner from inlining it. The answer for a built-in function is one comparison.
 */
#include "internal.h"

#include "dadbs/pg/contract.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::ddl {
namespace {

needs_fmgr_hook_type previous_needs_hook = nullptr;
fmgr_hook_type previous_fmgr_hook = nullptr;

// The procedure of a contract: our own C function, which hands the call over.
bool IsContractProcedure(Form_pg_proc form) {
  if (form->prolang != ClanguageId) return false;
  const char* const schema = get_namespace_name(form->pronamespace);
  return schema != nullptr && strcmp(schema, kContractsSchema) == 0;
}

// Came over the chain: in a shared schema, owned by a role of the group.
bool CameOverTheChain(Oid function) {
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  Oid const schema = form->pronamespace;
  Oid const owner = form->proowner;
  bool const ours = IsContractProcedure(form);
  ReleaseSysCache(tuple);
  if (ours || !IsSharedSchema(schema)) return false;
  char* name = GetUserNameFromId(owner, true);
  return name != nullptr && IsGroupRole(name);
}

bool MustNotRun(Oid function) {
  if (function < FirstNormalObjectId || guc_run_shared_code || MyBackendType != B_BACKEND) return false;
  return IsTransactionState() && superuser() && SharingActive() && CameOverTheChain(function);
}

// At positions, and in definitions that their author executes early: calls are counted there (own_failure.cpp), those of
// functions in SQL too, which are therefore never inlined by the apply worker: a plan outlives the position that it was
// made at, so what is counted must not depend on when that was.
bool IsCounted(Oid function) {
  if (function < FirstNormalObjectId) return false;
  return Executing() || IsOwnWorker();
}

bool OnLookup(Oid function) {
  return MustNotRun(function) || IsCounted(function) ||
         (previous_needs_hook != nullptr && previous_needs_hook(function));
}

void OnCall(FmgrHookEventType event, FmgrInfo* function, Datum* arg) {
  if (event == FHET_START) {
    CheckFunctionMayRun(function->fn_oid);
    if (ContractsRunning()) CheckContractCall(function->fn_oid);
  }
  if (IsCounted(function->fn_oid)) event == FHET_START ? BeginFunction(Executing()) : EndFunction(Executing());
  if (previous_fmgr_hook) previous_fmgr_hook(event, function, arg);
}

}  // namespace

void InitCodeGuard() {
  previous_needs_hook = needs_fmgr_hook;
  needs_fmgr_hook = OnLookup;
  previous_fmgr_hook = fmgr_hook;
  fmgr_hook = OnCall;
}

void CheckFunctionMayRun(Oid function) {
  if (!MustNotRun(function)) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("superusers do not run function %s, which came over the chain", get_func_name(function)),
                  errdetail("Any member may have written it, and it would run with a superuser's rights on this server."),
                  errhint("Work as an ordinary role (SET ROLE %s), or set dadbs.run_shared_code = on.", kOwnerRole)));
}

}  // namespace dadbs::pg::ddl
