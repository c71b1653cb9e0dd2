/*
 * send_queue.h: what waits to be sent to one peer, bounded in bytes.
 *
 * Messages leave in the order in which they came. When there is no room, the oldest of the least precious kind goes
 * first: heartbeats, acknowledgements and requests, which are repeated; then bodies, which are asked for by digest;
 * then the rest, which the replica sends again while it matters. A frame is shared by the queues of all peers.
 */
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>

#include "dadbs/core/messages.h"

namespace dadbs::net {

using Frame = std::shared_ptr<const core::Bytes>;

enum class Worth : uint8_t { kRepeated = 0, kAskedFor = 1, kOrder = 2 };
inline constexpr size_t kWorths = 3;
inline constexpr uint64_t kQueuedMessageOverheadBytes = 64;

inline Worth WorthOf(const core::Message& message) {
  struct {
    Worth operator()(const core::StatusMessage&) { return Worth::kRepeated; }
    Worth operator()(const core::StateDigestMessage&) { return Worth::kRepeated; }
    Worth operator()(const core::BatchAck&) { return Worth::kRepeated; }
    Worth operator()(const core::BatchRequest&) { return Worth::kRepeated; }
    Worth operator()(const core::BlockRequest&) { return Worth::kRepeated; }
    Worth operator()(const core::AttestationRequest&) { return Worth::kRepeated; }
    Worth operator()(const core::AttestationMessage&) { return Worth::kRepeated; }
    Worth operator()(const core::HistoryRequest&) { return Worth::kRepeated; }
    Worth operator()(const core::HistoryMessage&) { return Worth::kAskedFor; }
    Worth operator()(const core::BatchMessage&) { return Worth::kAskedFor; }
    Worth operator()(const core::BlockMessage&) { return Worth::kAskedFor; }
    Worth operator()(const core::IncarnationMessage&) { return Worth::kOrder; }
    Worth operator()(const core::ProposalMessage&) { return Worth::kOrder; }
    Worth operator()(const core::VoteMessage&) { return Worth::kOrder; }
    Worth operator()(const core::ViewChangeMessage&) { return Worth::kOrder; }
    Worth operator()(const core::NewViewMessage&) { return Worth::kOrder; }
  } worth;
  return std::visit(worth, message);
}

class SendQueue {
 public:
  // How many messages had to go for it, this one included where it found no room. A frame of about the bound by
  // itself may stand beside what matters more, or it could never be sent.
  size_t Push(Frame frame, Worth worth, uint64_t bytes_max) {
    const uint64_t bytes = Cost(frame);
    if (worth != Worth::kOrder && bytes > bytes_max / 2) bytes_max = std::max(bytes_max, bytes + order_bytes_);
    size_t dropped = 0;
    for (size_t w = 0; w <= static_cast<size_t>(worth); w++)
      while (bytes_ + bytes > bytes_max && !kinds_[w].empty()) {
        Remove(kinds_[w]);
        dropped++;
      }
    if (bytes_ + bytes > bytes_max) return dropped + 1;
    bytes_ += bytes;
    if (worth == Worth::kOrder) order_bytes_ += bytes;
    kinds_[static_cast<size_t>(worth)].push_back({next_++, std::move(frame)});
    return dropped;
  }
  Frame Pop() {  // null: empty
    std::deque<Entry>* oldest = nullptr;
    for (auto& kind : kinds_)
      if (!kind.empty() && (!oldest || kind.front().number < oldest->front().number)) oldest = &kind;
    if (!oldest) return nullptr;
    return Remove(*oldest);
  }
  bool empty() const { return bytes_ == 0; }
  uint64_t bytes() const { return bytes_; }
  size_t Clear() {
    size_t dropped = 0;
    for (auto& kind : kinds_) dropped += kind.size(), kind.clear();
    bytes_ = order_bytes_ = 0;
    return dropped;
  }

 private:
  struct Entry {
    uint64_t number;
    Frame frame;
  };
  Frame Remove(std::deque<Entry>& kind) {
    Frame frame = std::move(kind.front().frame);
    kind.pop_front();
    bytes_ -= Cost(frame);
    if (&kind == &kinds_[static_cast<size_t>(Worth::kOrder)]) order_bytes_ -= Cost(frame);
    return frame;
  }
  static uint64_t Cost(const Frame& frame) { return frame->size() + kQueuedMessageOverheadBytes; }

  std::array<std::deque<Entry>, kWorths> kinds_;
  uint64_t bytes_ = 0;
  uint64_t order_bytes_ = 0;
  uint64_t next_ = 0;
};

}  // namespace dadbs::net
