/*
 * adversary.h: what an attacker on the network, and one member with its own key, do to a simulated cluster.
 *
 * The attacker keeps messages for ever, sends them again to anybody, and alters them; it can't sign for others. The
 * faulty member runs the ordinary replica, and beside it signs whatever may split the others: a second proposal for the
 * same height, votes for every block that it has seen, two batches under the same numbers; as a primary it may say
 * nothing; in a view change it forgets what it had prepared, invents what nobody has, and begins views as it likes.
 */
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "checker.h"
#include "model_crypto.h"

namespace dadbs::sim {

struct Attack {
  core::NodeId from, to;
  core::Message message;
};

class Adversary {
 public:
  Adversary(Random* random, core::Genesis genesis) : random_(random), genesis_(std::move(genesis)) {}

  void Observe(core::NodeId from, const core::Message& message);
  std::optional<Attack> Forge();  // something old, or something altered

  // What the faulty member sends to `to` in place of `message`; more than one, or nothing. `made` sees each vote.
  using Made = std::function<void(const core::VoteMessage&)>;
  std::vector<core::Message> Corrupt(core::NodeId self, const core::Signer& signer, core::NodeId to,
                                     const core::Message& message, const Made& made);

 private:
  core::Message Alter(const core::Message& message);
  std::optional<Attack> FakeCertified();
  core::NodeId AnyMember() { return genesis_.members[random_->Below(genesis_.members.size())].id; }
  core::VoteMessage Vote(core::NodeId self, const core::Signer& signer, core::Phase phase, core::View view,
                         core::Height height, const core::Digest& hash);
  // Both signed by the faulty member, whatever they say.
  core::ViewChangeMessage OtherViewChange(core::NodeId self, const core::Signer& signer, core::ViewChangeMessage message);
  core::NewViewMessage OtherNewView(core::NodeId self, const core::Signer& signer, core::NewViewMessage message);
  void CorruptVote(core::NodeId self, const core::Signer& signer, const core::VoteMessage& vote, const Made& made,
                   std::vector<core::Message>* result);
  core::ProposalMessage OtherProposal(core::NodeId self, const core::Signer& signer,
                                      const core::ProposalMessage& proposal);
  std::vector<core::Message> CorruptBlock(const core::BlockMessage& message);
  std::vector<core::Message> CorruptAttestation(core::NodeId self, const core::Signer& signer, core::AttestationMessage message);
  void ChangeItems(core::Block* block);  // a batch that was ordered before, another order
  core::BatchMessage OtherBatch(const core::Signer& signer, const core::BatchMessage& message);

  Random* random_;
  core::Genesis genesis_;
  std::vector<std::pair<core::NodeId, core::Message>> kept_;
  std::optional<core::ProposalMessage> last_proposal_;
  std::map<core::Height, std::vector<core::Digest>> hashes_;  // of all blocks proposed
  std::map<std::pair<core::View, core::Digest>, core::ProposalMessage> others_;  // the second proposal, by the first
  std::map<core::Height, core::Certificate> heads_;           // seen in VIEW-CHANGEs
  std::optional<uint64_t> serves_;                            // how the faulty member answers requests for blocks
  std::optional<bool> is_silent_;                             // the faulty member, when it is primary
  std::map<core::Digest, core::BatchMessage> other_batches_;
  std::map<core::Digest, core::BatchMessage> batches_;  // all that were sent
};

core::Bytes MakeWriteSet(core::NodeId origin, uint64_t ticket, size_t size, Random* random);

}  // namespace dadbs::sim
