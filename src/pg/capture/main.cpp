/*
 * main.cpp: the capture worker: turns transactions that wait in COMMIT into write sets.
 *
 * One process per member. It reads the server's WAL behind the backends (decoder.h). A "ready" message makes it
 * decode that open transaction into a write set (collector.h), which it sends to the consensus worker through
 * capture_queue; a lone statement's message is wrapped without decoding.
 *
 * The hand-over: under the slot's mutex, while the backend still waits with its locks held, the slot goes kCapturing
 * -> kHandedOver and the write set's base is fixed: the position applied here now. Until then the backend may leave,
 * after it only the chain decides. A transaction that cannot be captured is answered at once (-> kDone, refused).
 *
 * State owned: the slots' capture fields, shared->capture_from_xid. At its start it answers those that waited for an
 * older capture, for their WAL is behind it and their transactions would keep the new slot from starting. Nothing is
 * durable: the replication slot is temporary.
 */
#include <algorithm>
#include <cstring>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/capture_messages.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/worker.h"
#include "dadbs/pg/xids.h"

#include "collector.h"
#include "decoder.h"
#include "row_encoder.h"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "replication/reorderbuffer.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shm_mq.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {
namespace {

constexpr long kStartPollMs = 100;

shm_mq_handle* queue = nullptr;

// ---- answers ------------------------------------------------------------------------------------------------------

// The mutex is held.
void SetRefused(BackendSlot* slot, const PgError& why) {
  slot->outcome = Outcome::kRefused;
  slot->sqlstate = why.sqlstate();
  strlcpy(slot->message, why.message().c_str(), sizeof(slot->message));
  strlcpy(slot->detail, why.detail().c_str(), sizeof(slot->detail));
  strlcpy(slot->hint, why.hint().c_str(), sizeof(slot->hint));
  slot->state = SlotState::kDone;
}

void Refuse(int procno, uint32 hold, const PgError& why) {
  BackendSlot* const slot = SlotOf(procno);
  {
    SlotGuard guard(slot);
    bool const waits = slot->state == SlotState::kCapturing || slot->state == SlotState::kHandedOver ||
                       slot->state == SlotState::kReleased;
    if (slot->hold != hold || !waits) return;
    SetRefused(slot, why);
  }
  WakeSlot(procno);
}

// All that it had counted was taken back by itself (a lost race of ON CONFLICT).
void AnswerNothing(int procno, uint32 hold) {
  BackendSlot* const slot = SlotOf(procno);
  {
    SlotGuard guard(slot);
    if (slot->hold != hold || slot->state != SlotState::kCapturing) return;
    slot->outcome = Outcome::kNothing;
    slot->state = SlotState::kDone;
  }
  WakeSlot(procno);
}

// Those that an older capture left waiting, and those whose write set got lost between it and consensus.
void AnswerLeftOver() {
  PgError const why(kErrConflict, "could not commit: the workers of this member were restarted", "",
                    "Retry the transaction.");
  for (int procno = 0; procno < shared->slot_count; procno++) {
    BackendSlot* const slot = SlotOf(procno);
    bool left = false;
    {
      SlotGuard guard(slot);
      bool const handed = slot->state == SlotState::kHandedOver || slot->state == SlotState::kReleased;
      left = slot->state == SlotState::kCapturing || (handed && slot->id_number == 0);
      if (left) SetRefused(slot, why);
    }
    if (!left) continue;
    pg_atomic_fetch_add_u64(&shared->conflicts[kConflictCaptureRestart], 1);
    WakeSlot(procno);
  }
}

// ---- the hand-over ------------------------------------------------------------------------------------------------

struct Claim {
  int procno;
  uint32 hold;
  HoldKind kind;
};

bool Waits(const Claim& claim, TransactionId xid) {
  if (claim.procno < 0 || claim.procno >= shared->slot_count) return false;
  BackendSlot* const slot = SlotOf(claim.procno);
  SlotGuard guard(slot);
  return slot->state == SlotState::kCapturing && slot->hold == claim.hold && slot->kind == claim.kind &&
         XidFromFullTransactionId(slot->xid) == xid;
}

bool FixBase(const Claim& claim, uint64 captured, core::WriteSetHeader* header) {
  BackendSlot* const slot = SlotOf(claim.procno);
  TimestampTz const now = GetCurrentTimestamp();
  bool wake = false;
  TimestampTz since;
  {
    SlotGuard guard(slot);
    if (slot->state != SlotState::kCapturing || slot->hold != claim.hold || slot->doomed) return false;
    slot->state = SlotState::kHandedOver;
    slot->rows_captured = captured;
    slot->base = pg_atomic_read_u64(&shared->applied);
    if (claim.kind != HoldKind::kRows) slot->schema_base = slot->base;
    slot->schema_base = Min(slot->schema_base, slot->base);
    slot->state_since = now;
    header->base = core::Prefix{slot->base};
    header->schema_base = core::Prefix{slot->schema_base};
    header->origin_xid = U64FromFullTransactionId(slot->xid);
    since = slot->held_since;
    slot->no_fast_path |= (header->flags & core::kForceReplay) != 0;
    wake = slot->no_fast_path && claim.kind == HoldKind::kRows;  // it lets go now
  }
  if (wake) WakeSlot(claim.procno);
  AddStage(kStageCapture, now - since);
  return true;
}

// Of the bytes as they travel: what apply recognises the waiting backend by.
void NoteIdentity(const Claim& claim, const core::Digest& identity) {
  BackendSlot* const slot = SlotOf(claim.procno);
  SlotGuard guard(slot);
  if (slot->hold == claim.hold) memcpy(slot->identity, identity.bytes.data(), sizeof(slot->identity));
}

void Send(const Claim& claim, const core::Bytes& write_set) {
  CaptureMessage frame = {};
  frame.procno = static_cast<uint32>(claim.procno);
  frame.hold = claim.hold;
  frame.kind = static_cast<uint8>(claim.kind);
  frame.captured_at_us = GetCurrentTimestamp();
  frame.bytes = write_set.size();
  const char* const data = reinterpret_cast<const char*>(write_set.data());
  shm_mq_result result = SHM_MQ_SUCCESS;
  for (size_t sent = 0; result == SHM_MQ_SUCCESS && sent < write_set.size();) {
    size_t const length = std::min(write_set.size() - sent, kCaptureChunkBytes);
    shm_mq_iovec parts[2] = {{reinterpret_cast<const char*>(&frame), sent == 0 ? sizeof(frame) : 0}, {data + sent, length}};
    result = Call([&] { return shm_mq_sendv(queue, parts, 2, false, true); });
    sent += length;
  }
  if (result == SHM_MQ_SUCCESS) return;
  Refuse(claim.procno, claim.hold,
         PgError(kErrConflict, "could not commit: the workers of this member are being restarted", "",
                 "Retry the transaction."));
  throw PgError(kErrState, "the consensus worker is gone");
}

template <class Finish>
void HandOver(const Claim& claim, uint64 captured, core::WriteSetHeader* header, Finish&& finish) {
  if (!FixBase(claim, captured, header)) return;
  core::Bytes const write_set = finish(*header);
  NoteIdentity(claim, core::WriteSetIdentity(write_set));
  Send(claim, write_set);
}

// ---- messages -----------------------------------------------------------------------------------------------------

class Capture {
 public:
  void Handle(core::ByteView message) {
    switch (CheckMessage(message, shared->secret)) {
      case 'R':
        if (auto ready = DecodeReady(message)) return CaptureTransaction(*ready);
        break;
      case 'L':
        if (auto lone = DecodeLone(message)) return CaptureStatement(*lone);
        break;
      default: break;  // somebody called pg_logical_emit_message
    }
  }

 private:
  void CaptureTransaction(const ReadyMessage& ready) {
    Claim const claim{static_cast<int>(ready.procno), ready.hold, HoldKind::kRows};
    if (!Waits(claim, ready.xid)) return;
    Collector collector(ready, &encoder_, &salts_);
    try {
      if (!DecodeOpenTransaction(ready.xid, ready.children, &collector)) {
        if (!Waits(claim, ready.xid)) return;  // rolled back meanwhile
        throw PgError(kErrConflict, "could not commit: the changes of the transaction were not found in the WAL", "",
                      "Retry the transaction.");
      }
      collector.CheckComplete();
    } catch (const PgError& e) {
      if (e.sqlstate() == ERRCODE_ADMIN_SHUTDOWN) throw;
      return Refuse(claim.procno, claim.hold, e);
    }
    if (collector.count() == 0) return AnswerNothing(claim.procno, claim.hold);
    core::WriteSetHeader header;
    header.begun_at_us = ready.begun_at_us;
    header.user = ready.user;
    header.application_name = ready.application_name;
    header.flags = ready.flags | (collector.is_doubtful() ? uint32_t{core::kForceReplay} : 0);
    HandOver(claim, collector.count(), &header, [&](const core::WriteSetHeader& h) { return collector.Finish(h); });
  }

  void CaptureStatement(const LoneMessage& lone) {
    HoldKind const kind = lone.kind == core::WriteSetKind::kCalls ? HoldKind::kCalls : HoldKind::kLoneDdl;
    Claim const claim{static_cast<int>(lone.procno), lone.hold, kind};
    if (!Waits(claim, InvalidTransactionId)) return;
    core::WriteSetHeader header;
    header.begun_at_us = lone.begun_at_us;
    header.user = lone.user;
    header.application_name = lone.application_name;
    core::WriteSetBuilder builder(lone.kind);
    salts_.Reseed();
    for (core::ByteView change : lone.changes) builder.Add(salts_.Next(), change);
    HandOver(claim, lone.changes.size(), &header, [&](const core::WriteSetHeader& h) { return builder.Finish(h); });
  }

  RowEncoder encoder_;
  SaltSource salts_;
};

// ---- start and end ------------------------------------------------------------------------------------------------

// Text forms must not depend on this server's configuration.
void FixEnvironment() {
  constexpr std::pair<const char*, const char*> kSettings[] = {
      {"TimeZone", "UTC"},         {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"},
      {"extra_float_digits", "1"}, {"bytea_output", "hex"},   {"search_path", ""},
      {"lc_monetary", "C"},        {"quote_all_identifiers", "off"}};
  for (const auto& [name, value] : kSettings) SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

// A write set is held in memory whole: what it is made of may take as much, before it goes to disk and is read from there again.
void KeepChangesInMemory() {
  char kb[16];
  snprintf(kb, sizeof(kb), "%d", Max(logical_decoding_work_mem, guc_max_write_set_mb * 1024));
  SetConfigOption("logical_decoding_work_mem", kb, PGC_SUSET, PGC_S_OVERRIDE);
}

void LeaveService(int, Datum) {
  pg_atomic_write_u64(&shared->capture_from_xid, 0);
  if (queue != nullptr) shm_mq_detach(queue);
  queue = nullptr;
}

void Pause() {
  if (ShutdownAsked()) proc_exit(0);
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kStartPollMs, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

// What is captured is in the chain by its id.
void AwaitXids() {
  while (!ToldXidsAreUsedUp()) Pause();
}

void AttachQueue() {
  while (shared->consensus == nullptr) Pause();
  MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
  shm_mq* const place = static_cast<shm_mq*>(capture_queue);
  shm_mq_set_sender(place, MyProc);
  queue = shm_mq_attach(place, nullptr, nullptr);
  MemoryContextSwitchTo(before);
}

// For dadbs.status: the slot cannot start while older transactions run.
void NoteWhoIsWaitedFor() {
  int oldest_pid = 0;
  TransactionId oldest = InvalidTransactionId;
  LWLockAcquire(ProcArrayLock, LW_SHARED);
  for (int procno = 0; procno < shared->slot_count; procno++) {
    const PGPROC* const proc = GetPGProcByNumber(procno);
    if (!TransactionIdIsNormal(proc->xid) || proc->pid == 0) continue;
    if (oldest_pid != 0 && TransactionIdPrecedesOrEquals(oldest, proc->xid)) continue;
    oldest = proc->xid;
    oldest_pid = proc->pid;
  }
  LWLockRelease(ProcArrayLock);
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  shared->capture_reason[0] = '\0';
  if (oldest_pid != 0)
    snprintf(shared->capture_reason, sizeof(shared->capture_reason),
             "the end of transactions that are older than the capture worker, the oldest one in process %d",
             oldest_pid);
  LWLockRelease(shared->lock);
}

void Start() {
  Oid const database = pg_atomic_read_u32(&shared->database);
  Call([&] {
    before_shmem_exit(LeaveService, Datum(0));
    pg_atomic_write_u64(&shared->capture_from_xid, 0);
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    FixEnvironment();
    KeepChangesInMemory();
  });
  AnswerLeftOver();
  Call([] { NoteWhoIsWaitedFor(); });
  Call([] { pqsignal(SIGTERM, die); });  // waits for transactions, not for a flag
  StartDecoding();
  Call([] {
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    AttachQueue();
    AwaitXids();
  });
}

void Run() {
  Start();
  Capture capture;
  PublishWorker(&shared->capture);
  FullTransactionId const from = Call([] { return ReadNextFullTransactionId(); });
  pg_atomic_write_u64(&shared->capture_from_xid, U64FromFullTransactionId(from));
  Call([] {
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    shared->capture_reason[0] = '\0';
    LWLockRelease(shared->lock);
  });
  for (;;) {
    core::ByteView const message = DecodeNext();
    if (!message.empty()) capture.Handle(message);
  }
}

}  // namespace
}  // namespace dadbs::pg

extern "C" PGDLLEXPORT void dadbs_capture_main(Datum);
extern "C" void dadbs_capture_main(Datum) { dadbs::pg::RunWorker([] { dadbs::pg::Run(); }); }
