/*
 * lineage.cpp: see lineage.h.
 *
 * A lineage is followed backwards from the table as it is: RENAME and SET SCHEMA change the name that it has before them,
 * CREATE TABLE ends it. A statement that names a table without its schema counts only where the same position has recorded a
 * definition under the name that we look for; what is left over shows later as columns that do not fit, never as a false claim.
 */
#include "lineage.h"

#include "../ddl/internal.h"
#include "dadbs/pg/boundary.h"

extern "C" {
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"
#include "catalog/pg_type.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr char kVersions[] =
    "SELECT height, index::bigint, schema_name, relation_name, array_to_string(columns, E'\\x01'), array_to_string(types, E'\\x01'),"
    " array_to_string(key_columns, E'\\x01') FROM dadbs_internal.relation_version ORDER BY 3, 4, 1, 2";
constexpr char kProposals[] =
    "SELECT e.height, e.index::bigint, p.statement, p.search_path FROM dadbs_internal.proposal p"
    " JOIN dadbs_internal.proposal_end e ON e.id = p.id WHERE e.state = 'executed' ORDER BY 1, 2";

std::vector<std::string> Split(const std::string& joined) {
  std::vector<std::string> parts;
  if (joined.empty()) return parts;
  size_t from = 0;
  for (size_t at; (at = joined.find('\x01', from)) != std::string::npos; from = at + 1) parts.push_back(joined.substr(from, at - from));
  parts.push_back(joined.substr(from));
  return parts;
}

bool Is(const char* text, const std::string& what) { return text != nullptr && what == text; }

const char* NameOfList(List* names) { return strVal(llast(names)); }

}  // namespace

int EnterStatement(const Definition& d) {
  return Call([&] {
    ddl::Statement s = {};
    s.text = pstrdup(d.text.c_str());
    s.role = pstrdup("");
    s.search_path = pstrdup(d.search_path.c_str());
    for (const auto& [name, value] : d.settings) {
      s.names = lappend(s.names, makeString(pstrdup(name.c_str())));
      s.values = lappend(s.values, makeString(pstrdup(value.c_str())));
    }
    return ddl::EnterEnvironment(s);
  });
}

void LeaveStatement(int level) {
  Call([&] { ddl::LeaveEnvironment(level); });
}

void Definitions::Load(const Progress& progress) {
  LoadVersions();
  LoadProposals();
  ReadHistory(this, true, progress);
}

void Definitions::LoadVersions() {
  for (Cursor row(kVersions, 1000); !row.done(); row.Next()) {
    Version version;
    version.position = {core::Height{static_cast<uint64_t>(row.Number(1))}, static_cast<uint32_t>(row.Number(2))};
    version.columns = Split(row.Text(5));
    version.types = Split(row.Text(6));
    version.keys = Split(row.Text(7));
    versions_[{row.Text(3), row.Text(4)}].push_back(std::move(version));
  }
}

void Definitions::LoadProposals() {
  for (Cursor row(kProposals, 100); !row.done(); row.Next()) {
    Definition d;
    d.place.position = {core::Height{static_cast<uint64_t>(row.Number(1))}, static_cast<uint32_t>(row.Number(2))};
    d.text = row.Text(3);
    d.search_path = row.Text(4);
    proposals_[d.place.position] = std::move(d);
  }
}

// One definition for each statement of its text.
void Definitions::Add(Definition d) {
  int const level = EnterStatement(d);
  List* const trees = Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(context_);
    List* const parsed = raw_parser(d.text.c_str(), RAW_PARSE_DEFAULT);
    MemoryContextSwitchTo(before);
    return parsed;
  });
  LeaveStatement(level);
  for (int i = 0; i < list_length(trees); i++) {
    d.place.part = static_cast<uint32_t>(i);
    d.tree = linitial_node(RawStmt, list_copy_tail(trees, i))->stmt;
    all_.push_back(d);
  }
}

void Definitions::Transaction(core::Position position, int64 block_time_us, const core::WriteSetView& view) {
  for (uint32_t i = 0; i < view.changes.size(); i++) {
    char const op = view.changes[i].bytes.empty() ? '\0' : static_cast<char>(view.changes[i].bytes[0]);
    if (op == 'P') {
      auto const executed = proposals_.find(position);
      if (executed == proposals_.end()) continue;
      Definition d = executed->second;
      d.place.ordinal = i;
      d.block_time_us = block_time_us;
      Add(std::move(d));
    }
    core::Change change;
    if (op != 'Q' || !core::DecodeChange(view.changes[i].bytes, &change)) continue;
    const auto& ddl = std::get<core::DdlChange>(change);
    Definition d;
    d.place = {position, i, 0};
    d.block_time_us = block_time_us;
    d.text = ddl.text;
    d.search_path = ddl.search_path;
    for (const auto& [name, value] : ddl.settings) d.settings.emplace_back(name, value);
    Add(std::move(d));
  }
}

const Version* Definitions::VersionAt(const Name& name, core::Position position) const {
  auto const found = versions_.find(name);
  if (found == versions_.end()) return nullptr;
  const Version* result = nullptr;
  for (const Version& v : found->second)
    if (v.position <= position) result = &v;
  return result;
}

const Version* Definitions::VersionOf(const Name& name, core::Position position) const {
  const Version* const version = VersionAt(name, position);
  return version != nullptr && version->position == position ? version : nullptr;
}

// Whether CREATE ... IF NOT EXISTS has found it: defined before, and neither dropped nor renamed since.
bool Definitions::MadeBefore(const Name& name, Place place) const {
  bool made = VersionAt(name, {core::Height{0}, 0}) != nullptr;
  for (const Definition& d : all_) {
    if (!(d.place < place)) break;
    if (Creates(d, name)) made = true;
    if (IsA(d.tree, RenameStmt) && Is(reinterpret_cast<RenameStmt*>(d.tree)->newname, name.name)) made = true;
    if (IsA(d.tree, AlterObjectSchemaStmt)) made = true;
    if (!IsA(d.tree, DropStmt)) continue;
    auto* const drop = reinterpret_cast<DropStmt*>(d.tree);
    if (drop->removeType == OBJECT_SCHEMA) made = false;
    for (int i = 0; drop->removeType == OBJECT_TABLE && i < list_length(drop->objects); i++)
      if (Is(NameOfList(static_cast<List*>(list_nth(drop->objects, i))), name.name)) made = false;
  }
  return made;
}

bool Definitions::Creates(const Definition& d, const Name& name) const {
  auto makes = [&](Node* node, const char* schema) {
    if (!IsA(node, CreateStmt)) return false;
    const RangeVar* const relation = reinterpret_cast<CreateStmt*>(node)->relation;
    if (!Is(relation->relname, name.name)) return false;
    if (relation->schemaname != nullptr) schema = relation->schemaname;
    if (schema != nullptr && name.schema != schema) return false;
    return VersionOf(name, d.place.position) != nullptr;
  };
  if (!IsA(d.tree, CreateSchemaStmt)) return makes(d.tree, nullptr);
  auto* const create = reinterpret_cast<CreateSchemaStmt*>(d.tree);
  for (int i = 0; i < list_length(create->schemaElts); i++)
    if (makes(static_cast<Node*>(list_nth(create->schemaElts, i)), create->schemaname)) return true;
  return false;
}

// What `name` was called before this statement; nothing: the statement does not rename it.
std::optional<Name> Definitions::NameBefore(const Definition& d, const Name& name) const {
  if (IsA(d.tree, RenameStmt)) {
    auto* const rename = reinterpret_cast<RenameStmt*>(d.tree);
    if (rename->renameType == OBJECT_SCHEMA && Is(rename->newname, name.schema)) return Name{rename->subname, name.name};
    if (rename->renameType != OBJECT_TABLE || rename->relation == nullptr || !Is(rename->newname, name.name)) return std::nullopt;
    bool const here = rename->relation->schemaname != nullptr ? Is(rename->relation->schemaname, name.schema)
                                                              : VersionOf(name, d.place.position) != nullptr;
    return here ? std::optional<Name>({name.schema, rename->relation->relname}) : std::nullopt;
  }
  if (!IsA(d.tree, AlterObjectSchemaStmt)) return std::nullopt;
  auto* const alter = reinterpret_cast<AlterObjectSchemaStmt*>(d.tree);
  if (alter->objectType != OBJECT_TABLE || !Is(alter->relation->relname, name.name) || !Is(alter->newschema, name.schema))
    return std::nullopt;
  if (alter->relation->schemaname != nullptr) return Name{alter->relation->schemaname, name.name};
  List* path = NIL;
  Call([&] { (void)SplitIdentifierString(pstrdup(d.search_path.c_str()), ',', &path); });
  for (int i = 0; i < list_length(path); i++) {
    Name const candidate{static_cast<char*>(list_nth(path, i)), name.name};
    if (versions_.count(candidate) != 0) return candidate;
  }
  return std::nullopt;
}

Lineage Definitions::LineageOf(const Name& now) const {
  Lineage lineage;
  Name name = now;
  std::vector<Lineage::Span> spans;  // from the last one back
  for (auto d = all_.rbegin(); d != all_.rend(); ++d) {
    if (Creates(*d, name)) {
      bool const unless_there = IsA(d->tree, CreateStmt) && reinterpret_cast<CreateStmt*>(d->tree)->if_not_exists;
      if (unless_there && MadeBefore(name, d->place)) continue;
      spans.push_back({d->place, name});
      lineage.begins_empty = true;
      break;
    }
    if (std::optional<Name> const before = NameBefore(*d, name)) {
      spans.push_back({d->place, name});
      name = *before;
    }
  }
  if (!lineage.begins_empty) spans.push_back({{}, name});
  lineage.spans.assign(spans.rbegin(), spans.rend());
  return lineage;
}

}  // namespace dadbs::pg::verify
