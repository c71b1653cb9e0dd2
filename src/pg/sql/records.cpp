/*
 * records.cpp: see records.h.
 */
#include "dadbs/pg/records.h"

namespace dadbs::pg {

bytea* MakeBytea(core::ByteView bytes) {
  bytea* const out = static_cast<bytea*>(palloc(VARHDRSZ + bytes.size()));
  SET_VARSIZE(out, VARHDRSZ + bytes.size());
  memcpy(VARDATA(out), bytes.data(), bytes.size());
  return out;
}

text* MakeText(std::string_view s) { return cstring_to_text_with_len(s.data(), static_cast<int>(s.size())); }

Row& Row::Bytes(core::ByteView v) {
  return Add(Call([&] { return PointerGetDatum(MakeBytea(v)); }), false);
}

Row& Row::Text(std::string_view v) {
  return Add(Call([&] { return PointerGetDatum(MakeText(v)); }), false);
}

void Row::Put(ReturnSetInfo* set) {
  DADBS_CHECK(static_cast<int>(values_.size()) == set->setDesc->natts);
  Call([&] { tuplestore_putvalues(set->setResult, set->setDesc, values_.data(), reinterpret_cast<bool*>(nulls_.data())); });
}

Datum Row::Record(FunctionCallInfo fcinfo) {
  TupleDesc const desc = Call([&] {
    TupleDesc result = nullptr;
    if (get_call_result_type(fcinfo, nullptr, &result) != TYPEFUNC_COMPOSITE)
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("function returning record called in wrong context")));
    return BlessTupleDesc(result);
  });
  DADBS_CHECK(static_cast<int>(values_.size()) == desc->natts);
  return Call([&] {
    return HeapTupleGetDatum(heap_form_tuple(desc, values_.data(), reinterpret_cast<bool*>(nulls_.data())));
  });
}

ReturnSetInfo* BeginSet(FunctionCallInfo fcinfo) {
  return Call([&] {
    InitMaterializedSRF(fcinfo, 0);
    return reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  });
}

}  // namespace dadbs::pg
