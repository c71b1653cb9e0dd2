/*
 * peer_history.cpp: see peer_history.h; the other side is consensus/history_exchange.cpp.
 */
#include "peer_history.h"

#include "dadbs/core/encoding.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr long kAnswerWaitMs = 10'000, kAskAgainMs = 2'000, kPollMs = 100;

bool Take(HistoryFetch* fetch) {
  uint64 const mine = static_cast<uint64>(MyProcPid);
  uint64 owner = 0;
  if (pg_atomic_compare_exchange_u64(&fetch->owner, &owner, mine) || owner == mine) return true;
  if (BackendPidGetProc(static_cast<int>(owner)) != nullptr) return false;
  return pg_atomic_compare_exchange_u64(&fetch->owner, &owner, mine);  // it ended without giving it back
}

}  // namespace

PeerHistory::PeerHistory(core::NodeId peer, core::HistoryPart part, core::Height from) : peer_(peer), part_(part), next_(from) {
  if (!Take(&shared->history_fetch))
    throw PgError(ERRCODE_OBJECT_IN_USE, "another process asks peers for their history", "", "Wait for it; dadbs.table_work shows it.");
}

PeerHistory::~PeerHistory() {
  uint64 mine = static_cast<uint64>(MyProcPid);
  (void)pg_atomic_compare_exchange_u64(&shared->history_fetch.owner, &mine, 0);
}

// One piece more. The question goes out again where nothing comes: it may have been lost with a link.
bool PeerHistory::Ask() {
  HistoryFetch& fetch = shared->history_fetch;
  TimestampTz const begun = GetCurrentTimestamp();
  TimestampTz asked = 0;
  while (!TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), kAnswerWaitMs)) {
    uint64 number = pg_atomic_read_u64(&fetch.request);
    if (asked != 0 && pg_atomic_read_u64(&fetch.answered) == number) break;
    if (asked == 0 || TimestampDifferenceExceeds(asked, GetCurrentTimestamp(), kAskAgainMs)) {
      fetch.procno = MyProc->pgprocno;
      fetch.peer = peer_.value;
      fetch.part = static_cast<uint8>(part_);
      fetch.from = next_.value;
      fetch.offset = offset_;
      pg_write_barrier();
      pg_atomic_write_u64(&fetch.request, number + 1);
      WakeWorker(&shared->consensus);
      asked = GetCurrentTimestamp();
    }
    Call([] {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kPollMs, PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
      CHECK_FOR_INTERRUPTS();
    });
  }
  if (pg_atomic_read_u64(&fetch.answered) != pg_atomic_read_u64(&fetch.request) || fetch.bytes == 0) return false;
  pg_read_barrier();
  stream_.erase(stream_.begin(), stream_.begin() + static_cast<ptrdiff_t>(taken_));
  taken_ = 0;
  stream_.insert(stream_.end(), fetch.data, fetch.data + fetch.bytes);
  next_ = core::Height{fetch.next};
  offset_ = fetch.next_offset;
  return true;
}

bool PeerHistory::Next(core::Bytes* element) {
  constexpr size_t kLengthBytes = 4;
  for (;;) {
    core::Reader r(core::ByteView(stream_).subspan(taken_));
    uint32_t const bytes = r.U32();
    if (r.ok() && bytes <= r.remaining()) {
      core::ByteView const body = r.Raw(bytes);
      element->assign(body.begin(), body.end());
      taken_ += kLengthBytes + bytes;
      return true;
    }
    if (!Ask()) return false;
  }
}

}  // namespace dadbs::pg::verify
