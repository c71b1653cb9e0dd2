/*
 * names.cpp: names that PostgreSQL chooses (x_id_seq, x_pkey, x_a_idx) are the chain's alone.
 *
 * From 15.18 on PostgreSQL looks for a free name with a dirty snapshot: what a session has made and not committed yet takes a name
 * away, on the member where that session is, and the next number is taken there (x_id_seq1). At a position no such name may be there.
 * So whoever has made one has to go: apply waits for the transaction, and the watcher clears the way, as for any lock. No new one comes
 * meanwhile, since nobody writes pg_class but the statement.
 *
 * A name is chosen of a relation's name, perhaps cut, columns, one of a few labels and a number: others are left alone.
 */
#include "internal.h"

#include <algorithm>
#include <cctype>
#include <cstring>

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {
namespace ddl {
namespace {

constexpr const char* kLabels[] = {"_seq", "_pkey", "_key", "_idx", "_excl"};
constexpr size_t kCommonMin = 12;  // a relation's name is never cut to less than that

bool HasLabel(const char* name) {
  size_t length = strlen(name);
  while (length > 0 && isdigit(static_cast<unsigned char>(name[length - 1]))) length--;
  for (const char* label : kLabels) {
    size_t const n = strlen(label);
    if (length > n && strncmp(name + length - n, label, n) == 0) return true;
  }
  return false;
}

bool IsPartitioned(const RelName* relation) {
  Oid const space = get_namespace_oid(relation->schema, true);
  Oid const id = OidIsValid(space) ? get_relname_relid(relation->name, space) : InvalidOid;
  return OidIsValid(id) && get_rel_relkind(id) == RELKIND_PARTITIONED_TABLE;
}

// Partitions get indexes with the one of the table: of what is partitioned anything may be made.
bool MayBeChosenFor(const char* name, List* relations) {
  if (!HasLabel(name)) return false;
  ListCell* cell;
  foreach (cell, relations) {
    auto* const relation = static_cast<RelName*>(lfirst(cell));
    if (strncmp(name, relation->name, std::min(strlen(relation->name), kCommonMin)) == 0 || IsPartitioned(relation)) return true;
  }
  return false;
}

bool IsSerial(const TypeName* type) {
  if (type == nullptr || list_length(type->names) != 1) return false;
  for (const char* name : {"smallserial", "serial2", "serial", "serial4", "bigserial", "serial8"})
    if (strcmp(strVal(linitial(type->names)), name) == 0) return true;
  return false;
}

// An unnamed constraint of it gets an index, an identity a sequence.
bool NeedsName(const Constraint* constraint) {
  switch (constraint->contype) {
    case CONSTR_PRIMARY:
    case CONSTR_UNIQUE:
    case CONSTR_EXCLUSION: return constraint->conname == nullptr;
    case CONSTR_IDENTITY: return true;
    default: return false;
  }
}

bool NeedsName(const ColumnDef* column) {
  if (IsSerial(column->typeName)) return true;
  ListCell* cell;
  foreach (cell, column->constraints)
    if (NeedsName(lfirst_node(Constraint, cell))) return true;
  return false;
}

bool NeedsName(const AlterTableCmd* cmd) {
  if (cmd->subtype == AT_AddIdentity || cmd->subtype == AT_AttachPartition) return true;
  if (cmd->def == nullptr) return false;
  if (IsA(cmd->def, ColumnDef)) return NeedsName(reinterpret_cast<const ColumnDef*>(cmd->def));
  return IsA(cmd->def, Constraint) && NeedsName(reinterpret_cast<const Constraint*>(cmd->def));
}

bool Chooses(Node* statement, List* relations) {
  ListCell* cell;
  if (IsA(statement, CreateStmt)) return true;
  if (!IsA(statement, IndexStmt) && !IsA(statement, AlterTableStmt)) return false;
  foreach (cell, relations)
    if (IsPartitioned(static_cast<RelName*>(lfirst(cell)))) return true;
  if (IsA(statement, IndexStmt)) return reinterpret_cast<IndexStmt*>(statement)->idxname == nullptr;
  foreach (cell, reinterpret_cast<AlterTableStmt*>(statement)->cmds)
    if (NeedsName(lfirst_node(AlterTableCmd, cell))) return true;
  return false;
}

// Whoever writes there is done in a moment and in nobody's way; asleep on the lock, apply would have the watcher take him for that.
void LockCatalog() {
  constexpr int kTries = 2000;
  constexpr long kNapUs = 500;
  for (int i = 0; i < kTries; i++) {
    if (ConditionalLockRelationOid(RelationRelationId, ShareRowExclusiveLock)) return;
    CHECK_FOR_INTERRUPTS();
    pg_usleep(kNapUs);
  }
  LockRelationOid(RelationRelationId, ShareRowExclusiveLock);
}

// Whose uncommitted relation has such a name; none: invalid.
TransactionId FindMaker(Relation catalog, List* relations) {
  SnapshotData dirty;
  InitDirtySnapshot(dirty);
  TransactionId maker = InvalidTransactionId;
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, &dirty, 0, nullptr);
  while (!TransactionIdIsValid(maker)) {
    HeapTuple const tuple = systable_getnext(scan);
    if (!HeapTupleIsValid(tuple)) break;
    if (!TransactionIdIsValid(dirty.xmin)) continue;  // it is committed, or made here
    auto* const relation = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    if (IsSharedSchema(relation->relnamespace) && MayBeChosenFor(NameStr(relation->relname), relations)) maker = dirty.xmin;
  }
  systable_endscan(scan);
  return maker;
}

}  // namespace

bool TakeNames(Node* statement, List* relations) {
  if (!Chooses(statement, relations)) return false;
  for (;;) {
    LockCatalog();
    Relation const catalog = table_open(RelationRelationId, NoLock);
    TransactionId const maker = FindMaker(catalog, relations);
    table_close(catalog, TransactionIdIsValid(maker) ? ShareRowExclusiveLock : NoLock);
    if (!TransactionIdIsValid(maker)) return true;
    XactLockTableWait(maker, nullptr, nullptr, XLTW_None);  // without the lock: it may want to write there before it ends
  }
}

void GiveNamesBack() { UnlockRelationOid(RelationRelationId, ShareRowExclusiveLock); }

}  // namespace ddl
}  // namespace dadbs::pg
