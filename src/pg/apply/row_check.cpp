/*
 * row_check.cpp: what is checked of a row besides its constraints and foreign keys: domains, generated columns,
 * unique and exclusion constraints that are deferrable; and the sequences that rows have overtaken. Part of
 * row_apply.cpp.
 *
 * A generated column holds what its expression gives, or what it held before if neither it nor what it is made of has
 * changed: an UPDATE of another column keeps a stale value (hazard H37). The origin's value is compared, not
 * believed.
 *
 * A deferrable unique constraint is checked at the end for each row version that met a possible duplicate, whatever
 * SET CONSTRAINTS said at the origin: id = id + 1 passes, a duplicate that stays does not (H12). The recheck waits
 * for an uncommitted duplicate of a local backend, which lets go.
 */
#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/errors.h"
#include "row_state.h"
#include "row_values.h"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace {

bool SameImage(OpenRelation* rel, int at, Datum a, bool a_null, Datum b, bool b_null) {
  if (a_null || b_null) return a_null && b_null;
  Form_pg_attribute const column = TupleDescAttr(RelationGetDescr(rel->relation), at);
  return datum_image_eq(a, b, column->attbyval, column->attlen);
}

ExprState* GenerationOf(RowApplierState* state, OpenRelation* rel, AttrNumber attno) {
  ExprState*& expression = rel->generated[attno - 1];
  if (expression == nullptr) {
    MemoryContext const before = MemoryContextSwitchTo(state->context);
    auto* const source = reinterpret_cast<Expr*>(build_column_default(rel->relation, attno));
    if (source == nullptr) elog(ERROR, "no generation expression of column %d", attno);
    expression = ExecPrepareExpr(source, state->estate);
    MemoryContextSwitchTo(before);
  }
  return expression;
}

bool AllUnchanged(OpenRelation* rel, AttrNumber generated) {
  Bitmapset* columns = nullptr;
  pull_varattnos(build_column_default(rel->relation, generated), 1, &columns);
  for (int member = -1; (member = bms_next_member(columns, member)) >= 0;) {
    AttrNumber const attno = static_cast<AttrNumber>(member + FirstLowInvalidHeapAttributeNumber);
    if (attno > 0 && !rel->unchanged[attno - 1]) return false;
    if (attno == 0 && memchr(rel->unchanged, 0, rel->plan->natts) != nullptr) return false;
  }
  return true;
}

void CheckGeneratedColumn(RowApplierState* state, OpenRelation* rel, AttrNumber attno) {
  int const at = attno - 1;
  ExprContext* const context = GetPerTupleExprContext(state->estate);
  context->ecxt_scantuple = rel->new_slot;
  bool isnull;
  Datum const value = ExecEvalExpr(GenerationOf(state, rel, attno), context, &isnull);
  if (SameImage(rel, at, value, isnull, rel->new_slot->tts_values[at], rel->new_slot->tts_isnull[at])) return;
  ereport(ERROR, (errcode(kErrInvalidWriteSet),
                  errmsg("generated column \"%s\" of \"%s.%s\" does not hold what it is generated from",
                         NameStr(TupleDescAttr(RelationGetDescr(rel->relation), at)->attname),
                         NameStr(rel->plan->schema), NameStr(rel->plan->name))));
}

// A tid that waited through DDL or TRUNCATE may point nowhere.
bool MayExist(Relation relation, ItemPointer tid) {
  return ItemPointerGetBlockNumber(tid) < RelationGetNumberOfBlocks(relation);
}

void RecheckUnique(RowApplierState* state, Relation relation, Relation index, TupleTableSlot* slot,
                   ItemPointerData tid) {
  ItemPointerData found = tid;
  bool call_again = false;
  IndexFetchTableData* const fetch = table_index_fetch_begin(relation);
  bool const alive = table_index_fetch_tuple(fetch, &found, SnapshotSelf, slot, &call_again, nullptr);
  table_index_fetch_end(fetch);
  if (!alive) return;
  IndexInfo* const info = BuildIndexInfo(index);
  ExprContext* const context = GetPerTupleExprContext(state->estate);
  context->ecxt_scantuple = slot;
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
  doing = Doing::kEvaluating;
  FormIndexDatum(info, slot, state->estate, values, nulls);
  doing = Doing::kOwn;
  if (info->ii_ExclusionOps == nullptr)
    index_insert(index, values, nulls, &tid, relation, UNIQUE_CHECK_EXISTING, false, info);
  else
    check_exclusion_constraint(relation, index, info, &found, values, nulls, state->estate, false);
}

}  // namespace

void FindUnchanged(OpenRelation* rel) {
  for (int i = 0; i < rel->plan->column_count; i++) {
    int const at = rel->plan->columns[i].attno - 1;
    if (!rel->unchanged[at])
      rel->unchanged[at] = SameImage(rel, at, rel->old_slot->tts_values[at], rel->old_slot->tts_isnull[at],
                                     rel->new_slot->tts_values[at], rel->new_slot->tts_isnull[at]);
  }
}

void CheckDomains(RowApplierState* state, OpenRelation* rel, bool is_update) {
  for (int i = 0; i < rel->plan->column_count; i++) {
    const ColumnPlan& column = rel->plan->columns[i];
    int const at = column.attno - 1;
    if (!column.has_constraints || (is_update && rel->unchanged[at])) continue;
    domain_check(rel->new_slot->tts_values[at], rel->new_slot->tts_isnull[at], column.type, &rel->domain_cache[i],
                 state->context);
  }
}

void CheckGenerated(RowApplierState* state, OpenRelation* rel, bool is_update) {
  for (int i = 0; i < rel->plan->column_count; i++) {
    const ColumnPlan& column = rel->plan->columns[i];
    if (!column.generated) continue;
    if (is_update && rel->unchanged[column.attno - 1] && AllUnchanged(rel, column.attno)) continue;
    CheckGeneratedColumn(state, rel, column.attno);
  }
}

void NoteUniques(RowApplierState* state, OpenRelation* rel, List* indexes, ItemPointer tid) {
  ListCell* cell;
  foreach (cell, indexes)
    Append(state->context, &state->uniques, PendingUnique{rel->plan->relation, lfirst_oid(cell), *tid});
}

void CheckUniques(RowApplierState* state) {
  for (int i = 0; i < state->uniques.count; i++) {
    const PendingUnique& item = state->uniques.items[i];
    CHECK_FOR_INTERRUPTS();
    Relation const relation = try_table_open(item.relation, RowExclusiveLock);
    if (relation == nullptr) continue;
    RestrictTo(relation);
    ItemPointerData tid = item.tid;
    if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(item.index)) && MayExist(relation, &tid)) {
      Relation const index = index_open(item.index, RowExclusiveLock);
      TupleTableSlot* const slot = table_slot_create(relation, nullptr);
      RecheckUnique(state, relation, index, slot, tid);
      ExecDropSingleTupleTableSlot(slot);
      index_close(index, NoLock);
    }
    table_close(relation, NoLock);
    ResetPerTupleExprContext(state->estate);
  }
  state->uniques.count = 0;
}

void NoteSequences(OpenRelation* rel) {
  for (int i = 0; i < rel->plan->sequence_count; i++) {
    const SequencePlan& sequence = rel->plan->sequences[i];
    int const at = sequence.attno - 1;
    if (rel->new_slot->tts_isnull[at]) continue;
    Datum const value = rel->new_slot->tts_values[at];
    int16 const length = TupleDescAttr(RelationGetDescr(rel->relation), at)->attlen;
    int64 const number = length == 2 ? DatumGetInt16(value) : length == 4 ? DatumGetInt32(value) : DatumGetInt64(value);
    // Values of the other members' classes never meet this one's.
    if (sequence.increment == 0 || (static_cast<__int128>(number) - sequence.start) % sequence.increment != 0) continue;
    OpenRelation::SequenceSeen& seen = rel->sequences[i];
    if (!seen.any || (sequence.increment < 0 ? number < seen.extreme : number > seen.extreme)) seen = {true, number};
  }
}

void MoveSequences(RowApplierState* state) {
  for (OpenRelation* rel = state->relations; rel != nullptr; rel = rel->next)
    for (int i = 0; i < rel->plan->sequence_count; i++)
      if (rel->sequences[i].any) MoveSequencePast(rel->plan->sequences[i].sequence, rel->sequences[i].extreme);
}

}  // namespace dadbs::pg
