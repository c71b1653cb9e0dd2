/*
 * history_exchange.h: pieces of history for a process of this server that mends what it has (verify/peer_history.h): its questions go
 * to a peer, the answers into shared memory. One question at a time; what does not answer the last one is dropped.
 */
#pragma once

#include <functional>

#include "dadbs/core/messages.h"

namespace dadbs::pg {

class HistoryExchange {
 public:
  using Send = std::function<void(core::NodeId to, const core::Message&)>;

  void Step(const Send& send);
  void Receive(core::NodeId from, const core::HistoryMessage& message);

 private:
  uint64_t asked_ = 0, attempts_ = 0;  // number of the last question that went out, and how often any did
};

}  // namespace dadbs::pg
