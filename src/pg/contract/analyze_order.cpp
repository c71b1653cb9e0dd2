/*
 * analyze_order.cpp: is the order of rows, or the choice among them, decided by the query itself?
 *
 * One question stands behind all: given the values of some expressions (constants, variables, what the query sorts or groups
 * by), is the row of every relation in FROM determined? A relation's row is determined when the columns of one of its unique
 * keys are; then all of its columns are; an equality carries that from one relation to the other. With nothing given: the
 * query gives at most one row. Given the ORDER BY: no two rows tie. Rows that tie but are equal in every column do no harm.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::analysis {
namespace {

struct Known {
  Query* query;
  int count;             // of rtable
  Bitmapset** columns;   // by varno: known columns
  bool* rows;            // by varno: the row is determined
  Bitmapset* relations;  // varnos that stand in FROM
};

bool IsKnown(Known* known, Node* node);

void AddColumn(Known* known, Var* var) {
  if (var->varlevelsup != 0 || var->varno <= 0 || var->varno > known->count || var->varattno <= 0) return;
  known->columns[var->varno] = bms_add_member(known->columns[var->varno], var->varattno);
}

void AddKnown(Known* known, Node* expression) {
  Node* node = flatten_join_alias_vars(known->query, static_cast<Node*>(copyObjectImpl(expression)));
  while (IsA(node, RelabelType)) node = reinterpret_cast<Node*>(reinterpret_cast<RelabelType*>(node)->arg);
  if (IsA(node, Var)) AddColumn(known, reinterpret_cast<Var*>(node));
}

bool IsVarKnown(Known* known, Var* var) {
  if (var->varno <= 0 || var->varno > known->count) return false;
  return known->rows[var->varno] || bms_is_member(var->varattno < 0 ? 0 : var->varattno, known->columns[var->varno]);
}

bool IsKnown(Known* known, Node* node) {
  ListCell* cell;
  List* const vars = pull_vars_of_level(node, 0);
  foreach (cell, vars)
    if (!IsA(lfirst(cell), Var) || !IsVarKnown(known, static_cast<Var*>(lfirst(cell)))) return false;
  return true;
}

// Equal values of these types are the same bytes.
bool IsExactType(Oid type, int32 modifier, Oid collation) {
  switch (getBaseType(type)) {
    case BOOLOID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case DATEOID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case UUIDOID:
    case BYTEAOID:
    case NAMEOID:
    case CHAROID:
    case OIDOID: return true;
    case TEXTOID:
    case VARCHAROID: return get_collation_isdeterministic(collation);
    case NUMERICOID: return modifier >= 0;
    default: return get_typtype(type) == TYPTYPE_ENUM;
  }
}

bool IsExact(Node* node) { return IsExactType(exprType(node), exprTypmod(node), exprCollation(node)); }

bool ColumnIsNotNull(Oid relation, AttrNumber column) {
  HeapTuple const tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(column));
  if (!HeapTupleIsValid(tuple)) return false;
  bool const not_null = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple))->attnotnull;
  ReleaseSysCache(tuple);
  return not_null;
}

// NULLs of a unique key may repeat, but not where they are compared with = (they never match).
bool KeyIsKnown(Oid relation, Oid index, Bitmapset* columns, bool nulls_matter) {
  HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* const form = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
  bool good = form->indisunique && form->indimmediate && form->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, nullptr) &&
              heap_attisnull(tuple, Anum_pg_index_indexprs, nullptr);
  for (int i = 0; good && i < form->indnkeyatts; i++) {
    AttrNumber const column = form->indkey.values[i];
    good = bms_is_member(column, columns) && (!nulls_matter || form->indnullsnotdistinct || ColumnIsNotNull(relation, column));
  }
  ReleaseSysCache(tuple);
  return good;
}

bool AnyKeyIsKnown(Oid relation, Bitmapset* columns) {
  Relation const opened = relation_open(relation, AccessShareLock);
  bool found = false;
  ListCell* cell;
  foreach (cell, RelationGetIndexList(opened)) found = found || KeyIsKnown(relation, lfirst_oid(cell), columns, true);
  // Rows that agree in all columns are the same for every purpose.
  TupleDesc const shape = RelationGetDescr(opened);
  bool all = true;
  for (int i = 0; !found && all && i < shape->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(shape, i);
    all = column->attisdropped || (bms_is_member(i + 1, columns) && IsExactType(column->atttypid, column->atttypmod, column->attcollation));
  }
  relation_close(opened, NoLock);
  return found || all;
}

bool AllColumnsKnown(List* names, Bitmapset* columns) {
  for (int i = 1; i <= list_length(names); i++)
    if (!bms_is_member(i, columns)) return false;
  return names != NIL;
}

bool RowsAreKnown(Query* query, List* given);

bool TargetsKnown(List* sort_group, Query* query, Bitmapset* columns) {
  ListCell* cell;
  foreach (cell, sort_group) {
    TargetEntry* const target = get_sortgroupclause_tle(lfirst_node(SortGroupClause, cell), query->targetList);
    if (IsA(target->expr, Const)) continue;
    if (target->resjunk || !bms_is_member(target->resno, columns)) return false;
  }
  return true;
}

// Of a query in FROM, of whose result these columns are known.
bool SubqueryRowIsKnown(Query* query, Bitmapset* columns) {
  check_stack_depth();
  if (AtMostOneRow(query)) return true;
  bool all = true;
  List* given = NIL;
  ListCell* cell;
  foreach (cell, query->targetList) {
    auto* const target = lfirst_node(TargetEntry, cell);
    if (target->resjunk) continue;
    if (bms_is_member(target->resno, columns)) given = lappend(given, target->expr);
    else all = false;
  }
  if (all && given != NIL) return true;
  if (query->setOperations != nullptr || query->hasTargetSRFs || query->groupingSets != NIL || query->commandType != CMD_SELECT)
    return false;
  if (query->groupClause != NIL) return TargetsKnown(query->groupClause, query, columns);
  if (query->distinctClause != NIL && TargetsKnown(query->distinctClause, query, columns)) return true;
  return RowsAreKnown(query, given);
}

Query* CteOf(Query* query, RangeTblEntry* rte, bool recursive = false) {
  if (rte->ctelevelsup != 0) return nullptr;
  ListCell* cell;
  foreach (cell, query->cteList) {
    auto* const cte = lfirst_node(CommonTableExpr, cell);
    if (strcmp(cte->ctename, rte->ctename) == 0 && IsA(cte->ctequery, Query) && cte->cterecursive == recursive)
      return reinterpret_cast<Query*>(cte->ctequery);
  }
  return nullptr;
}

// The column of a relation that an output of a query is; null: something else.
Var* PlainColumn(Query* query, int resno, Oid* relation) {
  TargetEntry* const target = get_tle_by_resno(query->targetList, static_cast<AttrNumber>(resno));
  if (target == nullptr || !IsA(target->expr, Var)) return nullptr;
  auto* const var = reinterpret_cast<Var*>(target->expr);
  if (var->varlevelsup != 0 || var->varattno <= 0) return nullptr;
  RangeTblEntry* const rte = rt_fetch(var->varno, query->rtable);
  *relation = rte->relid;
  return rte->rtekind == RTE_RELATION ? var : nullptr;
}

// A recursive query climbs or descends in one table: of its outputs, those that are columns of that table, in both of its parts,
// belong to one row if the table's key is known; all others must be known.
bool RecursiveRowIsKnown(Query* query, List* names, Bitmapset* columns) {
  auto* const set = reinterpret_cast<SetOperationStmt*>(query->setOperations);
  if (set == nullptr || !IsA(set, SetOperationStmt) || !IsA(set->larg, RangeTblRef) || !IsA(set->rarg, RangeTblRef)) return false;
  Query* const first = rt_fetch(reinterpret_cast<RangeTblRef*>(set->larg)->rtindex, query->rtable)->subquery;
  Query* const again = rt_fetch(reinterpret_cast<RangeTblRef*>(set->rarg)->rtindex, query->rtable)->subquery;
  if (first == nullptr || again == nullptr) return false;
  Oid table = InvalidOid;
  int left_varno = 0, right_varno = 0;
  Bitmapset* key = nullptr;
  for (int i = 1; i <= list_length(names); i++) {
    Oid left_table = InvalidOid, right_table = InvalidOid;
    Var* const left = PlainColumn(first, i, &left_table);
    Var* const right = PlainColumn(again, i, &right_table);
    bool const same = left != nullptr && right != nullptr && left_table == right_table && left->varattno == right->varattno &&
                      (!OidIsValid(table) || (left->varno == left_varno && right->varno == right_varno));
    if (!same && !bms_is_member(i, columns)) return false;
    if (!same) continue;
    table = left_table;
    left_varno = left->varno;
    right_varno = right->varno;
    if (bms_is_member(i, columns)) key = bms_add_member(key, left->varattno);
  }
  return OidIsValid(table) && AnyKeyIsKnown(table, key);
}

bool FunctionRowIsKnown(RangeTblEntry* rte, Bitmapset* columns) {
  if (list_length(rte->functions) == 1) {
    auto* const call = linitial_node(RangeTblFunction, rte->functions)->funcexpr;
    if (IsA(call, FuncExpr) && !reinterpret_cast<FuncExpr*>(call)->funcretset) return true;
    if (!IsA(call, FuncExpr)) return true;  // current_date and the like
  }
  if (rte->funcordinality && bms_is_member(list_length(rte->eref->colnames), columns)) return true;
  return AllColumnsKnown(rte->eref->colnames, columns);
}

bool RowIsKnown(Known* known, int varno) {
  RangeTblEntry* const rte = rt_fetch(varno, known->query->rtable);
  Bitmapset* const columns = known->columns[varno];
  switch (rte->rtekind) {
    case RTE_RESULT: return true;
    case RTE_RELATION: return AnyKeyIsKnown(rte->relid, columns);
    case RTE_SUBQUERY: return SubqueryRowIsKnown(rte->subquery, columns);
    case RTE_FUNCTION: return FunctionRowIsKnown(rte, columns);
    case RTE_VALUES: return list_length(rte->values_lists) <= 1 || AllColumnsKnown(rte->eref->colnames, columns);
    case RTE_CTE: {
      Query* const cte = CteOf(known->query, rte);
      if (cte != nullptr) return SubqueryRowIsKnown(cte, columns) || AllColumnsKnown(rte->eref->colnames, columns);
      Query* const recursive = CteOf(known->query, rte, true);
      return AllColumnsKnown(rte->eref->colnames, columns) ||
             (recursive != nullptr && RecursiveRowIsKnown(recursive, rte->eref->colnames, columns));
    }
    default: return AllColumnsKnown(rte->eref->colnames, columns);
  }
}

void CollectRelations(Node* node, Bitmapset** relations) {
  check_stack_depth();
  if (node == nullptr) return;
  if (IsA(node, RangeTblRef)) {
    *relations = bms_add_member(*relations, reinterpret_cast<RangeTblRef*>(node)->rtindex);
  } else if (IsA(node, JoinExpr)) {
    CollectRelations(reinterpret_cast<JoinExpr*>(node)->larg, relations);
    CollectRelations(reinterpret_cast<JoinExpr*>(node)->rarg, relations);
  } else if (IsA(node, FromExpr)) {
    ListCell* cell;
    foreach (cell, reinterpret_cast<FromExpr*>(node)->fromlist) CollectRelations(static_cast<Node*>(lfirst(cell)), relations);
  }
}

bool IsEquality(OpExpr* op) {
  if (list_length(op->args) != 2) return false;
  const char* const name = get_opname(op->opno);
  return name != nullptr && strcmp(name, "=") == 0 && IsBuiltIn(op->opno);
}

// side = other, and other is known: so is side, if it may be (of outer joins only the optional relations).
void LearnSide(Known* known, Node* side, Node* other, Bitmapset* may) {
  while (IsA(side, RelabelType)) side = reinterpret_cast<Node*>(reinterpret_cast<RelabelType*>(side)->arg);
  if (!IsA(side, Var) || !IsKnown(known, other)) return;
  auto* const var = reinterpret_cast<Var*>(side);
  if (may == nullptr || bms_is_member(var->varno, may)) AddColumn(known, var);
}

void LearnFromQuals(Known* known, Node* quals, Bitmapset* may) {
  if (quals == nullptr) return;
  check_stack_depth();
  if (IsA(quals, List)) {
    ListCell* cell;
    foreach (cell, reinterpret_cast<List*>(quals)) LearnFromQuals(known, static_cast<Node*>(lfirst(cell)), may);
  } else if (is_andclause(quals)) {
    LearnFromQuals(known, reinterpret_cast<Node*>(reinterpret_cast<BoolExpr*>(quals)->args), may);
  } else if (IsA(quals, OpExpr) && IsEquality(reinterpret_cast<OpExpr*>(quals))) {
    auto* const left = static_cast<Node*>(linitial(reinterpret_cast<OpExpr*>(quals)->args));
    auto* const right = static_cast<Node*>(lsecond(reinterpret_cast<OpExpr*>(quals)->args));
    LearnSide(known, left, right, may);
    LearnSide(known, right, left, may);
  } else if (IsA(quals, NullTest) && reinterpret_cast<NullTest*>(quals)->nulltesttype == IS_NULL &&
             IsA(reinterpret_cast<NullTest*>(quals)->arg, Var) && may == nullptr) {
    AddColumn(known, reinterpret_cast<Var*>(reinterpret_cast<NullTest*>(quals)->arg));
  }
}

void LearnFromJoins(Known* known, Node* node) {
  check_stack_depth();
  if (node == nullptr || IsA(node, RangeTblRef)) return;
  if (IsA(node, FromExpr)) {
    auto* const from = reinterpret_cast<FromExpr*>(node);
    ListCell* cell;
    foreach (cell, from->fromlist) LearnFromJoins(known, static_cast<Node*>(lfirst(cell)));
    LearnFromQuals(known, from->quals, nullptr);
    return;
  }
  auto* const join = reinterpret_cast<JoinExpr*>(node);
  LearnFromJoins(known, join->larg);
  LearnFromJoins(known, join->rarg);
  Bitmapset* optional = nullptr;
  if (join->jointype == JOIN_LEFT) CollectRelations(join->rarg, &optional);
  if (join->jointype == JOIN_RIGHT) CollectRelations(join->larg, &optional);
  if (join->jointype != JOIN_FULL) LearnFromQuals(known, join->quals, optional);
}

bool Advance(Known* known) {
  bool changed = false;
  for (int varno = -1; (varno = bms_next_member(known->relations, varno)) >= 0;) {
    if (known->rows[varno] || !RowIsKnown(known, varno)) continue;
    known->rows[varno] = changed = true;
  }
  return changed;
}

int CountColumns(Known* known) {
  int count = 0;
  for (int i = 1; i <= known->count; i++) count += bms_num_members(known->columns[i]);
  return count;
}

// Join aliases are replaced by what they stand for, so that an equality names the relation's column.
Known* Start(Query* query, List* given, int known_row) {
  auto* const known = static_cast<Known*>(palloc0(sizeof(Known)));
  known->query = static_cast<Query*>(copyObjectImpl(query));
  known->count = list_length(query->rtable);
  known->columns = static_cast<Bitmapset**>(palloc0(sizeof(Bitmapset*) * static_cast<Size>(known->count + 1)));
  known->rows = static_cast<bool*>(palloc0(sizeof(bool) * static_cast<Size>(known->count + 1)));
  CollectRelations(reinterpret_cast<Node*>(query->jointree), &known->relations);
  if (known_row > 0) {
    known->rows[known_row] = true;
    known->relations = bms_add_member(known->relations, known_row);
  }
  ListCell* cell;
  foreach (cell, given) AddKnown(known, static_cast<Node*>(lfirst(cell)));
  return known;
}

Node* FlattenQuals(Query* query, Node* node) {
  if (node == nullptr || IsA(node, RangeTblRef)) return node;
  if (IsA(node, FromExpr)) {
    auto* const from = reinterpret_cast<FromExpr*>(node);
    ListCell* cell;
    foreach (cell, from->fromlist) FlattenQuals(query, static_cast<Node*>(lfirst(cell)));
    from->quals = flatten_join_alias_vars(query, from->quals);
  } else if (IsA(node, JoinExpr)) {
    auto* const join = reinterpret_cast<JoinExpr*>(node);
    FlattenQuals(query, join->larg);
    FlattenQuals(query, join->rarg);
    join->quals = flatten_join_alias_vars(query, join->quals);
  }
  return node;
}

bool Finish(Known* known) {
  auto* const tree = FlattenQuals(known->query, reinterpret_cast<Node*>(known->query->jointree));
  for (bool changed = true; changed;) {
    int const before = CountColumns(known);
    LearnFromJoins(known, tree);
    changed = Advance(known) || CountColumns(known) != before;
  }
  for (int varno = -1; (varno = bms_next_member(known->relations, varno)) >= 0;)
    if (!known->rows[varno]) return false;
  return true;
}

bool RowsAreKnown(Query* query, List* given) {
  check_stack_depth();
  return Finish(Start(query, given, 0));
}

List* SortExpressions(Query* query) { return get_sortgrouplist_exprs(query->sortClause, query->targetList); }

bool SortsAllOutputs(Query* query, bool exact) {
  ListCell* cell;
  foreach (cell, query->targetList) {
    auto* const target = lfirst_node(TargetEntry, cell);
    if (target->resjunk || IsA(target->expr, Const) || IsA(target->expr, Param)) continue;
    bool sorted = false;
    ListCell* inner;
    foreach (inner, query->sortClause)
      sorted = sorted || lfirst_node(SortGroupClause, inner)->tleSortGroupRef == target->ressortgroupref;
    if (target->ressortgroupref == 0 || !sorted || (exact && !IsExact(reinterpret_cast<Node*>(target->expr)))) return false;
  }
  return query->sortClause != NIL;
}

// Each expression is one of those, or follows from them.
bool AllFollow(Query* query, List* expressions, List* given) {
  Known* const known = Start(query, given, 0);
  Finish(known);
  ListCell* cell;
  foreach (cell, expressions) {
    auto* const e = static_cast<Node*>(lfirst(cell));
    if (!list_member(given, e) && !IsKnown(known, flatten_join_alias_vars(query, static_cast<Node*>(copyObjectImpl(e))))) return false;
  }
  return true;
}

RangeTblEntry* OnlyRelation(Query* query) {
  Bitmapset* relations = nullptr;
  CollectRelations(reinterpret_cast<Node*>(query->jointree), &relations);
  int varno;
  return bms_get_singleton_member(relations, &varno) ? rt_fetch(varno, query->rtable) : nullptr;
}

// The one thing in FROM gives its rows in an order that is decided: a sorted subquery, an array, VALUES.
bool SourceIsOrdered(Query* query) {
  RangeTblEntry* const rte = OnlyRelation(query);
  if (rte == nullptr) return false;
  if (rte->rtekind == RTE_SUBQUERY) return IsTotallyOrdered(rte->subquery);
  if (rte->rtekind == RTE_FUNCTION) return list_length(rte->functions) == 1;
  if (rte->rtekind == RTE_CTE) {
    Query* const cte = CteOf(query, rte);
    return cte != nullptr && cte->commandType == CMD_SELECT && IsTotallyOrdered(cte);
  }
  return rte->rtekind == RTE_VALUES || rte->rtekind == RTE_RESULT;
}

bool IsLimitOne(Query* query) {
  if (query->limitCount == nullptr || query->limitOption == LIMIT_OPTION_WITH_TIES) return false;
  auto* const c = reinterpret_cast<Const*>(Simplify(query->limitCount));
  return IsA(c, Const) && !c->constisnull && c->consttype == INT8OID && DatumGetInt64(c->constvalue) <= 1;
}

}  // namespace

bool AtMostOneRow(Query* query) {
  check_stack_depth();
  if (query->commandType == CMD_UTILITY) return true;
  if (query->commandType == CMD_INSERT) {
    Bitmapset* relations = nullptr;
    CollectRelations(reinterpret_cast<Node*>(query->jointree), &relations);
    return relations == nullptr || RowsAreKnown(query, NIL);
  }
  if (query->commandType == CMD_UPDATE || query->commandType == CMD_DELETE || query->commandType == CMD_MERGE) {
    Known* const known = Start(query, NIL, 0);
    known->relations = bms_add_member(known->relations, query->resultRelation);
    return Finish(known);
  }
  if (query->hasTargetSRFs || query->setOperations != nullptr || query->groupingSets != NIL) return IsLimitOne(query);
  if (IsLimitOne(query)) return true;
  if (query->groupClause != NIL) return AllFollow(query, get_sortgrouplist_exprs(query->groupClause, query->targetList), NIL);
  return query->hasAggs || RowsAreKnown(query, NIL);
}

bool ExactlyOneRow(Query* query) {
  if (query->commandType != CMD_SELECT || query->hasTargetSRFs || query->setOperations != nullptr || query->limitCount != nullptr ||
      query->limitOffset != nullptr || query->havingQual != nullptr || query->groupClause != NIL || query->groupingSets != NIL)
    return false;
  RangeTblEntry* const only = OnlyRelation(query);
  bool const nothing = query->jointree->fromlist == NIL || (only != nullptr && only->rtekind == RTE_RESULT);
  return query->hasAggs || (nothing && query->jointree->quals == nullptr);
}

bool IsTotallyOrdered(Query* query) {
  check_stack_depth();
  if (AtMostOneRow(query)) return true;
  if (query->commandType != CMD_SELECT) return false;
  List* const sorted = SortExpressions(query);
  if (query->setOperations != nullptr || query->groupingSets != NIL) return SortsAllOutputs(query, false);
  if (SortsAllOutputs(query, true)) return true;
  if (query->groupClause != NIL) return AllFollow(query, get_sortgrouplist_exprs(query->groupClause, query->targetList), sorted);
  if (query->distinctClause != NIL) return AllFollow(query, get_sortgrouplist_exprs(query->distinctClause, query->targetList), sorted);
  if (query->hasTargetSRFs) return query->jointree->fromlist == NIL || (sorted == NIL && SourceIsOrdered(query));
  if (sorted == NIL) return query->windowClause == NIL && SourceIsOrdered(query);
  return RowsAreKnown(query, sorted);
}

bool IsAggregateOrdered(Query* query, Aggref* aggregate) {
  List* given = get_sortgrouplist_exprs(query->groupClause, query->targetList);
  List* const order = aggregate->aggdistinct != NIL ? aggregate->aggdistinct : aggregate->aggorder;
  List* const sorted = get_sortgrouplist_exprs(order, aggregate->args);
  bool covered = order != NIL;
  ListCell* cell;
  foreach (cell, aggregate->args) {
    auto* const argument = reinterpret_cast<Node*>(lfirst_node(TargetEntry, cell)->expr);
    if (!IsA(argument, Const) && !IsA(argument, Param)) covered = covered && list_member(sorted, argument) && IsExact(argument);
  }
  if (covered) return true;
  if (aggregate->aggdistinct != NIL) return false;
  if (order == NIL && SourceIsOrdered(query)) return true;
  return RowsAreKnown(query, list_concat_copy(given, sorted));
}

bool IsWindowOrdered(Query* query, WindowFunc* function) {
  auto* const clause = static_cast<WindowClause*>(list_nth(query->windowClause, static_cast<int>(function->winref) - 1));
  List* const given = list_concat_copy(get_sortgrouplist_exprs(clause->partitionClause, query->targetList),
                                       get_sortgrouplist_exprs(clause->orderClause, query->targetList));
  if (query->groupClause != NIL) return AllFollow(query, get_sortgrouplist_exprs(query->groupClause, query->targetList), given);
  if (clause->orderClause == NIL && clause->partitionClause == NIL && SourceIsOrdered(query)) return true;
  return RowsAreKnown(query, given);
}

bool AreMatchesUnique(Query* query) { return Finish(Start(query, NIL, query->resultRelation)); }

}  // namespace dadbs::pg::analysis
