/*
 * internal.h: what the files of src/pg/contract share. Postgres code in C++ clothes, as in src/pg/ddl: errors leave by
 * ereport, no object with a destructor is alive; the doors are contract.h's functions and the SQL-callable ones.
 *
 *   registry.cpp  deploying and dropping, in the session and at the position
 *   deploy.cpp    the SQL functions of that
 *   triggers.cpp  which triggers may run contracts
 *   run.cpp       running contracts on the rows of a transaction
 *   call.cpp      running contracts that were called
 *   call_session.cpp  the SQL functions that call, in the session
 *   alone.cpp     whether a call stands alone in its statement and transaction
 *   procedure.cpp the procedure contracts.NAME of one that is called
 *   runs.cpp      what ran, and what calls returned
 *   sandbox.cpp   what they may do: queries, functions, budgets
 *   types.cpp     values of which types they may hold
 *   nesting.cpp, conversions.cpp  how deeply such values may be nested
 *   constants.cpp  variables that count as literals there
 *   compiled.cpp  functions of PL/pgSQL that are compiled
 *   plans.cpp     plans that depend on the catalogs alone
 *   effects.cpp   what they write
 *   guard.cpp     what one member must not define alone (approval.h)
 *   approval.cpp, propose.cpp, steps.cpp  proposals: at their positions, in the session, their text (proposal.h)
 *   protection.cpp  tables that only contracts write
 *   context.cpp   SQL functions for contracts
 */
#pragma once

#include <functional>

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
}

struct PLpgSQL_execstate;
struct PLpgSQL_function;
struct PLpgSQL_stmt;

namespace dadbs::pg::contract {

// A ContractChange in palloc'd C strings.
struct Deployment {
  bool drop;
  char *name, *language, *arguments, *returns, *body, *options, *role, *search_path;
};

// Makes or drops it in the current transaction. `at`: null inside a session's. Returns the version.
int Execute(const Deployment& deployment, const AtPosition* at);

// The write set's form of it.
core::ContractChange ContractChangeOf(const Deployment& deployment);
// Makes the role the owner of a function or procedure, whoever the current user is.
void GiveTo(Oid routine, Oid role);

// The function of a contract; invalid: there is none.
Oid FindContract(const char* name);
// Tables with a trigger that runs the contract: OIDs.
List* TablesOf(const char* name);


// -- run.cpp
inline constexpr int kDepthMax = 16;                     // contracts that run because of each other
inline constexpr uint64 kStatementsDefault = 1000000;    // of PL/pgSQL and SQL, of one transaction: limit.cpp
inline constexpr uint64 kRowsMax = 10000000;             // that pass through the nodes of plans, of one transaction
inline constexpr size_t kEffectsMax = 200000;            // rows written, of one transaction
struct Running {
  const AtPosition* at = nullptr;  // null: no contract runs
  int depth = 0;
  uint64 statements = 0, rows = 0;
  uint64 statement_limit = 0;
  const char* name = nullptr;      // of the innermost contract
  size_t run = 0;                  // of the innermost contract, in runs.cpp
  const core::PublicKey* caller = nullptr;  // who has signed the call; null: nobody
};
extern Running running;
// Counted alike on all members: beyond the limit it raises 54000, which is a verdict.
void CountStatement();
Oid OwnerOf(Oid function);
// The settings and the snapshot in which contracts run. Returns what LeaveContracts wants.
int EnterContracts();
void LeaveContracts(int level);
// Contracts of a position: `contracts` runs them. Afterwards what they wrote and what ran is written.
void RunAt(const AtPosition& at, core::KeyList* keys, const std::function<void()>& contracts);

// -- limit.cpp. The group's limit, as it stands here; Postgres code.
inline constexpr int64 kStatementLimitMin = 1000, kStatementLimitMax = 1000000000;
uint64 StatementLimit();
void CheckStatementLimit(int64 statements);
void SetStatementLimit(int64 statements, const AtPosition& at);

// -- runs.cpp
// A call, or one more run of a trigger's contract.
size_t BeginRun(const char* name, bool called);
void CountStatementOf(size_t run);
void SetResult(size_t run, const char* text);
void ForgetRuns() noexcept;

// -- alone.cpp
// In a function that calls: raises 25001 if it is not all that the client's statement and transaction do.
void RequireOwnStatement(FunctionCallInfo fcinfo);
// Once the arguments are evaluated: raises 25001 if the transaction holds a lock, or has an id, that a position could wait for.
void RequireNothingHeld();

// -- procedure.cpp
struct Signature {
  Oid function, result;
  int count;
  Oid types[FUNC_MAX_ARGS];
  char* arguments;  // types, for messages
};
// Raises if there is none, or a trigger's.
Signature FindCallable(const char* name);
char* TravellingType(Oid type);  // as it travels
Oid FindProcedure(const char* name);
// After a version was made: the procedure is the same if its interface is.
void KeepProcedure(const char* name, Oid function, Oid owner);
void DropProcedure(const char* name);
void CheckMayExecute(Oid procedure, Oid role, const char* name);       // in the session
void CheckGroupMayExecute(Oid procedure, Oid role, const char* name);  // at the position

// -- sandbox.cpp
[[noreturn]] void RaiseForbidden(const char* what, const char* hint);
void BeginSandbox();
// Contracts have failed: for a plan that an earlier position has left, which another member may not have? Then plans are made
// again with the next position, and the failure is this member's own.
bool FailedForAnOldPlan(const PgError& e);
void EndSandbox() noexcept;

// -- types.cpp. Raise 0A000.
void CheckTypeItself(Oid type);
void CheckType(Node* node);  // of an expression
void CheckColumnTypes(const RangeTblFunction* function);
void CheckVariables(PLpgSQL_execstate* estate);

// -- nesting.cpp
Query* GuardNesting(Query* query);
void CheckDomainNesting(Oid domain);  // that a contract makes values of
void InitNesting();
void CheckTableNesting(Relation table);  // that a contract writes

// -- conversions.cpp
void EnterFunction(PLpgSQL_execstate* estate);  // of PL/pgSQL, while contracts run
void LeaveFunction(PLpgSQL_execstate* estate);
void ForgetFunctions() noexcept;
// Raise 0A000.
void CheckVariablesOf(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement);  // each time it is executed
void CheckConversions(const Query* query, const char* text);
// Of a statement that `estate` declares the variables of; used by the analysis, too.
void CheckConversionsOf(PLpgSQL_execstate* estate, const PLpgSQL_stmt* statement, const Query* query, const char* text);

// -- constants.cpp
// With literals in the place of variables that are CONSTANT and stand for one; a copy, if the function has any.
Query* WithConstants(Query* query, const PLpgSQL_function* function);
void InitConstants();

// -- plans.cpp
void InitPlans();

// -- compiled.cpp
void NoteCompiled(PLpgSQL_function* function);  // it runs

// -- effects.cpp
// From ExecutorStart: each row that the query writes is told to us.
void WatchTargets(EState* estate);
size_t EffectCount();
// Those from `first` on are of one statement, which has no order: they get one.
void SortEffects(size_t first);
void ForgetEffects() noexcept;
void WriteEffects(const AtPosition& at, core::KeyList* keys);

}  // namespace dadbs::pg::contract
