/*
 * digest.cpp: table_digest and database_digest: the content of shared tables, equal on equal members.
 *
 * A row's hash is SHA-256 over its columns' text forms in a fixed environment (UTC, ISO, hexadecimal bytea, shortest exact
 * floats), length-prefixed, nulls marked. A table's digest is SHA-256 over its name, column names and types, the row count
 * and the sum of the row hashes modulo 2^256: independent of physical order, of dropped columns and of how rows came.
 * It tells honest members apart that have become different; it is no proof against somebody who chooses rows (a sum can be
 * steered): for that there are the signed digests of the effects.
 */
#include <algorithm>
#include <string>
#include <vector>

#include "dadbs/core/crypto.h"
#include "dadbs/core/encoding.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_table_digest);
}

namespace dadbs::pg {
namespace {

// Little-endian limbs: a sum modulo 2^256.
class RowSum {
 public:
  void Add(const core::Digest& d) {
    unsigned __int128 carry = 0;
    for (int limb = 0; limb < 4; limb++) {
      uint64_t v = 0;
      for (int i = 0; i < 8; i++) v = v << 8 | d.bytes[static_cast<size_t>((3 - limb) * 8 + i)];
      carry += static_cast<unsigned __int128>(limbs_[limb]) + v;
      limbs_[limb] = static_cast<uint64_t>(carry);
      carry >>= 64;
    }
  }
  void Write(core::Writer* w) const {
    for (int limb = 3; limb >= 0; limb--) w->U64(limbs_[limb]);
  }

 private:
  uint64_t limbs_[4] = {0, 0, 0, 0};
};

struct Column {
  AttrNumber number;
  FmgrInfo output;
  bool varlena;
};

// What the text forms depend on, whatever the session has set.
void FixEnvironment() {
  const char* const settings[][2] = {{"DateStyle", "ISO, YMD"},   {"IntervalStyle", "postgres"}, {"TimeZone", "UTC"},
                                     {"bytea_output", "hex"},     {"extra_float_digits", "1"},   {"lc_monetary", "C"},
                                     {"xmlbinary", "base64"},     {"search_path", ""},          {"quote_all_identifiers", "off"}};
  for (const auto& s : settings)
    set_config_option(s[0], s[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

core::Digest DigestOf(Relation relation, std::vector<Column>& columns, const std::string& description) {
  RowSum sum;
  uint64_t rows = 0;
  TupleTableSlot* const slot = Call([&] { return table_slot_create(relation, nullptr); });
  TableScanDesc const scan = Call([&] { return table_beginscan(relation, GetActiveSnapshot(), 0, nullptr); });
  MemoryContext const per_row =
      Call([] { return AllocSetContextCreate(CurrentMemoryContext, "dadbs digest row", ALLOCSET_DEFAULT_SIZES); });
  core::Writer row;
  while (Call([&] {
    CHECK_FOR_INTERRUPTS();
    return table_scan_getnextslot(scan, ForwardScanDirection, slot);
  })) {
    row = core::Writer();
    for (Column& column : columns) {
      char* const shown = Call([&]() -> char* {
        bool null = false;
        Datum const value = slot_getattr(slot, column.number, &null);
        if (null) return nullptr;
        MemoryContext const old = MemoryContextSwitchTo(per_row);
        char* const out = OutputFunctionCall(&column.output, value);
        MemoryContextSwitchTo(old);
        return out;
      });
      row.U8(shown != nullptr);
      if (shown) row.Str(shown);
    }
    sum.Add(core::Hash(core::Domain::kTableDigest, row.bytes()));
    rows++;
    MemoryContextReset(per_row);
  }
  Call([&] {
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    MemoryContextDelete(per_row);
  });
  core::Writer w;
  w.Str(description);
  w.U64(rows);
  sum.Write(&w);
  return core::Hash(core::Domain::kTableDigest, w.bytes());
}

Datum TableDigest(Oid relid) {
  Relation const relation = Call([&] { return table_open(relid, AccessShareLock); });
  if (relation->rd_rel->relkind != RELKIND_RELATION && relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
    throw PgError(ERRCODE_WRONG_OBJECT_TYPE, std::string("\"") + RelationGetRelationName(relation) + "\" is not a table");
  int const nest = Call([&] {
    AclResult const acl = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
    if (acl != ACLCHECK_OK) aclcheck_error(acl, OBJECT_TABLE, RelationGetRelationName(relation));
    int const level = NewGUCNestLevel();
    FixEnvironment();
    return level;
  });
  std::string description;
  std::vector<Column> columns;
  TupleDesc const desc = RelationGetDescr(relation);
  description = Call([&] { return get_namespace_name(RelationGetNamespace(relation)); });
  description += std::string(".") + RelationGetRelationName(relation);
  for (int i = 0; i < desc->natts; i++) {
    Form_pg_attribute const a = TupleDescAttr(desc, i);
    if (a->attisdropped) continue;
    Column column;
    column.number = a->attnum;
    char* const type = Call([&] {
      Oid function = InvalidOid;
      getTypeOutputInfo(a->atttypid, &function, &column.varlena);
      fmgr_info(function, &column.output);
      return format_type_extended(a->atttypid, a->atttypmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
    });
    description += std::string("|") + NameStr(a->attname) + " " + type;
    columns.push_back(column);
  }
  core::Digest digest;
  if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
    columns.clear();  // its rows are its partitions'
    digest = core::Hash(core::Domain::kTableDigest, core::AsBytes(description));
  } else {
    digest = DigestOf(relation, columns, description);
  }
  return Call([&] {
    AtEOXact_GUC(true, nest);
    table_close(relation, AccessShareLock);
    return PointerGetDatum(MakeBytea(digest.view()));
  });
}

}  // namespace
}  // namespace dadbs::pg

extern "C" Datum dadbs_table_digest(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  return Enter([&]() -> Datum { return TableDigest(PG_GETARG_OID(0)); });
}
