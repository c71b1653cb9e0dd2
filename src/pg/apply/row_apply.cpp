/*
 * row_apply.cpp: applies row changes (row_apply.h), with executor functions instead of SPI. Process: the apply worker.
 *
 * A row is read by the types' own receive and input functions, the old version is found by the replica identity's
 * index in a snapshot that is fresh for the write set, and the change is made as the executor makes it: generated
 * columns, domains, NOT NULL, CHECKs, the partition's constraint, the row, its index entries. No trigger fires: what
 * the origin's triggers did is in the write set. Foreign keys are checked by probing indexes (row_fk.cpp). What
 * Postgres would not check is not checked either: domains, foreign keys and generated columns of what an update left
 * as it was (hazard H37).
 *
 * Everything is done as the table's owner, restricted to it, without row security; a query that reads or writes
 * tables from inside an expression is refused (sharing.h), since it could give another answer on another member.
 *
 * Order and waits. Nobody else writes shared rows that stay while a position is applied: a concurrent change that the
 * applier waits for is rolled back by its backend, or is of an earlier position and commits; then the row is looked
 * up again. A row that is still missing is RowMissing: this member's own loss shows in its effects digest, not here.
 *
 * State: of one write set, in a memory context of its own; relations stay open from change to change. On an error the
 * caller's (sub)transaction abort closes them and pops the snapshot; Abort() only forgets. A crash leaves nothing.
 */
#include "dadbs/pg/row_apply.h"

#include "dadbs/pg/approval.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/sharing.h"
#include "row_state.h"
#include "row_values.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace {

bool row_missing = false;  // the error that is being thrown is RowMissing

[[noreturn]] void RaiseInvalid(const RelationPlan* plan, const char* what) {
  ereport(ERROR, (errcode(kErrInvalidWriteSet),
                  errmsg("invalid change of \"%s.%s\": %s", NameStr(plan->schema), NameStr(plan->name), what)));
  pg_unreachable();
}

[[noreturn]] void RaiseMissing(const RelationPlan* plan, const char* operation) {
  row_missing = true;
  ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("the row that %s of \"%s.%s\" names is not here", operation,
                                                       NameStr(plan->schema), NameStr(plan->name))));
  pg_unreachable();
}

// ---- relations

template <class T>
T* AllocateZero(int count) {
  return static_cast<T*>(palloc0(sizeof(T) * Max(count, 1)));
}

OpenRelation* OpenPlan(RowApplierState* state, RelationPlan* plan) {
  MemoryContext const before = MemoryContextSwitchTo(state->context);
  auto* const rel = AllocateZero<OpenRelation>(1);
  rel->plan = plan;
  rel->relation = table_open(plan->relation, RowExclusiveLock);
  rel->info = makeNode(ResultRelInfo);
  InitResultRelInfo(rel->info, rel->relation, 0, nullptr, 0);
  ExecOpenIndices(rel->info, false);
  if (plan->key >= 0) {
    rel->key_index = index_open(plan->uniques[plan->key].index, RowExclusiveLock);
    rel->key_scan = AllocateZero<ScanKeyData>(INDEX_MAX_KEYS);
  }
  rel->old_slot = table_slot_create(rel->relation, nullptr);
  rel->new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel->relation), &TTSOpsVirtual);
  rel->unchanged = AllocateZero<bool>(plan->natts);
  rel->generated = AllocateZero<ExprState*>(plan->natts);
  rel->domain_cache = AllocateZero<void*>(plan->column_count);
  rel->sequences = AllocateZero<OpenRelation::SequenceSeen>(plan->sequence_count);
  rel->next = state->relations;
  state->relations = rel;
  MemoryContextSwitchTo(before);
  return rel;
}

OpenRelation* Open(RowApplierState* state, const core::RelationName& name) {
  auto is = [&](const OpenRelation* rel) {
    return name.name == NameStr(rel->plan->name) && name.schema == NameStr(rel->plan->schema);
  };
  if (state->last != nullptr && is(state->last)) return state->last;
  for (OpenRelation* rel = state->relations; rel != nullptr; rel = rel->next)
    if (is(rel)) return state->last = rel;
  RelationPlan* const plan = FindPlan(name);
  if (plan == nullptr || plan->kind != RELKIND_RELATION)
    ereport(ERROR, (errcode(kErrInvalidWriteSet),
                    errmsg("\"%.*s.%.*s\" is not a shared table", static_cast<int>(name.schema.size()),
                           name.schema.data(), static_cast<int>(name.name.size()), name.name.data())));
  if (plan->is_protected) RaiseProtected(NameStr(plan->name));
  return state->last = OpenPlan(state, plan);
}

void CloseRelation(OpenRelation* rel) {
  ExecDropSingleTupleTableSlot(rel->old_slot);
  ExecDropSingleTupleTableSlot(rel->new_slot);
  CloseGathered(rel);
  if (rel->key_index) index_close(rel->key_index, NoLock);
  ExecCloseIndices(rel->info);
  table_close(rel->relation, NoLock);
}

void CloseAll(RowApplierState* state) {
  for (OpenRelation* rel = state->relations; rel != nullptr; rel = rel->next) CloseRelation(rel);
  state->relations = state->last = state->last_insert = nullptr;
  CloseParents(state);
}

// ---- values

void CheckWidth(const RelationPlan* plan, const core::Tuple& tuple) {
  if (tuple.size() != static_cast<size_t>(plan->column_count)) RaiseInvalid(plan, "other columns than the table's");
}

void StartSlot(OpenRelation* rel) {
  ExecClearTuple(rel->new_slot);
  memset(rel->new_slot->tts_isnull, true, rel->plan->natts);  // dropped columns
  memset(rel->new_slot->tts_values, 0, sizeof(Datum) * rel->plan->natts);
}

// The new row into new_slot; unchanged columns from old_slot, which UPDATE has filled.
void ReadRow(OpenRelation* rel, const core::Tuple& tuple, bool is_update) {
  RelationPlan* const plan = rel->plan;
  StartSlot(rel);
  for (int i = 0; i < plan->column_count; i++) {
    int const at = plan->columns[i].attno - 1;
    rel->unchanged[at] = is_update && tuple[i].tag == 'u';
    if (rel->unchanged[at]) {
      rel->new_slot->tts_values[at] = rel->old_slot->tts_values[at];
      rel->new_slot->tts_isnull[at] = rel->old_slot->tts_isnull[at];
    } else {
      rel->new_slot->tts_values[at] = ReadValue(&plan->columns[i], tuple[i], &rel->new_slot->tts_isnull[at]);
    }
  }
  ExecStoreVirtualTuple(rel->new_slot);
  rel->new_slot->tts_tableOid = plan->relation;
}

// Only the key's columns, into new_slot: to look for the old row.
void ReadKey(OpenRelation* rel, const core::Tuple& tuple) {
  RelationPlan* const plan = rel->plan;
  const UniquePlan& key = plan->uniques[plan->key];
  StartSlot(rel);
  for (int i = 0; i < plan->column_count; i++)
    for (int k = 0; k < key.count; k++)
      if (key.attnos[k] == plan->columns[i].attno) {
        int const at = plan->columns[i].attno - 1;
        rel->new_slot->tts_values[at] = ReadValue(&plan->columns[i], tuple[i], &rel->new_slot->tts_isnull[at]);
      }
}

// ---- finding the old row

bool LookUp(OpenRelation* rel, int key_count) {
  IndexScanDesc const scan = index_beginscan(rel->relation, rel->key_index, GetActiveSnapshot(), key_count, 0);
  index_rescan(scan, rel->key_scan, key_count, nullptr, 0);
  bool const found = index_getnext_slot(scan, ForwardScanDirection, rel->old_slot);
  if (found) {
    ExecMaterializeSlot(rel->old_slot);
    slot_getallattrs(rel->old_slot);
  }
  index_endscan(scan);
  return found;
}

// Into old_slot.
void FindOldRow(OpenRelation* rel, const core::Tuple& key_tuple, const char* operation) {
  RelationPlan* const plan = rel->plan;
  if (plan->key < 0) RaiseInvalid(plan, "the table has no key");
  UniquePlan* const key = &plan->uniques[plan->key];
  ReadKey(rel, key_tuple);
  if (!FillScanKeys(key, rel->new_slot->tts_values, rel->new_slot->tts_isnull, rel->key_scan))
    RaiseInvalid(plan, "a key that is null");
  if (LookUp(rel, key->count)) return;
  RefreshSnapshot();
  if (!LookUp(rel, key->count)) RaiseMissing(plan, operation);
}

// ---- the three changes

void CheckRow(RowApplierState* state, OpenRelation* rel, bool is_update) {
  doing = Doing::kEvaluating;
  CheckDomains(state, rel, is_update);
  if (rel->plan->has_generated) CheckGenerated(state, rel, is_update);
  if (RelationGetDescr(rel->relation)->constr) ExecConstraints(rel->info, rel->new_slot, state->estate);
  if (rel->relation->rd_rel->relispartition) ExecPartitionCheck(rel->info, rel->new_slot, state->estate, true);
  doing = Doing::kOwn;
}

// Contracts run at the end. TopTransactionContext: the write set's own is gone then.
void NoteContractEvent(RowApplierState* state, OpenRelation* rel, char op, const ItemPointerData& old_tid) {
  if (!rel->plan->has_contracts) return;
  ContractEvent event = {rel->plan->relation, op, old_tid, {}};
  ItemPointerSetInvalid(&event.new_tid);
  if (op == 'I') ItemPointerSetInvalid(&event.old_tid);
  if (op != 'D') event.new_tid = rel->new_slot->tts_tid;
  Append(TopTransactionContext, &state->contract_events, event);
}

void Insert(RowApplierState* state, OpenRelation* rel, const core::RowChange& change) {
  CheckWidth(rel->plan, change.row);
  bool const gather = MayGather(state, rel);
  if (gather) BeginGathered(state, rel);
  ReadRow(rel, change.row, false);
  CheckRow(state, rel, false);
  NoteSequences(rel);
  if (gather) return EndGathered(state, rel, change.row);
  table_tuple_insert(rel->relation, rel->new_slot, GetCurrentCommandId(true), 0, nullptr);
  InsertIndexEntries(state, rel, false);
  NoteContractEvent(state, rel, 'I', {});
  Step();
  CheckReferences(state, rel, false);
}

// True: done. False: somebody else's change came between; look again.
bool IsDone(TM_Result result, const RelationPlan* plan) {
  switch (result) {
    case TM_Ok: return true;
    case TM_Updated:
    case TM_Deleted: RefreshSnapshot(); return false;
    default: elog(ERROR, "unexpected result %d of changing a row of \"%s\"", result, NameStr(plan->name));
  }
}

void Update(RowApplierState* state, OpenRelation* rel, const core::RowChange& change) {
  CheckWidth(rel->plan, change.row);
  if (change.has_old_key) CheckWidth(rel->plan, change.old_key);
  bool update_indexes = false;
  ItemPointerData old_tid;
  for (bool done = false; !done;) {
    FindOldRow(rel, change.has_old_key ? change.old_key : change.row, "an UPDATE");
    ReadRow(rel, change.row, true);
    FindUnchanged(rel);
    CheckRow(state, rel, true);
    old_tid = rel->old_slot->tts_tid;
    TM_FailureData failure;
    LockTupleMode mode;
    done = IsDone(table_tuple_update(rel->relation, &old_tid, rel->new_slot, GetCurrentCommandId(true),
                                     GetActiveSnapshot(), InvalidSnapshot, true, &failure, &mode, &update_indexes),
                  rel->plan);
    CHECK_FOR_INTERRUPTS();
  }
  NoteParentGone(state, rel, true);
  if (update_indexes) InsertIndexEntries(state, rel, true);
  NoteContractEvent(state, rel, 'U', old_tid);
  Step();
  CheckReferences(state, rel, true);
}

void Delete(RowApplierState* state, OpenRelation* rel, const core::RowChange& change) {
  CheckWidth(rel->plan, change.old_key);
  for (bool done = false; !done;) {
    FindOldRow(rel, change.old_key, "a DELETE");
    TM_FailureData failure;
    done = IsDone(table_tuple_delete(rel->relation, &rel->old_slot->tts_tid, GetCurrentCommandId(true),
                                     GetActiveSnapshot(), InvalidSnapshot, true, &failure, false),
                  rel->plan);
    CHECK_FOR_INTERRUPTS();
  }
  NoteParentGone(state, rel, false);
  NoteContractEvent(state, rel, 'D', rel->old_slot->tts_tid);
  Step();
}

void ApplyRow(RowApplierState* state, const core::RowChange& change) {
  OpenRelation* const rel = Open(state, change.relation);
  if (state->gathering != nullptr && (change.op != 'I' || rel != state->gathering)) WriteGathered(state);
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  RestrictTo(rel->relation);
  ResetPerTupleExprContext(state->estate);
  MemoryContext const before = MemoryContextSwitchTo(GetPerTupleMemoryContext(state->estate));
  EnterExpression();
  switch (change.op) {
    case 'I': Insert(state, rel, change); break;
    case 'U': Update(state, rel, change); break;
    case 'D': Delete(state, rel, change); break;
    default: RaiseInvalid(rel->plan, "an unknown operation");
  }
  LeaveExpression();
  // Slots must not point into the memory that the next change resets.
  ExecClearTuple(rel->new_slot);
  MemoryContextSwitchTo(before);
  SetUserIdAndSecContext(user, security);
}

// ---- TRUNCATE

// ExecuteTruncateGuts fires the statement triggers that the relation cache names: it is not to. The cache may read them
// anew in between: then those that fire in ordinary sessions are kept quiet by the session's role.
void HideTruncateTriggers(List* relations, bool* saved, bool hide) {
  ListCell* cell;
  foreach (cell, relations) {
    TriggerDesc* const triggers = static_cast<Relation>(lfirst(cell))->trigdesc;
    if (triggers == nullptr) continue;
    bool* const mine = &saved[2 * foreach_current_index(cell)];
    if (hide) {
      mine[0] = triggers->trig_truncate_before_statement;
      mine[1] = triggers->trig_truncate_after_statement;
    }
    triggers->trig_truncate_before_statement = hide ? false : mine[0];
    triggers->trig_truncate_after_statement = hide ? false : mine[1];
  }
}

void Truncate(RowApplierState* state, const core::TruncateChange& change) {
  List* relations = NIL;
  List* ids = NIL;
  for (const core::RelationName& name : change.relations) {
    RelationPlan* const plan = FindPlan(name);
    if (plan == nullptr)
      ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("TRUNCATE of what is not a shared table")));
    if (plan->has_contracts || plan->is_protected) GuardTruncate(NameStr(plan->name));
    if (plan->is_protected && !CarryingOut()) RaiseProtected(NameStr(plan->name));
    if (plan->has_contracts && !CarryingOut())
      ereport(ERROR, (errcode(kErrNotSupported), errmsg("cannot truncate table \"%s\": it has contracts", NameStr(plan->name)),
                      errhint("Use DELETE, which its contracts see.")));
    if (list_member_oid(ids, plan->relation)) continue;
    relations = lappend(relations, table_open(plan->relation, AccessExclusiveLock));
    ids = lappend_oid(ids, plan->relation);
  }
  auto* const saved = static_cast<bool*>(palloc0(2 * list_length(relations) + 1));
  HideTruncateTriggers(relations, saved, true);
  int const role = SessionReplicationRole;
  SessionReplicationRole = SESSION_REPLICATION_ROLE_REPLICA;
  PG_TRY();
  {
    // All that the TRUNCATE cascaded to is named. Nothing is logged for decoding: capture has no use for it.
    ExecuteTruncateGuts(relations, ids, NIL, DROP_RESTRICT, change.restart_identity);
  }
  PG_FINALLY();
  {
    SessionReplicationRole = role;
    HideTruncateTriggers(relations, saved, false);
  }
  PG_END_TRY();
  ListCell* cell;
  foreach (cell, relations) table_close(static_cast<Relation>(lfirst(cell)), NoLock);
  CommandCounterIncrement();
}

// ---- begin, end

void EnsureBegun(RowApplierState* state) {
  if (state->snapshot_pushed) return;
  PushActiveSnapshot(GetLatestSnapshot());
  state->snapshot_pushed = true;
  state->guc_level = NewGUCNestLevel();  // what functions in expressions set does not stay
  MemoryContext const before = MemoryContextSwitchTo(state->context);
  state->estate = CreateExecutorState();
  MemoryContextSwitchTo(before);
}

void Finish(RowApplierState* state, bool last) {
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  EnterExpression();
  WriteGathered(state);
  if (last) CheckUniques(state);
  CheckPendingReferences(state, last);
  CheckPendingParents(state, last);
  LeaveExpression();
  SetUserIdAndSecContext(user, security);
  MoveSequences(state);  // before what follows may restart them
  CloseAll(state);
  FreeExecutorState(state->estate);
  state->estate = nullptr;
  AtEOXact_GUC(false, state->guc_level);
  PopActiveSnapshot();
  state->snapshot_pushed = false;
}

template <class F>
void Run(F&& body) {
  row_missing = false;
  doing = Doing::kOwn;
  StackFromHere const stack;
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  try {
    Call(body);
  } catch (const PgError& e) {
    SetUserIdAndSecContext(user, security);
    ResetExpressions();
    if (e.sqlstate() != kErrInvalidWriteSet) ThrowVerdict(e);
    if (row_missing) throw RowMissing(e.sqlstate(), e.message(), e.detail(), e.hint());
    throw InvalidWriteSet(e.sqlstate(), e.message(), e.detail(), e.hint());
  }
}

}  // namespace

void InsertIndexEntries(RowApplierState* state, OpenRelation* rel, bool is_update) {
  if (rel->info->ri_NumIndices == 0) return;
  if (rel->plan->has_index_expressions) doing = Doing::kEvaluating;
  List* const recheck = ExecInsertIndexTuples(rel->info, rel->new_slot, state->estate, is_update, false, nullptr, NIL);
  doing = Doing::kOwn;
  if (recheck != NIL) NoteUniques(state, rel, recheck, &rel->new_slot->tts_tid);
}

void Step() {
  CommandCounterIncrement();
  UpdateActiveSnapshotCommandId();
}

void RestrictTo(Relation relation) {
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  SetUserIdAndSecContext(relation->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

void RefreshSnapshot() {
  PopActiveSnapshot();
  PushActiveSnapshot(GetLatestSnapshot());
}

RowApplier::RowApplier() : state_(new RowApplierState{}) {}

RowApplier::~RowApplier() {
  Abort();
  delete state_;
}

void RowApplier::Begin() {
  Abort();
  Run([&] {
    ForgetStalePlans();
    state_->context = AllocSetContextCreate(CurTransactionContext, "dadbs row applier", ALLOCSET_DEFAULT_SIZES);
  });
}

void RowApplier::Apply(const core::RowChange& change) {
  Run([&] {
    EnsureBegun(state_);
    ApplyRow(state_, change);
  });
}

void RowApplier::Apply(const core::TruncateChange& change) {
  CloseRelations();
  Run([&] { Truncate(state_, change); });
}

void RowApplier::Apply(const core::SequenceChange& change) {
  Run([&] {
    const core::RelationName& name = change.sequence;
    char* const schema = pnstrdup(name.schema.data(), name.schema.size());
    char* const sequence = pnstrdup(name.name.data(), name.name.size());
    Oid const schema_id = get_namespace_oid(schema, true);
    Oid const id = OidIsValid(schema_id) ? get_relname_relid(sequence, schema_id) : InvalidOid;
    if (!OidIsValid(id) || get_rel_relkind(id) != RELKIND_SEQUENCE || !IsSharedObject({RelationRelationId, id, 0}))
      ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("\"%s.%s\" is not a shared sequence", schema, sequence)));
    MoveSequencePast(id, change.value);
  });
}

void RowApplier::CloseRelations() {
  if (state_->snapshot_pushed) Run([&] { Finish(state_, false); });
}

void RowApplier::End() {
  Run([&] {
    bool const waits = state_->references.count + state_->parents_gone.count + state_->uniques.count > 0;
    if (waits) EnsureBegun(state_);  // DDL came last
    if (state_->snapshot_pushed) Finish(state_, true);
    MemoryContextDelete(state_->context);
  });
  events_ = {state_->contract_events.items, state_->contract_events.count};
  *state_ = RowApplierState{};
}

void RowApplier::Abort() noexcept {
  *state_ = RowApplierState{};
  events_ = {};
}

}  // namespace dadbs::pg
