/*
 * layout.h: the columns and the key of a table as some position of the chain has them, and how its tuples are read.
 *
 * Postgres's plans live in a memory context of the caller's. Values are read only where there is no other way: for the canonical
 * bytes of a key (1.0 and 1.00 are one), and where a definition computes rows. Everything else compares bytes.
 */
#pragma once

#include <array>
#include <string>
#include <vector>

#include "../apply/row_relation.h"
#include "dadbs/core/write_set.h"
#include "lineage.h"

extern "C" {
#include "lib/stringinfo.h"
}

namespace dadbs::pg::verify {

// Tells rows of one table apart: the key's own canonical bytes where they are short, else a digest. The last byte says which: keys of
// neighbours are neighbours mostly, and what comes in their order is sorted already.
using KeyBytes = std::array<uint8_t, 24>;

// As in a change: u16 columns, then tag and value of each. Views into `bytes`; false: not a tuple.
bool DecodeTuple(core::ByteView bytes, core::Tuple* out);
// Every value is there: none is marked as unchanged.
bool IsWhole(const core::Tuple& tuple);

class Layout {
 public:
  Layout(MemoryContext context, const Version& version);
  const std::vector<std::string>& columns() const { return version_.columns; }
  const std::vector<std::string>& types() const { return version_.types; }
  const std::vector<std::string>& keys() const { return version_.keys; }
  size_t width() const { return version_.columns.size(); }
  bool has_key() const { return !key_.empty(); }
  // Why rows cannot be told apart or read; empty: they can.
  const std::string& unfit() const { return unfit_; }
  ColumnPlan* plan(size_t column) const { return &plans_[column]; }

  // Of the row: by its key, or by all of it where there is none. Postgres code inside: the current memory context is used.
  KeyBytes KeyOf(const core::Tuple& row);
  // The same tuple with nothing but the key.
  core::Tuple OnlyKey(const core::Tuple& row) const;

 private:
  struct KeyColumn {
    size_t at;
    bool raw;  // equal values have equal bytes, and the type's own function must not see them (labels change)
    ValueEncoder encoder;
  };
  void PrepareKey(MemoryContext context);
  void AddKeyValue(const KeyColumn& key, const core::ColumnValue& value);

  Version version_;
  ColumnPlan* plans_ = nullptr;
  std::vector<KeyColumn> key_;
  core::Writer key_bytes_;       // of the row at hand
  StringInfoData value_ = {};
  std::string unfit_;
};

}  // namespace dadbs::pg::verify
