/*
 * reshape.cpp: see reshape.h.
 *
 * The statement runs with the time of its block, the settings that travelled, as the table's owner in a restricted context: as it
 * ran at its position. Only what changes rows is repeated; constraints held then, and are not asked again. The functions that it
 * calls are those of today: had one been replaced meanwhile, the rows would come out as it makes them now (limitations.md).
 */
#include "reshape.h"

#include "../apply/row_values.h"
#include "../ddl/internal.h"
#include "tables.h"
#include "utility.h"

extern "C" {
#include "access/heapam.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr char kAtColumn[] = "dadbs at";
int64 scratches = 0;  // of this process: each has a name of its own

// now() of what is executed (recipe R4). Assertions want a parallel worker's number.
void FixTimestamps(TimestampTz transaction, TimestampTz statement) {
  int const number = ParallelWorkerNumber;
  ParallelWorkerNumber = 0;
  SetParallelStartTimestamps(transaction, statement);
  ParallelWorkerNumber = number;
}

// Of a new column: its value, whatever else must hold.
ColumnDef* ValueOf(const ColumnDef* column) {
  ColumnDef* const copy = ddl::Copy(column);
  List* kept = NIL;
  ListCell* cell;
  foreach (cell, copy->constraints) {
    auto* const constraint = lfirst_node(Constraint, cell);
    if (constraint->contype == CONSTR_DEFAULT || constraint->contype == CONSTR_GENERATED) kept = lappend(kept, constraint);
  }
  copy->constraints = kept;
  copy->is_not_null = false;
  return copy;
}

}  // namespace

AlterTableStmt* RowsPartOf(const AlterTableStmt* statement) {
  AlterTableStmt* part = nullptr;
  Call([&] {
    List* kept = NIL;
    ListCell* cell;
    foreach (cell, statement->cmds) {
      auto* const command = ddl::Copy(lfirst_node(AlterTableCmd, cell));
      switch (command->subtype) {
        case AT_AddColumn:
          command->def = reinterpret_cast<Node*>(ValueOf(reinterpret_cast<ColumnDef*>(command->def)));
          break;
        case AT_AlterColumnType:
        case AT_DropColumn: break;
        default: continue;
      }
      command->behavior = DROP_CASCADE;
      kept = lappend(kept, command);
    }
    if (kept == NIL) return;
    part = makeNode(AlterTableStmt);
    part->objtype = OBJECT_TABLE;
    part->cmds = kept;
  });
  return part;
}

Scratch::Scratch(const Version& version, Oid owner) : owner_(owner) {
  name_ = "dadbs_rows_" + std::to_string(++scratches);
  std::string text = "CREATE TEMPORARY TABLE " + name_ + " (\"" + kAtColumn + "\" bigint";
  for (size_t i = 0; i < version.columns.size(); i++) {
    const char* const column = version.columns[i].c_str();
    char* const quoted = Call([&] { return pstrdup(quote_identifier(column)); });
    text += std::string(", ") + quoted + " " + version.types[i];
    pfree(quoted);
  }
  text += ")";
  Call([&] {
    RunUtility(linitial_node(RawStmt, raw_parser(text.c_str(), RAW_PARSE_DEFAULT))->stmt, text.c_str());
    relation_ = RangeVarGetRelid(makeRangeVar(pstrdup("pg_temp"), pstrdup(name_.c_str()), -1), NoLock, false);
    ATExecChangeOwner(relation_, owner_, true, AccessExclusiveLock);
    CommandCounterIncrement();
  });
}

void Scratch::Add(Layout* layout, uint64_t at, const core::Tuple& tuple) {
  Call([&] {
    Relation const relation = table_open(relation_, RowExclusiveLock);
    TupleDesc const columns = RelationGetDescr(relation);
    MemoryContext const context = AllocSetContextCreate(CurrentMemoryContext, "dadbs scratch row", ALLOCSET_SMALL_SIZES);
    MemoryContext const before = MemoryContextSwitchTo(context);
    auto* const values = static_cast<Datum*>(palloc0(sizeof(Datum) * columns->natts));
    auto* const nulls = static_cast<bool*>(palloc0(sizeof(bool) * columns->natts));
    values[0] = Int64GetDatum(static_cast<int64>(at));
    for (size_t i = 0; i < tuple.size(); i++) values[i + 1] = ReadValue(layout->plan(i), tuple[i], &nulls[i + 1]);
    simple_heap_insert(relation, heap_form_tuple(columns, values, nulls));
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    table_close(relation, NoLock);
  });
}

void Scratch::Alter(const Definition& d, AlterTableStmt* statement) {
  int const level = EnterStatement(d);
  Call([&] {
    statement->relation = makeRangeVar(pstrdup("pg_temp"), pstrdup(name_.c_str()), -1);
    TimestampTz const transaction = GetCurrentTransactionStartTimestamp(), now = GetCurrentStatementStartTimestamp();
    TimestampTz const then = d.block_time_us - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    Oid user;
    int security;
    GetUserIdAndSecContext(&user, &security);
    CommandCounterIncrement();
    PG_TRY();
    {
      FixTimestamps(then, then);
      SetUserIdAndSecContext(owner_, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
      RunUtility(reinterpret_cast<Node*>(statement), d.text.c_str());
    }
    PG_FINALLY();
    {
      SetUserIdAndSecContext(user, security);
      FixTimestamps(transaction, now);
    }
    PG_END_TRY();
  });
  LeaveStatement(level);
}

Version Scratch::version() const {
  Relation const relation = Call([&] { return table_open(relation_, AccessShareLock); });
  Version const version = VersionOf(relation, 1);
  Call([&] { table_close(relation, NoLock); });
  return version;
}

void Scratch::ForEach(const std::function<void(uint64_t, core::ByteView)>& take) {
  Relation const relation = Call([&] { return table_open(relation_, AccessShareLock); });
  Snapshot const snapshot = Call([&] { return RegisterSnapshot(GetLatestSnapshot()); });
  TableScanDesc const scan = Call([&] { return table_beginscan(relation, snapshot, 0, nullptr); });
  for (HeapTuple tuple; (tuple = Call([&] { return heap_getnext(scan, ForwardScanDirection); })) != nullptr;) {
    core::Tuple row;
    DADBS_CHECK(DecodeTuple(TupleOf(relation, tuple), &row));
    core::Reader at(row[0].bytes);
    row.erase(row.begin());
    core::Writer w;
    core::EncodeTuple(w, row);
    take(at.U64(), w.bytes());
  }
  Call([&] {
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(relation, NoLock);
  });
}

void Scratch::Drop() {
  Call([&] {
    ObjectAddress object;
    ObjectAddressSet(object, RelationRelationId, relation_);
    performDeletion(&object, DROP_CASCADE, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
    CommandCounterIncrement();
  });
}

}  // namespace dadbs::pg::verify
