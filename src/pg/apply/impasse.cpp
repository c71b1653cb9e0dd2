/*
 * impasse.cpp: a position at which the stack ends (54001, or a regular expression that is "too complex"), or with an internal error.
 *
 * Where the stack ends depends on the build and on what this process has cached, so it is no verdict by itself: at the edge one
 * member gets through and another does not. But whoever owns a table, or an origin that lies, can make a position at which it ends
 * on all members (a CHECK on s::jsonb where s is 200,000 times '['), and retried for ever it would stop the chain. So the members
 * vote, on the chain. There are three limits, and between two of them lies more than members can differ by:
 *
 *   kUsual    6.0 MB  what it is enough for is carried out as ever, and nobody asked
 *   kAsked    6.6 MB  where the usual one was not enough, it is tried with this one and rolled back: the member votes "can" if the
 *                     stack was enough, "cannot" if not. Who has passed the position already answers the votes of others with "can"
 *   kDecided  7.2 MB  with more than f "can" it is executed with this limit, with a quorum (q) of "cannot" it is `rejected` with
 *                     54001. Otherwise, with the votes of q members, once f + 1 members have voted kPatience times: `rejected`.
 *                     The last vote of each member counts, in the chain's order
 *
 * What has been compiled and planned takes no stack any more, so before it is asked the execution is tried once with kDecided, for
 * that. Let the need of honest members differ by less than the distance of two limits then. So
 *   - refused: an honest member needs more than kAsked (there were at least q - f > f "cannot"), so every honest one more than
 *     kUsual: nobody has carried it out, and no client was told so.
 *   - executed: there were f + 1 "can", so an honest member needs at most kAsked, so every honest one less than kDecided.
 *   - it is decided: all honest members vote or answer, and they are a quorum. Each votes again every few seconds until then.
 *   - alike, whenever a member comes to the position: later ones find the votes in the blocks behind it. A vote that changes
 *     (a restart) does no harm. While a member waits, blocks are fetched however far it is behind, and it answers the votes on
 *     positions that it has passed, so that two of these do not wait for each other.
 * Patience is for where the premise fails (below): those that have passed the position get the time to say so.
 *
 * Sessions that may take more than 5 MB do not commit their own rows (NoteSettings, backend/doom.cpp): they are replayed. A server
 * whose stack does not hold kDecided does not start (RequireStack).
 *
 * An internal error (XX000) may be damage of one member, or follow from the chain: PostgreSQL raises some for statements that anybody
 * may write. A member that has got nothing else kInternalAttempts times, for at least kInternalStays_us, votes "cannot", and commits
 * the position only when it is decided: each time before it votes again it tries, rolls back, and votes "can" if that went well. Where it
 * is damage, the others have passed and say so: more than f "can", it tries on. Where a quorum "cannot", more than f honest ones get it
 * again and again: so does every honest one, if it follows from the chain, and nobody has passed. The premise here: what comes again
 * and again on more than f members that are sound comes on all. So there is no patience, no vote on what a lack of memory or a busy row
 * of a catalog may cause (IsInternalFailure), and none on rows that their origin may have committed without executing them.
 *
 * The premise is a premise: PL/pgSQL and patterns whose first execution alone takes megabytes can be written, and a member that was
 * restarted may need more for them than kDecided where others have passed. With all members there, they say "can" and it retries the
 * position for ever, as it does with its other failures; with fewer it may be rejected there. limitations.md says so. The same
 * is undone by builds that take a tenth more or less stack than others: members should run the same.
 */
#include "impasse.h"

#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"

namespace dadbs::pg {
namespace {

constexpr int64_t kAnswerInterval_us = 1'000'000;  // of the votes of one member
constexpr int kPatience = 4;                       // votes of a member that waits
constexpr size_t kSettledMax = 4096;

}  // namespace

// ---- counting

VoteCount::VoteCount(std::string journal_directory, core::Position position, size_t members, bool is_patient, VoteAnswers* answers)
    : position_(position), quorum_(core::QuorumSize(members)), faults_(core::FaultsTolerated(members)), is_patient_(is_patient),
      feed_(std::move(journal_directory), position.height), answers_(answers) {}

Passage VoteCount::Look(storage::JournalPosition limit) {
  for (;;) {
    if (Passage const passage = Count(); passage != Passage::kUndecided) return passage;
    std::shared_ptr<const DeliveredBlock> block;
    std::string error;
    switch (feed_.Next(limit, &block, &error)) {
      case Feed::Outcome::kBlock: Take(*block); break;
      case Feed::Outcome::kNothingYet: return Passage::kUndecided;
      case Feed::Outcome::kError: throw PgError(kErrHalted, error);
    }
    Call([] { CHECK_FOR_INTERRUPTS(); });
  }
}

Passage VoteCount::Count() const {
  size_t can = 0, patient = 0;
  for (const auto& [member, vote] : votes_) {
    can += vote.can;
    patient += vote.times >= kPatience;
  }
  if (can > faults_) return Passage::kExecute;
  bool const all_say_so = votes_.size() - can >= quorum_;
  bool const long_enough = is_patient_ && votes_.size() >= quorum_ && patient > faults_;
  return all_say_so || long_enough ? Passage::kRefuse : Passage::kUndecided;
}

// After each vote it may be decided: what follows must not count any more.
void VoteCount::Take(const DeliveredBlock& block) {
  for (const auto& batch : block.batches) {
    for (const core::Bytes& write_set : batch->write_sets) {
      core::ImpasseVote vote;
      if (!core::ParseVote(write_set, &vote)) continue;
      if (vote.position < position_) answers_->Take(batch->header.origin, vote, block.height(), GetCurrentTimestamp());
      if (vote.position != position_) continue;
      Vote& its = votes_[batch->header.origin];
      its.can = vote.can;
      its.times++;
      if (Count() != Passage::kUndecided) return;
    }
  }
}

// ---- answering

void VoteAnswers::Settled(core::Position position) {
  done_.insert(position);
  if (done_.size() > kSettledMax) done_.erase(done_.begin());
}

void VoteAnswers::Take(core::NodeId from, const core::ImpasseVote& vote, core::Height at, int64_t now_us) {
  if (vote.position.height >= at) return;
  if (from == self_ && vote.can) return Settled(vote.position);  // one of before a restart may have been another
  if (done_.contains(vote.position)) return;
  auto const [last, first] = last_us_.try_emplace(from, now_us);
  if (!first && std::abs(now_us - last->second) < kAnswerInterval_us) return;  // it votes again, if it waits
  last->second = now_us;
  CastVote({vote.position, true});
}

// ---- between apply and consensus

void CastVote(const core::ImpasseVote& vote) {
  SpinLockAcquire(&shared->vote_mutex);
  shared->votes[shared->votes_cast % kVotesKept] = {vote.position.height.value, vote.position.index, vote.can};
  shared->votes_cast++;
  SpinLockRelease(&shared->vote_mutex);
  WakeWorker(&shared->consensus);
}

uint64_t VotesCast() {
  SpinLockAcquire(&shared->vote_mutex);
  uint64_t const cast = shared->votes_cast;
  SpinLockRelease(&shared->vote_mutex);
  return cast;
}

// What has been overwritten meanwhile is cast again by whoever waits for it.
std::optional<core::ImpasseVote> TakeVote(uint64_t* taken) {
  SpinLockAcquire(&shared->vote_mutex);
  uint64_t const cast = shared->votes_cast;
  *taken = std::max(*taken, cast > kVotesKept ? cast - kVotesKept : 0);
  auto const vote = shared->votes[*taken % kVotesKept];
  SpinLockRelease(&shared->vote_mutex);
  if (*taken == cast) return std::nullopt;
  ++*taken;
  return core::ImpasseVote{{core::Height{vote.height}, vote.index}, vote.can};
}

}  // namespace dadbs::pg
