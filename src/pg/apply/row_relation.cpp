/*
 * row_relation.cpp: builds and keeps the plans of row_relation.h.
 *
 * State: one plan per qualified name in a hash table, each in a memory context of its own under CacheMemoryContext.
 * Callbacks only clear `valid` (they must not fail); a stale plan leaves the table when its name is asked for again
 * and is freed by ForgetStalePlans(). One process, no locks; a crash leaves nothing.
 */
#include "row_relation.h"

#include <algorithm>

#include "dadbs/pg/keys.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "catalog/dependency.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace dadbs::pg {
namespace {

struct PlanName {
  NameData schema, name;
};

struct PlanEntry {
  PlanName name;  // key
  RelationPlan* plan;
};

constexpr int kAttemptsMax = 100;  // to build a plan while others change what it is made of
HTAB* plans = nullptr;
uint64 invalidations = 0;
List* stale_plans = NIL;  // out of the table, perhaps still held

void OnRelationChange(Datum, Oid relation) {
  invalidations++;
  HASH_SEQ_STATUS scan;
  hash_seq_init(&scan, plans);
  while (auto* entry = static_cast<PlanEntry*>(hash_seq_search(&scan))) {
    RelationPlan* const plan = entry->plan;
    if (relation == InvalidOid) plan->valid = false;
    for (int i = 0; plan->valid && i < plan->dependency_count; i++)
      if (plan->dependencies[i] == relation) plan->valid = false;
  }
}

void OnCatalogChange(Datum, int, uint32) { OnRelationChange(0, InvalidOid); }

// Types and constraints: each temporary table has some. Those of foreign keys also change their tables.
void OnTypeChange(Datum, int, uint32) {
  invalidations++;
  HASH_SEQ_STATUS scan;
  hash_seq_init(&scan, plans);
  while (auto* entry = static_cast<PlanEntry*>(hash_seq_search(&scan)))
    if (entry->plan->has_user_types) entry->plan->valid = false;
}

void PreparePlans() {
  if (plans != nullptr) return;
  HASHCTL control = {};
  control.keysize = sizeof(PlanName);
  control.entrysize = sizeof(PlanEntry);
  control.hcxt = TopMemoryContext;
  plans = hash_create("dadbs relation plans", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  CacheRegisterRelcacheCallback(OnRelationChange, 0);
  for (int cache : {NAMESPACEOID, OPFAMILYOID, CLAOID, CASTSOURCETARGET, OPEROID, SEQRELID})
    CacheRegisterSyscacheCallback(cache, OnCatalogChange, 0);
  for (int cache : {TYPEOID, CONSTROID}) CacheRegisterSyscacheCallback(cache, OnTypeChange, 0);
}

// ---- names

std::string_view View(const NameData& name) { return std::string_view(NameStr(name)); }

core::KeyHash RelationKey(char domain, Oid relation) {
  char* const schema = get_namespace_name(get_rel_namespace(relation));
  char* const name = get_rel_name(relation);
  if (schema == nullptr || name == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("relation with OID %u does not exist", relation)));
  return NameKey(domain, schema, name);
}

Oid TopmostOf(Oid relation) {
  while (get_rel_relispartition(relation)) relation = get_partition_parent(relation, true);
  return relation;
}

Oid TypeOfColumn(Relation relation, AttrNumber attno) {
  return TupleDescAttr(RelationGetDescr(relation), attno - 1)->atttypid;
}

// ---- columns

}  // namespace

void PlanColumn(ColumnPlan* column, Oid type, int32 typmod) {
  column->type = type;
  column->typmod = typmod;
  column->base = getBaseTypeAndTypmod(type, &column->typmod);
  column->has_constraints = get_typtype(column->type) == TYPTYPE_DOMAIN && DomainHasConstraints(column->type);
  column->is_reference = IsObjectReference(column->base);
  column->holds_references = !column->is_reference && HoldsObjectReference(column->base);
  Oid function;
  getTypeInputInfo(column->base, &function, &column->input_param);
  fmgr_info(function, &column->input);
  HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(column->base));
  column->receivable =
      HeapTupleIsValid(tuple) && OidIsValid(reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typreceive);
  if (HeapTupleIsValid(tuple)) ReleaseSysCache(tuple);
  if (column->receivable) {
    getTypeBinaryInputInfo(column->base, &function, &column->receive_param);
    fmgr_info(function, &column->receive);
  }
}

namespace {

void BuildColumn(ColumnPlan* column, Form_pg_attribute attribute) {
  PlanColumn(column, attribute->atttypid, attribute->atttypmod);
  column->attno = attribute->attnum;
  column->generated = attribute->attgenerated != '\0';
}

void BuildColumns(RelationPlan* plan, Relation relation) {
  TupleDesc const columns = RelationGetDescr(relation);
  plan->natts = columns->natts;
  plan->columns = static_cast<ColumnPlan*>(palloc0(sizeof(ColumnPlan) * Max(columns->natts, 1)));
  for (int i = 0; i < columns->natts; i++) {
    Form_pg_attribute const attribute = TupleDescAttr(columns, i);
    if (attribute->atttypid >= FirstNormalObjectId) plan->has_user_types = true;
    if (!attribute->attisdropped) BuildColumn(&plan->columns[plan->column_count++], attribute);
  }
  plan->has_generated = columns->constr != nullptr && columns->constr->has_generated_stored;
}

// ---- unique indexes

bool MakesKey(Relation index) {
  Form_pg_index const form = index->rd_index;
  return form->indisunique && form->indimmediate && form->indisvalid && form->indisready &&
         index->rd_rel->relam == BTREE_AM_OID && !IsPartial(index) && !HasExpressions(index);
}

void BuildUnique(UniquePlan* unique, Relation index, Relation relation) {
  Form_pg_index const form = index->rd_index;
  unique->index = RelationGetRelid(index);
  unique->identity = RelationKey('u', TopmostOf(unique->index));
  unique->nulls_equal = form->indnullsnotdistinct;
  unique->count = form->indnkeyatts;
  for (int i = 0; i < unique->count; i++) {
    AttrNumber const attno = form->indkey.values[i];
    Oid const family = index->rd_opfamily[i];
    Oid const input = index->rd_opcintype[i];
    Oid const equality = get_opfamily_member(family, input, input, BTEqualStrategyNumber);
    if (!OidIsValid(equality)) elog(ERROR, "missing operator of operator family %u for type %u", family, input);
    unique->attnos[i] = attno;
    unique->subtypes[i] = input;
    unique->collations[i] = index->rd_indcollation[i];
    fmgr_info(get_opcode(equality), &unique->equal[i]);
    InitEncoder(&unique->encoders[i], TypeOfColumn(relation, attno), index->rd_indcollation[i], equality);
    if (unique->encoders[i].kind == EncodeKind::kNone) unique->constant = true;
  }
}

void BuildUniques(RelationPlan* plan, Relation relation) {
  Oid const key_index = KeyIndexOf(relation);
  List* const indexes = RelationGetIndexList(relation);
  plan->uniques = static_cast<UniquePlan*>(palloc0(sizeof(UniquePlan) * Max(list_length(indexes), 1)));
  plan->key = -1;
  ListCell* cell;
  foreach (cell, indexes) {
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    if (HasExpressions(index) || IsPartial(index))
      plan->has_index_expressions = true;
    if (MakesKey(index)) {
      if (lfirst_oid(cell) == key_index) plan->key = plan->unique_count;
      BuildUnique(&plan->uniques[plan->unique_count++], index, relation);
    }
    index_close(index, AccessShareLock);
  }
}

// ---- foreign keys

struct ConstraintRow {
  FormData_pg_constraint form;
  int count;
  AttrNumber child[INDEX_MAX_KEYS], parent[INDEX_MAX_KEYS];
  Oid parent_child[INDEX_MAX_KEYS], parent_parent[INDEX_MAX_KEYS], child_child[INDEX_MAX_KEYS];
};

void ReadConstraint(Oid constraint, ConstraintRow* row) {
  HeapTuple const tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for constraint %u", constraint);
  row->form = *reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
  int set_columns;
  AttrNumber set_attnos[INDEX_MAX_KEYS];
  DeconstructFkConstraintRow(tuple, &row->count, row->child, row->parent, row->parent_child, row->parent_parent,
                             row->child_child, &set_columns, set_attnos);
  ReleaseSysCache(tuple);
}

bool IsOn(const Trigger& trigger) {
  return trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger.tgenabled == TRIGGER_FIRES_ALWAYS;
}

// From the child's type to the type that `op` compares on its right side; as RI does it.
bool FindCast(Oid type, Oid op, FmgrInfo* cast, Oid* result) {
  Oid left, right, function = InvalidOid;
  op_input_types(op, &left, &right);
  *result = type;
  if (type == right) return false;
  CoercionPathType const path = find_coercion_pathway(right, type, COERCION_IMPLICIT, &function);
  if (path == COERCION_PATH_FUNC && OidIsValid(function)) {
    fmgr_info(function, cast);
    *result = right;
    return true;
  }
  if (path == COERCION_PATH_RELABELTYPE && get_typtype(right) != TYPTYPE_PSEUDO) *result = right;
  return false;
}

bool SameEncoding(const ValueEncoder& a, const ValueEncoder& b) {
  if (a.kind != b.kind || a.kind == EncodeKind::kNone) return false;
  switch (a.kind) {
    case EncodeKind::kHash:
    case EncodeKind::kEnum:
    case EncodeKind::kArray:
    case EncodeKind::kRecord:
    case EncodeKind::kRange:
    case EncodeKind::kMultirange:
    case EncodeKind::kFixed: return a.type == b.type;
    default: return true;
  }
}

void BuildForeignKeyColumn(ForeignKeyPlan* key, int i, const ConstraintRow& row, int j, Relation relation,
                           Relation index) {
  Oid const type = getBaseType(TypeOfColumn(relation, row.child[j]));
  Oid compared, left;
  key->attnos[i] = row.child[j];
  key->parent_attnos[i] = row.parent[j];
  key->has_cast[i] = FindCast(type, row.parent_child[j], &key->cast[i], &compared);
  op_input_types(row.parent_child[j], &left, &key->subtypes[i]);
  fmgr_info(get_opcode(row.parent_child[j]), &key->equal[i]);
  fmgr_info(get_opcode(row.child_child[j]), &key->own_equal[i]);
  Oid own_left, own_right;
  op_input_types(row.child_child[j], &own_left, &own_right);
  key->own_cast[i] = key->has_cast[i] && own_left == compared && own_left != type;
  key->collations[i] = index->rd_indcollation[i];
  InitEncoder(&key->encoders[i], compared, index->rd_indcollation[i], row.parent_parent[j]);
}

void BuildForeignKey(ForeignKeyPlan* key, const Trigger& trigger, Relation relation) {
  ConstraintRow row;
  ReadConstraint(trigger.tgconstraint, &row);
  key->constraint = trigger.tgconstraint;
  key->name = row.form.conname;
  key->match_full = row.form.confmatchtype == FKCONSTR_MATCH_FULL;
  key->parent = row.form.confrelid;
  key->parent_index = row.form.conindid;
  key->parent_partitioned = get_rel_relkind(key->parent) == RELKIND_PARTITIONED_TABLE;
  key->count = row.count;
  key->comparable = true;
  key->parent_content = RelationKey('c', key->parent);
  Relation const parent = relation_open(key->parent, AccessShareLock);
  Relation const index = index_open(key->parent_index, AccessShareLock);
  auto* const unique = static_cast<UniquePlan*>(palloc0(sizeof(UniquePlan)));
  BuildUnique(unique, index, parent);
  key->identity = unique->identity;
  key->constant = unique->constant;
  for (int i = 0; i < unique->count; i++) {
    int j = 0;
    while (j < row.count && row.parent[j] != unique->attnos[i]) j++;
    if (j == row.count) elog(ERROR, "foreign key \"%s\" does not cover its index", NameStr(key->name));
    BuildForeignKeyColumn(key, i, row, j, relation, index);
    if (!SameEncoding(key->encoders[i], unique->encoders[i])) key->comparable = false;
  }
  pfree(unique);
  index_close(index, AccessShareLock);
  relation_close(parent, AccessShareLock);
}

bool HasAction(char action) { return action != FKCONSTR_ACTION_NOACTION && action != FKCONSTR_ACTION_RESTRICT; }

bool HasTriggerBeforeRows(Relation catalog, Oid table) {
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
  SysScanDesc const scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, nullptr, 1, &key);
  bool found = false;
  for (HeapTuple tuple; !found && HeapTupleIsValid(tuple = systable_getnext(scan));) {
    int16 const type = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgtype;
    found = TRIGGER_FOR_ROW(type) && TRIGGER_FOR_BEFORE(type) && (TRIGGER_FOR_UPDATE(type) || TRIGGER_FOR_DELETE(type));
  }
  systable_endscan(scan);
  return found;
}

// One that runs before a row of the table, or of a partition of it, is changed may change something else, or nothing. The tables are not
// locked: who writes the parent need not wait for who rebuilds a partition of a child.
bool HasTriggersBefore(Oid table) {
  Relation const catalog = table_open(TriggerRelationId, AccessShareLock);
  bool found = false;
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, NoLock, nullptr)) found = found || HasTriggerBeforeRows(catalog, lfirst_oid(cell));
  table_close(catalog, AccessShareLock);
  return found;
}

bool IsOfKey(const ParentPlan& parent, const RelationPlan& plan) {
  if (plan.key < 0) return false;
  const UniquePlan& key = plan.uniques[plan.key];
  return std::all_of(parent.attnos, parent.attnos + parent.count,
                     [&](AttrNumber attno) { return std::find(key.attnos, key.attnos + key.count, attno) != key.attnos + key.count; });
}

void BuildParent(ParentPlan* plan, const Trigger& trigger) {
  ConstraintRow row;
  ReadConstraint(trigger.tgconstraint, &row);
  plan->count = row.count;
  memcpy(plan->attnos, row.parent, sizeof(plan->attnos));
  plan->constraint = trigger.tgconstraint;
  while (OidIsValid(row.form.conparentid)) {
    plan->constraint = row.form.conparentid;
    ReadConstraint(plan->constraint, &row);
  }
  plan->name = row.form.conname;
  plan->parent = row.form.confrelid;
  plan->child = row.form.conrelid;
  bool const on_delete = HasAction(row.form.confdeltype), on_update = HasAction(row.form.confupdtype);
  plan->has_action = on_delete || on_update;
  bool const may_leave = plan->has_action && HasTriggersBefore(plan->child);
  plan->may_leave_on_delete = on_delete && may_leave;
  plan->may_leave_on_update = on_update && may_leave;
  Relation const index = index_open(row.form.conindid, AccessShareLock);
  for (int i = 0; i < row.count; i++) {
    plan->parent_attnos[i] = row.parent[i];
    plan->child_attnos[i] = row.child[i];
    plan->child_equal[i] = row.parent_child[i];
    fmgr_info(get_opcode(row.parent_parent[i]), &plan->parent_equal[i]);
    for (int k = 0; k < index->rd_index->indnkeyatts; k++)
      if (index->rd_index->indkey.values[k] == row.parent[i]) plan->collations[i] = index->rd_indcollation[k];
  }
  index_close(index, AccessShareLock);
}

// The triggers say which foreign keys are checked for this very relation, partitions included, and which are disabled.
void BuildForeignKeys(RelationPlan* plan, Relation relation) {
  // A copy: locks are taken below, so invalidations are heard, and the relation cache frees its triggers when it reads
  // them anew, though they be the same.
  const TriggerDesc* const triggers = CopyTriggerDesc(relation->trigdesc);
  int const count = triggers ? triggers->numtriggers : 0;
  plan->foreign_keys = static_cast<ForeignKeyPlan*>(palloc0(sizeof(ForeignKeyPlan) * Max(count, 1)));
  plan->parents = static_cast<ParentPlan*>(palloc0(sizeof(ParentPlan) * Max(count, 1)));
  Oid* const parent_constraints = static_cast<Oid*>(palloc0(sizeof(Oid) * Max(count, 1)));
  for (int i = 0; i < count; i++) {
    const Trigger& trigger = triggers->triggers[i];
    int const kind = RI_FKey_trigger_type(trigger.tgfoid);
    if (kind == RI_TRIGGER_FK) {
      int at = 0;
      while (at < plan->foreign_key_count && plan->foreign_keys[at].constraint != trigger.tgconstraint) at++;
      if (at == plan->foreign_key_count)
        BuildForeignKey(&plan->foreign_keys[plan->foreign_key_count++], trigger, relation);
      if (TRIGGER_FOR_INSERT(trigger.tgtype)) plan->foreign_keys[at].on_insert = IsOn(trigger);
      if (TRIGGER_FOR_UPDATE(trigger.tgtype)) plan->foreign_keys[at].on_update = IsOn(trigger);
    } else if (kind == RI_TRIGGER_PK) {
      int at = 0;
      while (at < plan->parent_count && parent_constraints[at] != trigger.tgconstraint) at++;
      if (at == plan->parent_count) {
        parent_constraints[at] = trigger.tgconstraint;
        BuildParent(&plan->parents[at], trigger);
        plan->parents[at].of_key = IsOfKey(plan->parents[at], *plan);
        // A row that moves to another partition is deleted here, and its children are treated as those of an update.
        if (relation->rd_rel->relispartition) plan->parents[at].may_leave_on_delete |= plan->parents[at].may_leave_on_update;
        plan->parent_count++;
      }
      if (TRIGGER_FOR_DELETE(trigger.tgtype)) plan->parents[at].on_delete = IsOn(trigger);
      if (TRIGGER_FOR_UPDATE(trigger.tgtype)) plan->parents[at].on_update = IsOn(trigger);
    }
  }
}

// ---- sequences

bool FindNextval(Node* node, Oid* sequence) {
  if (node == nullptr) return false;
  if (IsA(node, NextValueExpr)) return *sequence = reinterpret_cast<NextValueExpr*>(node)->seqid, true;
  if (IsA(node, FuncExpr) && reinterpret_cast<FuncExpr*>(node)->funcid == F_NEXTVAL) {
    auto* const argument = static_cast<Node*>(linitial(reinterpret_cast<FuncExpr*>(node)->args));
    if (IsA(argument, Const) && !reinterpret_cast<Const*>(argument)->constisnull)
      return *sequence = DatumGetObjectId(reinterpret_cast<Const*>(argument)->constvalue), true;
  }
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(FindNextval)), sequence);
}

SequencePlan PlanSequence(AttrNumber attno, Oid sequence) {
  SequencePlan plan{attno, sequence, 0, 0};
  HeapTuple const tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
  if (!HeapTupleIsValid(tuple)) return plan;
  auto const form = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple));
  plan.start = form->seqstart;
  plan.increment = form->seqincrement;
  ReleaseSysCache(tuple);
  return plan;
}

bool IsInteger(Oid type) { return type == INT2OID || type == INT4OID || type == INT8OID; }

void BuildSequences(RelationPlan* plan, Relation relation) {
  plan->sequences = static_cast<SequencePlan*>(palloc0(sizeof(SequencePlan) * Max(plan->column_count, 1)));
  const TupleConstr* const constraints = RelationGetDescr(relation)->constr;
  for (int i = 0; i < plan->column_count; i++) {
    const ColumnPlan& column = plan->columns[i];
    Oid sequence = InvalidOid;
    if (!IsInteger(column.base) || column.generated) continue;
    if (TupleDescAttr(RelationGetDescr(relation), column.attno - 1)->attidentity != '\0') {
      Oid const owner = relation->rd_rel->relispartition ? TopmostOf(plan->relation) : plan->relation;
      AttrNumber const attno = get_attnum(owner, get_attname(plan->relation, column.attno, false));
      sequence = getIdentitySequence(owner, attno, true);
    }
    for (int k = 0; !OidIsValid(sequence) && constraints != nullptr && k < constraints->num_defval; k++)
      if (constraints->defval[k].adnum == column.attno)
        FindNextval(static_cast<Node*>(stringToNode(constraints->defval[k].adbin)), &sequence);
    if (OidIsValid(sequence) && IsSharedObject({RelationRelationId, sequence, 0}))
      plan->sequences[plan->sequence_count++] = PlanSequence(column.attno, sequence);
  }
}

// ---- the whole

// Definitions that this one's keys are made of: own, ancestors', referenced tables' and theirs.
void BuildDependencies(RelationPlan* plan) {
  List* all = list_make1_oid(plan->relation);
  for (int i = 0; i < plan->foreign_key_count; i++) all = list_append_unique_oid(all, plan->foreign_keys[i].parent);
  ListCell* cell;
  foreach (cell, list_copy(all))
    if (get_rel_relispartition(lfirst_oid(cell)))
      all = list_concat_unique_oid(all, get_partition_ancestors(lfirst_oid(cell)));
  plan->schema_key_count = list_length(all);
  plan->schema_keys = static_cast<core::KeyHash*>(palloc0(sizeof(core::KeyHash) * list_length(all)));
  foreach (cell, all) plan->schema_keys[foreach_current_index(cell)] = RelationKey('d', lfirst_oid(cell));
  for (int i = 0; i < plan->foreign_key_count; i++) all = lappend_oid(all, plan->foreign_keys[i].parent_index);
  for (int i = 0; i < plan->parent_count; i++) {
    Oid const child = plan->parents[i].child;
    all = list_concat_unique_oid(all, plan->parents[i].has_action ? find_all_inheritors(child, NoLock, nullptr) : list_make1_oid(child));
  }
  for (int i = 0; i < plan->unique_count; i++) {
    Oid index = plan->uniques[i].index;
    all = lappend_oid(all, index);
    while (get_rel_relispartition(index)) all = lappend_oid(all, index = get_partition_parent(index, true));
  }
  plan->dependency_count = list_length(all);
  plan->dependencies = static_cast<Oid*>(palloc(sizeof(Oid) * list_length(all)));
  foreach (cell, all) plan->dependencies[foreach_current_index(cell)] = lfirst_oid(cell);
}

RelationPlan* BuildPlan(Oid relation_id, const PlanName& name) {
  MemoryContext const context =
      AllocSetContextCreate(CurrentMemoryContext, "dadbs relation plan", ALLOCSET_SMALL_SIZES);
  MemoryContext const before = MemoryContextSwitchTo(context);
  auto* const plan = static_cast<RelationPlan*>(palloc0(sizeof(RelationPlan)));
  plan->context = context;
  plan->relation = relation_id;
  plan->schema = name.schema;
  plan->name = name.name;
  plan->content_key = NameKey('c', View(name.schema), View(name.name));
  Relation const relation = relation_open(relation_id, NoLock);
  plan->kind = relation->rd_rel->relkind;
  plan->owner = relation->rd_rel->relowner;
  BuildColumns(plan, relation);
  BuildUniques(plan, relation);
  BuildForeignKeys(plan, relation);
  BuildSequences(plan, relation);
  plan->has_contracts = HasContractTriggers(relation);
  plan->is_protected = HasProtection(relation);
  relation_close(relation, NoLock);
  BuildDependencies(plan);
  MemoryContextSwitchTo(before);
  return plan;
}

bool ToPlanName(const core::RelationName& name, PlanName* out) {
  memset(out, 0, sizeof(*out));
  if (name.schema.size() >= NAMEDATALEN || name.name.size() >= NAMEDATALEN) return false;
  memcpy(NameStr(out->schema), name.schema.data(), name.schema.size());
  memcpy(NameStr(out->name), name.name.data(), name.name.size());
  return true;
}

void Discard(PlanEntry* entry) {
  MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
  stale_plans = lappend(stale_plans, entry->plan);
  MemoryContextSwitchTo(before);
  hash_search(plans, &entry->name, HASH_REMOVE, nullptr);
}

}  // namespace

void ForgetStalePlans() {
  while (stale_plans != NIL) {
    auto* const plan = static_cast<RelationPlan*>(llast(stale_plans));
    stale_plans = list_delete_last(stale_plans);
    MemoryContextDelete(plan->context);
  }
}

RelationPlan* FindPlan(const core::RelationName& name) {
  PreparePlans();
  PlanName plan_name;
  if (!ToPlanName(name, &plan_name)) return nullptr;
  for (int attempts = 0;;) {
    auto* entry = static_cast<PlanEntry*>(hash_search(plans, &plan_name, HASH_FIND, nullptr));
    if (entry != nullptr && entry->plan->valid) {
      LockRelationOid(entry->plan->relation, RowExclusiveLock);
      if (entry->plan->valid) return entry->plan;
    }
    if (entry != nullptr) Discard(entry);
    RangeVar* const variable = makeRangeVar(NameStr(plan_name.schema), NameStr(plan_name.name), -1);
    Oid const relation = RangeVarGetRelid(variable, RowExclusiveLock, true);
    if (!OidIsValid(relation) || !IsSharedRelation(relation)) return nullptr;
    // What comes while it is built may concern it: then parts of it are of different times, and it is not used.
    uint64 const before = invalidations;
    RelationPlan* const plan = BuildPlan(relation, plan_name);
    if (before != invalidations) {
      MemoryContextDelete(plan->context);
      if (++attempts > kAttemptsMax) elog(ERROR, "the definition of \"%s\" does not come to rest", NameStr(plan_name.name));
      CHECK_FOR_INTERRUPTS();
      continue;
    }
    MemoryContextSetParent(plan->context, CacheMemoryContext);
    bool found;
    entry = static_cast<PlanEntry*>(hash_search(plans, &plan_name, HASH_ENTER, &found));
    entry->plan = plan;
    plan->valid = true;
    return plan;
  }
}

}  // namespace dadbs::pg
