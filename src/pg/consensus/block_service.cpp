/*
 * block_service.cpp: see block_service.h. Messages in the queue are BlockQueueMessage (ipc.h) and the frame's bytes.
 */
#include "block_service.h"

#include <algorithm>

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "storage/shm_mq.h"
}

namespace dadbs::pg {
namespace {

constexpr uint32_t kBlocksPerAnswerMax = 64;
constexpr size_t kRequestsPerPeerMax = 4;
constexpr uint64_t kQueuedBytesMax = 16u << 20;   // of a peer that is to get more
constexpr uint64_t kBytesPerStepMax = 1u << 20;   // votes do not wait longer than for that

}  // namespace

void BlockService::Create() {
  handle_ = Call([]() -> void* {
    MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
    shm_mq* const queue = shm_mq_create(block_queue, kBlockQueueBytes);
    shm_mq_set_receiver(queue, MyProc);
    shm_mq_handle* const handle = shm_mq_attach(queue, nullptr, nullptr);
    MemoryContextSwitchTo(before);
    return handle;
  });
  SpinLockAcquire(&shared->block_order_mutex);
  order_ = ++shared->block_order;  // of an older worker set, if any: nothing any more
  shared->block_order_count = 0;
  shared->block_order_part = 0;
  SpinLockRelease(&shared->block_order_mutex);
}

void BlockService::Detach() {
  if (handle_ == nullptr) return;
  auto* const handle = static_cast<shm_mq_handle*>(handle_);
  handle_ = nullptr;
  Call([&] { shm_mq_detach(handle); });
}

void BlockService::Ask(core::NodeId to, core::Height from, uint32_t count) {
  for (const Request& other : requests_[to])
    if (other.count > 0 && other.from == from.value) return;
  if (count > 0) Add(to, {from.value, std::min(count, kBlocksPerAnswerMax), 0, 0, 0});
}

void BlockService::Ask(core::NodeId to, const core::HistoryRequest& request) {
  Add(to, {request.from.value, 0, static_cast<uint8_t>(request.part), request.offset, request.number});
}

void BlockService::Add(core::NodeId to, const Request& request) {
  std::deque<Request>& waiting = requests_[to];
  if (waiting.size() < kRequestsPerPeerMax && std::find(waiting.begin(), waiting.end(), request) == waiting.end()) waiting.push_back(request);
  more_ = more_ || !to_;
}

// The next peer's first request, beginning behind the one whose turn was last.
void BlockService::Order(const Queued& queued) {
  std::erase_if(requests_, [](const auto& r) { return r.second.empty(); });
  auto next = requests_.upper_bound(last_);
  for (size_t i = 0; i < requests_.size(); i++, ++next) {
    if (next == requests_.end()) next = requests_.begin();
    if (queued(next->first) > kQueuedBytesMax) continue;
    Request const request = next->second.front();
    next->second.pop_front();
    to_ = last_ = next->first;
    SpinLockAcquire(&shared->block_order_mutex);
    order_ = ++shared->block_order;
    shared->block_order_from = request.from;
    shared->block_order_count = request.count;
    shared->block_order_part = request.part;
    shared->block_order_offset = request.offset;
    shared->block_order_number = request.number;
    SpinLockRelease(&shared->block_order_mutex);
    WakeWorker(&shared->blocks);
    return;
  }
}

// A message of the queue. True: a frame is complete, or (empty) the order is.
bool BlockService::Receive(core::Bytes* frame) {
  Size bytes = 0;
  void* data = nullptr;
  shm_mq_result const result =
      Call([&] { return shm_mq_receive(static_cast<shm_mq_handle*>(handle_), &bytes, &data, true); });
  if (result != SHM_MQ_SUCCESS) {  // nothing there, or the blocks worker is gone: the launcher sees that
    more_ = false;
    return false;
  }
  if (missing_ == 0) {
    BlockQueueMessage header;
    DADBS_CHECK(bytes == sizeof(header));
    memcpy(&header, data, sizeof(header));
    arriving_order_ = header.order;
    missing_ = header.bytes;
    arriving_.clear();
    frame->clear();
    return missing_ == 0;
  }
  const auto* const body = static_cast<const uint8_t*>(data);
  DADBS_CHECK(bytes > 0 && bytes <= missing_);
  arriving_.insert(arriving_.end(), body, body + bytes);
  missing_ -= bytes;
  if (missing_ > 0) return false;
  *frame = std::move(arriving_);
  arriving_ = {};
  return true;
}

void BlockService::Step(const Queued& queued, const Send& send) {
  if (handle_ == nullptr) return;
  if (!to_) Order(queued);
  more_ = to_.has_value();
  core::Bytes frame;
  for (uint64_t taken = 0; more_ && taken < kBytesPerStepMax;) {
    if (!Receive(&frame)) {
      taken += kBlockChunkBytes;
      continue;
    }
    if (arriving_order_ != order_) continue;
    taken += frame.size();
    if (!frame.empty()) {
      send(*to_, std::move(frame));
      continue;
    }
    to_.reset();
    Order(queued);
    more_ = to_.has_value();
  }
}

}  // namespace dadbs::pg
