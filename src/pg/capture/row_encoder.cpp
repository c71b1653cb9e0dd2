/*
 * row_encoder.cpp: see row_encoder.h.
 */
#include "row_encoder.h"

#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/sharing.h"

#include "doubt.h"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {

namespace {

enum class Form : uint8 { kInt16, kInt32, kInt64, kBool, kBytes, kSend, kText };

struct ColumnCodec {
  int attribute;  // index in the tuple descriptor
  bool varlena;
  Form form;
  Return comes_back;
  FmgrInfo function;  // kSend, kText
};

struct EncodedValue {
  char tag;
  uint32 length;
  const char* data;  // null: in `scalar`
  char scalar[8];
};

}  // namespace

// Plain data in codec_context_.
struct RelationCodec {
  const char* schema;
  const char* name;
  int column_count;
  ColumnCodec* columns;
  bool has_key;
  bool full_identity;
  EncodedValue* values;  // scratch
  Datum* datums;
  bool* nulls;
};

namespace {

static_assert(FLOAT8PASSBYVAL, "8-byte values are expected in the datum");

bool definitions_changed = false;

extern "C" void OnRelationChange(Datum, Oid) { definitions_changed = true; }
extern "C" void OnCatalogChange(Datum, int, uint32) { definitions_changed = true; }

// The wire form holds no OID but built-in ones, and the type has one.
bool IsBinarySafe(Oid type) {
  if (type >= FirstUnpinnedObjectId || IsObjectReference(type)) return false;
  if (type == INT2VECTOROID || type == OIDVECTOROID) return false;  // they refuse to receive the empty one that they send
  HeapTuple const tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) return false;
  Form_pg_type const form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
  bool safe = OidIsValid(form->typsend) && form->typtype != TYPTYPE_COMPOSITE && form->typtype != TYPTYPE_PSEUDO;
  Oid const element = IsTrueArrayType(form) ? form->typelem : InvalidOid;
  ReleaseSysCache(tuple);
  return safe && (!OidIsValid(element) || IsBinarySafe(element));
}

bool MayNotComeBack(const ColumnCodec& column, const EncodedValue& value) {
  return value.tag != 'n' && value.tag != 'u' && MayNotComeBack(column.comes_back, value.data != nullptr ? value.data : value.scalar, value.length);
}

Form FormOf(Oid type) {
  switch (type) {
    case INT2OID: return Form::kInt16;
    case INT4OID: case OIDOID: case DATEOID: case FLOAT4OID: return Form::kInt32;
    case INT8OID: case FLOAT8OID: case TIMESTAMPOID: case TIMESTAMPTZOID: case TIMEOID: return Form::kInt64;
    case BOOLOID: return Form::kBool;
    case TEXTOID: case VARCHAROID: case BPCHAROID: case BYTEAOID: case JSONOID: return Form::kBytes;
    default: return IsBinarySafe(type) ? Form::kSend : Form::kText;
  }
}

ColumnCodec MakeColumn(int attribute, const FormData_pg_attribute& a) {
  ColumnCodec column = {};
  column.attribute = attribute;
  column.varlena = a.attlen == -1;
  Oid const type = getBaseType(a.atttypid);
  column.form = FormOf(type);
  column.comes_back = ReturnOf(type);
  Oid function = InvalidOid;
  bool varlena;
  if (column.form == Form::kSend) getTypeBinaryOutputInfo(type, &function, &varlena);
  if (column.form == Form::kText) getTypeOutputInfo(a.atttypid, &function, &varlena);
  if (OidIsValid(function)) fmgr_info(function, &column.function);
  return column;
}

RelationCodec* MakeCodec(Relation relation) {
  TupleDesc const descriptor = RelationGetDescr(relation);
  auto* const codec = static_cast<RelationCodec*>(palloc0(sizeof(RelationCodec)));
  codec->schema = get_namespace_name(RelationGetNamespace(relation));
  if (codec->schema == nullptr) elog(ERROR, "schema %u of a decoded relation is gone", RelationGetNamespace(relation));
  codec->name = pstrdup(RelationGetRelationName(relation));
  codec->columns = static_cast<ColumnCodec*>(palloc(sizeof(ColumnCodec) * Max(descriptor->natts, 1)));
  codec->values = static_cast<EncodedValue*>(palloc(sizeof(EncodedValue) * Max(descriptor->natts, 1)));
  codec->datums = static_cast<Datum*>(palloc(sizeof(Datum) * Max(descriptor->natts, 1)));
  codec->nulls = static_cast<bool*>(palloc(sizeof(bool) * Max(descriptor->natts, 1)));
  for (int i = 0; i < descriptor->natts; i++) {
    const FormData_pg_attribute& a = *TupleDescAttr(descriptor, i);
    if (!a.attisdropped) codec->columns[codec->column_count++] = MakeColumn(i, a);
  }
  codec->full_identity = relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
  codec->has_key = OidIsValid(RelationGetReplicaIndex(relation));
  return codec;
}

void SetScalar(EncodedValue* out, const void* bytes, uint32 length) {
  out->length = length;
  out->data = nullptr;
  memcpy(out->scalar, bytes, length);
}

void SetBytes(EncodedValue* out, const struct varlena* value) {
  out->length = VARSIZE_ANY_EXHDR(value);
  out->data = VARDATA_ANY(value);
}

// Postgres code: results live in the current memory context.
void EncodeValue(ColumnCodec* column, Datum datum, bool null, EncodedValue* out) {
  out->tag = 'n';
  out->length = 0;
  out->data = nullptr;
  if (null) return;
  if (column->varlena && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(datum))) {
    out->tag = 'u';
    return;
  }
  out->tag = column->form == Form::kText ? 't' : 'b';
  switch (column->form) {
    case Form::kInt16: {
      uint16 const v = pg_hton16(static_cast<uint16>(DatumGetInt16(datum)));
      return SetScalar(out, &v, sizeof(v));
    }
    case Form::kInt32: {
      uint32 const v = pg_hton32(static_cast<uint32>(DatumGetInt32(datum)));
      return SetScalar(out, &v, sizeof(v));
    }
    case Form::kInt64: {
      uint64 const v = pg_hton64(static_cast<uint64>(DatumGetInt64(datum)));
      return SetScalar(out, &v, sizeof(v));
    }
    case Form::kBool: {
      uint8 const v = DatumGetBool(datum) ? 1 : 0;
      return SetScalar(out, &v, sizeof(v));
    }
    case Form::kBytes: return SetBytes(out, PG_DETOAST_DATUM_PACKED(datum));
    case Form::kSend: return SetBytes(out, SendFunctionCall(&column->function, datum));
    case Form::kText:
      out->data = OutputFunctionCall(&column->function, datum);
      out->length = strlen(out->data);
      return;
  }
}

void EncodeTupleValues(const RelationCodec& codec, Relation relation, HeapTuple tuple) {
  heap_deform_tuple(tuple, RelationGetDescr(relation), codec.datums, codec.nulls);
  for (int i = 0; i < codec.column_count; i++) {
    int const at = codec.columns[i].attribute;
    EncodeValue(&codec.columns[i], codec.datums[at], codec.nulls[at], &codec.values[i]);
  }
}

}  // namespace

RowEncoder::RowEncoder() {
  Call([this] {
    codec_context_ = AllocSetContextCreate(TopMemoryContext, "dadbs row codecs", ALLOCSET_DEFAULT_SIZES);
    row_context_ = AllocSetContextCreate(TopMemoryContext, "dadbs row", ALLOCSET_DEFAULT_SIZES);
    CacheRegisterRelcacheCallback(OnRelationChange, Datum(0));
    CacheRegisterSyscacheCallback(TYPEOID, OnCatalogChange, Datum(0));
    CacheRegisterSyscacheCallback(NAMESPACEOID, OnCatalogChange, Datum(0));
  });
}

const RelationCodec& RowEncoder::CodecOf(Relation relation) {
  if (definitions_changed) {
    codecs_.clear();
    MemoryContextReset(codec_context_);
    definitions_changed = false;
  }
  auto const found = codecs_.find(RelationGetRelid(relation));
  if (found != codecs_.end()) return *found->second;
  RelationCodec* const codec = Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(codec_context_);
    RelationCodec* const made = MakeCodec(relation);
    MemoryContextSwitchTo(before);
    return made;
  });
  codecs_.emplace(RelationGetRelid(relation), codec);
  return *codec;
}

void RowEncoder::AddTuple(const RelationCodec& codec, Relation relation, HeapTuple tuple, bool* doubtful) {
  Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(row_context_);
    EncodeTupleValues(codec, relation, tuple);
    if (doubtful != nullptr) *doubtful |= IsStoredOtherwise(relation, tuple, codec.datums, codec.nulls);
    MemoryContextSwitchTo(before);
  });
  out_.U16(static_cast<uint16_t>(codec.column_count));
  for (int i = 0; i < codec.column_count; i++) {
    const EncodedValue& v = codec.values[i];
    out_.U8(static_cast<uint8_t>(v.tag));
    if (doubtful != nullptr) *doubtful |= MayNotComeBack(codec.columns[i], v);
    if (v.tag != 'b' && v.tag != 't') continue;
    const char* const data = v.data != nullptr ? v.data : v.scalar;
    out_.Blob({reinterpret_cast<const uint8_t*>(data), v.length});
  }
  MemoryContextReset(row_context_);
}

core::ByteView RowEncoder::EncodeRow(char op, Relation relation, HeapTuple old_key, HeapTuple row, bool* doubtful) {
  const RelationCodec& codec = CodecOf(relation);
  if (op != 'I' && (!codec.has_key || codec.full_identity || (op == 'D' && old_key == nullptr)))
    throw PgError(kErrState, std::string("cannot update or delete rows of shared table \"") + codec.name + "\"",
                  codec.full_identity ? "Its replica identity is FULL, which does not name rows alike on all members."
                                      : "It has no primary key and no unique index over NOT NULL columns.",
                  "Add a primary key.");
  out_.Clear();
  out_.U8(static_cast<uint8_t>(op));
  out_.Str(codec.schema);
  out_.Str(codec.name);
  if (op == 'U') out_.U8(old_key != nullptr ? 1 : 0);
  if (op != 'I' && old_key != nullptr) AddTuple(codec, relation, old_key, doubtful);
  if (op != 'D') AddTuple(codec, relation, row, doubtful);
  return out_.bytes();
}

}  // namespace dadbs::pg
