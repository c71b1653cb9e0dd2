/*
 * row_apply_test.cpp: a test-only module that applies hand-made changes on a single server, without a cluster: the
 * row applier, key derivation and sharing are linked into it, with stand-ins for what they ask of the rest of the
 * extension.
 *
 *   rt.log_change()              AFTER ROW trigger: notes each change in rt.log as canonical bytes, as capture would
 *   rt.change(op, old, new, unchanged, target_schema)    one change as bytes
 *   rt.truncate(relations, restart_identity), rt.sequence(schema, name, value)
 *   rt.apply(VARIADIC changes)   one write set; returns the number of changes
 *   rt.keys(VARIADIC changes)    its keys, as "row|schema hash uses"
 *   rt.needs_replay(regclass), rt.is_shared(regclass), rt.wanted_identity(regclass)
 */
#include <optional>
#include <string>
#include <vector>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/approval.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/row_apply.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(rt_change);
PG_FUNCTION_INFO_V1(rt_log_change);
PG_FUNCTION_INFO_V1(rt_truncate);
PG_FUNCTION_INFO_V1(rt_sequence);
PG_FUNCTION_INFO_V1(rt_apply);
PG_FUNCTION_INFO_V1(rt_keys);
PG_FUNCTION_INFO_V1(rt_fits);
PG_FUNCTION_INFO_V1(rt_needs_replay);
PG_FUNCTION_INFO_V1(rt_is_shared);
PG_FUNCTION_INFO_V1(rt_wanted_identity);
PGDLLEXPORT void _PG_init(void);
}

// ---- stand-ins

namespace dadbs::pg {

Shared* shared = nullptr;
const Member* CurrentMember() { return nullptr; }
bool CarryingOut() { return false; }
void GuardTruncate(const char*) {}
void RaiseProtected(const char* table) { elog(ERROR, "table \"%s\" is protected", table); }
std::optional<MemberConfig> LoadMemberConfig() { return std::nullopt; }

// As the extension's, but for residue classes.
void MoveSequencePast(Oid sequence, int64 value) {
  Call([&] {
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, nullptr, 1, InvalidOid, nullptr, nullptr);
    call->args[0].value = ObjectIdGetDatum(sequence);
    call->args[0].isnull = false;
    Datum const last = pg_sequence_last_value(call);
    HeapTuple const tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
    bool const down = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple))->seqincrement < 0;
    ReleaseSysCache(tuple);
    if (call->isnull || (down ? value < DatumGetInt64(last) : value > DatumGetInt64(last)))
      DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(value));
  });
}

}  // namespace dadbs::pg

namespace {

using namespace dadbs;

void Prepare() {
  if (pg::shared == nullptr) {
    pg::shared = static_cast<pg::Shared*>(MemoryContextAllocZero(TopMemoryContext, sizeof(pg::Shared)));
    memset(pg::shared->chain_id, 7, sizeof(pg::shared->chain_id));
    pg_atomic_init_u32(&pg::shared->database, MyDatabaseId);
    pg_atomic_init_u32(&pg::shared->configure_requests, 1);
    pg::InitSharingHooks();
  }
}

// ---- making changes

struct TupleMaker {
  core::Tuple tuple;
  std::vector<core::Bytes> storage;
};

bool TravelsAsText(Oid type) {
  return type >= FirstGenbkiObjectId || get_typtype(type) == TYPTYPE_PSEUDO || type == REGPROCOID ||
         type == REGCLASSOID || type == REGTYPEOID;
}

void AddValue(TupleMaker* maker, Oid declared, Datum value) {
  Oid const type = getBaseType(declared);
  bool const text = TravelsAsText(type) || TravelsAsText(get_element_type(type));
  bytea* bytes = nullptr;
  pg::Call([&] {
    Oid function;
    bool varlena;
    if (text) {
      getTypeOutputInfo(type, &function, &varlena);
      bytes = reinterpret_cast<bytea*>(cstring_to_text(OidOutputFunctionCall(function, value)));
    } else {
      getTypeBinaryOutputInfo(type, &function, &varlena);
      bytes = OidSendFunctionCall(function, value);
    }
  });
  auto* const start = reinterpret_cast<uint8_t*>(VARDATA(bytes));
  maker->storage.emplace_back(start, start + VARSIZE(bytes) - VARHDRSZ);
  maker->tuple.push_back({text ? 't' : 'b', {}});
}

void MakeTuple(TupleMaker* maker, HeapTuple row, TupleDesc columns, const Bitmapset* only,
               const std::vector<bool>& unchanged) {
  for (int i = 0; i < columns->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(columns, i);
    if (column->attisdropped) continue;
    bool isnull = true;
    Datum const value = pg::Call([&] { return heap_getattr(row, i + 1, columns, &isnull); });
    bool const wanted = only == nullptr || bms_is_member(i + 1, only);
    maker->storage.reserve(columns->natts);
    if (wanted && !isnull && i < static_cast<int>(unchanged.size()) && unchanged[i]) {
      maker->tuple.push_back({'u', {}});
      maker->storage.emplace_back();
    } else if (wanted && !isnull) {
      AddValue(maker, column->atttypid, value);
    } else {
      maker->tuple.push_back({'n', {}});
      maker->storage.emplace_back();
    }
  }
  for (size_t i = 0; i < maker->tuple.size(); i++) maker->tuple[i].bytes = maker->storage[i];
}

Bitmapset* KeyColumns(Relation relation) {
  Bitmapset* columns = nullptr;
  Bitmapset* const offset = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_IDENTITY_KEY);
  for (int m = -1; (m = bms_next_member(offset, m)) >= 0;)
    columns = bms_add_member(columns, m + FirstLowInvalidHeapAttributeNumber);
  return columns;
}

core::Bytes MakeChange(char op, Oid relation_id, HeapTuple old_row, HeapTuple new_row,
                       const std::vector<bool>& unchanged, const std::string& target) {
  Relation relation = nullptr;
  Bitmapset* key = nullptr;
  pg::Call([&] {
    relation = table_open(relation_id, AccessShareLock);
    key = KeyColumns(relation);
  });
  TupleDesc const columns = RelationGetDescr(relation);
  std::string const schema = target.empty() ? get_namespace_name(RelationGetNamespace(relation)) : target;
  std::string const name = RelationGetRelationName(relation);
  TupleMaker old_tuple, new_tuple;
  if (op != 'I') MakeTuple(&old_tuple, old_row, columns, key ? key : bms_make_singleton(0), {});
  if (op != 'D') MakeTuple(&new_tuple, new_row, columns, nullptr, unchanged);
  core::RowChange change;
  change.op = op;
  change.relation = {schema, name};
  change.row = new_tuple.tuple;
  if (op == 'D') change.old_key = old_tuple.tuple;
  if (op == 'U') {
    TupleMaker new_key;
    MakeTuple(&new_key, new_row, columns, key ? key : bms_make_singleton(0), {});
    for (size_t i = 0; i < new_key.storage.size(); i++)
      change.has_old_key |= i >= old_tuple.storage.size() || new_key.storage[i] != old_tuple.storage[i];
    if (change.has_old_key) change.old_key = old_tuple.tuple;
  }
  core::Bytes const bytes = core::EncodeChange(change);
  pg::Call([&] { table_close(relation, AccessShareLock); });
  return bytes;
}

Datum ToBytea(const core::Bytes& bytes) {
  bytea* const out = pg::Call([&] { return static_cast<bytea*>(palloc(bytes.size() + VARHDRSZ)); });
  SET_VARSIZE(out, bytes.size() + VARHDRSZ);
  memcpy(VARDATA(out), bytes.data(), bytes.size());
  return PointerGetDatum(out);
}

HeapTuple RowOf(Datum row, Oid* type) {
  return pg::Call([&] {
    HeapTupleHeader const header = DatumGetHeapTupleHeader(row);
    *type = HeapTupleHeaderGetTypeId(header);
    auto* const tuple = static_cast<HeapTuple>(palloc0(sizeof(HeapTupleData)));
    tuple->t_len = HeapTupleHeaderGetDatumLength(header);
    tuple->t_data = header;
    return tuple;
  });
}

// ---- reading arguments

struct Changes {
  std::vector<core::Bytes> bytes;
  core::WriteSetView View() const {
    core::WriteSetView view;
    for (const core::Bytes& b : bytes) view.changes.push_back({core::Salt{}, b});
    return view;
  }
};

Changes ReadChanges(Datum argument) {
  Datum* items = nullptr;
  bool* nulls = nullptr;
  int count = 0;
  pg::Call([&] {
    deconstruct_array(DatumGetArrayTypeP(argument), BYTEAOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
  });
  Changes changes;
  for (int i = 0; i < count; i++) {
    if (nulls[i]) continue;
    bytea* const item = pg::Call([&] { return DatumGetByteaPP(items[i]); });
    auto* const start = reinterpret_cast<const uint8_t*>(VARDATA_ANY(item));
    changes.bytes.emplace_back(start, start + VARSIZE_ANY_EXHDR(item));
  }
  return changes;
}

std::string Text(Datum value) {
  return pg::Call([&] { return TextDatumGetCString(value); });
}

}  // namespace

extern "C" {

void _PG_init(void) {}

Datum rt_change(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    Prepare();
    char const op = Text(PG_GETARG_DATUM(0))[0];
    Oid type = InvalidOid;
    HeapTuple const old_row = PG_ARGISNULL(1) ? nullptr : RowOf(PG_GETARG_DATUM(1), &type);
    HeapTuple const new_row = PG_ARGISNULL(2) ? nullptr : RowOf(PG_GETARG_DATUM(2), &type);
    Oid const relation = pg::Call([&] { return get_typ_typrelid(type); });
    std::vector<bool> unchanged;
    if (!PG_ARGISNULL(3)) {
      std::string const name = Text(PG_GETARG_DATUM(3));
      AttrNumber const attno = get_attnum(relation, name.c_str());
      if (attno > 0) unchanged.resize(attno), unchanged[attno - 1] = true;
    }
    return ToBytea(
        MakeChange(op, relation, old_row, new_row, unchanged, PG_ARGISNULL(4) ? "" : Text(PG_GETARG_DATUM(4))));
  });
}

Datum rt_log_change(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    Prepare();
    auto* const data = reinterpret_cast<TriggerData*>(fcinfo->context);
    char const op = TRIGGER_FIRED_BY_INSERT(data->tg_event) ? 'I' : TRIGGER_FIRED_BY_DELETE(data->tg_event) ? 'D' : 'U';
    HeapTuple const new_row = op == 'U' ? data->tg_newtuple : data->tg_trigtuple;
    Datum const bytes =
        ToBytea(MakeChange(op, RelationGetRelid(data->tg_relation), data->tg_trigtuple, new_row, {}, "dst"));
    pg::Call([&] {
      Oid const types[] = {BYTEAOID};
      Datum const values[] = {bytes};
      SPI_connect();
      SPI_execute_with_args("INSERT INTO rt.log (change) VALUES ($1)", 1, const_cast<Oid*>(types),
                            const_cast<Datum*>(values), nullptr, false, 0);
      SPI_finish();
    });
    return PointerGetDatum(nullptr);
  });
}

Datum rt_truncate(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    std::string const schema = Text(PG_GETARG_DATUM(0));
    std::string const name = Text(PG_GETARG_DATUM(1));
    core::TruncateChange change;
    change.restart_identity = PG_GETARG_BOOL(2);
    change.relations.push_back({schema, name});
    return ToBytea(core::EncodeChange(change));
  });
}

Datum rt_sequence(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    std::string const schema = Text(PG_GETARG_DATUM(0));
    std::string const name = Text(PG_GETARG_DATUM(1));
    core::SequenceChange change;
    change.sequence = {schema, name};
    change.value = PG_GETARG_INT64(2);
    return ToBytea(core::EncodeChange(change));
  });
}

Datum rt_apply(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    Prepare();
    Changes const changes = ReadChanges(PG_GETARG_DATUM(0));
    core::KeyList row_keys, schema_keys;
    pg::DeriveKeys(changes.View(), &row_keys, &schema_keys);
    pg::RowApplier applier;
    applier.Begin();
    for (const core::Bytes& bytes : changes.bytes) {
      core::Change change;
      if (!core::DecodeChange(bytes, &change)) throw pg::InvalidWriteSet(pg::kErrInvalidWriteSet, "not canonical");
      if (auto* row = std::get_if<core::RowChange>(&change)) applier.Apply(*row);
      if (auto* truncate = std::get_if<core::TruncateChange>(&change)) applier.Apply(*truncate);
      if (auto* sequence = std::get_if<core::SequenceChange>(&change)) applier.Apply(*sequence);
    }
    applier.End();
    return Int32GetDatum(static_cast<int32>(changes.bytes.size()));
  });
}

Datum rt_keys(PG_FUNCTION_ARGS) {
  ReturnSetInfo* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  return pg::Enter([&]() -> Datum {
    Prepare();
    Changes const changes = ReadChanges(PG_GETARG_DATUM(0));
    core::KeyList lists[2];
    pg::DeriveKeys(changes.View(), &lists[0], &lists[1]);
    for (int i = 0; i < 2; i++)
      for (const core::KeyEntry& entry : lists[i]) {
        char hash[40];
        snprintf(hash, sizeof(hash), "%016lx%016lx", static_cast<unsigned long>(entry.key.hi),
                 static_cast<unsigned long>(entry.key.lo));
        pg::Call([&] {
          Datum values[] = {CStringGetTextDatum(i == 0 ? "row" : "schema"), CStringGetTextDatum(hash),
                            Int32GetDatum(entry.uses)};
          bool nulls[] = {false, false, false};
          tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
      }
    return Datum(0);
  });
}

Datum rt_fits(PG_FUNCTION_ARGS) {
  return pg::Enter([&]() -> Datum {
    Prepare();
    Changes const changes = ReadChanges(PG_GETARG_DATUM(0));
    core::KeyList row_keys, schema_keys;
    return BoolGetDatum(!pg::DeriveKeys(changes.View(), &row_keys, &schema_keys).misfit);
  });
}

Datum rt_needs_replay(PG_FUNCTION_ARGS) {
  Prepare();
  PG_RETURN_BOOL(pg::RelationNeedsReplay(PG_GETARG_OID(0)));
}

Datum rt_is_shared(PG_FUNCTION_ARGS) {
  Prepare();
  PG_RETURN_BOOL(pg::IsSharedObject({RelationRelationId, PG_GETARG_OID(0), 0}));
}

Datum rt_wanted_identity(PG_FUNCTION_ARGS) {
  Prepare();
  Relation const relation = table_open(PG_GETARG_OID(0), AccessShareLock);
  pg::ReplicaIdentity const wanted = pg::WantedReplicaIdentity(relation);
  char text[100];
  snprintf(text, sizeof(text), "%c %s%s", wanted.type, OidIsValid(wanted.index) ? get_rel_name(wanted.index) : "-",
           pg::HasWantedReplicaIdentity(relation) ? "" : " (not set)");
  table_close(relation, AccessShareLock);
  PG_RETURN_TEXT_P(cstring_to_text(text));
}

}  // extern "C"
