/*
 * layout.cpp: see layout.h.
 */
#include "layout.h"

#include <algorithm>

#include "../apply/row_values.h"
#include "dadbs/core/crypto.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "catalog/pg_type.h"
#include "parser/parse_type.h"
#include "utils/lsyscache.h"
}

namespace dadbs::pg::verify {

bool DecodeTuple(core::ByteView bytes, core::Tuple* out) {
  core::Reader r(bytes);
  uint16_t const columns = r.U16();
  out->clear();
  out->reserve(std::min<size_t>(columns, bytes.size()));
  for (uint16_t i = 0; i < columns && r.ok(); i++) {
    core::ColumnValue value;
    value.tag = static_cast<char>(r.U8());
    if (value.tag == 'b' || value.tag == 't') value.bytes = r.Blob();
    out->push_back(value);
  }
  return r.Done();
}

bool IsWhole(const core::Tuple& tuple) {
  return std::none_of(tuple.begin(), tuple.end(), [](const auto& v) { return v.tag == 'u'; });
}

static bool IsDomain(Oid type) { return get_typtype(type) == TYPTYPE_DOMAIN; }

Layout::Layout(MemoryContext context, const Version& version) : version_(version) {
  plans_ = Call([&] { return static_cast<ColumnPlan*>(MemoryContextAllocZero(context, sizeof(ColumnPlan) * (width() + 1))); });
  for (size_t i = 0; i < width() && unfit_.empty(); i++) {
    const char* const type_name = version_.types[i].c_str();
    bool const known = Call([&] {
      Oid type = InvalidOid;
      int32 typmod = -1;
      parseTypeString(type_name, &type, &typmod, true);
      if (!OidIsValid(type)) return false;
      MemoryContext const before = MemoryContextSwitchTo(context);
      PlanColumn(&plans_[i], type, typmod);
      MemoryContextSwitchTo(before);
      return true;
    });
    if (!known)
      unfit_ = "type " + version_.types[i] + " of column \"" + version_.columns[i] + "\" does not exist any more";
    else if (Call([&] { return AnyPart(plans_[i].base, IsDomain); }))  // a domain of its own is read as its base type
      unfit_ = "reading column \"" + version_.columns[i] + "\" would run the checks of a domain, with the rights of whoever asks";
  }
  if (unfit_.empty()) PrepareKey(context);
}

void Layout::PrepareKey(MemoryContext context) {
  Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(context);
    initStringInfo(&value_);
    MemoryContextSwitchTo(before);
  });
  for (const std::string& name : version_.keys) {
    auto const column = std::find(version_.columns.begin(), version_.columns.end(), name);
    if (column == version_.columns.end()) {
      unfit_ = "the key has a column \"" + name + "\" that the table has not";
      return;
    }
    KeyColumn key = {};
    key.at = static_cast<size_t>(column - version_.columns.begin());
    Oid const base = plans_[key.at].base;
    Call([&] {
      key.raw = get_typtype(base) == TYPTYPE_ENUM;
      MemoryContext const before = MemoryContextSwitchTo(context);
      InitEncoder(&key.encoder, plans_[key.at].type, get_typcollation(base), InvalidOid);
      MemoryContextSwitchTo(before);
    });
    if (!key.raw && key.encoder.kind == EncodeKind::kNone) {
      unfit_ = "values of key column \"" + name + "\" have no canonical form";
      return;
    }
    key_.push_back(key);
  }
}

void Layout::AddKeyValue(const KeyColumn& key, const core::ColumnValue& value) {
  Call([&] {
    bool null = false;
    resetStringInfo(&value_);
    Datum const datum = ReadValue(&plans_[key.at], value, &null);
    EncodeValue(key.encoder, datum, &value_);
  });
  core::ByteView const bytes{reinterpret_cast<const uint8_t*>(value_.data), static_cast<size_t>(value_.len)};
  key_.size() == 1 ? key_bytes_.Raw(bytes) : key_bytes_.Blob(bytes);
}

KeyBytes Layout::KeyOf(const core::Tuple& row) {
  constexpr uint8_t kDigest = 0xff;
  bool has_null = false;
  key_bytes_.Clear();
  if (key_.empty()) core::EncodeTuple(key_bytes_, row);
  for (const KeyColumn& key : key_) {
    const core::ColumnValue& value = row[key.at];
    has_null |= value.tag == 'n';
    if (key.raw || value.tag == 'n') {
      key_bytes_.U8(static_cast<uint8_t>(value.tag == 'n' ? 'n' : 'r'));
      key_bytes_.Blob(value.bytes);
    } else {
      AddKeyValue(key, value);
    }
  }
  KeyBytes bytes = {};
  if (key_bytes_.size() < bytes.size() && !has_null) {
    std::copy(key_bytes_.bytes().begin(), key_bytes_.bytes().end(), bytes.begin());
    bytes.back() = static_cast<uint8_t>(key_bytes_.size());
    return bytes;
  }
  core::Digest const digest = core::Hash(core::Domain::kTableDigest, key_bytes_.bytes());
  std::copy_n(digest.bytes.begin(), bytes.size() - 1, bytes.begin());
  bytes.back() = kDigest;
  return bytes;
}

core::Tuple Layout::OnlyKey(const core::Tuple& row) const {
  core::Tuple only(row.size());
  for (const KeyColumn& key : key_) only[key.at] = row[key.at];
  return key_.empty() ? row : only;
}

}  // namespace dadbs::pg::verify
