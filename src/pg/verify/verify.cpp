/*
 * verify.cpp: dadbs.verify_tables: the rows of shared tables against the chain, row by row.
 *
 * The tables are locked first (ACCESS SHARE: rows go on being written), then one snapshot is taken: it shows a prefix of the chain,
 * in the history and in the tables alike. What the chain says is folded from the history (fold.h); what the table holds is
 * encoded as capture encodes it and compared byte by byte, by value only where bytes differ. A definition of a type that comes
 * meanwhile may change what stored values look like: where something differs and there was one, all is done again.
 *
 * Runs in a client's backend, reads only, but for temporary tables of its own where definitions have to be repeated.
 */
#include <algorithm>

#include "../apply/row_values.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"
#include "progress.h"
#include "tables.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_verify_tables);
}

namespace dadbs::pg::verify {
namespace {

constexpr int kAttempts = 5;
constexpr uint64 kRowsPerReport = 1024;

core::Height HeightOf(uint64_t at) { return core::PrefixHeight(core::Prefix{at}); }
uint32_t IndexOf(uint64_t at) { return static_cast<uint32_t>(at & 0xFFFFF) - 1; }

class Comparison {
 public:
  Comparison(ReturnSetInfo* set, Fold* fold, Relation relation, core::Height upto, Working* working)
      : set_(set), fold_(fold), relation_(relation), upto_(upto), working_(working) {
    shown_ = Call([&] {
      return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation));
    });
  }
  uint64_t Run();

 private:
  bool ColumnsFit();
  void AddTable();
  void CheckIndexes();
  void Judge(const Verdict& v);
  bool Equal(const core::Bytes& said, const core::Bytes& found);
  core::Bytes Normalized(const core::Tuple& tuple);
  void Report(const char* problem, const core::Bytes* said, const core::Bytes* found, uint64_t at);
  void Show(Row* row, const core::Bytes* tuple, bool key);

  ReturnSetInfo* set_;
  Fold* fold_;
  Relation relation_;
  core::Height upto_;
  Working* working_;
  std::string shown_;
  uint64_t problems_ = 0, unknown_ = 0, rows_ = 0;
};

// As jsonb, by the definition of today.
void Comparison::Show(Row* row, const core::Bytes* tuple, bool key) {
  core::Tuple decoded;
  if (tuple == nullptr || !DecodeTuple(*tuple, &decoded)) {
    row->Null();
    return;
  }
  if (key) decoded = fold_->layout()->OnlyKey(decoded);
  core::Writer w;
  w.U8(key ? 'D' : 'I');
  w.Str(fold_->name().schema);
  w.Str(fold_->name().name);
  if (!key) std::replace_if(decoded.begin(), decoded.end(), [](const auto& v) { return v.tag == 'u'; }, core::ColumnValue{});
  core::EncodeTuple(w, decoded);
  bool null = true;
  Datum const value = Call([&] {
    Oid types[3] = {BYTEAOID, INT8OID, INT4OID};
    Datum values[3] = {PointerGetDatum(MakeBytea(w.bytes())), Int64GetDatum(static_cast<int64>(upto_.value) + 1), Int32GetDatum(0)};
    if (SPI_execute_with_args("SELECT key, new_row FROM dadbs_internal.decode_effect($1, $2, $3)", 3, types, values, nullptr, true, 1) != SPI_OK_SELECT ||
        SPI_processed != 1)
      return Datum(0);
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, key ? 1 : 2, &null);
  });
  row->Raw(value, null);
}

void Comparison::Report(const char* problem, const core::Bytes* said, const core::Bytes* found, uint64_t at) {
  problems_++;
  Row row;
  row.Text(shown_).Text(problem);
  bool const has_key = fold_->layout() != nullptr && fold_->layout()->has_key();
  Show(&row, has_key ? (said != nullptr ? said : found) : nullptr, true);
  Show(&row, said, false);
  Show(&row, found, false);
  if (at == 0) {
    row.Null().Null().Null().Put(set_);
    return;
  }
  row.Int64(static_cast<int64>(HeightOf(at).value)).Int32(static_cast<int32>(IndexOf(at)));
  char* const id = Call([&]() -> char* {
    Oid types[2] = {INT8OID, INT4OID};
    Datum values[2] = {Int64GetDatum(static_cast<int64>(HeightOf(at).value)), Int32GetDatum(static_cast<int32>(IndexOf(at)))};
    if (SPI_execute_with_args("SELECT origin || '.' || incarnation || '.' || number FROM dadbs_internal.transaction WHERE height = $1 AND index = $2", 2,
                              types, values, nullptr, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
      return nullptr;
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
  });
  row.TextOrNull(id != nullptr ? id : "").Put(set_);
}

// The chain's value through the types of here and back: another form of the same value is no difference.
core::Bytes Comparison::Normalized(const core::Tuple& tuple) {
  MemoryContext const context = Call([] { return AllocSetContextCreate(CurrentMemoryContext, "dadbs verify row", ALLOCSET_SMALL_SIZES); });
  HeapTuple const row = Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(context);
    TupleDesc const columns = RelationGetDescr(relation_);
    auto* const values = static_cast<Datum*>(palloc0(sizeof(Datum) * columns->natts));
    auto* const nulls = static_cast<bool*>(palloc(sizeof(bool) * columns->natts));
    memset(nulls, true, sizeof(bool) * columns->natts);
    size_t at = 0;
    for (int i = 0; i < columns->natts; i++) {
      if (TupleDescAttr(columns, i)->attisdropped) continue;
      if (tuple[at].tag != 'u') values[i] = ReadValue(fold_->layout()->plan(at), tuple[at], &nulls[i]);
      at++;
    }
    HeapTuple const made = heap_form_tuple(columns, values, nulls);
    MemoryContextSwitchTo(before);
    return made;
  });
  core::ByteView const bytes = TupleOf(relation_, row);
  core::Bytes const result(bytes.begin(), bytes.end());
  MemoryContextDelete(context);
  return result;
}

bool Comparison::Equal(const core::Bytes& said, const core::Bytes& found) {
  if (said == found) return true;
  core::Tuple expected, actual, normal;
  if (!DecodeTuple(said, &expected) || !DecodeTuple(found, &actual) || expected.size() != actual.size()) return false;
  core::Bytes const normalized = Normalized(expected);
  if (!DecodeTuple(normalized, &normal)) return false;
  for (size_t i = 0; i < expected.size(); i++)
    if (expected[i].tag != 'u' && (normal[i].tag != actual[i].tag || !std::ranges::equal(normal[i].bytes, actual[i].bytes))) return false;
  return true;
}

void Comparison::Judge(const Verdict& v) {
  switch (v.said) {
    case Verdict::Said::kNothing:
      if (!fold_->knows_all()) {
        unknown_ += v.found.size();
        return;
      }
      [[fallthrough]];
    case Verdict::Said::kAbsent:
      for (const core::Bytes& found : v.found) Report("extra", nullptr, &found, v.at);
      return;
    case Verdict::Said::kPresent: break;
  }
  size_t good = 0;
  const core::Bytes* different = nullptr;
  for (const core::Bytes& found : v.found) {
    bool const equal = Equal(v.tuple, found);
    if (equal && good < v.copies) {
      good++;
    } else if (equal || good + (different != nullptr) >= v.copies) {
      Report("extra", nullptr, &found, v.at);
    } else {
      different = &found;
    }
  }
  // One that equals it may have come after one that does not.
  if (different != nullptr) return Report(good >= v.copies ? "extra" : "different", good >= v.copies ? nullptr : &v.tuple, different, v.at);
  if (fold_->layout()->has_key() || fold_->knows_all())
    for (; good < v.copies; good++) Report("missing", &v.tuple, nullptr, v.at);
}

bool Comparison::ColumnsFit() {
  Version const now = VersionOf(relation_, 0);
  const Layout* const layout = fold_->layout();
  if (layout == nullptr) {
    Report("definition", nullptr, nullptr, 0);
    return false;
  }
  bool fit = now.columns == layout->columns();
  for (size_t i = 0; fit && i < now.types.size() && layout->unfit().empty(); i++) {
    AttrNumber const number = Call([&] { return get_attnum(RelationGetRelid(relation_), now.columns[i].c_str()); });
    fit = layout->plan(i)->type == TupleDescAttr(RelationGetDescr(relation_), number - 1)->atttypid;
  }
  if (!fit) Report("definition", nullptr, nullptr, 0);
  return fit;
}

void Comparison::AddTable() {
  TableScanDesc const scan = Call([&] { return table_beginscan(relation_, GetActiveSnapshot(), 0, nullptr); });
  TupleTableSlot* const slot = Call([&] { return table_slot_create(relation_, nullptr); });
  float const estimate = relation_->rd_rel->reltuples;
  working_->Phase("reading rows", shown_.c_str(), estimate > 0 ? static_cast<uint64>(estimate) : 0);
  while (Call([&] {
    CHECK_FOR_INTERRUPTS();
    return table_scan_getnextslot(scan, ForwardScanDirection, slot);
  })) {
    if (++rows_ % kRowsPerReport == 0) working_->Done(rows_);
    bool free = false;
    HeapTuple const row = Call([&] { return ExecFetchSlotHeapTuple(slot, false, &free); });
    fold_->AddFound(TupleOf(relation_, row));
    if (free) heap_freetuple(row);
  }
  Call([&] {
    ExecDropSingleTupleTableSlot(slot);
    table_endscan(scan);
  });
}

// Each row must be found through each index that holds all of them.
void Comparison::CheckIndexes() {
  List* const indexes = Call([&] { return RelationGetIndexList(relation_); });
  for (int i = 0; i < list_length(indexes); i++) {
    uint64 found = 0;
    bool whole = false;
    NameData name;
    Call([&] {
      Relation const index = index_open(list_nth_oid(indexes, i), AccessShareLock);
      namestrcpy(&name, RelationGetRelationName(index));
      // One that was built after our snapshot may lack what only older snapshots see (as the planner asks).
      bool const too_new = index->rd_index->indcheckxmin && !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin);
      whole = index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid && index->rd_index->indisready &&
              !IsPartial(index) && !too_new;
      if (whole) {
        TupleTableSlot* const slot = table_slot_create(relation_, nullptr);
        IndexScanDesc const scan = index_beginscan(relation_, index, GetActiveSnapshot(), 0, 0);
        index_rescan(scan, nullptr, 0, nullptr, 0);
        for (; index_getnext_slot(scan, ForwardScanDirection, slot); found++) CHECK_FOR_INTERRUPTS();
        index_endscan(scan);
        ExecDropSingleTupleTableSlot(slot);
      }
      index_close(index, AccessShareLock);
    });
    if (!whole || found == rows_) continue;
    problems_++;
    char* const shown = Call([&] { return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation_)), NameStr(name)); });
    Row().Text(shown).Text("index").Null().Null().Null().Null().Null().Null().Put(set_);
  }
}

uint64_t Comparison::Run() {
  if (!ColumnsFit()) return problems_;
  if (!fold_->layout()->unfit().empty()) {
    Call([&] { ereport(NOTICE, (errmsg("%s cannot be compared: %s", shown_.c_str(), fold_->layout()->unfit().c_str()))); });
    return problems_;
  }
  AddTable();
  working_->Phase("comparing", shown_.c_str(), fold_->entries());
  uint64 keys = 0;
  fold_->ForEach([&](const Verdict& v) {
    if (++keys % kRowsPerReport == 0) working_->Done(keys);
    Judge(v);
  });
  working_->Phase("reading indexes", shown_.c_str(), 0);
  CheckIndexes();
  if (!fold_->knows_all())
    Call([&] {
      ereport(NOTICE, (errmsg("of %s only what was written after block %llu is compared: %s", shown_.c_str(),
                              static_cast<unsigned long long>(fold_->forgotten_at().height.value), fold_->forgotten().c_str()),
                       errdetail("%llu rows were not written since.", static_cast<unsigned long long>(unknown_))));
    });
  return problems_;
}

// The leaves of a partitioned table; of none: all shared tables.
std::vector<Oid> TablesOf(Oid relation) {
  std::vector<Oid> tables;
  if (!OidIsValid(relation)) {
    Call([] {
      if (SPI_execute("SELECT c.oid FROM pg_class c WHERE c.relkind = 'r' AND dadbs.is_shared(c.oid) ORDER BY c.oid", false, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not list the shared tables");
    });
    for (uint64 i = 0; i < SPI_processed; i++) {
      bool null = false;
      tables.push_back(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null)));
    }
    return tables;
  }
  char* const name = Call([&] { return get_rel_name(relation); });
  if (name == nullptr) throw PgError(ERRCODE_UNDEFINED_TABLE, "relation with OID " + std::to_string(relation) + " does not exist");
  if (!Call([&] { return IsSharedRelation(relation); }))
    throw PgError(ERRCODE_WRONG_OBJECT_TYPE, std::string("\"") + name + "\" is not a shared table", "", "dadbs.is_shared() tells which are.");
  List* const all = Call([&] { return find_all_inheritors(relation, AccessShareLock, nullptr); });
  for (int i = 0; i < list_length(all); i++)
    if (get_rel_relkind(list_nth_oid(all, i)) == RELKIND_RELATION) tables.push_back(list_nth_oid(all, i));
  return tables;
}

// Those that are still there, locked until the end of the transaction.
std::vector<Oid> Locked(const std::vector<Oid>& tables) {
  std::vector<Oid> locked;
  for (Oid table : tables) {
    bool const there = Call([&] {
      Relation const relation = try_table_open(table, AccessShareLock);
      if (relation != nullptr) table_close(relation, NoLock);
      return relation != nullptr;
    });
    if (there) locked.push_back(table);
  }
  return locked;
}

int64 Value(const char* query, bool fresh) {
  return Call([&] {
    // Not read only: in a snapshot that is taken now.
    if (SPI_execute(query, !fresh, 1) != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "could not read the history");
    bool null = false;
    Datum const value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
    return null ? 0 : DatumGetInt64(value);
  });
}

constexpr char kNewestVersion[] = "SELECT max(height << 20 | index) FROM dadbs_internal.relation_version";

// False: a definition came meanwhile, and what was found may come from that.
bool Attempt(Oid relation, ReturnSetInfo* set) {
  MemoryContext const context = Call([] { return AllocSetContextCreate(CurrentMemoryContext, "dadbs verify", ALLOCSET_DEFAULT_SIZES); });
  std::vector<Oid> const locked = Locked(TablesOf(relation));
  Call([] { PushActiveSnapshot(GetLatestSnapshot()); });
  int64 const newest = Value(kNewestVersion, false);
  core::Height const upto{static_cast<uint64_t>(Value("SELECT coalesce(max(height), 0) FROM dadbs_internal.block", false))};
  uint64_t problems = 0;
  {
    Working working("verify");
    working.Phase("reading definitions", "", upto.value);
    auto const report = [&](int64 height) { working.Done(static_cast<uint64>(height)); };
    Tables tables(context, locked, maintenance_work_mem, report);
    working.Phase("reading the chain", "", upto.value);
    tables.Read(report);
    for (auto& fold : tables.folds()) {
      Relation const opened = Call([&] { return table_open(fold->relation(), AccessShareLock); });
      problems += Comparison(set, fold.get(), opened, upto, &working).Run();
      Call([&] { table_close(opened, NoLock); });
    }
  }
  Call([] { PopActiveSnapshot(); });
  bool const changed = problems > 0 && Value(kNewestVersion, true) != newest;
  MemoryContextDelete(context);
  return !changed;
}

}  // namespace
}  // namespace dadbs::pg::verify

extern "C" Datum dadbs_verify_tables(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  return Enter([&]() -> Datum {
    ReturnSetInfo* const set = BeginSet(fcinfo);
    Oid const relation = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
    if (!SharingActive())
      throw PgError(kErrNotConfigured, "this database is not shared", "", "Call dadbs.create_cluster() or dadbs.join_cluster().");
    int const nest = Call([] {
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
      int const level = NewGUCNestLevel();
      verify::FixEnvironment();
      return level;
    });
    for (int attempt = 1; !verify::Attempt(relation, set); attempt++) {
      if (attempt == verify::kAttempts)
        throw PgError(kErrConflict, "definitions changed all the time while tables were verified", "", "Call it again when they come to rest, or for one table.");
      Call([&] { tuplestore_clear(set->setResult); });
    }
    Call([&] {
      AtEOXact_GUC(true, nest);
      SPI_finish();
    });
    return static_cast<Datum>(0);
  });
}
