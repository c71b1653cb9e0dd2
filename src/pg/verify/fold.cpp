/*
 * fold.cpp: see fold.h.
 */
#include "fold.h"

#include <algorithm>
#include <utility>

#include "reshape.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::verify {
namespace {

core::Bytes Encoded(const core::Tuple& tuple) {
  core::Writer w;
  core::EncodeTuple(w, tuple);
  return w.Take();
}

// `newer` where it says something, else what was there.
core::Bytes Patched(core::ByteView older, core::ByteView newer) {
  core::Tuple before, after;
  if (!DecodeTuple(newer, &after)) return {};
  if (DecodeTuple(older, &before) && before.size() == after.size())
    for (size_t i = 0; i < after.size(); i++)
      if (after[i].tag == 'u') after[i] = before[i];
  return Encoded(after);
}

void Apply(const Entry& e, bool has_key, Verdict* v) {
  if (e.kind == EntryKind::kFound) {
    v->found.emplace_back(e.tuple.begin(), e.tuple.end());
    return;
  }
  v->at = e.at;
  switch (e.kind) {
    case EntryKind::kBase:
    case EntryKind::kInsert:
      v->copies = has_key ? 1 : v->copies + 1;
      [[fallthrough]];
    case EntryKind::kUpdate:
      v->said = Verdict::Said::kPresent;
      v->tuple.assign(e.tuple.begin(), e.tuple.end());
      if (v->copies == 0) v->copies = 1;
      break;
    case EntryKind::kPatch:
      v->said = Verdict::Said::kPresent;
      v->tuple = Patched(v->tuple, e.tuple);
      if (v->copies == 0) v->copies = 1;
      break;
    case EntryKind::kMoved:  // the tuple stays: it may move to an equal key, and say "unchanged" of it
      v->said = Verdict::Said::kAbsent;
      break;
    default:
      v->said = Verdict::Said::kAbsent;
      v->tuple.clear();
  }
}

// Runs `body`; an error is rolled back with a subtransaction, and its message is returned.
template <class F>
std::string Attempt(F&& body) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  Call([] { BeginInternalSubTransaction(nullptr); });
  MemoryContextSwitchTo(context);
  std::string error;
  try {
    body();
  } catch (const PgError& e) {
    if (e.sqlstate() == ERRCODE_QUERY_CANCELED || e.sqlstate() == ERRCODE_ADMIN_SHUTDOWN) throw;
    error = e.message();
  }
  Call([&] { error.empty() ? ReleaseCurrentSubTransaction() : RollbackAndReleaseCurrentSubTransaction(); });
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return error;
}

bool SameColumns(const Layout& layout, const Version& version) {
  return layout.columns() == version.columns && layout.types() == version.types;
}

}  // namespace

Fold::Fold(MemoryContext context, const Definitions& definitions, Name now, Oid relation, int work_kb)
    : context_(context), definitions_(definitions), lineage_(definitions.LineageOf(now)), relation_(relation), work_kb_(work_kb) {
  row_context_ = Call([&] { return AllocSetContextCreate(context, "dadbs fold row", ALLOCSET_SMALL_SIZES); });
  name_ = lineage_.spans.front().name;
  if (!lineage_.begins_empty) {
    Begin();
    Forget({}, "it was there before the group");
    if (const Version* const version = VersionHere({core::Height{0}, 0})) Adopt(*version);
  }
}

// Under the name that it has here, or that this very transaction gives it.
const Version* Fold::VersionHere(core::Position position) const {
  const Version* found = definitions_.VersionOf(lineage_.spans[span_].name, position);
  for (size_t i = span_ + 1; i < lineage_.spans.size() && lineage_.spans[i].from.position == position; i++)
    if (const Version* const v = definitions_.VersionOf(lineage_.spans[i].name, position)) found = v;
  return found;
}

bool Fold::Names(const RangeVar* relation, core::Position position) const {
  if (relation == nullptr || name_.name != relation->relname) return false;
  return relation->schemaname != nullptr ? name_.schema == relation->schemaname : VersionHere(position) != nullptr;
}

void Fold::Clear() {
  sort_.reset();
  sort_ = std::make_unique<EntrySort>(context_, work_kb_);
}

void Fold::Begin() {
  active_ = true;
  base_unknown_ = false;
  forgotten_.clear();
  layout_.reset();
  Clear();
}

void Fold::Forget(core::Position position, const std::string& why) {
  base_unknown_ = true;
  forgotten_ = why;
  forgotten_at_ = position;
  Clear();
}

void Fold::Adopt(const Version& version) { layout_ = std::make_unique<Layout>(context_, version); }

void Fold::Truncate() {
  if (!active_) return;
  base_unknown_ = false;
  forgotten_.clear();
  Clear();
}

// ---- rows ----------------------------------------------------------------------------------------------------------

void Fold::Put(EntryKind kind, Place place, int sub, const core::Tuple& tuple) {
  MemoryContext const before = MemoryContextSwitchTo(row_context_);
  Entry entry;
  entry.key = layout_->KeyOf(tuple);
  MemoryContextSwitchTo(before);
  MemoryContextReset(row_context_);
  entry.at = core::PrefixAfter(place.position).value;
  entry.order = place.ordinal * 2 + static_cast<uint32_t>(sub);
  entry.kind = kind;
  encoded_.Clear();
  if (kind != EntryKind::kDelete && kind != EntryKind::kMoved) core::EncodeTuple(encoded_, tuple);
  entry.tuple = encoded_.bytes();
  sort_->Put(entry);
}

void Fold::Row(Place place, const core::RowChange& change) {
  if (!active_) return;
  const core::Tuple& shown = change.op == 'D' ? change.old_key : change.row;
  if (layout_ == nullptr || layout_->width() != shown.size()) {
    // In the middle of a transaction that defines and writes: the definition as it is at its end, or not known.
    const Version* const version = VersionHere(place.position);
    if (version == nullptr || version->columns.size() != shown.size()) return Forget(place.position, "rows do not fit its columns");
    if (sort_->count() > 0) Forget(place.position, "it was changed and written in one transaction");
    Adopt(*version);
  }
  if (!layout_->unfit().empty()) {
    if (!base_unknown_ || sort_->count() > 0) Forget(place.position, layout_->unfit());
    return;
  }
  if (change.op == 'I') return Put(EntryKind::kInsert, place, 1, change.row);
  if (change.op == 'D') return Put(EntryKind::kDelete, place, 0, change.old_key);
  core::Tuple row = change.row;
  if (change.has_old_key) {
    Put(EntryKind::kMoved, place, 0, change.old_key);
    // A value of the key that is marked unchanged stands in the old key.
    for (size_t i = 0; i < row.size(); i++)
      if (row[i].tag == 'u' && change.old_key[i].tag != 'n') row[i] = change.old_key[i];
  }
  Put(IsWhole(row) ? EntryKind::kUpdate : EntryKind::kPatch, place, 1, row);
}

// ---- definitions -----------------------------------------------------------------------------------------------------

void Fold::Statement(const Definition& d) {
  for (size_t i = 0; i < lineage_.spans.size(); i++) {
    if (lineage_.spans[i].from != d.place) continue;
    span_ = i;
    name_ = lineage_.spans[i].name;
    if (i > 0 || !lineage_.begins_empty) return;  // a new name
    Begin();
    if (const Version* const version = VersionHere(d.place.position)) Adopt(*version);
    return;
  }
  if (!active_) return;
  core::Position const at = d.place.position;
  switch (nodeTag(d.tree)) {
    case T_AlterTableStmt: return Alter(d);
    case T_AlterEnumStmt:
      if (reinterpret_cast<AlterEnumStmt*>(d.tree)->oldVal != nullptr && VersionHere(at) != nullptr) RenameLabel(d);
      return;
    case T_AlterObjectSchemaStmt:
      types_renamed_ = true;
      return;
    case T_RenameStmt: {
      auto* const rename = reinterpret_cast<RenameStmt*>(d.tree);
      if (rename->renameType == OBJECT_COLUMN && Names(rename->relation, at)) RenameColumn(rename);
      if (rename->renameType == OBJECT_TYPE || rename->renameType == OBJECT_DOMAIN) types_renamed_ = true;
      return;
    }
    default: return;  // what it has done to columns shows at the end of the transaction
  }
}

void Fold::Alter(const Definition& d) {
  auto* const statement = reinterpret_cast<AlterTableStmt*>(d.tree);
  core::Position const at = d.place.position;
  if (statement->objtype == OBJECT_TYPE) {
    if (VersionHere(at) != nullptr) Forget(at, "a type that it uses was altered");
    return;
  }
  AlterTableStmt* const part = RowsPartOf(statement);
  if (part == nullptr) return;
  if (!Names(statement->relation, at)) {
    if (VersionHere(at) != nullptr) of_others_.push_back(&d);
    return;
  }
  if (sort_->count() == 0 || layout_ == nullptr) {
    if (base_unknown_) Forget(at, "its columns were altered");
    return;
  }
  if (!Reshaped(d, part)) Forget(at, forgotten_);
}

void Fold::RenameColumn(const RenameStmt* rename) {
  if (layout_ == nullptr) return;
  Version version{{}, layout_->columns(), layout_->types(), layout_->keys()};
  for (auto* names : {&version.columns, &version.keys}) std::replace(names->begin(), names->end(), std::string(rename->subname), std::string(rename->newname));
  Adopt(version);
}

// Labels travel as text: those that stand in rows are the old ones.
void Fold::RenameLabel(const Definition& d) {
  auto* const alter = reinterpret_cast<AlterEnumStmt*>(d.tree);
  if (layout_ == nullptr || sort_->count() == 0) return;
  std::string const type = strVal(llast(alter->typeName));
  std::vector<size_t> columns;
  for (size_t i = 0; i < layout_->width(); i++) {
    std::string const& shown = layout_->types()[i];
    size_t const dot = shown.rfind('.');
    if (dot == std::string::npos) continue;  // built in
    if (shown.substr(dot + 1) != type) return Forget(d.place.position, "a label of an enum was renamed that it may hold inside other values");
    columns.push_back(i);
  }
  Version const same{d.place.position, layout_->columns(), layout_->types(), layout_->keys()};
  std::string const from = alter->oldVal, to = alter->newVal;
  Regroup(same, [&](const core::Tuple& tuple) {
    core::Tuple changed = tuple;
    for (size_t i : columns)
      if (changed[i].tag == 't' && std::string_view(reinterpret_cast<const char*>(changed[i].bytes.data()), changed[i].bytes.size()) == from)
        changed[i].bytes = core::AsBytes(to);
    return Encoded(changed);
  });
}

void Fold::EndOfTransaction(core::Position position) {
  std::vector<const Definition*> const others = std::move(of_others_);
  bool const types_renamed = std::exchange(types_renamed_, false);
  of_others_.clear();
  const Version* const version = active_ ? VersionHere(position) : nullptr;
  if (version == nullptr) return;
  if (layout_ == nullptr || sort_->count() == 0) {
    if (base_unknown_ && layout_ != nullptr && !SameColumns(*layout_, *version)) Forget(position, "its columns were altered");
    return Adopt(*version);
  }
  // ALTER TABLE of a partitioned table goes on to its partitions.
  bool const partition = !others.empty() && Call([&] { return get_rel_relispartition(relation_); });
  for (const Definition* d : others)
    if ((partition || !SameColumns(*layout_, *version)) && !Reshaped(*d, RowsPartOf(reinterpret_cast<AlterTableStmt*>(d->tree))))
      return Forget(position, forgotten_), Adopt(*version);
  bool const same_but_names = types_renamed && layout_->columns() == version->columns;
  if (SameColumns(*layout_, *version) || same_but_names) {
    if (layout_->keys() == version->keys) return Adopt(*version);
    if (!base_unknown_) return Regroup(*version, Encoded);
  } else if (!base_unknown_ && Project(*version)) {
    return;
  }
  Forget(position, "what a definition has done to it cannot be repeated");
  Adopt(*version);
}

// Columns that went with something else (DROP TYPE ... CASCADE).
bool Fold::Project(const Version& version) {
  std::vector<size_t> kept;
  for (size_t i = 0, at = 0; i < version.columns.size(); i++, at++) {
    while (at < layout_->width() && layout_->columns()[at] != version.columns[i]) at++;
    if (at >= layout_->width() || layout_->types()[at] != version.types[i]) return false;
    kept.push_back(at);
  }
  Regroup(version, [&](const core::Tuple& tuple) {
    core::Tuple less;
    for (size_t i : kept) less.push_back(tuple[i]);
    return Encoded(less);
  });
  return true;
}

void Fold::Regroup(const Version& version, const std::function<core::Bytes(const core::Tuple&)>& change) {
  auto next_layout = std::make_unique<Layout>(context_, version);
  if (!next_layout->unfit().empty()) {
    Forget(version.position, next_layout->unfit());
    layout_ = std::move(next_layout);
    return;
  }
  auto next = std::make_unique<EntrySort>(context_, work_kb_);
  bool whole = true;
  uint32_t order = 0;
  ForEach([&](const Verdict& v) {
    core::Tuple tuple;
    if (v.said != Verdict::Said::kPresent || !whole) return;
    if (!DecodeTuple(v.tuple, &tuple) || !IsWhole(tuple)) {
      whole = false;
      return;
    }
    core::Bytes const changed = change(tuple);
    core::Tuple shown;
    DecodeTuple(changed, &shown);
    MemoryContext const before = MemoryContextSwitchTo(row_context_);
    KeyBytes const key = next_layout->KeyOf(shown);
    MemoryContextSwitchTo(before);
    MemoryContextReset(row_context_);
    for (uint32_t i = 0; i < v.copies; i++) next->Put({key, v.at, order++, EntryKind::kBase, changed});
  });
  layout_ = std::move(next_layout);
  sort_ = std::move(next);
  if (!whole || base_unknown_) Forget(version.position, "it holds values that are known only as unchanged");
}

// False: `forgotten_` says why it could not be repeated.
bool Fold::Reshaped(const Definition& d, AlterTableStmt* part) {
  forgotten_ = "what an ALTER TABLE has done to its rows cannot be repeated";
  if (base_unknown_ || !layout_->unfit().empty()) return false;
  Version version{d.place.position, layout_->columns(), layout_->types(), layout_->keys()};
  Oid const owner = Call([&] {
    HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation_));
    Oid const result = HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner : InvalidOid;
    if (HeapTupleIsValid(tuple)) ReleaseSysCache(tuple);
    return result;
  });
  std::unique_ptr<Scratch> scratch;
  bool whole = true;
  std::string const error = Attempt([&] {
    scratch = std::make_unique<Scratch>(version, owner);
    ForEach([&](const Verdict& v) {
      core::Tuple tuple;
      if (v.said != Verdict::Said::kPresent || !whole) return;
      whole = DecodeTuple(v.tuple, &tuple) && IsWhole(tuple);
      for (uint32_t i = 0; whole && i < v.copies; i++) scratch->Add(layout_.get(), v.at, tuple);
    });
    if (whole) scratch->Alter(d, part);
  });
  if (!error.empty()) forgotten_ += ": " + error;
  if (!error.empty() || !whole) return false;
  version.columns = scratch->version().columns;
  version.types = scratch->version().types;
  std::erase_if(version.keys, [&](const std::string& key) { return std::find(version.columns.begin(), version.columns.end(), key) == version.columns.end(); });
  if (const Version* const after = VersionHere(d.place.position); after != nullptr && after->columns == version.columns) version.keys = after->keys;
  Adopt(version);
  if (!layout_->unfit().empty()) {
    scratch->Drop();
    forgotten_ = layout_->unfit();
    return false;
  }
  Clear();
  uint32_t order = 0;
  scratch->ForEach([&](uint64_t at, core::ByteView bytes) {
    core::Tuple tuple;
    DADBS_CHECK(DecodeTuple(bytes, &tuple));
    MemoryContext const before = MemoryContextSwitchTo(row_context_);
    KeyBytes const key = layout_->KeyOf(tuple);
    MemoryContextSwitchTo(before);
    MemoryContextReset(row_context_);
    sort_->Put({key, at, order++, EntryKind::kBase, bytes});
  });
  scratch->Drop();
  forgotten_.clear();
  return true;
}

// ---- the end ---------------------------------------------------------------------------------------------------------

void Fold::AddFound(core::ByteView bytes) {
  DADBS_CHECK(DecodeTuple(bytes, &found_));
  MemoryContext const before = MemoryContextSwitchTo(row_context_);
  Entry entry;
  entry.key = layout_->KeyOf(found_);
  MemoryContextSwitchTo(before);
  MemoryContextReset(row_context_);
  entry.at = UINT64_MAX;
  entry.kind = EntryKind::kFound;
  entry.tuple = bytes;
  sort_->Put(entry);
}

void Fold::ForEach(const std::function<void(const Verdict&)>& take) {
  sort_->Perform();
  Entry entry;
  KeyBytes key;
  Verdict verdict;
  bool any = false;
  while (sort_->Next(&entry)) {
    if (!any || entry.key != key) {
      if (any) take(verdict);
      verdict.Clear();
      key = entry.key;
      any = true;
    }
    Apply(entry, layout_->has_key(), &verdict);
  }
  if (any) take(verdict);
}

}  // namespace dadbs::pg::verify
