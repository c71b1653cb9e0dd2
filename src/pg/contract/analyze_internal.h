/*
 * analyze_internal.h: what the parts of the contract analysis share.
 *
 *   analyze.cpp            the way in and out: subtransaction, signature, results
 *   analyze_compile.cpp    PL/pgSQL's tree of a body
 *   analyze_parse.cpp      the query trees of an expression; what type a variable has
 *   analyze_walk.cpp       statements of PL/pgSQL in the order of execution
 *   analyze_loops.cpp      loops
 *   analyze_flow.cpp       what assignments and branches do to what is known
 *   analyze_query.cpp      rules about queries: relations, commands, what must be ordered
 *   analyze_nesting.cpp    conversions and patterns that nobody counts, as the position refuses them
 *   analyze_order.cpp      is the order of rows decided by the query?
 *   analyze_expression.cpp rules about expressions: arithmetic, floats, system columns
 *   analyze_facts.cpp      what conditions prove
 *   analyze_functions.cpp  which functions give the same on every member
 *   analyze_cycles.cpp     contracts that fire or call each other
 *   analyze_report.cpp     findings
 *
 * All of it is Postgres code: palloc, List, ereport; no object with a destructor lives here (style.md, rule 1). What belongs
 * to one analysis is in Analysis and its memory context, which the end of the analysis deletes.
 */
#pragma once

#include <initializer_list>

extern "C" {
#include "postgres.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "plpgsql.h"
#include "utils/resowner.h"
}

namespace dadbs::pg::analysis {

enum class Rule {
  kInvalid,
  kVolatileFunction,
  kWallClock,
  kSessionState,
  kSequence,
  kUnsafeFunction,
  kDynamicSql,
  kSqlInjection,
  kTemporaryTable,
  kUnorderedLoop,
  kUnorderedCursor,
  kUnorderedLimit,
  kUnorderedAggregate,
  kUnorderedWindow,
  kUnorderedResult,
  kFloatAggregate,
  kDistinctOn,
  kSystemColumn,
  kCatalogAccess,
  kLocalObject,
  kUnauthorizedAccess,
  kSetStatement,
  kTransactionControl,
  kNotify,
  kCopy,
  kDoBlock,
  kDdl,
  kAdvisoryLock,
  kSkipLocked,
  kExplicitLock,
  kIntoWithoutStrict,
  kAmbiguousUpdate,
  kExceptionBlock,
  kUncountedNesting,
  kMissingReturn,
  kUnboundedLoop,
  kUnboundedScan,
  kIntegerOverflow,
  kDivisionByZero,
  kReentrancy,
  kFloatMoney,
  kMissingAuthorization,
};

struct RawFinding {
  Rule rule;
  bool error;
  int line;
  char* message;
  char* hint;
};

struct Argument {
  char* name;  // may be ""
  Oid type;
  char mode;  // PROARGMODE_*
};

struct Signature {
  int count;
  Argument* arguments;
  Oid returns;
  bool returns_set;
  bool procedure;
};

struct Analysis {
  MemoryContext results;  // of findings: outlives the subtransaction
  MemoryContext work;
  const char* name;
  const char* body;
  bool is_sql, trigger;
  int nesting;      // of functions that functions call
  List* functions;  // Oid: whose bodies are being looked at
  List* findings;   // of RawFinding*
  Signature signature;

  PLpgSQL_function* function;  // null: language sql
  TupleDesc* shapes;           // by dno, of record variables: what was assigned last; null: not known
  Oid* guessed;                // by dno, of fields whose table is not known: the type that their use asks for
  Oid given_table;
  List* tables;  // Oid: tables whose rows NEW and OLD may be

  Bitmapset* inputs;       // datums (of SQL: arguments) that hold what the caller chose
  Bitmapset* authorities;  // datums that hold who the origin or caller is
  List* facts;             // conditions that hold here, an implicit AND
  List* found_facts;       // conditions that hold if FOUND is true
  bool reachable;          // of the statement's end
  bool authorized;         // on the way here it was asked who calls
  bool in_authority_test;  // the branch depends on who calls
  List* row_facts;             // those of `facts` that hold for every row of the trigger's table
  int unauthorized_line;   // the first write that nothing authorized; 0: none
  const char* unauthorized_table;
  bool unauthorized_end;       // a way through the contract writes and never asks

  List* written;  // Oid: tables that it writes, whatever NEW and OLD are
  List* called;   // char*: contracts that it calls

  PLpgSQL_stmt* statement;  // the innermost
  int line;           // of the statement
  const char* query;  // text that locations refer to; null: none
  int query_line;     // line of its first character
};

// What is known inside one query, below its statement.
struct Scope {
  Analysis* a;
  Query* query;   // null outside of queries
  List* facts;    // conditions that hold for the rows that expressions are computed from
};

// What happens to the rows of a query.
enum class Use {
  kValue,      // a value: more than one row is an error
  kIntoStrict,
  kInto,       // the first row counts
  kLoop,
  kCursor,
  kResult,     // RETURN QUERY, the last SELECT of a function in SQL
  kDiscarded,  // PERFORM, INSERT ... SELECT
  kExists,
  kSet,        // a set: FROM, UNION
  kNarrowed,   // a set of which a condition outside takes a part: IN, a view WHERE
  kArray,      // ARRAY(SELECT ...)
};

// --- analyze_report.cpp
const char* RuleName(Rule rule);
bool IsErrorRule(Rule rule);
// location: byte in a->query, -1: the statement. Repetitions are left out.
void Report(Analysis* a, Rule rule, int location, const char* hint, const char* format, ...) pg_attribute_printf(5, 6);
void ReportAs(Analysis* a, Rule rule, bool error, int location, const char* hint, const char* format, ...)
    pg_attribute_printf(6, 7);
void ReportText(Analysis* a, Rule rule, bool error, int line, const char* message, const char* hint);
void ReportFailure(Analysis* a, ErrorData* error);
bool IsOwnTrouble(int sqlstate);  // out of memory, cancel, shutdown, ...: no property of the text

// Runs `body` in a subtransaction; an error of the text becomes a finding (or is dropped if quiet), others go on. False: failed.
template <class F>
bool Try(Analysis* a, bool quiet, F&& body);
void BeginTry();
void EndTry();
void AbortTry(Analysis* a, bool quiet, MemoryContext context);

// --- analyze_compile.cpp
PLpgSQL_function* CompileBody(Analysis* a);
PLpgSQL_nsitem* LookupName(PLpgSQL_nsitem* names, const char* name1, const char* name2, const char* name3, int* used);

// --- analyze_parse.cpp
void PrepareVariables(Analysis* a);
// The rewritten queries of an expression or statement; NIL if it is wrong, which has been reported.
List* ParseExpression(Analysis* a, PLpgSQL_expr* expression, bool quiet = false);
List* ParseSqlBody(Analysis* a, RawStmt* statement);
void SetPosition(Analysis* a, PLpgSQL_expr* expression);
TupleDesc ShapeOf(Query* query);
void AssignShape(Analysis* a, PLpgSQL_variable* target, TupleDesc shape);
Oid DatumType(Analysis* a, int dno, int32* modifier, Oid* collation);
bool IsGuessed(Analysis* a, int dno);
const char* DatumName(Analysis* a, int dno);
int ParentOf(Analysis* a, int dno);  // the record of a field, else -1
// Field of a record variable by name, or -1; those that the contract names have one.
int FieldOf(Analysis* a, int record, const char* name);

// --- analyze_walk.cpp
// Parses and checks an expression; its queries.
List* CheckExpr(Analysis* a, PLpgSQL_expr* expression, Use use = Use::kValue);
void WalkStatements(Analysis* a, List* statements);
void WalkFunction(Analysis* a);

// --- analyze_loops.cpp
void WalkLoop(Analysis* a, PLpgSQL_stmt* statement);

// --- analyze_flow.cpp
struct Path {  // what is known at one point
  List* facts;
  Bitmapset *inputs, *authorities;
  bool reachable, authorized;
};
Path Save(Analysis* a);
void Restore(Analysis* a, const Path& path);
Path Merge(const Path& one, const Path& other);
Bitmapset* Targets(Analysis* a, int dno);  // with the fields of a record, the parts of a row
Bitmapset* AssignedIn(Analysis* a, List* statements);
void Forget(Analysis* a, Bitmapset* datums);  // conditions about them no longer hold
bool IsReadBy(Analysis* a, List* statements, int dno);
bool CanEnd(Analysis* a, List* statements, const char* label, Bitmapset* assigned);  // some way out of a loop depends on what it does
bool HasExit(List* statements, const char* label, int depth, bool outer = false);  // outer: of loops around counts, too
bool HasLeave(List* statements);
int DirectionOf(Analysis* a, List* statements, int dno);  // 1: each assignment adds, -1: subtracts, 0: not known
bool IsUnquoted(Analysis* a, Node* node);
bool IsVariant(Analysis* a, PLpgSQL_expr* condition, Bitmapset* assigned);

// --- analyze_query.cpp
void CheckQuery(Analysis* a, Query* query, Use use, List* facts);
void CheckQueries(Analysis* a, List* queries, Use use);
Node* ValueOf(Query* query);  // the expression of SELECT expression, else null

// --- analyze_nesting.cpp
void CheckNesting(Analysis* a, List* queries);
void CheckStatementNesting(Analysis* a);

// --- analyze_order.cpp
bool AtMostOneRow(Query* query);
bool ExactlyOneRow(Query* query);
bool IsTotallyOrdered(Query* query);
bool IsAggregateOrdered(Query* query, Aggref* aggregate);
bool IsWindowOrdered(Query* query, WindowFunc* function);
bool AreMatchesUnique(Query* query);  // of UPDATE ... FROM

// --- analyze_expression.cpp
void CheckExpression(const Scope& scope, Node* node);
bool DependsOn(Analysis* a, Node* node, Bitmapset* datums);
bool AsksAuthority(Analysis* a, Node* node);
bool IsInput(Analysis* a, Node* node);
Oid UnwrapCast(Node** node);  // strips casts; the type of what remains
bool IsMoneyName(const char* name);
// A literal that PL/pgSQL converts to a date or time when it is assigned: 'now', 'today'.
void CheckAssignedLiteral(Analysis* a, Oid type, Node* value);
// PL/pgSQL converts between numeric and floats when it assigns or returns.
void CheckAssignedMoney(Analysis* a, Oid type, Node* value);

// --- analyze_facts.cpp
List* FactsOf(Node* condition);  // simplified, an implicit AND
List* NegatedFactsOf(Node* condition);
List* AddFacts(List* facts, Node* condition, bool holds);
bool IsNonZero(List* facts, Node* node);
bool IsPositive(List* facts, Node* node);
bool IsBounded(List* facts, Node* node, bool above_only);
List* CheckConstraintFacts(Oid relation, Index varno);
List* RelationFacts(Query* query, List* facts);
List* NewRowFacts(Analysis* a);
// What WHERE and CHECK constraints say about variables, if a row was found; target: what it was read into, or null.
List* RowFacts(Analysis* a, Query* query, PLpgSQL_variable* target);
Node* Simplify(Node* node);
Node* CaseCondition(CaseExpr* node, CaseWhen* when);  // also of CASE x WHEN y
Node* ReplaceParam(Node* node, int id, Node* value);
Node* ZeroOf(Oid type);

// --- analyze_functions.cpp
void CheckFunction(Analysis* a, Oid function, int location);
void CheckCall(Analysis* a, CallStmt* call);
bool IsAuthorityFunction(Oid function);
bool IsBuiltIn(Oid function);
bool IsContractMarker(Oid function);

// --- analyze_cycles.cpp
void CheckCycles(Analysis* a);
Oid FindDeployed(const char* name);  // the function of a contract, or invalid
List* TablesFiring(const char* name);  // Oid: with a trigger that runs the contract

// --- analyze.cpp
// Of the body of a function.
Analysis* AnalyzeInner(Analysis* outer, Oid function);
List* AnalyzeFunctionBody(Analysis* outer, Oid function);

template <class F>
bool Try(Analysis* a, bool quiet, F&& body) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  ErrorContextCallback* const callbacks = error_context_stack;
  volatile bool good = false;
  BeginTry();
  PG_TRY();
  {
    MemoryContextSwitchTo(context);
    error_context_stack = nullptr;  // callers' would take the position for one in their own text
    body();
    EndTry();
    MemoryContextSwitchTo(context);
    good = true;
  }
  PG_CATCH();
  { AbortTry(a, quiet, context); }
  PG_END_TRY();
  CurrentResourceOwner = owner;
  error_context_stack = callbacks;
  return good;
}

}  // namespace dadbs::pg::analysis
