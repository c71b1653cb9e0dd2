/*
 * fold.h: what the rows of one table are by the chain: its changes, sorted by key, the last one of each key counts.
 *
 * A definition that changes rows (a new column, another type, another key) ends a segment: the rows as they are by then are
 * computed, PostgreSQL itself executes the statement on them in a temporary table (reshape.h), and the result is where the next
 * segment begins. Where that cannot be done for certain, the rows before are forgotten and `forgotten` says why: what was written
 * since is known, the rest is not. Nothing is ever guessed.
 */
#pragma once

#include <functional>
#include <memory>

#include "entry_sort.h"
#include "lineage.h"

extern "C" {
#include "utils/relcache.h"
}

namespace dadbs::pg::verify {

// One key, by the chain and in the table.
struct Verdict {
  enum class Said { kNothing, kAbsent, kPresent } said = Said::kNothing;
  core::Bytes tuple;     // kPresent; values may be marked 'u': not known
  uint64_t at = 0;       // Prefix of the position that says so; 0: none
  uint32_t copies = 0;   // of tables without a key
  std::vector<core::Bytes> found;

  void Clear() {  // keeps its memory
    said = Said::kNothing;
    tuple.clear();
    at = 0;
    copies = 0;
    found.clear();
  }
};

class Fold {
 public:
  Fold(MemoryContext context, const Definitions& definitions, Name now, Oid relation, int work_kb);

  const Name& name() const { return name_; }  // where the reading stands
  bool active() const { return active_; }
  // In the order of the chain.
  void Row(Place place, const core::RowChange& change);
  void Truncate();
  void Statement(const Definition& definition);
  void EndOfTransaction(core::Position position);

  // At the end. Puts the table's rows beside what the chain says, then gives all keys one after the other.
  void AddFound(core::ByteView tuple);
  void ForEach(const std::function<void(const Verdict&)>& take);

  uint64_t entries() const { return sort_->count(); }
  bool knows_all() const { return !base_unknown_; }
  const std::string& forgotten() const { return forgotten_; }  // why it does not
  core::Position forgotten_at() const { return forgotten_at_; }
  const Layout* layout() const { return layout_.get(); }
  Oid relation() const { return relation_; }

 private:
  const Version* VersionHere(core::Position position) const;
  bool Names(const RangeVar* relation, core::Position position) const;
  void Begin();
  void Forget(core::Position position, const std::string& why);
  void Adopt(const Version& version);
  void Clear();
  void Alter(const Definition& definition);
  void RenameColumn(const RenameStmt* rename);
  void RenameLabel(const Definition& definition);
  // The rows again, under the layout of `version`, each as `change` makes it.
  void Regroup(const Version& version, const std::function<core::Bytes(const core::Tuple&)>& change);
  bool Project(const Version& version);
  bool Reshaped(const Definition& definition, AlterTableStmt* statement);
  void Put(EntryKind kind, Place place, int sub, const core::Tuple& tuple);

  MemoryContext context_, row_context_;
  const Definitions& definitions_;
  Lineage lineage_;
  size_t span_ = 0;
  Name name_;
  Oid relation_;
  int work_kb_;
  bool active_ = false, base_unknown_ = false;
  std::unique_ptr<Layout> layout_;
  std::unique_ptr<EntrySort> sort_;
  core::Tuple found_;     // of the row at hand
  core::Writer encoded_;
  std::vector<const Definition*> of_others_;  // ALTER TABLE of this transaction that may go on to this table
  bool types_renamed_ = false;
  std::string forgotten_;
  core::Position forgotten_at_;
};

}  // namespace dadbs::pg::verify
