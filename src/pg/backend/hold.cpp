/*
 * hold.cpp: the COMMIT of a transaction that changed shared relations, held until the chain has decided.
 *
 * XACT_EVENT_PRE_COMMIT, in the client's backend, all its locks held:
 *   1  what did it change (count.cpp)? Nothing shared: return, at no cost
 *   2  refuse what cannot be shared (PREPARE, SERIALIZABLE, mixed writes, no quorum, ...)
 *   3  slot -> kCapturing; "ready" message into the WAL, flushed; wake capture; wait (wait.cpp)
 *   4a kTurn: write the history row, enter the commit, return: core commits, without waiting for a flush, since the
 *      journal is the commit log; XACT_EVENT_COMMIT steps shared->applied (apply.h)
 *   4b doomed, or no fast path: internal abort (release.cpp): replay decides, the client gets its true outcome
 *   4c refused by the chain: the verdict's error
 * From 4a's EnterCommit to XACT_EVENT_COMMIT an error would still roll back what the chain has committed: then replay
 * restores it and the client reads 40003.
 *
 * Our transaction callback is the first one registered, so it runs last at PRE_COMMIT: what other libraries write in
 * theirs is captured too. XACT_EVENT_COMMIT and _ABORT do not throw. State is this process's own and its slot's; a
 * crash of the backend restarts the server, and replay from the journal does the rest.
 *
 * Gap: where the owner has synchronous standbys, COMMIT does not wait for them (synchronous_commit is off at 4a).
 */
#include "dadbs/pg/hold.h"

#include "hold_internal.h"

#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_attrdef_d.h"
#include "catalog/pg_attribute_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_constraint_d.h"
#include "catalog/pg_enum_d.h"
#include "catalog/pg_index_d.h"
#include "catalog/pg_namespace_d.h"
#include "catalog/pg_opclass_d.h"
#include "catalog/pg_proc_d.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/predicate.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {

bool LastId(core::TransactionId* id);  // wait.cpp

namespace {

bool needs_replay = false;             // MarkNeedsReplay, in this transaction
bool committing = false;               // between EnterCommit and the end of the transaction
int synchronous_commit_before = 0;     // while committing
bool exit_callback_registered = false;

// ---- refusals -----------------------------------------------------------------------------------------------------

std::string NameOf(Oid relation) {
  const char* const name = Call([&] { return get_rel_name(relation); });
  return name != nullptr ? name : std::to_string(relation);
}

// Decoding reads the catalogs: it would wait for this transaction, which waits for it.
bool LocksCatalog() {
  constexpr Oid kCatalogs[] = {RelationRelationId, AttributeRelationId,  TypeRelationId,   NamespaceRelationId,
                               IndexRelationId,    ProcedureRelationId,  EnumRelationId,   ConstraintRelationId,
                               AttrDefaultRelationId, AccessMethodRelationId, OperatorClassRelationId};
  for (Oid catalog : kCatalogs) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, catalog);
    if (LockHeldByMe(&tag, AccessExclusiveLock)) return true;
  }
  return false;
}

void RefuseWhatCannotBeShared(const TransactionChanges& changes) {
  if (MyBackendType != B_BACKEND)
    throw PgError(kErrNotSupported, "only client sessions can write shared tables",
                  std::string("This process is a ") + GetBackendTypeDesc(MyBackendType) + ".",
                  "Let the background process write through a client connection.");
  if (pg_atomic_read_u64(&shared->paused_for) == static_cast<uint64>(MyProcPid))
    throw PgError(kErrNotSupported, "cannot write shared tables in a transaction that has the turn",
                  "Apply stands still for it and would never come to what it wrote.",
                  "Write in a transaction of its own, before or after the repair.");
  if (counts_were_off)
    throw PgError(kErrState, "cannot write shared tables while track_counts is off", "",
                  "Set track_counts to on: dadbs counts with it what a transaction has changed.");
  if (changes.without_key != 0)
    throw PgError(kErrState, "cannot update or delete rows of shared table \"" + NameOf(changes.without_key) + "\"",
                  "It has no primary key and no unique index over NOT NULL columns.", "Add a primary key.");
  if (changes.large_objects)
    throw PgError(kErrNotSupported, "cannot write large objects and shared tables in one transaction",
                  "Large objects are not shared.", "Keep the data in a bytea column.");
  if (changes.local != 0 && !guc_allow_mixed_writes)
    throw PgError(kErrNotSupported, "cannot write shared and local tables in one transaction",
                  "Table \"" + NameOf(changes.local) + "\" is local. A replay would restore the shared half only.",
                  "Use two transactions, or set dadbs.allow_mixed_writes.");
  if (Call([] { return LocksCatalog(); }))
    throw PgError(kErrNotSupported,
                  "cannot lock a system catalog exclusively in a transaction that writes shared tables");
  if (IsolationIsSerializable() && !guc_accept_snapshot_isolation)
    throw PgError(kErrNotSupported, "SERIALIZABLE transactions cannot write shared tables yet",
                  "Serializability is not enforced between members.",
                  "Use REPEATABLE READ, or set dadbs.accept_snapshot_isolation to run them under snapshot isolation.");
}

// It will be rolled back here and applied from its block.
void RefuseWhatReplayLoses(bool lossy) {
  RequireInternalAbort();
  if (lossy)
    throw PgError(kErrNotSupported,
                  "cannot write or define temporary or local objects, or call pg_notify(), in a transaction that is "
                  "applied from its block",
                  "It holds DDL, TRUNCATE or rows of a table whose constraints or contracts the members run at the position.",
                  "Write and define temporary and local objects in a transaction of their own; use the command NOTIFY.");
}

// Half of what a transaction wrote before capture started is not in its view.
void RequireCaptured(FullTransactionId xid) {
  uint64 const from = pg_atomic_read_u64(&shared->capture_from_xid);
  if (from != 0 && U64FromFullTransactionId(xid) >= from) return;
  LeaveBeforeHandOver();
  if (from == 0) RequireWritable();
  pg_atomic_fetch_add_u64(&shared->conflicts[kConflictCaptureRestart], 1);
  throw PgError(kErrConflict, "could not commit: the transaction began before this member was ready to share it", "",
                "Retry the transaction.");
}

// ---- the hold -----------------------------------------------------------------------------------------------------

// Sound: a position published after this was read gives the transaction its floor first (PublishSchemaPosition).
uint64 SchemaBase() {
  BackendSlot* const slot = MySlot();
  uint64 const published = pg_atomic_read_u64(&shared->schema_position);
  pg_memory_barrier();
  SlotGuard guard(slot);
  return slot->schema_floor_transaction == VirtualId(MyProc, MyProc->lxid) ? Min(slot->schema_floor, published) : published;
}

ReadyMessage MakeReady(TransactionChanges* changes, uint32 hold, uint32 flags) {
  ReadyMessage ready;
  ready.procno = static_cast<uint32>(MyProc->pgprocno);
  ready.hold = hold;
  ready.xid = GetTopTransactionIdIfAny();
  ready.emitted = EmittedChanges();
  ready.flags = flags;
  ready.begun_at_us = UnixMicros(GetCurrentTransactionStartTimestamp());
  ready.user = SessionUserName();
  ready.application_name = application_name != nullptr ? application_name : "";
  TransactionId* children = nullptr;
  int const count = xactGetCommittedChildren(&children);
  ready.children.assign(children, children + count);
  ready.relations = std::move(changes->relations);
  return ready;
}

void ReleaseAtExit(int, Datum) {
  if (shared != nullptr && MySlot()->state != SlotState::kIdle) AbandonHold();
}

// The journal has it: core need not wait for its own flush.
void EnterLocalCommit() {
  synchronous_commit_before = synchronous_commit;
  synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
  committing = true;
  RememberId();
}

// kTurn. False: the turn is lost, replay decides.
bool TakeTurn() {
  try {
    if (!AwaitPredecessor()) return false;
    WriteTurnRow();
    if (!EnterCommit()) return false;
  } catch (const PgError& e) {
    if (e.sqlstate() == ERRCODE_QUERY_CANCELED && !Look().doomed) ThrowUnknown("canceled on the user's request");
    Call([&] {
      ereport(LOG, (errcode(e.sqlstate()), errmsg("could not commit in turn: %s", e.what()),
                    errdetail("The transaction is replayed from its block.")));
    });
    return false;
  } catch (const std::bad_alloc&) {
    return false;  // an error would be a lie: the chain commits it
  }
  EnterLocalCommit();
  return true;
}

void AwaitTurn(bool lost_writes) {
  for (;;) {
    SlotView const seen = Look();
    switch (seen.state) {
      case SlotState::kCapturing:
        if (seen.doomed && LeaveBeforeHandOver()) ThrowLost();
        break;
      case SlotState::kHandedOver:
        if ((seen.doomed || seen.no_fast_path) && Release()) return AbortInternally(false, lost_writes);
        break;
      case SlotState::kTurn:
        if (!TakeTurn()) AbortInternally(true, lost_writes);
        return;
      case SlotState::kDone:
        if (seen.outcome == Outcome::kRefused) ThrowRefusal();
        if (seen.outcome == Outcome::kNothing) return LeaveDone();
        // Replayed, although this one has not let go: what it did itself is not to be committed.
        return AbortInternally(false, lost_writes);
      default: DADBS_CHECK(!"a held transaction whose slot was taken away");
    }
    AwaitChange(seen);
  }
}

void HoldTransaction(FullTransactionId xid, TransactionChanges* changes) {
  RefuseWhatCannotBeShared(*changes);
  RequireWritable();
  if (Doomed()) ThrowLost();
  bool const replica = replica_role_was_set || SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN;
  bool const replay = replica || needs_replay || changes->needs_replay || EmittedChanges() != 0;
  bool const lossy = changes->temporary || changes->local != InvalidOid || AnyLocalDefinition() || CalledPgNotify();
  if (replay) RefuseWhatReplayLoses(lossy);
  if (IsolationIsSerializable()) Call([] { PreCommit_CheckForSerializationFailure(); });
  EnsureExitCallback();
  uint32 const hold = BeginHold({HoldKind::kRows, replay, changes->shared_rows + EmittedChanges(), xid});
  RequireCaptured(xid);
  MySlot()->schema_base = SchemaBase();
  SendToCapture(EncodeReady(MakeReady(changes, hold, replica ? uint32{core::kForceReplay} : 0), SharedSecret()));
  AwaitTurn(lossy);
}

bool Concerned() {
  return shared != nullptr && !InInternalAbort() && SharingActive() && !IsOwnWorker();
}

void PreCommit() {
  if (!Concerned()) return;
  TransactionId const top = GetTopTransactionIdIfAny();
  if (!TransactionIdIsValid(top)) return;
  if (EmittedChanges() == 0 && !counts_were_off && !AnyRowsCounted()) return;
  TransactionChanges changes = CountChanges();
  if (!changes.shared && EmittedChanges() == 0 && !counts_were_off) return;
  HoldTransaction(GetTopFullTransactionId(), &changes);
}

// A lock of a shared table outlives its session in a prepared transaction: nobody could be told to let go of it. Row locks
// come with one on their table. Postgres code; not for the commit path: it looks at all locks of the server.
bool HoldsSharedRelation() {
  const LockData* const all = GetLockStatusData();
  for (int i = 0; i < all->nelements; i++) {
    const LockInstanceData& lock = all->locks[i];
    if (lock.pid == MyProcPid && lock.holdMask != 0 && lock.locktag.locktag_type == LOCKTAG_RELATION &&
        lock.locktag.locktag_field1 == MyDatabaseId && IsSharedRelation(lock.locktag.locktag_field2))
      return true;
  }
  return false;
}

void PrePrepare() {
  if (!Concerned()) return;
  bool const changed = EmittedChanges() != 0 || counts_were_off || CountChanges().shared;
  if (!changed && !Call([] { return HoldsSharedRelation(); })) return;
  throw PgError(kErrNotSupported, "cannot PREPARE a transaction that changed or locked shared tables",
                "Its locks would stand in the way of the group's transactions until somebody ends it.",
                "Use COMMIT: it is atomic on all members.");
}

// ---- the end of a transaction; nothing here throws ----------------------------------------------------------------

void AtCommit() noexcept {
  if (committing) FinishTurn();
  EndHeldTransaction();
}

void AtAbort() noexcept {
  if (InInternalAbort()) return;
  if (shared != nullptr && MyProc != nullptr && MySlot()->state != SlotState::kIdle) AbandonHold();
  EndHeldTransaction();
}

extern "C" void TransactionCallback(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
      MemoryContextSwitchTo(TopTransactionContext);  // a procedure that commits would keep ours until it ends
      return Enter([] { PreCommit(); });
    case XACT_EVENT_PRE_PREPARE: return Enter([] { PrePrepare(); });
    case XACT_EVENT_COMMIT: return AtCommit();
    case XACT_EVENT_ABORT: return AtAbort();
    case XACT_EVENT_PREPARE: return EndHeldTransaction();
    default: return;
  }
}

extern "C" void SubtransactionCallback(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_COMMIT_SUB) EndSubtransactionOfCounts(true);
  if (event == SUBXACT_EVENT_ABORT_SUB) EndSubtransactionOfCounts(false);
}

}  // namespace

core::ByteView SharedSecret() { return shared->secret; }

void SendToCapture(const core::Bytes& message) {
  Call([&] {
    XLogRecPtr const at = LogLogicalMessage(kMessagePrefix, reinterpret_cast<const char*>(message.data()),
                                            message.size(), false);
    XLogFlush(at);
  });
  WakeWorker(&shared->capture);
}

void EnsureExitCallback() {
  if (exit_callback_registered) return;
  Call([] { before_shmem_exit(ReleaseAtExit, Datum(0)); });
  exit_callback_registered = true;
}

void EndHeldTransaction() noexcept {
  ResumeCancels();
  if (committing) synchronous_commit = synchronous_commit_before;
  committing = false;
  needs_replay = counts_were_off = replica_role_was_set = false;
  ForgetCounts();
  ResetExpressions();
  if (shared != nullptr) ClearDoom();
}

void InitHold() {
  RegisterXactCallback(TransactionCallback, nullptr);
  RegisterSubXactCallback(SubtransactionCallback, nullptr);
  InstallSessionStateHooks();
  InstallDoomHooks();
}

void EmitChange(const core::Change& change) {
  core::Bytes const bytes = core::EncodeChange(change);
  core::Bytes message;
  uint32 const top = Call([] { return GetTopTransactionId(); });
  message = EncodeChangeMessage({top, bytes}, SharedSecret());
  Call([&] {
    LogLogicalMessage(kMessagePrefix, reinterpret_cast<const char*>(message.data()), message.size(), true);
  });
  AddEmitted();
}

void MarkNeedsReplay() { needs_replay = true; }

bool LastTransactionId(core::TransactionId* id) { return LastId(id); }

bool TransactionHasSharedChanges() {
  if (EmittedChanges() != 0) return true;
  return AnyRowsCounted() && CountChanges().shared;
}

void PublishSchemaPosition(core::Prefix position) noexcept {
  uint64 const before = pg_atomic_read_u64(&shared->schema_position);
  pg_memory_barrier();
  for (int procno = 0; procno < shared->slot_count; procno++) {
    PGPROC* const proc = GetPGProcByNumber(procno);
    // Set before a transaction reads its first invalidations, so one that is not seen here has read ours.
    LocalTransactionId const lxid = proc->fpVXIDLock ? proc->fpLocalTransactionId : proc->lxid;
    uint64 const transaction = VirtualId(proc, lxid);
    if (transaction == 0) continue;
    BackendSlot* const slot = SlotOf(procno);
    SlotGuard guard(slot);
    if (slot->schema_floor_transaction == transaction) continue;  // keeps the lower one
    slot->schema_floor_transaction = transaction;
    slot->schema_floor = before;
  }
  pg_atomic_write_u64(&shared->schema_position, position.value);
}

}  // namespace dadbs::pg
