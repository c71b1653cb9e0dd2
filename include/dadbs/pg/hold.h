/*
 * hold.h: what a client backend does between COMMIT and its answer.
 *
 * A transaction that changed shared relations is held in XACT_EVENT_PRE_COMMIT until the chain has decided about it
 * (src/pg/backend/hold.cpp). DDL uses three more doors: a change that travels inside the transaction's write set, one
 * that takes its turn first, and the mark that says "not on the fast path".
 *
 * The functions below throw PgError: call them inside Enter().
 */
#pragma once

#include "dadbs/core/write_set.h"

namespace dadbs::pg {

// Hooks and transaction callbacks; from _PG_init where the library is preloaded. First of all parts that register
// transaction callbacks: they run last-registered first, and nobody may write after ours.
void InitHold();

// Orders `change` alone and returns when it has been executed and is visible here; throws the verdict otherwise. Ends
// the caller's (so far empty) transaction and starts a new one. Only where nothing else is in the transaction: the
// caller has checked PROCESS_UTILITY_TOPLEVEL and !IsInTransactionBlock(true).
void HoldLoneDdl(const core::DdlChange& change);

// Orders calls of contracts, encoded 'C' changes that are executed together, and returns their position when they are executed and
// visible here; throws the verdict otherwise. The caller's transaction, which has no id and holds no lock of a shared table, stays
// as it is.
core::Position HoldCalls(const std::vector<core::Bytes>& changes);

// Puts a 'Q', 'S' or 'K' change at this place of the transaction's write set. Rolled back with its subtransaction. Implies
// that the write set is replayed (no fast path).
void EmitChange(const core::Change& change);

// This transaction is applied from the block here too, whatever it holds: the backend lets go at the hand-over.
void MarkNeedsReplay();

// Definitions that do not travel (temporary objects, what is in no shared schema, settings of roles): the internal abort
// loses them, so a transaction that is applied from its block must not hold any. The DDL hook looks whether a statement
// has written catalogs. Postgres code; neither throws PgError.
uint64_t CountCatalogRows();  // written so far by this transaction, less what its savepoints rolled back
void NoteLocalDefinition();

// The last transaction of this session that was ordered; false: none yet.
bool LastTransactionId(core::TransactionId* id);

// Definitions changed at `position`, which is applied, committed, and whose invalidations have been sent. By the
// apply worker, instead of writing shared->schema_position: transactions that run now may have read the old
// definitions and keep the old schema base; later ones start with the new ones.
void PublishSchemaPosition(core::Prefix position) noexcept;

// What the calling transaction did so far counts as a change of shared objects although no row of a shared table was
// touched (DDL that travels): mixing with local tables is refused the same way.
bool TransactionHasSharedChanges();

}  // namespace dadbs::pg
