/*
 * meaning.cpp: names that change their meaning while a session's own statement waits.
 *
 * What a statement is about is looked up before it is executed (classify.cpp), and Postgres looks the names up again, and once more when it
 * has waited for a lock. In between a local table in front of a shared one may go, and what IF EXISTS did not find may come, or what
 * IF NOT EXISTS found may go: the statement would then do to a shared object, on this member alone, what the group has not ordered.
 *
 * Invariant: a statement that was judged to be local, or to have nothing to do, changes nothing shared. It fails with 40001 instead:
 *   - the drop and the change of a shared object are refused when object_access_hook tells of them
 *   - what a statement made is looked at after it (CheckLocalEffects, RequireNothingDone)
 *   - what no hook tells of (GRANT, COMMENT, partitions that come to a table, what roles are) is judged once more after it
 * and what commits by itself before one could look (CONCURRENTLY) has its names fixed by a lock first, or does it without. What a statement has
 * made itself (the file of a rewritten table, a serial column's sequence) it may change.
 */
#include "internal.h"

extern "C" {
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::ddl {
namespace {

[[noreturn]] void RaiseChangedMeaning() {
  ereport(ERROR, (errcode(kErrConflict), errmsg("could not execute the statement: its names have changed their meaning meanwhile"),
                  errdetail("It was about nothing shared when it began, and would change a shared object now."),
                  errhint("Retry the transaction.")));
  pg_unreachable();
}

// The only command of an ALTER TABLE that commits by itself stands alone in it.
PartitionCmd* DetachConcurrently(Node* node) {
  if (!IsA(node, AlterTableStmt)) return nullptr;
  auto* const command = linitial_node(AlterTableCmd, reinterpret_cast<AlterTableStmt*>(node)->cmds);
  auto* const partition = command->subtype == AT_DetachPartition ? castNode(PartitionCmd, command->def) : nullptr;
  return partition != nullptr && partition->concurrent ? partition : nullptr;
}

// What it is called where it cannot be executed in a transaction block; null: it can be.
const char* Concurrent(Node* node) {
  if (IsA(node, IndexStmt) && reinterpret_cast<IndexStmt*>(node)->concurrent) return "CREATE INDEX CONCURRENTLY";
  if (IsA(node, DropStmt) && reinterpret_cast<DropStmt*>(node)->concurrent) return "DROP INDEX CONCURRENTLY";
  return DetachConcurrently(node) != nullptr ? "ALTER TABLE ... DETACH CONCURRENTLY" : nullptr;
}

// What goes with a table of this member in a shared schema (local.cpp) is his as well, wherever it stands: a foreign key's triggers stand on its
// parent, too.
ObjectAddress OwnerOf(const ObjectAddress& object) {
  ObjectAddress owner = object;
  if (object.classId == TriggerRelationId)
    TakeColumn(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, object.objectId, Anum_pg_trigger_tgconstraint, [&](Datum constraint) {
      if (OidIsValid(DatumGetObjectId(constraint))) ObjectAddressSet(owner, ConstraintRelationId, DatumGetObjectId(constraint));
    });
  if (object.classId == TypeRelationId && OidIsValid(get_element_type(object.objectId))) owner.objectId = get_element_type(object.objectId);
  if (object.classId == StatisticExtRelationId)
    TakeColumn(StatisticExtRelationId, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid, object.objectId, Anum_pg_statistic_ext_stxrelid,
               [&](Datum relation) { ObjectAddressSet(owner, RelationRelationId, DatumGetObjectId(relation)); });
  return owner;
}

bool Computes(Node* node) {
  if (!IsA(node, IndexStmt)) return false;
  auto* const index = reinterpret_cast<IndexStmt*>(node);
  ListCell* cell;
  foreach (cell, index->indexParams)
    if (lfirst_node(IndexElem, cell)->expr != nullptr) return true;
  return index->whereClause != nullptr;
}

}  // namespace

void CheckStaysLocal(const ObjectAddress& object) {
  ObjectAddress const owner = OwnerOf(object);
  // An extension of this member may stand in a shared schema.
  if (IsSharedObject(owner) && !OidIsValid(getExtensionOfObject(owner.classId, owner.objectId))) RaiseChangedMeaning();
}

void RequireNothingDone(const Recorder* recorder, uint64_t catalog_rows) {
  if (AnythingRecorded(recorder) || catalog_rows != 0) RaiseChangedMeaning();
}

PlannedStmt* FixNames(PlannedStmt* statement, bool top_level) {
  Node* const node = statement->utilityStmt;
  // DROP INDEX CONCURRENTLY is told of before it commits.
  if (Concurrent(node) == nullptr || IsA(node, DropStmt)) return statement;
  if (Computes(node)) {
    ereport(NOTICE, (errmsg("the index is built without CONCURRENTLY: it has expressions"),
                     errdetail("One that used shared objects could not be taken back.")));
    return WithoutConcurrency(statement, top_level);
  }
  auto* const copy = static_cast<PlannedStmt*>(copyObjectImpl(statement));
  RangeVar* const name = IsA(node, IndexStmt) ? reinterpret_cast<IndexStmt*>(copy->utilityStmt)->relation
                                              : reinterpret_cast<AlterTableStmt*>(copy->utilityStmt)->relation;
  Oid const relation = RangeVarGetRelidExtended(name, ShareUpdateExclusiveLock, RVR_MISSING_OK, RangeVarCallbackOwnsRelation, nullptr);
  if (!OidIsValid(relation)) return copy;
  if (IsSharedRelation(relation)) RaiseChangedMeaning();
  name->schemaname = get_namespace_name(get_rel_namespace(relation));
  return copy;
}

void FixReindexed(const RangeVar* name) {
  Oid const relation = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(relation) || !pg_class_ownercheck(relation, GetUserId())) return;  // PostgreSQL's error
  char const kind = get_rel_relkind(relation);
  bool const index = kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX;
  Oid const table = index ? IndexGetRelation(relation, true) : relation;
  if (OidIsValid(table)) LockRelationOid(table, ShareUpdateExclusiveLock);
  if (RangeVarGetRelid(name, NoLock, true) != relation) RaiseChangedMeaning();
}

PlannedStmt* WithoutConcurrency(PlannedStmt* statement, bool top_level) {
  const char* const called = Concurrent(statement->utilityStmt);
  if (called == nullptr) return statement;
  PreventInTransactionBlock(top_level, called);
  auto* const copy = static_cast<PlannedStmt*>(copyObjectImpl(statement));
  DropConcurrently(copy->utilityStmt);
  if (PartitionCmd* const partition = DetachConcurrently(copy->utilityStmt)) partition->concurrent = false;
  return copy;
}

void JudgeAgain(Node* node, Targets (*judge)(Node*)) {
  switch (nodeTag(node)) {
    case T_AlterTableStmt:
    case T_AlterExtensionContentsStmt:
    case T_AlterObjectDependsStmt:
    case T_CommentStmt:
    case T_GrantStmt:
    case T_GrantRoleStmt:
    case T_AlterRoleStmt:
    case T_DropRoleStmt: break;
    default: return;
  }
  CommandCounterIncrement();
  if (judge(node).shared > 0) RaiseChangedMeaning();
}

}  // namespace dadbs::pg::ddl
