// row_values.h: values of a write set to Datums, by the column's type here. Postgres code: palloc, ereport.
#pragma once

#include "row_relation.h"

#include "dadbs/pg/boundary.h"

namespace dadbs::pg {

// What is being done with data that somebody else chose. An error meanwhile is a verdict, whatever SQLSTATE it claims:
// receive functions call bad bytes internal errors, PL/pgSQL raises what it likes, and a member that takes such an error
// for its own failure retries for ever (hazard H25). Set by the code that does it; StartDoing() before each entry.
enum class Doing : uint8 { kOwn, kReadingValues, kEvaluating };
extern Doing doing;
// Throws what `error` means: InvalidWriteSet, an error of class 38, or itself (own_failure.cpp says why stack depth differs).
[[noreturn]] void ThrowVerdict(const PgError& error);
// While one lives, the depth of the stack counts from here: how the apply worker came here differs between members.
class StackFromHere {
 public:
  StackFromHere() : before_(set_stack_base()) {}
  ~StackFromHere() { restore_stack_base(before_); }
  StackFromHere(const StackFromHere&) = delete;
  StackFromHere& operator=(const StackFromHere&) = delete;

 private:
  pg_stack_base_t before_;
};
// An implicit cast of a foreign key's value: perhaps a user's function.
Datum Cast(FmgrInfo* cast, Datum value);

// Of a value that is not 'u'. In the current memory context. Class 22 for what is not a value of the type.
Datum ReadValue(ColumnPlan* column, const core::ColumnValue& value, bool* isnull);

// Into the scan keys of an index that makes keys, from values by attno - 1. False: a null that it does not find.
bool FillScanKeys(UniquePlan* unique, const Datum* values, const bool* nulls, ScanKey keys);

}  // namespace dadbs::pg
