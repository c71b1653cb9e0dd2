/*
 * placement.cpp: where relations lie on the disks of a member is his affair, and decides nothing.
 *
 * PostgreSQL makes a partition where its parent is, and what LIKE copies an index of where that is, if the author of the statement may create
 * there: a tablespace that one member has chosen, with privileges of that member. A definition makes tables, and copies of indexes, in the
 * database's default tablespace; each member moves them afterwards if he likes. What has no files, partitioned tables and their indexes, is not
 * moved.
 */
#include "internal.h"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::ddl {
namespace {

// Only partitions ask where it is: it has no files. (It was there before the group, or ALTER TABLE ALL IN TABLESPACE has moved it.)
void PutBack(Oid parent) {
  if (!OidIsValid(parent) || get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE || !OidIsValid(get_rel_tablespace(parent))) return;
  Relation const relation = try_table_open(parent, ShareUpdateExclusiveLock);
  if (relation == nullptr) return;
  if (OidIsValid(relation->rd_rel->reltablespace)) SetRelationTableSpace(relation, InvalidOid, InvalidOid);
  table_close(relation, NoLock);
  CommandCounterIncrement();
}

}  // namespace

void PlaceByDefault(Node* node) {
  if (IsA(node, IndexStmt)) reinterpret_cast<IndexStmt*>(node)->tableSpace = nullptr;
  if (!IsA(node, CreateStmt)) return;
  auto* const create = reinterpret_cast<CreateStmt*>(node);
  if (create->partbound != nullptr) PutBack(RangeVarGetRelid(linitial_node(RangeVar, create->inhRelations), NoLock, true));
}

void CheckMove(const AlterTableStmt* alter) {
  ObjectAddress object;
  ObjectAddressSet(object, RelationRelationId, RangeVarGetRelid(alter->relation, NoLock, true));
  if (!OidIsValid(object.objectId) || !RELKIND_HAS_PARTITIONS(get_rel_relkind(object.objectId)) || !IsSharedObject(object)) return;
  RaiseNotTaken("SET TABLESPACE of a partitioned table or index", "Move its partitions: new ones are made in the default tablespace of the database.");
}

}  // namespace dadbs::pg::ddl
