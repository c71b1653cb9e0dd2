/*
 * capture_queue.h: the receiving end of the queue from capture.
 *
 * The consensus worker makes the queue anew at each start, before it says that it is ready, so nothing of an older
 * worker set can be in it. Not reading is the back-pressure: capture blocks when it is full, and with it COMMITs.
 */
#pragma once

#include <optional>

#include "dadbs/core/types.h"

namespace dadbs::pg {

// Who waits for a write set: the ticket under which the replica numbers it.
struct Ticket {
  static constexpr uint32_t kNobody = UINT32_MAX;  // in procno: of a vote, of evidence
  uint32_t procno = 0;
  uint32_t hold = 0;
  uint64_t Pack() const { return static_cast<uint64_t>(procno) << 32 | hold; }
  static Ticket Unpack(uint64_t packed) {
    return {static_cast<uint32_t>(packed >> 32), static_cast<uint32_t>(packed & 0xFFFFFFFFu)};
  }
};

struct Submission {
  Ticket ticket;
  int64_t captured_at_us = 0;
  core::Bytes write_set;
};

class CaptureQueue {
 public:
  void Create();
  void Detach();
  std::optional<Submission> Receive();  // without waiting; throws PgError on a frame that capture cannot have made

 private:
  void* handle_ = nullptr;  // shm_mq_handle
  Submission arriving_;     // of which some chunks are not here yet ...
  size_t missing_ = 0;      // ... these bytes
};

// The slot of a waiting backend, if it still waits under this hold.
void NoteNumbered(const Ticket& ticket, const core::TransactionId& id);
void RefuseHold(const Ticket& ticket, int sqlstate, const char* message);

}  // namespace dadbs::pg
