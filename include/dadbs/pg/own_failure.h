/*
 * own_failure.h: is an error something about this member, or about the transaction? src/pg/apply/own_failure.cpp argues.
 */
#pragma once

#include "dadbs/pg/boundary.h"

namespace dadbs::pg {

// About this member (out of memory, disk full, cancelled, deadlock, internal): retried, never a verdict.
bool IsOwnFailure(const PgError& e);
bool IsOwnFailure(const ErrorData& e);  // the same, of one that Postgres has caught
// One of them that may follow from the chain all the same (XX000): where it stays, members vote.
bool IsInternalFailure(const PgError& e);
// Raised by files and the kernel under them: never a verdict, wherever it was raised.
bool IsStorageFailure(const PgError& e);

}  // namespace dadbs::pg
