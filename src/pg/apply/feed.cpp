/*
 * feed.cpp: see feed.h.
 */
#include "feed.h"

namespace dadbs::pg {

using core::Batch;
using core::BatchHeader;

Feed::Outcome Feed::Next(storage::JournalPosition limit, std::shared_ptr<const DeliveredBlock>* out,
                         std::string* error) {
  storage::Error failure;
  for (;;) {
    if (!reader_) reader_ = storage::JournalReader::Open(directory_, &failure);
    if (!reader_) return *error = failure.message, Outcome::kError;
    core::JournalRecord record;
    switch (reader_->Next(limit, &record, &failure)) {
      case storage::JournalReader::Outcome::kEnd:
        return Outcome::kNothingYet;
      case storage::JournalReader::Outcome::kCut:  // of blocks that are durably applied: go on behind them
        reader_.reset();
        continue;
      case storage::JournalReader::Outcome::kError:
        return *error = failure.message, Outcome::kError;
      case storage::JournalReader::Outcome::kRecord:
        break;
    }
    if (auto* const batch = std::get_if<core::BatchRecord>(&record)) {
      Hold(std::move(batch->batch));
    } else if (auto* const committed = std::get_if<core::CommittedRecord>(&record)) {
      bool const wanted = committed->block->header.height > last_;
      std::shared_ptr<const core::Block> const block = committed->block;
      if (wanted) {
        *error = Gather(std::move(*committed), out);
        if (!error->empty()) return Outcome::kError;
      }
      NoteItems(*block);
      if (wanted) return Outcome::kBlock;
    }
  }
}

void Feed::Hold(std::shared_ptr<const Batch> batch) {
  const BatchHeader& h = batch->header;
  const Origin& origin = origins_[h.origin.value];
  bool const passed = h.incarnation < origin.incarnation ||
                      (h.incarnation == origin.incarnation && h.first_number <= origin.number);
  if (!passed) batches_.insert_or_assign(h.digest(), std::move(batch));
}

// What the block ordered or closed is not kept any longer.
void Feed::NoteItems(const core::Block& block) {
  bool closed = false;
  for (const core::Item& item : block.items) {
    if (const auto* const header = std::get_if<BatchHeader>(&item)) {
      origins_[header->origin.value] = {header->incarnation, header->first_number + header->count - 1};
      batches_.erase(header->digest());
    } else if (const auto* const entry = std::get_if<core::IncarnationEntry>(&item)) {
      origins_[entry->origin.value] = {entry->incarnation, 0};
      closed = true;
    }
  }
  if (!closed) return;
  std::erase_if(batches_, [&](const auto& held) {
    const BatchHeader& h = held.second->header;
    return h.incarnation < origins_[h.origin.value].incarnation;
  });
}

std::string Feed::Gather(core::CommittedRecord&& record, std::shared_ptr<const DeliveredBlock>* out) {
  std::string const name = "block " + std::to_string(record.block->header.height.value);
  if (record.block->header.height != last_.next())
    return "the tables are at height " + std::to_string(last_.value) + ", but the journal goes on with " + name +
           ": one of them was restored from another time than the other";
  auto delivered = std::make_shared<DeliveredBlock>();
  for (const core::Item& item : record.block->items) {
    const auto* const header = std::get_if<BatchHeader>(&item);
    if (header == nullptr) continue;
    auto const found = batches_.find(header->digest());
    if (found == batches_.end())
      return "the journal lacks the transactions of " + name + " from origin " + std::to_string(header->origin.value);
    delivered->batches.push_back(found->second);
  }
  delivered->block = std::move(record.block);
  delivered->certificate = std::move(record.certificate);
  last_ = last_.next();
  *out = std::move(delivered);
  return {};
}

}  // namespace dadbs::pg
