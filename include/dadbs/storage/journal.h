/*
 * journal.h: the append-only, checksummed segment files in which a member keeps what it signed and what was decided.
 *
 * One writer (the consensus worker); any number of readers that follow it (the apply worker). Files
 * <dir>/<16 hex digits>.seg, preallocated, generation in the header. A record: u32 length, u32 crc32c over
 * (generation, sequence, payload), u64 sequence, payload (EncodeRecord). Sequence numbers are contiguous over segments.
 * A torn tail is cut when the writer opens it; damage elsewhere is an error that says where. After a failed fsync what
 * is not known to be durable is rewritten from memory into a new segment. A segment may be cut (removed, recycled) when
 * the caller says that everything below a height is durably applied and no open vote stands in it.
 */
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "dadbs/core/messages.h"

namespace dadbs::storage {

struct JournalPosition {          // of the byte after a record
  uint64_t generation = 0;
  uint64_t offset = 0;
  auto operator<=>(const JournalPosition&) const = default;
};

struct JournalOptions {
  std::string directory;
  uint64_t segment_bytes = 64u << 20;   // a larger record gets a segment of its own size
  uint32_t segments_kept = 4;           // also for serving laggards
};

struct Error {
  std::string message;                  // says which file and where
  int error_number = 0;                 // errno, or 0
};

class JournalWriter {
 public:
  // Opens and replays: `on_record` sees each intact record in order. A new, empty directory gives no records.
  // Takes a lock on the directory: two processes never write one journal.
  static std::unique_ptr<JournalWriter> Open(const JournalOptions& options,
                                             const std::function<std::string(uint64_t sequence, core::JournalRecord&&)>& on_record,
                                             Error* error);
  virtual ~JournalWriter() = default;
  virtual uint64_t next_sequence() const = 0;
  // Buffers the record; nothing is durable before Sync. The sequence must be next_sequence().
  virtual bool Append(uint64_t sequence, const core::JournalRecord& record, Error* error) = 0;
  // Called when a new segment starts, to repeat the state at its head.
  virtual void SetSegmentState(std::function<core::SegmentStateRecord()> state) = 0;
  virtual bool Sync(Error* error) = 0;                 // write and fdatasync; everything appended is durable after it
  virtual JournalPosition durable() const = 0;
  virtual uint64_t durable_sequence() const = 0;
  // Everything at or below `height` is durably in Postgres: segments wholly below may go.
  virtual void Cut(core::Height height) = 0;
  virtual uint64_t bytes_on_disk() const = 0;
  virtual uint64_t syncs() const = 0;
};

class JournalReader {
 public:
  static std::unique_ptr<JournalReader> Open(const std::string& directory, Error* error);  // at the oldest record
  virtual ~JournalReader() = default;
  enum class Outcome { kRecord, kEnd, kError };
  // The next record that ends at or before `limit` (what the writer published as durable).
  virtual Outcome Next(JournalPosition limit, core::JournalRecord* out, Error* error) = 0;
  virtual uint64_t sequence() const = 0;  // of the last record read
};

}  // namespace dadbs::storage
