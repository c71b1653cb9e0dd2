/*
 * analyze_nesting.cpp: what the position refuses because nobody counts how deeply it is nested, told before.
 *
 * Asked of the very functions that refuse it there (nesting.cpp, conversions.cpp), with the trees of the analysis. They know a
 * statement by an execution state of PL/pgSQL; here it has the declarations alone, and they read nothing else of it. What goes
 * from a query into a variable is left alone where the query names fields of NEW and OLD whose type is only guessed.
 */
#include "internal.h"

#include "analyze_internal.h"

extern "C" {
#include "access/relation.h"
#include "access/table.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
}

#include "dadbs/pg/sharing.h"

namespace dadbs::pg::analysis {
namespace {

bool NamesGuessed(Node* node, Analysis* a) {
  if (node == nullptr) return false;
  auto* const walker = reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(NamesGuessed));
  if (IsA(node, Query)) return query_tree_walker(reinterpret_cast<Query*>(node), walker, a, 0);
  auto* const param = reinterpret_cast<Param*>(node);
  if (IsA(node, Param) && param->paramkind == PARAM_EXTERN && IsGuessed(a, param->paramid - 1)) return true;
  return expression_tree_walker(node, walker, a);
}

PLpgSQL_execstate StateOf(Analysis* a) {
  PLpgSQL_execstate state = {};
  state.func = a->function;
  state.ndatums = a->function->ndatums;
  state.datums = a->function->datums;
  return state;
}

void CheckTarget(const Query* query) {
  if (query->resultRelation == 0) return;
  const RangeTblEntry* const entry = rt_fetch(query->resultRelation, query->rtable);
  if (entry->relkind != RELKIND_RELATION || !IsSharedRelation(entry->relid)) return;
  Relation const table = table_open(entry->relid, AccessShareLock);
  contract::CheckTableNesting(table);
  table_close(table, AccessShareLock);
}

}  // namespace

void CheckNesting(Analysis* a, List* queries) {
  ListCell* cell;
  foreach (cell, queries) {
    auto* const query = lfirst_node(Query, cell);
    if (query->commandType == CMD_UTILITY) continue;
    if (!Try(a, false, [=] { (void)contract::GuardNesting(query); })) continue;
    if (!Try(a, false, [=] { CheckTarget(query); })) continue;
    if (a->function == nullptr || a->statement == nullptr || NamesGuessed(reinterpret_cast<Node*>(query), a)) continue;
    PLpgSQL_execstate state = StateOf(a);
    PLpgSQL_execstate* const at = &state;
    Try(a, false, [=] { contract::CheckConversionsOf(at, a->statement, query, a->query); });
  }
}

void CheckStatementNesting(Analysis* a) {
  PLpgSQL_execstate state = StateOf(a);
  PLpgSQL_execstate* const at = &state;
  Try(a, false, [=] { contract::CheckVariablesOf(at, a->statement); });
}

}  // namespace dadbs::pg::analysis
