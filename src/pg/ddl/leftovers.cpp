/*
 * leftovers.cpp: indexes that only this member has, because of REINDEX CONCURRENTLY, which is each member's own affair.
 *
 * Broken off, it leaves an invalid index x_ccnew or x_ccold, which a REINDEX that ends well makes valid. No other member has it, so
 * it is local (sharing.h), whoever drops it drops it here, and the group gives no index such a name. At a position it must not be there for what the statement names, copies or attaches: it is
 * dropped first, as other local objects are. One that is still being built gives way like every holder of a lock.
 *
 * An index that was built anew also has another number, and LIKE ... INCLUDING INDEXES copies in the order of numbers:
 * where two of the new names are alike but for a digit at their end, that order would decide which index gets which.
 * That is refused.
 */
#include <cstring>

#include "internal.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dadbs::pg::ddl {
namespace {

List* FindLeftovers() {
  List* found = NIL;
  Relation const catalog = table_open(IndexRelationId, AccessShareLock);
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  for (HeapTuple row; HeapTupleIsValid(row = systable_getnext(scan));) {
    FormData_pg_index const& index = *reinterpret_cast<Form_pg_index>(GETSTRUCT(row));
    if (IsLeftOverIndex(index.indexrelid) && IsSharedRelation(index.indrelid))
      found = lappend_oid(found, index.indexrelid);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return found;
}

// As far as the text tells: quotes are doubled in it, and by U&"..." it may name anything.
bool Names(const char* text, Oid index) {
  const char* const name = get_rel_name(index);
  if (name == nullptr) return false;
  const char* const quote = strrchr(name, '"');
  return strcasestr(text, quote != nullptr ? quote + 1 : name) != nullptr || strcasestr(text, "U&\"") != nullptr;
}

void Drop(Oid index, Oid table) {
  LockRelationOid(table, AccessExclusiveLock);
  if (!IsLeftOverIndex(index)) return;  // it is gone
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, index);
  ereport(LOG,
          (errmsg("dropping index \"%s\": a REINDEX CONCURRENTLY of this member has left it", get_rel_name(index))));
  performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_QUIETLY);
  CommandCounterIncrement();
}

// List of RangeVar*: tables whose indexes are copied.
List* Copied(Node* node) {
  if (!IsA(node, CreateStmt)) return NIL;
  List* sources = NIL;
  ListCell* cell;
  foreach (cell, reinterpret_cast<CreateStmt*>(node)->tableElts) {
    auto* const like = static_cast<TableLikeClause*>(lfirst(cell));
    if (IsA(like, TableLikeClause) && (like->options & CREATE_TABLE_LIKE_INDEXES) != 0)
      sources = lappend(sources, like->relation);
  }
  return sources;
}

// Whose indexes are looked at, to copy or attach them.
List* LookedAt(Node* node) {
  List* tables = NIL;
  ListCell* cell;
  if (!IsA(node, CreateStmt) && !IsA(node, IndexStmt) && !IsA(node, AlterTableStmt)) return NIL;
  foreach (cell, NamedRelations(node)) {
    auto* const name = static_cast<RelName*>(lfirst(cell));
    Oid const schema = get_namespace_oid(name->schema, true);
    if (OidIsValid(schema)) tables = lappend_oid(tables, get_relname_relid(name->name, schema));
  }
  // No REINDEX begins while one of them is copied.
  foreach (cell, Copied(node))
    tables =
        lappend_oid(tables, RangeVarGetRelid(static_cast<RangeVar*>(lfirst(cell)), ShareUpdateExclusiveLock, true));
  return tables;
}

bool IsOrIsPartOf(Oid table, List* tables) {
  if (list_member_oid(tables, table)) return true;
  if (!get_rel_relispartition(table)) return false;
  ListCell* cell;
  foreach (cell, get_partition_ancestors(table))
    if (list_member_oid(tables, lfirst_oid(cell))) return true;
  return false;
}

// What the name of its copy is made of, behind the table's.
char* CopyName(Relation index) {
  StringInfoData name;
  initStringInfo(&name);
  if (!index->rd_index->indisprimary)
    for (int i = 0; i < RelationGetNumberOfAttributes(index); i++)
      appendStringInfo(&name, "%s_", NameStr(TupleDescAttr(RelationGetDescr(index), i)->attname));
  bool const constraint = OidIsValid(get_index_constraint(RelationGetRelid(index)));
  appendStringInfoString(&name, index->rd_index->indisprimary     ? "pkey"
                                : index->rd_index->indisexclusion ? "excl"
                                : constraint                      ? "key"
                                                                  : "idx");
  return name.data;
}

void CheckCopied(Oid table) {
  Relation const relation = table_open(table, AccessShareLock);
  List* names = NIL;
  ListCell *cell, *other;
  foreach (cell, RelationGetIndexList(relation)) {
    if (IsLeftOverIndex(lfirst_oid(cell))) continue;
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    char* const name = CopyName(index);
    index_close(index, AccessShareLock);
    foreach (other, names)
      if (strcmp(static_cast<char*>(lfirst(other)), name) == 0)
        RaiseNotTaken("LIKE ... INCLUDING INDEXES of a table that has two indexes of one kind over the same columns",
                      "Leave INDEXES out, and create them by statements that name them.");
    names = lappend(names, name);
  }
  table_close(relation, AccessShareLock);
}

}  // namespace

void DropLeftovers(Node* node, const char* text) {
  List* const looked_at = LookedAt(node);
  ListCell* cell;
  foreach (cell, FindLeftovers()) {
    Oid const index = lfirst_oid(cell), table = IndexGetRelation(index, true);
    if (OidIsValid(table) && (Names(text, index) || IsOrIsPartOf(table, looked_at))) Drop(index, table);
  }
}

void CheckCopiedIndexes(Node* node) {
  ListCell* cell;
  foreach (cell, Copied(node)) {
    Oid const table = RangeVarGetRelid(static_cast<RangeVar*>(lfirst(cell)), AccessShareLock, true);
    char const kind = OidIsValid(table) ? get_rel_relkind(table) : '\0';
    if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) CheckCopied(table);
  }
}

}  // namespace dadbs::pg::ddl
