/*
 * analyze_expression.cpp: rules about expressions: functions, system columns, literals that mean now, arithmetic, floats.
 *
 * The walk carries the facts that hold for each part: CASE, AND and OR are evaluated from left to right by the executor, so
 * what was asked before is known after.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/attnum.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
}

#include "dadbs/pg/sharing.h"

namespace dadbs::pg::analysis {
namespace {

using Walker = bool (*)();

struct FunctionContext {
  Analysis* a;
  int location;
};

bool OnFunction(Oid function, void* context) {
  auto* const c = static_cast<FunctionContext*>(context);
  CheckFunction(c->a, function, c->location);
  return false;
}

bool IsFloat(Oid type) { return type == FLOAT4OID || type == FLOAT8OID; }
bool IsInteger(Oid type) { return type == INT2OID || type == INT4OID || type == INT8OID; }
bool IsDateTime(Oid type) {
  return type == DATEOID || type == TIMEOID || type == TIMETZOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

// 'now', 'today 12:00': constants that PostgreSQL computes when it reads them.
bool MeansNow(const char* text, size_t length) {
  for (const char* const word : {"now", "today", "tomorrow", "yesterday"}) {
    size_t const n = strlen(word);
    for (size_t i = 0; i + n <= length; i++)
      if (pg_strncasecmp(text + i, word, n) == 0) return true;
  }
  return false;
}

bool LiteralMeansNow(const char* at) {
  if (*at == 'E' || *at == 'e') at++;
  if (*at == '\'') return MeansNow(at + 1, strcspn(at + 1, "'"));
  if (*at != '$') return false;
  const char* const text = strchr(at + 1, '$');
  return text != nullptr && MeansNow(text + 1, strcspn(text + 1, "$"));
}

void CheckConst(const Scope& scope, Const* node) {
  Analysis* const a = scope.a;
  if (IsObjectReference(node->consttype) && !node->constisnull)
    Report(a, Rule::kLocalObject, node->location, "Name objects by their names, as text.",
           "the number of an object differs between members");
  if (!IsDateTime(node->consttype) || a->query == nullptr || node->location < 0 ||
      static_cast<size_t>(node->location) >= strlen(a->query))
    return;
  if (LiteralMeansNow(a->query + node->location))
    Report(a, Rule::kWallClock, node->location, "Use dadbs.block_time(), which is the same on all members.",
           "the literal means the time at which it is read");
}

void CheckIoCast(const Scope& scope, CoerceViaIO* node) {
  auto* const argument = reinterpret_cast<Const*>(node->arg);
  if (!IsDateTime(node->resulttype) || !IsA(argument, Const) || argument->constisnull || argument->consttype != TEXTOID) return;
  text* const value = DatumGetTextPP(argument->constvalue);
  if (MeansNow(static_cast<char*>(VARDATA_ANY(value)), VARSIZE_ANY_EXHDR(value)))
    Report(scope.a, Rule::kWallClock, argument->location, "Use dadbs.block_time(), which is the same on all members.",
           "the literal means the time at which it is read");
}

void CheckVar(const Scope& scope, Var* node) {
  if (node->varattno >= 0) return;
  const char* name = "a system column";
  switch (node->varattno) {
    case SelfItemPointerAttributeNumber: name = "ctid"; break;
    case MinTransactionIdAttributeNumber: name = "xmin"; break;
    case MinCommandIdAttributeNumber: name = "cmin"; break;
    case MaxTransactionIdAttributeNumber: name = "xmax"; break;
    case MaxCommandIdAttributeNumber: name = "cmax"; break;
    case TableOidAttributeNumber: name = "tableoid"; break;
    default: break;
  }
  Report(scope.a, Rule::kSystemColumn, node->location, "Use the table's key.", "system column \"%s\" differs between members", name);
}

void CheckMoney(const Scope& scope, Oid type, const char* name, int location) {
  if (!IsFloat(type) || name == nullptr || !IsMoneyName(name)) return;
  Report(scope.a, Rule::kFloatMoney, location, "Use numeric, or whole cents in bigint.", "\"%s\" holds money in a float", name);
}

void CheckParam(const Scope& scope, Param* node) {
  Analysis* const a = scope.a;
  if (node->paramkind != PARAM_EXTERN || node->paramid <= 0) return;
  int const dno = node->paramid - 1;
  if (!IsGuessed(a, dno)) CheckMoney(scope, node->paramtype, DatumName(a, dno), node->location);
  if (a->function == nullptr || dno >= a->function->ndatums || a->function->datums[dno]->dtype != PLPGSQL_DTYPE_PROMISE) return;
  if (reinterpret_cast<PLpgSQL_var*>(a->function->datums[dno])->promise == PLPGSQL_PROMISE_TG_RELID)
    Report(a, Rule::kLocalObject, node->location, "Use TG_TABLE_NAME.", "TG_RELID differs between members");
}

void CheckColumnMoney(const Scope& scope, Var* node) {
  if (scope.query == nullptr || node->varlevelsup != 0 || !IsFloat(node->vartype) || node->varattno <= 0) return;
  if (node->varno <= 0 || node->varno > list_length(scope.query->rtable)) return;
  RangeTblEntry* const rte = rt_fetch(node->varno, scope.query->rtable);
  CheckMoney(scope, node->vartype, get_rte_attribute_name(rte, node->varattno), node->location);
}

void CheckSqlValue(const Scope& scope, SQLValueFunction* node) {
  switch (node->op) {
    case SVFOP_CURRENT_ROLE:
    case SVFOP_CURRENT_USER:
    case SVFOP_USER:
    case SVFOP_SESSION_USER:
      Report(scope.a, Rule::kSessionState, node->location, "Use dadbs.session_user_name() or dadbs.origin_node().",
             "contracts run as one role on all members: who calls is not the current user");
      return;
    case SVFOP_CURRENT_CATALOG:
    case SVFOP_CURRENT_SCHEMA:
      Report(scope.a, Rule::kSessionState, node->location, "Name schemas in the contract.",
             "the current database and schema are the session's");
      return;
    default:
      Report(scope.a, Rule::kWallClock, node->location, "Use dadbs.block_time(), which is the same on all members.",
             "the time of this server differs from that of other members");
  }
}

// --- arithmetic

bool IsArithmetic(OpExpr* op, const char* names) {
  if (list_length(op->args) != 2 || !IsBuiltIn(op->opno)) return false;
  const char* const name = get_opname(op->opno);
  return name != nullptr && name[0] != '\0' && name[1] == '\0' && strchr(names, name[0]) != nullptr;
}

bool IsDivisible(Oid type) { return IsInteger(type) || IsFloat(type) || type == NUMERICOID; }

void CheckDivisor(const Scope& scope, Node* divisor, int location) {
  if (!IsDivisible(exprType(divisor)) || IsNonZero(scope.facts, divisor)) return;
  Node* inner = divisor;
  UnwrapCast(&inner);
  if (IsA(inner, Aggref) && scope.query != nullptr && scope.query->groupClause != NIL && reinterpret_cast<Aggref*>(inner)->aggstar)
    return;  // a group has a row
  Node* const simple = Simplify(divisor);
  bool const surely = IsA(simple, Const);
  ReportAs(scope.a, Rule::kDivisionByZero, surely, location, "Ask before (IF x = 0 THEN RAISE ...), or divide by NULLIF(x, 0).",
           surely ? "division by zero" : "the divisor may be zero");
}

struct Leaves {
  Analysis* a;
  List* inputs;  // Param nodes that the caller chose
};

// What the sum or product is made of: through casts and further arithmetic, not into functions.
void CollectInputs(Leaves* leaves, Node* node) {
  check_stack_depth();
  UnwrapCast(&node);
  if (IsA(node, Param)) {
    auto* const param = reinterpret_cast<Param*>(node);
    if (IsInput(leaves->a, node) && !IsGuessed(leaves->a, param->paramid - 1)) leaves->inputs = lappend(leaves->inputs, node);
  } else if (IsA(node, OpExpr) && IsArithmetic(reinterpret_cast<OpExpr*>(node), "+-*")) {
    ListCell* cell;
    foreach (cell, reinterpret_cast<OpExpr*>(node)->args) CollectInputs(leaves, static_cast<Node*>(lfirst(cell)));
  }
}

// x + 1, x - 1: counting. Whoever chooses x could overflow that too, but a version or an attempt is a count of what has happened.
bool IsStep(Node* node) {
  node = Simplify(node);
  if (!IsA(node, Const) || reinterpret_cast<Const*>(node)->constisnull) return false;
  auto* const c = reinterpret_cast<Const*>(node);
  int64 const value = c->consttype == INT2OID   ? DatumGetInt16(c->constvalue)
                      : c->consttype == INT4OID ? DatumGetInt32(c->constvalue)
                      : c->consttype == INT8OID ? DatumGetInt64(c->constvalue)
                                                : INT64CONST(1) << 40;
  return value >= -1 && value <= 1;
}

void CheckOverflow(const Scope& scope, OpExpr* op) {
  if (!IsInteger(op->opresulttype) || !IsArithmetic(op, "+-*")) return;
  bool const product = get_opname(op->opno)[0] == '*', difference = get_opname(op->opno)[0] == '-';
  auto* const left = static_cast<Node*>(linitial(op->args));
  auto* const right = static_cast<Node*>(lsecond(op->args));
  if (!product && (IsStep(left) || IsStep(right))) return;
  Leaves leaves = {scope.a, NIL};
  CollectInputs(&leaves, left);
  CollectInputs(&leaves, right);
  ListCell* cell;
  foreach (cell, leaves.inputs) {
    auto* const param = static_cast<Param*>(lfirst(cell));
    bool const narrow = op->opresulttype == INT8OID && (param->paramtype == INT4OID || param->paramtype == INT2OID);
    if (narrow || !IsInteger(param->paramtype) || IsBounded(scope.facts, reinterpret_cast<Node*>(param), !difference)) continue;
    Report(scope.a, Rule::kIntegerOverflow, op->location, "Check its range before, or compute in numeric.",
           "\"%s\" comes from outside and may overflow %s", DatumName(scope.a, param->paramid - 1),
           op->opresulttype == INT8OID ? "bigint" : op->opresulttype == INT4OID ? "integer" : "smallint");
  }
}

void CheckNarrowing(const Scope& scope, FuncExpr* call) {
  if (call->funcformat != COERCE_EXPLICIT_CAST || !IsInteger(call->funcresulttype) || list_length(call->args) != 1) return;
  auto* const argument = static_cast<Node*>(linitial(call->args));
  Oid const from = exprType(argument);
  bool const narrows = from == NUMERICOID || IsFloat(from) || (from == INT8OID && call->funcresulttype != INT8OID) ||
                       (from == INT4OID && call->funcresulttype == INT2OID);
  if (!narrows || !IsA(argument, Param) || !IsInput(scope.a, argument) ||
      IsGuessed(scope.a, reinterpret_cast<Param*>(argument)->paramid - 1) || IsBounded(scope.facts, argument, true))
    return;
  Report(scope.a, Rule::kIntegerOverflow, call->location, "Check its range before.", "\"%s\" comes from outside and may not fit",
         DatumName(scope.a, reinterpret_cast<Param*>(argument)->paramid - 1));
}

bool ReadsData(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, Var) || IsA(node, Param)) return true;
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(ReadsData)), context);
}

void CheckFloatConversion(const Scope& scope, FuncExpr* call) {
  if (list_length(call->args) != 1 || !IsBuiltIn(call->funcid)) return;
  auto* const argument = static_cast<Node*>(linitial(call->args));
  Oid const from = exprType(argument);
  bool const crosses = (from == NUMERICOID && IsFloat(call->funcresulttype)) || (IsFloat(from) && call->funcresulttype == NUMERICOID);
  if (!crosses || call->funcformat == COERCE_EXPLICIT_CALL || !ReadsData(argument, nullptr)) return;
  Report(scope.a, Rule::kFloatMoney, exprLocation(reinterpret_cast<Node*>(call)), "Use numeric throughout: floats lose cents.",
         from == NUMERICOID ? "an exact number is turned into a float" : "a float is turned into an exact number");
}

void CheckFunctionCall(const Scope& scope, FuncExpr* call) {
  CheckFloatConversion(scope, call);
  CheckNarrowing(scope, call);
  if (list_length(call->args) != 2 || !IsBuiltIn(call->funcid)) return;
  const char* const name = get_func_name(call->funcid);
  if (name != nullptr && (strcmp(name, "mod") == 0 || strcmp(name, "div") == 0))
    CheckDivisor(scope, static_cast<Node*>(lsecond(call->args)), call->location);
  if (name != nullptr && strcmp(name, "generate_series") == 0) {
    Leaves leaves = {scope.a, NIL};
    CollectInputs(&leaves, static_cast<Node*>(lsecond(call->args)));
    ListCell* cell;
    foreach (cell, leaves.inputs)
      if (!IsBounded(scope.facts, static_cast<Node*>(lfirst(cell)), true))
        Report(scope.a, Rule::kUnboundedLoop, call->location, "Check its range before.", "the caller chooses how many rows are generated");
  }
}

bool IsSequenceCall(FuncExpr* call) {
  switch (call->funcid) {
    case F_NEXTVAL:
    case F_CURRVAL:
    case F_SETVAL_REGCLASS_INT8:
    case F_SETVAL_REGCLASS_INT8_BOOL: return true;
    default: return false;
  }
}

void CheckOperator(const Scope& scope, OpExpr* op) {
  if (IsArithmetic(op, "/%")) CheckDivisor(scope, static_cast<Node*>(lsecond(op->args)), op->location);
  CheckOverflow(scope, op);
}

// --- aggregates

bool IsOrderFree(const char* name) {
  for (const char* const n :
       {"count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor", "stddev", "stddev_pop",
        "stddev_samp", "variance", "var_pop", "var_samp", "range_agg", "range_intersect_agg"})
    if (strcmp(n, name) == 0) return true;
  return false;
}

bool HasFloatArgument(List* arguments) {
  ListCell* cell;
  foreach (cell, arguments)
    if (IsFloat(exprType(reinterpret_cast<Node*>(lfirst_node(TargetEntry, cell)->expr)))) return true;
  return false;
}

void CheckAggregate(const Scope& scope, Aggref* node) {
  if (scope.query == nullptr || node->agglevelsup > 0) return;
  if (node->aggkind != AGGKIND_NORMAL) return;  // WITHIN GROUP sorts its input itself
  const char* const name = get_func_name(node->aggfnoid);
  if (name == nullptr) return;
  bool const exact = strcmp(name, "count") == 0 || strcmp(name, "min") == 0 || strcmp(name, "max") == 0;
  bool const floats = !exact && HasFloatArgument(node->args);
  if ((IsOrderFree(name) && !floats) || IsAggregateOrdered(scope.query, node)) return;
  if (floats) {
    Report(scope.a, Rule::kFloatAggregate, node->location, "Use numeric, or give the aggregate an ORDER BY with a unique key.",
           "%s() over floats depends on the order of rows", name);
  } else {
    Report(scope.a, Rule::kUnorderedAggregate, node->location, "Give the aggregate an ORDER BY that ends with a unique key.",
           "%s() depends on the order of rows, which is not decided", name);
  }
}

void CheckWindow(const Scope& scope, WindowFunc* node) {
  if (scope.query == nullptr) return;
  const char* const name = get_func_name(node->winfnoid);
  if (name == nullptr) return;
  for (const char* const n : {"rank", "dense_rank", "percent_rank", "cume_dist"})
    if (strcmp(n, name) == 0) return;
  auto* const clause = static_cast<WindowClause*>(list_nth(scope.query->windowClause, static_cast<int>(node->winref) - 1));
  bool const by_rows = (clause->frameOptions & FRAMEOPTION_ROWS) != 0;
  bool floats = false;
  ListCell* cell;
  foreach (cell, node->args) floats = floats || IsFloat(exprType(static_cast<Node*>(lfirst(cell))));
  if (node->winagg && IsOrderFree(name) && !floats && !by_rows) return;
  if (IsWindowOrdered(scope.query, node)) return;
  Report(scope.a, Rule::kUnorderedWindow, node->location, "Let the window's ORDER BY end with a unique key.",
         "%s() depends on the order of rows, which is not decided", name);
}

// --- the walk

bool Walk(Node* node, const Scope* scope);

void WalkBoolean(BoolExpr* node, const Scope& scope) {
  Scope here = scope;
  ListCell* cell;
  foreach (cell, node->args) {
    auto* const argument = static_cast<Node*>(lfirst(cell));
    Walk(argument, &here);
    if (node->boolop != NOT_EXPR) here.facts = AddFacts(here.facts, argument, node->boolop == AND_EXPR);
  }
}

void WalkCase(CaseExpr* node, const Scope& scope) {
  Scope here = scope;
  Walk(reinterpret_cast<Node*>(node->arg), &here);
  ListCell* cell;
  foreach (cell, node->args) {
    auto* const when = lfirst_node(CaseWhen, cell);
    Walk(reinterpret_cast<Node*>(when->expr), &here);
    Node* const condition = CaseCondition(node, when);
    Scope inner = here;
    inner.facts = AddFacts(here.facts, condition, true);
    Walk(reinterpret_cast<Node*>(when->result), &inner);
    here.facts = AddFacts(here.facts, condition, false);
  }
  Walk(reinterpret_cast<Node*>(node->defresult), &here);
}

void WalkSubLink(SubLink* node, const Scope& scope) {
  Walk(node->testexpr, &scope);
  Use use = Use::kValue;
  if (node->subLinkType == EXISTS_SUBLINK) use = Use::kExists;
  if (node->subLinkType == ANY_SUBLINK || node->subLinkType == ALL_SUBLINK) use = Use::kNarrowed;
  if (node->subLinkType == ARRAY_SUBLINK) use = Use::kArray;
  CheckQuery(scope.a, castNode(Query, node->subselect), use, scope.facts);
}

bool Walk(Node* node, const Scope* scope) {
  if (node == nullptr) return false;
  check_stack_depth();
  FunctionContext functions = {scope->a, exprLocation(node)};
  check_functions_in_node(node, OnFunction, &functions);
  switch (nodeTag(node)) {
    case T_BoolExpr: WalkBoolean(reinterpret_cast<BoolExpr*>(node), *scope); return false;
    case T_CaseExpr: WalkCase(reinterpret_cast<CaseExpr*>(node), *scope); return false;
    case T_SubLink: WalkSubLink(reinterpret_cast<SubLink*>(node), *scope); return false;
    case T_Query: return false;
    case T_Var:
      CheckVar(*scope, reinterpret_cast<Var*>(node));
      CheckColumnMoney(*scope, reinterpret_cast<Var*>(node));
      break;
    case T_Param: CheckParam(*scope, reinterpret_cast<Param*>(node)); break;
    case T_Const: CheckConst(*scope, reinterpret_cast<Const*>(node)); break;
    case T_CoerceViaIO: CheckIoCast(*scope, reinterpret_cast<CoerceViaIO*>(node)); break;
    case T_SQLValueFunction: CheckSqlValue(*scope, reinterpret_cast<SQLValueFunction*>(node)); break;
    case T_NextValueExpr:
      Report(scope->a, Rule::kSequence, -1, "Give the column's value in the statement.",
             "the column's default takes the next value of a sequence, which differs between members");
      break;
    case T_OpExpr: CheckOperator(*scope, reinterpret_cast<OpExpr*>(node)); break;
    case T_FuncExpr:
      CheckFunctionCall(*scope, reinterpret_cast<FuncExpr*>(node));
      if (IsSequenceCall(reinterpret_cast<FuncExpr*>(node))) return false;  // its regclass says nothing new
      break;
    case T_Aggref: CheckAggregate(*scope, reinterpret_cast<Aggref*>(node)); break;
    case T_WindowFunc: CheckWindow(*scope, reinterpret_cast<WindowFunc*>(node)); break;
    default: break;
  }
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(Walk)), const_cast<Scope*>(scope));
}

struct DependContext {
  Analysis* a;
  Bitmapset* datums;
};

bool Depends(Node* node, DependContext* context) {
  if (node == nullptr) return false;
  if (IsA(node, Param) && reinterpret_cast<Param*>(node)->paramkind == PARAM_EXTERN) {
    int const dno = reinterpret_cast<Param*>(node)->paramid - 1;
    int const parent = ParentOf(context->a, dno);
    return bms_is_member(dno, context->datums) || (parent >= 0 && bms_is_member(parent, context->datums));
  }
  auto const walker = reinterpret_cast<Walker>(reinterpret_cast<void*>(Depends));
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), walker, context, 0);
  return expression_tree_walker(node, walker, context);
}

bool IsAuthorityOid(Oid function, void*) { return IsAuthorityFunction(function); }

// Every transaction has an origin, so asking whether there is one asks nobody.
bool IsNullTestOfAuthority(Node* node) {
  if (!IsA(node, NullTest)) return false;
  auto* argument = reinterpret_cast<Node*>(reinterpret_cast<NullTest*>(node)->arg);
  UnwrapCast(&argument);
  return IsA(argument, FuncExpr) && IsAuthorityFunction(reinterpret_cast<FuncExpr*>(argument)->funcid);
}

bool CallsAuthority(Node* node, Analysis* a) {
  if (node == nullptr || IsNullTestOfAuthority(node)) return false;
  if (check_functions_in_node(node, IsAuthorityOid, nullptr)) return true;
  // Who knows what a hash was made of, or signs, has the right: hash locks.
  if (IsA(node, FuncExpr) && IsBuiltIn(reinterpret_cast<FuncExpr*>(node)->funcid)) {
    const char* const name = get_func_name(reinterpret_cast<FuncExpr*>(node)->funcid);
    if (name != nullptr && strncmp(name, "sha", 3) == 0 && IsInput(a, node)) return true;
  }
  auto const walker = reinterpret_cast<Walker>(reinterpret_cast<void*>(CallsAuthority));
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), walker, a, 0);
  return expression_tree_walker(node, walker, a);
}

}  // namespace

void CheckExpression(const Scope& scope, Node* node) { Walk(node, &scope); }

bool DependsOn(Analysis* a, Node* node, Bitmapset* datums) {
  DependContext context = {a, datums};
  return Depends(node, &context);
}

bool IsInput(Analysis* a, Node* node) { return DependsOn(a, node, a->inputs); }

bool AsksAuthority(Analysis* a, Node* node) { return DependsOn(a, node, a->authorities) || CallsAuthority(node, a); }

Oid UnwrapCast(Node** node) {
  for (;;) {
    Node* const n = *node;
    if (IsA(n, RelabelType)) {
      *node = reinterpret_cast<Node*>(reinterpret_cast<RelabelType*>(n)->arg);
    } else if (IsA(n, FuncExpr) && list_length(reinterpret_cast<FuncExpr*>(n)->args) >= 1 &&
               (reinterpret_cast<FuncExpr*>(n)->funcformat == COERCE_EXPLICIT_CAST ||
                reinterpret_cast<FuncExpr*>(n)->funcformat == COERCE_IMPLICIT_CAST)) {
      *node = static_cast<Node*>(linitial(reinterpret_cast<FuncExpr*>(n)->args));
    } else {
      return exprType(n);
    }
  }
}

void CheckAssignedLiteral(Analysis* a, Oid type, Node* value) {
  if (!IsDateTime(type) || !IsA(value, Const) || reinterpret_cast<Const*>(value)->constisnull) return;
  auto* const literal = reinterpret_cast<Const*>(value);
  bool means_now = false;
  if (literal->consttype == UNKNOWNOID) {
    const char* const word = DatumGetCString(literal->constvalue);
    means_now = MeansNow(word, strlen(word));
  } else if (literal->consttype == TEXTOID) {
    text* const word = DatumGetTextPP(literal->constvalue);
    means_now = MeansNow(static_cast<char*>(VARDATA_ANY(word)), VARSIZE_ANY_EXHDR(word));
  }
  if (means_now)
    Report(a, Rule::kWallClock, literal->location, "Use dadbs.block_time(), which is the same on all members.",
           "the literal means the time at which it is read");
}

void CheckAssignedMoney(Analysis* a, Oid type, Node* value) {
  Oid const from = exprType(value);
  if (!((from == NUMERICOID && IsFloat(type)) || (IsFloat(from) && type == NUMERICOID)) || !ReadsData(value, nullptr)) return;
  Report(a, Rule::kFloatMoney, exprLocation(value), "Use numeric throughout: floats lose cents.",
         from == NUMERICOID ? "an exact number is turned into a float" : "a float is turned into an exact number");
}

// Names of columns and variables that mostly hold money.
bool IsMoneyName(const char* name) {
  for (const char* const word :
       {"amount", "amt", "price", "balance", "total", "cost", "fee", "credit", "debit", "payment", "paid", "salary", "wage", "budget",
        "money", "cash", "tax", "invoice", "charge", "refund", "deposit", "loan", "interest", "revenue", "funds", "commission",
        "discount", "escrow", "stake", "fund"})
    if (strstr(name, word) != nullptr) return true;
  return false;
}

}  // namespace dadbs::pg::analysis
