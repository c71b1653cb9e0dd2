/*
 * tables.cpp: see tables.h.
 */
#include "tables.h"

#include "../capture/row_encoder.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/heaptoast.h"
#include "access/table.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr uint32_t kEffectsFrom = 1u << 30;  // they come after the changes of their transaction
constexpr int kWorkKbMin = 256;

void Join(std::string_view schema, std::string_view name, std::string* key) {
  key->assign(schema);
  *key += '\0';
  *key += name;
}

std::string Joined(std::string_view schema, std::string_view name) {
  std::string key;
  Join(schema, name, &key);
  return key;
}

// One for the whole process: it listens to the caches for ever.
RowEncoder& Encoder() {
  static auto* const encoder = new RowEncoder();
  return *encoder;
}

}  // namespace

// What text forms of values depend on, as in the capture worker.
void FixEnvironment() {
  const char* const settings[][2] = {{"TimeZone", "UTC"},         {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"},
                                     {"extra_float_digits", "1"}, {"bytea_output", "hex"},   {"search_path", "pg_catalog, pg_temp"},
                                     {"lc_monetary", "C"},        {"quote_all_identifiers", "off"}, {"xmloption", "content"},
                                     {"array_nulls", "on"},        {"timezone_abbreviations", "Default"}};
  // The chain holds values as the database encodes them; receive and send functions convert from and to the client's.
  if (pg_get_client_encoding() != GetDatabaseEncoding())
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("tables are compared with the chain in the encoding of the database only"),
                    errhint("SET client_encoding = %s", GetDatabaseEncodingName())));
  for (const auto& s : settings) (void)set_config_option(s[0], s[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

core::ByteView TupleOf(Relation relation, HeapTuple row) {
  TupleDesc const columns = RelationGetDescr(relation);
  HeapTuple const whole = HeapTupleHasExternal(row) ? Call([&] { return toast_flatten_tuple(row, columns); }) : row;
  core::ByteView const change = Encoder().EncodeRow('I', relation, nullptr, whole);
  if (whole != row) heap_freetuple(whole);
  core::Reader r(change);
  r.U8();
  r.Str();
  r.Str();
  return change.subspan(r.offset());
}

Version VersionOf(Relation relation, int first_column) {
  Version version;
  TupleDesc const columns = RelationGetDescr(relation);
  for (int i = first_column; i < columns->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(columns, i);
    if (column->attisdropped) continue;
    version.columns.push_back(NameStr(column->attname));
    bits16 const qualify = column->atttypid < FirstNormalObjectId ? 0 : FORMAT_TYPE_FORCE_QUALIFY;
    version.types.push_back(Call([&] { return format_type_extended(column->atttypid, column->atttypmod, FORMAT_TYPE_TYPEMOD_GIVEN | qualify); }));
  }
  return version;
}

Tables::Tables(MemoryContext context, const std::vector<Oid>& relations, int work_kb, const Progress& progress) : definitions_(context) {
  definitions_.Load(progress);
  for (const Definition& d : definitions_.all()) newest_definition_ = d.place.position;
  int const each_kb = std::max(kWorkKbMin, work_kb / static_cast<int>(std::max<size_t>(relations.size(), 1)));
  for (Oid relation : relations) {
    Name name;
    name.schema = Call([&] { return get_namespace_name(get_rel_namespace(relation)); });
    name.name = Call([&] { return get_rel_name(relation); });
    folds_.push_back(std::make_unique<Fold>(context, definitions_, name, relation, each_kb));
  }
  FindNames();
}

void Tables::FindNames() {
  by_name_.clear();
  for (auto& fold : folds_)
    if (fold->active()) by_name_[Joined(fold->name().schema, fold->name().name)] = fold.get();
}

void Tables::Read(const Progress& progress) { ReadHistory(this, false, progress); }

void Tables::Transaction(core::Position position, int64, const core::WriteSetView& view) {
  bool defined = false;
  for (uint32_t i = 0; i < view.changes.size(); i++) {
    core::ByteView const bytes = view.changes[i].bytes;
    Place const place{position, i, 0};
    switch (bytes.empty() ? '\0' : static_cast<char>(bytes[0])) {
      case 'I':
      case 'U':
      case 'D': Rows(place, bytes); break;
      case 'T': {
        core::Change change;
        if (!core::DecodeChange(bytes, &change)) break;
        for (const core::RelationName& name : std::get<core::TruncateChange>(change).relations)
          if (auto const found = by_name_.find(Joined(name.schema, name.name)); found != by_name_.end()) found->second->Truncate();
        break;
      }
      case 'Q':
      case 'P':
        DefinitionsAt(place);
        defined = true;
        break;
      default: break;
    }
  }
  if (!defined) return;
  for (auto& fold : folds_) fold->EndOfTransaction(position);
  FindNames();
}

void Tables::DefinitionsAt(Place place) {
  const auto& all = definitions_.all();
  while (next_definition_ < all.size() && (all[next_definition_].place.position < place.position ||
                                           (all[next_definition_].place.position == place.position && all[next_definition_].place.ordinal <= place.ordinal))) {
    for (auto& fold : folds_) fold->Statement(all[next_definition_]);
    next_definition_++;
  }
  FindNames();
}

void Tables::Rows(Place place, core::ByteView bytes) {
  core::Reader r(bytes);
  r.U8();
  std::string_view const schema = r.Str(), name = r.Str();
  Join(schema, name, &written_);
  auto const found = by_name_.find(written_);
  if (found == by_name_.end()) return;
  if (core::DecodeChange(bytes, &change_)) found->second->Row(place, std::get<core::RowChange>(change_));
}

void Tables::Effect(core::Position position, uint32_t ordinal, core::ByteView change) {
  Rows({position, kEffectsFrom + ordinal, 0}, change);
}

}  // namespace dadbs::pg::verify
