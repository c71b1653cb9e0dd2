/*
 * row_encode.cpp: see row_encode.h. Every encoding starts with a tag byte; what has no fixed length carries it.
 *
 * The encodings follow the equality of the built-in operator classes. One that is stricter (record_image_ops) only
 * makes more conflicts than needed. A type or an operator class that is not built in is hashed by its own extended
 * hash function, if that belongs to the same equality.
 */
#include "row_encode.h"

#include "dadbs/pg/sharing.h"

#include <sys/socket.h>

#include <bit>

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/int128.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inet.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/numeric.h"
#include "utils/pg_locale.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/varbit.h"
}

namespace dadbs::pg {
namespace {

constexpr char kNullTag = 0;
constexpr char kValueTag = 1;
constexpr uint64 kSeeds[2] = {0x9e3779b97f4a7c15ull, 0xc2b2ae3d27d4eb4full};

void PutInteger(StringInfo out, int64 value) {
  char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = static_cast<char>(static_cast<uint64>(value) >> (56 - 8 * i));
  appendBinaryStringInfo(out, bytes, 8);
}

void PutWide(StringInfo out, __int128 value) {
  PutInteger(out, static_cast<int64>(value >> 64));
  PutInteger(out, static_cast<int64>(value));
}

void PutBytes(StringInfo out, const char* bytes, int length) {
  PutInteger(out, length);
  appendBinaryStringInfo(out, bytes, length);
}

// -- which encoding

EncodeKind KindOfBuiltIn(Oid type, Oid collation) {
  switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case MONEYOID:
    case TIMEOID:
    case PG_LSNOID:
    case XID8OID: return EncodeKind::kInteger;
    case FLOAT4OID:
    case FLOAT8OID: return EncodeKind::kFloat;
    case NUMERICOID: return EncodeKind::kNumeric;
    case TEXTOID:
    case VARCHAROID:
    case NAMEOID:
      return !OidIsValid(collation) || get_collation_isdeterministic(collation) ? EncodeKind::kText : EncodeKind::kHash;
    case BPCHAROID:
      return !OidIsValid(collation) || get_collation_isdeterministic(collation) ? EncodeKind::kBpchar
                                                                                : EncodeKind::kHash;
    case BYTEAOID: return EncodeKind::kBytes;
    case UUIDOID:
    case MACADDROID:
    case MACADDR8OID: return EncodeKind::kFixed;
    case BOOLOID:
    case CHAROID: return EncodeKind::kByte;
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID: return EncodeKind::kTimestamp;
    case TIMETZOID: return EncodeKind::kTimeTz;
    case INTERVALOID: return EncodeKind::kInterval;
    case INETOID:
    case CIDROID: return EncodeKind::kInet;
    case BITOID:
    case VARBITOID: return EncodeKind::kBit;
    case JSONBOID: return EncodeKind::kJsonb;  // its hash function gives the same for arrays that differ in their order
    default: return EncodeKind::kHash;
  }
}

// Equal on no two members.
bool IsRowReference(Oid type) {
  return type == XIDOID || type == CIDOID || type == TIDOID || type == OIDVECTOROID || type == ACLITEMOID;
}

bool InitChildren(ValueEncoder* encoder, int count) {
  encoder->child_count = count;
  encoder->children = static_cast<ValueEncoder*>(palloc0(sizeof(ValueEncoder) * count));
  return true;
}

EncodeKind InitOne(ValueEncoder* encoder, EncodeKind kind, Oid element, Oid collation) {
  InitChildren(encoder, 1);
  InitEncoder(&encoder->children[0], element, collation, InvalidOid);
  return encoder->children[0].kind == EncodeKind::kNone ? EncodeKind::kNone : kind;
}

EncodeKind InitRecord(ValueEncoder* encoder) {
  TupleDesc const columns = lookup_rowtype_tupdesc_copy(encoder->type, -1);
  InitChildren(encoder, columns->natts);
  EncodeKind kind = EncodeKind::kRecord;
  for (int i = 0; i < columns->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(columns, i);
    if (column->attisdropped) continue;
    InitEncoder(&encoder->children[i], column->atttypid, column->attcollation, InvalidOid);
    if (encoder->children[i].kind == EncodeKind::kNone) kind = EncodeKind::kNone;
  }
  FreeTupleDesc(columns);
  return kind;
}

EncodeKind InitHash(ValueEncoder* encoder, Oid equality) {
  TypeCacheEntry* const entry = lookup_type_cache(encoder->type, TYPECACHE_EQ_OPR | TYPECACHE_HASH_EXTENDED_PROC);
  if (!OidIsValid(entry->hash_extended_proc)) return EncodeKind::kNone;
  if (OidIsValid(equality) && equality != entry->eq_opr) return EncodeKind::kNone;
  fmgr_info(entry->hash_extended_proc, &encoder->hash);
  return EncodeKind::kHash;
}

EncodeKind InitKind(ValueEncoder* encoder, Oid equality) {
  Oid const type = encoder->type;
  Oid const collation = encoder->collation;
  if (IsObjectReference(type) || IsRowReference(type)) return EncodeKind::kNone;
  // An operator class of somebody's own may have its own idea of equality.
  if (OidIsValid(equality) && equality >= FirstUnpinnedObjectId) return InitHash(encoder, equality);
  if (Oid const element = get_element_type(type); OidIsValid(element))
    return InitOne(encoder, EncodeKind::kArray, element, collation);
  switch (get_typtype(type)) {
    case TYPTYPE_ENUM: return EncodeKind::kEnum;
    case TYPTYPE_COMPOSITE: return InitRecord(encoder);
    case TYPTYPE_RANGE: return InitOne(encoder, EncodeKind::kRange, get_range_subtype(type), get_range_collation(type));
    case TYPTYPE_MULTIRANGE: return InitOne(encoder, EncodeKind::kMultirange, get_multirange_range(type), InvalidOid);
    case TYPTYPE_PSEUDO: return EncodeKind::kNone;
    default: break;
  }
  EncodeKind const kind = KindOfBuiltIn(type, collation);
  return kind == EncodeKind::kHash ? InitHash(encoder, equality) : kind;
}

// -- values

void EncodeTimestamp(Oid type, Datum value, StringInfo out) {
  __int128 micros;
  if (type == DATEOID) {
    DateADT const date = DatumGetDateADT(value);
    if (DATE_IS_NOBEGIN(date))
      micros = DT_NOBEGIN;
    else if (DATE_IS_NOEND(date))
      micros = DT_NOEND;
    else
      micros = static_cast<__int128>(date) * USECS_PER_DAY;
  } else {
    micros = DatumGetTimestamp(value);
  }
  PutWide(out, micros);
}

void EncodeFloat(Oid type, Datum value, StringInfo out) {
  double number = type == FLOAT4OID ? DatumGetFloat4(value) : DatumGetFloat8(value);
  if (number == 0) number = 0;  // -0
  PutInteger(out, number != number ? 0x7ff8000000000000ll : std::bit_cast<int64>(number));
}

void EncodeInteger(Oid type, Datum value, StringInfo out) {
  switch (type) {
    case INT2OID: return PutInteger(out, DatumGetInt16(value));
    case INT4OID: return PutInteger(out, DatumGetInt32(value));
    case OIDOID: return PutInteger(out, DatumGetObjectId(value));
    default: return PutInteger(out, DatumGetInt64(value));
  }
}

void EncodeText(const ValueEncoder& encoder, Datum value, StringInfo out) {
  if (encoder.type == NAMEOID) {
    const char* const name = NameStr(*DatumGetName(value));
    return PutBytes(out, name, static_cast<int>(strlen(name)));
  }
  struct varlena* const flat = PG_DETOAST_DATUM_PACKED(value);
  int length = VARSIZE_ANY_EXHDR(flat);
  const char* const bytes = VARDATA_ANY(flat);
  if (encoder.kind == EncodeKind::kBpchar)
    while (length > 0 && bytes[length - 1] == ' ') length--;
  PutBytes(out, bytes, length);
}

void EncodeArray(const ValueEncoder& encoder, Datum value, StringInfo out) {
  ArrayType* const array = DatumGetArrayTypeP(value);
  const ValueEncoder& element = encoder.children[0];
  PutInteger(out, ARR_NDIM(array));
  for (int i = 0; i < ARR_NDIM(array); i++) {
    PutInteger(out, ARR_DIMS(array)[i]);
    PutInteger(out, ARR_LBOUND(array)[i]);
  }
  Datum* values;
  bool* nulls;
  int count;
  int16 length;
  bool by_value;
  char align;
  get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
  deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align, &values, &nulls, &count);
  for (int i = 0; i < count; i++) {
    if (nulls[i])
      EncodeNull(out);
    else
      EncodeValue(element, values[i], out);
  }
}

void EncodeRecord(const ValueEncoder& encoder, Datum value, StringInfo out) {
  HeapTupleHeader const header = DatumGetHeapTupleHeader(value);
  TupleDesc const columns = lookup_rowtype_tupdesc(encoder.type, -1);
  HeapTupleData tuple = {};
  tuple.t_len = HeapTupleHeaderGetDatumLength(header);
  tuple.t_data = header;
  for (int i = 0; i < Min(columns->natts, encoder.child_count); i++) {
    if (TupleDescAttr(columns, i)->attisdropped || encoder.children[i].kind == EncodeKind::kNone) continue;
    bool isnull;
    Datum const part = heap_getattr(&tuple, i + 1, columns, &isnull);
    if (isnull)
      EncodeNull(out);
    else
      EncodeValue(encoder.children[i], part, out);
  }
  ReleaseTupleDesc(columns);
}

void EncodeBound(const ValueEncoder& subtype, const RangeBound& bound, StringInfo out) {
  appendStringInfoChar(out, bound.infinite ? 'i' : bound.inclusive ? '[' : '(');
  if (!bound.infinite) EncodeValue(subtype, bound.val, out);
}

void EncodeRange(const ValueEncoder& encoder, const RangeType* range, StringInfo out) {
  RangeBound lower, upper;
  bool empty;
  range_deserialize(lookup_type_cache(encoder.type, TYPECACHE_RANGE_INFO), range, &lower, &upper, &empty);
  appendStringInfoChar(out, empty ? 'e' : 'r');
  if (empty) return;
  EncodeBound(encoder.children[0], lower, out);
  EncodeBound(encoder.children[0], upper, out);
}

void EncodeMultirange(const ValueEncoder& encoder, Datum value, StringInfo out) {
  MultirangeType* const multirange = DatumGetMultirangeTypeP(value);
  TypeCacheEntry* const range = lookup_type_cache(encoder.children[0].type, TYPECACHE_RANGE_INFO);
  PutInteger(out, multirange->rangeCount);
  for (uint32 i = 0; i < multirange->rangeCount; i++)
    EncodeRange(encoder.children[0], multirange_get_range(range, multirange, i), out);
}

void EncodeEnum(Datum value, StringInfo out) {
  HeapTuple const tuple = SearchSysCache1(ENUMOID, value);
  if (!HeapTupleIsValid(tuple))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("unknown enum value %u", DatumGetObjectId(value))));
  const char* const label = NameStr(reinterpret_cast<Form_pg_enum>(GETSTRUCT(tuple))->enumlabel);
  PutBytes(out, label, static_cast<int>(strlen(label)));
  ReleaseSysCache(tuple);
}

void EncodeInet(Datum value, StringInfo out) {
  inet* const address = DatumGetInetPP(value);
  appendStringInfoChar(out, static_cast<char>(ip_family(address)));
  appendStringInfoChar(out, static_cast<char>(ip_bits(address)));
  appendBinaryStringInfo(out, reinterpret_cast<const char*>(ip_addr(address)), ip_addrsize(address));
}

void EncodeInterval(const Interval* interval, StringInfo out) {
  int64 const days = static_cast<int64>(interval->month) * 30 + interval->day;
  PutWide(out, static_cast<__int128>(days) * USECS_PER_DAY + interval->time);
}

void EncodeNumeric(Numeric value, StringInfo out) {
  char* const text = numeric_normalize(value);
  PutBytes(out, text, static_cast<int>(strlen(text)));
  pfree(text);
}

void EncodeScalar(const JsonbValue& value, StringInfo out) {
  appendStringInfoChar(out, static_cast<char>(value.type));
  switch (value.type) {
    case jbvString: return PutBytes(out, value.val.string.val, value.val.string.len);
    case jbvNumeric: return EncodeNumeric(value.val.numeric, out);
    case jbvBool: return appendStringInfoChar(out, static_cast<char>(value.val.boolean));
    default: return;
  }
}

// As compareJsonbContainers: the keys of an object are sorted and differ.
void EncodeJsonb(Datum value, StringInfo out) {
  Jsonb* const whole = DatumGetJsonbP(value);
  JsonbIterator* iterator = JsonbIteratorInit(&whole->root);
  JsonbValue part;
  for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE;) {
    appendStringInfoChar(out, static_cast<char>(token));
    if (token == WJB_BEGIN_ARRAY) appendStringInfoChar(out, static_cast<char>(part.val.array.rawScalar));
    if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM) EncodeScalar(part, out);
  }
}

void EncodeByHash(const ValueEncoder& encoder, Datum value, StringInfo out) {
  for (uint64 seed : kSeeds)
    PutInteger(out, DatumGetInt64(FunctionCall2Coll(const_cast<FmgrInfo*>(&encoder.hash), encoder.collation, value,
                                                    UInt64GetDatum(seed))));
}

}  // namespace

void InitEncoder(ValueEncoder* encoder, Oid type, Oid collation, Oid equality) {
  check_stack_depth();
  *encoder = ValueEncoder{};
  encoder->type = getBaseType(type);
  encoder->collation = collation;
  get_typlenbyvalalign(encoder->type, &encoder->length, &encoder->by_value, &encoder->align);
  encoder->kind = InitKind(encoder, equality);
}

void EncodeNull(StringInfo out) { appendStringInfoChar(out, kNullTag); }

void EncodeValue(const ValueEncoder& encoder, Datum value, StringInfo out) {
  check_stack_depth();
  appendStringInfoChar(out, kValueTag);
  switch (encoder.kind) {
    case EncodeKind::kNone: break;
    case EncodeKind::kInteger: return EncodeInteger(encoder.type, value, out);
    case EncodeKind::kFloat: return EncodeFloat(encoder.type, value, out);
    case EncodeKind::kNumeric: return EncodeNumeric(DatumGetNumeric(value), out);
    case EncodeKind::kText:
    case EncodeKind::kBpchar:
    case EncodeKind::kBytes: return EncodeText(encoder, value, out);
    case EncodeKind::kFixed: return PutBytes(out, DatumGetPointer(value), encoder.length);
    case EncodeKind::kByte: return appendStringInfoChar(out, DatumGetChar(value));
    case EncodeKind::kTimestamp: return EncodeTimestamp(encoder.type, value, out);
    case EncodeKind::kTimeTz: {
      TimeTzADT* const time = DatumGetTimeTzADTP(value);
      PutInteger(out, time->time);
      return PutInteger(out, time->zone);
    }
    case EncodeKind::kInterval: return EncodeInterval(DatumGetIntervalP(value), out);
    case EncodeKind::kInet: return EncodeInet(value, out);
    case EncodeKind::kBit: {
      VarBit* const bits = DatumGetVarBitP(value);
      PutInteger(out, VARBITLEN(bits));
      return appendBinaryStringInfo(out, reinterpret_cast<const char*>(VARBITS(bits)), VARBITBYTES(bits));
    }
    case EncodeKind::kJsonb: return EncodeJsonb(value, out);
    case EncodeKind::kEnum: return EncodeEnum(value, out);
    case EncodeKind::kArray: return EncodeArray(encoder, value, out);
    case EncodeKind::kRecord: return EncodeRecord(encoder, value, out);
    case EncodeKind::kRange: return EncodeRange(encoder, DatumGetRangeTypeP(value), out);
    case EncodeKind::kMultirange: return EncodeMultirange(encoder, value, out);
    case EncodeKind::kHash: return EncodeByHash(encoder, value, out);
  }
}

}  // namespace dadbs::pg
