// What a replica takes for evidence, of all that comes to it: and that it finds it once.
#include "replica_fixture.h"

namespace dadbs::core {
namespace {

using namespace test;

Digest Other(uint8_t byte) {
  Digest d;
  d.bytes[0] = byte;
  return d;
}

std::vector<EvidenceSlot> Slots(const TestMember& m) {
  std::vector<EvidenceSlot> slots;
  for (const auto& e : m.evidence) slots.push_back(SlotOf(*e));
  return slots;
}

VoteMessage InIncarnation(Harness& h, VoteMessage vote, uint64_t incarnation) {
  vote.envelope.incarnation = incarnation;
  vote.envelope.signature = h.at(vote.envelope.signer.value - 1u)
                                .signer->Sign(VoteSigningBytes({h.genesis.chain_id(), Epoch{1}}, vote.phase, vote.envelope.signer, incarnation,
                                                               vote.envelope.journal_sequence, vote.view, vote.height, vote.hash));
  return vote;
}

// Of member 3, to member 2, one height above the chain.
struct Pair {
  Harness h{4};
  Height next;
  Pair() {
    h.Open();
    next = h.at(1).replica->status().committed.next();
  }
  VoteMessage Vote(uint8_t hash, Phase phase = Phase::kCommit) { return h.Vote(2, phase, next, Other(hash)); }
  std::vector<EvidenceSlot> Given(const VoteMessage& a, const VoteMessage& b, NodeId from_b = NodeId{3}) {
    h.Give(1, NodeId{3}, a);
    h.Give(1, from_b, b);
    h.Give(1, from_b, b);
    return Slots(h.at(1));
  }
};

TEST(ReplicaEvidence, TwoVotesInOneSlotOnce) {
  Pair p;
  const EvidenceSlot slot{NodeId{3}, EvidenceKind::kVotes, 1, static_cast<uint8_t>(Phase::kCommit), View{0}, p.next, 0};
  EXPECT_EQ(p.Given(p.Vote(1), p.Vote(2)), std::vector{slot});
  p.h.Give(1, NodeId{3}, p.Vote(3));
  EXPECT_EQ(p.h.at(1).evidence.size(), 1u);
  EXPECT_EQ(CheckEvidence(*p.h.at(1).evidence[0], p.h.genesis, p.h.verifier), "");
}

TEST(ReplicaEvidence, TheSecondOneMayComeFromAnybody) {
  Pair p;
  EXPECT_EQ(p.Given(p.Vote(1), p.Vote(2), NodeId{4}).size(), 1u);
  EXPECT_TRUE(Rejected(p.h.at(1), "contradicts"));
}

TEST(ReplicaEvidence, AlsoOfHeightsThatAreDecidedAndOfOtherViews) {
  Pair p;
  p.h.Give(1, NodeId{3}, p.h.Vote(2, Phase::kPrepare, Height{1}, Other(1)));
  p.h.Give(1, NodeId{3}, p.h.Vote(2, Phase::kPrepare, Height{1}, Other(2)));
  EXPECT_EQ(p.h.at(1).evidence.size(), 1u);
}

TEST(ReplicaEvidence, WhatIsNotSignedOrNotOfOneSlotIsNone) {
  Pair p;
  VoteMessage forged = p.Vote(2);
  forged.envelope.signature.bytes[0] ^= 1;
  EXPECT_TRUE(p.Given(p.Vote(1), forged).empty());
  EXPECT_TRUE(p.Given(p.Vote(1), p.Vote(1)).empty());
  EXPECT_TRUE(p.Given(p.Vote(1), p.Vote(2, Phase::kPrepare)).empty());
  EXPECT_TRUE(p.Given(p.Vote(1), InIncarnation(p.h, p.Vote(2), 2)).empty());
}

// It has put a forged one into its own place first: that hides nothing.
TEST(ReplicaEvidence, AForgedVoteOfItsOwnGivesWay) {
  Pair p;
  VoteMessage forged = p.Vote(9);
  forged.envelope.signature.bytes[0] ^= 1;
  EXPECT_TRUE(p.Given(forged, p.Vote(1)).empty());
  p.h.Give(1, NodeId{3}, p.Vote(2));
  EXPECT_EQ(p.h.at(1).evidence.size(), 1u);
}

TEST(ReplicaEvidence, OfOneMemberNoMoreThanTheChainTakes) {
  Pair p;
  for (uint64_t view = 0; view < 3 * kEvidencePerCulpritMax; view++)
    for (uint8_t hash : {1, 2}) {
      VoteMessage vote = p.Vote(hash);
      vote.view = View{view};
      p.h.Give(1, NodeId{3}, InIncarnation(p.h, vote, 1));
    }
  EXPECT_EQ(p.h.at(1).evidence.size(), kEvidencePerCulpritMax);
}

TEST(ReplicaEvidence, TwoProposals) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, h.At(proposal, proposal.block->header.time_us));
  h.Give(1, NodeId{1}, h.At(proposal, proposal.block->header.time_us + 1));
  ASSERT_EQ(h.at(1).evidence.size(), 1u);
  EXPECT_EQ(SlotOf(*h.at(1).evidence[0]).culprit, NodeId{1});
}

// Nobody has both, but who has accepted one shows its signature to who votes for the other.
TEST(ReplicaEvidence, WhoVotesForAnotherBlockIsShownThePrimarysSignature) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  for (size_t i : {1, 2}) {
    h.Give(i, NodeId{1}, batch);
    h.Give(i, NodeId{1}, h.At(proposal, proposal.block->header.time_us + static_cast<int64_t>(i)));
    h.Sync(i);
  }
  h.Run();
  for (size_t i : {1, 2}) {
    ASSERT_EQ(h.at(i).evidence.size(), 1u) << i;
    EXPECT_EQ(SlotOf(*h.at(i).evidence[0]).culprit, NodeId{1});
  }
}

TEST(ReplicaEvidence, AProposalThatIsWrongByItself) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, h.At(proposal, 1));  // before its parent
  ASSERT_EQ(h.at(1).evidence.size(), 1u);
  EXPECT_EQ(h.at(1).evidence[0]->kind(), EvidenceKind::kInvalidBlock);
  EXPECT_TRUE(std::get<InvalidBlock>(h.at(1).evidence[0]->proof).parent);
}

TEST(ReplicaEvidence, AProposalThatIsWrongOnlyForThisChainIsNone) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  ProposalMessage other = proposal;
  auto block = std::make_shared<Block>(*proposal.block);
  block->header.previous_hash = Other(7);
  other.block = block;
  other.envelope = h.SignVote(0, Phase::kPrepare, block->header.height, block->header.hash());
  h.Give(1, NodeId{1}, other);
  EXPECT_TRUE(Rejected(h.at(1), "does not follow"));
  EXPECT_TRUE(h.at(1).evidence.empty());
}

TEST(ReplicaEvidence, TwoBatchesUnderOneNumberAlsoWhenOneIsOrdered) {
  Harness h(4);
  h.Open();
  h.Submit(2, "a");
  h.Sync(2);
  const BatchMessage sent = h.Sent<BatchMessage>(NodeId{3}, NodeId{2}).at(0);
  auto other = std::make_shared<Batch>(*sent.batch);
  other->write_sets = {WriteSet("b")};
  Digest hash;
  ASSERT_TRUE(TransactionHash(other->write_sets[0], &hash));
  other->header.transaction_root = TransactionTreeRoot(std::vector{hash});
  other->header.body_bytes = other->write_sets[0].size();
  other->header.signature = h.at(2).signer->Sign(other->header.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Give(1, NodeId{3}, BatchMessage{other});  // member 2 gets it first
  h.Run();
  EXPECT_EQ(Slots(h.at(1)), (std::vector{EvidenceSlot{NodeId{3}, EvidenceKind::kBatches, 1, 0, View{}, Height{}, 1}}));
  EXPECT_TRUE(h.at(3).evidence.empty());
  h.Give(3, NodeId{1}, BatchMessage{other});  // member 4 too late, by somebody else
  EXPECT_EQ(h.at(3).evidence.size(), 1u);
  auto forged = std::make_shared<Batch>(*other);
  forged->header.signature.bytes[0] ^= 1;
  h.Give(0, NodeId{3}, BatchMessage{forged});
  EXPECT_TRUE(h.at(0).evidence.empty());
}

}  // namespace
}  // namespace dadbs::core
