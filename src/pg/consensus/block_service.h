/*
 * block_service.h: blocks for members that are behind further than the replica's memory reaches.
 *
 * This process reads none of them: the blocks worker does, from the history, and hands them over through block_queue as
 * frames that only need to be sent. One order is out at a time; peers take turns. A peer that does not take what it asked
 * for gets nothing more until it has; what is under way is bounded by one answer (kAnswerBytesMax, or one block) beside
 * that.
 */
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "dadbs/core/messages.h"

namespace dadbs::pg {

class BlockService {
 public:
  using Queued = std::function<uint64_t(core::NodeId to)>;  // bytes that wait to be sent
  using Send = std::function<void(core::NodeId to, core::Bytes&& frame)>;

  void Create();
  void Detach();
  void Ask(core::NodeId to, core::Height from, uint32_t count);
  void Ask(core::NodeId to, const core::HistoryRequest& request);
  void Forget(core::NodeId to) { requests_.erase(to); }
  void Step(const Queued& queued, const Send& send);
  bool more() const { return more_; }  // Step has left something

 private:
  struct Request {
    uint64_t from = 0;
    uint32_t count = 0;  // 0: a piece of the history
    uint8_t part = 0;
    uint64_t offset = 0, number = 0;
    bool operator==(const Request&) const = default;
  };
  void Add(core::NodeId to, const Request& request);
  void Order(const Queued& queued);
  bool Receive(core::Bytes* frame);

  void* handle_ = nullptr;  // shm_mq_handle
  std::map<core::NodeId, std::deque<Request>> requests_;
  core::NodeId last_;            // who had the last turn
  std::optional<core::NodeId> to_;  // who gets what the order that is out brings
  uint64_t order_ = 0;
  core::Bytes arriving_;
  uint64_t missing_ = 0;      // bytes of it
  uint64_t arriving_order_ = 0;
  bool more_ = false;
};

}  // namespace dadbs::pg
