/*
 * plans.cpp: while contracts run, plans follow from the catalogs alone.
 *
 * Rows that pass through a plan's nodes are counted (sandbox.cpp), and out of budget is a verdict: so every member must have the
 * same plan. What ANALYZE, VACUUM and the size of files say of a table is this member's own; here every table looks the same.
 * Settings of the planner are fixed when the worker starts.
 */
#include "internal.h"

extern "C" {
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
}

namespace dadbs::pg::contract {
namespace {

constexpr BlockNumber kTablePages = 1000, kIndexPages = 100;
constexpr double kTableRows = 100000;
constexpr int kIndexHeight = 2;
constexpr int32 kColumnWidth = 32;

get_relation_info_hook_type previous_info = nullptr;
get_attavgwidth_hook_type previous_width = nullptr;
get_relation_stats_hook_type previous_stats = nullptr;
get_index_stats_hook_type previous_index_stats = nullptr;

void OnRelationInfo(PlannerInfo* root, Oid relation, bool inhparent, RelOptInfo* info) {
  if (previous_info) previous_info(root, relation, inhparent, info);
  if (!ContractsRunning()) return;
  info->pages = kTablePages;
  info->tuples = kTableRows;
  info->allvisfrac = 0;
  info->statlist = NIL;
  ListCell* cell;
  foreach (cell, info->indexlist) {
    auto* const index = lfirst_node(IndexOptInfo, cell);
    index->pages = kIndexPages;
    index->tuples = kTableRows;
    index->tree_height = kIndexHeight;
  }
}

int32 OnWidth(Oid relation, AttrNumber column) {
  if (ContractsRunning()) return kColumnWidth;
  return previous_width ? previous_width(relation, column) : 0;
}

bool OnStats(PlannerInfo* root, RangeTblEntry* entry, AttrNumber column, VariableStatData* data) {
  if (!ContractsRunning()) return previous_stats != nullptr && previous_stats(root, entry, column, data);
  data->statsTuple = nullptr;
  return true;
}

bool OnIndexStats(PlannerInfo* root, Oid index, AttrNumber column, VariableStatData* data) {
  if (!ContractsRunning()) return previous_index_stats != nullptr && previous_index_stats(root, index, column, data);
  data->statsTuple = nullptr;
  return true;
}

}  // namespace

void InitPlans() {
  previous_info = get_relation_info_hook;
  get_relation_info_hook = OnRelationInfo;
  previous_width = get_attavgwidth_hook;
  get_attavgwidth_hook = OnWidth;
  previous_stats = get_relation_stats_hook;
  get_relation_stats_hook = OnStats;
  previous_index_stats = get_index_stats_hook;
  get_index_stats_hook = OnIndexStats;
}

}  // namespace dadbs::pg::contract
