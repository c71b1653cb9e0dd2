/*
 * history.h: the committed changes of this member's history, in the order of the chain.
 *
 * All queries see the active snapshot, which the caller has taken: a prefix of the chain, as the tables in the same snapshot
 * show it. Runs inside SPI; few batches are in memory at a time.
 */
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"

extern "C" {
#include "executor/spi.h"
}

namespace dadbs::pg::verify {

// Rows of a query of bigints and byteas, one after the other.
class Cursor {
 public:
  Cursor(const char* query, long rows_per_fetch);
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  bool done() const { return count_ == 0; }
  int64 Number(int column) const;
  core::ByteView Bytes(int column);  // valid until Next()
  std::string Text(int column);
  void Next();

 private:
  void Fetch();

  Portal portal_ = nullptr;
  long rows_per_fetch_;
  SPITupleTable* table_ = nullptr;
  uint64 count_ = 0, at_ = 0;
  struct varlena* taken_ = nullptr;
};

// How far: heights of blocks read and to be read.
using Progress = std::function<void(int64 height)>;

class Visitor {
 public:
  virtual ~Visitor() = default;
  // Of a committed transaction; the view is valid during the call. Its contract effects come after it, in their order.
  virtual void Transaction(core::Position position, int64 block_time_us, const core::WriteSetView& view) = 0;
  virtual void Effect(core::Position position, uint32_t ordinal, core::ByteView change) = 0;
};

// `definitions_only`: transactions without definitions, proposals and contracts are passed over, and effects are.
void ReadHistory(Visitor* visitor, bool definitions_only, const Progress& progress);

}  // namespace dadbs::pg::verify
