/*
 * peer_history.cpp: see peer_history.h; the other side is consensus/history_exchange.cpp.
 */
#include "peer_history.h"

#include "dadbs/core/chain.h"
#include "dadbs/core/encoding.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "nap.h"

extern "C" {
#include "miscadmin.h"
#include "storage/procarray.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr long kAnswerWaitMs = 30'000, kAskAgainMs = 5'000, kPollMs = 100, kOwnerWaitMs = 60'000;
// Who gives less than that, over all, is left: it may do so on purpose.
constexpr int64 kPatience_ms = 20'000, kMsPerElement = 20;
constexpr uint64_t kBytesPerMs = 16;
constexpr uint64_t kElementBytesMax = core::kBatchBytesMax + (64u << 20);

bool Take(HistoryFetch* fetch) {
  uint64 const mine = static_cast<uint64>(MyProcPid);
  uint64 owner = 0;
  if (pg_atomic_compare_exchange_u64(&fetch->owner, &owner, mine) || owner == mine) return true;
  if (BackendPidGetProc(static_cast<int>(owner)) != nullptr) return false;
  return pg_atomic_compare_exchange_u64(&fetch->owner, &owner, mine);  // it ended without giving it back
}

}  // namespace

PeerHistory::PeerHistory(core::NodeId peer, core::HistoryPart part, core::Height from)
    : peer_(peer), part_(part), next_(from), begun_us_(MonotonicUs()) {
  while (!Take(&shared->history_fetch)) {
    if (MonotonicUs() - begun_us_ > kOwnerWaitMs * 1000)
      throw PgError(ERRCODE_OBJECT_IN_USE, "another process asks peers for their history", "", "Wait for it; dadbs.table_work shows it.");
    Nap(kPollMs);
  }
  begun_us_ = MonotonicUs();
}

PeerHistory::~PeerHistory() {
  uint64 mine = static_cast<uint64>(MyProcPid);
  (void)pg_atomic_compare_exchange_u64(&shared->history_fetch.owner, &mine, 0);
}

bool PeerHistory::IsTooSlow() const {
  int64 const allowed_ms = kPatience_ms + static_cast<int64>(elements_) * kMsPerElement + static_cast<int64>(bytes_ / kBytesPerMs);
  return MonotonicUs() - begun_us_ > allowed_ms * 1000;
}

// One piece more. The question goes out again where nothing comes: it may have been lost with a link.
bool PeerHistory::Ask() {
  HistoryFetch& fetch = shared->history_fetch;
  uint64 const number = pg_atomic_read_u64(&fetch.request) + 1;
  fetch.procno = MyProc->pgprocno;
  fetch.peer = peer_.value;
  fetch.part = static_cast<uint8>(part_);
  fetch.from = next_.value;
  fetch.offset = offset_;
  pg_write_barrier();
  pg_atomic_write_u64(&fetch.request, number);
  int64 const begun_us = MonotonicUs();
  int64 asked_us = 0;
  while (pg_atomic_read_u64(&fetch.answered) != number) {
    int64 const now_us = MonotonicUs();
    if (now_us - begun_us > kAnswerWaitMs * 1000 || IsTooSlow()) return false;
    if (asked_us == 0 || now_us - asked_us > kAskAgainMs * 1000) {
      pg_memory_barrier();
      pg_atomic_fetch_add_u64(&fetch.attempts, 1);
      WakeWorker(&shared->consensus);
      asked_us = now_us;
    }
    Nap(kPollMs);
  }
  pg_read_barrier();
  if (fetch.bytes == 0) return false;
  stream_.erase(stream_.begin(), stream_.begin() + static_cast<ptrdiff_t>(taken_));
  taken_ = 0;
  stream_.insert(stream_.end(), fetch.data, fetch.data + fetch.bytes);
  bytes_ += fetch.bytes;
  next_ = core::Height{fetch.next};
  offset_ = fetch.next_offset;
  return true;
}

bool PeerHistory::Next(core::Bytes* element) {
  constexpr size_t kLengthBytes = 4;
  for (;;) {
    core::Reader r(core::ByteView(stream_).subspan(taken_));
    uint32_t const bytes = r.U32();
    if (r.ok() && bytes > kElementBytesMax) return false;
    if (r.ok() && bytes <= r.remaining()) {
      core::ByteView const body = r.Raw(bytes);
      element->assign(body.begin(), body.end());
      taken_ += kLengthBytes + bytes;
      elements_++;
      return true;
    }
    if (!Ask()) return false;
  }
}

}  // namespace dadbs::pg::verify
