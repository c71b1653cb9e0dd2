/*
 * analyze_facts.cpp: what conditions prove about the operands of arithmetic.
 *
 * Facts are conditions that hold where an expression is computed: of IF, CASE and WHERE, of branches that left before, of
 * CHECK constraints of the tables that rows come from. Proofs are PostgreSQL's (predicate_implied_by, which also finds usable
 * partial indexes). A condition that was not true may have been NULL: then the operand was, and so is the result, which can
 * neither divide by zero nor overflow; so NOT (x = 0) counts as x <> 0.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dadbs::pg::analysis {
namespace {

using Walker = bool (*)();
using Mutator = Node* (*)();

bool IsUsersFunction(Oid function, void*) { return !IsBuiltIn(function); }

bool CallsUsersCode(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, Query) || IsA(node, CoerceToDomain)) return true;
  if (check_functions_in_node(node, IsUsersFunction, context)) return true;
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(CallsUsersCode)), context);
}

constexpr int kSimplifyNodesMax = 300;  // parts of parts are simplified, too: the whole must not be quadratic

bool IsLarge(Node* node, int* count) {
  if (node == nullptr) return false;
  if (++*count > kSimplifyNodesMax) return true;
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(IsLarge)), count);
}

bool AllConstant(List* nodes) {
  ListCell* cell;
  foreach (cell, nodes)
    if (!IsA(lfirst(cell), Const)) return false;
  return true;
}

// Something that folding would change: a call with constants, a condition with one, a nested AND.
bool HasConstantCall(Node* node, void* context) {
  if (node == nullptr || IsA(node, Query)) return false;
  if (IsA(node, FuncExpr) && AllConstant(reinterpret_cast<FuncExpr*>(node)->args)) return true;
  if (IsA(node, OpExpr) && AllConstant(reinterpret_cast<OpExpr*>(node)->args)) return true;
  if (IsA(node, RelabelType) && IsA(reinterpret_cast<RelabelType*>(node)->arg, Const)) return true;
  if (IsA(node, CoerceViaIO) && IsA(reinterpret_cast<CoerceViaIO*>(node)->arg, Const)) return true;
  if (IsA(node, ArrayExpr) || IsA(node, BoolExpr)) return true;
  return expression_tree_walker(node, reinterpret_cast<Walker>(reinterpret_cast<void*>(HasConstantCall)), context);
}

// IS DISTINCT FROM as <>: they differ for NULL only (see above).
Node* Plain(Node* node, void* context) {
  if (node == nullptr) return nullptr;
  if (IsA(node, DistinctExpr)) {
    auto* const distinct = reinterpret_cast<DistinctExpr*>(node);
    Oid const negator = get_negator(distinct->opno);
    if (OidIsValid(negator)) {
      auto* const op = makeNode(OpExpr);
      *op = *reinterpret_cast<OpExpr*>(distinct);
      op->xpr.type = T_OpExpr;
      op->opno = negator;
      op->opfuncid = get_opcode(negator);
      op->args = static_cast<List*>(copyObjectImpl(distinct->args));
      return reinterpret_cast<Node*>(op);
    }
  }
  return expression_tree_mutator(node, reinterpret_cast<Mutator>(reinterpret_cast<void*>(Plain)), context);
}

const char* ComparisonOf(OpExpr* op) {
  if (list_length(op->args) != 2 || !IsBuiltIn(op->opno)) return nullptr;
  const char* const name = get_opname(op->opno);
  if (name == nullptr) return nullptr;
  for (const char* const n : {"<", "<=", "=", ">", ">=", "<>"})
    if (strcmp(n, name) == 0) return name;
  return nullptr;
}

// COALESCE(x, constant) < y says the same about x.
List* WithoutCoalesce(Node* fact) {
  if (!IsA(fact, OpExpr) || ComparisonOf(reinterpret_cast<OpExpr*>(fact)) == nullptr) return NIL;
  auto* const copy = static_cast<OpExpr*>(copyObjectImpl(fact));
  bool changed = false;
  ListCell* cell;
  foreach (cell, copy->args) {
    if (!IsA(lfirst(cell), CoalesceExpr)) continue;
    auto* const coalesce = static_cast<CoalesceExpr*>(lfirst(cell));
    if (list_length(coalesce->args) != 2 || !IsA(lsecond(coalesce->args), Const)) continue;
    lfirst(cell) = linitial(coalesce->args);
    changed = true;
  }
  return changed ? list_make1(copy) : NIL;
}

Node* Compare(const char* comparison, Node* left, Node* right, Oid type) {
  char* name = pstrdup(comparison);
  Oid const op = OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(name)), type, type);
  if (!OidIsValid(op)) return nullptr;
  return reinterpret_cast<Node*>(make_opclause(op, BOOLOID, false, reinterpret_cast<Expr*>(left),
                                             reinterpret_cast<Expr*>(right), InvalidOid, InvalidOid));
}

bool Proves(List* facts, const char* comparison, Node* node) {
  Oid const type = exprType(node);
  Node* const zero = ZeroOf(type);
  if (zero == nullptr || facts == NIL) return false;
  Node* const wanted = Compare(comparison, node, zero, type);
  return wanted != nullptr && predicate_implied_by(list_make1(wanted), facts, false);
}

bool IsConstant(Node* node, const char* comparison) {
  if (!IsA(node, Const) || reinterpret_cast<Const*>(node)->constisnull) return false;
  Node* const zero = ZeroOf(reinterpret_cast<Const*>(node)->consttype);
  if (zero == nullptr) return false;
  Node* const test = Compare(comparison, node, zero, reinterpret_cast<Const*>(node)->consttype);
  if (test == nullptr) return false;
  Node* const result = Simplify(test);
  return IsA(result, Const) && !reinterpret_cast<Const*>(result)->constisnull && DatumGetBool(reinterpret_cast<Const*>(result)->constvalue);
}

bool AllNonZero(List* facts, List* nodes) {
  ListCell* cell;
  foreach (cell, nodes)
    if (!IsNonZero(facts, static_cast<Node*>(lfirst(cell)))) return false;
  return nodes != NIL;
}

bool IsNotNegative(List* facts, Node* node) {
  if (IsConstant(node, ">=") || Proves(facts, ">=", node)) return true;
  if (IsA(node, Aggref)) return strcmp(get_func_name(reinterpret_cast<Aggref*>(node)->aggfnoid), "count") == 0;
  if (IsA(node, FuncExpr)) return strcmp(get_func_name(reinterpret_cast<FuncExpr*>(node)->funcid), "abs") == 0;
  return false;
}

bool IsNonZeroCase(List* facts, CaseExpr* node) {
  ListCell* cell;
  foreach (cell, node->args) {
    auto* const when = lfirst_node(CaseWhen, cell);
    Node* const condition = CaseCondition(node, when);
    if (!IsNonZero(AddFacts(facts, condition, true), reinterpret_cast<Node*>(when->result))) return false;
    facts = AddFacts(facts, condition, false);
  }
  return node->defresult == nullptr || IsNonZero(facts, reinterpret_cast<Node*>(node->defresult));
}

bool IsNonZeroOperation(List* facts, OpExpr* op) {
  const char* const name = get_opname(op->opno);
  if (name == nullptr) return false;
  if (list_length(op->args) == 1) return strcmp(name, "-") == 0 && IsNonZero(facts, static_cast<Node*>(linitial(op->args)));
  auto* const left = static_cast<Node*>(linitial(op->args));
  auto* const right = static_cast<Node*>(lsecond(op->args));
  if (strcmp(name, "*") == 0) return IsNonZero(facts, left) && IsNonZero(facts, right);
  if (strcmp(name, "-") == 0 && exprType(left) == exprType(right) && facts != NIL) {
    Node* const differ = ZeroOf(exprType(left)) == nullptr ? nullptr : Compare("<>", left, right, exprType(left));
    return differ != nullptr && predicate_implied_by(list_make1(differ), facts, false);
  }
  if (strcmp(name, "+") != 0) return false;
  return (IsPositive(facts, left) && IsNotNegative(facts, right)) || (IsNotNegative(facts, left) && IsPositive(facts, right));
}

bool Mentions(Node* operand, Node* wanted) {
  UnwrapCast(&operand);
  return equal(operand, wanted);
}

bool BoundsOperand(OpExpr* op, Node* node, bool above_only) {
  const char* const name = ComparisonOf(op);
  if (name == nullptr || strcmp(name, "<>") == 0) return false;
  bool const left = Mentions(static_cast<Node*>(linitial(op->args)), node);
  bool const right = Mentions(static_cast<Node*>(lsecond(op->args)), node);
  if (!left && !right) return false;
  if (!above_only || name[0] == '=') return true;
  return left ? name[0] == '<' : name[0] == '>';
}

bool BoundsIn(Node* fact, Node* node, bool above_only) {
  if (IsA(fact, OpExpr)) return BoundsOperand(reinterpret_cast<OpExpr*>(fact), node, above_only);
  if (IsA(fact, ScalarArrayOpExpr)) {
    auto* const any = reinterpret_cast<ScalarArrayOpExpr*>(fact);
    return any->useOr && Mentions(static_cast<Node*>(linitial(any->args)), node);
  }
  if (!IsA(fact, BoolExpr)) return false;
  auto* const boolean = reinterpret_cast<BoolExpr*>(fact);
  if (boolean->boolop == NOT_EXPR) return false;
  ListCell* cell;
  foreach (cell, boolean->args) {
    bool const bounds = BoundsIn(static_cast<Node*>(lfirst(cell)), node, above_only);
    if (boolean->boolop == AND_EXPR && bounds) return true;
    if (boolean->boolop == OR_EXPR && !bounds) return false;
  }
  return boolean->boolop == OR_EXPR;
}

// Parameters that stand for values of columns of a row that was found; no variable has such a number.
constexpr int kColumnsFrom = 1 << 20;

struct ColumnsContext {
  Analysis* a;
  Query* query;
  PLpgSQL_variable* target;
  int next;
};

// The variable that a column was read into, or -1.
int VariableOf(ColumnsContext* context, Var* var) {
  if (context->target == nullptr) return -1;
  int i = 0;
  ListCell* cell;
  foreach (cell, context->query->targetList) {
    auto* const entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk) continue;
    bool const here = equal(entry->expr, var);
    if (here && context->target->dtype == PLPGSQL_DTYPE_REC) return FieldOf(context->a, context->target->dno, entry->resname);
    if (here && context->target->dtype == PLPGSQL_DTYPE_ROW) {
      auto* const row = reinterpret_cast<PLpgSQL_row*>(context->target);
      return i < row->nfields ? row->varnos[i] : -1;
    }
    i++;
  }
  return -1;
}

Node* ColumnsToVariables(Node* node, ColumnsContext* context) {
  if (node == nullptr) return nullptr;
  if (IsA(node, Var)) {
    auto* const var = reinterpret_cast<Var*>(node);
    int const variable = VariableOf(context, var);
    auto* const param = makeNode(Param);
    param->paramkind = PARAM_EXTERN;
    param->paramid = variable >= 0 ? variable + 1 : ++context->next;
    param->paramtype = var->vartype;
    param->paramtypmod = var->vartypmod;
    param->paramcollid = var->varcollid;
    int32 modifier;
    Oid collation;
    if (variable >= 0 && DatumType(context->a, variable, &modifier, &collation) == var->vartype) {
      param->paramtypmod = modifier;
      param->paramcollid = collation;
    }
    return reinterpret_cast<Node*>(param);
  }
  return expression_tree_mutator(node, reinterpret_cast<Mutator>(reinterpret_cast<void*>(ColumnsToVariables)), context);
}

struct ReplaceContext {
  int id;  // of a parameter; 0: what CASE x compares
  Node* value;
};

Node* Replace(Node* node, ReplaceContext* context) {
  if (node == nullptr) return nullptr;
  bool const here = context->id == 0 ? IsA(node, CaseTestExpr) : IsA(node, Param) && reinterpret_cast<Param*>(node)->paramid == context->id;
  if (here) return static_cast<Node*>(copyObjectImpl(context->value));
  return expression_tree_mutator(node, reinterpret_cast<Mutator>(reinterpret_cast<void*>(Replace)), context);
}

struct FieldContext {
  Analysis* a;
  Oid relation;
};

Node* ColumnsToFields(Node* node, FieldContext* context) {
  if (node == nullptr) return nullptr;
  if (IsA(node, Var)) {
    auto* const var = reinterpret_cast<Var*>(node);
    char* const column = get_attname(context->relation, var->varattno, true);
    int const field = column == nullptr ? -1 : FieldOf(context->a, context->a->function->new_varno, column);
    if (field < 0) return static_cast<Node*>(copyObjectImpl(node));
    auto* const param = makeNode(Param);
    param->paramkind = PARAM_EXTERN;
    param->paramid = field + 1;
    param->paramtype = var->vartype;
    param->paramtypmod = var->vartypmod;
    param->paramcollid = var->varcollid;
    return reinterpret_cast<Node*>(param);
  }
  return expression_tree_mutator(node, reinterpret_cast<Mutator>(reinterpret_cast<void*>(ColumnsToFields)), context);
}

}  // namespace

// Of the types that arithmetic is done in, else null.
Node* ZeroOf(Oid type) {
  switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case NUMERICOID:
    case FLOAT4OID:
    case FLOAT8OID: break;
    default: return nullptr;
  }
  Oid input, io_parameter;
  getTypeInputInfo(type, &input, &io_parameter);
  char zero[] = "0";
  Datum const value = OidInputFunctionCall(input, zero, io_parameter, -1);
  return reinterpret_cast<Node*>(makeConst(type, -1, InvalidOid, get_typlen(type), value, false, get_typbyval(type)));
}

// Constants are folded, which runs built-in functions only; what fails (1 / 0) or is very large is left as it is.
Node* Simplify(Node* node) {
  int nodes = 0;
  if (IsLarge(node, &nodes) || !HasConstantCall(node, nullptr) || CallsUsersCode(node, nullptr)) return node;
  Node* result = node;
  Node** const at = &result;
  Try(nullptr, true, [=] { *at = eval_const_expressions(nullptr, node); });
  return result;
}

bool IsPositive(List* facts, Node* node) {
  node = Simplify(node);
  return IsConstant(node, ">") || Proves(facts, ">", node);
}

List* FactsOf(Node* condition) {
  List* facts = make_ands_implicit(reinterpret_cast<Expr*>(Simplify(Plain(condition, nullptr))));
  List* more = NIL;
  ListCell* cell;
  foreach (cell, facts) more = list_concat(more, WithoutCoalesce(static_cast<Node*>(lfirst(cell))));
  return list_concat(list_copy(facts), more);
}

List* NegatedFactsOf(Node* condition) {
  Node* const plain = Simplify(Plain(condition, nullptr));
  return FactsOf(negate_clause(plain));
}

List* AddFacts(List* facts, Node* condition, bool holds) {
  if (condition == nullptr) return facts;
  return list_concat_copy(facts, holds ? FactsOf(condition) : NegatedFactsOf(condition));
}

Node* ReplaceParam(Node* node, int id, Node* value) {
  ReplaceContext context = {id, value};
  return Replace(node, &context);
}

Node* CaseCondition(CaseExpr* node, CaseWhen* when) {
  auto* const condition = reinterpret_cast<Node*>(when->expr);
  return node->arg == nullptr ? condition : ReplaceParam(condition, 0, reinterpret_cast<Node*>(node->arg));
}

bool IsNonZero(List* facts, Node* node) {
  check_stack_depth();
  if (node == nullptr) return false;
  node = Simplify(node);
  if (IsA(node, Const)) return reinterpret_cast<Const*>(node)->constisnull || IsConstant(node, "<>") || ZeroOf(exprType(node)) == nullptr;
  if (Proves(facts, "<>", node)) return true;
  Node* inner = node;
  UnwrapCast(&inner);
  if (inner != node) return IsNonZero(facts, inner);
  switch (nodeTag(node)) {
    case T_NullIfExpr: return IsConstant(Simplify(static_cast<Node*>(lsecond(reinterpret_cast<NullIfExpr*>(node)->args))), "=");
    case T_CoalesceExpr: return AllNonZero(facts, reinterpret_cast<CoalesceExpr*>(node)->args);
    case T_CaseExpr: return IsNonZeroCase(facts, reinterpret_cast<CaseExpr*>(node));
    case T_OpExpr: return IsNonZeroOperation(facts, reinterpret_cast<OpExpr*>(node));
    case T_MinMaxExpr: {
      auto* const least = reinterpret_cast<MinMaxExpr*>(node);
      if (least->op == IS_LEAST) return AllNonZero(facts, least->args);
      ListCell* cell;
      foreach (cell, least->args)
        if (IsPositive(facts, static_cast<Node*>(lfirst(cell)))) return true;
      return false;
    }
    case T_FuncExpr: {
      auto* const call = reinterpret_cast<FuncExpr*>(node);
      const char* const name = get_func_name(call->funcid);
      if (name != nullptr && strcmp(name, "array_length") == 0) return true;  // at least one, or NULL
      return name != nullptr && strcmp(name, "abs") == 0 && IsNonZero(facts, static_cast<Node*>(linitial(call->args)));
    }
    default: return false;
  }
}

bool IsBounded(List* facts, Node* node, bool above_only) {
  ListCell* cell;
  foreach (cell, facts)
    if (BoundsIn(static_cast<Node*>(lfirst(cell)), node, above_only)) return true;
  return false;
}

List* CheckConstraintFacts(Oid relation, Index varno) {
  Relation const opened = relation_open(relation, AccessShareLock);
  List* facts = NIL;
  const TupleConstr* const constraints = RelationGetDescr(opened)->constr;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; i++) {
    if (!constraints->check[i].ccvalid) continue;
    auto* const check = static_cast<Node*>(stringToNode(constraints->check[i].ccbin));
    if (varno != 1) ChangeVarNodes(check, 1, static_cast<int>(varno), 0);
    facts = list_concat(facts, FactsOf(check));
  }
  relation_close(opened, NoLock);
  return facts;
}

// CHECK constraints of what stands in FROM.
List* RelationFacts(Query* query, List* facts) {
  int varno = 0;
  ListCell* cell;
  foreach (cell, query->rtable) {
    varno++;
    auto* const rte = lfirst_node(RangeTblEntry, cell);
    if (rte->rtekind == RTE_RELATION && (rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_PARTITIONED_TABLE))
      facts = list_concat_copy(facts, CheckConstraintFacts(rte->relid, static_cast<Index>(varno)));
  }
  return facts;
}

List* RowFacts(Analysis* a, Query* query, PLpgSQL_variable* target) {
  if (query->jointree == nullptr || a->function == nullptr || query->groupClause != NIL) return NIL;
  List* facts = query->jointree->quals == nullptr ? NIL : FactsOf(query->jointree->quals);
  if (target != nullptr) facts = list_concat_copy(facts, RelationFacts(query, NIL));
  List* result = NIL;
  ListCell* cell;
  ColumnsContext context = {a, query, query->hasAggs ? nullptr : target, kColumnsFrom};
  foreach (cell, facts)
    if (!CallsUsersCode(static_cast<Node*>(lfirst(cell)), nullptr))
      result = lappend(result, ColumnsToVariables(static_cast<Node*>(lfirst(cell)), &context));
  return result;
}

List* NewRowFacts(Analysis* a) {
  if (!a->trigger || list_length(a->tables) != 1) return NIL;
  FieldContext context = {a, linitial_oid(a->tables)};
  List* facts = NIL;
  ListCell* cell;
  List* const checks = CheckConstraintFacts(context.relation, 1);
  foreach (cell, checks) facts = lappend(facts, ColumnsToFields(static_cast<Node*>(lfirst(cell)), &context));
  return facts;
}

}  // namespace dadbs::pg::analysis
