/*
 * capture_queue.cpp: see capture_queue.h. Frames are CaptureMessage (ipc.h) and the write set's bytes.
 */
#include "capture_queue.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "miscadmin.h"
#include "storage/shm_mq.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
}

namespace dadbs::pg {

void CaptureQueue::Create() {
  handle_ = Call([]() -> void* {
    MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
    shm_mq* const queue = shm_mq_create(capture_queue, kCaptureQueueBytes);
    shm_mq_set_receiver(queue, MyProc);
    shm_mq_handle* const handle = shm_mq_attach(queue, nullptr, nullptr);
    MemoryContextSwitchTo(before);
    return handle;
  });
}

void CaptureQueue::Detach() {
  if (handle_ == nullptr) return;
  auto* const handle = static_cast<shm_mq_handle*>(handle_);
  handle_ = nullptr;
  Call([&] { shm_mq_detach(handle); });
}

std::optional<Submission> CaptureQueue::Receive() {
  for (;;) {
    Size bytes = 0;
    void* data = nullptr;
    shm_mq_result const result =
        Call([&] { return shm_mq_receive(static_cast<shm_mq_handle*>(handle_), &bytes, &data, true); });
    if (result != SHM_MQ_SUCCESS) return std::nullopt;  // nothing there, or capture is gone: the launcher sees that
    const auto* body = static_cast<const uint8_t*>(data);
    if (missing_ == 0) {
      DADBS_CHECK(bytes > sizeof(CaptureMessage));
      CaptureMessage header;
      memcpy(&header, data, sizeof(header));
      DADBS_CHECK(header.procno < static_cast<uint32>(shared->slot_count));
      arriving_ = {{header.procno, header.hold}, header.captured_at_us, {}};
      arriving_.write_set.reserve(header.bytes);
      missing_ = header.bytes;
      body += sizeof(header);
      bytes -= sizeof(header);
    }
    DADBS_CHECK(bytes > 0 && bytes <= missing_);
    arriving_.write_set.insert(arriving_.write_set.end(), body, body + bytes);
    missing_ -= bytes;
    if (missing_ == 0) return std::move(arriving_);
  }
}

void NoteNumbered(const Ticket& ticket, const core::TransactionId& id) {
  if (ticket.procno == Ticket::kNobody) return;
  BackendSlot* const slot = SlotOf(static_cast<int>(ticket.procno));
  SpinLockAcquire(&slot->mutex);
  if (slot->hold == ticket.hold) {
    slot->id_origin = id.origin.value;
    slot->id_incarnation = id.incarnation;
    slot->id_number = id.number;
  }
  SpinLockRelease(&slot->mutex);
}

void RefuseHold(const Ticket& ticket, int sqlstate, const char* message) {
  BackendSlot* const slot = SlotOf(static_cast<int>(ticket.procno));
  TimestampTz const now = GetCurrentTimestamp();
  SpinLockAcquire(&slot->mutex);
  bool const waits =
      slot->hold == ticket.hold && (slot->state == SlotState::kHandedOver || slot->state == SlotState::kReleased);
  if (waits) {
    slot->outcome = Outcome::kRefused;
    slot->sqlstate = sqlstate;
    strlcpy(slot->message, message, sizeof(slot->message));
    slot->detail[0] = slot->hint[0] = '\0';
    slot->state = SlotState::kDone;
    slot->state_since = now;
  }
  SpinLockRelease(&slot->mutex);
  if (waits) WakeSlot(static_cast<int>(ticket.procno));
}

}  // namespace dadbs::pg
