/*
 * rebuild.cpp: dadbs_internal.rebuild: makes the rows and indexes of a shared table anew from the chain.
 *
 *   1  the history must be the group's: its effects digest, folded from all verdicts, keys and effects, is the one that a quorum
 *      has signed at some height, and the chain behind it verifies (once per call of rebuild_database; the caller asks)
 *   2  apply stands still between two positions for this session (pause.h), which then locks the table: whoever is in the way
 *      gives way, as for a position
 *   3  what the chain says is folded from the history (fold.h). A table of which it cannot tell all is refused
 *   4  what the table holds is copied into dadbs_kept; the rows go into a new file, which takes the place of the old one, and
 *      all indexes are built anew, as VACUUM FULL does. Definition, constraints, triggers and privileges stay what they are
 *
 * All of it in one transaction: a crash or an error leaves the table as it was. Rows are written frozen: a snapshot that is older and
 * looks at the table for the first time afterwards sees the rows of this position rather than none.
 */
#include <optional>

#include "../apply/row_values.h"
#include "../ddl/internal.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/pause.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/spi.h"
#include "agreed.h"
#include "bulk_rows.h"
#include "progress.h"
#include "tables.h"
#include "utility.h"

extern "C" {
#include "access/heapam.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/cluster.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dadbs_rebuild);
PG_FUNCTION_INFO_V1(dadbs_outcomes_agree);
}

namespace dadbs::pg::verify {
namespace {

constexpr uint64 kRowsPerReport = 1024;
constexpr long kAgreementWaitMs = 120'000;

// ---- the history is the group's ---------------------------------------------------------------------------------------

bool OutcomesAgree() {
  const Member* const member = CurrentMember();
  if (member == nullptr) throw PgError(kErrNotConfigured, "this server is not a member of a cluster");
  std::optional<Agreed> const agreed = AwaitAgreedDigest(*member, core::Height{0}, true, kAgreementWaitMs);
  if (!agreed)
    throw PgError(kErrState, "no quorum has signed one digest of what it has come to", "The history of this member cannot be compared with the others'.",
                  "dadbs.state_digests shows what each has signed, dadbs.status who is connected.");
  Working working("rebuild");
  working.Phase("checking the history", "", agreed->height.value);
  Call([] { PushActiveSnapshot(GetLatestSnapshot()); });  // the caller's may be older than what is agreed
  OwnOutcomes own(core::Height{1}, agreed->height);
  core::EffectsDigest folded(core::Height{0}, member->genesis.chain_id());
  while (folded.height() < agreed->height) {
    own.Next().FoldInto(&folded);
    if (folded.height().value % 256 == 0) working.Done(folded.height().value);
  }
  Call([] { PopActiveSnapshot(); });
  return folded.digest() == agreed->digest;
}

// ---- the old rows -----------------------------------------------------------------------------------------------------

void Execute(const std::string& text) {
  Call([&] { RunUtility(linitial_node(RawStmt, raw_parser(text.c_str(), RAW_PARSE_DEFAULT))->stmt, text.c_str()); });
}

// Output functions of the columns that are kept as text; none for the others.
FmgrInfo* OutputsOf(TupleDesc columns) {
  auto* const outputs = static_cast<FmgrInfo*>(palloc0(sizeof(FmgrInfo) * Max(columns->natts, 1)));
  for (int i = 0; i < columns->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(columns, i);
    if (column->attisdropped || column->atttypid < FirstNormalObjectId) continue;
    Oid output;
    bool varlena;
    getTypeOutputInfo(column->atttypid, &output, &varlena);
    fmgr_info(output, &outputs[i]);
  }
  return outputs;
}

// Not by a query: planning one evaluates what is constant in the table's indexes, by functions that superusers do not run.
void CopyRows(Relation from, Oid into_id) {
  Relation const into = table_open(into_id, AccessExclusiveLock);
  TupleDesc const columns = RelationGetDescr(from);
  MemoryContext const of_row = AllocSetContextCreate(CurrentMemoryContext, "dadbs kept row", ALLOCSET_DEFAULT_SIZES);
  FmgrInfo* const outputs = OutputsOf(columns);
  auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * Max(columns->natts, 1)));
  auto* const nulls = static_cast<bool*>(palloc(sizeof(bool) * Max(columns->natts, 1)));
  BulkRows rows;
  rows.Begin(into, HEAP_INSERT_SKIP_FSM);
  TupleTableSlot* const slot = table_slot_create(from, nullptr);
  TableScanDesc const scan = table_beginscan(from, GetActiveSnapshot(), 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    MemoryContext const before = MemoryContextSwitchTo(of_row);
    slot_getallattrs(slot);
    for (int i = 0, at = 0; i < columns->natts; i++) {
      if (TupleDescAttr(columns, i)->attisdropped) continue;
      nulls[at] = slot->tts_isnull[i];
      values[at] = !nulls[at] && OidIsValid(outputs[i].fn_oid) ? CStringGetTextDatum(OutputFunctionCall(&outputs[i], slot->tts_values[i])) : slot->tts_values[i];
      at++;
    }
    rows.Add(values, nulls);
    MemoryContextSwitchTo(before);
    MemoryContextReset(of_row);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  rows.Finish();
  MemoryContextDelete(of_row);
  table_close(into, NoLock);
}

// Columns of types that are not built in as text: nothing here may stand on what the group defines.
std::string Keep(Relation relation, core::Height height) {
  std::string columns;
  TupleDesc const descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; i++) {
    Form_pg_attribute const column = TupleDescAttr(descriptor, i);
    if (column->attisdropped) continue;
    bool const own = column->atttypid >= FirstNormalObjectId;
    std::string const name = Call([&] { return quote_identifier(NameStr(column->attname)); });
    columns += (columns.empty() ? "" : ", ") + name + " " +
               (own ? "text" : Call([&] { return format_type_with_typemod(column->atttypid, column->atttypmod); }));
  }
  std::string name = std::string(RelationGetRelationName(relation)).substr(0, 40) + "_" + std::to_string(height.value);
  auto const taken = [&](const std::string& candidate) {
    return Call([&] { return OidIsValid(get_relname_relid(candidate.c_str(), get_namespace_oid("dadbs_kept", false))); });
  };
  for (int i = 2; taken(name); i++) name = name.substr(0, name.rfind('.')) + "." + std::to_string(i);
  std::string const kept = std::string("dadbs_kept.") + Call([&] { return quote_identifier(name.c_str()); });
  Execute("CREATE TABLE " + kept + " (" + columns + ")");
  Call([&] {
    CommandCounterIncrement();
    CopyRows(relation, get_relname_relid(name.c_str(), get_namespace_oid("dadbs_kept", false)));
  });
  return kept;
}

// ---- the new ones -----------------------------------------------------------------------------------------------------

class Filling {
 public:
  explicit Filling(Oid table) : into_(Call([&] { return table_open(table, AccessExclusiveLock); })) {
    Call([&] {
      int const columns = Max(RelationGetDescr(into_)->natts, 1);
      values_ = static_cast<Datum*>(palloc0(sizeof(Datum) * columns));
      nulls_ = static_cast<bool*>(palloc(sizeof(bool) * columns));
      memset(nulls_, true, sizeof(bool) * columns);
      row_ = AllocSetContextCreate(CurrentMemoryContext, "dadbs rebuilt row", ALLOCSET_DEFAULT_SIZES);
      bulk_ = GetBulkInsertState();
    });
  }
  void Add(const Layout& layout, const core::Tuple& tuple) {
    Call([&] {
      MemoryContext const before = MemoryContextSwitchTo(row_);
      TupleDesc const columns = RelationGetDescr(into_);
      size_t at = 0;
      for (int i = 0; i < columns->natts; i++)
        if (!TupleDescAttr(columns, i)->attisdropped) {
          values_[i] = ReadValue(layout.plan(at), tuple[at], &nulls_[i]);
          at++;
        }
      // One by one: inserting many at once cannot keep them from logical decoding, which would hold them all until the end.
      heap_insert(into_, heap_form_tuple(columns, values_, nulls_), GetCurrentCommandId(true),
                  HEAP_INSERT_FROZEN | HEAP_INSERT_SKIP_FSM | HEAP_INSERT_NO_LOGICAL, bulk_);
      MemoryContextSwitchTo(before);
      MemoryContextReset(row_);
      CHECK_FOR_INTERRUPTS();
    });
    count_++;
  }
  uint64 Finish() {
    Call([&] {
      FreeBulkInsertState(bulk_);
      table_close(into_, NoLock);
    });
    return count_;
  }

 private:
  Relation into_;
  BulkInsertState bulk_ = nullptr;
  Datum* values_ = nullptr;
  bool* nulls_ = nullptr;
  MemoryContext row_ = nullptr;
  uint64 count_ = 0;
};

[[noreturn]] void CannotTell(const std::string& shown, const std::string& why) {
  throw PgError(kErrNotSupported, "table " + shown + " cannot be rebuilt from the chain", why, "dadbs.verify_tables() compares what the chain can tell.");
}

void CheckFits(const Fold& fold, Relation relation, const std::string& shown) {
  if (fold.layout() == nullptr || fold.layout()->columns() != VersionOf(relation, 0).columns)
    CannotTell(shown, "Its columns are not those that the chain made.");
  if (!fold.layout()->unfit().empty()) CannotTell(shown, "Its rows cannot be read: " + fold.layout()->unfit() + ".");
  if (!fold.knows_all()) CannotTell(shown, "What it held at block " + std::to_string(fold.forgotten_at().height.value) + " is not known: " + fold.forgotten() + ".");
}

// Returns how many rows it has now.
uint64 Replace(Fold* fold, Oid relation_id, const std::string& shown, Working* working) {
  auto const [made, persistence] = Call([&] {
    Relation const relation = table_open(relation_id, AccessExclusiveLock);
    char const persistence = relation->rd_rel->relpersistence;
    Oid const space = relation->rd_rel->reltablespace, method = relation->rd_rel->relam;
    table_close(relation, NoLock);
    return std::pair<Oid, char>(make_new_heap(relation_id, space, method, persistence, AccessExclusiveLock), persistence);
  });
  Call([] { CommandCounterIncrement(); });
  Filling filling(made);
  working->Phase("writing rows", shown.c_str(), fold->entries());
  uint64 keys = 0;
  core::Tuple tuple;
  fold->ForEach([&](const Verdict& v) {
    if (++keys % kRowsPerReport == 0) working->Done(keys);
    if (v.said != Verdict::Said::kPresent) return;
    DADBS_CHECK(DecodeTuple(v.tuple, &tuple));
    if (!IsWhole(tuple)) CannotTell(shown, "A large value went with a row to another key, and is known only as unchanged.");
    for (uint32_t i = 0; i < v.copies; i++) filling.Add(*fold->layout(), tuple);
  });
  uint64 const rows = filling.Finish();
  working->Phase("building indexes", shown.c_str(), 0);
  Call([&] { finish_heap_swap(relation_id, made, false, false, false, true, RecentXmin, ReadNextMultiXactId(), persistence); });
  return rows;
}

void Note(const std::string& shown, int64 run, core::Height height, uint64 rows, const std::string& kept) {
  Call([&] {
    Oid types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID};
    Datum values[] = {CStringGetTextDatum(shown.c_str()), Int64GetDatum(run), Int64GetDatum(static_cast<int64>(height.value)),
                      Int64GetDatum(static_cast<int64>(rows)), CStringGetTextDatum(kept.c_str())};
    if (SPI_execute_with_args("INSERT INTO dadbs_internal.rebuilt VALUES ($1, nullif($2, 0), $3, $4, $5, now())", 5, types, values, nullptr, false, 0) != SPI_OK_INSERT)
      elog(ERROR, "could not note that %s was rebuilt", shown.c_str());
  });
}

uint64 Rebuild(Oid relation_id, int64 run) {
  Working working("rebuild");
  working.Phase("waiting for its turn", "", 0);
  TakeTurn();
  Relation const relation = Call([&] { return table_open(relation_id, AccessExclusiveLock); });
  std::string const shown = Call([&] {
    return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation));
  });
  Call([&] {
    CheckTableNotInUse(relation, "dadbs.rebuild_table");
    if (IsolationUsesXactSnapshot())
      ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE), errmsg("tables are rebuilt in READ COMMITTED only")));
  });
  if (relation->rd_rel->relkind != RELKIND_RELATION || !Call([&] { return IsSharedRelation(relation_id); }))
    throw PgError(ERRCODE_WRONG_OBJECT_TYPE, shown + " is not a shared table", "", "Of a partitioned table the partitions are rebuilt.");
  core::Height const height = core::WholeBlocks(core::Prefix{pg_atomic_read_u64(&shared->applied)});
  MemoryContext const context = Call([] {
    PushActiveSnapshot(GetLatestSnapshot());
    return AllocSetContextCreate(CurrentMemoryContext, "dadbs rebuild", ALLOCSET_DEFAULT_SIZES);
  });
  working.Phase("reading the chain", shown.c_str(), height.value);
  auto const report = [&](int64 at) { working.Done(static_cast<uint64>(at)); };
  Tables tables(context, {relation_id}, maintenance_work_mem, report);
  tables.Read(report);
  Fold* const fold = tables.folds().front().get();
  CheckFits(*fold, relation, shown);
  working.Phase("keeping the old rows", shown.c_str(), 0);
  std::string const kept = Keep(relation, height);
  Call([&] { table_close(relation, NoLock); });
  uint64 const rows = Replace(fold, relation_id, shown, &working);
  Note(shown, run, height, rows, kept);
  Call([] { PopActiveSnapshot(); });
  if (!HoldsTurn()) throw PgError(kErrConflict, "the apply worker was restarted meanwhile", "", "Call it again.");
  return rows;
}

}  // namespace
}  // namespace dadbs::pg::verify

using namespace dadbs::pg;

extern "C" Datum dadbs_outcomes_agree(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  return Enter([] { return BoolGetDatum(WithSpi(verify::OutcomesAgree)); });
}

extern "C" Datum dadbs_rebuild(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    if (!SharingActive())
      throw PgError(kErrNotConfigured, "this database is not shared", "", "Call dadbs.create_cluster() or dadbs.join_cluster().");
    int const nest = Call([] {
      if (!superuser()) ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only superusers rebuild tables")));
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
      int const level = NewGUCNestLevel();
      verify::FixEnvironment();
      return level;
    });
    uint64 const rows = verify::Rebuild(PG_GETARG_OID(0), PG_GETARG_INT64(1));
    Call([&] {
      AtEOXact_GUC(true, nest);
      SPI_finish();
    });
    return Int64GetDatum(static_cast<int64>(rows));
  });
}
