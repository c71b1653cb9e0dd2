/*
 * doubt.cpp: see doubt.h.
 */
#include "doubt.h"

extern "C" {
#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "port/pg_bswap.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dadbs::pg {
namespace {

// A value of json, or of an array of it, with fewer bytes is not nested deeper than a reader's stack goes on any member.
constexpr uint32 kNestedBytesMax = 10'000;
constexpr int kNestingMax = kNestedBytesMax / 2;
// By how much sizes may be wrong that are computed without looking at alignment and short headers.
constexpr Size kSizeMargin = 16;

bool IsSure(Oid type) {
  switch (type) {
    case INT2OID: case INT4OID: case INT8OID: case OIDOID: case FLOAT4OID: case FLOAT8OID: case NUMERICOID: case CASHOID: case BOOLOID:
    case TEXTOID: case VARCHAROID: case BPCHAROID: case NAMEOID: case CHAROID: case BYTEAOID: case BITOID: case VARBITOID: case UUIDOID:
    case DATEOID: case INTERVALOID: case INETOID: case CIDROID: case MACADDROID:
    case MACADDR8OID: case POINTOID: case LSEGOID: case PG_LSNOID: case XIDOID: case XID8OID: case CIDOID: case TIDOID:
    case INT4RANGEOID: case INT8RANGEOID: case NUMRANGEOID: case DATERANGEOID: case INT4MULTIRANGEOID: case INT8MULTIRANGEOID:
    case NUMMULTIRANGEOID: case DATEMULTIRANGEOID: return true;
    default: return type_is_enum(type);
  }
}

// Of json as text, which may be out of order.
bool IsNestedDeep(const char* text, uint32 length) {
  bool in_string = false;
  int depth = 0;
  for (uint32 i = 0; i < length; i++) {
    char const c = text[i];
    if (c == '\\' && in_string)
      i++;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '[' || c == '{') && ++depth > kNestingMax)
      return true;
    else if (!in_string && (c == ']' || c == '}'))
      depth--;
  }
  return false;
}

// Past the pointer to where decoding has put together what was out of line.
const struct varlena* Found(Datum value, bool* out_of_line) {
  const auto* at = reinterpret_cast<const struct varlena*>(DatumGetPointer(value));
  *out_of_line = VARATT_IS_EXTERNAL_INDIRECT(at);
  if (!*out_of_line) return at;
  struct varatt_indirect indirect;
  VARATT_EXTERNAL_GET_POINTER(indirect, at);
  return indirect.pointer;
}

bool IsCompressedAsHere(const FormData_pg_attribute& column, const struct varlena* value) {
  char const method = CompressionMethodIsValid(column.attcompression) ? column.attcompression : TOAST_PGLZ_COMPRESSION;
  ToastCompressionId const id = method == TOAST_LZ4_COMPRESSION ? TOAST_LZ4_COMPRESSION_ID : TOAST_PGLZ_COMPRESSION_ID;
  return (column.attstorage == TYPSTORAGE_EXTENDED || column.attstorage == TYPSTORAGE_MAIN) &&
         TOAST_COMPRESS_METHOD(value) == id;
}

}  // namespace

Return ReturnOf(Oid type) {
  if (IsSure(type)) return Return::kSure;
  if (type == TIMEOID) return Return::kByTime;
  if (type == TIMESTAMPOID || type == TIMESTAMPTZOID) return Return::kByTimestamp;
  if (type == JSONOID || type == JSONBOID) return Return::kByNesting;
  Oid const element = get_element_type(type);
  if (element == JSONOID || element == JSONBOID) return Return::kByLength;
  // Those of domains travel as text, in which not even an interval is sure.
  return OidIsValid(element) && IsSure(element) ? Return::kSure : Return::kDoubtful;
}

bool MayNotComeBack(Return of_type, const char* data, uint32 length) {
  if (of_type == Return::kSure) return false;
  if (of_type == Return::kDoubtful) return true;
  if (of_type == Return::kByTime || of_type == Return::kByTimestamp) {
    uint64 bytes;
    memcpy(&bytes, data, sizeof(bytes));
    auto const value = static_cast<int64>(pg_ntoh64(bytes));
    if (of_type == Return::kByTime) return value < 0 || value > USECS_PER_DAY;
    return !TIMESTAMP_NOT_FINITE(value) && !IS_VALID_TIMESTAMP(value);
  }
  return length >= kNestedBytesMax && (of_type == Return::kByLength || IsNestedDeep(data, length));
}

// The one compressed value that is no reason to doubt is the one that PostgreSQL compresses first, the largest, where the row is too
// large without that and not with it (heaptoast.c).
bool IsStoredOtherwise(Relation relation, HeapTuple tuple, const Datum* values, const bool* nulls) {
  if (!HeapTupleHasVarWidth(tuple)) return false;
  TupleDesc const columns = RelationGetDescr(relation);
  int compressed = 0;
  bool out_of_line = false;
  Size largest_plain = 0, plain = 0, packed = 0;
  for (int i = 0; i < columns->natts; i++) {
    const FormData_pg_attribute& column = *TupleDescAttr(columns, i);
    if (column.attisdropped || column.attlen != -1 || nulls[i]) continue;
    out_of_line |= VARATT_IS_EXTERNAL(DatumGetPointer(values[i]));
    if (VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(values[i]))) continue;  // left as it was, there too
    bool indirect;
    const struct varlena* const value = Found(values[i], &indirect);
    if (!VARATT_IS_COMPRESSED(value)) {
      if (!indirect && column.attstorage == TYPSTORAGE_EXTENDED) largest_plain = Max(largest_plain, VARSIZE_ANY(value));
      continue;
    }
    if (!IsCompressedAsHere(column, value)) return true;
    if (indirect) continue;
    if (column.attstorage != TYPSTORAGE_EXTENDED || ++compressed > 1) return true;
    packed = VARSIZE(value);
    plain = VARDATA_COMPRESSED_GET_EXTSIZE(value) + VARHDRSZ;
  }
  if (compressed == 0) return false;
  Size const target = RelationGetToastTupleTarget(relation, TOAST_TUPLE_TARGET);
  bool const too_large_plain = tuple->t_len - packed + plain > TOAST_TUPLE_THRESHOLD + kSizeMargin;
  return out_of_line || plain < largest_plain || !too_large_plain || tuple->t_len + kSizeMargin > target;
}

}  // namespace dadbs::pg
