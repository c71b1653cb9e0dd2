/*
 * analyze_query.cpp: rules about whole queries: which relations and commands, what needs an order, what reads everything.
 */
#include "analyze_internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "utils/builtins.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr const char* kOrderHint = "Add ORDER BY with columns that end with a unique key.";

// --- commands

bool IsTemporaryName(RangeVar* name) {
  return name != nullptr &&
         (name->relpersistence == RELPERSISTENCE_TEMP || (name->schemaname != nullptr && strncmp(name->schemaname, "pg_temp", 7) == 0));
}

bool MakesTemporary(Node* statement) {
  switch (nodeTag(statement)) {
    case T_CreateStmt: return IsTemporaryName(reinterpret_cast<CreateStmt*>(statement)->relation);
    case T_CreateTableAsStmt: return IsTemporaryName(reinterpret_cast<CreateTableAsStmt*>(statement)->into->rel);
    case T_CreateSeqStmt: return IsTemporaryName(reinterpret_cast<CreateSeqStmt*>(statement)->sequence);
    case T_ViewStmt: return IsTemporaryName(reinterpret_cast<ViewStmt*>(statement)->view);
    default: return false;
  }
}

void CheckUtility(Analysis* a, Node* statement) {
  switch (nodeTag(statement)) {
    case T_CallStmt: {
      CheckCall(a, reinterpret_cast<CallStmt*>(statement));
      Scope const scope = {a, nullptr, a->facts};
      auto* const call = reinterpret_cast<CallStmt*>(statement)->funcexpr;
      ListCell* cell;
      if (call != nullptr)
        foreach (cell, call->args) CheckExpression(scope, static_cast<Node*>(lfirst(cell)));
      return;
    }
    case T_VariableSetStmt:
    case T_VariableShowStmt:
    case T_ConstraintsSetStmt:
    case T_DiscardStmt:
    case T_AlterSystemStmt:
      Report(a, Rule::kSetStatement, -1, "Leave it out: the settings of contracts are fixed.", "contracts do not change or show settings");
      return;
    case T_TransactionStmt:
      Report(a, Rule::kTransactionControl, -1, "Leave it out, or RAISE to refuse the transaction.",
             "a contract is part of one transaction");
      return;
    case T_NotifyStmt:
    case T_ListenStmt:
    case T_UnlistenStmt:
      Report(a, Rule::kNotify, -1, "Write a row that listeners look at.", "LISTEN and NOTIFY belong to a session");
      return;
    case T_CopyStmt:
      Report(a, Rule::kCopy, -1, "Hand the rows over as arguments, for example in jsonb.", "COPY reads and writes outside of the database");
      return;
    case T_DoStmt:
      Report(a, Rule::kDoBlock, -1, "Write its statements into the contract.", "DO hides its code from analysis");
      return;
    case T_LockStmt:
      Report(a, Rule::kExplicitLock, -1, "Leave it out: contracts run one after the other.", "contracts do not lock tables");
      return;
    case T_PrepareStmt:
    case T_ExecuteStmt:
    case T_DeallocateStmt:
      Report(a, Rule::kDynamicSql, -1, "Write the statement itself.", "prepared statements belong to a session");
      return;
    default:
      if (MakesTemporary(statement)) {
        Report(a, Rule::kTemporaryTable, -1, "Use WITH, arrays or a shared table.", "temporary tables exist in one session only");
      } else {
        Report(a, Rule::kDdl, -1, "Define objects outside of contracts.", "%s is not for contracts",
               GetCommandTagName(CreateCommandTag(statement)));
      }
  }
}

// --- relations

bool IsInternal(Oid schema) {
  const char* const name = get_namespace_name(schema);
  return name != nullptr && strcmp(name, "dadbs_internal") == 0;
}

bool IsOwn(Oid schema) {
  const char* const name = get_namespace_name(schema);
  return name != nullptr && strcmp(name, "dadbs") == 0;
}

bool HoldsSecrets(const char* name) {
  for (const char* const n : {"pg_authid", "pg_shadow", "pg_user_mapping", "pg_largeobject", "pg_statistic", "pg_subscription"})
    if (strcmp(n, name) == 0) return true;
  return false;
}

void CheckRelation(Analysis* a, RangeTblEntry* rte) {
  Oid const schema = get_rel_namespace(rte->relid);
  const char* const name = get_rel_name(rte->relid);
  if (name == nullptr) return;
  char const persistence = get_rel_persistence(rte->relid);
  if (IsInternal(schema) || HoldsSecrets(name)) {
    Report(a, Rule::kUnauthorizedAccess, -1, "Keep what the contract needs in a shared table.", "contracts may not read or write \"%s\"", name);
  } else if (persistence == RELPERSISTENCE_TEMP) {
    Report(a, Rule::kTemporaryTable, -1, "Use WITH, arrays or a shared table.", "\"%s\" is a temporary table", name);
  } else if (rte->relid < FirstNormalObjectId || schema == PG_CATALOG_NAMESPACE) {
    Report(a, Rule::kCatalogAccess, -1, "Keep what the contract needs in a shared table.",
           "\"%s\" is a system catalog, which differs between members", name);
  } else if (IsOwn(schema)) {
    Report(a, Rule::kLocalObject, -1, "Use the functions that dadbs offers to contracts.", "dadbs.%s shows this member's own state", name);
  } else if (rte->relkind == RELKIND_MATVIEW) {
    Report(a, Rule::kLocalObject, -1, "Read the tables that it is made of.", "\"%s\" is refreshed on each member by itself", name);
  } else if (rte->relkind == RELKIND_FOREIGN_TABLE || persistence == RELPERSISTENCE_UNLOGGED) {
    Report(a, Rule::kLocalObject, -1, "Use a shared table.", "\"%s\" is %s", name,
           persistence == RELPERSISTENCE_UNLOGGED ? "unlogged" : "a foreign table");
  } else if (rte->relkind == RELKIND_SEQUENCE) {
    Report(a, Rule::kSequence, -1, "Take the number from a row.", "sequence \"%s\" differs between members", name);
  } else if (SharingActive() && (rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_PARTITIONED_TABLE) &&
             !IsSharedRelation(rte->relid)) {
    Report(a, Rule::kLocalObject, -1, "Use a shared table.", "\"%s\" is local to this member", name);
  }
  if (rte->tablesample != nullptr)
    Report(a, Rule::kVolatileFunction, -1, "Choose rows by a condition.", "TABLESAMPLE chooses rows by their place on disk");
  if (rte->requiredPerms != 0 && !ExecCheckRTEPerms(rte))
    Report(a, Rule::kUnauthorizedAccess, -1, "Ask the owner for the privilege.", "permission denied for table %s", name);
}

// The rewriter leaves the view in the rule's query. What a view of the system is made of is not looked at.
RangeTblEntry* SystemView(Query* query) {
  if (query->rtable == NIL) return nullptr;
  RangeTblEntry* const rte = linitial_node(RangeTblEntry, query->rtable);
  if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_VIEW || rte->inFromCl) return nullptr;
  return rte->relid < FirstNormalObjectId || IsOwn(get_rel_namespace(rte->relid)) ? rte : nullptr;
}

// --- writes

struct GuardContext {
  Analysis* a;
  Query* query;
  List *new_columns, *old_columns;  // String: that the fact asks for
  bool row, sets;                   // asks for NEW or OLD; for a column that the write sets
};

bool SetsColumn(Query* query, const char* column) {
  ListCell* cell;
  foreach (cell, query->targetList) {
    auto* const target = lfirst_node(TargetEntry, cell);
    if (!target->resjunk && target->resname != nullptr && strcmp(target->resname, column) == 0) return true;
  }
  return false;
}

bool IsOperation(Analysis* a, int dno) {
  return a->function->datums[dno]->dtype == PLPGSQL_DTYPE_PROMISE &&
         reinterpret_cast<PLpgSQL_var*>(a->function->datums[dno])->promise == PLPGSQL_PROMISE_TG_OP;
}

bool LookAtGuard(Node* node, GuardContext* context) {
  if (node == nullptr) return false;
  Analysis* const a = context->a;
  if (IsA(node, Param) && reinterpret_cast<Param*>(node)->paramid <= a->function->ndatums) {
    int const dno = reinterpret_cast<Param*>(node)->paramid - 1;
    int const record = ParentOf(a, dno) >= 0 ? ParentOf(a, dno) : dno;
    bool const is_new = record == a->function->new_varno, is_old = record == a->function->old_varno;
    if (!is_new && !is_old) return false;
    context->row = true;
    Node* const name = reinterpret_cast<Node*>(makeString(pstrdup(DatumName(a, dno))));
    if (is_old) context->old_columns = lappend(context->old_columns, record == dno ? nullptr : name);
    if (is_new) context->new_columns = lappend(context->new_columns, record == dno ? nullptr : name);
    context->sets = context->sets || (is_new && record != dno && SetsColumn(context->query, DatumName(a, dno)));
    return false;
  }
  auto const walker = reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(LookAtGuard));
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), walker, context, 0);
  return expression_tree_walker(node, walker, context);
}

const char* OperationOf(Query* query) {
  if (query->commandType == CMD_INSERT) return "INSERT";
  return query->commandType == CMD_DELETE ? "DELETE" : "UPDATE";
}

// TG_OP = 'INSERT' before an UPDATE: what fires again goes another way.
bool IsOtherOperation(Analysis* a, Query* query) {
  for (int i = 0; i < a->function->ndatums; i++) {
    if (!IsOperation(a, i)) continue;
    auto* const op = makeNode(Param);
    op->paramkind = PARAM_EXTERN;
    op->paramid = i + 1;
    op->paramtype = TEXTOID;
    op->paramtypmod = -1;
    op->paramcollid = DEFAULT_COLLATION_OID;
    auto* const name = makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1, CStringGetTextDatum(OperationOf(query)), false, false);
    Expr* const differs = make_opclause(get_negator(TextEqualOperator), BOOLOID, false, reinterpret_cast<Expr*>(op),
                                        reinterpret_cast<Expr*>(name), InvalidOid, DEFAULT_COLLATION_OID);
    return predicate_implied_by(list_make1(differs), a->facts, false);
  }
  return false;
}

// A condition on the way here is not true again when the write fires the contract: it compares NEW with OLD, asks for a column
// that the write sets, or for another operation (TG_OP). Of other tables, and for new or deleted rows, any condition on the row counts.
bool EndsRecursion(Analysis* a, Query* query, bool own) {
  if (!a->trigger || a->function == nullptr) return false;
  if (IsOtherOperation(a, query)) return true;
  GuardContext context = {a, query, NIL, NIL, false, false};
  ListCell* cell;
  foreach (cell, a->facts)
    if (!list_member_ptr(a->row_facts, lfirst(cell))) LookAtGuard(static_cast<Node*>(lfirst(cell)), &context);
  return context.sets || list_intersection(context.new_columns, context.old_columns) != NIL ||
         (context.row && (!own || query->commandType != CMD_UPDATE));
}

// It concerns the caller's rows only: found by who he is, or new ones that say so, or written only if he may.
bool IsOwnWrite(Analysis* a, Query* query) {
  if (AsksAuthority(a, reinterpret_cast<Node*>(query->jointree))) return true;
  ListCell* cell;
  foreach (cell, query->rtable) {
    auto* const rte = lfirst_node(RangeTblEntry, cell);
    bool const only = rte->rtekind == RTE_SUBQUERY && list_length(query->jointree->fromlist) == 1;  // INSERT ... SELECT
    if (only && AsksAuthority(a, reinterpret_cast<Node*>(rte->subquery->jointree))) return true;
  }
  return query->commandType == CMD_INSERT && AsksAuthority(a, reinterpret_cast<Node*>(query->targetList));
}

void CheckWrite(Analysis* a, Query* query) {
  if (query->commandType == CMD_SELECT || query->commandType == CMD_UTILITY || query->resultRelation <= 0) return;
  RangeTblEntry* const rte = rt_fetch(query->resultRelation, query->rtable);
  if (!a->trigger && a->nesting == 0 && !a->authorized && !a->in_authority_test && !IsOwnWrite(a, query) && a->unauthorized_line == 0) {
    a->unauthorized_line = a->line;
    a->unauthorized_table = get_rel_name(rte->relid);
  }
  bool const own = a->trigger && list_length(a->tables) == 1 && linitial_oid(a->tables) == rte->relid;
  bool const ends = EndsRecursion(a, query, own);
  if (!ends) a->written = list_append_unique_oid(a->written, rte->relid);
  if (own && !ends)
    Report(a, Rule::kReentrancy, -1, "Write it in the transaction itself, or ask for the case (IF ... IS DISTINCT FROM ...) that ends the recursion.",
           "the contract writes table \"%s\", which fires it again", get_rel_name(rte->relid));
  if (query->commandType == CMD_UPDATE && !AreMatchesUnique(query))
    Report(a, Rule::kAmbiguousUpdate, -1, "Join by a unique key, or use a subquery that gives one value.",
           "a row may match several rows of FROM, and which one counts is not decided");
}

// --- order

const char* UseOf(Use use) {
  switch (use) {
    case Use::kLoop: return "the loop";
    case Use::kCursor: return "the cursor";
    case Use::kResult: return "the result";
    default: return "the array";
  }
}

void CheckOrder(Analysis* a, Query* query, Use use) {
  if (query->hasDistinctOn)
    Report(a, Rule::kDistinctOn, -1, "Use an aggregate, or a subquery with a unique condition.", "DISTINCT ON keeps whichever row comes first");
  bool const limited = query->limitCount != nullptr || query->limitOffset != nullptr;
  bool const ties = query->limitOption == LIMIT_OPTION_WITH_TIES;
  bool const no_limit = query->limitOffset == nullptr && query->limitCount != nullptr && IsA(query->limitCount, Const) &&
                        reinterpret_cast<Const*>(query->limitCount)->constisnull;
  if (limited && !ties && !no_limit && use != Use::kExists && query->commandType == CMD_SELECT) {
    auto* const whole = static_cast<Query*>(copyObjectImpl(query));
    whole->limitCount = whole->limitOffset = nullptr;
    if (!IsTotallyOrdered(whole)) Report(a, Rule::kUnorderedLimit, -1, kOrderHint, "which rows LIMIT keeps is not decided");
  }
  bool const into = use == Use::kInto && query->commandType == CMD_SELECT;
  if (into && !ExactlyOneRow(query))
    Report(a, Rule::kIntoWithoutStrict, -1, "Write INTO STRICT, or ask for FOUND after a query by a unique key.",
           "SELECT INTO without STRICT takes whichever row comes first, or NULL");
  Rule rule;
  switch (use) {
    case Use::kLoop: rule = Rule::kUnorderedLoop; break;
    case Use::kCursor: rule = Rule::kUnorderedCursor; break;
    case Use::kResult: rule = Rule::kUnorderedResult; break;
    case Use::kArray: rule = Rule::kUnorderedAggregate; break;
    default: return;
  }
  if (!IsTotallyOrdered(query)) Report(a, rule, -1, kOrderHint, "the order in which %s sees rows is not decided", UseOf(use));
}

// --- scans

struct ScanContext {
  Query* query;
  Bitmapset* restricted;  // varnos that a condition with constants or variables narrows
  bool changed;
};

// The text that a concatenation begins with, or null.
Node* BeginningOf(Node* node) {
  check_stack_depth();
  UnwrapCast(&node);
  if (IsA(node, OpExpr) && list_length(reinterpret_cast<OpExpr*>(node)->args) == 2) {
    const char* const name = get_opname(reinterpret_cast<OpExpr*>(node)->opno);
    return name != nullptr && strcmp(name, "||") == 0 ? BeginningOf(static_cast<Node*>(linitial(reinterpret_cast<OpExpr*>(node)->args)))
                                                      : nullptr;
  }
  return IsA(node, Const) ? node : nullptr;
}

// A condition that finds its rows by reading all: column = column, column LIKE '%...'.
bool NarrowsNothing(Node* qual) {
  if (!IsA(qual, OpExpr) || list_length(reinterpret_cast<OpExpr*>(qual)->args) != 2) return false;
  auto* const op = reinterpret_cast<OpExpr*>(qual);
  const char* const name = get_opname(op->opno);
  if (name == nullptr || !IsBuiltIn(op->opno)) return false;
  if (equal(linitial(op->args), lsecond(op->args))) return true;
  if (strcmp(name, "~~") != 0 && strcmp(name, "~~*") != 0) return false;
  Node* const beginning = BeginningOf(Simplify(static_cast<Node*>(lsecond(op->args))));
  if (beginning == nullptr || reinterpret_cast<Const*>(beginning)->constisnull || exprType(beginning) != TEXTOID) return false;
  char const first = TextDatumGetCString(reinterpret_cast<Const*>(beginning)->constvalue)[0];
  return first == '%' || first == '_';
}

void AddRestriction(ScanContext* context, Node* qual) {
  if (NarrowsNothing(qual)) return;
  Bitmapset* const varnos = pull_varnos_of_level(nullptr, flatten_join_alias_vars(context->query, qual), 0);
  Bitmapset* const open = bms_difference(varnos, context->restricted);
  int only;
  if (!bms_get_singleton_member(open, &only)) return;
  context->restricted = bms_add_member(context->restricted, only);
  context->changed = true;
}

void WalkQuals(ScanContext* context, Node* node) {
  check_stack_depth();
  if (node == nullptr || IsA(node, RangeTblRef)) return;
  ListCell* cell;
  if (IsA(node, FromExpr)) {
    foreach (cell, reinterpret_cast<FromExpr*>(node)->fromlist) WalkQuals(context, static_cast<Node*>(lfirst(cell)));
    WalkQuals(context, reinterpret_cast<FromExpr*>(node)->quals);
  } else if (IsA(node, JoinExpr)) {
    WalkQuals(context, reinterpret_cast<JoinExpr*>(node)->larg);
    WalkQuals(context, reinterpret_cast<JoinExpr*>(node)->rarg);
    WalkQuals(context, reinterpret_cast<JoinExpr*>(node)->quals);
  } else if (is_andclause(node)) {
    foreach (cell, reinterpret_cast<BoolExpr*>(node)->args) WalkQuals(context, static_cast<Node*>(lfirst(cell)));
  } else {
    AddRestriction(context, node);
  }
}

bool HasOtherAggregate(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, Aggref)) {
    const char* const name = get_func_name(reinterpret_cast<Aggref*>(node)->aggfnoid);
    return name == nullptr || (strcmp(name, "min") != 0 && strcmp(name, "max") != 0);
  }
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(HasOtherAggregate)), context);
}

// The planner reads one end of an index.
bool OnlyMinMax(Query* query) {
  return query->hasAggs && query->groupClause == NIL && list_length(query->rtable) == 1 &&
         !HasOtherAggregate(reinterpret_cast<Node*>(query->targetList), nullptr);
}

bool IsBoundedByLimit(Query* query) {
  return query->limitCount != nullptr && !query->hasAggs && query->groupClause == NIL && query->distinctClause == NIL;
}

Bitmapset* Restricted(Query* query, Bitmapset* already) {
  ScanContext context = {query, already, true};
  while (context.changed) {
    context.changed = false;
    WalkQuals(&context, reinterpret_cast<Node*>(query->jointree));
  }
  return context.restricted;
}

// The planner moves the conditions outside into such a query.
bool IsPulledUp(Query* query) {
  return query->commandType == CMD_SELECT && !query->hasAggs && !query->hasWindowFuncs && !query->hasTargetSRFs &&
         query->groupClause == NIL && query->distinctClause == NIL && query->limitCount == nullptr && query->limitOffset == nullptr &&
         query->setOperations == nullptr && query->cteList == NIL;
}

void CheckScan(Analysis* a, Query* query, Use use) {
  if (query->jointree == nullptr || query->commandType == CMD_INSERT || query->commandType == CMD_UTILITY) return;
  if (use == Use::kExists || use == Use::kNarrowed || IsBoundedByLimit(query) || OnlyMinMax(query)) return;
  if (use == Use::kIntoStrict && !query->hasAggs && query->groupClause == NIL) return;  // the second row ends it
  Bitmapset* restricted = nullptr;
  for (int i = 1; i <= list_length(query->rtable); i++)
    if (rt_fetch(i, query->rtable)->rtekind != RTE_RELATION) restricted = bms_add_member(restricted, i);
  restricted = Restricted(query, restricted);
  for (int i = 1; i <= list_length(query->rtable); i++) {
    RangeTblEntry* const rte = rt_fetch(i, query->rtable);
    if (rte->rtekind != RTE_RELATION || !(rte->inFromCl || i == query->resultRelation) || bms_is_member(i, restricted)) continue;
    if (rte->relkind == RELKIND_VIEW) continue;
    Report(a, Rule::kUnboundedScan, -1, "Narrow it by a condition on an indexed column, or keep a running total.",
           "every row of table \"%s\" is %s", get_rel_name(rte->relid),
           i == query->resultRelation ? "written" : "read");
  }
}

// A recursive UNION ALL ends when the data has no cycle, or when a depth is counted.
bool HasDepthBound(Query* term) {
  if (term->jointree == nullptr) return false;
  ListCell* cell;
  List* const quals = make_ands_implicit(reinterpret_cast<Expr*>(term->jointree->quals));
  foreach (cell, quals) {
    if (!IsA(lfirst(cell), OpExpr)) continue;
    const char* const name = get_opname(static_cast<OpExpr*>(lfirst(cell))->opno);
    if (name != nullptr && (name[0] == '<' || name[0] == '>') && strcmp(name, "<>") != 0) return true;
  }
  return false;
}

void CheckRecursion(Analysis* a, CommonTableExpr* cte) {
  if (!cte->cterecursive || !IsA(cte->ctequery, Query) || cte->cycle_clause != nullptr) return;
  auto* const query = reinterpret_cast<Query*>(cte->ctequery);
  auto* const set = reinterpret_cast<SetOperationStmt*>(query->setOperations);
  if (set == nullptr || !set->all) return;
  if (IsA(set->rarg, RangeTblRef) &&
      HasDepthBound(rt_fetch(reinterpret_cast<RangeTblRef*>(set->rarg)->rtindex, query->rtable)->subquery))
    return;
  Report(a, Rule::kUnboundedLoop, -1, "Count the depth and stop at a limit, or use UNION or CYCLE.",
         "recursion in \"%s\" ends only if the data has no cycle", cte->ctename);
}

// --- parts

void CheckList(const Scope& scope, List* nodes) {
  ListCell* cell;
  foreach (cell, nodes) {
    auto* const node = static_cast<Node*>(lfirst(cell));
    if (IsA(node, TargetEntry)) {
      CheckExpression(scope, reinterpret_cast<Node*>(reinterpret_cast<TargetEntry*>(node)->expr));
    } else if (IsA(node, List)) {
      CheckList(scope, reinterpret_cast<List*>(node));
    } else {
      CheckExpression(scope, node);
    }
  }
}

void CheckSource(const Scope& scope, RangeTblEntry* rte, bool narrowed) {
  Analysis* const a = scope.a;
  ListCell* cell;
  switch (rte->rtekind) {
    case RTE_RELATION: CheckRelation(a, rte); break;
    case RTE_SUBQUERY:
      CheckQuery(a, rte->subquery, narrowed && IsPulledUp(rte->subquery) ? Use::kNarrowed : Use::kSet, scope.facts);
      break;
    case RTE_FUNCTION:
      foreach (cell, rte->functions) CheckExpression(scope, lfirst_node(RangeTblFunction, cell)->funcexpr);
      break;
    case RTE_VALUES: CheckList(scope, rte->values_lists); break;
    case RTE_TABLEFUNC: CheckExpression(scope, reinterpret_cast<Node*>(rte->tablefunc)); break;
    default: break;
  }
  CheckList(scope, rte->securityQuals);
}

void CheckJoins(const Scope& scope, Node* node) {
  check_stack_depth();
  if (node == nullptr || IsA(node, RangeTblRef)) return;
  if (IsA(node, JoinExpr)) {
    auto* const join = reinterpret_cast<JoinExpr*>(node);
    CheckJoins(scope, join->larg);
    CheckJoins(scope, join->rarg);
    CheckExpression(scope, join->quals);
    return;
  }
  auto* const from = reinterpret_cast<FromExpr*>(node);
  ListCell* cell;
  foreach (cell, from->fromlist) CheckJoins(scope, static_cast<Node*>(lfirst(cell)));
  CheckExpression(scope, from->quals);
}

void CheckParts(Analysis* a, Query* query, List* facts) {
  Scope scope = {a, query, RelationFacts(query, facts)};
  Bitmapset* const narrowed = query->jointree == nullptr ? nullptr : Restricted(query, nullptr);
  for (int i = 1; i <= list_length(query->rtable); i++) CheckSource(scope, rt_fetch(i, query->rtable), bms_is_member(i, narrowed));
  ListCell* cell;
  if (query->jointree != nullptr) {
    CheckJoins(scope, reinterpret_cast<Node*>(query->jointree));
    scope.facts = AddFacts(scope.facts, query->jointree->quals, true);
  }
  CheckExpression(scope, query->havingQual);
  if (query->havingQual != nullptr) scope.facts = AddFacts(scope.facts, query->havingQual, true);
  CheckList(scope, query->targetList);
  CheckList(scope, query->returningList);
  CheckExpression(scope, query->limitCount);
  CheckExpression(scope, query->limitOffset);
  if (query->onConflict != nullptr) {
    CheckList(scope, query->onConflict->onConflictSet);
    CheckExpression(scope, query->onConflict->onConflictWhere);
  }
  foreach (cell, query->mergeActionList) {
    auto* const action = lfirst_node(MergeAction, cell);
    CheckExpression(scope, action->qual);
    CheckList(scope, action->targetList);
  }
}

}  // namespace

void CheckQuery(Analysis* a, Query* query, Use use, List* facts) {
  check_stack_depth();
  if (query->commandType == CMD_UTILITY) {
    CheckUtility(a, query->utilityStmt);
    return;
  }
  if (RangeTblEntry* const view = SystemView(query); view != nullptr) {
    CheckRelation(a, view);
    return;
  }
  ListCell* cell;
  foreach (cell, query->cteList) {
    auto* const cte = lfirst_node(CommonTableExpr, cell);
    CheckRecursion(a, cte);
    if (IsA(cte->ctequery, Query)) CheckQuery(a, reinterpret_cast<Query*>(cte->ctequery), Use::kSet, facts);
  }
  foreach (cell, query->rowMarks) {
    if (lfirst_node(RowMarkClause, cell)->waitPolicy == LockWaitBlock) continue;
    Report(a, Rule::kSkipLocked, -1, "Leave it out: contracts run one after the other.",
           "SKIP LOCKED and NOWAIT depend on what other sessions of this server do");
  }
  CheckOrder(a, query, use);
  CheckScan(a, query, use);
  CheckWrite(a, query);
  CheckParts(a, query, facts);
}

void CheckQueries(Analysis* a, List* queries, Use use) {
  ListCell* cell;
  foreach (cell, queries) CheckQuery(a, lfirst_node(Query, cell), use, a->facts);
  CheckNesting(a, queries);
}

Node* ValueOf(Query* query) {
  if (query->commandType != CMD_SELECT || list_length(query->targetList) != 1 || query->jointree->fromlist != NIL) return nullptr;
  return reinterpret_cast<Node*>(linitial_node(TargetEntry, query->targetList)->expr);
}

}  // namespace dadbs::pg::analysis
