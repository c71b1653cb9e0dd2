/*
 * count.cpp: what the open transaction changed, by Postgres's own transactional statistics.
 *
 * pgstat counts every row that is inserted, updated or deleted per relation and subtransaction, and forgets what a
 * savepoint rolled back. At PRE_COMMIT all surviving subtransactions are merged into level 1: its list is what capture
 * has to find in the WAL, relation by relation. So nothing is added to the executor's paths, and a transaction that did
 * not write costs one pointer. TRUNCATE sets a relation's counts to zero, here and in capture.
 *
 * The relations that capture may meet without being told are listed too, as ignored: those dropped again in the same
 * transaction, local ones, dadbs's own. A change of any other relation means that somebody switched track_counts off.
 */
#include <algorithm>

#include "hold_internal.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/pgstat_internal.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace {

enum class Class : uint8 { kInvisible, kTemporary, kIgnored, kShared, kLocal, kLargeObject };

struct Counted {
  Oid relation;
  Class what;
  bool truncated, without_key, needs_replay;
  uint64 inserted, updated, deleted;
};

bool Changed(const PgStat_TableXactStatus& t) {
  return t.tuples_inserted != 0 || t.tuples_updated != 0 || t.tuples_deleted != 0 || t.truncdropped;
}

// Of this subtransaction and those around it; one list at PRE_COMMIT. False from `visit` ends it.
template <class Visit>
void ForEachCounted(Visit&& visit) {
  const PgStat_SubXactStatus* level = pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel());
  for (; level != nullptr; level = level->prev)
    for (const PgStat_TableXactStatus* t = level->first; t != nullptr; t = t->next)
      if (!visit(*t)) return;
}

// Postgres code: inside Call().
Class Classify(Oid relation) {
  if (relation == LargeObjectRelationId || relation == LargeObjectMetadataRelationId) return Class::kLargeObject;
  if (IsCatalogRelationOid(relation)) return Class::kInvisible;
  if (IsSharedRelation(relation)) return Class::kShared;
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return Class::kIgnored;  // made or emptied, then dropped: nothing is left of it
  Form_pg_class const form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  Class what = Class::kLocal;
  if (form->relkind == RELKIND_TOASTVALUE) {
    what = Class::kInvisible;
  } else if (form->relpersistence == RELPERSISTENCE_TEMP) {
    what = Class::kTemporary;
  } else if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE) {
    what = Class::kIgnored;  // a materialized view: each member refreshes its own
  } else {
    const char* const schema = get_namespace_name(form->relnamespace);
    if (schema == nullptr || strcmp(schema, "dadbs_internal") == 0 || strcmp(schema, "dadbs") == 0)
      what = Class::kIgnored;
  }
  ReleaseSysCache(tuple);
  return what;
}

Counted CountOne(const PgStat_TableXactStatus& t) {
  Counted c = {};
  c.relation = t.parent->t_id;
  c.what = Classify(c.relation);
  c.truncated = t.truncdropped;
  c.inserted = static_cast<uint64>(t.tuples_inserted);
  c.updated = static_cast<uint64>(t.tuples_updated);
  c.deleted = static_cast<uint64>(t.tuples_deleted);
  if (c.what != Class::kShared) return c;
  c.without_key = c.updated + c.deleted != 0 && !HasKey(c.relation);
  c.needs_replay = c.truncated || (c.inserted + c.updated != 0 && RelationNeedsReplay(c.relation)) ||
                   (c.inserted + c.updated + c.deleted != 0 && RelationHasContracts(c.relation));
  return c;
}

struct Raw {
  Counted* rows = nullptr;
  int count = 0;
};

Raw CountRaw() {
  Raw raw;
  int length = 0;
  ForEachCounted([&](const PgStat_TableXactStatus&) { return ++length, true; });
  raw.rows = static_cast<Counted*>(palloc(sizeof(Counted) * Max(length, 1)));
  ForEachCounted([&](const PgStat_TableXactStatus& t) {
    if (Changed(t)) raw.rows[raw.count++] = CountOne(t);
    return true;
  });
  return raw;
}

void Add(const Counted& c, TransactionChanges* out) {
  if (c.what == Class::kLargeObject) out->large_objects = true;
  if (c.what == Class::kTemporary) out->temporary = true;
  if (c.what == Class::kInvisible || c.what == Class::kTemporary || c.what == Class::kLargeObject) return;
  if (c.what == Class::kLocal && out->local == InvalidOid) out->local = c.relation;
  if (c.what == Class::kShared) {
    out->shared = true;
    out->shared_rows += c.inserted + c.updated + c.deleted;
    out->needs_replay |= c.needs_replay;
    if (c.without_key) out->without_key = c.relation;
  }
  out->relations.push_back(
      {c.relation, c.what != Class::kShared, c.truncated, c.inserted, c.updated, c.deleted});
}

// What this transaction did that rolls back with its subtransactions.
class SubtransactionCounter {
 public:
  void Add() {
    int const level = GetCurrentTransactionNestLevel();
    if (levels_.empty() || levels_.back().level != level) levels_.push_back({level, 0});
    levels_.back().count++;
  }
  uint32 Sum() const {
    uint32 sum = 0;
    for (const AtLevel& l : levels_) sum += l.count;
    return sum;
  }
  void EndSubtransaction(bool committed) noexcept {
    int const level = GetCurrentTransactionNestLevel();
    while (!levels_.empty() && levels_.back().level >= level) {
      AtLevel const ended = levels_.back();
      levels_.pop_back();
      if (!committed) continue;
      if (!levels_.empty() && levels_.back().level == level - 1) {
        levels_.back().count += ended.count;
      } else {
        levels_.push_back({level - 1, ended.count});  // room: one was just taken off
      }
      break;
    }
  }
  void Clear() noexcept { levels_.clear(); }

 private:
  struct AtLevel {
    int level;
    uint32 count;
  };
  std::vector<AtLevel> levels_;  // by nest level, lowest first; levels in between have none
};
SubtransactionCounter emitted;            // changes that travel as 'C' messages
SubtransactionCounter local_definitions;  // statements that wrote catalogs, and do not travel

bool foreign_written = false;  // in this transaction

bool WritesForeignTable(const PlannedStmt* statement) {
  ListCell* cell;
  foreach(cell, statement->resultRelations)
    if (rt_fetch(lfirst_int(cell), statement->rtable)->relkind == RELKIND_FOREIGN_TABLE) return true;
  return false;
}

bool WritesSharedTable(const PlannedStmt* statement) {
  ListCell* cell;
  foreach(cell, statement->resultRelations)
    if (IsSharedRelation(rt_fetch(lfirst_int(cell), statement->rtable)->relid)) return true;
  return false;
}

void RefuseForeign() {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("cannot write shared and foreign tables in one transaction"),
                  errdetail("The foreign server would commit before the group has decided."),
                  errhint("Use two transactions.")));
}

}  // namespace

void CheckForeignWrites(const PlannedStmt* statement) {
  if (statement->resultRelations == NIL) return;
  if (WritesForeignTable(statement)) {
    foreign_written = true;
    if (Enter([] { return TransactionHasSharedChanges(); })) RefuseForeign();
  }
  if (foreign_written && WritesSharedTable(statement)) RefuseForeign();
}

bool AnyRowsCounted() {
  return Call([] {
    bool any = false;
    ForEachCounted([&](const PgStat_TableXactStatus& t) {
      any = !IsCatalogRelationOid(t.parent->t_id);
      return !any;
    });
    return any;
  });
}

TransactionChanges CountChanges() {
  Raw const raw = Call([] { return CountRaw(); });
  TransactionChanges out;
  for (int i = 0; i < raw.count; i++) Add(raw.rows[i], &out);
  return out;
}

void AddEmitted() { emitted.Add(); }

uint32 EmittedChanges() { return emitted.Sum(); }

uint64_t CountCatalogRows() {
  uint64 rows = 0;
  ForEachCounted([&](const PgStat_TableXactStatus& t) {
    if (IsCatalogRelationOid(t.parent->t_id)) rows += t.tuples_inserted + t.tuples_updated + t.tuples_deleted;
    return true;
  });
  return rows;
}

void NoteLocalDefinition() { local_definitions.Add(); }

bool AnyLocalDefinition() { return local_definitions.Sum() != 0; }

void EndSubtransactionOfCounts(bool committed) noexcept {
  emitted.EndSubtransaction(committed);
  local_definitions.EndSubtransaction(committed);
}

void ForgetCounts() noexcept {
  emitted.Clear();
  local_definitions.Clear();
  foreign_written = false;
}

}  // namespace dadbs::pg
