/*
 * journal_fold.h: what the writer has to know of the records it keeps: the state that the next segment's head repeats,
 * and which segments are still needed.
 *
 * A segment is needed as long as one of its records is about a height above the cut, or it holds a batch that may still
 * come onto the chain: the block that names it is of no use without it. A batch that can't be ordered any more (its
 * incarnation was closed, its number has passed) needs nothing. The last block's certificate is never cut: a
 * VIEW-CHANGE proves its head with it.
 */
#pragma once

#include <map>
#include <unordered_map>

#include "dadbs/core/messages.h"

namespace dadbs::storage {

class JournalFold {
 public:
  // The record stands in this segment. Records come in the order of the journal.
  void Apply(const core::JournalRecord& record, uint64_t generation);
  const core::SegmentStateRecord& state() const { return state_; }
  void SetState(core::SegmentStateRecord state) { state_ = std::move(state); }
  void Prune();  // forgets the batches that can't be ordered any more
  bool CanCut(uint64_t generation, core::Height height) const;
  void Forget(uint64_t generation) { highest_.erase(generation); }

 private:
  struct OpenBatch {
    core::BatchHeader header;
    uint64_t generation = 0;
  };
  void Raise(uint64_t generation, core::Height height);
  void Commit(const core::Block& block);

  core::SegmentStateRecord state_;
  uint64_t head_generation_ = 0;              // the segment with the last block's record; 0: none since the state
  std::map<uint64_t, core::Height> highest_;  // by segment: the highest height that needs it
  std::unordered_map<core::Digest, OpenBatch, core::DigestHash> open_;
};

}  // namespace dadbs::storage
