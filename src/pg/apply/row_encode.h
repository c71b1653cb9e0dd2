/*
 * row_encode.h: canonical bytes of a value, for key hashes: equal for values that the type's equality calls equal,
 * across types that may be compared (int2 and int8, name and text, date and timestamp), and the same on all members:
 * enums by label, no OIDs. Postgres code: palloc, ereport.
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
}

namespace dadbs::pg {

enum class EncodeKind : uint8 {
  kNone = 0,  // no encoding is known: the index gets one constant key
  kInteger,   // int2, int4, int8, oid, money, time, pg_lsn, xid8
  kFloat,     // float4, float8
  kNumeric,
  kText,  // text, varchar, name; deterministic collations
  kBpchar,
  kBytes,
  kFixed,      // uuid, macaddr: typlen bytes
  kByte,       // bool, "char"
  kTimestamp,  // date, timestamp, timestamptz (in UTC)
  kTimeTz,
  kInterval,
  kInet,
  kBit,
  kJsonb,
  kEnum,
  kArray,
  kRecord,
  kRange,
  kMultirange,
  kHash,  // the type's own extended hash function, two seeds
};

struct ValueEncoder {
  EncodeKind kind;
  Oid type;  // without domains
  Oid collation;
  int16 length;
  bool by_value;
  char align;
  FmgrInfo hash;  // kHash
  int child_count;
  ValueEncoder* children;  // element, columns (dropped ones: kNone), subtype
};

// For values of `type` that are compared by `equality` (InvalidOid: the type's own) under `collation`. Allocates in the
// current memory context. kNone if there is no encoding, or no encoding of a part.
void InitEncoder(ValueEncoder* encoder, Oid type, Oid collation, Oid equality);

void EncodeValue(const ValueEncoder& encoder, Datum value, StringInfo out);
void EncodeNull(StringInfo out);

}  // namespace dadbs::pg
