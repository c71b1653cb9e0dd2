/*
 * analyze_walk.cpp: the statements of a contract in the order of execution.
 *
 * Each statement's expressions are checked with what is known there; branches start with what was known before them, and what
 * both ways agree in holds after. Loops are in analyze_loops.cpp.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_oper.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr const char* kDynamicHint = "Write the statement itself, with variables where values stand.";

Node* OnlyValue(List* queries) { return list_length(queries) == 1 ? ValueOf(linitial_node(Query, queries)) : nullptr; }

bool AnyInput(Analysis* a, List* queries) {
  ListCell* cell;
  foreach (cell, queries) {
    auto* const query = lfirst_node(Query, cell);
    ListCell* inner;
    foreach (inner, query->targetList)
      if (IsInput(a, reinterpret_cast<Node*>(lfirst_node(TargetEntry, inner)->expr))) return true;
  }
  return false;
}

bool AnyAuthority(Analysis* a, List* queries) {
  ListCell* cell;
  foreach (cell, queries)
    if (AsksAuthority(a, static_cast<Node*>(lfirst(cell)))) return true;
  return false;
}

// The target holds a new value: what was known of the old one is forgotten, where it came from is remembered.
void Assign(Analysis* a, int dno, bool input, bool authority) {
  Bitmapset* const targets = Targets(a, dno);
  Forget(a, targets);
  a->found_facts = NIL;
  a->inputs = input ? bms_add_members(a->inputs, targets) : bms_del_members(a->inputs, targets);
  a->authorities = authority ? bms_add_members(a->authorities, targets) : bms_del_members(a->authorities, targets);
}

void SetFound(Analysis* a, bool authority) { Assign(a, a->function->found_varno, false, authority); }

// After x := value: x = value, and x <> 0 if that is known of the value.
void LearnValue(Analysis* a, int dno, Node* value, bool nonzero) {
  int32 modifier;
  Oid collation;
  Oid const type = DatumType(a, dno, &modifier, &collation);
  if (!OidIsValid(type) || type != exprType(value) || !IsBuiltIn(type)) return;
  auto* const param = makeNode(Param);
  param->paramkind = PARAM_EXTERN;
  param->paramid = dno + 1;
  param->paramtype = type;
  param->paramtypmod = modifier;
  param->paramcollid = collation;
  bool const simple = IsA(value, Const) || IsA(value, Param);
  if (simple && !DependsOn(a, value, Targets(a, dno))) {
    Oid const equal_op = OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("="))), type, type);
    if (OidIsValid(equal_op))
      a->facts = AddFacts(a->facts,
                          reinterpret_cast<Node*>(make_opclause(equal_op, BOOLOID, false, reinterpret_cast<Expr*>(param),
                                                                reinterpret_cast<Expr*>(value), InvalidOid, collation)),
                          true);
  } else if (nonzero) {
    Oid const unequal = OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("<>"))), type, type);
    Node* const zero = ZeroOf(type);
    if (OidIsValid(unequal) && zero != nullptr)
      a->facts = AddFacts(a->facts,
                          reinterpret_cast<Node*>(make_opclause(unequal, BOOLOID, false, reinterpret_cast<Expr*>(param),
                                                                reinterpret_cast<Expr*>(zero), InvalidOid, InvalidOid)),
                          true);
  }
}

void WalkAssign(Analysis* a, int dno, PLpgSQL_expr* expression) {
  expression->target_param = dno;
  List* const queries = CheckExpr(a, expression);
  Node* const value = OnlyValue(queries);
  bool const input = AnyInput(a, queries), authority = AnyAuthority(a, queries);
  bool const nonzero = value != nullptr && IsNonZero(a->facts, value);
  bool const whole = a->function->datums[dno]->dtype != PLPGSQL_DTYPE_RECFIELD;
  int32 modifier;
  Oid collation;
  if (value != nullptr) {
    CheckAssignedLiteral(a, DatumType(a, dno, &modifier, &collation), value);
    CheckAssignedMoney(a, DatumType(a, dno, &modifier, &collation), value);
  }
  Assign(a, dno, input, authority);
  if (whole && value != nullptr) {
    LearnValue(a, dno, value, nonzero);
    auto* const target = reinterpret_cast<PLpgSQL_variable*>(a->function->datums[dno]);
    if (target->dtype == PLPGSQL_DTYPE_REC && type_is_rowtype(exprType(value)) && exprType(value) != RECORDOID)
      AssignShape(a, target, lookup_rowtype_tupdesc_copy(exprType(value), -1));
  }
}

bool IsConstantTo(Node* node, bool value) {
  if (!IsA(node, Const) || reinterpret_cast<Const*>(node)->consttype != BOOLOID) return false;
  return !reinterpret_cast<Const*>(node)->constisnull && DatumGetBool(reinterpret_cast<Const*>(node)->constvalue) == value;
}

// x OR true, x AND false, x = x: whoever asks, the answer is the same.
bool IsForegone(Node* node) {
  check_stack_depth();
  if (IsA(node, Const)) return true;
  if (IsA(node, OpExpr)) {
    List* const sides = reinterpret_cast<OpExpr*>(node)->args;
    return list_length(sides) == 2 && equal(linitial(sides), lsecond(sides));
  }
  if (!IsA(node, BoolExpr)) return false;
  auto* const boolean = reinterpret_cast<BoolExpr*>(node);
  bool all = true;
  ListCell* cell;
  foreach (cell, boolean->args) {
    auto* const argument = static_cast<Node*>(lfirst(cell));
    if (boolean->boolop != NOT_EXPR && IsConstantTo(Simplify(argument), boolean->boolop == OR_EXPR)) return true;
    all = all && IsForegone(argument);
  }
  return all;
}

bool AsksWho(Analysis* a, Node* condition) {
  return condition != nullptr && AsksAuthority(a, condition) && !IsForegone(condition);
}

struct Branches {
  Path next;    // where no condition was true so far
  Path merged;  // of the ends of branches
  bool asks_who, left, any;
};

bool IsNotFound(Analysis* a, Node* condition) {
  if (!IsA(condition, BoolExpr) || reinterpret_cast<BoolExpr*>(condition)->boolop != NOT_EXPR) return false;
  auto* const inner = static_cast<Node*>(linitial(reinterpret_cast<BoolExpr*>(condition)->args));
  return IsA(inner, Param) && reinterpret_cast<Param*>(inner)->paramid == a->function->found_varno + 1;
}

void WalkBranch(Analysis* a, Branches* branches, Node* condition, List* statements) {
  List* const found = a->found_facts;
  Restore(a, branches->next);
  bool const who = AsksWho(a, condition);
  branches->asks_who = branches->asks_who || who;
  bool const outer = a->in_authority_test;
  a->in_authority_test = outer || branches->asks_who;
  if (condition != nullptr) a->facts = AddFacts(a->facts, condition, true);
  WalkStatements(a, statements);
  a->in_authority_test = outer;
  branches->left = branches->left || !a->reachable;
  Path const end = Save(a);
  branches->merged = branches->any ? Merge(branches->merged, end) : end;
  branches->any = true;
  if (condition == nullptr) return;
  branches->next.facts = AddFacts(branches->next.facts, condition, false);
  if (IsNotFound(a, condition)) branches->next.facts = list_concat_copy(branches->next.facts, found);
}

void EndBranches(Analysis* a, Branches* branches) {
  Restore(a, branches->merged);
  if (branches->asks_who && branches->left) a->authorized = true;
}

void WalkIf(Analysis* a, PLpgSQL_stmt_if* statement) {
  Node* condition = OnlyValue(CheckExpr(a, statement->cond));
  Branches branches = {Save(a), Save(a), false, false, false};
  WalkBranch(a, &branches, condition, statement->then_body);
  ListCell* cell;
  foreach (cell, statement->elsif_list) {
    auto* const elsif = static_cast<PLpgSQL_if_elsif*>(lfirst(cell));
    Restore(a, branches.next);
    a->line = elsif->lineno;
    condition = OnlyValue(CheckExpr(a, elsif->cond));
    WalkBranch(a, &branches, condition, elsif->stmts);
  }
  WalkBranch(a, &branches, nullptr, statement->else_body);
  EndBranches(a, &branches);
}

void WalkCase(Analysis* a, PLpgSQL_stmt_case* statement) {
  Node* value = nullptr;
  if (statement->t_expr != nullptr) {
    List* const queries = CheckExpr(a, statement->t_expr);
    value = OnlyValue(queries);
    // The compiler gives its variable a type when it runs.
    if (value != nullptr) {
      auto* const variable = reinterpret_cast<PLpgSQL_var*>(a->function->datums[statement->t_varno]);
      auto* const type = static_cast<PLpgSQL_type*>(palloc(sizeof(PLpgSQL_type)));
      *type = *variable->datatype;
      type->typoid = exprType(value) == UNKNOWNOID ? TEXTOID : exprType(value);
      type->atttypmod = exprTypmod(value);
      type->collation = exprCollation(value);
      variable->datatype = type;
    }
    Assign(a, statement->t_varno, AnyInput(a, queries), AnyAuthority(a, queries));
  }
  Branches branches = {Save(a), Save(a), false, false, false};
  ListCell* cell;
  foreach (cell, statement->case_when_list) {
    auto* const when = static_cast<PLpgSQL_case_when*>(lfirst(cell));
    Restore(a, branches.next);
    a->line = when->lineno;
    Node* condition = OnlyValue(CheckExpr(a, when->expr));
    if (condition != nullptr && value != nullptr) condition = ReplaceParam(condition, statement->t_varno + 1, value);
    WalkBranch(a, &branches, condition, when->stmts);
  }
  if (statement->have_else) WalkBranch(a, &branches, nullptr, statement->else_stmts);
  else branches.left = true;  // no branch: an error
  EndBranches(a, &branches);
}

void WalkBlock(Analysis* a, PLpgSQL_stmt_block* block) {
  int const line = a->line;
  for (int i = 0; i < block->n_initvars; i++) {
    auto* const variable = reinterpret_cast<PLpgSQL_variable*>(a->function->datums[block->initvarnos[i]]);
    Assign(a, variable->dno, false, false);
    if (variable->default_val == nullptr) continue;
    a->line = variable->lineno;
    WalkAssign(a, variable->dno, variable->default_val);
  }
  a->line = line;
  WalkStatements(a, block->body);
  if (block->label != nullptr && HasExit(block->body, block->label, 0)) a->reachable = true;
  if (block->exceptions == nullptr) return;
  Path end = Save(a);
  ListCell* cell;
  foreach (cell, block->exceptions->exc_list) {
    auto* const handler = static_cast<PLpgSQL_exception*>(lfirst(cell));
    a->line = handler->lineno;
    a->query = nullptr;
    Report(a, Rule::kExceptionBlock, -1, "Ask for the condition before (IF NOT EXISTS ..., ON CONFLICT), or let the error refuse the transaction.",
           "EXCEPTION would take this member's own failures (memory, disk, cancel) for the contract's");
    a->facts = NIL;
    a->reachable = true;
    WalkStatements(a, handler->action);
    end = Merge(end, Save(a));
  }
  Restore(a, end);
}

void EndHere(Analysis* a) {
  if (a->reachable && a->unauthorized_line > 0 && !a->authorized) a->unauthorized_end = true;
  a->reachable = false;
}

// RETURN variable is kept as a number.
void CheckReturned(Analysis* a, int dno) {
  int32 modifier;
  Oid collation;
  Oid const from = DatumType(a, dno, &modifier, &collation), type = a->signature.returns;
  bool const crosses = (from == NUMERICOID && (type == FLOAT4OID || type == FLOAT8OID)) ||
                       (type == NUMERICOID && (from == FLOAT4OID || from == FLOAT8OID));
  if (crosses)
    Report(a, Rule::kFloatMoney, -1, "Use numeric throughout: floats lose cents.", "RETURN converts between a float and an exact number");
}

void WalkReturn(Analysis* a, PLpgSQL_stmt_return* statement) {
  if (statement->expr == nullptr && statement->retvarno >= 0 && !a->trigger) CheckReturned(a, statement->retvarno);
  if (statement->expr != nullptr) {
    Node* const value = OnlyValue(CheckExpr(a, statement->expr));
    if (value != nullptr && !a->trigger) {
      CheckAssignedMoney(a, a->signature.returns, value);
      CheckAssignedLiteral(a, a->signature.returns, value);
    }
  }
  EndHere(a);
}

void WalkExit(Analysis* a, PLpgSQL_stmt_exit* statement) {
  if (statement->cond == nullptr) {
    a->reachable = false;
    return;
  }
  Node* const condition = OnlyValue(CheckExpr(a, statement->cond));
  if (condition != nullptr) a->facts = AddFacts(a->facts, condition, false);
}

void WalkRaise(Analysis* a, PLpgSQL_stmt_raise* statement) {
  ListCell* cell;
  foreach (cell, statement->params) CheckExpr(a, static_cast<PLpgSQL_expr*>(lfirst(cell)));
  foreach (cell, statement->options) CheckExpr(a, static_cast<PLpgSQL_raise_option*>(lfirst(cell))->expr);
  if (statement->elog_level >= ERROR) a->reachable = false;
}

struct DependsContext {
  Analysis* a;
  Bitmapset* datums;
};

bool AsksForNull(Node* node, DependsContext* context) {
  if (node == nullptr) return false;
  if (IsA(node, NullTest) && DependsOn(context->a, reinterpret_cast<Node*>(reinterpret_cast<NullTest*>(node)->arg), context->datums))
    return true;
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(AsksForNull)), context);
}

// The next statement asks whether there was a row: FOUND, or target IS NULL.
bool AsksFound(Analysis* a, PLpgSQL_stmt* next, PLpgSQL_variable* target) {
  if (next == nullptr || next->cmd_type != PLPGSQL_STMT_IF) return false;
  int const line = a->line;
  a->line = next->lineno;
  List* const queries = ParseExpression(a, reinterpret_cast<PLpgSQL_stmt_if*>(next)->cond, true);
  a->line = line;
  Node* const condition = OnlyValue(queries);
  if (condition == nullptr) return false;
  DependsContext context = {a, target == nullptr ? nullptr : Targets(a, target->dno)};
  return DependsOn(a, condition, bms_make_singleton(a->function->found_varno)) || AsksForNull(condition, &context);
}

void CheckTargets(Analysis* a, PLpgSQL_variable* target, Query* query) {
  if (target->dtype != PLPGSQL_DTYPE_ROW) return;
  auto* const row = reinterpret_cast<PLpgSQL_row*>(target);
  int i = 0;
  ListCell* cell;
  foreach (cell, query->targetList) {
    auto* const entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk || i >= row->nfields) continue;
    int32 modifier;
    Oid collation;
    Oid const type = row->varnos[i] < 0 ? InvalidOid : DatumType(a, row->varnos[i], &modifier, &collation);
    i++;
    CheckAssignedMoney(a, type, reinterpret_cast<Node*>(entry->expr));
    CheckAssignedLiteral(a, type, reinterpret_cast<Node*>(entry->expr));
  }
}

void WalkSql(Analysis* a, PLpgSQL_stmt_execsql* statement, PLpgSQL_stmt* next) {
  List* const queries = ParseExpression(a, statement->sqlstmt);
  Query* const query = queries == NIL ? nullptr : linitial_node(Query, queries);
  bool const input = AnyInput(a, queries), authority = AnyAuthority(a, queries);
  Use use = Use::kDiscarded;
  if (statement->into) use = statement->strict ? Use::kIntoStrict : Use::kInto;
  if (query != nullptr && use == Use::kInto) {
    const char* const text = a->query;
    int const line = a->query_line;
    AssignShape(a, statement->target, ShapeOf(query));
    if (AtMostOneRow(query) && AsksFound(a, next, statement->target)) use = Use::kIntoStrict;
    a->query = text;
    a->query_line = line;
  }
  CheckQueries(a, queries, use);
  if (statement->target != nullptr && query != nullptr && query->commandType == CMD_SELECT) CheckTargets(a, statement->target, query);
  if (statement->target != nullptr) {
    if (query != nullptr) AssignShape(a, statement->target, ShapeOf(query));
    Assign(a, statement->target->dno, input, authority);
  }
  if (authority && use == Use::kIntoStrict) a->authorized = true;
  SetFound(a, authority);
  a->found_facts = query == nullptr ? NIL : RowFacts(a, query, statement->target);
  if (statement->into && statement->strict) a->facts = list_concat_copy(a->facts, a->found_facts);
}

void CheckDynamic(Analysis* a, PLpgSQL_expr* text, List* parameters) {
  a->query = nullptr;
  Report(a, Rule::kDynamicSql, -1, kDynamicHint, "EXECUTE runs text that cannot be checked");
  Node* const value = OnlyValue(CheckExpr(a, text));
  if (value != nullptr && IsUnquoted(a, value)) Report(a, Rule::kSqlInjection, -1, kDynamicHint, "the text of EXECUTE is built from values");
  ListCell* cell;
  foreach (cell, parameters) CheckExpr(a, static_cast<PLpgSQL_expr*>(lfirst(cell)));
}

void WalkDiagnostics(Analysis* a, PLpgSQL_stmt_getdiag* statement) {
  ListCell* cell;
  foreach (cell, statement->diag_items) {
    auto* const item = static_cast<PLpgSQL_diag_item*>(lfirst(cell));
    Assign(a, item->target, false, false);
    if (item->kind == PLPGSQL_GETDIAG_CONTEXT)
      Report(a, Rule::kSessionState, -1, "Leave it out.", "the call stack is not a part of the contract");
  }
}

void WalkOpen(Analysis* a, PLpgSQL_stmt_open* statement) {
  if (statement->argquery != nullptr) CheckExpr(a, statement->argquery);
  if (statement->dynquery != nullptr) CheckDynamic(a, statement->dynquery, statement->params);
  auto* const cursor = reinterpret_cast<PLpgSQL_var*>(a->function->datums[statement->curvar]);
  PLpgSQL_expr* const query = statement->query != nullptr ? statement->query : cursor->cursor_explicit_expr;
  if (query == nullptr) return;
  if (statement->query == nullptr) a->line = cursor->lineno;
  List* const queries = CheckExpr(a, query, Use::kCursor);
  if (queries != NIL) a->shapes[statement->curvar] = ShapeOf(linitial_node(Query, queries));
}

void WalkFetch(Analysis* a, PLpgSQL_stmt_fetch* statement) {
  if (statement->expr != nullptr) CheckExpr(a, statement->expr);
  if (statement->target == nullptr) return;
  if (a->shapes[statement->curvar] != nullptr) AssignShape(a, statement->target, a->shapes[statement->curvar]);
  Assign(a, statement->target->dno, false, false);
  SetFound(a, false);
}

void WalkCall(Analysis* a, PLpgSQL_stmt_call* statement) {
  if (!statement->is_call) {
    Report(a, Rule::kDoBlock, -1, "Write its statements into the contract.", "DO hides its code from analysis");
    return;
  }
  CheckExpr(a, statement->expr, Use::kDiscarded);
  if (statement->target != nullptr) Assign(a, statement->target->dno, false, false);
}

void WalkReturnQuery(Analysis* a, PLpgSQL_stmt_return_query* statement) {
  if (statement->query != nullptr) CheckExpr(a, statement->query, Use::kResult);
  if (statement->dynquery != nullptr) CheckDynamic(a, statement->dynquery, statement->params);
}

void WalkPerform(Analysis* a, PLpgSQL_stmt_perform* statement) {
  List* const queries = CheckExpr(a, statement->expr, Use::kDiscarded);
  SetFound(a, AnyAuthority(a, queries));
  a->found_facts = queries == NIL ? NIL : RowFacts(a, linitial_node(Query, queries), nullptr);
}

// Contracts run with plpgsql.check_asserts on: ASSERT is as good as IF NOT ... THEN RAISE.
void WalkAssert(Analysis* a, PLpgSQL_stmt_assert* statement) {
  if (statement->message != nullptr) CheckExpr(a, statement->message);
  Node* const condition = OnlyValue(CheckExpr(a, statement->cond));
  if (condition == nullptr) return;
  if (AsksWho(a, condition)) a->authorized = true;
  a->facts = AddFacts(a->facts, condition, true);
}

void WalkStatement(Analysis* a, PLpgSQL_stmt* statement, PLpgSQL_stmt* next) {
  check_stack_depth();
  CHECK_FOR_INTERRUPTS();
  a->line = statement->lineno;
  a->query = nullptr;
  PLpgSQL_stmt* const outer = a->statement;
  a->statement = statement;
  CheckStatementNesting(a);
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_BLOCK: WalkBlock(a, reinterpret_cast<PLpgSQL_stmt_block*>(statement)); break;
    case PLPGSQL_STMT_ASSIGN: {
      auto* const assign = reinterpret_cast<PLpgSQL_stmt_assign*>(statement);
      WalkAssign(a, assign->varno, assign->expr);
      break;
    }
    case PLPGSQL_STMT_IF: WalkIf(a, reinterpret_cast<PLpgSQL_stmt_if*>(statement)); break;
    case PLPGSQL_STMT_CASE: WalkCase(a, reinterpret_cast<PLpgSQL_stmt_case*>(statement)); break;
    case PLPGSQL_STMT_LOOP:
    case PLPGSQL_STMT_WHILE:
    case PLPGSQL_STMT_FORI:
    case PLPGSQL_STMT_FORS:
    case PLPGSQL_STMT_FORC:
    case PLPGSQL_STMT_DYNFORS:
    case PLPGSQL_STMT_FOREACH_A: WalkLoop(a, statement); break;
    case PLPGSQL_STMT_EXIT: WalkExit(a, reinterpret_cast<PLpgSQL_stmt_exit*>(statement)); break;
    case PLPGSQL_STMT_RETURN:
      WalkReturn(a, reinterpret_cast<PLpgSQL_stmt_return*>(statement));
      break;
    case PLPGSQL_STMT_RETURN_NEXT:
      if (reinterpret_cast<PLpgSQL_stmt_return_next*>(statement)->expr != nullptr)
        CheckExpr(a, reinterpret_cast<PLpgSQL_stmt_return_next*>(statement)->expr);
      break;
    case PLPGSQL_STMT_RETURN_QUERY: WalkReturnQuery(a, reinterpret_cast<PLpgSQL_stmt_return_query*>(statement)); break;
    case PLPGSQL_STMT_RAISE: WalkRaise(a, reinterpret_cast<PLpgSQL_stmt_raise*>(statement)); break;
    case PLPGSQL_STMT_ASSERT: WalkAssert(a, reinterpret_cast<PLpgSQL_stmt_assert*>(statement)); break;
    case PLPGSQL_STMT_EXECSQL: WalkSql(a, reinterpret_cast<PLpgSQL_stmt_execsql*>(statement), next); break;
    case PLPGSQL_STMT_DYNEXECUTE: {
      auto* const execute = reinterpret_cast<PLpgSQL_stmt_dynexecute*>(statement);
      CheckDynamic(a, execute->query, execute->params);
      if (execute->target != nullptr) Assign(a, execute->target->dno, false, false);
      break;
    }
    case PLPGSQL_STMT_GETDIAG: WalkDiagnostics(a, reinterpret_cast<PLpgSQL_stmt_getdiag*>(statement)); break;
    case PLPGSQL_STMT_OPEN: WalkOpen(a, reinterpret_cast<PLpgSQL_stmt_open*>(statement)); break;
    case PLPGSQL_STMT_FETCH: WalkFetch(a, reinterpret_cast<PLpgSQL_stmt_fetch*>(statement)); break;
    case PLPGSQL_STMT_CLOSE: break;
    case PLPGSQL_STMT_PERFORM: WalkPerform(a, reinterpret_cast<PLpgSQL_stmt_perform*>(statement)); break;
    case PLPGSQL_STMT_CALL: WalkCall(a, reinterpret_cast<PLpgSQL_stmt_call*>(statement)); break;
    case PLPGSQL_STMT_COMMIT:
    case PLPGSQL_STMT_ROLLBACK:
      Report(a, Rule::kTransactionControl, -1, "Leave it out, or RAISE to refuse the transaction.", "a contract is part of one transaction");
      break;
  }
  a->statement = outer;
}

// Variables that hold money in floats, where they are declared.
void CheckDeclarations(Analysis* a) {
  for (int i = 0; i < a->function->ndatums; i++) {
    PLpgSQL_datum* const datum = a->function->datums[i];
    if (datum->dtype != PLPGSQL_DTYPE_VAR) continue;
    auto* const variable = reinterpret_cast<PLpgSQL_var*>(datum);
    Oid const type = variable->datatype == nullptr ? InvalidOid : getBaseType(variable->datatype->typoid);
    if ((type != FLOAT4OID && type != FLOAT8OID) || variable->refname == nullptr || !IsMoneyName(variable->refname)) continue;
    a->line = Max(variable->lineno, 1);
    a->query = nullptr;
    Report(a, Rule::kFloatMoney, -1, "Use numeric, or whole cents in bigint.", "\"%s\" holds money in a float", variable->refname);
  }
}

int LastLine(const char* body) {
  int lines = 1;
  for (const char* p = body; *p != '\0'; p++)
    if (*p == '\n' && p[1] != '\0') lines++;
  return lines;
}

}  // namespace

List* CheckExpr(Analysis* a, PLpgSQL_expr* expression, Use use) {
  List* const queries = ParseExpression(a, expression);
  CheckQueries(a, queries, use);
  return queries;
}

void WalkStatements(Analysis* a, List* statements) {
  ListCell* cell;
  foreach (cell, statements) {
    ListCell* const next = lnext(statements, cell);
    WalkStatement(a, static_cast<PLpgSQL_stmt*>(lfirst(cell)), next == nullptr ? nullptr : static_cast<PLpgSQL_stmt*>(lfirst(next)));
  }
}

void WalkFunction(Analysis* a) {
  CheckDeclarations(a);
  a->facts = a->row_facts = NewRowFacts(a);
  a->reachable = true;
  a->line = a->function->action->lineno;
  a->statement = reinterpret_cast<PLpgSQL_stmt*>(a->function->action);
  WalkBlock(a, a->function->action);
  bool const needs_return = a->trigger || (!a->signature.procedure && a->signature.returns != VOIDOID && !a->signature.returns_set &&
                                           a->function->out_param_varno < 0);
  a->query = nullptr;
  a->line = LastLine(a->body);
  if (needs_return && a->reachable)
    Report(a, Rule::kMissingReturn, -1, a->trigger ? "End with RETURN NULL." : "End with RETURN and a value.",
           "the end of the contract is reached without RETURN");
  EndHere(a);
}

}  // namespace dadbs::pg::analysis
