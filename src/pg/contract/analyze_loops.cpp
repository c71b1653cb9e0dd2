/*
 * analyze_loops.cpp: loops: do they end, who chooses how often they run, in which order do they see rows.
 */
#include "analyze_internal.h"

extern "C" {
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr const char* kBoundHint = "Check its range before, or loop over the rows of a query.";

Node* OnlyValue(List* queries) { return list_length(queries) == 1 ? ValueOf(linitial_node(Query, queries)) : nullptr; }

bool IsInteger(Oid type) { return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID; }

// The caller chooses a number, and nothing says how large it may be.
bool IsOpenNumber(Analysis* a, Node* node) {
  UnwrapCast(&node);
  if (IsA(node, Param)) {
    int const dno = reinterpret_cast<Param*>(node)->paramid - 1;
    return IsInteger(reinterpret_cast<Param*>(node)->paramtype) && IsInput(a, node) && !IsGuessed(a, dno) && !IsBounded(a->facts, node, true);
  }
  if (!IsA(node, OpExpr)) return false;
  ListCell* cell;
  foreach (cell, reinterpret_cast<OpExpr*>(node)->args)
    if (IsOpenNumber(a, static_cast<Node*>(lfirst(cell)))) return true;
  return false;
}

// The body may run many times: what it assigns is not known at its beginning.
void WalkBody(Analysis* a, List* body, List* more_facts) {
  Bitmapset* const assigned = AssignedIn(a, body);
  Forget(a, assigned);
  a->found_facts = NIL;
  Path const before = Save(a);
  a->facts = list_concat_copy(a->facts, more_facts);
  WalkStatements(a, body);
  Path after = before;
  after.inputs = bms_union(before.inputs, a->inputs);
  after.authorities = bms_union(before.authorities, a->authorities);
  Restore(a, after);
}

void WalkForever(Analysis* a, PLpgSQL_stmt_loop* loop) {
  bool const ends = HasLeave(loop->body) || HasExit(loop->body, loop->label, 0, true);
  if (!ends || !CanEnd(a, loop->body, loop->label, AssignedIn(a, loop->body))) {
    a->line = loop->lineno;
    a->query = nullptr;
    ReportAs(a, Rule::kUnboundedLoop, true, -1, "Write EXIT WHEN with a condition that the loop changes.",
             ends ? "nothing in the loop changes the condition of its end" : "the loop has no end");
  }
  WalkBody(a, loop->body, NIL);
  a->reachable = HasExit(loop->body, loop->label, 0);
}

// WHILE i < n with i := i - 1 only: the counter runs away.
bool RunsAway(Analysis* a, Node* condition, List* body, Bitmapset* assigned) {
  if (condition == nullptr || !IsA(condition, OpExpr) || list_length(reinterpret_cast<OpExpr*>(condition)->args) != 2) return false;
  auto* const op = reinterpret_cast<OpExpr*>(condition);
  const char* const name = get_opname(op->opno);
  if (name == nullptr || (name[0] != '<' && name[0] != '>') || strcmp(name, "<>") == 0) return false;
  auto* left = static_cast<Node*>(linitial(op->args));
  auto* right = static_cast<Node*>(lsecond(op->args));
  UnwrapCast(&left);
  UnwrapCast(&right);
  bool const left_counts = IsA(left, Param) && DependsOn(a, left, assigned) && !DependsOn(a, right, assigned);
  bool const right_counts = IsA(right, Param) && DependsOn(a, right, assigned) && !DependsOn(a, left, assigned);
  if (!left_counts && !right_counts) return false;
  int const dno = reinterpret_cast<Param*>(left_counts ? left : right)->paramid - 1;
  int const wanted = (name[0] == '<') == left_counts ? 1 : -1;
  return DirectionOf(a, body, dno) == -wanted;
}

// WHILE x IS NOT NULL LOOP SELECT next INTO x ...: ends if the rows are no ring, which nobody has promised.
bool FollowsRows(Analysis* a, Node* condition, List* body) {
  if (condition == nullptr || !IsA(condition, NullTest)) return false;
  auto* const test = reinterpret_cast<NullTest*>(condition);
  if (test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Param)) return false;
  int const dno = reinterpret_cast<Param*>(test->arg)->paramid - 1;
  return IsReadBy(a, body, dno);
}

void WalkWhile(Analysis* a, PLpgSQL_stmt_while* loop) {
  Bitmapset* const assigned = AssignedIn(a, loop->body);
  Path const entry = Save(a);
  Forget(a, assigned);
  Node* const condition = OnlyValue(CheckExpr(a, loop->cond));
  bool const away = RunsAway(a, condition, loop->body, assigned);
  if ((away || !IsVariant(a, loop->cond, assigned)) && !CanEnd(a, loop->body, loop->label, assigned)) {
    a->line = loop->lineno;
    a->query = nullptr;
    ReportAs(a, Rule::kUnboundedLoop, true, -1, "Change what the condition asks for inside the loop.",
             away ? "the loop moves away from its end" : "nothing in the loop changes its condition");
  } else if (FollowsRows(a, condition, loop->body) && !CanEnd(a, loop->body, loop->label, assigned)) {
    a->line = loop->lineno;
    a->query = nullptr;
    Report(a, Rule::kUnboundedLoop, -1, "Count the steps and stop at a limit.", "the loop follows rows, and ends only if they are no ring");
  } else if (condition != nullptr && IsOpenNumber(a, condition)) {
    a->facts = entry.facts;
    if (IsOpenNumber(a, condition)) Report(a, Rule::kUnboundedLoop, -1, kBoundHint, "the caller chooses how often the loop runs");
    Forget(a, assigned);
  }
  List* const inside = condition == nullptr ? NIL : FactsOf(condition);
  WalkBody(a, loop->body, inside);
  if (condition != nullptr && !HasExit(loop->body, loop->label, 0)) a->facts = AddFacts(a->facts, condition, false);
}

void WalkNumbers(Analysis* a, PLpgSQL_stmt_fori* loop) {
  List* const lower = CheckExpr(a, loop->lower);
  List* const upper = CheckExpr(a, loop->upper);
  if (loop->step != nullptr) CheckExpr(a, loop->step);
  for (List* const bound : {lower, upper}) {
    Node* const value = OnlyValue(bound);
    if (value != nullptr && IsOpenNumber(a, value))
      Report(a, Rule::kUnboundedLoop, -1, kBoundHint, "the caller chooses how often the loop runs");
  }
  a->inputs = bms_del_member(a->inputs, loop->var->dno);
  WalkBody(a, loop->body, NIL);
}

void AssignRow(Analysis* a, PLpgSQL_variable* target, List* queries) {
  if (target == nullptr) return;
  if (queries != NIL) AssignShape(a, target, ShapeOf(linitial_node(Query, queries)));
  a->inputs = bms_del_members(a->inputs, Targets(a, target->dno));
}

void WalkRows(Analysis* a, PLpgSQL_stmt_fors* loop) {
  AssignRow(a, loop->var, CheckExpr(a, loop->query, Use::kLoop));
  WalkBody(a, loop->body, NIL);
}

void WalkCursor(Analysis* a, PLpgSQL_stmt_forc* loop) {
  auto* const cursor = reinterpret_cast<PLpgSQL_var*>(a->function->datums[loop->curvar]);
  if (loop->argquery != nullptr) CheckExpr(a, loop->argquery, Use::kValue);
  if (cursor->cursor_explicit_expr != nullptr) {
    a->line = cursor->lineno;
    AssignRow(a, loop->var, CheckExpr(a, cursor->cursor_explicit_expr, Use::kCursor));
    a->line = loop->lineno;
  }
  WalkBody(a, loop->body, NIL);
}

void WalkDynamic(Analysis* a, PLpgSQL_stmt_dynfors* loop) {
  Report(a, Rule::kDynamicSql, -1, "Write the query itself, with variables where values stand.", "EXECUTE runs text that cannot be checked");
  Node* const text = OnlyValue(CheckExpr(a, loop->query));
  if (text != nullptr && IsUnquoted(a, text))
    Report(a, Rule::kSqlInjection, -1, "Write the query itself, with variables where values stand.", "the text of EXECUTE is built from values");
  ListCell* cell;
  foreach (cell, loop->params) CheckExpr(a, static_cast<PLpgSQL_expr*>(lfirst(cell)));
  WalkBody(a, loop->body, NIL);
}

void WalkArray(Analysis* a, PLpgSQL_stmt_foreach_a* loop) {
  Node* const array = OnlyValue(CheckExpr(a, loop->expr));
  Bitmapset* const target = Targets(a, loop->varno);
  a->inputs = array != nullptr && IsInput(a, array) ? bms_add_members(a->inputs, target) : bms_del_members(a->inputs, target);
  WalkBody(a, loop->body, NIL);
}

}  // namespace

void WalkLoop(Analysis* a, PLpgSQL_stmt* statement) {
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_LOOP: WalkForever(a, reinterpret_cast<PLpgSQL_stmt_loop*>(statement)); break;
    case PLPGSQL_STMT_WHILE: WalkWhile(a, reinterpret_cast<PLpgSQL_stmt_while*>(statement)); break;
    case PLPGSQL_STMT_FORI: WalkNumbers(a, reinterpret_cast<PLpgSQL_stmt_fori*>(statement)); break;
    case PLPGSQL_STMT_FORS: WalkRows(a, reinterpret_cast<PLpgSQL_stmt_fors*>(statement)); break;
    case PLPGSQL_STMT_FORC: WalkCursor(a, reinterpret_cast<PLpgSQL_stmt_forc*>(statement)); break;
    case PLPGSQL_STMT_DYNFORS: WalkDynamic(a, reinterpret_cast<PLpgSQL_stmt_dynfors*>(statement)); break;
    case PLPGSQL_STMT_FOREACH_A: WalkArray(a, reinterpret_cast<PLpgSQL_stmt_foreach_a*>(statement)); break;
    default: break;
  }
}

}  // namespace dadbs::pg::analysis
