/*
 * index_choice.cpp: where PostgreSQL takes the first index that fits, in the order of their numbers.
 *
 * REINDEX CONCURRENTLY is each member's own affair and gives an index another number there. So of two that fit, members might take
 * different ones: a foreign key would keep one index from being dropped here and the other one there, and a partitioned index would
 * have one of them as its part. Such statements are refused; they say nothing that one of the two indexes would not do.
 */
#include "internal.h"

#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "nodes/bitmapset.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dadbs::pg::ddl {
namespace {

// ---- foreign keys -----------------------------------------------------------------------------------------------------

// As transformFkeyCheckAttrs does: null where a column is not there.
Bitmapset* ColumnsOf(Oid table, List* names) {
  Bitmapset* columns = nullptr;
  ListCell* cell;
  foreach (cell, names) {
    AttrNumber const number = get_attnum(table, strVal(lfirst(cell)));
    if (number <= 0) return nullptr;
    columns = bms_add_member(columns, number);
  }
  return columns;
}

bool IsUniqueOver(Relation index, Bitmapset* columns) {
  Form_pg_index const form = index->rd_index;
  if (!form->indisunique || !form->indisvalid || !form->indimmediate || form->indnkeyatts != bms_num_members(columns)) return false;
  if (RelationGetIndexPredicate(index) != NIL) return false;
  for (int i = 0; i < form->indnkeyatts; i++)
    if (form->indkey.values[i] <= 0 || !bms_is_member(form->indkey.values[i], columns)) return false;
  return true;
}

void CheckForeignKey(const Constraint* constraint) {
  if (constraint->contype != CONSTR_FOREIGN || constraint->pktable == nullptr || constraint->pk_attrs == NIL) return;
  Oid const table = RangeVarGetRelid(constraint->pktable, AccessShareLock, true);
  if (!OidIsValid(table)) return;  // the one that is made
  Bitmapset* const columns = ColumnsOf(table, constraint->pk_attrs);
  if (columns == nullptr) return;
  Relation const relation = table_open(table, NoLock);
  int fitting = 0;
  ListCell* cell;
  foreach (cell, RelationGetIndexList(relation)) {
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    fitting += IsUniqueOver(index, columns) && !IsLeftOverIndex(RelationGetRelid(index)) ? 1 : 0;
    index_close(index, NoLock);
  }
  table_close(relation, NoLock);
  if (fitting > 1)
    RaiseNotTaken("a foreign key to columns that have two unique indexes", "Drop one of them; or leave out the columns, where they are the primary key.");
}

void CheckForeignKeys(List* elements) {
  ListCell* cell;
  foreach (cell, elements) {
    Node* const element = static_cast<Node*>(lfirst(cell));
    if (element == nullptr) continue;
    if (IsA(element, Constraint)) CheckForeignKey(reinterpret_cast<Constraint*>(element));
    if (IsA(element, ColumnDef)) CheckForeignKeys(reinterpret_cast<ColumnDef*>(element)->constraints);
    if (IsA(element, AlterTableCmd)) CheckForeignKeys(list_make1(reinterpret_cast<AlterTableCmd*>(element)->def));
  }
}

// ---- parts of partitioned indexes -------------------------------------------------------------------------------------

bool AreEqual(Relation table, Relation a, Relation b) {
  TupleDesc const columns = RelationGetDescr(table);
  AttrMap* const same = build_attrmap_by_name(columns, columns);
  bool const are = CompareIndexInfo(BuildIndexInfo(a), BuildIndexInfo(b), a->rd_indcollation, b->rd_indcollation, a->rd_opfamily, b->rd_opfamily, same);
  free_attrmap(same);
  return are;
}

// Two that could become the part of one.
bool HasEqualIndexes(Relation table) {
  List* free_ones = NIL;
  bool found = false;
  ListCell *cell, *other;
  foreach (cell, RelationGetIndexList(table)) {
    Relation const index = index_open(lfirst_oid(cell), AccessShareLock);
    if (index->rd_rel->relispartition || !index->rd_index->indisvalid || IsLeftOverIndex(RelationGetRelid(index))) {
      index_close(index, NoLock);
      continue;
    }
    foreach (other, free_ones) found = found || AreEqual(table, index, static_cast<Relation>(lfirst(other)));
    free_ones = lappend(free_ones, index);
  }
  foreach (cell, free_ones) index_close(static_cast<Relation>(lfirst(cell)), NoLock);
  return found;
}

bool IsPartitioned(const RangeVar* name) {
  Oid const table = RangeVarGetRelid(name, NoLock, true);
  return OidIsValid(table) && get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE;
}

void CheckParts(const RangeVar* name) {
  Oid const root = RangeVarGetRelid(name, AccessShareLock, true);
  if (!OidIsValid(root)) return;
  ListCell* cell;
  foreach (cell, find_all_inheritors(root, AccessShareLock, nullptr)) {
    Oid const part = lfirst_oid(cell);
    char const kind = get_rel_relkind(part);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) continue;
    Relation const table = table_open(part, NoLock);
    bool const has = HasEqualIndexes(table);
    table_close(table, NoLock);
    if (has)
      RaiseNotTaken(psprintf("an index of a partitioned table while partition \"%s\" has two equal ones", get_rel_name(part)), "Drop one of them.");
  }
}

}  // namespace

void CheckIndexChoice(Node* node) {
  ListCell* cell;
  if (IsA(node, CreateStmt)) {
    CheckForeignKeys(reinterpret_cast<CreateStmt*>(node)->tableElts);
    CheckForeignKeys(reinterpret_cast<CreateStmt*>(node)->constraints);
  } else if (IsA(node, IndexStmt)) {
    const RangeVar* const table = reinterpret_cast<IndexStmt*>(node)->relation;
    if (IsPartitioned(table)) CheckParts(table);
  } else if (IsA(node, AlterTableStmt)) {
    const RangeVar* const table = reinterpret_cast<AlterTableStmt*>(node)->relation;
    CheckForeignKeys(reinterpret_cast<AlterTableStmt*>(node)->cmds);
    foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds) {
      auto* const cmd = lfirst_node(AlterTableCmd, cell);
      if (cmd->subtype == AT_AttachPartition) CheckParts(reinterpret_cast<PartitionCmd*>(cmd->def)->name);
      if (cmd->subtype == AT_AddConstraint && IsPartitioned(table)) CheckParts(table);
    }
  }
}

}  // namespace dadbs::pg::ddl
