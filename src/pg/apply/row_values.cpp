/*
 * row_values.cpp: see row_values.h. The bytes come from a peer: the types' receive functions check them, and text is
 * checked for its encoding, which input functions take for granted.
 */
#include "row_values.h"

#include "dadbs/pg/errors.h"
#include "dadbs/pg/row_apply.h"
#include "dadbs/pg/own_failure.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
}

namespace dadbs::pg {
namespace {

char* Terminated(core::ByteView bytes) {
  auto* const copy = static_cast<char*>(palloc(bytes.size() + 1));
  if (!bytes.empty()) memcpy(copy, bytes.data(), bytes.size());
  copy[bytes.size()] = '\0';
  return copy;
}

// Bytes that are no value of the type (an origin that lies, a type changed meanwhile) are the write set's fault, also where a
// receive function calls it a protocol violation or, as of tsvector and jsonb, an internal error: that would be retried.
Datum Receive(ColumnPlan* column, StringInfo buffer) {
  MemoryContext const context = CurrentMemoryContext;
  volatile Datum value = 0;
  PG_TRY();
  { value = ReceiveFunctionCall(&column->receive, buffer, column->receive_param, column->typmod); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* const error = CopyErrorData();
    FlushErrorState();
    if (error->sqlerrcode == ERRCODE_INTERNAL_ERROR || error->sqlerrcode == ERRCODE_PROTOCOL_VIOLATION)
      error->sqlerrcode = ERRCODE_INVALID_BINARY_REPRESENTATION;
    ReThrowError(error);
  }
  PG_END_TRY();
  return value;
}

template <class T>
T FromNetwork(core::ByteView bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); i++) value = static_cast<T>(value << 8 | bytes[i]);
  return value;
}

// What the receive functions of the commonest types make of bytes that are in order. False: ask them.
bool ReadPlain(const ColumnPlan* column, core::ByteView bytes, Datum* out) {
  switch (column->base) {
    case INT2OID:
      if (bytes.size() != sizeof(int16)) return false;
      return *out = Int16GetDatum(static_cast<int16>(FromNetwork<uint16>(bytes))), true;
    case INT4OID:
      if (bytes.size() != sizeof(int32)) return false;
      return *out = Int32GetDatum(static_cast<int32>(FromNetwork<uint32>(bytes))), true;
    case INT8OID:
      if (bytes.size() != sizeof(int64)) return false;
      return *out = Int64GetDatum(static_cast<int64>(FromNetwork<uint64>(bytes))), true;
    case TEXTOID: {
      if (pg_get_client_encoding() != GetDatabaseEncoding()) return false;
      const char* const text = reinterpret_cast<const char*>(bytes.data());
      int const length = static_cast<int>(bytes.size());
      if (!pg_verifymbstr(text, length, true)) return false;
      return *out = PointerGetDatum(cstring_to_text_with_len(text, length)), true;
    }
    default: return false;
  }
}

Datum ReadBinary(ColumnPlan* column, core::ByteView bytes) {
  Datum value;
  if (ReadPlain(column, bytes, &value)) return value;
  if (!column->receivable)
    ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
                    errmsg("type %s has no binary form", format_type_be(column->base))));
  StringInfoData buffer;
  buffer.data = Terminated(bytes);
  buffer.len = static_cast<int>(bytes.size());
  buffer.maxlen = buffer.len + 1;
  buffer.cursor = 0;
  value = Receive(column, &buffer);
  if (buffer.cursor != buffer.len)
    ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("incorrect binary data format")));
  return value;
}

Datum ReadText(ColumnPlan* column, core::ByteView bytes) {
  char* const text = Terminated(bytes);
  pg_verifymbstr(text, static_cast<int>(bytes.size()), false);
  return InputFunctionCall(&column->input, text, column->input_param, column->typmod);
}

// Classes that nobody takes for a failure of this member.
bool IsVerdictClass(int state) {
  switch (ERRCODE_TO_CATEGORY(state)) {
    case ERRCODE_DATA_EXCEPTION:
    case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
    case ERRCODE_PLPGSQL_ERROR:
    case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
      return true;
    default:
      return false;
  }
}

// What it names must be the same object everywhere: built-in ones are.
void CheckReference(const ColumnPlan* column, Datum value) {
  if (column->is_reference && DatumGetObjectId(value) < FirstUnpinnedObjectId) return;
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("a shared column of type %s can only refer to built-in objects", format_type_be(column->base)),
                  errhint("Store the name of the object as text.")));
}

Datum Read(ColumnPlan* column, const core::ColumnValue& value) {
  switch (value.tag) {
    case 'b': return ReadBinary(column, value.bytes);
    case 't': return ReadText(column, value.bytes);
    default:
      ereport(ERROR, (errcode(kErrInvalidWriteSet), errmsg("a value is marked unchanged where there is no older one")));
  }
  pg_unreachable();
}

}  // namespace

Doing doing = Doing::kOwn;

void ThrowVerdict(const PgError& error) {
  Doing const was = doing;
  doing = Doing::kOwn;
  if (IsStorageFailure(error)) throw error;  // index pages are written while expressions are evaluated
  int const state = error.sqlstate();
  bool const raised = error.function == "exec_stmt_raise";
  bool const ambiguous = state == ERRCODE_INTERNAL_ERROR;
  if (was == Doing::kReadingValues && ambiguous)
    throw InvalidWriteSet(kErrInvalidWriteSet, "a value cannot be read: " + error.message());
  if (was != Doing::kOwn && (ambiguous || (raised && !IsVerdictClass(state))))
    throw PgError(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, error.message(), error.detail(), error.hint());
  throw error;
}

Datum Cast(FmgrInfo* cast, Datum value) {
  doing = Doing::kEvaluating;
  Datum const result = FunctionCall1(cast, value);
  doing = Doing::kOwn;
  return result;
}

Datum ReadValue(ColumnPlan* column, const core::ColumnValue& value, bool* isnull) {
  *isnull = value.tag == 'n';
  if (*isnull) return 0;
  doing = Doing::kReadingValues;
  Datum const datum = Read(column, value);
  doing = Doing::kOwn;
  if (column->is_reference || column->holds_references) CheckReference(column, datum);
  return datum;
}

bool FillScanKeys(UniquePlan* unique, const Datum* values, const bool* nulls, ScanKey keys) {
  for (int i = 0; i < unique->count; i++) {
    int const at = unique->attnos[i] - 1;
    if (nulls[at]) return false;
    ScanKeyEntryInitializeWithInfo(&keys[i], 0, static_cast<AttrNumber>(i + 1), BTEqualStrategyNumber,
                                   unique->subtypes[i], unique->collations[i], &unique->equal[i], values[at]);
  }
  return true;
}

}  // namespace dadbs::pg
