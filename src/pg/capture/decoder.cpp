/*
 * decoder.cpp: see decoder.h and design.md section 3; all that depends on the insides of logical decoding.
 *
 * A temporary slot is made at each start with the plugin "pgoutput", which every server has and output_plugin_libraries
 * allows by default; none of its callbacks is used: those of the reorder buffer are replaced. One decoding context
 * serves the search for the starting point and all that follows.
 *
 * Transactions are decoded once, while they wait in COMMIT, as if they were being prepared: ReorderBufferPrepare
 * hands every surviving change to the callbacks and keeps the transaction, so that its COMMIT or ABORT record is
 * later handled as ever. For that its PREPARE mark is taken off again. Its gid is allocated where the transaction
 * lives: a cleanup after an error frees it. Ordinary commits are only read for what they do to the catalogs: the
 * origin filter answers "skip" for records of the transaction manager, and for what was written with DoNotReplicateId
 * (history rows, the apply worker's).
 *
 * Rows that ON CONFLICT inserted and took back when it lost a race are counted by their session but not decoded: their
 * records are noted here as they are read.
 *
 * Written for PostgreSQL 15; the guard below is to be moved only together with a look at ReorderBufferTXN, xlogreader's
 * page callback and the slot functions.
 */
#include "decoder.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/capture_messages.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/heapam_xlog.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/message.h"
#include "replication/origin.h"
#include "replication/reorderbuffer.h"
#include "replication/slot.h"
#include "replication/snapbuild.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/relfilenodemap.h"
#include "utils/timestamp.h"
}

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "decoder.cpp has been written for PostgreSQL 15"
#endif

namespace dadbs::pg {
namespace {

constexpr char kPlugin[] = "pgoutput";
constexpr char kSlotName[] = "dadbs_capture";
constexpr long kIdlePollMs = 200;      // WAL that nobody woke us for
constexpr long kBusyPollMs = 10;       // while there is some
constexpr int kAdvanceIntervalMs = 1000;
constexpr int kRecordsBetweenChecks = 1024;

// The entry of ReorderBuffer::by_txn, as reorderbuffer.c defines it.
struct TransactionEntry {
  TransactionId xid;
  ReorderBufferTXN* transaction;
};

LogicalDecodingContext* context = nullptr;
ChangeSink* current_sink = nullptr;  // while a transaction is being decoded
bool reached_end = false;            // of its changes
bool transaction_record = false;     // the record that is being processed belongs to the transaction manager
bool found_wal = false;              // since the last wait
int64 advanced_at = 0;  // MonotonicUs

struct SpeculativeAbort {
  TransactionId xid;
  RelFileNode file;
};
std::vector<SpeculativeAbort> speculative_aborts;
std::span<const uint32_t> current_children;  // while a transaction is being decoded
constexpr size_t kSpeculativeAbortsBeforePurge = 256;

// ---- reading WAL --------------------------------------------------------------------------------------------------

// Lets go of WAL and catalog rows that are not needed any more.
void Advance() {
  int64 const now = MonotonicUs();
  if (context == nullptr || !DecodingContextReady(context)) return;
  if (now - advanced_at < kAdvanceIntervalMs * 1000) return;
  advanced_at = now;
  LogicalConfirmReceivedLocation(context->reader->EndRecPtr);
}

void AwaitWal() {
  if (ShutdownAsked()) proc_exit(0);
  Advance();
  long const wait_ms = found_wal ? kBusyPollMs : kIdlePollMs;
  found_wal = false;
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait_ms, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  }
}

int ReadPage(XLogReaderState* state, XLogRecPtr page, int wanted, XLogRecPtr, char* buffer) {
  TimeLineID timeline;
  XLogRecPtr flushed;
  while ((flushed = GetFlushRecPtr(&timeline)) < page + wanted) AwaitWal();
  found_wal = true;
  WALReadError error;
  if (!WALRead(state, buffer, page, XLOG_BLCKSZ, timeline, &error)) WALReadRaiseError(&error);
  return static_cast<int>(Min(flushed - page, static_cast<XLogRecPtr>(XLOG_BLCKSZ)));
}

// ---- callbacks of the reorder buffer; they serve DecodeOpenTransaction only ---------------------------------------

HeapTuple TupleOf(ReorderBufferTupleBuf* buffer) { return buffer != nullptr ? &buffer->tuple : nullptr; }

void OnChange(ReorderBuffer*, ReorderBufferTXN*, Relation relation, ReorderBufferChange* change) {
  if (current_sink == nullptr) return;
  HeapTuple const old_key = TupleOf(change->data.tp.oldtuple);
  HeapTuple const row = TupleOf(change->data.tp.newtuple);
  char op;
  switch (change->action) {
    case REORDER_BUFFER_CHANGE_INSERT: op = 'I'; break;
    case REORDER_BUFFER_CHANGE_UPDATE: op = 'U'; break;
    case REORDER_BUFFER_CHANGE_DELETE: op = 'D'; break;
    default: return;
  }
  if (op != 'D' && row == nullptr)
    elog(ERROR, "a decoded change of \"%s\" has no row", RelationGetRelationName(relation));
  Enter([&] { current_sink->OnRow(op, relation, old_key, row); });
}

void OnTruncate(ReorderBuffer*, ReorderBufferTXN*, int count, Relation relations[], ReorderBufferChange* change) {
  if (current_sink == nullptr) return;
  Enter([&] {
    current_sink->OnTruncate({relations, static_cast<size_t>(count)}, change->data.truncate.cascade,
                             change->data.truncate.restart_seqs);
  });
}

void OnMessage(ReorderBuffer*, ReorderBufferTXN*, XLogRecPtr, bool transactional, const char* prefix, Size size,
               const char* message) {
  if (current_sink == nullptr || !transactional || strcmp(prefix, kMessagePrefix) != 0) return;
  Enter([&] { current_sink->OnMessage({reinterpret_cast<const uint8_t*>(message), size}); });
}

void OnBegin(ReorderBuffer*, ReorderBufferTXN*) {}
void OnCommit(ReorderBuffer*, ReorderBufferTXN*, XLogRecPtr) {}

void TellSpeculativeAborts(TransactionId top) {
  for (const SpeculativeAbort& a : speculative_aborts) {
    bool const mine = a.xid == top || std::ranges::find(current_children, a.xid) != current_children.end();
    if (!mine) continue;
    Oid const relation = RelidByRelfilenode(a.file.spcNode, a.file.relNode);
    if (OidIsValid(relation)) Enter([&] { current_sink->OnSpeculativeAbort(relation); });
  }
}

void OnPrepare(ReorderBuffer*, ReorderBufferTXN* transaction, XLogRecPtr) {
  reached_end = !transaction->concurrent_abort;
  if (reached_end && current_sink != nullptr) TellSpeculativeAborts(transaction->xid);
}

bool SkipOrigin(LogicalDecodingContext*, RepOriginId origin) {
  return transaction_record || origin == DoNotReplicateId;
}

void ReplaceCallbacks() {
  context->callbacks.filter_by_origin_cb = SkipOrigin;
  context->streaming = false;
  context->twophase = false;
  ReorderBuffer* const reorder = context->reorder;
  reorder->begin = OnBegin;
  reorder->apply_change = OnChange;
  reorder->apply_truncate = OnTruncate;
  reorder->commit = OnCommit;
  reorder->message = OnMessage;
  reorder->begin_prepare = OnBegin;
  reorder->prepare = OnPrepare;
  reorder->output_rewrites = false;
}

// ---- transactions that are open -----------------------------------------------------------------------------------

ReorderBufferTXN* FindTransaction(TransactionId xid) {
  auto* const entry = static_cast<TransactionEntry*>(hash_search(context->reorder->by_txn, &xid, HASH_FIND, nullptr));
  return entry != nullptr ? entry->transaction : nullptr;
}

void ForgetPrepare(TransactionId xid) {
  ReorderBufferTXN* const transaction = FindTransaction(xid);
  if (transaction == nullptr) return;
  transaction->txn_flags &= ~RBTXN_PREPARE;
  if (transaction->gid != nullptr) {
    pfree(transaction->gid);
    transaction->gid = nullptr;
  }
}

void DecodePrepared(TransactionId xid, std::span<const uint32_t> children) {
  ReorderBuffer* const reorder = context->reorder;
  XLogRecPtr const at = context->reader->ReadRecPtr;
  XLogRecPtr const end = context->reader->EndRecPtr;
  if (!ReorderBufferRememberPrepareInfo(reorder, xid, at, end, GetCurrentTimestamp(), InvalidRepOriginId,
                                        InvalidXLogRecPtr))
    return;
  for (uint32_t child : children) ReorderBufferCommitChild(reorder, xid, child, at, end);
  MemoryContext const before = MemoryContextSwitchTo(reorder->context);  // of the gid
  ReorderBufferPrepare(reorder, xid, const_cast<char*>("dadbs"));
  MemoryContextSwitchTo(before);
  ForgetPrepare(xid);
}

// ---- records ------------------------------------------------------------------------------------------------------

core::ByteView OurMessage(XLogReaderState* reader) {
  if (XLogRecGetRmid(reader) != RM_LOGICALMSG_ID) return {};
  auto* const message = reinterpret_cast<xl_logical_message*>(XLogRecGetData(reader));
  bool const ours = message->dbId == MyDatabaseId && strcmp(message->message, kMessagePrefix) == 0;
  if (message->transactional || !ours) return {};
  return {reinterpret_cast<const uint8_t*>(message->message + message->prefix_size), message->message_size};
}

void NoteSpeculativeAbort(XLogReaderState* reader) {
  if (XLogRecGetRmid(reader) != RM_HEAP_ID || (XLogRecGetInfo(reader) & XLOG_HEAP_OPMASK) != XLOG_HEAP_DELETE) return;
  auto* const deletion = reinterpret_cast<xl_heap_delete*>(XLogRecGetData(reader));
  if ((deletion->flags & XLH_DELETE_IS_SUPER) == 0) return;
  SpeculativeAbort noted = {XLogRecGetXid(reader), {}};
  XLogRecGetBlockTag(reader, 0, &noted.file, nullptr, nullptr);
  if (noted.file.dbNode != MyDatabaseId) return;
  Enter([&] {
    if (speculative_aborts.size() >= kSpeculativeAbortsBeforePurge)
      std::erase_if(speculative_aborts, [](const SpeculativeAbort& a) { return FindTransaction(a.xid) == nullptr; });
    speculative_aborts.push_back(noted);
  });
}

void ReadRecord() {
  static int records = 0;
  char* error = nullptr;
  XLogRecord* const record = XLogReadRecord(context->reader, &error);
  if (record == nullptr)
    ereport(ERROR, (errcode_for_file_access(),
                    errmsg("could not read WAL: %s", error != nullptr ? error : "no record")));
  transaction_record = XLogRecGetRmid(context->reader) == RM_XACT_ID;
  LogicalDecodingProcessRecord(context, context->reader);
  NoteSpeculativeAbort(context->reader);
  if (++records % kRecordsBetweenChecks != 0) return;
  Advance();
  CHECK_FOR_INTERRUPTS();
  if (ShutdownAsked()) proc_exit(0);
}

// ---- the starting point -------------------------------------------------------------------------------------------

// Of the apply worker, which alone executes definitions.
bool CommitsDefinition(XLogReaderState* reader) {
  uint8 const info = XLogRecGetInfo(reader) & XLOG_XACT_OPMASK;
  if (XLogRecGetRmid(reader) != RM_XACT_ID || info != XLOG_XACT_COMMIT || XLogRecGetOrigin(reader) != DoNotReplicateId) return false;
  xl_xact_parsed_commit parsed;
  ParseCommitRecord(XLogRecGetInfo(reader), reinterpret_cast<xl_xact_commit*>(XLogRecGetData(reader)), &parsed);
  return parsed.nmsgs > 0;
}

// As DecodingContextFindStartpoint does. False: the snapshot of the catalogs may miss a definition, for some time, and rows would be read by
// what was before it. While PostgreSQL waits for the transactions that ran when the slot was made (BUILDING_SNAPSHOT) it passes over
// all commits and all changes of catalogs, also of transactions that began after these and commit in the next phase (FULL_SNAPSHOT); and
// a snapshot that the first change in that phase has made is kept until a change of the catalogs comes that it knows of.
bool FindStartpoint() {
  bool misses_definition = false;
  XLogBeginRead(context->reader, context->slot->data.restart_lsn);
  while (!DecodingContextReady(context)) {
    char* error = nullptr;
    if (XLogReadRecord(context->reader, &error) == nullptr) elog(ERROR, "could not read WAL: %s", error != nullptr ? error : "no record");
    bool const is_building = SnapBuildCurrentState(context->snapshot_builder) > SNAPBUILD_START;
    misses_definition = misses_definition || (is_building && CommitsDefinition(context->reader));
    LogicalDecodingProcessRecord(context, context->reader);
    CHECK_FOR_INTERRUPTS();
  }
  SpinLockAcquire(&context->slot->mutex);
  context->slot->data.confirmed_flush = context->reader->EndRecPtr;
  SpinLockRelease(&context->slot->mutex);
  return !misses_definition;
}

bool TryToStart() {
  ReplicationSlotCreate(kSlotName, true, RS_TEMPORARY, false);
  MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "dadbs decoding", ALLOCSET_DEFAULT_SIZES));
  MemoryContext const own = CurrentMemoryContext;
  XLogReaderRoutine routine = {};
  routine.page_read = ReadPage;
  routine.segment_open = wal_segment_open;
  routine.segment_close = wal_segment_close;
  context = CreateInitDecodingContext(kPlugin, NIL, false, InvalidXLogRecPtr, &routine, nullptr, nullptr, nullptr);
  ReplaceCallbacks();
  if (FindStartpoint()) return true;
  ereport(LOG, (errmsg("dadbs capture starts again: a definition was executed meanwhile")));
  FreeDecodingContext(context);
  context = nullptr;
  ReplicationSlotRelease();
  ReplicationSlotDrop(kSlotName, true);
  MemoryContextSwitchTo(TopMemoryContext);
  MemoryContextDelete(own);
  return false;
}

}  // namespace

void StartDecoding() {
  Call([] {
    CheckLogicalDecodingRequirements();
    while (!TryToStart()) CHECK_FOR_INTERRUPTS();
  });
}

core::ByteView DecodeNext() {
  return Call([] {
    ReadRecord();
    return OurMessage(context->reader);
  });
}

bool DecodeOpenTransaction(uint32_t xid, std::span<const uint32_t> children, ChangeSink* sink) {
  reached_end = false;
  current_sink = sink;
  current_children = children;
  try {
    Call([&] { DecodePrepared(xid, children); });
  } catch (...) {
    current_sink = nullptr;
    throw;
  }
  current_sink = nullptr;
  return reached_end;
}

}  // namespace dadbs::pg
