/*
 * jury.h: what must hold of evidence, whatever happens in a run.
 *
 *   nobody honest  what a member that keeps the rules has signed, in all its lives and with all servers that have its key, holds
 *                  no contradiction; nothing that is on the chain convicts it, and no honest member accuses it
 *   the guilty     whose contradiction an honest member has heard from himself, in one run of its process, stands on the chain in
 *                  the end (as far as the chain takes evidence against one member)
 *
 * The first is judged from the signatures themselves, not by the function that checks evidence.
 */
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "dadbs/core/evidence.h"
#include "model_crypto.h"

namespace dadbs::sim {

class Jury {
 public:
  Jury(core::Genesis genesis, const core::Verifier* verifier) : genesis_(std::move(genesis)), verifier_(verifier) {}
  void SetFaulty(core::NodeId node) { faulty_.insert(node.value); }
  // Its journal was put back behind the beginning of this incarnation: where nobody who answers knew of that, it begins the same
  // number again, and its signatures of the two lives cannot be told apart (protocol.md, 9c).
  void BeginsAgain(core::NodeId node, uint64_t incarnation) { ambiguous_.insert({node.value, incarnation}); }

  void OnSend(const core::Message& message);                           // by an honest member, or passed on by one
  void OnHeard(core::NodeId receiver, core::NodeId from, const core::Message& message);  // by an honest member
  void OnFound(core::NodeId by, const core::Evidence& evidence);
  void OnCrash(core::NodeId node) { heard_.erase(node.value); }
  void OnOrdered(core::ByteView write_set);                            // once for each transaction of the chain, in order
  void Judge() const;                                                  // in the end; Failure

  size_t Convictions(core::NodeId culprit) const;
  bool IsOnChain(const core::EvidenceSlot& slot) const { return on_chain_.contains(slot); }
  bool IsProof(const core::Evidence& evidence) const { return core::CheckEvidence(evidence, genesis_, *verifier_).empty(); }

 private:
  using Slot = std::tuple<uint16_t, uint64_t, core::Phase, core::View, core::Height>;  // signer, incarnation
  struct Heard {
    std::map<Slot, core::Digest> votes;
    std::deque<Slot> order;
    std::set<Slot> contradicted;
  };
  void OnVote(const core::VoteMessage& vote);
  bool KeepsTheRules(core::NodeId node, uint64_t incarnation) const {
    return !faulty_.contains(node.value) && !ambiguous_.contains({node.value, incarnation});
  }

  core::Genesis genesis_;
  const core::Verifier* verifier_;
  std::set<uint16_t> faulty_;
  std::set<std::pair<uint16_t, uint64_t>> ambiguous_;  // member, incarnation
  std::map<Slot, core::Digest> votes_;                                            // of honest members, ever
  std::map<std::tuple<uint16_t, uint64_t, uint64_t>, core::Digest> transactions_;  // their batches, by number
  std::map<uint16_t, Heard> heard_;
  std::set<core::EvidenceSlot> on_chain_;
};

// Evidence that is none, made of what was sent, with the right signatures as far as that goes: all that `messages` give, or one
// by the dice.
std::vector<core::Evidence> FalseAccusations(const core::Genesis& genesis, const std::vector<core::Message>& messages);
std::optional<core::Evidence> FalseAccusation(const core::Genesis& genesis, const std::vector<std::pair<core::NodeId, core::Message>>& kept,
                                              Random* random);

}  // namespace dadbs::sim
