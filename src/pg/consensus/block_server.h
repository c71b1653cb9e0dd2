/*
 * block_server.h: blocks for members that are behind further than the replica's memory reaches, read from the journal.
 *
 * The journal is read from its oldest record on, a bounded piece per round of the worker's loop so that votes do not
 * wait; the reader stays where it is afterwards, since who catches up asks for the blocks that follow. A height below
 * the oldest segment is not answered: the asking member tries the others.
 */
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dadbs/core/messages.h"
#include "dadbs/storage/journal.h"

namespace dadbs::pg {

class BlockServer {
 public:
  using Send = std::function<void(core::NodeId to, core::BlockMessage&& block)>;

  explicit BlockServer(std::string directory) : directory_(std::move(directory)) {}
  void Ask(core::NodeId to, core::Height from, uint32_t count);
  bool busy() const { return !requests_.empty(); }
  void Step(storage::JournalPosition durable, const Send& send);

 private:
  struct Request {
    uint64_t from = 0, next = 0, end = 0;  // heights: [from, end), next is the one that is looked for
    uint64_t bytes = 0;
    std::vector<core::BlockMessage> answer;
  };

  void Rewind();
  void Take(core::CommittedRecord&& record, const Send& send);
  void Finish(core::NodeId to, Request& request, const Send& send);
  void Hold(std::shared_ptr<const core::Batch> batch);

  std::string directory_;
  std::unique_ptr<storage::JournalReader> reader_;
  uint64_t read_height_ = 0;  // of the last block read; 0: at the beginning
  std::unordered_map<core::Digest, std::shared_ptr<const core::Batch>, core::DigestHash> batches_;
  uint64_t batch_bytes_ = 0;
  std::map<core::NodeId, Request> requests_;
};

}  // namespace dadbs::pg
