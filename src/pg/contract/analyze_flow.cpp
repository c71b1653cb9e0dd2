/*
 * analyze_flow.cpp: what assignments, branches and ways out do to what is known.
 */
#include "analyze_internal.h"

extern "C" {
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::analysis {
namespace {

using Walker = bool (*)();

// Calls `visit` with each list of statements inside of a statement.
template <class F>
void EachInner(PLpgSQL_stmt* statement, F visit) {
  ListCell* cell;
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_BLOCK: {
      auto* const block = reinterpret_cast<PLpgSQL_stmt_block*>(statement);
      visit(block->body);
      if (block->exceptions != nullptr)
        foreach (cell, block->exceptions->exc_list) visit(static_cast<PLpgSQL_exception*>(lfirst(cell))->action);
      break;
    }
    case PLPGSQL_STMT_IF: {
      auto* const branch = reinterpret_cast<PLpgSQL_stmt_if*>(statement);
      visit(branch->then_body);
      foreach (cell, branch->elsif_list) visit(static_cast<PLpgSQL_if_elsif*>(lfirst(cell))->stmts);
      visit(branch->else_body);
      break;
    }
    case PLPGSQL_STMT_CASE: {
      auto* const branch = reinterpret_cast<PLpgSQL_stmt_case*>(statement);
      foreach (cell, branch->case_when_list) visit(static_cast<PLpgSQL_case_when*>(lfirst(cell))->stmts);
      visit(branch->else_stmts);
      break;
    }
    case PLPGSQL_STMT_LOOP: visit(reinterpret_cast<PLpgSQL_stmt_loop*>(statement)->body); break;
    case PLPGSQL_STMT_WHILE: visit(reinterpret_cast<PLpgSQL_stmt_while*>(statement)->body); break;
    case PLPGSQL_STMT_FORI: visit(reinterpret_cast<PLpgSQL_stmt_fori*>(statement)->body); break;
    case PLPGSQL_STMT_FORS:
    case PLPGSQL_STMT_FORC:
    case PLPGSQL_STMT_DYNFORS: visit(reinterpret_cast<PLpgSQL_stmt_forq*>(statement)->body); break;
    case PLPGSQL_STMT_FOREACH_A: visit(reinterpret_cast<PLpgSQL_stmt_foreach_a*>(statement)->body); break;
    default: break;
  }
}

bool IsLoop(PLpgSQL_stmt* statement) {
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_LOOP:
    case PLPGSQL_STMT_WHILE:
    case PLPGSQL_STMT_FORI:
    case PLPGSQL_STMT_FORS:
    case PLPGSQL_STMT_FORC:
    case PLPGSQL_STMT_DYNFORS:
    case PLPGSQL_STMT_FOREACH_A: return true;
    default: return false;
  }
}

Bitmapset* AssignedBy(Analysis* a, PLpgSQL_stmt* statement) {
  auto const of = [a](PLpgSQL_variable* v) { return v == nullptr ? nullptr : Targets(a, v->dno); };
  switch (statement->cmd_type) {
    case PLPGSQL_STMT_ASSIGN: return Targets(a, reinterpret_cast<PLpgSQL_stmt_assign*>(statement)->varno);
    case PLPGSQL_STMT_FORI: return Targets(a, reinterpret_cast<PLpgSQL_stmt_fori*>(statement)->var->dno);
    case PLPGSQL_STMT_FORS:
    case PLPGSQL_STMT_FORC:
    case PLPGSQL_STMT_DYNFORS: return of(reinterpret_cast<PLpgSQL_stmt_forq*>(statement)->var);
    case PLPGSQL_STMT_FOREACH_A: return Targets(a, reinterpret_cast<PLpgSQL_stmt_foreach_a*>(statement)->varno);
    case PLPGSQL_STMT_EXECSQL: return of(reinterpret_cast<PLpgSQL_stmt_execsql*>(statement)->target);
    case PLPGSQL_STMT_DYNEXECUTE: return of(reinterpret_cast<PLpgSQL_stmt_dynexecute*>(statement)->target);
    case PLPGSQL_STMT_FETCH: return of(reinterpret_cast<PLpgSQL_stmt_fetch*>(statement)->target);
    case PLPGSQL_STMT_CALL: return of(reinterpret_cast<PLpgSQL_stmt_call*>(statement)->target);
    case PLPGSQL_STMT_GETDIAG: {
      Bitmapset* set = nullptr;
      ListCell* cell;
      foreach (cell, reinterpret_cast<PLpgSQL_stmt_getdiag*>(statement)->diag_items)
        set = bms_add_members(set, Targets(a, static_cast<PLpgSQL_diag_item*>(lfirst(cell))->target));
      return set;
    }
    default: return nullptr;
  }
}

bool SetsFound(PLpgSQL_stmt* statement) {
  return statement->cmd_type == PLPGSQL_STMT_EXECSQL || statement->cmd_type == PLPGSQL_STMT_PERFORM ||
         statement->cmd_type == PLPGSQL_STMT_FETCH || IsLoop(statement);
}

bool IsQueryNode(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, Query) || IsA(node, SubLink)) return true;
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(IsQueryNode)), context);
}

bool AnyVariant(Analysis* a, PLpgSQL_stmt_if* branch, Bitmapset* assigned) {
  if (IsVariant(a, branch->cond, assigned)) return true;
  ListCell* cell;
  foreach (cell, branch->elsif_list)
    if (IsVariant(a, static_cast<PLpgSQL_if_elsif*>(lfirst(cell))->cond, assigned)) return true;
  return false;
}

bool IsQuotingCall(FuncExpr* call) {
  if (!IsBuiltIn(call->funcid)) return false;
  const char* const name = get_func_name(call->funcid);
  if (name == nullptr) return false;
  if (strncmp(name, "quote_", 6) == 0) return true;
  if (strcmp(name, "format") != 0 || !IsA(linitial(call->args), Const)) return false;
  auto* const format = linitial_node(Const, call->args);
  if (format->constisnull) return false;
  char* const pattern = TextDatumGetCString(format->constvalue);
  return strstr(pattern, "%s") == nullptr && strstr(pattern, "$s") == nullptr;
}

bool Unquoted(Node* node, Analysis* a) {
  if (node == nullptr) return false;
  if (IsA(node, FuncExpr) && IsQuotingCall(reinterpret_cast<FuncExpr*>(node))) return false;
  if (IsA(node, Var)) return true;
  if (IsA(node, Param)) {
    int const dno = reinterpret_cast<Param*>(node)->paramid - 1;
    return a->function == nullptr || a->function->datums[dno]->dtype != PLPGSQL_DTYPE_PROMISE;
  }
  auto const walker = reinterpret_cast<Walker>(reinterpret_cast<void*>(Unquoted));
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), walker, a, 0);
  return expression_tree_walker(node, walker, a);
}

}  // namespace

Path Save(Analysis* a) { return {a->facts, bms_copy(a->inputs), bms_copy(a->authorities), a->reachable, a->authorized}; }

void Restore(Analysis* a, const Path& path) {
  a->facts = path.facts;
  a->inputs = bms_copy(path.inputs);
  a->authorities = bms_copy(path.authorities);
  a->reachable = path.reachable;
  a->authorized = path.authorized;
}

// Where two ways meet. One that has left does not count.
Path Merge(const Path& one, const Path& other) {
  if (!one.reachable) return other;
  if (!other.reachable) return one;
  return {list_intersection(one.facts, other.facts), bms_union(one.inputs, other.inputs), bms_union(one.authorities, other.authorities),
          true, one.authorized && other.authorized};
}

Bitmapset* Targets(Analysis* a, int dno) {
  Bitmapset* set = bms_make_singleton(dno);
  PLpgSQL_datum* const datum = a->function->datums[dno];
  if (datum->dtype == PLPGSQL_DTYPE_ROW) {
    auto* const row = reinterpret_cast<PLpgSQL_row*>(datum);
    for (int i = 0; i < row->nfields; i++)
      if (row->varnos[i] >= 0) set = bms_add_members(set, Targets(a, row->varnos[i]));
  } else if (datum->dtype == PLPGSQL_DTYPE_REC) {
    for (int f = reinterpret_cast<PLpgSQL_rec*>(datum)->firstfield; f >= 0;
         f = reinterpret_cast<PLpgSQL_recfield*>(a->function->datums[f])->nextfield)
      set = bms_add_member(set, f);
  }
  return set;
}

Bitmapset* AssignedIn(Analysis* a, List* statements) {
  check_stack_depth();
  Bitmapset* set = nullptr;
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    set = bms_add_members(set, AssignedBy(a, statement));
    if (SetsFound(statement)) set = bms_add_member(set, a->function->found_varno);
    EachInner(statement, [&](List* inner) { set = bms_add_members(set, AssignedIn(a, inner)); });
  }
  return set;
}

void Forget(Analysis* a, Bitmapset* datums) {
  List* kept = NIL;
  ListCell* cell;
  foreach (cell, a->facts)
    if (!DependsOn(a, static_cast<Node*>(lfirst(cell)), datums)) kept = lappend(kept, lfirst(cell));
  a->facts = kept;
}

// EXIT of the loop that is `depth` loops further out, or that has the label.
bool HasExit(List* statements, const char* label, int depth, bool outer) {
  check_stack_depth();
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    if (statement->cmd_type == PLPGSQL_STMT_EXIT) {
      auto* const exit = reinterpret_cast<PLpgSQL_stmt_exit*>(statement);
      if (exit->is_exit && (exit->label == nullptr ? depth == 0 : outer || (label != nullptr && strcmp(exit->label, label) == 0)))
        return true;
    }
    bool found = false;
    int const inner_depth = depth + (IsLoop(statement) ? 1 : 0);
    EachInner(statement, [&](List* inner) { found = found || HasExit(inner, label, inner_depth, outer); });
    if (found) return true;
  }
  return false;
}

// Some statement leaves the function: RETURN or RAISE.
bool HasLeave(List* statements) {
  check_stack_depth();
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    if (statement->cmd_type == PLPGSQL_STMT_RETURN) return true;
    if (statement->cmd_type == PLPGSQL_STMT_RAISE && reinterpret_cast<PLpgSQL_stmt_raise*>(statement)->elog_level >= ERROR) return true;
    bool found = false;
    EachInner(statement, [&](List* inner) { found = found || HasLeave(inner); });
    if (found) return true;
  }
  return false;
}

// Of x := x + 1 and the like.
int StepOf(Analysis* a, PLpgSQL_stmt_assign* statement) {
  a->line = statement->lineno;
  statement->expr->target_param = statement->varno;
  List* const queries = ParseExpression(a, statement->expr, true);
  Node* const value = list_length(queries) == 1 ? ValueOf(linitial_node(Query, queries)) : nullptr;
  if (value == nullptr || !IsA(value, OpExpr) || list_length(reinterpret_cast<OpExpr*>(value)->args) != 2) return 0;
  auto* const op = reinterpret_cast<OpExpr*>(value);
  const char* const name = get_opname(op->opno);
  auto* left = static_cast<Node*>(linitial(op->args));
  auto* const right = static_cast<Node*>(lsecond(op->args));
  UnwrapCast(&left);
  if (name == nullptr || !IsA(left, Param) || reinterpret_cast<Param*>(left)->paramid != statement->varno + 1 || !IsPositive(NIL, right)) return 0;
  return strcmp(name, "+") == 0 ? 1 : strcmp(name, "-") == 0 ? -1 : 0;
}

int DirectionOf(Analysis* a, List* statements, int dno) {
  check_stack_depth();
  int direction = 0;
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    bool known = true;
    auto const meet = [&](int step) {
      known = known && step != 0 && (direction == 0 || direction == step);
      direction = step;
    };
    if (statement->cmd_type == PLPGSQL_STMT_ASSIGN && reinterpret_cast<PLpgSQL_stmt_assign*>(statement)->varno == dno)
      meet(StepOf(a, reinterpret_cast<PLpgSQL_stmt_assign*>(statement)));
    else if (bms_is_member(dno, AssignedBy(a, statement)))
      return 0;
    EachInner(statement, [&](List* inner) {
      if (bms_is_member(dno, AssignedIn(a, inner))) meet(DirectionOf(a, inner, dno));
    });
    if (!known) return 0;
  }
  return direction;
}

bool IsVariant(Analysis* a, PLpgSQL_expr* condition, Bitmapset* assigned) {
  if (condition == nullptr) return true;
  List* const queries = ParseExpression(a, condition, true);
  if (list_length(queries) != 1) return true;
  Node* const value = ValueOf(linitial_node(Query, queries));
  return value == nullptr || IsQueryNode(value, nullptr) || DependsOn(a, value, assigned);
}

// Some SELECT ... INTO of the statements assigns it.
bool IsReadBy(Analysis* a, List* statements, int dno) {
  check_stack_depth();
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    if (statement->cmd_type == PLPGSQL_STMT_EXECSQL && bms_is_member(dno, AssignedBy(a, statement))) return true;
    bool found = false;
    EachInner(statement, [&](List* inner) { found = found || IsReadBy(a, inner, dno); });
    if (found) return true;
  }
  return false;
}

// The condition, with the constants that the statements before it in its list have just assigned, is never true.
bool IsNeverTrue(Analysis* a, PLpgSQL_expr* condition, List* statements, int position) {
  if (condition == nullptr) return false;
  List* const queries = ParseExpression(a, condition, true);
  Node* value = list_length(queries) == 1 ? ValueOf(linitial_node(Query, queries)) : nullptr;
  if (value == nullptr || IsQueryNode(value, nullptr)) return false;
  Bitmapset* changed = nullptr;
  for (int i = position - 1; i >= 0; i--) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(list_nth(statements, i));
    auto* const assign = reinterpret_cast<PLpgSQL_stmt_assign*>(statement);
    if (statement->cmd_type == PLPGSQL_STMT_ASSIGN && !bms_is_member(assign->varno, changed)) {
      assign->expr->target_param = assign->varno;
      List* const assigned = ParseExpression(a, assign->expr, true);
      Node* const constant = list_length(assigned) == 1 ? ValueOf(linitial_node(Query, assigned)) : nullptr;
      Node* const simple = constant == nullptr ? nullptr : Simplify(constant);
      int32 modifier;
      Oid collation;
      bool const fits = simple != nullptr && IsA(simple, Const) &&
                        exprType(simple) == DatumType(a, assign->varno, &modifier, &collation);
      if (fits) value = ReplaceParam(value, assign->varno + 1, simple);
    }
    changed = bms_add_members(changed, AssignedIn(a, list_make1(statement)));
  }
  value = Simplify(value);
  return IsA(value, Const) && (reinterpret_cast<Const*>(value)->constisnull || !DatumGetBool(reinterpret_cast<Const*>(value)->constvalue));
}

// A way out is good if nothing stands before it, or a condition that may change while the loop runs.
bool CanEnd(Analysis* a, List* statements, const char* label, Bitmapset* assigned) {
  check_stack_depth();
  ListCell* cell;
  foreach (cell, statements) {
    auto* const statement = static_cast<PLpgSQL_stmt*>(lfirst(cell));
    a->line = statement->lineno;
    switch (statement->cmd_type) {
      case PLPGSQL_STMT_EXIT: {
        auto* const exit = reinterpret_cast<PLpgSQL_stmt_exit*>(statement);
        int const position = foreach_current_index(cell);
        if (exit->is_exit && IsVariant(a, exit->cond, assigned) && !IsNeverTrue(a, exit->cond, statements, position)) return true;
        break;
      }
      case PLPGSQL_STMT_RETURN: return true;
      case PLPGSQL_STMT_RAISE:
        if (reinterpret_cast<PLpgSQL_stmt_raise*>(statement)->elog_level >= ERROR) return true;
        break;
      case PLPGSQL_STMT_IF: {
        bool inner_way = false;
        EachInner(statement, [&](List* inner) { inner_way = inner_way || CanEnd(a, inner, label, assigned); });
        a->line = statement->lineno;
        if (inner_way && AnyVariant(a, reinterpret_cast<PLpgSQL_stmt_if*>(statement), assigned)) return true;
        break;
      }
      default: {
        bool inner_way = false;
        if (IsLoop(statement)) inner_way = HasLeave(list_make1(statement)) || HasExit(list_make1(statement), label, 0, true);
        else EachInner(statement, [&](List* inner) { inner_way = inner_way || CanEnd(a, inner, label, assigned); });
        if (inner_way) return true;
      }
    }
  }
  return false;
}

bool IsUnquoted(Analysis* a, Node* node) { return Unquoted(node, a); }

}  // namespace dadbs::pg::analysis
