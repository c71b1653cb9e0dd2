/*
 * history_exchange.cpp: see history_exchange.h. A question that is lost, or whose peer does not answer, is for the process that asked.
 */
#include "history_exchange.h"

#include "dadbs/pg/ipc.h"

namespace dadbs::pg {

static_assert(kHistoryPieceBytes == core::kHistoryPieceBytesMax);

void HistoryExchange::Step(const Send& send) {
  HistoryFetch& fetch = shared->history_fetch;
  uint64_t const attempts = pg_atomic_read_u64(&fetch.attempts);
  if (attempts == attempts_) return;
  attempts_ = attempts;
  pg_read_barrier();
  uint64_t const number = asked_ = pg_atomic_read_u64(&fetch.request);
  pg_read_barrier();
  core::HistoryRequest const request{number, static_cast<core::HistoryPart>(fetch.part), core::Height{fetch.from}, fetch.offset};
  send(core::NodeId{fetch.peer}, request);
}

void HistoryExchange::Receive(core::NodeId from, const core::HistoryMessage& message) {
  HistoryFetch& fetch = shared->history_fetch;
  bool const is_awaited = message.number == asked_ && asked_ == pg_atomic_read_u64(&fetch.request) &&
                          pg_atomic_read_u64(&fetch.answered) != asked_ && from.value == fetch.peer;
  if (!is_awaited) return;
  fetch.next = message.next.value;
  fetch.next_offset = message.offset;
  fetch.bytes = static_cast<uint32>(message.bytes.size());
  memcpy(fetch.data, message.bytes.data(), message.bytes.size());
  pg_write_barrier();
  pg_atomic_write_u64(&fetch.answered, asked_);
  WakeSlot(fetch.procno);
}

}  // namespace dadbs::pg
