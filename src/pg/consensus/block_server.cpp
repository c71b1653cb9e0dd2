/*
 * block_server.cpp: see block_server.h.
 */
#include "block_server.h"

#include <algorithm>

namespace dadbs::pg {
namespace {

constexpr int kRecordsPerStepMax = 256;
constexpr uint64_t kBytesPerStepMax = 2u << 20;
constexpr uint32_t kBlocksPerAnswerMax = 64;
constexpr uint64_t kAnswerBytesMax = 8u << 20;
// Batches of closed incarnations never meet a block: when that much is held, the blocks are served without what is
// dropped, and who asked gets the bodies by digest elsewhere.
constexpr uint64_t kHeldBytesMax = 256u << 20;

}  // namespace

void BlockServer::Ask(core::NodeId to, core::Height from, uint32_t count) {
  auto const known = requests_.find(to);
  if (known != requests_.end() && known->second.from == from.value) return;  // it is being looked for
  Request request;
  request.from = request.next = from.value;
  request.end = from.value + std::min(count, kBlocksPerAnswerMax);
  requests_[to] = std::move(request);
  if (!reader_ || read_height_ >= from.value) Rewind();
}

// All requests are looked for anew.
void BlockServer::Rewind() {
  storage::Error error;
  reader_ = storage::JournalReader::Open(directory_, &error);
  read_height_ = 0;
  batches_.clear();
  batch_bytes_ = 0;
  for (auto& [to, request] : requests_) {
    request.next = request.from;
    request.bytes = 0;
    request.answer.clear();
  }
  if (!reader_) requests_.clear();
}

void BlockServer::Hold(std::shared_ptr<const core::Batch> batch) {
  uint64_t const bytes = core::BodyBytes(*batch);
  if (batch_bytes_ + bytes > kHeldBytesMax) {
    batches_.clear();
    batch_bytes_ = 0;
  }
  if (batches_.emplace(batch->header.digest(), batch).second) batch_bytes_ += bytes;
}

void BlockServer::Finish(core::NodeId to, Request& request, const Send& send) {
  for (size_t i = 0; i < request.answer.size(); i++) {
    request.answer[i].remaining = static_cast<uint32_t>(request.answer.size() - 1 - i);
    send(to, std::move(request.answer[i]));
  }
}

void BlockServer::Take(core::CommittedRecord&& record, const Send& send) {
  core::BlockMessage block;
  for (const core::Item& item : record.block->items) {
    const auto* const header = std::get_if<core::BatchHeader>(&item);
    if (header == nullptr) continue;
    auto const held = batches_.find(header->digest());
    if (held == batches_.end()) continue;
    batch_bytes_ -= core::BodyBytes(*held->second);
    block.batches.push_back(std::move(held->second));
    batches_.erase(held);
  }
  read_height_ = record.block->header.height.value;
  block.block = std::move(record.block);
  block.certificate = std::make_shared<const core::Certificate>(std::move(record.certificate));
  uint64_t const bytes = core::BodyBytes(block);
  for (auto it = requests_.begin(); it != requests_.end();) {
    Request& request = it->second;
    bool const mine = request.next == read_height_;
    if (mine && (request.answer.empty() || request.bytes + bytes <= kAnswerBytesMax)) {
      request.answer.push_back(block);
      request.bytes += bytes;
      request.next++;
    }
    // Complete, too large for more, or (cut away in between) not to be had here.
    bool const done = request.next == request.end || request.next <= read_height_;
    if (done) Finish(it->first, request, send);
    it = done ? requests_.erase(it) : std::next(it);
  }
}

void BlockServer::Step(storage::JournalPosition durable, const Send& send) {
  uint64_t bytes = 0;
  for (int i = 0; i < kRecordsPerStepMax && bytes < kBytesPerStepMax && busy(); i++) {
    core::JournalRecord record;
    storage::Error error;
    switch (reader_->Next(durable, &record, &error)) {
      case storage::JournalReader::Outcome::kRecord:
        break;
      case storage::JournalReader::Outcome::kCut:
        Rewind();
        continue;
      case storage::JournalReader::Outcome::kEnd:  // the rest is in the replica's memory by now
        for (auto& [to, request] : requests_) Finish(to, request, send);
        requests_.clear();
        return;
      case storage::JournalReader::Outcome::kError:  // the writer and apply will say what is wrong
        requests_.clear();
        reader_.reset();
        return;
    }
    if (auto* const batch = std::get_if<core::BatchRecord>(&record)) {
      bytes += core::BodyBytes(*batch->batch);
      Hold(std::move(batch->batch));
    } else if (auto* const committed = std::get_if<core::CommittedRecord>(&record)) {
      Take(std::move(*committed), send);
    }
  }
}

}  // namespace dadbs::pg
