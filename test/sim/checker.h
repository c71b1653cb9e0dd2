/*
 * checker.h: what must hold after every event of a simulated run, whatever went wrong in it.
 *
 * It sees each record that becomes durable, each message that leaves, each delivery, and knows who is faulty. It keeps
 * its own account of the chain and does not use the replica's rules to judge the replica. A violation is a Failure.
 *
 *   agreement   of all votes that ever left anybody, no two certificates for one height can be made; all deliver the
 *               same blocks, each with a certificate that verifies
 *   validity    what is delivered under an id is what its origin numbered so; numbers contiguous, incarnations opened
 *   views       nobody votes in a view that it has promised to leave, or in one that has not begun for it; a promise or the
 *               beginning of a view leaves only when durable; a view begins with q promises
 *   journal     what an honest member sends is in its durable journal, a vote's batches too; never two votes of one
 *               phase for one view and height; what is delivered is durable, and stays so over restarts
 *   memory      who has been shown that he has forgotten votes never votes at their heights again, in whatever life; what is
 *               signed in a later era of a member's incarnations is above all that was signed in earlier ones, by whatever
 *               server has its key
 *
 * Members are told apart by their places: a clone has one of its own, and the id of its original.
 */
#pragma once

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>

#include "dadbs/core/chain.h"
#include "dadbs/core/messages.h"
#include "dadbs/core/replica.h"

namespace dadbs::sim {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Checker {
 public:
  Checker(core::Genesis genesis, const core::Verifier* verifier) : genesis_(std::move(genesis)), verifier_(verifier) {
    hashes_.push_back(genesis_.chain_id());
  }
  void SetFaulty(core::NodeId node) { faulty_.insert(node.value); }
  bool IsFaulty(core::NodeId node) const { return faulty_.contains(node.value); }

  void OnDurable(core::NodeId node, const core::JournalRecord& record);
  void OnSend(core::NodeId node, const core::Message& message);
  void OnVoteMade(const core::VoteMessage& vote) { Count(vote); }  // by a faulty member, in whatever way
  void OnNumbered(core::NodeId node, const core::TransactionId& id, const core::Digest& identity);
  void OnDeliver(core::NodeId node, const core::DeliverEffect& delivered);
  void OnRestart(core::NodeId node, const core::RecoveredState& recovered);
  // Of its journal only this is left; what has left the member before stays in the world.
  void OnRollBack(core::NodeId node, const std::vector<core::JournalRecord>& kept, const core::RecoveredState& recovered);
  void OnClone(core::NodeId clone, core::NodeId original);
  bool MustKnow(core::NodeId node);  // that it has forgotten: an honest member that knew has told it before it voted again. True: from now on
  void MayNotKnow(core::NodeId node);  // it has lost power before that was durable; those who knew may have, too

  core::Height top() const { return core::Height{hashes_.size() - 1}; }
  core::Height delivered(core::NodeId node) const;
  bool IsOrdered(const core::TransactionId& id) const { return ordered_.contains(id); }
  bool IsClosed(const core::TransactionId& id) const;  // not on the chain, and never will be
  size_t PlaceOf(const core::TransactionId& id) const { return ordered_.at(id); }  // among all that are ordered
  uint64_t transactions() const { return ordered_.size(); }
  const core::BlockMessage& block(core::Height h) const { return blocks_.at(h.value); }

 private:
  using Slot = std::tuple<core::Phase, core::View, core::Height>;
  struct Member {
    std::map<Slot, core::Digest> votes;        // durable, its own
    std::set<core::Digest> proposals;          // durable, by hash
    std::set<core::Digest> batches;            // durable, by digest
    std::map<uint64_t, core::Digest> entries;  // durable, by incarnation: leaf
    std::set<core::Height> committed;          // durable
    core::Height delivered;
    uint64_t incarnation_delivered = 0;
    core::View promised;                         // durable: the highest
    std::set<core::View> asked, begun;           // durable: VIEW-CHANGEs; views entered
    std::map<Slot, core::Digest> left;           // votes that have left it, ever
    core::Height forgotten;                      // the highest with one of them that its journal does not hold any more
    bool has_voted_since = true;                 // since it was rolled back
    bool must_know = false, knows_durably = false;
  };
  struct Origin {
    uint64_t incarnation = 0, last_number = 0;
  };

  core::NodeId IdOf(core::NodeId node) const { return clones_.contains(node.value) ? clones_.at(node.value) : node; }
  void InItsEra(const core::Signed& envelope, core::Height height);
  void DurableVote(core::NodeId node, const core::VoteMessage& vote);
  void DurableCommit(core::NodeId node, const core::CommitRecord& record);
  void VoteLeaves(core::NodeId node, const core::VoteMessage& vote);
  void ProposalLeaves(core::NodeId node, const core::ProposalMessage& proposal);
  void BatchLeaves(core::NodeId node, const core::Batch& batch);
  void EntryLeaves(core::NodeId node, const core::IncarnationEntry& entry);
  void BatchesAreDurable(core::NodeId node, const core::Digest& block_hash, const char* what);
  void NewBlock(const core::DeliverEffect& delivered);
  void NewItems(const core::DeliverEffect& delivered);
  void KnowBlock(const core::Block& block);
  void Count(const core::VoteMessage& vote);
  void DurableView(core::NodeId node, const core::NewView& start);
  void ViewLeaves(core::NodeId node, const core::NewView& start);

  core::Genesis genesis_;
  const core::Verifier* verifier_;
  std::set<uint16_t> faulty_;
  std::map<uint16_t, core::NodeId> clones_;
  std::map<uint16_t, std::map<uint64_t, std::pair<core::Height, core::Height>>> eras_;  // by id, era: lowest, highest voted for
  std::map<uint16_t, Member> members_;
  std::map<core::Digest, std::vector<core::Digest>> block_batches_;  // of every proposal seen
  std::map<std::tuple<core::Height, core::View, core::Digest>, std::set<uint16_t>> commits_;
  std::map<core::Height, std::set<core::Digest>> certifiable_;
  std::map<core::TransactionId, core::Digest> numbered_;
  std::vector<core::Digest> hashes_;  // of the chain
  std::map<uint64_t, core::BlockMessage> blocks_;
  std::map<uint16_t, Origin> origins_;
  std::map<core::TransactionId, size_t> ordered_;
};

}  // namespace dadbs::sim
