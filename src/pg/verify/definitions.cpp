/*
 * definitions.cpp: keeps what definitions leave in the catalogs, for dadbs.verify_definitions (sql/parts/45_definitions.sql).
 *
 * Who executes a definition at its position writes catalog rows in that transaction, and no others of its rows are interesting: so the
 * catalogs that hold definitions are read from beginning to end for row versions that this transaction has made or ended (a few
 * thousand rows a millisecond; no index knows xmin). What they belong to is kept by SQL in the same transaction. The same
 * reading finds what was dropped. Damage elsewhere is not looked at, so it is not taken over as what the chain says.
 *
 * It runs in a subtransaction of its own: an error in it (a catalog that is damaged, memory, stack) leaves a note that definitions cannot
 * be compared any more, never a verdict. Texts are made of expressions of limited size only, so that neither the stack nor time
 * are somebody else's to use up; digests of catalog rows need neither.
 */
#include "dadbs/pg/definitions.h"

#include "../ddl/internal.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/pause.h"
#include "utility.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dadbs_is_shared_object);
PG_FUNCTION_INFO_V1(dadbs_execute_locally);
PG_FUNCTION_INFO_V1(dadbs_take_turn);
PG_FUNCTION_INFO_V1(dadbs_move_sequence);
PG_FUNCTION_INFO_V1(dadbs_sequence_next);
PG_FUNCTION_INFO_V1(dadbs_column_extreme);
}

namespace dadbs::pg {
namespace {

constexpr int64 kSequencesEveryUs = 10'000'000;

core::Prefix noted{0};  // of sequences; the apply worker's
int64 noted_at_us = 0;

// A catalog, and the address of what a row of it defines: the columns that hold the object, the part, and the relation that it belongs
// to (0: none), its name and the schema of that.
struct Source {
  Oid catalog;
  Oid class_id;
  AttrNumber object, part, relation, name, schema;
};

const Source kSources[] = {
    {RelationRelationId, RelationRelationId, Anum_pg_class_oid, 0, Anum_pg_class_oid, Anum_pg_class_relname, Anum_pg_class_relnamespace},
    {AttributeRelationId, RelationRelationId, Anum_pg_attribute_attrelid, Anum_pg_attribute_attnum, Anum_pg_attribute_attrelid, Anum_pg_attribute_attname, 0},
    {AttrDefaultRelationId, RelationRelationId, Anum_pg_attrdef_adrelid, Anum_pg_attrdef_adnum, Anum_pg_attrdef_adrelid, 0, 0},
    {IndexRelationId, IndexRelationId, Anum_pg_index_indexrelid, 0, Anum_pg_index_indrelid, 0, 0},
    {SequenceRelationId, RelationRelationId, Anum_pg_sequence_seqrelid, 0, Anum_pg_sequence_seqrelid, 0, 0},
    {InheritsRelationId, RelationRelationId, Anum_pg_inherits_inhrelid, 0, Anum_pg_inherits_inhrelid, 0, 0},
    {RewriteRelationId, RelationRelationId, Anum_pg_rewrite_ev_class, 0, Anum_pg_rewrite_ev_class, 0, 0},
    {RewriteRelationId, RewriteRelationId, Anum_pg_rewrite_oid, 0, Anum_pg_rewrite_ev_class, Anum_pg_rewrite_rulename, 0},
    {ConstraintRelationId, ConstraintRelationId, Anum_pg_constraint_oid, 0, Anum_pg_constraint_conrelid, Anum_pg_constraint_conname, 0},
    {ConstraintRelationId, TypeRelationId, Anum_pg_constraint_contypid, 0, 0, 0, 0},
    {TriggerRelationId, TriggerRelationId, Anum_pg_trigger_oid, 0, Anum_pg_trigger_tgrelid, Anum_pg_trigger_tgname, 0},
    {PolicyRelationId, PolicyRelationId, Anum_pg_policy_oid, 0, Anum_pg_policy_polrelid, Anum_pg_policy_polname, 0},
    {ProcedureRelationId, ProcedureRelationId, Anum_pg_proc_oid, 0, 0, Anum_pg_proc_proname, Anum_pg_proc_pronamespace},
    {AggregateRelationId, ProcedureRelationId, Anum_pg_aggregate_aggfnoid, 0, 0, 0, 0},
    {TypeRelationId, TypeRelationId, Anum_pg_type_oid, 0, 0, Anum_pg_type_typname, Anum_pg_type_typnamespace},
    {EnumRelationId, TypeRelationId, Anum_pg_enum_enumtypid, 0, 0, 0, 0},
    {RangeRelationId, TypeRelationId, Anum_pg_range_rngtypid, 0, 0, 0, 0},
    {OperatorRelationId, OperatorRelationId, Anum_pg_operator_oid, 0, 0, Anum_pg_operator_oprname, Anum_pg_operator_oprnamespace},
    {StatisticExtRelationId, StatisticExtRelationId, Anum_pg_statistic_ext_oid, 0, 0, Anum_pg_statistic_ext_stxname, Anum_pg_statistic_ext_stxnamespace},
    {NamespaceRelationId, NamespaceRelationId, Anum_pg_namespace_oid, 0, 0, Anum_pg_namespace_nspname, 0},
};

// Postgres code: everything from here to KeepNow.

struct Touched {
  Datum *classes, *objects, *parts, *relations, *names, *schemas;
  int count, room;
};

void Add(Touched* touched, Oid class_id, Oid object, int part, Oid relation, const char* name, Oid schema) {
  if (!OidIsValid(object)) return;
  if (touched->count == touched->room) {
    touched->room = touched->room == 0 ? 64 : touched->room * 2;
    Size const size = sizeof(Datum) * touched->room;
    for (Datum** column : {&touched->classes, &touched->objects, &touched->parts, &touched->relations, &touched->names, &touched->schemas})
      *column = static_cast<Datum*>(*column == nullptr ? palloc(size) : repalloc(*column, size));
  }
  int const at = touched->count++;
  touched->classes[at] = ObjectIdGetDatum(class_id);
  touched->objects[at] = ObjectIdGetDatum(object);
  touched->parts[at] = Int32GetDatum(part);
  touched->relations[at] = ObjectIdGetDatum(relation);
  touched->names[at] = CStringGetTextDatum(name);
  touched->schemas[at] = ObjectIdGetDatum(schema);
}

// This transaction has made the row version, or ended it.
bool IsOurs(HeapTupleHeader row, TransactionId top) {
  TransactionId const made = HeapTupleHeaderGetRawXmin(row);
  if (TransactionIdFollowsOrEquals(made, top) && TransactionIdIsCurrentTransactionId(made)) return true;
  if ((row->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(row->t_infomask)) return false;
  TransactionId const ended = HeapTupleHeaderGetRawXmax(row);
  return TransactionIdFollowsOrEquals(ended, top) && TransactionIdIsCurrentTransactionId(ended);
}

Datum Column(HeapTuple row, TupleDesc shape, AttrNumber column) {
  bool null = false;
  Datum const value = heap_getattr(row, column, shape, &null);
  return null ? Datum(0) : value;
}

void ReadCatalog(const Source& source, TransactionId top, Touched* touched) {
  Relation const catalog = table_open(source.catalog, AccessShareLock);
  TupleDesc const shape = RelationGetDescr(catalog);
  SysScanDesc const scan = systable_beginscan(catalog, InvalidOid, false, SnapshotAny, 0, nullptr);
  for (HeapTuple row; HeapTupleIsValid(row = systable_getnext(scan));) {
    if (!IsOurs(row->t_data, top)) continue;
    int const part = source.part == 0 ? 0 : DatumGetInt16(Column(row, shape, source.part));
    Oid const relation = source.relation == 0 ? InvalidOid : DatumGetObjectId(Column(row, shape, source.relation));
    Datum const named = source.name == 0 ? Datum(0) : Column(row, shape, source.name);
    const char* const name = named == 0 ? "" : NameStr(*DatumGetName(named));
    Oid const schema = source.schema == 0 ? InvalidOid : DatumGetObjectId(Column(row, shape, source.schema));
    if (part >= 0) Add(touched, source.class_id, DatumGetObjectId(Column(row, shape, source.object)), part, relation, name, schema);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

Datum Array(Datum* values, int count, Oid type) { return PointerGetDatum(construct_array(values, count, type, 4, true, TYPALIGN_INT)); }

SPIPlanPtr keep_plan = nullptr;

void KeepNow(core::Position position, bool bodies) {
  Touched touched = {};
  TransactionId const top = GetTopTransactionIdIfAny();
  if (!TransactionIdIsValid(top)) return;
  for (const Source& source : kSources) ReadCatalog(source, top, &touched);
  if (touched.count == 0) return;
  CommandCounterIncrement();
  PushActiveSnapshot(GetTransactionSnapshot());
  SPI_connect();
  if (keep_plan == nullptr) {
    Oid types[] = {OIDARRAYOID, OIDARRAYOID, INT4ARRAYOID, OIDARRAYOID, TEXTARRAYOID, OIDARRAYOID, INT8OID, INT4OID, BOOLOID};
    SPIPlanPtr const plan = SPI_prepare("SELECT dadbs_internal.keep_definitions($1, $2, $3, $4, $5, $6, $7, $8, $9)", 9, types);
    if (plan == nullptr || SPI_keepplan(plan) != 0) elog(ERROR, "could not plan to keep definitions");
    keep_plan = plan;
  }
  Datum values[] = {Array(touched.classes, touched.count, OIDOID),
                    Array(touched.objects, touched.count, OIDOID),
                    Array(touched.parts, touched.count, INT4OID),
                    Array(touched.relations, touched.count, OIDOID),
                    PointerGetDatum(construct_array(touched.names, touched.count, TEXTOID, -1, false, TYPALIGN_INT)),
                    Array(touched.schemas, touched.count, OIDOID),
                    Int64GetDatum(static_cast<int64>(position.height.value)),
                    Int32GetDatum(static_cast<int32>(position.index)),
                    BoolGetDatum(bodies)};
  if (SPI_execute_plan(keep_plan, values, nullptr, false, 0) != SPI_OK_SELECT) elog(ERROR, "could not keep definitions");
  SPI_finish();
  PopActiveSnapshot();
}

bool MustBeRaised(const PgError& e) { return ERRCODE_TO_CATEGORY(e.sqlstate()) == ERRCODE_OPERATOR_INTERVENTION; }

// False: rolled back; why.
bool Attempt(core::Position position, bool bodies, std::string* why) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  bool done = false;
  Call([&] {
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
  });
  try {
    Call([&] {
      MemoryContext const scratch = AllocSetContextCreate(CurrentMemoryContext, "dadbs definitions", ALLOCSET_DEFAULT_SIZES);
      MemoryContextSwitchTo(scratch);
      KeepNow(position, bodies);
      MemoryContextSwitchTo(context);
      MemoryContextDelete(scratch);
      ReleaseCurrentSubTransaction();
    });
    done = true;
  } catch (const PgError& e) {
    Call([&] { RollbackAndReleaseCurrentSubTransaction(); });
    if (MustBeRaised(e)) throw;
    *why = e.message();
  }
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return done;
}

// A transaction of this worker's own; what fails in it is logged.
template <class F>
void InTransaction(const char* what, F&& body) {
  try {
    Call([&] {
      StartTransactionCommand();
      PushActiveSnapshot(GetTransactionSnapshot());
      body();
      PopActiveSnapshot();
      CommitTransactionCommand();
    });
  } catch (const PgError& e) {
    Call([&] { AbortOutOfAnyTransaction(); });
    if (MustBeRaised(e)) throw;
    Call([&] { ereport(LOG, (errcode(e.sqlstate()), errmsg("dadbs apply: %s: %s", what, e.message().c_str()))); });
  }
}

// Not where the library is newer than what CREATE EXTENSION has made.
bool Installed() {
  Oid const schema = get_namespace_oid("dadbs_internal", true);
  return OidIsValid(schema) && OidIsValid(get_relname_relid("definition_gap", schema));
}

void Select(const char* query) {
  if (!Installed()) return;
  SPI_connect();
  if (SPI_execute(query, false, 0) != SPI_OK_SELECT) elog(ERROR, "SPI failed: %s", query);
  SPI_finish();
}

}  // namespace

void KeepDefinitions(core::Position position) {
  std::string why;
  if (!Call([] { return Installed(); })) return;
  if (Attempt(position, true, &why) || Attempt(position, false, &why)) return;
  Call([&] {
    ereport(LOG, (errmsg("dadbs apply: definitions of block %llu, position %u cannot be compared later: %s",
                         static_cast<unsigned long long>(position.height.value), position.index, why.c_str())));
    Datum values[] = {Int64GetDatum(static_cast<int64>(position.height.value)), Int32GetDatum(static_cast<int32>(position.index)), CStringGetTextDatum(why.c_str())};
    bool nulls[lengthof(values)] = {};
    InsertInternalRow("definition_gap", values, nulls);
  });
}

void TakeDefinitions() {
  InTransaction("definitions cannot be taken", [] { Select("SELECT dadbs_internal.take_definitions()"); });
}

bool SequencesAreDue() { return Applied() != noted && MonotonicUs() - noted_at_us > kSequencesEveryUs; }

void NoteSequences() {
  noted = Applied();
  noted_at_us = MonotonicUs();
  InTransaction("sequences cannot be noted", [] { Select("SELECT dadbs_internal.note_sequences()"); });
}

namespace {

bool AskShared(Oid class_id, Oid object) {
  ObjectAddress address;
  ObjectAddressSet(address, class_id, object);
  return IsSharedObject(address);
}

void RequireSuperuser() {
  if (!superuser()) ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only superusers put definitions back")));
  if (!SharingActive()) ereport(ERROR, (errcode(kErrNotConfigured), errmsg("this database is not shared")));
}

// What sequence.c writes; false: the page is damaged.
bool SequenceData(Page page, FormData_pg_sequence_data* data) {
  constexpr uint32 kMagic = 0x1717;
  auto const* const header = reinterpret_cast<PageHeader>(page);
  if (PageIsNew(page) || header->pd_special != BLCKSZ - MAXALIGN(sizeof(kMagic)) || PageGetMaxOffsetNumber(page) < FirstOffsetNumber) return false;
  if (*reinterpret_cast<uint32*>(page + header->pd_special) != kMagic) return false;
  ItemId const item = PageGetItemId(page, FirstOffsetNumber);
  Size const head = MAXALIGN(SizeofHeapTupleHeader), size = offsetof(FormData_pg_sequence_data, is_called) + sizeof(data->is_called);
  if (!ItemIdIsNormal(item) || ItemIdGetLength(item) < head + size || ItemIdGetOffset(item) + ItemIdGetLength(item) > header->pd_special) return false;
  auto* const row = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  if (row->t_hoff != head) return false;
  memcpy(data, reinterpret_cast<char*>(row) + head, size);
  return true;
}

bool ReadNext(Oid sequence, int64* next) {
  HeapTuple const definition = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
  if (!HeapTupleIsValid(definition)) return false;
  int64 const step = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(definition))->seqincrement;
  ReleaseSysCache(definition);
  // Whoever has it locked is not in the way of any position: nobody waits for him.
  if (!ConditionalLockRelationOid(sequence, AccessShareLock)) return false;
  Relation const relation = try_relation_open(sequence, NoLock);
  if (relation == nullptr) {
    UnlockRelationOid(sequence, AccessShareLock);
    return false;
  }
  Buffer const buffer = ReadBuffer(relation, 0);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  FormData_pg_sequence_data data = {};
  bool const sound = SequenceData(BufferGetPage(buffer), &data);
  UnlockReleaseBuffer(buffer);
  if (!sound) ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("sequence \"%s\" is damaged", RelationGetRelationName(relation))));
  relation_close(relation, AccessShareLock);
  *next = data.last_value;
  if (data.is_called && __builtin_add_overflow(data.last_value, step, next)) *next = step > 0 ? PG_INT64_MAX : PG_INT64_MIN;
  return true;
}

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_is_shared_object(PG_FUNCTION_ARGS) { PG_RETURN_BOOL(AskShared(PG_GETARG_OID(0), PG_GETARG_OID(1))); }

extern "C" Datum dadbs_sequence_next(PG_FUNCTION_ARGS) {
  int64 next = 0;
  if (!ReadNext(PG_GETARG_OID(0), &next)) PG_RETURN_NULL();
  PG_RETURN_INT64(next);
}

extern "C" Datum dadbs_column_extreme(PG_FUNCTION_ARGS) {
  Relation const table = table_open(PG_GETARG_OID(0), AccessShareLock);
  char const kind = table->rd_rel->relkind;
  if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("only tables are asked")));
  Oid const owner = superuser_arg(table->rd_rel->relowner) ? get_role_oid(ddl::kOwnerRole, false) : table->rd_rel->relowner;
  char* const query = psprintf("SELECT %s(%s)::pg_catalog.int8 FROM %s", PG_GETARG_BOOL(2) ? "pg_catalog.max" : "pg_catalog.min", quote_identifier(NameStr(*PG_GETARG_NAME(1))),
                               quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)), RelationGetRelationName(table)));
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  // An error leaves the caller's subtransaction, which restores both. Policies are no reason to see less of the rows.
  SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
  SPI_connect();
  if (SPI_execute(query, true, 0) != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "SPI failed: %s", query);
  bool null = false;
  int64 const value = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
  SPI_finish();
  SetUserIdAndSecContext(user, context);
  table_close(table, AccessShareLock);
  if (null) PG_RETURN_NULL();
  PG_RETURN_INT64(value);
}

extern "C" Datum dadbs_execute_locally(PG_FUNCTION_ARGS) {
  RequireSuperuser();
  const char* const statements = text_to_cstring(PG_GETARG_TEXT_PP(0));
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  // An error leaves the subtransaction that was begun for it, which restores both.
  if (PG_GETARG_BOOL(1)) SetUserIdAndSecContext(get_role_oid(ddl::kOwnerRole, false), context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
  ListCell* cell;
  foreach (cell, raw_parser(statements, RAW_PARSE_DEFAULT)) verify::RunUtility(lfirst_node(RawStmt, cell)->stmt, statements);
  SetUserIdAndSecContext(user, context);
  PG_RETURN_VOID();
}

extern "C" Datum dadbs_take_turn(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([&]() -> Datum {
    Call([] {
      RequireSuperuser();
      if (IsolationUsesXactSnapshot())  // its snapshot is older than the turn
        ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE), errmsg("definitions are put back in READ COMMITTED only")));
    });
    TakeTurn();
    return Datum(0);
  });
}

extern "C" Datum dadbs_move_sequence(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    Call([] { RequireSuperuser(); });
    MoveSequencePast(PG_GETARG_OID(0), PG_GETARG_INT64(1));
    return Datum(0);
  });
}
