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
#include <set>
#include <vector>

#include "checker.h"
#include "jury.h"
#include "model_crypto.h"

namespace dadbs::sim {

// How a faulty member lies in a scenario; it keeps to the rules in all else.
enum class Lie {
  kEquivocate,       // members with odd numbers get a second proposal
  kVoteForAll,       // both votes for every block that was proposed at the height
  kWrongTime,        // its proposals are an hour ahead
  kOldBatch,         // its proposals name a batch that has been ordered
  kHidePrepared,     // its VIEW-CHANGEs do not say what it had prepared
  kInventPrepared,   // they show a prepare certificate that nobody has signed
  kTooFewPromises,   // its NEW-VIEWs hold one promise less than a quorum
  kPromiseTwice,     // they hold one of them twice
  kClaimForgotten,   // it tells everybody that he has forgotten
  kHideSignatures,   // it shows nobody what he has signed
  kClaimHeight,      // its heartbeats claim a thousand blocks more
  kTwistBlocks,      // it serves blocks with another time
  kOtherBodies,      // it serves blocks with other bodies
  kTwoBatches,       // members with even numbers get another batch under the same numbers
  // Of digests (digest_liar.h):
  kNoDigests,        // it says none
  kOtherDigests,     // of each height another one than it has come to
  kTwoDigests,       // of each height two others
  kFarDigests,       // of heights that there are not
  kForeignDigests,   // beside its own, some in the names of all others
};

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
  void Tell(std::optional<Lie> lie) {  // none: it only forgets to keep what it has promised; from now on nothing is random
    is_scripted_ = true;
    if (lie) lies_.insert(*lie);
  }
  // False evidence, made of what was sent.
  std::optional<core::Evidence> Accusation() { return FalseAccusation(genesis_, kept_, random_); }
  core::Message Twisted(const core::Message& message) { return Alter(message); }
  std::vector<core::Message> Corrupt(core::NodeId self, const core::Signer& signer, core::NodeId to,
                                     const core::Message& message, const Made& made);

 private:
  core::Message Alter(const core::Message& message);
  bool Tells(Lie lie) const { return lies_.contains(lie); }
  std::vector<core::Message> TellLies(core::NodeId self, const core::Signer& signer, core::NodeId to,
                                      const core::Message& message, const Made& made);
  core::ProposalMessage FalseProposal(core::NodeId self, const core::Signer& signer, core::NodeId to, const core::ProposalMessage& m);
  core::ViewChangeMessage FalseViewChange(const core::Signer& signer, core::ViewChangeMessage m);
  core::Message FalseBlock(const core::BlockMessage& m);
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
  void MakeHeader(core::Block* block) const;  // anew, for the items that it has now
  core::BatchMessage OtherBatch(const core::Signer& signer, const core::BatchMessage& message);

  Random* random_;
  core::Genesis genesis_;
  bool is_scripted_ = false;
  std::set<Lie> lies_;
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
