/*
 * lineage.h: from which position on a table is what it is now, under which names, and which definitions have touched it.
 *
 * Read off the chain's own statements and off dadbs_internal.relation_version, which has the columns and the key of each
 * relation that a position defined. What cannot be told for certain is said so: a lineage then begins with rows unknown.
 */
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dadbs/core/write_set.h"
#include "history.h"

extern "C" {
#include "postgres.h"
#include "nodes/parsenodes.h"
}

namespace dadbs::pg::verify {

struct Name {
  std::string schema, name;
  auto operator<=>(const Name&) const = default;
};

// A place within the chain: a change of a transaction, and the statement in it (of a proposal there may be several).
struct Place {
  core::Position position;
  uint32_t ordinal = 0, part = 0;
  auto operator<=>(const Place&) const = default;
};

struct Version {
  core::Position position;
  std::vector<std::string> columns, types, keys;
};

struct Definition {
  Place place;
  int64 block_time_us = 0;
  std::string text, search_path;
  std::vector<std::pair<std::string, std::string>> settings;
  Node* tree = nullptr;  // of one statement; copy before it is executed
};

struct Lineage {
  struct Span {
    Place from;
    Name name;
  };
  std::vector<Span> spans;    // ascending; the first one is where it begins
  bool begins_empty = false;  // made by a statement of the chain; else it was there before
};

// All definitions of this member's history, and what they have made of relations.
class Definitions : private Visitor {
 public:
  explicit Definitions(MemoryContext context) : context_(context) {}
  void Load(const Progress& progress);

  Lineage LineageOf(const Name& now) const;
  const std::vector<Definition>& all() const { return all_; }
  // The version in force after that position; null: none is known.
  const Version* VersionAt(const Name& name, core::Position position) const;
  // The one that this very position made.
  const Version* VersionOf(const Name& name, core::Position position) const;

 private:
  void Transaction(core::Position position, int64 block_time_us, const core::WriteSetView& view) override;
  void Effect(core::Position, uint32_t, core::ByteView) override {}
  void LoadVersions();
  void LoadProposals();
  void Add(Definition definition);
  bool MadeBefore(const Name& name, Place place) const;
  bool Creates(const Definition& definition, const Name& name) const;
  std::optional<Name> NameBefore(const Definition& definition, const Name& name) const;

  MemoryContext context_;
  std::map<Name, std::vector<Version>> versions_;
  std::map<core::Position, Definition> proposals_;  // executed, by the position
  std::vector<Definition> all_;
};

// In force until LeaveStatement: search_path and settings of the statement, as where it was executed.
int EnterStatement(const Definition& definition);
void LeaveStatement(int level);

}  // namespace dadbs::pg::verify
