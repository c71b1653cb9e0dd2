/*
 * impasse.h: a position at which the stack ends. src/pg/apply/impasse.cpp says what is done about it, and why all do the same.
 */
#pragma once

#include <map>
#include <optional>
#include <set>

#include "dadbs/core/quorum.h"
#include "dadbs/core/write_set.h"

#include "feed.h"
#include "stack.h"

namespace dadbs::pg {

enum class Passage { kUndecided, kExecute, kRefuse };

// Counts the votes on one position in the journal behind it, as far as that is durable.
class VoteCount {
 public:
  VoteCount(std::string journal_directory, core::Position position, size_t members);
  Passage Look(storage::JournalPosition limit);
  size_t votes() const { return voters_.size(); }
  size_t needed() const { return quorum_; }

 private:
  void Take(const DeliveredBlock& block);

  core::Position const position_;
  size_t const quorum_, faults_;
  Feed feed_;
  std::set<core::NodeId> voters_;
  size_t can_ = 0;
};

// Votes of others that this member answers: it has passed the position.
class VoteAnswers {
 public:
  explicit VoteAnswers(core::NodeId self) : self_(self) {}
  // An executed vote of `from`, at `at`.
  void Answer(core::NodeId from, const core::ImpasseVote& vote, core::Position at, int64_t now_us);
  // This member has taken part in the decision: nothing to answer.
  void Settled(core::Position position);

 private:
  core::NodeId const self_;
  std::set<core::Position> done_;
  std::map<core::NodeId, int64_t> last_us_;  // when its votes were answered last
};

// Has consensus order this member's vote. A later call takes the place of one that it has not seen yet.
void CastVote(const core::ImpasseVote& vote);
// Of the consensus worker: the next vote to be ordered. `seen`: what it took last, 0 at first.
std::optional<core::ImpasseVote> TakeVote(uint64_t* seen);

}  // namespace dadbs::pg
