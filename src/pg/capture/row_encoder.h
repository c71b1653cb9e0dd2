/*
 * row_encoder.h: decoded heap tuples as canonical change bytes (core/write_set.h).
 *
 * Values travel in binary where the type's wire form holds no OID that could differ between members: the built-in
 * types, their arrays and ranges, and domains over them. Everything else (enums, composites, reg* types, extensions'
 * types) travels as text, written in the fixed environment that the capture worker sets. The commonest types are
 * written without a call.
 *
 * What is needed per relation is cached until any definition changes (invalidation callbacks, which historic decoding
 * drives too). Runs in the capture worker, under a historic snapshot.
 */
#pragma once

#include <string>
#include <unordered_map>

#include "dadbs/core/encoding.h"

extern "C" {
#include "postgres.h"
#include "access/htup.h"
#include "utils/palloc.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

struct RelationCodec;

class RowEncoder {
 public:
  RowEncoder();
  RowEncoder(const RowEncoder&) = delete;
  RowEncoder& operator=(const RowEncoder&) = delete;

  // 'I': new row; 'U': new row, and the old key where it changed; 'D': the old key. Throws PgError (55000: no key).
  // The result is valid until the next call. `doubtful` (if not null) becomes true if others may not be able to read the row, or may
  // store it otherwise (doubt.h).
  core::ByteView EncodeRow(char op, Relation relation, HeapTuple old_key, HeapTuple row, bool* doubtful = nullptr);

 private:
  const RelationCodec& CodecOf(Relation relation);
  void AddTuple(const RelationCodec& codec, Relation relation, HeapTuple tuple, bool* doubtful);

  std::unordered_map<uint32_t, RelationCodec*> codecs_;
  core::Writer out_;
  MemoryContext codec_context_;
  MemoryContext row_context_;
};

}  // namespace dadbs::pg
