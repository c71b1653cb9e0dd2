/*
 * reshape.h: a temporary table on which PostgreSQL repeats what a definition has done to rows: defaults of new columns, USING,
 * generated columns, conversions of types.
 */
#pragma once

#include <functional>

#include "layout.h"

namespace dadbs::pg::verify {

// The parts of it that change rows, as a copy without a relation; null: none.
AlterTableStmt* RowsPartOf(const AlterTableStmt* statement);

class Scratch {
 public:
  // Owned by the table's owner, whose functions may then run in it.
  Scratch(const Version& version, Oid owner);
  void Add(Layout* layout, uint64_t at, const core::Tuple& tuple);
  void Alter(const Definition& definition, AlterTableStmt* statement);
  Version version() const;  // as it is now; no key
  void ForEach(const std::function<void(uint64_t at, core::ByteView tuple)>& take);
  void Drop();

 private:
  Oid relation_ = InvalidOid, owner_;
  std::string name_;
};

}  // namespace dadbs::pg::verify
