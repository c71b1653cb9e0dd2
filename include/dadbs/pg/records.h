/*
 * records.h: rows out of C++ for SQL-callable functions: one builder for single records and for sets.
 *
 * A set goes into the tuplestore of InitMaterializedSRF. Values are set one after the other in column order; a row that
 * is finished with another number of columns than declared is a broken invariant.
 */
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dadbs/core/types.h"
#include "dadbs/pg/boundary.h"

extern "C" {
#include "postgres.h"
#include "access/htup_details.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
}

namespace dadbs::pg {

inline constexpr int64 kPostgresEpochUs = INT64CONST(946684800000000);  // 2000-01-01 in Unix microseconds

inline core::ByteView BytesArgument(bytea* b) {
  return {reinterpret_cast<const uint8_t*>(VARDATA_ANY(b)), static_cast<size_t>(VARSIZE_ANY_EXHDR(b))};
}

bytea* MakeBytea(core::ByteView bytes);   // palloc'd; call inside Call() or where no destructor is alive
text* MakeText(std::string_view s);

class Row {
 public:
  Row& Null() { return Add(0, true); }
  Row& Int16(int16 v) { return Add(Int16GetDatum(v), false); }
  Row& Int32(int32 v) { return Add(Int32GetDatum(v), false); }
  Row& Int64(int64 v) { return Add(Int64GetDatum(v), false); }
  Row& Bool(bool v) { return Add(BoolGetDatum(v), false); }
  Row& Bytes(core::ByteView v);
  Row& Text(std::string_view v);
  Row& TextOrNull(std::string_view v) { return v.empty() ? Null() : Text(v); }
  Row& TimeUs(int64 unix_us) { return Add(Int64GetDatum(unix_us - kPostgresEpochUs), false); }
  Row& Time(TimestampTz t) { return t == 0 ? Null() : Add(Int64GetDatum(t), false); }
  Row& Raw(Datum d, bool null = false) { return Add(d, null); }

  // Into the tuplestore of a materialized set-returning function.
  void Put(ReturnSetInfo* set);
  // As the result of a function that returns one record.
  Datum Record(FunctionCallInfo fcinfo);

 private:
  Row& Add(Datum d, bool null) {
    values_.push_back(d);
    nulls_.push_back(null);
    return *this;
  }
  std::vector<Datum> values_;
  std::vector<uint8_t> nulls_;
};

// Starts a set: the caller's ReturnSetInfo, ready for Row::Put.
ReturnSetInfo* BeginSet(FunctionCallInfo fcinfo);

}  // namespace dadbs::pg
