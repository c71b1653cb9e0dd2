/*
 * changes.cpp: the changes inside a write set as rows with jsonb, for the view dadbs.changes.
 *
 * A change holds values by position; names and types come from dadbs_internal.relation_version, which says how the
 * relation was defined from which position on. Where a definition or a type is no longer known the value is shown as
 * hexadecimal bytes: history must stay readable after DROP TYPE. Values become jsonb through a row of the right types
 * (to_jsonb of a record), so that numbers, booleans and nested values look as Postgres shows them.
 */
#include <map>
#include <string>
#include <vector>

#include "dadbs/core/evidence.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/spi.h"
#include "dadbs/pg/subtransaction.h"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "parser/parse_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(dadbs_decode_changes);
PG_FUNCTION_INFO_V1(dadbs_decode_effect);
}

namespace dadbs::pg {
namespace {

struct RelationVersion {
  bool known = false;
  std::vector<std::string> columns;
  std::vector<Oid> types;  // InvalidOid: no longer there
  std::vector<int32> typmods;
};

// The type of a column as it was named; InvalidOid if there is no such type any more.
void ResolveType(const std::string& name, Oid* type, int32* typmod) {
  if (!Try([&] { Call([&] { parseTypeString(name.c_str(), type, typmod, true); }); })) *type = InvalidOid;
  if (!OidIsValid(*type)) *typmod = -1;
}

std::vector<std::string> TextArray(Datum array) {
  Datum* values = nullptr;
  int n = 0;
  Call([&] { deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, nullptr, &n); });
  std::vector<std::string> out;
  for (int i = 0; i < n; i++) {
    char* const s = Call([&] { return TextDatumGetCString(values[i]); });
    out.emplace_back(s);
  }
  return out;
}

class Decoder {
 public:
  // `plain`: of no type that is not built in anything is executed.
  Decoder(int64 height, int32 index, bool plain, ReturnSetInfo* set) : height_(height), index_(index), plain_(plain), set_(set) {}

  void Run(core::ByteView write_set) {
    core::WriteSetView view;
    if (!core::ParseWriteSet(write_set, &view)) return;  // verdict `invalid`: it has no changes
    int32 ordinal = 0;
    for (const core::ChangeView& change : view.changes) {
      core::Change decoded;
      if (!core::DecodeChange(change.bytes, &decoded)) continue;
      core::Digest const leaf = core::ChangeLeaf(change);
      std::visit([&](const auto& c) { Emit(ordinal, c, leaf); }, decoded);
      ordinal++;
    }
  }

  void RunOne(core::ByteView bytes) {
    core::Change decoded;
    if (!core::DecodeChange(bytes, &decoded)) return;
    std::visit([&](const auto& c) { Emit(0, c, core::Digest()); }, decoded);
  }

 private:
  void Emit(int32 ordinal, const core::RowChange& c, const core::Digest& leaf) {
    const RelationVersion& version = Version(c.relation);
    const char* const op = c.op == 'I' ? "INSERT" : c.op == 'U' ? "UPDATE" : "DELETE";
    Row row;
    row.Int32(ordinal).Text(c.relation.schema).Text(c.relation.name).Text(op);
    if (c.op == 'D' || c.has_old_key) row.Raw(Json(version, c.old_key, true)); else row.Null();
    if (c.op != 'D') row.Raw(Json(version, c.row, false)); else row.Null();
    row.Null().Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::TruncateChange& c, const core::Digest& leaf) {
    for (const core::RelationName& name : c.relations)
      Row().Int32(ordinal).Text(name.schema).Text(name.name).Text("TRUNCATE").Null().Null().Null().Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::DdlChange& c, const core::Digest& leaf) {
    Row().Int32(ordinal).Null().Null().Text("DDL").Null().Null().Text(c.text).Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::SequenceChange& c, const core::Digest& leaf) {
    Row()
        .Int32(ordinal)
        .Text(c.sequence.schema)
        .Text(c.sequence.name)
        .Text("SETVAL")
        .Null()
        .Null()
        .Text(std::to_string(c.value))
        .Bytes(leaf.view())
        .Put(set_);
  }

  void Emit(int32 ordinal, const core::ContractChange& c, const core::Digest& leaf) {
    std::string const what = (c.op == 'D' ? "deploy contract " : "drop contract ") + std::string(c.name);
    Row().Int32(ordinal).Null().Null().Text("CONTRACT").Null().Null().Text(what).Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::ProposalChange& c, const core::Digest& leaf) {
    const char* const what = c.op == 'P' ? "propose " : c.op == 'A' ? "approve proposal " : "reject proposal ";
    std::string const text = what + std::to_string(c.id) + (c.op == 'P' ? ": " + std::string(c.text) : "");
    Row().Int32(ordinal).Null().Null().Text("PROPOSAL").Null().Null().Text(text).Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::CallChange& c, const core::Digest& leaf) {
    std::string what = std::string(c.name) + "(";
    for (size_t i = 0; i < c.arguments.size(); i++) {
      const core::CallArgument& a = c.arguments[i];
      std::string const value(a.value);
      char* const quoted = a.is_null ? nullptr : Call([&] { return quote_literal_cstr(value.c_str()); });
      what += (i > 0 ? ", " : "") + std::string(quoted != nullptr ? quoted : "NULL");
    }
    Row().Int32(ordinal).Null().Null().Text("CALL").Null().Null().Text(what + ")").Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::ImpasseVote& c, const core::Digest& leaf) {
    std::string const what = std::string(c.can ? "can" : "cannot") + " execute height " + std::to_string(c.position.height.value) + ", index " +
                             std::to_string(c.position.index);
    Row().Int32(ordinal).Null().Null().Text("VOTE").Null().Null().Text(what).Bytes(leaf.view()).Put(set_);
  }

  void Emit(int32 ordinal, const core::EvidenceChange& c, const core::Digest& leaf) {
    core::Evidence evidence;
    std::string what = "evidence";
    if (core::Evidence::Decode(c.evidence, &evidence))
      what += " against " + NodeName(core::SlotOf(evidence).culprit) + ": " + core::NameOf(evidence.kind());
    Row().Int32(ordinal).Null().Null().Text("EVIDENCE").Null().Null().Text(what).Bytes(leaf.view()).Put(set_);
  }

  const RelationVersion& Version(const core::RelationName& name) {
    auto const key = std::make_pair(std::string(name.schema), std::string(name.name));
    auto [it, fresh] = versions_.try_emplace(key);
    if (fresh) Load(key.first, key.second, &it->second);
    return it->second;
  }

  void Load(const std::string& schema, const std::string& name, RelationVersion* out) {
    Datum columns = 0, types = 0;
    bool const found = Call([&] {
      Oid argument_types[4] = {TEXTOID, TEXTOID, INT8OID, INT4OID};
      Datum arguments[4] = {PointerGetDatum(MakeText(schema)), PointerGetDatum(MakeText(name)), Int64GetDatum(height_),
                            Int32GetDatum(index_)};
      // A change is of the definition that stood before its own transaction, or that its transaction made.
      if (SPI_execute_with_args("SELECT columns, types FROM dadbs_internal.relation_version "
                                "WHERE schema_name = $1 AND relation_name = $2 AND (height, index) <= ($3, $4) "
                                "ORDER BY height DESC, index DESC LIMIT 1",
                                4, argument_types, arguments, nullptr, true, 1) != SPI_OK_SELECT)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read the relation's definition")));
      if (SPI_processed == 0) return false;
      bool null = false;
      columns = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
      types = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null);
      return true;
    });
    if (!found) return;
    out->columns = TextArray(columns);
    std::vector<std::string> const type_names = TextArray(types);
    for (const std::string& type : type_names) {
      Oid oid = InvalidOid;
      int32 typmod = -1;
      ResolveType(type, &oid, &typmod);
      out->types.push_back(oid);
      out->typmods.push_back(typmod);
    }
    out->known = out->columns.size() == out->types.size();
  }

  // One value as a Datum of `type`, or of text with its hexadecimal bytes where that cannot be.
  Datum Value(const core::ColumnValue& v, Oid* type, int32 typmod) {
    if (OidIsValid(*type)) {
      // A built-in type reads today what it wrote then; one of the user's may have been redefined since.
      if (*type < FirstNormalObjectId) return Call([&] { return Input(v, *type, typmod); });
      Datum value = 0;
      if (!plain_ && Try([&] { value = Call([&] { return Input(v, *type, typmod); }); })) return value;
    }
    *type = TEXTOID;
    std::string const shown = v.tag == 't' ? std::string(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size())
                                           : "\\x" + core::ToHex(v.bytes);
    return Call([&] { return PointerGetDatum(MakeText(shown)); });
  }

  static Datum Input(const core::ColumnValue& v, Oid type, int32 typmod) {
    Oid function = InvalidOid, io_parameter = InvalidOid;
    if (v.tag == 'b') {
      StringInfoData buffer;
      initStringInfo(&buffer);
      appendBinaryStringInfo(&buffer, reinterpret_cast<const char*>(v.bytes.data()), static_cast<int>(v.bytes.size()));
      getTypeBinaryInputInfo(type, &function, &io_parameter);
      return OidReceiveFunctionCall(function, &buffer, io_parameter, typmod);
    }
    char* const text_value = pnstrdup(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size());
    getTypeInputInfo(type, &function, &io_parameter);
    return OidInputFunctionCall(function, text_value, io_parameter, typmod);
  }

  // An object of the tuple's values: unchanged TOAST columns are left out; of a key also the columns that it has not.
  Datum Json(const RelationVersion& version, const core::Tuple& tuple, bool is_key) {
    std::vector<std::string> names;
    std::vector<Oid> types;
    std::vector<int32> typmods;
    std::vector<Datum> values;
    std::vector<uint8_t> nulls;
    bool const known = version.known && version.columns.size() == tuple.size();
    for (size_t i = 0; i < tuple.size(); i++) {
      const core::ColumnValue& v = tuple[i];
      if (v.tag == 'u' || (is_key && v.tag == 'n')) continue;
      Oid type = known ? version.types[i] : InvalidOid;
      int32 const typmod = known ? version.typmods[i] : -1;
      bool const null = v.tag == 'n';
      Datum const value = null ? static_cast<Datum>(0) : Value(v, &type, typmod);
      names.push_back(known ? version.columns[i] : "column" + std::to_string(i + 1));
      types.push_back(OidIsValid(type) ? type : TEXTOID);
      typmods.push_back(type == TEXTOID ? -1 : typmod);
      values.push_back(value);
      nulls.push_back(null);
    }
    return Call([&] {
      TupleDesc const desc = CreateTemplateTupleDesc(static_cast<int>(names.size()));
      for (size_t i = 0; i < names.size(); i++)
        TupleDescInitEntry(desc, static_cast<AttrNumber>(i + 1), names[i].c_str(), types[i], typmods[i], 0);
      BlessTupleDesc(desc);
      HeapTuple const heap_tuple = heap_form_tuple(desc, values.data(), reinterpret_cast<bool*>(nulls.data()));
      Datum const json = DirectFunctionCall1(row_to_json, HeapTupleGetDatum(heap_tuple));
      return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json)));
    });
  }

  int64 height_;
  int32 index_;
  bool plain_;
  ReturnSetInfo* set_;
  std::map<std::pair<std::string, std::string>, RelationVersion> versions_;
};

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_decode_effect(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    ReturnSetInfo* const set = BeginSet(fcinfo);
    WithSpi([&] {
      Decoder(PG_GETARG_INT64(1), PG_GETARG_INT32(2), PG_NARGS() > 3 && PG_GETARG_BOOL(3), set).RunOne(BytesArgument(PG_GETARG_BYTEA_PP(0)));
    });
    return static_cast<Datum>(0);
  });
}

extern "C" Datum dadbs_decode_changes(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    ReturnSetInfo* const set = BeginSet(fcinfo);
    WithSpi([&] {
      Decoder(PG_GETARG_INT64(1), PG_GETARG_INT32(2), PG_NARGS() > 3 && PG_GETARG_BOOL(3), set).Run(BytesArgument(PG_GETARG_BYTEA_PP(0)));
    });
    return static_cast<Datum>(0);
  });
}
