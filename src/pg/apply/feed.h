/*
 * feed.h: the chain as the apply worker reads it, block by block, from the journal behind the consensus worker.
 *
 * Batches stand in the journal before the block that names them and are kept by digest until then. What can never be
 * named any more (delivered, or of a closed incarnation) is dropped, so that memory holds no more than what is in
 * flight. Nothing here knows Postgres: errors are returned.
 */
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dadbs/core/chain.h"
#include "dadbs/storage/journal.h"

namespace dadbs::pg {

struct DeliveredBlock {
  std::shared_ptr<const core::Block> block;
  core::Certificate certificate;
  std::vector<std::shared_ptr<const core::Batch>> batches;  // of the batch items, in order

  core::Height height() const { return block->header.height; }
};

class Feed {
 public:
  // Blocks above `applied` are wanted.
  Feed(std::string directory, core::Height applied) : directory_(std::move(directory)), last_(applied) {}

  enum class Outcome { kBlock, kNothingYet, kError };
  // The next block in height order that stands in the journal at or before `limit`.
  Outcome Next(storage::JournalPosition limit, std::shared_ptr<const DeliveredBlock>* out, std::string* error);

  size_t batches_held() const { return batches_.size(); }

 private:
  void Hold(std::shared_ptr<const core::Batch> batch);
  void NoteItems(const core::Block& block);
  std::string Gather(core::CommittedRecord&& record, std::shared_ptr<const DeliveredBlock>* out);

  std::string directory_;
  core::Height last_;
  std::unique_ptr<storage::JournalReader> reader_;
  std::unordered_map<core::Digest, std::shared_ptr<const core::Batch>, core::DigestHash> batches_;
  struct Origin {
    uint64_t incarnation = 0, number = 0;  // the last on the chain
  };
  std::unordered_map<uint16_t, Origin> origins_;
};

}  // namespace dadbs::pg
