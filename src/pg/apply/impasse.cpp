/*
 * impasse.cpp: a position at which the stack ends (54001, or a regular expression that is "too complex").
 *
 * Where the stack ends depends on the build and on what this process has cached, so it is no verdict by itself: at the edge one
 * member gets through and another does not. But whoever owns a table, or an origin that lies, can make a position at which it ends
 * on all members (a CHECK on s::jsonb where s is 200,000 times '['), and retried for ever it would stop the chain. So the members
 * vote, on the chain. There are three limits, and between two of them lies more than members can differ by:
 *
 *   kUsual    6.0 MB  what it is enough for is carried out as ever, and nobody asked
 *   kAsked    6.6 MB  where the usual one was not enough, it is tried with this one and rolled back: the member votes "can" if the
 *                     stack was enough, "cannot" if not. Who has passed the position already answers the votes of others with "can"
 *   kDecided  7.2 MB  the first votes of a quorum of members (q) behind the position, in the chain's order, decide: with more than f
 *                     "can" among them it is executed with this limit, otherwise it is `rejected` with 54001
 *
 * Let the need of honest members differ by less than the distance of two limits. Then
 *   - refused: among the q there were at least q - f > f "cannot", so an honest member needs more than kAsked, so every honest one
 *     more than kUsual: nobody has carried it out, and no client was told so.
 *   - executed: there were f + 1 "can", so an honest member needs at most kAsked, so every honest one less than kDecided.
 *   - it is decided: all honest members vote or answer, and they are a quorum. Each votes again every few seconds until then.
 *   - alike, whenever a member comes to the position: later ones find the votes in the blocks behind it. A vote that changes
 *     (a restart) does no harm: only the first one of each member counts.
 * What becomes a verdict by the stack itself (row_values.cpp) is always asked under kUsual.
 *
 * A member whose need is nevertheless beyond kDecided, where the others execute it, retries it for ever, as it does with its other
 * failures. All of this is undone by builds that take a tenth more or less stack than others: members should run the same.
 */
#include "impasse.h"

#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"

namespace dadbs::pg {
namespace {

constexpr int64_t kAnswerInterval_us = 1'000'000;  // of the votes of one member
constexpr uint64_t kAnswerBlocks = 4096;           // positions that are further back have been decided
constexpr size_t kSettledMax = 4096;

}  // namespace

// ---- counting

VoteCount::VoteCount(std::string journal_directory, core::Position position, size_t members)
    : position_(position), quorum_(core::QuorumSize(members)), faults_(core::FaultsTolerated(members)),
      feed_(std::move(journal_directory), position.height) {}

Passage VoteCount::Look(storage::JournalPosition limit) {
  while (voters_.size() < quorum_) {
    std::shared_ptr<const DeliveredBlock> block;
    std::string error;
    switch (feed_.Next(limit, &block, &error)) {
      case Feed::Outcome::kBlock: Take(*block); break;
      case Feed::Outcome::kNothingYet: return Passage::kUndecided;
      case Feed::Outcome::kError: throw PgError(kErrHalted, error);
    }
  }
  return can_ > faults_ ? Passage::kExecute : Passage::kRefuse;
}

void VoteCount::Take(const DeliveredBlock& block) {
  for (const auto& batch : block.batches) {
    for (const core::Bytes& write_set : batch->write_sets) {
      core::ImpasseVote vote;
      if (voters_.size() == quorum_ || !core::ParseVote(write_set, &vote) || vote.position != position_) continue;
      if (voters_.insert(batch->header.origin).second && vote.can) can_++;
    }
  }
}

// ---- answering

void VoteAnswers::Settled(core::Position position) {
  done_.insert(position);
  if (done_.size() > kSettledMax) done_.erase(done_.begin());
}

void VoteAnswers::Answer(core::NodeId from, const core::ImpasseVote& vote, core::Position at, int64_t now_us) {
  bool const recent = vote.position < at && vote.position.height.value + kAnswerBlocks >= at.height.value;
  if (from == self_ || !recent || done_.contains(vote.position)) return;
  auto const [last, first] = last_us_.try_emplace(from, now_us);
  if (!first && std::abs(now_us - last->second) < kAnswerInterval_us) return;  // it votes again, if it waits
  last->second = now_us;
  CastVote({vote.position, true});
}

// ---- between apply and consensus

void CastVote(const core::ImpasseVote& vote) {
  SpinLockAcquire(&shared->vote_mutex);
  shared->vote++;
  shared->vote_height = vote.position.height.value;
  shared->vote_index = vote.position.index;
  shared->vote_can = vote.can;
  SpinLockRelease(&shared->vote_mutex);
  WakeWorker(&shared->consensus);
}

std::optional<core::ImpasseVote> TakeVote(uint64_t* seen) {
  SpinLockAcquire(&shared->vote_mutex);
  uint64_t const number = shared->vote;
  core::ImpasseVote const vote{{core::Height{shared->vote_height}, shared->vote_index}, shared->vote_can};
  SpinLockRelease(&shared->vote_mutex);
  if (number == *seen) return std::nullopt;
  *seen = number;
  return vote;
}

}  // namespace dadbs::pg
