/*
 * replica_views_test.cpp: the rules of the view change, one by one. Whole runs with faults are the simulator's.
 */
#include <gtest/gtest.h>

#include "replica_fixture.h"

namespace dadbs::core {
namespace {

using test::Harness;
using test::Letter;
using test::Rejected;
using test::TestMember;
using test::WriteSet;

constexpr int64_t kTimeout = 1'000'000;  // the limits' default

ViewChangeMessage AskFor(Harness& h, size_t i, View view) {
  const ReplicaStatus s = h.at(i).replica->status();
  ViewChangeMessage m;
  m.change.view = view;
  m.change.height = s.committed;
  m.change.hash = s.committed_hash;
  m.change.head = *h.at(i).delivered.back().certificate;
  m.change.envelope = {Harness::Id(i), 1, 99, {}};
  m.change.envelope.signature = h.at(i).signer->Sign(m.change.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  return m;
}

NewViewMessage Begin(Harness& h, size_t primary, View view, std::vector<ViewChangeMessage> asked) {
  NewViewMessage m;
  m.start.view = view;
  for (const ViewChangeMessage& v : asked) {
    m.start.proof.push_back(v.change);
    if (v.block) m.block = v.block;
  }
  m.start.envelope = {Harness::Id(primary), 1, 100, {}};
  m.start.envelope.signature = h.at(primary).signer->Sign(m.start.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  return m;
}

template <class M>
bool Is(const Letter& l) {
  return std::holds_alternative<M>(l.message);
}

View ViewOf(Harness& h, size_t i) { return h.at(i).replica->status().view; }

uint64_t Ordered(Harness& h, size_t i) {
  uint64_t count = 0;
  for (const DeliverEffect& d : h.at(i).delivered) count += d.block->header.transaction_count;
  return count;
}

// Member 1's block is prepared by members 2 and 3, who have signed COMMITs that nobody got; member 1 is gone.
Digest PreparedAndPrimaryGone(Harness& h) {
  h.lost = [](const Letter& l) {
    const auto* vote = std::get_if<VoteMessage>(&l.message);
    return l.to == NodeId{4} || (vote && vote->phase == Phase::kCommit);
  };
  h.Submit(0, "in flight");
  h.Run();
  Digest hash;
  for (const JournalRecord& r : h.at(1).journal)
    if (const auto* commit = std::get_if<CommitRecord>(&r)) hash = commit->vote.hash;
  h.Crash(0);
  h.letters.clear();
  h.lost = nullptr;
  return hash;
}

// ---- when ----------------------------------------------------------------------------------------------------------

TEST(Views, APrimaryThatIsGoneIsReplacedAfterAQuarterOfTheTimeout) {
  Harness h(4);
  h.Open();
  h.Crash(0);
  h.Submit(2, "a");
  h.Run();
  h.Wait(kTimeout / 4 - 50'000);
  EXPECT_EQ(ViewOf(h, 1), View{0});
  h.Wait(100'000);
  for (size_t i = 1; i < 4; i++) {
    EXPECT_EQ(ViewOf(h, i), View{1});
    EXPECT_TRUE(h.at(i).replica->status().view_entered);
    EXPECT_EQ(h.at(i).replica->status().primary, NodeId{2});
    EXPECT_EQ(Ordered(h, i), 1u);
  }
}

TEST(Views, ASilentPrimaryIsReplacedAfterTheTimeout) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return l.from == NodeId{1} && Is<ProposalMessage>(l); };
  h.Submit(2, "a");
  h.Run();
  h.Wait(kTimeout - 50'000);
  EXPECT_EQ(ViewOf(h, 1), View{0});
  h.Wait(100'000);
  EXPECT_EQ(ViewOf(h, 1), View{1});
  h.Wait(600'000);
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(Ordered(h, i), 1u);
}

TEST(Views, IdlenessDeposesNobody) {
  Harness h(4);
  h.Open();
  h.Wait(10 * kTimeout);
  h.Crash(0);
  h.Wait(10 * kTimeout);
  for (size_t i = 1; i < 4; i++) EXPECT_EQ(ViewOf(h, i), View{0});
}

TEST(Views, WithoutAQuorumNobodyIsBlamed) {
  Harness h(4);
  h.Open();
  h.Crash(0);
  h.Crash(1);
  h.Submit(2, "a");
  h.Run();
  h.Wait(10 * kTimeout);
  EXPECT_EQ(ViewOf(h, 2), View{0});
  EXPECT_EQ(ViewOf(h, 3), View{0});
}

TEST(Views, TimeInWhichTheProcessDidNotRunBlamesNobody) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return Is<ProposalMessage>(l) || Is<VoteMessage>(l); };
  h.Submit(2, "a");
  h.Run();
  h.Tick(50'000);
  h.now += 20 * kTimeout;  // stopped, or the clock was set
  h.Tick(50'000);
  EXPECT_EQ(ViewOf(h, 1), View{0});
}

TEST(Views, WhatThePrimaryLacksIsHandedToIt) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return l.from == NodeId{3} && l.to == NodeId{1} && Is<BatchMessage>(l); };
  h.Submit(2, "kept from the primary");
  h.Run();
  h.Wait(kTimeout / 2);
  EXPECT_EQ(Ordered(h, 0), 1u);
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(ViewOf(h, i), View{0});
}

TEST(Views, ALargeBatchThatTooFewHoldDeposesNobody) {
  ReplicaLimits limits;
  limits.inline_batch_bytes_max = limits.batch_bytes_max = 1000;
  Harness h(4, limits);
  h.Open();
  h.lost = [](const Letter& l) { return l.to >= NodeId{3} && Is<BatchMessage>(l); };
  h.Submit(1, std::string(5000, 'x'));
  h.Run();
  h.Wait(5 * kTimeout);
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(ViewOf(h, i), View{0});
}

TEST(Views, APrimaryThatPassesOneOriginOverIsReplaced) {
  Harness h(4);
  h.Open();
  // What member 4 sends never reaches the primary, from nobody: as if it did not want to know.
  h.lost = [](const Letter& l) {
    const auto* batch = std::get_if<BatchMessage>(&l.message);
    return l.to == NodeId{1} && batch && batch->batch->header.origin == NodeId{4};
  };
  h.Submit(3, "censored");
  h.Run();
  int blocks = 0;
  for (; ViewOf(h, 1) == View{0} && blocks < 100; blocks++) {
    h.Submit(1, "welcome");
    h.Wait(100'000);
  }
  EXPECT_LT(blocks, 40);
  h.Wait(kTimeout);
  EXPECT_EQ(h.at(3).replica->status().submitted_waiting, 0u);
}

TEST(Views, AnInvalidTimeReplacesThePrimary) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  for (size_t i = 1; i < 4; i++) {
    h.Give(i, NodeId{1}, batch);
    h.Give(i, NodeId{1}, h.At(proposal, h.now + 3'600'000'000));
  }
  h.lost = [](const Letter& l) { return l.from == NodeId{1} && Is<ProposalMessage>(l); };
  h.Wait(kTimeout + 100'000);
  EXPECT_EQ(ViewOf(h, 1), View{1});
  EXPECT_EQ(Ordered(h, 1), 1u);
}

TEST(Views, SmallClustersChangeTheirViewToo) {
  for (size_t n : {2, 3}) {
    Harness h(n);
    h.Open();
    h.lost = [](const Letter& l) { return l.from == NodeId{1} && Is<ProposalMessage>(l); };
    h.Submit(0, "a");
    h.Run();
    h.Wait(kTimeout + 200'000);
    EXPECT_EQ(ViewOf(h, 0), View{1}) << n;
    EXPECT_EQ(Ordered(h, 1), 1u) << n;
  }
  Harness one(1);
  one.Open();
  one.Submit(0, "a");
  one.Wait(5 * kTimeout);
  EXPECT_EQ(ViewOf(one, 0), View{0});
}

// ---- asking and joining --------------------------------------------------------------------------------------------

TEST(Views, OneMembersWishMovesNobody) {
  Harness h(4);
  h.Open();
  h.Give(1, NodeId{3}, AskFor(h, 2, View{7}));
  EXPECT_EQ(ViewOf(h, 1), View{0});
}

TEST(Views, TheHighestViewThatTwoOthersReachIsJoined) {
  Harness h(4);
  h.Open();
  h.Give(1, NodeId{3}, AskFor(h, 2, View{7}));
  h.Give(1, NodeId{4}, AskFor(h, 3, View{3}));
  EXPECT_EQ(ViewOf(h, 1), View{3});
  EXPECT_FALSE(h.at(1).replica->status().view_entered);
}

TEST(Views, AloneAMemberAsksForOneViewOnly) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return l.to == NodeId{3} && !Is<StatusMessage>(l); };
  h.Submit(2, "nobody answers");
  h.lost = [](const Letter& l) { return l.to == NodeId{3} || l.from == NodeId{3}; };
  h.Run();
  h.Wait(20 * kTimeout);
  EXPECT_LE(ViewOf(h, 2), View{1});
  EXPECT_EQ(ViewOf(h, 1), View{0});
}

TEST(Views, FailedViewsFollowEachOtherLessAndLessOftenUpToACap) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return Is<NewViewMessage>(l) || Is<ProposalMessage>(l); };
  h.Submit(2, "a");
  h.Run();
  std::vector<int64_t> at;
  View last;
  for (int64_t gone = 0; gone < 60 * kTimeout; gone += 50'000) {
    h.Wait(50'000);
    // The primary of a view enters it by itself: the others' clocks are looked at.
    const View seen = std::max({ViewOf(h, 0), ViewOf(h, 1), ViewOf(h, 2), ViewOf(h, 3)});
    if (seen > last) at.push_back(gone);
    last = seen;
  }
  ASSERT_GE(at.size(), 7u);
  EXPECT_GE(at[2] - at[1], 2 * (at[1] - at[0]) - 600'000);
  EXPECT_LE(at[6] - at[5], 8 * kTimeout + 300'000);
}

TEST(Views, APromiseIsDurableBeforeItLeavesAndBindsAfterARestart) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{3}, AskFor(h, 2, View{1}));
  h.Give(1, NodeId{4}, AskFor(h, 3, View{1}));
  EXPECT_TRUE(h.Sent<ViewChangeMessage>(NodeId{2}, NodeId{3}).empty());
  h.Crash(1);  // the promise was not durable, nothing left
  h.Start(1);
  h.Step();
  h.Step();  // the others have said that it remembers
  EXPECT_EQ(ViewOf(h, 1), View{0});
  h.lost = [](const Letter& l) { return Is<NewViewMessage>(l) || Is<ViewChangeMessage>(l); };
  h.Give(1, NodeId{3}, AskFor(h, 2, View{2}));
  h.Give(1, NodeId{4}, AskFor(h, 3, View{2}));
  h.Sync(1);
  const auto asked = h.Sent<ViewChangeMessage>(NodeId{2}, NodeId{3});
  ASSERT_EQ(asked.size(), 1u);
  h.Crash(1);
  h.Start(1);
  EXPECT_EQ(ViewOf(h, 1), View{2});
  EXPECT_FALSE(h.at(1).replica->status().view_entered);
  h.Step();
  h.Step();
  const size_t votes = h.Records<PrepareRecord>(1);
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  h.Sync(1);
  EXPECT_EQ(h.Records<PrepareRecord>(1), votes);  // view 0 was left
  h.letters.clear();
  h.Tick(300'000);
  const auto again = h.Sent<ViewChangeMessage>(NodeId{2}, NodeId{3});
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].change.envelope.signature, asked[0].change.envelope.signature);
}

// ---- what a view begins with ---------------------------------------------------------------------------------------

TEST(Views, APreparedBlockIsProposedAgainUnchanged) {
  Harness h(4);
  h.Open();
  const Digest prepared = PreparedAndPrimaryGone(h);
  h.Submit(3, "something else");
  h.Run();
  h.Wait(kTimeout);
  for (size_t i = 1; i < 4; i++) {
    bool found = false;
    for (const DeliverEffect& d : h.at(i).delivered) {
      if (d.block->header.hash() != prepared) continue;
      found = true;
      EXPECT_EQ(d.block->header.proposer, NodeId{1});
      EXPECT_EQ(d.certificate->view, View{1});
    }
    EXPECT_TRUE(found) << i;
    EXPECT_EQ(Ordered(h, i), 2u);
  }
}

TEST(Views, ThePreparedBlockSurvivesARestartOfWhoHoldsIt) {
  Harness h(4);
  h.Open();
  const Digest prepared = PreparedAndPrimaryGone(h);
  for (size_t i : {1, 2}) {
    h.Crash(i);
    h.Start(i);
  }
  h.Run();
  h.Wait(kTimeout);
  for (size_t i = 1; i < 4; i++) {
    const auto& delivered = h.at(i).delivered;
    EXPECT_TRUE(std::any_of(delivered.begin(), delivered.end(), [&](const DeliverEffect& d) {
      return d.block->header.hash() == prepared;
    })) << i;
  }
}

TEST(Views, ABlockThatOneMemberHasCertifiedIsWhatAllGet) {
  Harness h(4);
  h.Open();
  // Only member 4 gets the COMMITs.
  h.lost = [](const Letter& l) {
    const auto* vote = std::get_if<VoteMessage>(&l.message);
    return vote && vote->phase == Phase::kCommit && l.to != NodeId{4};
  };
  h.Submit(0, "in flight");
  h.Run();
  const Digest certified = h.at(3).replica->status().committed_hash;
  EXPECT_GT(h.at(3).replica->status().committed, h.at(1).replica->status().committed);
  h.Crash(0);
  h.Crash(3);
  h.letters.clear();
  h.lost = nullptr;
  h.Start(0);
  h.Run();
  h.Submit(1, "later");
  h.Wait(2 * kTimeout);
  for (size_t i = 0; i < 3; i++) {
    const auto& delivered = h.at(i).delivered;
    EXPECT_TRUE(std::any_of(delivered.begin(), delivered.end(), [&](const DeliverEffect& d) {
      return d.block->header.hash() == certified;
    })) << i;
  }
}

// The primary shows its block to two others only, keeps the third COMMIT and so the certificate to itself, and tells of it
// in its VIEW-CHANGEs alone: the views begin above a block that only it can serve.
TEST(Views, AHeadThatAProofShowsIsTakenByWhoHasPreparedIt) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) {
    const auto* vote = std::get_if<VoteMessage>(&l.message);
    const bool kept = l.from == NodeId{1} && vote && vote->phase == Phase::kCommit;
    return kept || (l.to == NodeId{4} && Is<ProposalMessage>(l)) || (l.from == NodeId{1} && Is<BlockMessage>(l));
  };
  const Height before = h.at(1).replica->status().committed;
  h.Submit(0, "kept");
  h.Run();
  ASSERT_EQ(h.at(0).replica->status().committed, before.next());
  for (size_t i : {1, 2, 3}) ASSERT_EQ(h.at(i).replica->status().committed, before);
  std::vector<ViewChangeMessage> shown;  // of all views, each before the others ask for it
  for (uint32_t v = 1; v < 80; v++) shown.push_back(AskFor(h, 0, View{v}));
  h.Crash(0);
  h.letters.clear();
  h.lost = nullptr;
  h.Submit(2, "goes on");
  for (int k = 0; k < 60; k++) {
    for (size_t i : {1, 2, 3}) h.Give(i, NodeId{1}, shown[ViewOf(h, i).value]);
    h.Tick(kTimeout / 20);
    h.Run();
  }
  for (size_t i : {1, 2, 3}) {
    EXPECT_GE(h.at(i).replica->status().committed, before.next().next()) << i;
    EXPECT_EQ(Ordered(h, i), 2u) << i;
  }
}

TEST(Views, WhatAMemberThatIsGoneHasClaimedStopsNoClock) {
  Harness h(3);
  h.Open();
  StatusMessage status{h.at(0).replica->status().committed.next(), Height{}, View{0}, 1, 1, 0};
  h.Give(1, NodeId{3}, status);
  h.Crash(2);
  h.lost = [](const Letter& l) { return Is<ProposalMessage>(l); };  // the primary says nothing
  h.Submit(1, "a");
  for (int i = 0; i < 40 && ViewOf(h, 1) == View{0}; i++) {
    h.Tick(kTimeout / 20);
    h.Run();
  }
  EXPECT_GT(ViewOf(h, 1), View{0});
}

TEST(Views, InABoundViewNothingElseIsVotedFor) {
  Harness h(4);
  h.Open();
  PreparedAndPrimaryGone(h);
  std::optional<ProposalMessage> again;
  h.lost = [&](const Letter& l) {
    if (const auto* p = std::get_if<ProposalMessage>(&l.message)) again = *p;
    return Is<ProposalMessage>(l);
  };
  h.Submit(3, "something else");
  h.Run();
  h.Wait(kTimeout / 2);
  ASSERT_TRUE(again && again->view == View{1});
  auto other = std::make_shared<Block>(*again->block);
  other->header.time_us++;
  other->header.proposer = NodeId{2};
  const Digest hash = other->header.hash();
  h.Give(2, NodeId{2}, ProposalMessage{View{1}, other, h.SignVote(1, Phase::kPrepare, other->header.height, hash, View{1})});
  EXPECT_TRUE(Rejected(h.at(2), "not the block that the view is bound to"));
}

TEST(Views, AProposerOtherThanThePrimaryNeedsThePreparedCertificate) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();  // by member 1, prepared by nobody
  h.Give(2, NodeId{1}, batch);
  h.Give(2, NodeId{2}, Begin(h, 1, View{1}, {AskFor(h, 1, View{1}), AskFor(h, 2, View{1}), AskFor(h, 3, View{1})}));
  EXPECT_EQ(ViewOf(h, 2), View{1});
  const BlockHeader& header = proposal.block->header;
  h.Give(2, NodeId{2},
         ProposalMessage{View{1}, proposal.block, h.SignVote(1, Phase::kPrepare, header.height, header.hash(), View{1})});
  EXPECT_TRUE(Rejected(h.at(2), "proposer is not the primary"));
}

// ---- what proves a view --------------------------------------------------------------------------------------------

TEST(Views, ANewViewNeedsAQuorumOfDistinctMembersForThisView) {
  Harness h(4);
  h.Open();
  const auto ask = [&](size_t i, uint64_t view) { return AskFor(h, i, View{view}); };
  const auto refused = [&](NewViewMessage m, const std::string& why) {
    h.at(2).rejected.clear();
    h.Give(2, NodeId{2}, std::move(m));
    EXPECT_EQ(ViewOf(h, 2), View{0}) << why;
    EXPECT_TRUE(Rejected(h.at(2), why)) << why;
  };
  refused(Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1)}), "fewer VIEW-CHANGEs");
  refused(Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1), ask(1, 1)}), "distinct members");
  refused(Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1), ask(3, 2)}), "another view");
  refused(Begin(h, 3, View{1}, {ask(0, 1), ask(1, 1), ask(3, 1)}), "not of the view's primary");
  auto forged = Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1), ask(3, 1)});
  forged.start.proof[0].envelope.signature.bytes[3] ^= 1;
  refused(forged, "a wrong signature");
  auto higher = ask(3, 1);
  higher.change.height = higher.change.height.next();  // signed as such, but the head's certificate is of another block
  higher.change.envelope.signature =
      h.at(3).signer->Sign(higher.change.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  refused(Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1), higher}), "another block's certificate");
  h.Give(2, NodeId{4}, Begin(h, 1, View{1}, {ask(0, 1), ask(1, 1), ask(3, 1)}));  // whoever passes it on
  EXPECT_EQ(ViewOf(h, 2), View{1});
  EXPECT_TRUE(h.at(2).replica->status().view_entered);
}

TEST(Views, APreparedCertificateIsCheckedForContent) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  const Height height = proposal.block->header.height;
  const Digest hash = proposal.block->header.hash();
  const auto refused = [&](View of, Height at, const Digest& what, size_t votes, bool with_block, const char* why) {
    ViewChangeMessage m = AskFor(h, 3, View{2});
    m.change.prepared = Certificate{Phase::kPrepare, Epoch{1}, of, at, what, {}};
    for (size_t i = 0; i < votes; i++)
      m.change.prepared->votes.push_back(h.SignVote(i, Phase::kPrepare, height, hash, View{0}));
    if (with_block) m.block = proposal.block;
    m.change.envelope.signature = h.at(3).signer->Sign(m.change.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
    h.at(1).rejected.clear();
    h.Give(1, NodeId{4}, m);
    EXPECT_TRUE(Rejected(h.at(1), why)) << why;
  };
  refused(View{0}, height, hash, 2, true, "a quorum has 3");
  refused(View{1}, height, hash, 3, true, "the signature of member 1 is wrong");
  refused(View{2}, height, hash, 3, true, "not of an older view");
  refused(View{0}, height.next(), hash, 3, true, "of another height");
  refused(View{0}, height, hash, 3, false, "without the block");
  refused(View{0}, height, h.at(1).replica->status().committed_hash, 3, true, "without the block");
}

TEST(Views, AnOldViewIsAnsweredWithTheProofOfTheNewOne) {
  Harness h(4);
  h.Open();
  h.Crash(0);
  h.Submit(2, "a");
  h.Run();
  h.Wait(kTimeout / 2);
  ASSERT_EQ(ViewOf(h, 1), View{1});
  h.Start(0);
  h.Run();
  h.Wait(kTimeout);
  EXPECT_EQ(ViewOf(h, 0), View{1});
  EXPECT_EQ(h.at(0).replica->status().primary, NodeId{2});
  EXPECT_TRUE(h.at(0).replica->CanSubmit());
}

TEST(Views, ACertificateOfAHigherViewLetsOneVoteInIt) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) {
    return (l.to == NodeId{4} && Is<NewViewMessage>(l)) || (l.from == NodeId{1} && Is<ProposalMessage>(l));
  };
  h.Submit(2, "a");
  h.Run();
  h.Wait(2 * kTimeout);
  EXPECT_EQ(ViewOf(h, 3), View{1});
  EXPECT_TRUE(h.at(3).replica->status().view_entered);
  EXPECT_EQ(h.Records<NewViewRecord>(3), 0u);
  const size_t votes = h.Records<PrepareRecord>(3);
  h.Submit(2, "b");
  h.Run();
  EXPECT_EQ(h.Records<PrepareRecord>(3), votes + 1);
  h.Crash(3);
  h.Start(3);
  EXPECT_EQ(ViewOf(h, 3), View{1});
  EXPECT_TRUE(h.at(3).replica->status().view_entered);
}

TEST(Views, TheNextBlocksCostNothingMore) {
  Harness h(4);
  h.Open();
  h.Crash(0);
  h.Submit(2, "a");
  h.Run();
  h.Wait(kTimeout / 2);
  ASSERT_EQ(ViewOf(h, 1), View{1});
  const size_t records = h.at(2).journal.size();
  h.verifier.count = 0;
  h.Submit(1, "b");
  h.Run();
  EXPECT_EQ(h.at(2).journal.size(), records + 5);  // batch, proposal, PREPARE, COMMIT, block
  EXPECT_LE(h.verifier.count, 3 * 5);
}

// ---- the journal's fold --------------------------------------------------------------------------------------------

TEST(Views, AJournalThatGoesBackToAnOlderViewIsRefused) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{3}, AskFor(h, 2, View{1}));
  h.Give(1, NodeId{4}, AskFor(h, 3, View{1}));
  h.Sync(1);
  RecoveredState state;
  const auto& journal = h.at(1).journal;
  for (size_t i = 0; i < journal.size(); i++) ASSERT_EQ(state.Apply(journal[i], i + 1), "");
  EXPECT_EQ(state.view, View{1});
  const Height height = proposal.block->header.height;
  const Digest hash = proposal.block->header.hash();
  VoteMessage vote{Phase::kPrepare, Epoch{1}, View{0}, height, hash, h.SignVote(1, Phase::kPrepare, height, hash)};
  EXPECT_NE(state.Apply(PrepareRecord{vote}, 100), "");
  vote.view = View{2};
  EXPECT_NE(state.Apply(PrepareRecord{vote}, 100), "");
  EXPECT_NE(state.Apply(ViewChangeRecord{AskFor(h, 1, View{0})}, 100), "");
  EXPECT_EQ(state.Apply(ViewChangeRecord{AskFor(h, 1, View{5})}, 100), "");
  EXPECT_NE(state.Apply(NewViewRecord{Begin(h, 1, View{1}, {})}, 101), "");
}

}  // namespace
}  // namespace dadbs::core
