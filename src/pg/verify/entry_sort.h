/*
 * entry_sort.h: what the chain and the table say of rows, sorted by key and then by when: in memory, or on disk beyond work_mem.
 *
 * An entry is one bytea that sorts as it must: key (24), position (8), order within the position (4), kind (1), then the tuple.
 */
#pragma once

#include "layout.h"

extern "C" {
#include "utils/tuplesort.h"
}

namespace dadbs::pg::verify {

enum class EntryKind : uint8_t {
  kBase = 'B',       // was there after a definition
  kInsert = 'I',
  kUpdate = 'U',     // whole
  kPatch = 'V',      // some values unchanged
  kMoved = 'M',      // an update has given it another key
  kDelete = 'D',
  kFound = 'Z',      // in the table: after everything else
};

struct Entry {
  KeyBytes key;
  uint64_t at = 0;  // Prefix of its position
  uint32_t order = 0;
  EntryKind kind = EntryKind::kInsert;
  core::ByteView tuple;  // valid until the next one is read
};

class EntrySort {
 public:
  EntrySort(MemoryContext context, int work_kb);
  ~EntrySort();
  EntrySort(const EntrySort&) = delete;
  EntrySort& operator=(const EntrySort&) = delete;
  void Put(const Entry& entry);
  void Perform();
  bool Next(Entry* entry);
  uint64_t count() const { return count_; }

 private:
  Tuplesortstate* state_ = nullptr;
  MemoryContext context_;
  uint64_t count_ = 0;
  core::Bytes buffer_;
  struct varlena* taken_ = nullptr;
};

}  // namespace dadbs::pg::verify
