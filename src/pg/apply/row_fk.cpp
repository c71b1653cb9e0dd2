/*
 * row_fk.cpp: foreign keys when rows are applied, by probing indexes. Part of row_apply.cpp.
 *
 * The child's side: each inserted row, and each updated one whose referencing columns are not equal to the old ones,
 * must have its parent; the parent row is locked FOR KEY SHARE, as the writer's session has locked it. Without that
 * lock a local backend could delete the parent while a remote child arrives (design.md section 4). A parent that is
 * not there yet may come later in the write set: the child waits for the end and is checked if that row version still
 * lives.
 *
 * The parent's side: a key that is deleted or changed must not leave children behind. Checked at the end, as NO ACTION:
 * what cascades did at the origin comes by itself as rows. If some parent row has the key again, nothing is wrong.
 *
 * Which foreign keys are checked, the relation's own triggers say: one that the chain has disabled is not. The table
 * to look in is the one that the constraint names; where it is partitioned, all its leaves are. Comparison is the
 * constraint's own operator under the referenced index's collation, after the implicit cast that RI uses.
 */
#include "dadbs/core/write_set.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/sharing.h"
#include "row_state.h"
#include "row_values.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/partition.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/lockoptions.h"
#include "parser/parse_coerce.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace {

// ---- the tables that are referred to

bool IsPartOf(Oid index, Oid whole) {
  while (index != whole && get_rel_relispartition(index)) index = get_partition_parent(index, true);
  return index == whole;
}

Relation OpenIndexOf(Relation table, Oid whole) {
  List* const indexes = RelationGetIndexList(table);
  Oid found = InvalidOid;
  ListCell* cell;
  foreach (cell, indexes)
    if (!OidIsValid(found) && IsPartOf(lfirst_oid(cell), whole)) found = lfirst_oid(cell);
  list_free(indexes);
  return OidIsValid(found) ? index_open(found, AccessShareLock) : nullptr;
}

List* LeavesOf(Oid table, LOCKMODE mode) {
  if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE) return list_make1_oid(table);
  List* leaves = NIL;
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, mode, nullptr))
    if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION) leaves = lappend_oid(leaves, lfirst_oid(cell));
  return leaves;
}

// The index of the plan may be gone, where one of the same name has taken its place. That is no missing parent, but a reason to try again.
OpenParent* OpenParentOf(RowApplierState* state, Oid parent, Oid index) {
  for (OpenParent* open = state->parents; open != nullptr; open = open->next)
    if (open->parent == parent && open->index == index) return open;
  MemoryContext const before = MemoryContextSwitchTo(state->context);
  List* const leaves = LeavesOf(parent, RowShareLock);
  auto* const open = static_cast<OpenParent*>(palloc0(sizeof(OpenParent)));
  open->parent = parent;
  open->index = index;
  open->tables = static_cast<Relation*>(palloc0(sizeof(Relation) * Max(list_length(leaves), 1)));
  open->indexes = static_cast<Relation*>(palloc0(sizeof(Relation) * Max(list_length(leaves), 1)));
  open->slots = static_cast<TupleTableSlot**>(palloc0(sizeof(TupleTableSlot*) * Max(list_length(leaves), 1)));
  ListCell* cell;
  foreach (cell, leaves) {
    Relation const table = table_open(lfirst_oid(cell), RowShareLock);
    Relation const part = OpenIndexOf(table, index);
    if (part == nullptr)
      elog(ERROR, "index %u of \"%s\", to which a foreign key refers, has been exchanged", index, RelationGetRelationName(table));
    open->tables[open->count] = table;
    open->indexes[open->count] = part;
    open->slots[open->count++] = table_slot_create(table, nullptr);
  }
  open->next = state->parents;
  state->parents = open;
  MemoryContextSwitchTo(before);
  return open;
}

bool ProbeIndex(Relation table, Relation index, ScanKey keys, int count, TupleTableSlot* slot) {
  IndexScanDesc const scan = index_beginscan(table, index, GetActiveSnapshot(), count, 0);
  index_rescan(scan, keys, count, nullptr, 0);
  bool const found = index_getnext_slot(scan, ForwardScanDirection, slot);
  if (found) ExecMaterializeSlot(slot);
  index_endscan(scan);
  return found;
}

enum class Locked { kYes, kNotFound, kChanged };

// Looks into one leaf and locks what is there, with what a transaction in progress has made of it: one that has updated the row, which
// lets its key be, and then deleted that version is in the way.
Locked ProbeAndLock(OpenParent* open, int leaf, ScanKey keys, int count) {
  TupleTableSlot* const slot = open->slots[leaf];
  if (!ProbeIndex(open->tables[leaf], open->indexes[leaf], keys, count, slot)) return Locked::kNotFound;
  ItemPointerData tid = slot->tts_tid;
  TM_FailureData failure;
  TM_Result const result = table_tuple_lock(open->tables[leaf], &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(false), LockTupleKeyShare,
                                            LockWaitBlock, TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure);
  ExecClearTuple(slot);
  switch (result) {
    case TM_Ok: return Locked::kYes;
    case TM_Updated:
    case TM_Deleted: return Locked::kChanged;
    default:
      elog(ERROR, "unexpected result %d of locking a row of \"%s\"", result,
           RelationGetRelationName(open->tables[leaf]));
  }
}

bool FindAndLock(OpenParent* open, ScanKey keys, int count) {
  bool refreshed = false;
  for (;;) {
    Locked result = Locked::kNotFound;
    for (int i = 0; i < open->count && result == Locked::kNotFound; i++) result = ProbeAndLock(open, i, keys, count);
    if (result == Locked::kYes) return true;
    if (result == Locked::kNotFound && refreshed) return false;
    CHECK_FOR_INTERRUPTS();
    RefreshSnapshot();
    refreshed = true;
  }
}

// ---- the child's side

enum class References { kNothing, kSomething, kMixed };

References ReferencesOf(const ForeignKeyPlan* key, TupleTableSlot* row) {
  int nulls = 0;
  for (int i = 0; i < key->count; i++) {
    bool isnull;
    slot_getattr(row, key->attnos[i], &isnull);
    nulls += isnull;
  }
  if (nulls == 0) return References::kSomething;
  return key->match_full && nulls < key->count ? References::kMixed : References::kNothing;
}

bool HasParent(RowApplierState* state, ForeignKeyPlan* key, TupleTableSlot* row) {
  ScanKeyData keys[INDEX_MAX_KEYS];
  for (int i = 0; i < key->count; i++) {
    bool isnull;
    Datum value = slot_getattr(row, key->attnos[i], &isnull);
    if (key->has_cast[i]) value = Cast(&key->cast[i], value);
    ScanKeyEntryInitializeWithInfo(&keys[i], 0, static_cast<AttrNumber>(i + 1), BTEqualStrategyNumber, key->subtypes[i],
                                   key->collations[i], &key->equal[i], value);
  }
  return FindAndLock(OpenParentOf(state, key->parent, key->parent_index), keys, key->count);
}

char* DescribeValues(Relation relation, TupleTableSlot* row, const AttrNumber* attnos, int count) {
  StringInfoData names, values;
  initStringInfo(&names);
  initStringInfo(&values);
  for (int i = 0; i < count; i++) {
    Form_pg_attribute const column = TupleDescAttr(RelationGetDescr(relation), attnos[i] - 1);
    bool isnull;
    Datum const value = slot_getattr(row, attnos[i], &isnull);
    appendStringInfo(&names, "%s%s", i ? ", " : "", NameStr(column->attname));
    appendStringInfo(&values, "%s%s", i ? ", " : "", ValueText(column->atttypid, value, isnull));
  }
  return psprintf("(%s)=(%s)", names.data, values.data);
}

void RaiseNoParent(const ForeignKeyPlan* key, Relation relation, TupleTableSlot* row) {
  bool const mixed = ReferencesOf(key, row) == References::kMixed;
  ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
                  errmsg("insert or update on table \"%s\" violates foreign key constraint \"%s\"",
                         RelationGetRelationName(relation), NameStr(key->name)),
                  mixed ? errdetail("MATCH FULL does not allow mixing of null and nonnull key values.")
                        : errdetail("Key %s is not present in table \"%s\".",
                                    DescribeValues(relation, row, key->attnos, key->count), get_rel_name(key->parent)),
                  errtableconstraint(relation, NameStr(key->name))));
}

// The check waits for the end: another version of the row takes it over. (xmin would not tell: a local transaction
// may hold several write sets, and others hold other ones.)
void Wait(RowApplierState* state, ForeignKeyPlan* key, Oid relation, ItemPointerData tid) {
  PendingReference const item{key, relation, tid};
  Append(state->context, &state->references, item);
  if (state->waiting_references == nullptr) {
    HASHCTL control = {};
    control.keysize = sizeof(PendingReference);
    control.entrysize = sizeof(PendingReference);
    control.hcxt = state->context;
    state->waiting_references =
        hash_create("dadbs waiting references", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  }
  PendingReference lookup;
  memset(static_cast<void*>(&lookup), 0, sizeof(lookup));  // padding
  lookup.key = key, lookup.relation = relation, lookup.tid = tid;
  hash_search(state->waiting_references, &lookup, HASH_ENTER, nullptr);
}

bool Waits(RowApplierState* state, ForeignKeyPlan* key, Oid relation, ItemPointerData tid) {
  if (state->waiting_references == nullptr) return false;
  PendingReference lookup;
  memset(static_cast<void*>(&lookup), 0, sizeof(lookup));
  lookup.key = key, lookup.relation = relation, lookup.tid = tid;
  return hash_search(state->waiting_references, &lookup, HASH_FIND, nullptr) != nullptr;
}

// As RI: the child's own equality; bytes that differ may still be equal.
bool MustCheckUpdate(RowApplierState* state, ForeignKeyPlan* key, OpenRelation* rel) {
  if (Waits(state, key, rel->plan->relation, rel->old_slot->tts_tid)) return true;
  for (int i = 0; i < key->count; i++) {
    int const at = key->attnos[i] - 1;
    if (rel->unchanged[at] && !rel->new_slot->tts_isnull[at]) continue;
    if (rel->new_slot->tts_isnull[at] || rel->old_slot->tts_isnull[at]) return true;
    Datum before = rel->old_slot->tts_values[at];
    Datum after = rel->new_slot->tts_values[at];
    if (key->own_cast[i]) before = Cast(&key->cast[i], before), after = Cast(&key->cast[i], after);
    Oid const collation = TupleDescAttr(RelationGetDescr(rel->relation), at)->attcollation;
    if (!DatumGetBool(FunctionCall2Coll(&key->own_equal[i], collation, before, after))) return true;
  }
  return false;
}

// False: goes on waiting.
bool SettleReference(RowApplierState* state, const PendingReference& item, bool last) {
  if (!SearchSysCacheExists1(CONSTROID, ObjectIdGetDatum(item.key->constraint))) return true;
  Relation const relation = try_table_open(item.relation, RowExclusiveLock);
  if (relation == nullptr) return true;
  RestrictTo(relation);
  bool settled = true;
  ItemPointerData tid = item.tid;
  if (ItemPointerGetBlockNumber(&tid) < RelationGetNumberOfBlocks(relation)) {
    TupleTableSlot* const slot = table_slot_create(relation, nullptr);
    if (table_tuple_fetch_row_version(relation, &tid, SnapshotSelf, slot)) {
      References const references = ReferencesOf(item.key, slot);
      settled = references == References::kNothing ||
                (references == References::kSomething && HasParent(state, item.key, slot));
      if (!settled && last) RaiseNoParent(item.key, relation, slot);
    }
    ExecDropSingleTupleTableSlot(slot);
  }
  table_close(relation, NoLock);
  return settled;
}

// ---- the parent's side

// How a child's columns compare with the key that went away.
struct ChildMatch {
  AttrNumber attnos[INDEX_MAX_KEYS];  // in the leaf
  bool has_cast[INDEX_MAX_KEYS];
  FmgrInfo cast[INDEX_MAX_KEYS];
  FmgrInfo equal[INDEX_MAX_KEYS];  // parent = child
};

void InitMatch(ChildMatch* match, const ParentPlan* plan, Relation leaf) {
  for (int i = 0; i < plan->count; i++) {
    AttrNumber attno = plan->child_attnos[i];
    if (RelationGetRelid(leaf) != plan->child)
      attno = get_attnum(RelationGetRelid(leaf), get_attname(plan->child, attno, false));
    match->attnos[i] = attno;
    Oid left, right, function = InvalidOid;
    op_input_types(plan->child_equal[i], &left, &right);
    Oid const type = getBaseType(TupleDescAttr(RelationGetDescr(leaf), attno - 1)->atttypid);
    match->has_cast[i] = type != right &&
                         find_coercion_pathway(right, type, COERCION_IMPLICIT, &function) == COERCION_PATH_FUNC &&
                         OidIsValid(function);
    if (match->has_cast[i]) fmgr_info(function, &match->cast[i]);
    fmgr_info(get_opcode(plan->child_equal[i]), &match->equal[i]);
  }
}

bool Matches(ChildMatch* match, const ParentPlan* plan, const Datum* values, TupleTableSlot* row) {
  for (int i = 0; i < plan->count; i++) {
    bool isnull;
    Datum value = slot_getattr(row, match->attnos[i], &isnull);
    if (isnull) return false;
    if (match->has_cast[i]) value = Cast(&match->cast[i], value);
    if (!DatumGetBool(FunctionCall2Coll(&match->equal[i], plan->collations[i], values[i], value))) return false;
  }
  return true;
}

// Scan keys for the leading columns of an index on the child; 0: it is of no use.
int KeysOfIndex(Relation index, const ChildMatch* match, const ParentPlan* plan, const Datum* values, ScanKey keys) {
  Form_pg_index const form = index->rd_index;
  if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || IsPartial(index)) return 0;
  for (int k = 0; k < form->indnkeyatts; k++) {
    int i = 0;
    while (i < plan->count && match->attnos[i] != form->indkey.values[k]) i++;
    if (i == plan->count || match->has_cast[i]) return k;
    Oid const op = get_commutator(plan->child_equal[i]);  // child = parent
    if (!OidIsValid(op) || index->rd_indcollation[k] != plan->collations[i] ||
        get_op_opfamily_strategy(op, index->rd_opfamily[k]) != BTEqualStrategyNumber)
      return k;
    Oid left, right;
    op_input_types(op, &left, &right);
    ScanKeyEntryInitialize(&keys[k], 0, static_cast<AttrNumber>(k + 1), BTEqualStrategyNumber, right,
                           plan->collations[i], get_opcode(op), values[i]);
  }
  return form->indnkeyatts;
}

bool ScanByIndex(Relation leaf, Relation index, ScanKey keys, int key_count, ChildMatch* match, const ParentPlan* plan,
                 const Datum* values, TupleTableSlot* slot) {
  IndexScanDesc const scan = index_beginscan(leaf, index, GetActiveSnapshot(), key_count, 0);
  index_rescan(scan, keys, key_count, nullptr, 0);
  bool found = false;
  while (!found && index_getnext_slot(scan, ForwardScanDirection, slot)) found = Matches(match, plan, values, slot);
  index_endscan(scan);
  return found;
}

bool ScanAll(Relation leaf, ChildMatch* match, const ParentPlan* plan, const Datum* values, TupleTableSlot* slot) {
  TableScanDesc const scan = table_beginscan(leaf, GetActiveSnapshot(), 0, nullptr);
  bool found = false;
  while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    found = Matches(match, plan, values, slot);
  }
  table_endscan(scan);
  return found;
}

bool HasChildIn(Relation leaf, const ParentPlan* plan, const Datum* values) {
  RestrictTo(leaf);
  ChildMatch match;
  InitMatch(&match, plan, leaf);
  TupleTableSlot* const slot = table_slot_create(leaf, nullptr);
  ScanKeyData keys[INDEX_MAX_KEYS];
  bool found = false, answered = false;
  List* const indexes = RelationGetIndexList(leaf);
  ListCell* cell;
  foreach (cell, indexes) {
    if (answered) break;
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    int const key_count = KeysOfIndex(index, &match, plan, values, keys);
    answered = key_count > 0;
    if (answered) found = ScanByIndex(leaf, index, keys, key_count, &match, plan, values, slot);
    index_close(index, NoLock);
  }
  if (!answered) found = ScanAll(leaf, &match, plan, values, slot);
  ExecDropSingleTupleTableSlot(slot);
  return found;
}

bool HasChild(const ParentPlan* plan, const Datum* values) {
  bool found = false;
  ListCell* cell;
  foreach (cell, LeavesOf(plan->child, RowShareLock)) {
    if (found) break;
    Relation const leaf = try_table_open(lfirst_oid(cell), RowShareLock);
    if (leaf == nullptr) continue;
    found = HasChildIn(leaf, plan, values);
    table_close(leaf, NoLock);
  }
  return found;
}

// Another row has the key now.
bool HasKeyAgain(RowApplierState* state, ParentPlan* plan, const Datum* values) {
  HeapTuple const tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(plan->constraint));
  if (!HeapTupleIsValid(tuple)) return true;  // the constraint is gone: nothing to check
  Oid const index_id = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->conindid;
  ReleaseSysCache(tuple);
  OpenParent* const open = OpenParentOf(state, plan->parent, index_id);
  Relation const index = index_open(index_id, AccessShareLock);
  ScanKeyData keys[INDEX_MAX_KEYS];
  for (int k = 0; k < index->rd_index->indnkeyatts; k++)
    for (int i = 0; i < plan->count; i++)
      if (plan->parent_attnos[i] == index->rd_index->indkey.values[k])
        ScanKeyEntryInitializeWithInfo(&keys[k], 0, static_cast<AttrNumber>(k + 1), BTEqualStrategyNumber,
                                       index->rd_opcintype[k], plan->collations[i], &plan->parent_equal[i], values[i]);
  int const count = index->rd_index->indnkeyatts;
  index_close(index, NoLock);
  bool found = false;
  for (int i = 0; i < open->count && !found; i++) {
    RestrictTo(open->tables[i]);
    found = ProbeIndex(open->tables[i], open->indexes[i], keys, count, open->slots[i]);
    ExecClearTuple(open->slots[i]);
  }
  return found;
}

void RaiseStillReferenced(const ParentPlan* plan, const Datum* values) {
  StringInfoData names, texts;
  initStringInfo(&names);
  initStringInfo(&texts);
  for (int i = 0; i < plan->count; i++) {
    appendStringInfo(&names, "%s%s", i ? ", " : "", get_attname(plan->parent, plan->parent_attnos[i], false));
    appendStringInfo(&texts, "%s%s", i ? ", " : "",
                     ValueText(get_atttype(plan->parent, plan->parent_attnos[i]), values[i], false));
  }
  ereport(ERROR, (errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
                  errmsg("update or delete on table \"%s\" violates foreign key constraint \"%s\" on table \"%s\"",
                         get_rel_name(plan->parent), NameStr(plan->name), get_rel_name(plan->child)),
                  errdetail("Key (%s)=(%s) is still referenced from table \"%s\".", names.data, texts.data,
                            get_rel_name(plan->child)),
                  err_generic_string(PG_DIAG_CONSTRAINT_NAME, NameStr(plan->name))));
}

bool IsKeyChanged(const ParentPlan* plan, const OpenRelation* rel) {
  for (int i = 0; i < plan->count; i++)
    if (!rel->unchanged[plan->attnos[i] - 1]) return true;
  return false;
}

}  // namespace

char* ValueText(Oid type, Datum value, bool isnull) {
  if (isnull) return pstrdup("null");
  Oid function;
  bool varlena;
  getTypeOutputInfo(type, &function, &varlena);
  return OidOutputFunctionCall(function, value);
}

void CheckReferences(RowApplierState* state, OpenRelation* rel, bool is_update) {
  for (int i = 0; i < rel->plan->foreign_key_count; i++) {
    ForeignKeyPlan* const key = &rel->plan->foreign_keys[i];
    if (!(is_update ? key->on_update : key->on_insert)) continue;
    References const references = ReferencesOf(key, rel->new_slot);
    if (references == References::kNothing) continue;
    if (is_update && !MustCheckUpdate(state, key, rel)) continue;
    if (references == References::kMixed || !HasParent(state, key, rel->new_slot))
      Wait(state, key, rel->plan->relation, rel->new_slot->tts_tid);
  }
}

void NoteParentGone(RowApplierState* state, OpenRelation* rel, bool is_update) {
  for (int i = 0; i < rel->plan->parent_count; i++) {
    ParentPlan* const plan = &rel->plan->parents[i];
    if (!(is_update ? plan->on_update : plan->on_delete)) continue;
    if (is_update && !IsKeyChanged(plan, rel)) continue;
    MemoryContext const before = MemoryContextSwitchTo(state->context);
    auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * plan->count));
    bool has_null = false;
    for (int k = 0; k < plan->count && !has_null; k++) {
      Form_pg_attribute const column = TupleDescAttr(RelationGetDescr(rel->relation), plan->attnos[k] - 1);
      Datum const value = slot_getattr(rel->old_slot, plan->attnos[k], &has_null);
      if (!has_null) values[k] = datumCopy(value, column->attbyval, column->attlen);
    }
    if (!has_null) Append(state->context, &state->parents_gone, PendingParent{plan, values});
    MemoryContextSwitchTo(before);
  }
}

void CheckPendingReferences(RowApplierState* state, bool last) {
  int kept = 0;
  for (int i = 0; i < state->references.count; i++) {
    PendingReference const item = state->references.items[i];
    ResetPerTupleExprContext(state->estate);
    MemoryContext const before = MemoryContextSwitchTo(GetPerTupleMemoryContext(state->estate));
    if (!SettleReference(state, item, last)) state->references.items[kept++] = item;
    MemoryContextSwitchTo(before);
  }
  state->references.count = kept;
}

void CheckPendingParents(RowApplierState* state, bool last) {
  int kept = 0;
  for (int i = 0; i < state->parents_gone.count; i++) {
    PendingParent const item = state->parents_gone.items[i];
    CHECK_FOR_INTERRUPTS();
    ResetPerTupleExprContext(state->estate);
    MemoryContext const before = MemoryContextSwitchTo(GetPerTupleMemoryContext(state->estate));
    if (!HasKeyAgain(state, item.plan, item.values) && HasChild(item.plan, item.values)) {
      if (last) RaiseStillReferenced(item.plan, item.values);
      state->parents_gone.items[kept++] = item;
    }
    MemoryContextSwitchTo(before);
  }
  state->parents_gone.count = kept;
}

void CloseParents(RowApplierState* state) {
  for (OpenParent* open = state->parents; open != nullptr; open = open->next)
    for (int i = 0; i < open->count; i++) {
      ExecDropSingleTupleTableSlot(open->slots[i]);
      index_close(open->indexes[i], NoLock);
      table_close(open->tables[i], NoLock);
    }
  state->parents = nullptr;
}

}  // namespace dadbs::pg
