/*
 * tables.h: all tables of one verification folded in one reading of the history.
 */
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "fold.h"

extern "C" {
#include "access/htup.h"
#include "utils/relcache.h"
}

namespace dadbs::pg::verify {

class Tables : private Visitor {
 public:
  // In the active snapshot, which shows a prefix of the chain; the tables are locked, so that they are of the same definition.
  Tables(MemoryContext context, const std::vector<Oid>& relations, int work_kb, const Progress& progress);
  void Read(const Progress& progress);
  std::vector<std::unique_ptr<Fold>>& folds() { return folds_; }
  core::Position newest_definition() const { return newest_definition_; }

 private:
  void Transaction(core::Position position, int64 block_time_us, const core::WriteSetView& view) override;
  void Effect(core::Position position, uint32_t ordinal, core::ByteView change) override;
  void Rows(Place place, core::ByteView change);
  void DefinitionsAt(Place place);
  void FindNames();

  Definitions definitions_;
  size_t next_definition_ = 0;
  std::vector<std::unique_ptr<Fold>> folds_;
  std::unordered_map<std::string, Fold*> by_name_;  // schema, NUL, name
  core::Position newest_definition_;
  std::string written_;   // of the change at hand
  core::Change change_;
};

// In the current GUC nest level.
void FixEnvironment();
// The row as a change holds it. Valid until the next call.
core::ByteView TupleOf(Relation relation, HeapTuple row);
// Of a relation as it is now, as relation_version has it, without the key.
Version VersionOf(Relation relation, int first_column);

}  // namespace dadbs::pg::verify
