/*
 * xids.cpp: see xids.h.
 *
 * State: shared->xid_ceiling, what the file holds; 0: not read yet. Read and raised under shared->xid_lock. Whoever comes close
 * to it raises it while the others go on, who are above it wait for that. Ids are used up by subtransactions of empty
 * transactions: the server's own way, which makes pages of pg_xact and pg_subtrans and leaves each id in the WAL.
 */
#include "dadbs/pg/xids.h"

#include <algorithm>

#include "dadbs/core/encoding.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/worker.h"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
}

namespace dadbs::pg {
namespace {

constexpr uint64 kAhead = 2048;        // the ceiling is raised to that many above an id ...
constexpr uint64 kReserve = 1024;      // ... when fewer than so many are left
constexpr uint64 kFarAhead = 4u << 20;  // further than any crash can throw back: not this server's file
constexpr int kPerTransaction = 1000;

class XidLock {
 public:
  explicit XidLock(bool wait) : held_(wait ? (LWLockAcquire(shared->xid_lock, LW_EXCLUSIVE), true)
                                           : LWLockConditionalAcquire(shared->xid_lock, LW_EXCLUSIVE)) {}
  XidLock(const XidLock&) = delete;
  XidLock& operator=(const XidLock&) = delete;
  ~XidLock() {
    if (held_) LWLockRelease(shared->xid_lock);
  }
  bool held() const { return held_; }

 private:
  bool held_;
};

std::string XidsFile() { return MemberDirectory() + "/xids"; }

uint64 Ceiling() { return pg_atomic_read_u64(&shared->xid_ceiling); }

uint64 NextXid() { return U64FromFullTransactionId(ReadNextFullTransactionId()); }

// The lock is held. A file that is damaged, or too far ahead to be of this server's past, says nothing.
uint64 ReadCeiling() {
  std::optional<core::Bytes> const bytes = ReadMemberFile(XidsFile());
  if (!bytes) return 0;
  core::Reader in(*bytes);
  uint64 const value = in.U64(), complement = in.U64();
  if (in.Done() && complement == ~value && value <= NextXid() + kFarAhead) return value;
  Call([] {
    ereport(LOG, (errmsg("file \"%s/xids\" is damaged or of another server", DataDir),
                  errdetail("Transaction ids that were given before a crash may be given again.")));
  });
  return 0;
}

// The lock is held.
void LoadCeiling() {
  if (Ceiling() == 0) pg_atomic_write_u64(&shared->xid_ceiling, std::max<uint64>(ReadCeiling(), 1));
}

// The lock is held.
void RaiseCeiling(uint64 xid) {
  LoadCeiling();
  if (xid + kReserve <= Ceiling()) return;
  core::Writer out;
  out.U64(xid + kAhead);
  out.U64(~(xid + kAhead));
  WriteFileDurably(XidsFile(), out.bytes(), 0600);
  pg_atomic_write_u64(&shared->xid_ceiling, xid + kAhead);
}

// While there is room: one does it, and a failure waits until there is none.
void RaiseAhead(uint64 xid) {
  XidLock const lock(false);
  if (!lock.held()) return;
  try {
    RaiseCeiling(xid);
  } catch (const PgError& e) {
    Call([&] { ereport(LOG, (errcode(e.sqlstate()), errmsg("%s", e.what()))); });
  }
}

void Note(uint64 xid) {
  if (xid <= Ceiling()) return RaiseAhead(xid);
  XidLock const lock(true);
  RaiseCeiling(xid);
}

// Postgres code.
void UseUpSome(uint64 to) {
  StartTransactionCommand();
  for (int i = 0; i < kPerTransaction && NextXid() <= to; i++) {
    BeginInternalSubTransaction(nullptr);
    (void)GetCurrentTransactionId();
    ReleaseCurrentSubTransaction();
  }
  CommitTransactionCommand();
}

}  // namespace

void NoteXid() {
  FullTransactionId const xid = GetTopFullTransactionIdIfAny();
  if (!FullTransactionIdIsValid(xid) || shared == nullptr) return;
  uint64 const value = U64FromFullTransactionId(xid);
  if (likely(value + kReserve <= Ceiling()) || !SharingActive() || IsOwnWorker()) return;
  Enter([&] { Note(value); });
}

void UseUpToldXids() {
  if (ToldXidsAreUsedUp()) return;
  {
    XidLock const lock(true);
    LoadCeiling();
  }
  uint64 const to = Ceiling();
  while (NextXid() <= to)
    Call([&] {
      UseUpSome(to);
      CHECK_FOR_INTERRUPTS();
    });
  pg_atomic_write_u32(&shared->xids_used_up, 1);
}

bool ToldXidsAreUsedUp() { return pg_atomic_read_u32(&shared->xids_used_up) != 0; }

}  // namespace dadbs::pg
