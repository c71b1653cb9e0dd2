/*
 * cluster_database.cpp: the queries behind cluster_database.h.
 *
 * They run through SPI as the calling superuser, with qualified names, before anything is shared: the hooks that guard
 * shared objects do not see these statements.
 */
#include "cluster_database.h"

#include "dadbs/pg/boundary.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/pg_locale.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg {
namespace {

// $1: names of schemas, empty for all.
constexpr const char* kUserSchemas = R"(
  SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n
  WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dadbs', 'dadbs_internal', 'dadbs_kept')
    AND (pg_catalog.cardinality($1) = 0 OR n.nspname = ANY ($1))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                    AND d.objid = n.oid AND d.deptype = 'e'))";

constexpr const char* kOccupied = R"(
  , objects AS (
    SELECT relnamespace AS schema, 'pg_catalog.pg_class'::pg_catalog.regclass AS class, oid FROM pg_catalog.pg_class
      WHERE relpersistence <> 't'
    UNION ALL SELECT pronamespace, 'pg_catalog.pg_proc'::pg_catalog.regclass, oid FROM pg_catalog.pg_proc
    UNION ALL SELECT typnamespace, 'pg_catalog.pg_type'::pg_catalog.regclass, oid FROM pg_catalog.pg_type
      WHERE typrelid = 0 AND typelem = 0)
  SELECT s.nspname FROM schemas s
  WHERE s.nspname <> 'public' OR EXISTS (
    SELECT FROM objects o WHERE o.schema = s.oid AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'))
  ORDER BY 1)";

constexpr const char* kTables = R"(
  , tables AS (
    SELECT c.oid, s.nspname, c.relname, c.relreplident, c.relkind FROM schemas s
    JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
      AND NOT EXISTS (SELECT FROM dadbs_internal.local_relation l
                      WHERE l.schema_name = s.nspname AND l.relation_name = c.relname)))";

constexpr const char* kLockTables = R"(
  SELECT pg_catalog.format('LOCK TABLE ONLY %I.%I IN SHARE ROW EXCLUSIVE MODE', nspname, relname)
  FROM tables ORDER BY oid)";

// As the first rule of sharing says: the primary key, else the first by name of the unique, immediate, complete indexes
// over NOT NULL columns, else nothing.
constexpr const char* kIdentifyTables = R"(
  SELECT pg_catalog.format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY ', t.nspname, t.relname) ||
         CASE WHEN k.relname IS NULL THEN 'DEFAULT' ELSE pg_catalog.format('USING INDEX %I', k.relname) END
  FROM tables t
  LEFT JOIN LATERAL (
    SELECT ic.relname, i.indisreplident FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = t.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
      AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index p WHERE p.indrelid = t.oid AND p.indisprimary)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND NOT a.attnotnull
                      AND a.attnum = ANY (i.indkey::pg_catalog.int2[]))
    ORDER BY ic.relname COLLATE "C" LIMIT 1) k ON true
  WHERE (k.relname IS NULL AND t.relreplident <> 'd')
     OR (k.relname IS NOT NULL AND NOT (t.relreplident = 'i' AND k.indisreplident)))";

constexpr const char* kRecordTables = R"(
  INSERT INTO dadbs_internal.relation_version
  SELECT t.nspname, t.relname, 0, 0,
    ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
    ARRAY(SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
    ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_index i
          CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
          WHERE i.indrelid = t.oid AND k.place <= i.indnkeyatts
            AND CASE t.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
          ORDER BY k.place)
  FROM tables t)";

std::string With(const char* tail, bool tables = false) {
  return std::string("WITH schemas AS (") + kUserSchemas + ")" + (tables ? kTables : "") + tail;
}

// SPI for the time of this object; errors inside Call() end the caller's transaction anyway.
class Spi {
 public:
  Spi() {
    Call([&] {
      pushed_ = !ActiveSnapshotSet();
      if (pushed_) PushActiveSnapshot(GetTransactionSnapshot());
      SPI_connect();
    });
  }
  Spi(const Spi&) = delete;
  Spi& operator=(const Spi&) = delete;
  void Finish() {
    Call([&] {
      SPI_finish();
      if (pushed_) PopActiveSnapshot();
    });
  }

  // First column of each row.
  std::vector<std::string> Query(const std::string& sql, const std::vector<std::string>& schemas) {
    Execute(sql, schemas);
    std::vector<std::string> rows;
    for (uint64 i = 0; SPI_tuptable != nullptr && i < SPI_processed; i++) {
      const char* const value = Call([&] { return SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1); });
      rows.emplace_back(value == nullptr ? "" : value);
    }
    return rows;
  }
  uint64 Execute(const std::string& sql, const std::vector<std::string>& schemas) {
    Call([&] {
      Oid types[] = {TEXTARRAYOID};
      Datum* const elements = static_cast<Datum*>(palloc(sizeof(Datum) * (schemas.size() + 1)));
      for (size_t i = 0; i < schemas.size(); i++) elements[i] = CStringGetTextDatum(schemas[i].c_str());
      Datum values[] = {PointerGetDatum(
          construct_array(elements, static_cast<int>(schemas.size()), TEXTOID, -1, false, TYPALIGN_INT))};
      if (SPI_execute_with_args(sql.c_str(), 1, types, values, nullptr, false, 0) < 0)
        ereport(ERROR, (errmsg_internal("query failed: %s", sql.c_str())));
    });
    return SPI_processed;
  }
  void Statement(const std::string& sql) {
    Call([&] {
      if (SPI_execute(sql.c_str(), false, 0) < 0)
        ereport(ERROR, (errmsg_internal("statement failed: %s", sql.c_str())));
    });
  }

 private:
  bool pushed_ = false;
};

std::string TextAttribute(HeapTuple tuple, AttrNumber attribute) {
  const char* const value = Call([&]() -> const char* {
    bool isnull = false;
    Datum const datum = SysCacheGetAttr(DATABASEOID, tuple, attribute, &isnull);
    return isnull ? "" : TextDatumGetCString(datum);
  });
  return value;
}

}  // namespace

DatabaseFacts ReadDatabaseFacts(std::string* database_name) {
  HeapTuple const tuple = Call([] { return SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId)); });
  DADBS_CHECK(HeapTupleIsValid(tuple));
  auto const form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
  *database_name = NameStr(form->datname);
  DatabaseFacts facts;
  facts.encoding = pg_encoding_to_char(form->encoding);
  facts.provider = form->datlocprovider == COLLPROVIDER_ICU ? "icu" : "libc";
  facts.collate = TextAttribute(tuple, Anum_pg_database_datcollate);
  facts.ctype = TextAttribute(tuple, Anum_pg_database_datctype);
  facts.icu_locale = TextAttribute(tuple, Anum_pg_database_daticulocale);
  Call([&] { ReleaseSysCache(tuple); });
  return facts;
}

std::vector<std::string> OccupiedSchemas(const std::vector<std::string>& only) {
  Spi spi;
  std::vector<std::string> names = spi.Query(With(kOccupied), only);
  spi.Finish();
  return names;
}

std::string DescribeSharedSchemas(const std::vector<std::string>& schemas) {
  Spi spi;
  std::string text;
  for (const std::string& name :
       schemas.empty() ? spi.Query(With(" SELECT nspname FROM schemas ORDER BY 1"), schemas) : schemas)
    text += (text.empty() ? "\"" : ", \"") + name + "\"";
  spi.Finish();
  return text;
}

void TakeOver(const std::vector<std::string>& schemas) {
  Spi spi;
  spi.Execute("SELECT dadbs_internal.take_over($1)", schemas);
  spi.Finish();
}

uint64 RecordBaseline(const std::vector<std::string>& schemas) {
  Spi spi;
  for (const std::string& lock : spi.Query(With(kLockTables, true), schemas)) spi.Statement(lock);
  for (const std::string& alter : spi.Query(With(kIdentifyTables, true), schemas)) spi.Statement(alter);
  spi.Statement("DELETE FROM dadbs_internal.relation_version");
  uint64 const tables = spi.Execute(With(kRecordTables, true), schemas);
  spi.Finish();
  return tables;
}

}  // namespace dadbs::pg
