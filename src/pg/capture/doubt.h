/*
 * doubt.h: rows that the others may not be able to read, or would store otherwise than their origin has them.
 *
 * The others form a row from what was sent. Its origin has it from its own session, and commits it by itself only where that is
 * the same. It is not where
 *   - a type sends what it does not receive: a circle of negative radius, timetz at 30 hours of UTC, a timestamp(0) that was rounded up
 *     past the last one, a box with NaN in it, xml that was made of elements and never parsed, json nested deeper than the stack of whoever reads it goes
 *   - values came compressed into the row, from another table or an older version of the row: indexes take them as they are, so what
 *     is an entry of 16 bytes here is one of 400 there, and too long. What a row's own size makes of plain values is the same anywhere
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "access/htup.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// Whether what a type sends is always received as the same value.
enum class Return : uint8 { kSure, kByTimestamp, kByTime, kByNesting, kByLength, kDoubtful };

// Of a base type (no domain).
Return ReturnOf(Oid type);
// A value as it is sent; of kByTimestamp and kByTime eight bytes in network order.
bool MayNotComeBack(Return of_type, const char* data, uint32 length);
// `values` and `nulls` are the tuple's.
bool IsStoredOtherwise(Relation relation, HeapTuple tuple, const Datum* values, const bool* nulls);

}  // namespace dadbs::pg
