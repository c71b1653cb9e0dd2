/*
 * journal.h: the append-only, checksummed segment files in which a member keeps what it signed and what was decided.
 *
 * One writer (the consensus worker); any number of readers in other processes that follow it (the apply worker).
 * docs/journal-format.md gives the bytes. Sequence numbers are contiguous over all segments, from 1.
 *
 * The head of each segment but the first repeats the state (SegmentStateRecord), so that older segments can be cut.
 * The writer folds it from the records themselves, exactly as of the record before; it takes no sequence number of its
 * own. Replay and readers show it only at the head of the oldest segment, with the sequence of the record before.
 *
 * What a crash does: a torn tail is cut when the writer opens the journal; damage in front of anything known to have
 * been durable is an error that names file and offset. After a failed write or fsync, what isn't known to be durable
 * is written again, from memory, into a new segment: the page cache is not believed.
 */
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "dadbs/core/messages.h"

namespace dadbs::storage {

class FileOperations;             // file_operations.h: the system calls, replaced by tests

struct JournalPosition {          // of the byte after a record; ordered as the records are
  uint64_t generation = 0;        // the segment's number
  uint64_t offset = 0;
  auto operator<=>(const JournalPosition&) const = default;
};

struct JournalOptions {
  std::string directory;                // made with mode 0700 if it does not exist; its parent must exist
  uint64_t segment_bytes = 64u << 20;   // a larger record gets a segment of its own size
  uint32_t segments_kept = 4;           // full segments that Cut leaves, for serving laggards
  FileOperations* files = nullptr;      // null: the system's
};

inline constexpr uint64_t kJournalRecordBytesMax = 1u << 30;

struct Error {
  std::string message;                  // says which file and where
  int error_number = 0;                 // errno, or 0
};

class JournalWriter {
 public:
  // Opens and replays: `on_record` sees each intact record in order, and says what is wrong with it, or nothing.
  // A new, empty directory gives no records. Takes a lock on the directory: two processes never write one journal.
  using OnRecord = std::function<std::string(uint64_t sequence, core::JournalRecord&&)>;
  static std::unique_ptr<JournalWriter> Open(const JournalOptions& options, const OnRecord& on_record, Error* error);
  virtual ~JournalWriter() = default;
  virtual uint64_t next_sequence() const = 0;
  // Buffers the record; nothing is durable before Sync. The sequence must be next_sequence(). False: the record can't
  // be kept (too large, or not the next); nothing has changed.
  virtual bool Append(uint64_t sequence, const core::JournalRecord& record, Error* error) = 0;
  // Write and fdatasync; everything appended is durable after it. False (disk full, I/O error): what is not durable
  // stays in memory, and a later Sync tries it again.
  virtual bool Sync(Error* error) = 0;
  virtual JournalPosition durable() const = 0;
  virtual uint64_t durable_sequence() const = 0;
  virtual uint64_t buffered_bytes() const = 0;         // appended, not durable: bound it when Sync keeps failing
  // Everything at or below `height` is durably in Postgres: the oldest segments may go, if nothing in them is above it
  // (votes, proposals, batches not yet on the chain included) and segments_kept newer full ones remain.
  virtual void Cut(core::Height height) = 0;
  virtual uint64_t bytes_on_disk() const = 0;
  virtual uint64_t syncs() const = 0;
};

class JournalReader {
 public:
  // At the oldest record. A directory that has no segment yet is an empty journal.
  static std::unique_ptr<JournalReader> Open(const std::string& directory, Error* error);
  virtual ~JournalReader() = default;
  enum class Outcome {
    kRecord,
    kEnd,    // nothing more up to the limit
    kCut,    // the writer has cut the segment that comes next: open a new reader, which begins behind the cut
    kError,
  };
  // The next record that ends at or before `limit` (what the writer published as durable).
  virtual Outcome Next(JournalPosition limit, core::JournalRecord* out, Error* error) = 0;
  virtual uint64_t sequence() const = 0;         // of the last record read
  virtual JournalPosition position() const = 0;  // behind the last record read
};

}  // namespace dadbs::storage
