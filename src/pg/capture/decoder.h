/*
 * decoder.h: logical decoding of transactions that have not committed.
 *
 * The one place that touches structures of Postgres's logical decoding which move between releases: see decoder.cpp.
 * Used by the capture worker only, one per process.
 */
#pragma once

#include <cstdint>
#include <span>

#include "dadbs/core/types.h"

extern "C" {
#include "postgres.h"
#include "access/htup.h"
#include "access/xlogdefs.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// What a decoded transaction consists of, in order. May throw PgError: decoding of that transaction ends with it.
class ChangeSink {
 public:
  virtual ~ChangeSink() = default;
  virtual void OnRow(char op, Relation relation, HeapTuple old_key, HeapTuple row) = 0;  // op 'I', 'U', 'D'
  virtual void OnTruncate(std::span<const Relation> relations, bool cascade, bool restart_identity) = 0;
  virtual void OnMessage(core::ByteView message) = 0;  // transactional, with our prefix
  // At the end, once per row: ON CONFLICT inserted it and took it back. Not among the changes.
  virtual void OnSpeculativeAbort(Oid relation) = 0;
};

// Creates the temporary slot and waits until every transaction that runs now has ended. Interruptible.
void StartDecoding();

// Reads the next WAL record, waiting for it, and keeps track of it. A non-transactional message with our prefix is
// returned (valid until the next call), else an empty view. Throws PgError.
core::ByteView DecodeNext();

// Decodes what `xid` and its committed subtransactions have done so far; to be called after its last change was read.
// False: it is unknown, or has been rolled back meanwhile. What the sink throws comes through.
bool DecodeOpenTransaction(uint32_t xid, std::span<const uint32_t> children, ChangeSink* sink);

}  // namespace dadbs::pg
