/*
 * row_state.h: what the parts of the row applier share: row_apply.cpp (changes), row_check.cpp (columns, deferred
 * unique constraints, sequences), row_fk.cpp (foreign keys). Postgres code: palloc, ereport; one write set at a time.
 */
#pragma once

#include "dadbs/core/write_set.h"
#include "dadbs/pg/contract.h"
#include "row_relation.h"

extern "C" {
#include "postgres.h"
#include "access/genam.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"
}

namespace dadbs::pg {

// A relation whose rows the write set changes.
struct OpenRelation {
  RelationPlan* plan;
  Relation relation;
  ResultRelInfo* info;
  Relation key_index;     // null: no key
  ScanKeyData* key_scan;  // room for FillScanKeys
  TupleTableSlot* old_slot;
  TupleTableSlot* new_slot;
  bool* unchanged;        // by attno - 1: marked so, or found so (UPDATE)
  ExprState** generated;  // by attno - 1
  void** domain_cache;    // by column, for domain_check
  struct SequenceSeen {
    bool any;
    int64 extreme;  // the highest value, or the lowest of a descending sequence
  } * sequences;    // as plan->sequences
  struct GatheredRows* gathered;  // row_bulk.cpp; null: never
  OpenRelation* next;
};

// A table that foreign keys refer to, with the index of each of its leaves.
struct OpenParent {
  Oid parent, index;
  int count;
  Relation* tables;
  Relation* indexes;
  TupleTableSlot** slots;
  OpenParent* next;
};

// Checks that wait for the end. Rows are found again by tid: one that is gone or replaced is not checked, as in
// Postgres.
struct PendingReference {
  ForeignKeyPlan* key;
  Oid relation;
  ItemPointerData tid;
};
struct PendingParent {
  ParentPlan* plan;
  Datum* values;  // the key that went away, in the order of plan->attnos
};
struct PendingUnique {
  Oid relation, index;
  ItemPointerData tid;
};

template <class T>
struct Pending {
  T* items;
  int count, capacity;
};

struct RowApplierState {
  MemoryContext context;  // of the write set; null: none is begun
  EState* estate;
  bool snapshot_pushed;
  int guc_level;
  OpenRelation* relations;
  OpenRelation* last;  // most changes follow one of the same relation
  OpenRelation* last_insert;  // of which inserts_in_a_row have come
  int inserts_in_a_row;
  OpenRelation* gathering;  // has rows that are not in the table yet; null: none
  OpenParent* parents;
  Pending<PendingReference> references;
  HTAB* waiting_references;  // the same as a set; null: none ever
  Pending<PendingParent> parents_gone;
  Pending<PendingUnique> uniques;
  Pending<ContractEvent> contract_events;  // in the transaction's memory
};

template <class T>
void Append(MemoryContext context, Pending<T>* pending, const T& item) {
  if (pending->count == pending->capacity) {
    int const capacity = Max(64, pending->capacity * 2);
    MemoryContext const before = MemoryContextSwitchTo(context);
    pending->items = static_cast<T*>(pending->items == nullptr ? palloc_extended(sizeof(T) * capacity, MCXT_ALLOC_HUGE)
                                                               : repalloc_huge(pending->items, sizeof(T) * capacity));
    MemoryContextSwitchTo(before);
    pending->capacity = capacity;
  }
  pending->items[pending->count++] = item;
}

// -- row_apply.cpp
// Another look, after a concurrent change of what the snapshot showed.
void RefreshSnapshot();
// From here on as the table's owner, restricted; Run() and Finish() go back.
void RestrictTo(Relation relation);
// A type's text of a value, for error details.
char* ValueText(Oid type, Datum value, bool isnull);

// Index entries of new_slot, which is in the table.
void InsertIndexEntries(RowApplierState* state, OpenRelation* rel, bool is_update);
// What was just done is seen by what follows.
void Step();

// -- row_bulk.cpp
// One more insert comes: may it be gathered? Then BeginGathered gives new_slot a place that stays; EndGathered keeps it.
bool MayGather(RowApplierState* state, OpenRelation* rel);
void BeginGathered(RowApplierState* state, OpenRelation* rel);
void EndGathered(RowApplierState* state, OpenRelation* rel, const core::Tuple& tuple);
void WriteGathered(RowApplierState* state);  // all that wait, in the order in which they came
void CloseGathered(OpenRelation* rel);

// -- row_check.cpp
void CheckDomains(RowApplierState* state, OpenRelation* rel, bool is_update);
void CheckGenerated(RowApplierState* state, OpenRelation* rel, bool is_update);
void FindUnchanged(OpenRelation* rel);  // fills rel->unchanged from both slots
void NoteUniques(RowApplierState* state, OpenRelation* rel, List* indexes, ItemPointer tid);
void CheckUniques(RowApplierState* state);
void NoteSequences(OpenRelation* rel);
void MoveSequences(RowApplierState* state);

// -- row_fk.cpp. After the change is visible to the active snapshot.
void CheckReferences(RowApplierState* state, OpenRelation* rel, bool is_update);
void NoteParentGone(RowApplierState* state, OpenRelation* rel,
                    bool is_update);  // before the change: reads the old slot
// All that waited. `last`: what fails is an error; else it goes on waiting.
void CheckPendingReferences(RowApplierState* state, bool last);
void CheckPendingParents(RowApplierState* state, bool last);
void CloseParents(RowApplierState* state);

}  // namespace dadbs::pg
