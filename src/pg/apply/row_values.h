// row_values.h: values of a write set to Datums, by the column's type here. Postgres code: palloc, ereport.
#pragma once

#include "row_relation.h"

namespace dadbs::pg {

// Of a value that is not 'u'. In the current memory context. Class 22 for what is not a value of the type.
Datum ReadValue(ColumnPlan* column, const core::ColumnValue& value, bool* isnull);

// Into the scan keys of an index that makes keys, from values by attno - 1. False: a null that it does not find.
bool FillScanKeys(UniquePlan* unique, const Datum* values, const bool* nulls, ScanKey keys);

}  // namespace dadbs::pg
