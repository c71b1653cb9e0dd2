/*
 * sharing.cpp: which relations are shared (sharing.h), answered by a cache of each process.
 *
 * State: one entry per relation and per schema asked about, in TopMemoryContext. Relcache and syscache callbacks
 * remove entries; `cache_changes` counts these, so that an answer found while the catalogs changed is not kept. A
 * change of the member's configuration (configure_requests, database) empties everything. Nothing here is shared
 * between processes and nothing survives one, so a crash leaves nothing.
 *
 * All of it is Postgres code: no C++ object with a destructor lives across a call that may ereport, but for the one
 * place that asks member.h, behind Enter().
 */
#include "dadbs/pg/member.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/sharing.h"
#include "sharing_expressions.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace {

enum class Answer : uint8 { kNotAsked = 0, kNo, kYes };

Answer ToAnswer(bool yes) { return yes ? Answer::kYes : Answer::kNo; }

struct RelationEntry {
  Oid relation;  // key
  Answer shared;
  Answer has_key;
  Answer needs_replay;
  Answer has_contracts;
  bool watches_types;  // some column's type is not built in: needs_replay may change with it
};

struct SchemaEntry {
  Oid schema;  // key
  Answer shared;
};

HTAB* relations = nullptr;
HTAB* schemas = nullptr;
uint64 cache_changes = 0;

// What the configuration was when the caches were filled.
Oid cached_database = InvalidOid;
uint32 cached_configuration = 0;

// The schemas of the genesis; kept as plain memory because Postgres code reads them.
struct SchemaList {
  bool everything;  // all user schemas
  int count;
  char (*names)[NAMEDATALEN];
  int excluded_count;  // while joining: what cannot be shared because it holds something of this member's
  char (*excluded)[NAMEDATALEN];
};
SchemaList schema_list = {};

char (*CopyNames(const std::vector<std::string>& names))[NAMEDATALEN] {
  auto* copy =
      static_cast<char(*)[NAMEDATALEN]>(MemoryContextAllocZero(TopMemoryContext, (names.size() + 1) * NAMEDATALEN));
  for (size_t i = 0; i < names.size(); i++) strlcpy(copy[i], names[i].c_str(), NAMEDATALEN);
  return copy;
}

void LoadSchemaList() {
  Enter([] {
    SchemaList list = {};
    if (const Member* member = CurrentMember()) {
      list.everything = member->genesis.schemas.empty();
      list.count = static_cast<int>(member->genesis.schemas.size());
      list.names = CopyNames(member->genesis.schemas);
    } else {
      list.everything = true;
      if (std::optional<MemberConfig> config = LoadMemberConfig()) {
        list.excluded_count = static_cast<int>(config->occupied_schemas.size());
        list.excluded = CopyNames(config->occupied_schemas);
      }
    }
    if (schema_list.names) pfree(schema_list.names);
    if (schema_list.excluded) pfree(schema_list.excluded);
    schema_list = list;
  });
}

void Empty(HTAB* table) {
  if (table == nullptr) return;
  HASH_SEQ_STATUS scan;
  hash_seq_init(&scan, table);
  while (void* entry = hash_seq_search(&scan)) hash_search(table, entry, HASH_REMOVE, nullptr);
}

void OnRelationChange(Datum, Oid relation) {
  cache_changes++;
  if (relation == InvalidOid)
    Empty(relations);
  else if (relations != nullptr)
    hash_search(relations, &relation, HASH_REMOVE, nullptr);
}

void OnSchemaChange(Datum, int, uint32) {
  cache_changes++;
  Empty(relations);
  Empty(schemas);
}

// Types and constraints (each temporary table has some): what a domain lets in may have changed.
void OnTypeChange(Datum, int, uint32) {
  cache_changes++;
  HASH_SEQ_STATUS scan;
  hash_seq_init(&scan, relations);
  while (auto* entry = static_cast<RelationEntry*>(hash_seq_search(&scan)))
    if (entry->watches_types) entry->needs_replay = Answer::kNotAsked;
}

HTAB* MakeTable(const char* name, Size entry_size) {
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = entry_size;
  control.hcxt = TopMemoryContext;
  return hash_create(name, 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void PrepareCaches() {
  if (relations == nullptr) {
    HTAB* const made = MakeTable("dadbs shared relations", sizeof(RelationEntry));
    schemas = MakeTable("dadbs shared schemas", sizeof(SchemaEntry));
    CacheRegisterRelcacheCallback(OnRelationChange, 0);
    relations = made;
    CacheRegisterSyscacheCallback(NAMESPACEOID, OnSchemaChange, 0);
    CacheRegisterSyscacheCallback(TYPEOID, OnTypeChange, 0);
    CacheRegisterSyscacheCallback(CONSTROID, OnTypeChange, 0);
  }
  uint32 const configuration = pg_atomic_read_u32(&shared->configure_requests);
  Oid const database = pg_atomic_read_u32(&shared->database);
  if (database == cached_database && configuration == cached_configuration) return;
  OnSchemaChange(0, 0, 0);
  LoadSchemaList();
  cached_database = database;
  cached_configuration = configuration;
}

bool IsNamed(const char* name, const char (*names)[NAMEDATALEN], int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

bool IsUserSchemaName(const char* name) {
  return strncmp(name, "pg_", 3) != 0 && strcmp(name, "information_schema") != 0 && strcmp(name, "dadbs") != 0 &&
         strcmp(name, "dadbs_internal") != 0 && strcmp(name, "dadbs_kept") != 0 && strcmp(name, kContractSchema) != 0;
}

// dadbs_internal.local_relation: a user_catalog_table, so that capture can read it as of the past.
bool IsNamedLocal(const char* schema, const char* name) {
  Oid const internal = get_namespace_oid("dadbs_internal", true);
  Oid const table = OidIsValid(internal) ? get_relname_relid("local_relation", internal) : InvalidOid;
  if (!OidIsValid(table)) return false;
  Relation const list = table_open(table, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(schema));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
  keys[0].sk_collation = keys[1].sk_collation = DEFAULT_COLLATION_OID;
  SysScanDesc const scan = systable_beginscan(list, InvalidOid, false, nullptr, 2, keys);
  bool const found = HeapTupleIsValid(systable_getnext(scan));
  systable_endscan(scan);
  table_close(list, AccessShareLock);
  return found;
}

bool LookUpRelation(Oid relation) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_class const form = *reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  if (form.relkind != RELKIND_RELATION && form.relkind != RELKIND_PARTITIONED_TABLE) return false;
  if (form.relpersistence != RELPERSISTENCE_PERMANENT || !IsSharedSchema(form.relnamespace)) return false;
  char* const schema = get_namespace_name(form.relnamespace);
  bool const local = IsNamedLocal(schema, NameStr(form.relname));
  pfree(schema);
  return !local;
}

// The entry of a relation whose sharing is known; null where it can't be asked. It may be gone after the next catalog
// access.
RelationEntry* EntryOf(Oid relation) {
  if (!SharingActive()) return nullptr;
  PrepareCaches();
  auto* entry = static_cast<RelationEntry*>(hash_search(relations, &relation, HASH_FIND, nullptr));
  if (entry != nullptr) return entry;
  if (!IsTransactionState()) return nullptr;
  bool yes;
  uint64 before;
  do {
    before = cache_changes;
    yes = LookUpRelation(relation);
  } while (before != cache_changes);
  bool found;
  entry = static_cast<RelationEntry*>(hash_search(relations, &relation, HASH_ENTER, &found));
  *entry = RelationEntry{relation, ToAnswer(yes), Answer::kNotAsked, Answer::kNotAsked, Answer::kNotAsked, false};
  return entry;
}

bool HasUserType(Relation relation) {
  for (int i = 0; i < RelationGetNumberOfAttributes(relation); i++)
    if (TupleDescAttr(RelationGetDescr(relation), i)->atttypid >= FirstNormalObjectId) return true;
  return false;
}

// A question about an open relation, asked once: `ask` opens it without a lock of its own (the caller has one, or
// decodes).
bool Ask(Oid relation, Answer RelationEntry::*field, bool (*ask)(Relation)) {
  RelationEntry* entry = EntryOf(relation);
  if (entry == nullptr) return false;
  if (entry->*field != Answer::kNotAsked) return entry->*field == Answer::kYes;
  uint64 const before = cache_changes;
  Relation const open = RelationIdGetRelation(relation);
  if (!RelationIsValid(open)) return false;
  bool const yes = ask(open);
  bool const watches = HasUserType(open);
  RelationClose(open);
  if (before == cache_changes && (entry = EntryOf(relation)) != nullptr) {
    entry->*field = ToAnswer(yes);
    entry->watches_types = watches;
  }
  return yes;
}

bool AskHasKey(Relation relation) {
  // A partitioned table's rows are its partitions'; the check is made there, and of its own definition here.
  return OidIsValid(KeyIndexOf(relation));
}

// ---- objects

// The table that an object belongs to, by a column of its catalog row.
Oid OwnerInCatalog(Oid catalog, Oid index, AttrNumber oid_column, AttrNumber relation_column, Oid object) {
  Relation const rel = table_open(catalog, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
  SysScanDesc const scan = systable_beginscan(rel, index, true, nullptr, 1, &key);
  HeapTuple const tuple = systable_getnext(scan);
  bool isnull;
  Oid const owner = HeapTupleIsValid(tuple)
                        ? DatumGetObjectId(heap_getattr(tuple, relation_column, RelationGetDescr(rel), &isnull))
                        : InvalidOid;
  systable_endscan(scan);
  table_close(rel, AccessShareLock);
  return owner;
}

bool IsSharedClass(Oid relation) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_class const form = *reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  switch (form.relkind) {
    case RELKIND_RELATION:
    case RELKIND_PARTITIONED_TABLE: return IsSharedRelation(relation);
    case RELKIND_INDEX:
    case RELKIND_PARTITIONED_INDEX: return IsSharedRelation(IndexGetRelation(relation, true));
    case RELKIND_SEQUENCE: {
      Oid table;
      int32 column;
      if (sequenceIsOwned(relation, DEPENDENCY_AUTO, &table, &column) ||
          sequenceIsOwned(relation, DEPENDENCY_INTERNAL, &table, &column))
        return IsSharedRelation(table);
      break;
    }
    default: break;
  }
  return form.relpersistence == RELPERSISTENCE_PERMANENT && IsSharedSchema(form.relnamespace);
}

bool IsSharedType(Oid type) {
  Oid const relation = get_typ_typrelid(type);
  if (OidIsValid(relation)) return IsSharedClass(relation);
  HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) return false;
  Oid const schema = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typnamespace;
  ReleaseSysCache(tuple);
  return IsSharedSchema(schema);
}

bool IsSharedConstraint(Oid constraint) {
  HeapTuple const tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
  if (!HeapTupleIsValid(tuple)) return false;
  FormData_pg_constraint const form = *reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
  ReleaseSysCache(tuple);
  return OidIsValid(form.conrelid) ? IsSharedRelation(form.conrelid) : IsSharedType(form.contypid);
}

// ---- replica identity

bool AllColumnsNotNull(Relation relation, Form_pg_index index) {
  for (int i = 0; i < index->indnkeyatts; i++) {
    AttrNumber const column = index->indkey.values[i];
    if (column <= 0 || !TupleDescAttr(RelationGetDescr(relation), column - 1)->attnotnull) return false;
  }
  return true;
}

// As RelationGetIndexList counts a primary key: valid and immediate. It fills rd_pkindex.
Oid PrimaryKeyOf(Relation relation) {
  list_free(RelationGetIndexList(relation));
  return relation->rd_pkindex;
}

Oid FirstFittingIndex(Relation relation) {
  Oid best = InvalidOid;
  char best_name[NAMEDATALEN] = "";
  List* const indexes = RelationGetIndexList(relation);
  ListCell* cell;
  foreach (cell, indexes) {
    HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
    if (!HeapTupleIsValid(tuple)) continue;
    auto const index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    bool const fits = index->indisunique && index->indimmediate && index->indisvalid &&
                      heap_attisnull(tuple, Anum_pg_index_indpred, nullptr) &&
                      heap_attisnull(tuple, Anum_pg_index_indexprs, nullptr) && AllColumnsNotNull(relation, index);
    ReleaseSysCache(tuple);
    char* const name = fits ? get_rel_name(lfirst_oid(cell)) : nullptr;
    if (name != nullptr && (!OidIsValid(best) || strcmp(name, best_name) < 0)) {
      best = lfirst_oid(cell);
      strlcpy(best_name, name, NAMEDATALEN);
    }
  }
  list_free(indexes);
  return best;
}

// ---- statements without a key

constexpr int kNestedCallsMax = 100;

int expression_depth = 0;
int function_depth = 0, query_depth = 0;  // within expressions
ExecutorStart_hook_type previous_executor_start = nullptr;
ExecutorEnd_hook_type previous_executor_end = nullptr;

void RefuseWithoutKey(Oid relation, CmdType command) {
  const char* const what = command == CMD_DELETE ? "delete from" : command == CMD_MERGE ? "merge into" : "update";
  Relation const open = RelationIdGetRelation(relation);
  bool const full = open->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
  RelationClose(open);
  ereport(
      ERROR,
      (errcode(kErrState), errmsg("cannot %s shared table \"%s\": it has no key", what, get_rel_name(relation)),
       full ? errdetail("REPLICA IDENTITY FULL does not identify rows: equal values need not be the same.")
            : errdetail("The members find rows by a primary key, or by a unique, immediate, complete index "
                        "over NOT NULL columns."),
       errhint("Add a primary key: ALTER TABLE %s ADD PRIMARY KEY (...).",
               quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation)))));
}

void CheckTargets(PlannedStmt* statement, Plan* plan) {
  if (plan == nullptr || !IsA(plan, ModifyTable)) return;
  auto const modify = reinterpret_cast<ModifyTable*>(plan);
  if (modify->operation == CMD_INSERT && modify->onConflictAction != ONCONFLICT_UPDATE) return;
  ListCell* cell;
  foreach (cell, modify->resultRelations) {
    Oid const relation = rt_fetch(lfirst_int(cell), statement->rtable)->relid;
    if (IsSharedRelation(relation) && !HasKey(relation)) RefuseWithoutKey(relation, modify->operation);
  }
}

void RaiseNestedTooDeeply() {
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("functions call each other more than %d deep in an expression of a shared table", kNestedCallsMax)));
}

void RefuseInExpression(PlannedStmt* statement) {
  bool reads = statement->commandType != CMD_SELECT;
  ListCell* cell;
  foreach (cell, statement->rtable) reads = reads || lfirst_node(RangeTblEntry, cell)->rtekind == RTE_RELATION;
  if (reads)
    ereport(ERROR, (errcode(kErrNotSupported), errmsg("an expression of a shared table must not read or write tables"),
                    errdetail("Constraints, domains, generated columns and indexes depend on the row alone, or the "
                              "members would decide differently.")));
}

// Functions are counted by themselves (BeginFunction); here what they run.
void BeginQuery(PlannedStmt* statement) {
  RefuseInExpression(statement);
  if (query_depth >= kNestedCallsMax) RaiseNestedTooDeeply();
  query_depth++;
}

void OnExecutorEnd(QueryDesc* query) {
  if (query_depth > 0) query_depth--;
  if (previous_executor_end)
    previous_executor_end(query);
  else
    standard_ExecutorEnd(query);
}

void OnExecutorStart(QueryDesc* query, int eflags) {
  PlannedStmt* const statement = query->plannedstmt;
  if (expression_depth > 0) BeginQuery(statement);
  if (statement->resultRelations != NIL && !(eflags & EXEC_FLAG_EXPLAIN_ONLY) && SharingActive()) {
    CheckTargets(statement, statement->planTree);
    ListCell* cell;
    if (statement->hasModifyingCTE)
      foreach (cell, statement->subplans) CheckTargets(statement, static_cast<Plan*>(lfirst(cell)));
  }
  if (previous_executor_start)
    previous_executor_start(query, eflags);
  else
    standard_ExecutorStart(query, eflags);
}

}  // namespace

bool SharingActive() {
  if (shared == nullptr) return false;
  Oid const database = pg_atomic_read_u32(&shared->database);
  return OidIsValid(database) && database == MyDatabaseId;
}

bool IsSharedSchemaName(const char* name) {
  if (!SharingActive() || !IsUserSchemaName(name)) return false;
  if (strcmp(name, kContractsSchema) == 0) return true;
  PrepareCaches();
  if (IsNamed(name, schema_list.excluded, schema_list.excluded_count)) return false;
  return schema_list.everything || IsNamed(name, schema_list.names, schema_list.count);
}

bool IsSharedSchema(Oid schema) {
  if (!SharingActive()) return false;
  PrepareCaches();
  auto* entry = static_cast<SchemaEntry*>(hash_search(schemas, &schema, HASH_FIND, nullptr));
  if (entry != nullptr) return entry->shared == Answer::kYes;
  if (!IsTransactionState()) return false;
  uint64 const before = cache_changes;
  char* const name = get_namespace_name(schema);
  if (name == nullptr) return false;
  bool const yes = IsSharedSchemaName(name);
  pfree(name);
  if (before == cache_changes) {
    bool found;
    entry = static_cast<SchemaEntry*>(hash_search(schemas, &schema, HASH_ENTER, &found));
    entry->shared = ToAnswer(yes);
  }
  return yes;
}

bool IsSharedRelation(Oid relation) {
  const RelationEntry* const entry = EntryOf(relation);
  return entry != nullptr && entry->shared == Answer::kYes;
}

bool IsSharedObject(const ObjectAddress& object) {
  if (!SharingActive() || !IsTransactionState()) return false;
  Oid const id = object.objectId;
  switch (object.classId) {
    case RelationRelationId: return IsSharedClass(id);
    case NamespaceRelationId: return IsSharedSchema(id);
    case TypeRelationId: return IsSharedType(id);
    case ConstraintRelationId: return IsSharedConstraint(id);
    case TriggerRelationId:
      return IsSharedClass(
          OwnerInCatalog(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid, id));
    case RewriteRelationId:
      return IsSharedClass(
          OwnerInCatalog(RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class, id));
    case PolicyRelationId:
      return IsSharedClass(
          OwnerInCatalog(PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid, id));
    case AttrDefaultRelationId:
      return IsSharedClass(OwnerInCatalog(AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid,
                                          Anum_pg_attrdef_adrelid, id));
    default: break;
  }
  if (!is_objectclass_supported(object.classId)) return false;
  AttrNumber const column = get_object_attnum_namespace(object.classId);
  int const cache = get_object_catcache_oid(object.classId);
  if (column == InvalidAttrNumber || cache == -1) return false;
  HeapTuple const tuple = SearchSysCache1(cache, ObjectIdGetDatum(id));
  if (!HeapTupleIsValid(tuple)) return false;
  bool isnull;
  Oid const schema = DatumGetObjectId(SysCacheGetAttr(cache, tuple, column, &isnull));
  ReleaseSysCache(tuple);
  return IsSharedSchema(schema);
}

Oid KeyIndexOf(Relation relation) { return RelationGetReplicaIndex(relation); }

bool HasKey(Oid relation) { return Ask(relation, &RelationEntry::has_key, AskHasKey); }

ReplicaIdentity WantedReplicaIdentity(Relation relation) {
  if (OidIsValid(PrimaryKeyOf(relation))) return {REPLICA_IDENTITY_DEFAULT, InvalidOid};
  Oid const index = FirstFittingIndex(relation);
  return {OidIsValid(index) ? REPLICA_IDENTITY_INDEX : REPLICA_IDENTITY_DEFAULT, index};
}

bool HasWantedReplicaIdentity(Relation relation) {
  ReplicaIdentity const wanted = WantedReplicaIdentity(relation);
  if (relation->rd_rel->relreplident != wanted.type) return false;
  return wanted.type != REPLICA_IDENTITY_INDEX || RelationGetReplicaIndex(relation) == wanted.index;
}

namespace {

Oid FunctionOfTriggers(const char* name) {
  Oid const schema = get_namespace_oid("dadbs", true);
  if (!OidIsValid(schema)) return InvalidOid;
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name), PointerGetDatum(buildoidvector(nullptr, 0)),
                         ObjectIdGetDatum(schema));
}

bool HasTriggers(Relation relation, Oid (*marker_of)()) {
  if (relation->trigdesc == nullptr) return false;
  Oid const marker = marker_of();
  // From here on no catalog is read: the relation cache may free its triggers whenever it hears of a change.
  const TriggerDesc* const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++) {
    const Trigger& trigger = triggers->triggers[i];
    bool const on = trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger.tgenabled == TRIGGER_FIRES_ALWAYS;
    if (on && trigger.tgfoid == marker && OidIsValid(marker)) return true;
  }
  return false;
}

bool HasEither(Relation relation) { return HasContractTriggers(relation) || HasProtection(relation); }

}  // namespace

Oid ContractMarker() { return FunctionOfTriggers("contract"); }
Oid ProtectionMarker() { return FunctionOfTriggers("protected_table"); }

bool HasContractTriggers(Relation relation) { return HasTriggers(relation, ContractMarker); }
bool HasProtection(Relation relation) { return HasTriggers(relation, ProtectionMarker); }
bool RelationHasContracts(Oid relation) { return Ask(relation, &RelationEntry::has_contracts, HasEither); }

bool RelationNeedsReplay(Oid relation) { return Ask(relation, &RelationEntry::needs_replay, HasUnsafeExpressions); }

void EnterExpression() { expression_depth++; }
void LeaveExpression() {
  if (expression_depth > 0) expression_depth--;
}
void ResetExpressions() {
  expression_depth = 0;
  query_depth = function_depth = 0;
}

void BeginFunction(bool of_definition) {
  if (function_depth >= kNestedCallsMax) RaiseNestedTooDeeply();
  function_depth++;
  if (of_definition) EnterExpression();
}

void EndFunction(bool of_definition) {
  if (function_depth > 0) function_depth--;
  if (of_definition) LeaveExpression();
}

bool InsideFunction() { return function_depth > 0; }

void InitSharingHooks() {
  previous_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = OnExecutorStart;
  previous_executor_end = ExecutorEnd_hook;
  ExecutorEnd_hook = OnExecutorEnd;
}

}  // namespace dadbs::pg
