/*
 * impasse.h: a position at which the stack ends, or with an internal error. src/pg/apply/impasse.cpp says what is done about it, and why all do the same.
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

// Votes of others that this member answers: it has passed the position.
class VoteAnswers {
 public:
  explicit VoteAnswers(core::NodeId self) : self_(self) {}
  // A vote that stands at height `at`.
  void Take(core::NodeId from, const core::ImpasseVote& vote, core::Height at, int64_t now_us);
  // This member takes part in the decision, or has said what it has to say.
  void Settled(core::Position position);

 private:
  core::NodeId const self_;
  std::set<core::Position> done_;
  std::map<core::NodeId, int64_t> last_us_;  // when its votes were answered last
};

// Counts the votes on one position in the journal behind it, as far as that is durable; those on earlier ones are answered meanwhile.
class VoteCount {
 public:
  // is_patient: those that vote again and again decide in the end without the others.
  VoteCount(std::string journal_directory, core::Position position, size_t members, bool is_patient, VoteAnswers* answers);
  Passage Look(storage::JournalPosition limit);
  size_t voters() const { return votes_.size(); }
  size_t needed() const { return quorum_; }

 private:
  struct Vote {
    bool can = false;  // the last one
    int times = 0;
  };
  Passage Count() const;
  void Take(const DeliveredBlock& block);

  core::Position const position_;
  size_t const quorum_, faults_;
  bool const is_patient_;
  Feed feed_;
  VoteAnswers* const answers_;
  std::map<core::NodeId, Vote> votes_;
};

// Has consensus order this member's vote.
void CastVote(const core::ImpasseVote& vote);
// Of the consensus worker: the next vote to be ordered. `taken`: how many it has taken.
std::optional<core::ImpasseVote> TakeVote(uint64_t* taken);
uint64_t VotesCast();

}  // namespace dadbs::pg
