/*
 * sequences.cpp: sequences that all members draw from at once without a word.
 *
 * Member i of a group with stride s has, of a sequence that its author made with START a INCREMENT d, START a + (i-1)d and
 * INCREMENT s*d: a residue class of its own (recipe R6; nextval, INSERT, COPY and identity honour it alike, and so does
 * TRUNCATE ... RESTART IDENTITY, which goes to START). Nothing is kept beside the catalog: the author's numbers follow from
 * the stride, which the genesis fixes. CREATE and ALTER SEQUENCE, also those that serial and identity columns imply, first
 * run with the author's numbers, so that they succeed or fail on all members alike, and are then moved to the class here.
 * Where an ALTER doesn't say RESTART, this member goes on behind its own last value. CYCLE gives values again, on one
 * member as on several: it wraps to MINVALUE as it does in plain Postgres.
 *
 * setval() would put several members on one value. The planner hook calls dadbs_internal.setval instead, after views
 * and rules have been expanded: it sets the own class above the value at once and tells the others by an 'S' change, who
 * move past it and never backwards.
 */
#include "internal.h"

#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dadbs_setval);
}

namespace dadbs::pg {
namespace ddl {
namespace {

using Wide = __int128;  // no sum of two int64 overflows

planner_hook_type previous_planner = nullptr;

int64 Stride() { return shared != nullptr && shared->sequence_stride > 1 ? shared->sequence_stride : 1; }
int64 Offset() { return shared != nullptr && shared->self_id > 0 ? (shared->self_id - 1) % Stride() : 0; }

struct Numbers {
  int64 start, increment, min, max;
  int64 last;
  bool called;
  Wide next() const { return called ? static_cast<Wide>(last) + increment : last; }
  bool ascending() const { return increment > 0; }
  bool in_bounds(Wide value) const { return value >= min && value <= max; }
};

Numbers ReadDefinition(Oid sequence) {
  Numbers n = {};
  HeapTuple tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
  if (!HeapTupleIsValid(tuple)) {
    if (const char* const name = get_rel_name(sequence); name != nullptr && get_rel_relkind(sequence) != RELKIND_SEQUENCE)
      ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a sequence", name)));
    elog(ERROR, "cache lookup failed for sequence %u", sequence);
  }
  auto* form = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple));
  n.start = form->seqstart;
  n.increment = form->seqincrement;
  n.min = form->seqmin;
  n.max = form->seqmax;
  ReleaseSysCache(tuple);
  return n;
}

Numbers Read(Oid sequence) {
  Numbers n = ReadDefinition(sequence);
  Relation relation = relation_open(sequence, AccessShareLock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
  TupleTableSlot* slot = table_slot_create(relation, nullptr);
  if (!table_scan_getnextslot(scan, ForwardScanDirection, slot))
    elog(ERROR, "sequence %u has no row", sequence);
  bool is_null;
  n.last = DatumGetInt64(slot_getattr(slot, SEQ_COL_LASTVAL, &is_null));
  n.called = DatumGetBool(slot_getattr(slot, SEQ_COL_CALLED, &is_null));
  ExecDropSingleTupleTableSlot(slot);
  table_endscan(scan);
  UnregisterSnapshot(snapshot);
  relation_close(relation, NoLock);
  return n;
}

// What the author wrote, from what is on disk here.
int64 AuthorIncrement(const Numbers& n) { return n.increment % Stride() == 0 ? n.increment / Stride() : n.increment; }
int64 AuthorStart(const Numbers& n) { return n.start - Offset() * AuthorIncrement(n); }

DefElem* Option(const char* name, Wide value) {
  return makeDefElem(pstrdup(name), reinterpret_cast<Node*>(makeFloat(psprintf("%lld", static_cast<long long>(value)))), -1);
}

void Alter(Oid sequence, List* options) {
  auto* alter = makeNode(AlterSeqStmt);
  alter->sequence = makeRangeVar(get_namespace_name(get_rel_namespace(sequence)), get_rel_name(sequence), -1);
  alter->options = options;
  AlterSequence(make_parsestate(nullptr), alter);
  CommandCounterIncrement();
}

// The values of all members must be in bounds, or it would fail on some only.
void CheckRoom(const Numbers& n, Wide first, const char* name) {
  Wide const last = first + static_cast<Wide>(n.increment) * (Stride() - 1);
  Wide const step = static_cast<Wide>(n.increment) * Stride();
  if (n.in_bounds(first) && n.in_bounds(last) && step <= PG_INT64_MAX && step >= PG_INT64_MIN) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("sequence \"%s\" has too few values for %lld members", name, static_cast<long long>(Stride())),
                  errhint("Give it wider bounds, or a larger type.")));
}

// The first value of this member's class that is not before `from`.
Wide FirstInClass(const Numbers& n, Wide from) {
  Wide const step = n.increment;
  Wide const distance = from - n.start;
  Wide steps = distance / step;
  if (steps * step != distance && (distance > 0) == (step > 0)) steps++;
  return n.start + steps * step;
}

void SetValue(Oid sequence, Wide value, bool called) {
  DirectFunctionCall3(setval3_oid, ObjectIdGetDatum(sequence), Int64GetDatum(static_cast<int64>(value)), BoolGetDatum(called));
}

// Goes to the first value of the class at or behind `from`; where there is none, nextval says "reached the end".
void GoTo(Oid sequence, const Numbers& n, Wide from) {
  Wide next = FirstInClass(n, from);
  if (n.ascending() && next < n.min) next = FirstInClass(n, n.min);
  if (!n.ascending() && next > n.max) next = FirstInClass(n, n.max);
  if (n.in_bounds(next))
    SetValue(sequence, next, false);
  else
    SetValue(sequence, n.ascending() ? n.max : n.min, true);
}

// From the author's numbers, in force now, to this member's class.
void MoveToClass(Oid sequence, Wide author_restart, const Numbers* before) {
  Numbers const author = Read(sequence);
  const char* name = get_rel_name(sequence);
  CheckRoom(author, author.start, name);
  if (before == nullptr) CheckRoom(author, author_restart, name);
  if (Stride() > 1) {
    Wide const start = author.start + static_cast<Wide>(author.increment) * Offset();
    Alter(sequence, list_make3(Option("increment", static_cast<Wide>(author.increment) * Stride()), Option("start", start),
                               Option("restart", start)));
  }
  // The file is new in this transaction (RESTART above or before), so that setval is rolled back with it. START names the
  // class, so a RESTART elsewhere goes to the first value of the class behind it: counted on from the value itself, members
  // would stand on each other's classes (H44).
  if (before != nullptr)
    GoTo(sequence, Read(sequence), before->next());
  else if (Stride() > 1)
    GoTo(sequence, Read(sequence), author_restart);
}

DefElem* Find(List* options, const char* name) {
  ListCell* cell;
  foreach (cell, options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0) return lfirst_node(DefElem, cell);
  return nullptr;
}

bool ChangesNumbers(List* options) {
  ListCell* cell;
  foreach (cell, options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, "owned_by") != 0) return true;
  return false;
}

void ExecuteAlter(AlterSeqStmt* alter) {
  Oid const sequence = RangeVarGetRelid(alter->sequence, ShareRowExclusiveLock, true);
  Numbers const before = Read(sequence);
  DefElem* const restart = Find(alter->options, "restart");
  auto* as_author = Copy(alter);
  if (Find(alter->options, "increment") == nullptr)
    as_author->options = lappend(as_author->options, Option("increment", AuthorIncrement(before)));
  if (Find(alter->options, "start") == nullptr)
    as_author->options = lappend(as_author->options, Option("start", AuthorStart(before)));
  if (restart == nullptr) as_author->options = lappend(as_author->options, makeDefElem(pstrdup("restart"), nullptr, -1));
  AlterSequence(make_parsestate(nullptr), as_author);
  CommandCounterIncrement();
  MoveToClass(sequence, Read(sequence).last, restart == nullptr ? &before : nullptr);
}

void ExecuteCreate(CreateSeqStmt* create) {
  Oid const schema = RangeVarGetCreationNamespace(create->sequence);
  bool const exists = OidIsValid(get_relname_relid(create->sequence->relname, schema));
  DefineSequence(make_parsestate(nullptr), create);
  CommandCounterIncrement();
  if (exists) return;  // IF NOT EXISTS
  Oid const sequence = get_relname_relid(create->sequence->relname, schema);
  MoveToClass(sequence, Read(sequence).last, nullptr);
}

bool IsSharedSequence(Oid relation) {
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, relation);
  return get_rel_relkind(relation) == RELKIND_SEQUENCE && IsSharedObject(address);
}

// By the catalog alone: whoever plans this has no rights on our schema, and needs none.
Oid OurSetval(Oid original) {
  Oid types[] = {REGCLASSOID, INT8OID, BOOLOID};
  oidvector* arguments = buildoidvector(types, original == F_SETVAL_REGCLASS_INT8 ? 2 : 3);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("setval"), PointerGetDatum(arguments),
                         ObjectIdGetDatum(get_namespace_oid("dadbs_internal", true)));
}

bool ReplaceSetval(Node* node, void* context) {
  if (node == nullptr) return false;
  if (IsA(node, FuncExpr)) {
    auto* call = reinterpret_cast<FuncExpr*>(node);
    if (call->funcid == F_SETVAL_REGCLASS_INT8 || call->funcid == F_SETVAL_REGCLASS_INT8_BOOL) {
      Oid const ours = OurSetval(call->funcid);
      if (OidIsValid(ours)) call->funcid = ours;
    }
  }
  if (IsA(node, Query))
    return query_tree_walker(reinterpret_cast<Query*>(node), AsWalker(ReplaceSetval), context, 0);
  return expression_tree_walker(node, AsWalker(ReplaceSetval), context);
}

PlannedStmt* OnPlan(Query* query, const char* text, int cursor_options, ParamListInfo params) {
  if (SharingActive() && MyBackendType == B_BACKEND) ReplaceSetval(reinterpret_cast<Node*>(query), nullptr);
  return previous_planner ? previous_planner(query, text, cursor_options, params)
                          : standard_planner(query, text, cursor_options, params);
}

// In one step: between two, a nextval of another session would get a value of another member's class, or one twice.
// Postgres code. Permissions and bounds are setval's own.
void SetvalHere(Oid sequence, int64 value, bool called) {
  Numbers const n = ReadDefinition(sequence);
  if (n.in_bounds(value))
    GoTo(sequence, n, called ? static_cast<Wide>(value) + (n.ascending() ? 1 : -1) : static_cast<Wide>(value));
  else
    SetValue(sequence, value, called);
}

// Where nextval must go on so that it gives no value up to `value` again; with `called`, where there is none left.
Wide Behind(const Numbers& n, int64 value, bool* called) {
  Wide next = FirstInClass(n, static_cast<Wide>(value) + (n.ascending() ? 1 : -1));
  if (n.ascending() && next < n.min) next = FirstInClass(n, n.min);
  if (!n.ascending() && next > n.max) next = FirstInClass(n, n.max);
  *called = !n.in_bounds(next);
  if (*called) next = n.ascending() ? n.max : n.min;
  return next;
}

// setval as core writes it, but compared and set under one lock of the page: a nextval of a local session in between
// must not be undone.
void MoveForward(Oid sequence, int64 value) {
  Numbers n = ReadDefinition(sequence);
  bool called;
  int64 const target = static_cast<int64>(Behind(n, value, &called));
  Relation const relation = relation_open(sequence, RowExclusiveLock);
  Buffer const buffer = ReadBuffer(relation, 0);
  LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
  Page const page = BufferGetPage(buffer);
  ItemId const item = PageGetItemId(page, FirstOffsetNumber);
  auto* const header = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  auto* const data = reinterpret_cast<Form_pg_sequence_data>(reinterpret_cast<char*>(header) + header->t_hoff);
  n.last = data->last_value;
  n.called = data->is_called;
  if (n.ascending() ? n.next() <= value : n.next() >= value) {
    if (RelationNeedsWAL(relation)) GetTopTransactionId();
    START_CRIT_SECTION();
    data->last_value = target;
    data->is_called = called;
    data->log_cnt = 0;
    MarkBufferDirty(buffer);
    if (RelationNeedsWAL(relation)) {
      xl_seq_rec record;
      record.node = relation->rd_node;
      XLogBeginInsert();
      XLogRegisterBuffer(0, buffer, REGBUF_WILL_INIT);
      XLogRegisterData(reinterpret_cast<char*>(&record), sizeof(record));
      XLogRegisterData(reinterpret_cast<char*>(header), ItemIdGetLength(item));
      XLogRecPtr const end = XLogInsert(RM_SEQ_ID, XLOG_SEQ_LOG);
      PageSetLSN(page, end);  // a macro that evaluates it twice
    }
    END_CRIT_SECTION();
  }
  UnlockReleaseBuffer(buffer);
  relation_close(relation, NoLock);
}

}  // namespace

void InitSequences() {
  previous_planner = planner_hook;
  planner_hook = OnPlan;
}

bool ExecuteSequenceStatement(Node* node) {
  if (IsA(node, CreateSeqStmt)) {
    ExecuteCreate(reinterpret_cast<CreateSeqStmt*>(node));
    return true;
  }
  if (!IsA(node, AlterSeqStmt)) return false;
  auto* alter = reinterpret_cast<AlterSeqStmt*>(node);
  if (!ChangesNumbers(alter->options) || !OidIsValid(RangeVarGetRelid(alter->sequence, NoLock, true))) return false;
  ExecuteAlter(alter);
  return true;
}

}  // namespace ddl

void MoveSequencePast(Oid sequence, int64 value) {
  Call([&] { ddl::MoveForward(sequence, value); });
}

namespace ddl {
namespace {

// The change as it travels: "past" what was the last value given.
void TellOthers(Oid sequence, int64 value, bool called) {
  struct {
    char *schema, *name;
    int64 past;
  } told;
  Call([&] {
    told.schema = get_namespace_name(get_rel_namespace(sequence));
    told.name = get_rel_name(sequence);
    told.past = called ? value : value - AuthorIncrement(Read(sequence));
  });
  EmitChange(core::SequenceChange{{told.schema, told.name}, told.past});
}

}  // namespace
}  // namespace ddl
}  // namespace dadbs::pg

// dadbs_internal.setval(regclass, bigint [, boolean])
extern "C" PGDLLEXPORT Datum dadbs_setval(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  Oid const sequence = PG_GETARG_OID(0);
  int64 const value = PG_GETARG_INT64(1);
  bool const called = PG_NARGS() < 3 || PG_GETARG_BOOL(2);
  if (!ddl::IsSharedSequence(sequence) || ddl::Executing() || MyBackendType != B_BACKEND) {
    ddl::SetValue(sequence, value, called);
    PG_RETURN_INT64(value);
  }
  ddl::SetvalHere(sequence, value, called);
  Enter([&] { ddl::TellOthers(sequence, value, called); });
  PG_RETURN_INT64(value);
}
