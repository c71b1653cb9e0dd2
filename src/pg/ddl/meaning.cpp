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
 * and what commits by itself before one could look (CONCURRENTLY) has its names fixed by a lock first, or does it without.
 */
#include "internal.h"

extern "C" {
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "storage/lockdefs.h"
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

// What goes with a table of this member in a shared schema (local.cpp) is his as well, wherever it stands.
ObjectAddress OwnerOf(const ObjectAddress& object) {
  ObjectAddress owner = object;
  if (object.classId == TypeRelationId && OidIsValid(get_element_type(object.objectId))) owner.objectId = get_element_type(object.objectId);
  if (object.classId == StatisticExtRelationId)
    TakeColumn(StatisticExtRelationId, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid, object.objectId, Anum_pg_statistic_ext_stxrelid,
               [&](Datum relation) { ObjectAddressSet(owner, RelationRelationId, DatumGetObjectId(relation)); });
  return owner;
}

}  // namespace

void CheckStaysLocal(const ObjectAddress& object) {
  if (IsSharedObject(OwnerOf(object))) RaiseChangedMeaning();
}

void RequireNothingDone(const Recorder* recorder, uint64_t catalog_rows) {
  if (AnythingRecorded(recorder) || catalog_rows != 0) RaiseChangedMeaning();
}

void FixNames(Node* node) {
  // DROP INDEX CONCURRENTLY is told of before it commits.
  if (Concurrent(node) == nullptr || IsA(node, DropStmt)) return;
  RangeVar* const name = IsA(node, IndexStmt) ? reinterpret_cast<IndexStmt*>(node)->relation : reinterpret_cast<AlterTableStmt*>(node)->relation;
  Oid const relation = RangeVarGetRelidExtended(name, ShareUpdateExclusiveLock, RVR_MISSING_OK, RangeVarCallbackOwnsRelation, nullptr);
  if (OidIsValid(relation) && IsSharedRelation(relation)) RaiseChangedMeaning();
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
