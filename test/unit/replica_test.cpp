/*
 * replica_test.cpp: the replica's rules, one by one. Whole runs with faults are the simulator's (test/sim).
 */
#include "dadbs/core/replica.h"

#include <gtest/gtest.h>

#include "replica_fixture.h"

namespace dadbs::core {
namespace {

using test::Harness;
using test::kNow;
using test::Letter;
using test::Rejected;
using test::WriteSet;

// ---- the journal comes first ---------------------------------------------------------------------------------------

TEST(Replica, ClusterOfOneGoesThroughTheSamePhases) {
  Harness h(1);
  h.Open();
  h.Submit(0, "a");
  h.Run();
  ASSERT_EQ(h.at(0).delivered.size(), 2u);
  EXPECT_EQ(h.at(0).delivered[1].block->header.transaction_count, 1u);
  EXPECT_EQ(h.at(0).numbered[0], (TransactionId{NodeId{1}, 1, 1}));
  EXPECT_EQ(h.Records<ProposalRecord>(0), 2u);
  EXPECT_EQ(h.Records<CommitRecord>(0), 2u);
  EXPECT_EQ(h.Records<CommittedRecord>(0), 2u);
}

TEST(Replica, FourMembersDeliverTheSameBlocks) {
  Harness h(4);
  h.Open();
  for (size_t i = 0; i < 4; i++) h.Submit(i, "from " + std::to_string(i));
  h.Run();
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(h.at(i).replica->status().committed_hash, h.at(0).replica->status().committed_hash);
    EXPECT_EQ(h.at(i).replica->status().submitted_waiting, 0u);
    EXPECT_TRUE(h.at(i).rejected.empty());
  }
}

TEST(Replica, NothingSignedLeavesBeforeItsRecordIsDurable) {
  Harness h(4);
  h.Open();
  h.Submit(0, "a");
  EXPECT_TRUE(h.letters.empty());
  EXPECT_TRUE(h.Sync(0));
  const auto [proposal, batch] =
      std::pair{h.Sent<ProposalMessage>(NodeId{1}, NodeId{2}).at(0), h.Sent<BatchMessage>(NodeId{1}, NodeId{2}).at(0)};
  h.letters.clear();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  EXPECT_TRUE(h.letters.empty());
  EXPECT_TRUE(h.Sync(1));
  EXPECT_EQ(h.Sent<VoteMessage>(NodeId{2}, NodeId{3}).size(), 1u);
}

TEST(Replica, AVoteStandsBehindItsBatchesInTheJournal) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  const size_t before = h.at(1).journal.size();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  ASSERT_EQ(h.at(1).journal.size(), before + 3);
  EXPECT_TRUE(std::holds_alternative<BatchRecord>(h.at(1).journal[before]));
  EXPECT_TRUE(std::holds_alternative<ProposalRecord>(h.at(1).journal[before + 1]));
  EXPECT_TRUE(std::holds_alternative<PrepareRecord>(h.at(1).journal[before + 2]));
}

// ---- incarnations --------------------------------------------------------------------------------------------------

TEST(Replica, NoWriteSetIsTakenBeforeTheIncarnationIsDelivered) {
  Harness h(4);
  for (size_t i = 0; i < 4; i++) h.Start(i);
  EXPECT_FALSE(h.at(2).replica->CanSubmit());
  EXPECT_FALSE(h.at(2).replica->status().incarnation_open);
  h.Run();
  EXPECT_TRUE(h.at(2).replica->CanSubmit());
}

TEST(Replica, ARestartOpensTheNextIncarnationAndNumbersFromOne) {
  Harness h(4);
  h.Open();
  h.Submit(2, "a");
  h.Run();
  h.Crash(2);
  h.Start(2);
  h.Run();
  h.Submit(2, "b");
  EXPECT_EQ(h.at(2).numbered.back(), (TransactionId{NodeId{3}, 2, 1}));
}

TEST(Replica, WhatWasOpenBeforeTheNewIncarnationIsDropped) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return l.from == NodeId{3} && std::holds_alternative<BatchMessage>(l.message); };
  h.Submit(2, "never seen by the others");
  h.Run();
  h.Crash(2);
  h.Start(2);
  h.Run();
  h.Submit(2, "b");
  h.lost = nullptr;
  h.Tick(300'000);
  h.Run();
  uint32_t transactions = 0;
  for (const DeliverEffect& d : h.at(0).delivered) transactions += d.block->header.transaction_count;
  EXPECT_EQ(transactions, 1u);
  EXPECT_EQ(h.at(2).replica->status().submitted_waiting, 0u);
}

TEST(Replica, ANewerIncarnationOfTheOwnKeyFences) {
  Harness h(4);
  h.Open();
  IncarnationEntry clone{.origin = NodeId{3},
                         .incarnation = 9,
                         .journal_sequence = 5,
                         .nonce = {},
                         .recent_height = h.at(0).replica->status().committed,
                         .recent_hash = h.at(0).replica->status().committed_hash};
  clone.signature = h.at(2).signer->Sign(clone.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Give(0, NodeId{3}, IncarnationMessage{clone});
  h.Run();
  EXPECT_TRUE(h.at(2).replica->status().fenced);
  EXPECT_FALSE(h.at(2).replica->CanSubmit());
  EXPECT_FALSE(h.at(0).replica->status().fenced);
}

// ---- proposals -----------------------------------------------------------------------------------------------------

TEST(Replica, ThePrimarySendsTheSameProposalAfterARestart) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Crash(0);
  h.Start(0);
  h.Run();  // the others have said that it remembers
  h.Tick(300'000);
  const auto again = h.Sent<ProposalMessage>(NodeId{1}, NodeId{2});
  ASSERT_FALSE(again.empty());
  for (const ProposalMessage& p : again) {
    EXPECT_EQ(p.block->header.hash(), proposal.block->header.hash());
    EXPECT_EQ(p.envelope.signature, proposal.envelope.signature);
  }
  h.Run();
  const DeliverEffect& block = h.at(3).delivered[proposal.block->header.height.value - 1];
  EXPECT_EQ(block.block->header.hash(), proposal.block->header.hash());
}

TEST(Replica, ASecondProposalForOneHeightIsRejected) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  const size_t votes = h.Records<PrepareRecord>(1);
  h.Give(1, NodeId{1}, h.At(proposal, proposal.block->header.time_us + 1));
  EXPECT_TRUE(Rejected(h.at(1), "a second proposal"));
  EXPECT_EQ(h.Records<PrepareRecord>(1), votes);
}

TEST(Replica, AVoteInTheJournalBindsAfterARestart) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  h.Sync(1);
  const auto vote = h.Sent<VoteMessage>(NodeId{2}, NodeId{3}).at(0);
  h.Crash(1);
  h.Start(1);
  h.letters.clear();
  h.Give(1, NodeId{1}, h.At(proposal, proposal.block->header.time_us + 1));
  h.Sync(1);
  h.Tick(300'000);
  for (const VoteMessage& v : h.Sent<VoteMessage>(NodeId{2}, NodeId{3})) {
    EXPECT_EQ(v.hash, vote.hash);
    EXPECT_EQ(v.envelope.signature, vote.envelope.signature);
  }
}

TEST(Replica, OnlyThePrimaryMayPropose) {
  Harness h(4);
  h.Open();
  auto [proposal, batch] = h.HeldBack();
  proposal.envelope = h.SignVote(2, Phase::kPrepare, proposal.block->header.height, proposal.block->header.hash());
  h.Give(1, NodeId{3}, proposal);
  EXPECT_TRUE(Rejected(h.at(1), "not the primary"));
}

TEST(Replica, AMissingBatchIsAskedForByDigestAndThenVotedFor) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, proposal);
  EXPECT_FALSE(h.Sync(1));  // no vote
  const auto requests = h.Sent<BatchRequest>(NodeId{2}, NodeId{1});
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].digests, std::vector<Digest>{batch.batch->header.digest()});
  h.letters.clear();
  h.Tick(300'000);  // the origin didn't answer: somebody else
  EXPECT_EQ(h.Sent<BatchRequest>(NodeId{2}, NodeId{1}).size() + h.Sent<BatchRequest>(NodeId{2}, NodeId{3}).size(), 1u);
  h.Give(1, NodeId{4}, batch);
  EXPECT_TRUE(h.Sync(1));
  EXPECT_EQ(h.Sent<VoteMessage>(NodeId{2}, NodeId{3}).size(), 1u);
}

TEST(Replica, ABlockFromTheFutureWaitsAndParentPlusOneNever) {
  ReplicaLimits limits;
  Harness h(4, limits);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, h.At(proposal, h.now + limits.time_bound_us + 500'000));
  EXPECT_FALSE(h.Sync(1));
  h.Tick(600'000);
  EXPECT_TRUE(h.Sync(1));

  h.now -= 3'600'000'000;  // member 3's clock is an hour behind
  h.Give(2, NodeId{1}, batch);
  h.Give(2, NodeId{1}, h.At(proposal, h.at(2).replica->status().committed_time_us + 1));
  EXPECT_TRUE(h.Sync(2));
}

TEST(Replica, AnInvalidBlockIsRejected) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  const int64_t parent_time = h.at(1).replica->status().committed_time_us;
  h.Give(1, NodeId{1}, h.At(proposal, parent_time));
  EXPECT_TRUE(Rejected(h.at(1), "later than its parent"));
  auto twice = std::make_shared<Block>(*proposal.block);
  twice->items.push_back(twice->items[0]);
  twice->header.item_count = 2;
  h.Give(1, NodeId{1}, h.At({View{0}, twice, {}}, h.now + 1000));
  EXPECT_TRUE(Rejected(h.at(1), "continue its origin's numbers"));
  auto other = std::make_shared<Block>(*proposal.block);
  other->header.transactions_root.bytes[0] ^= 1;
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, h.At({View{0}, other, {}}, h.now + 1000));
  EXPECT_TRUE(Rejected(h.at(1), "transactions root"));
}

// ---- batches -------------------------------------------------------------------------------------------------------

TEST(Replica, OwnBatchesGatherWhileOneIsOnItsWay) {
  Harness h(4);
  h.Open();
  for (int i = 0; i < 5; i++) h.Submit(2, "w" + std::to_string(i));
  h.Run();
  std::vector<uint32_t> counts;
  for (const auto& d : h.at(0).delivered)
    for (const auto& b : d.batches) counts.push_back(b->header.count);
  EXPECT_EQ(counts, (std::vector<uint32_t>{1, 4}));
}

TEST(Replica, WriteSetsAtHandGoIntoOneBatch) {
  Harness h(4);
  h.Open();
  for (int i = 0; i < 3; i++) h.Take(2, h.at(2).replica->OnSubmit(7, WriteSet("w"), h.now));
  EXPECT_TRUE(h.letters.empty());
  h.Take(2, h.at(2).replica->OnEventsEnd(h.now));
  h.Run();
  EXPECT_EQ(h.at(0).delivered.back().batches.at(0)->header.count, 3u);
}

TEST(Replica, ALargeBatchIsNamedOnlyWhenAQuorumHoldsIt) {
  ReplicaLimits limits;
  limits.inline_batch_bytes_max = 1000;
  limits.batch_bytes_max = 1000;
  Harness h(4, limits);
  h.Open();
  const Height before = h.at(0).replica->status().committed;
  h.lost = [](const Letter& l) { return std::holds_alternative<BatchMessage>(l.message) && l.to.value >= 3; };
  h.Submit(0, std::string(5000, 'x'));
  h.Run();
  EXPECT_EQ(h.at(0).replica->status().committed, before);  // members 1 and 2 hold it
  h.lost = nullptr;
  h.Tick(400'000);
  h.Run();
  EXPECT_EQ(h.at(0).replica->status().committed, before.next());
}

TEST(Replica, EachOriginGetsItsTurn) {
  ReplicaLimits limits;
  limits.block_items_max = 4;
  limits.batch_transactions_max = 1;
  Harness h(4, limits);
  h.Open();
  h.lost = [](const Letter& l) { return std::holds_alternative<ProposalMessage>(l.message); };
  for (int i = 0; i < 20; i++) h.Submit(1, "many " + std::to_string(i));
  for (size_t i = 2; i < 4; i++) h.Submit(i, "few");
  h.Run();
  h.lost = nullptr;
  h.Tick(400'000);
  h.Run();
  std::vector<size_t> heights(4, 0);
  for (size_t k = 0; k < h.at(0).delivered.size(); k++)
    for (const auto& b : h.at(0).delivered[k].batches)
      if (heights[b->header.origin.value - 1u] == 0) heights[b->header.origin.value - 1u] = k;
  EXPECT_LE(heights[2], heights[1] + 1);  // not behind the twenty
  EXPECT_LE(heights[3], heights[1] + 1);
}

TEST(Replica, BatchesWithWrongSignatureOrBodyAreRejected) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  auto forged = std::make_shared<Batch>(*batch.batch);
  forged->header.signature.bytes[0] ^= 1;
  h.Give(1, NodeId{1}, BatchMessage{forged});
  EXPECT_TRUE(Rejected(h.at(1), "wrong signature"));
  auto swapped = std::make_shared<Batch>(*batch.batch);
  swapped->write_sets[0] = WriteSet("something else");
  h.Give(1, NodeId{1}, BatchMessage{swapped});
  EXPECT_TRUE(Rejected(h.at(1), "a batch: "));
}

TEST(Replica, SubmissionsAreHeldBackByApplyAndByBytes) {
  ReplicaLimits limits;
  limits.apply_lag_blocks_max = 2;
  limits.pace_us_max = 0;
  Harness h(1, limits);
  h.Open();
  h.applies = false;
  for (int i = 0; i < 3 && h.at(0).replica->CanSubmit(); i++) {
    h.Submit(0, "w");
    h.Run();
  }
  EXPECT_FALSE(h.at(0).replica->CanSubmit());
  h.Take(0, h.at(0).replica->OnApplied(h.at(0).replica->status().delivered, h.now));
  EXPECT_TRUE(h.at(0).replica->CanSubmit());

  ReplicaLimits small;
  small.pending_bytes_per_origin_max = 2000;
  Harness full(4, small);
  full.Open();
  full.lost = [](const Letter&) { return true; };
  for (int i = 0; i < 100 && full.at(2).replica->CanSubmit(); i++) full.Submit(2, "w");
  EXPECT_FALSE(full.at(2).replica->CanSubmit());
  EXPECT_GT(full.at(2).replica->status().submitted_waiting, 0u);
}

TEST(Replica, WhatNobodyWaitsForIsSyncedWithTheNextRecord) {
  ReplicaLimits limits;
  Harness h(4, limits);
  h.Open();
  h.patient = true;
  const Height before = h.at(0).replica->status().delivered;
  h.Submit(1, "a");
  h.Run();
  for (size_t i : {0, 1, 2, 3}) {
    const ReplicaStatus status = h.at(i).replica->status();
    EXPECT_EQ(status.committed, before.next());
    EXPECT_EQ(status.delivered, i == 1 ? before.next() : before);
    EXPECT_EQ(h.at(i).replica->SyncIn(), i == 1 ? std::nullopt : std::optional(limits.sync_wait_us_max));
  }
  h.Submit(2, "b");  // the votes for the next block take the record along; nobody paces for what is not delivered
  h.Run();
  for (size_t i : {0, 1, 3}) EXPECT_EQ(h.at(i).replica->status().delivered, before.next());
  EXPECT_EQ(h.at(2).replica->status().delivered, before.next().next());
  h.now += limits.sync_wait_us_max;
  for (size_t i : {0, 1, 3}) {
    h.Take(i, h.at(i).replica->OnEventsEnd(h.now));
    EXPECT_EQ(h.at(i).replica->SyncIn(), 0);
  }
  h.Run();
  for (size_t i : {0, 1, 3}) EXPECT_EQ(h.at(i).replica->status().delivered, before.next().next());
}

TEST(Replica, WhereRoundsAreLongTheRestIsWaitedForFromTheFirstOn) {
  Harness h(4);
  h.Open();
  const auto proposals = [&] { return h.Records<ProposalRecord>(0); };
  const auto pass = [&](int64_t us) {
    h.now += us;
    h.Take(0, h.at(0).replica->OnEventsEnd(h.now));
  };
  const auto far_run = [&] {
    while (h.Step()) h.now += 50'000;
  };
  for (int i = 0; i < 20; i++) {
    h.Submit(1, "a");
    h.Submit(2, "b");
    far_run();
    pass(50'000);  // whoever is waited for does not come
    far_run();
  }
  const auto first_comes = [&] {
    h.Submit(1, "a");
    h.Sync(1);
    h.Step();
  };
  const size_t before = proposals();
  first_comes();
  pass(8'000);
  EXPECT_EQ(proposals(), before);
  h.Submit(2, "b");
  h.Run();
  EXPECT_EQ(proposals(), before + 1);
  EXPECT_EQ(h.at(0).delivered.back().batches.size(), 2u);
  first_comes();
  const std::optional<int64_t> wait = h.at(0).replica->WakeIn();
  ASSERT_TRUE(wait);
  EXPECT_LE(*wait, 50'000);
  pass(*wait);
  EXPECT_EQ(proposals(), before + 2);
}

TEST(Replica, WhatComesWhileApplyIsBusyGathers) {
  ReplicaLimits limits;
  Harness h(4, limits);
  h.Open();
  h.applies = false;
  const auto height = [&] { return h.at(0).replica->status().delivered; };
  const auto applied = [&](size_t i) { h.Take(i, h.at(i).replica->OnApplied(height(), h.now)); };
  h.Submit(1, "a");
  h.Run();
  const Height first = height();
  for (const char* text : {"b", "c"}) h.Submit(1, text);
  h.Run();
  EXPECT_EQ(height(), first);
  EXPECT_EQ(h.at(1).replica->AwaitedApply(), first);
  applied(1);  // both go in one batch, which waits for the primary's apply
  h.Run();
  EXPECT_EQ(height(), first);
  EXPECT_EQ(h.at(0).replica->AwaitedApply(), first);
  applied(0);
  h.Run();
  EXPECT_EQ(height(), first.next());
  EXPECT_EQ(h.at(1).delivered.back().batches.at(0)->header.count, 2u);
  // Apply that takes longer is not waited for.
  h.Submit(1, "d");
  h.Run();
  EXPECT_EQ(height(), first.next());
  EXPECT_EQ(h.at(1).replica->WakeIn(), limits.pace_us_max);
  for (int i = 0; i < 2; i++) {
    h.Tick(limits.pace_us_max);
    h.Run();
  }
  EXPECT_EQ(height(), first.next().next());
}

// ---- votes ---------------------------------------------------------------------------------------------------------

TEST(Replica, NothingIsSentTwiceBeforeAnAnswerCanCome) {
  Harness run(4, {.view_change_timeout_us = 3'000'000});
  run.Open();
  std::map<size_t, size_t> sent;  // by the kind of message
  run.lost = [&](const Letter& letter) {
    sent[letter.message.index()]++;
    return false;
  };
  const auto write_far_away = [&](const std::string& text) {  // 300 ms each way: longer than the resend interval
    const size_t before = run.at(3).delivered.size();
    run.Submit(3, text);
    for (int hop = 0; run.at(3).delivered.size() == before; hop++) {
      ASSERT_LT(hop, 20);
      run.Step();
      for (int i = 0; i < 6; i++) run.Tick(50'000);
    }
  };
  const auto sent_of = [&](const Message& kind) { return sent[kind.index()]; };
  write_far_away("the first one shows how long answers take");
  EXPECT_GT(sent_of(VoteMessage{}), 21u);
  for (int i = 0; i < 3; i++) {
    sent.clear();
    write_far_away("w" + std::to_string(i));
    EXPECT_EQ(sent_of(ProposalMessage{}), 3u);
    EXPECT_LE(sent_of(VoteMessage{}), 9u + 12u);  // PREPARE of three, COMMIT of four
    EXPECT_EQ(sent_of(BatchMessage{}), 3u);
  }
  // What is lost is sent again before the primary is blamed: after half of its time.
  sent.clear();
  bool is_lost = true;
  run.lost = [&](const Letter& letter) { return is_lost && std::holds_alternative<VoteMessage>(letter.message); };
  run.Submit(3, "lost votes");
  run.Run();
  is_lost = false;
  for (int i = 0; i < 31; i++) run.Tick(50'000);
  run.Run();
  EXPECT_EQ(run.at(3).delivered.size(), run.at(0).delivered.size());
  EXPECT_EQ(run.at(3).replica->status().view, View{0});
  EXPECT_EQ(run.at(3).delivered.back().block->header.transaction_count, 1u);
  const Height lost = run.at(3).replica->status().committed;
  EXPECT_EQ(run.at(0).delivered.back().block->header.height, lost);
}

TEST(Replica, VotesThatComeBeforeTheProposalCount) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  const Height height = proposal.block->header.height;
  const Digest hash = proposal.block->header.hash();
  for (size_t i : {2, 3}) h.Give(1, Harness::Id(i), h.Vote(i, Phase::kPrepare, height, hash));
  for (size_t i : {2, 3}) h.Give(1, Harness::Id(i), h.Vote(i, Phase::kCommit, height, hash));
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  h.Sync(1);
  EXPECT_EQ(h.at(1).delivered.back().block->header.hash(), hash);
}

TEST(Replica, ForgedAndForeignVotesAreRejected) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  const Height height = proposal.block->header.height;
  const Digest hash = proposal.block->header.hash();
  VoteMessage forged = h.Vote(2, Phase::kPrepare, height, hash);
  forged.envelope.signature.bytes[0] ^= 1;
  h.Give(1, NodeId{4}, forged);
  EXPECT_TRUE(Rejected(h.at(1), "wrong signature"));
  VoteMessage as_commit = h.Vote(2, Phase::kPrepare, height, hash);
  as_commit.phase = Phase::kCommit;
  h.at(1).rejected.clear();
  h.Give(1, NodeId{4}, as_commit);
  EXPECT_TRUE(Rejected(h.at(1), "wrong signature"));
  VoteMessage stranger = h.Vote(2, Phase::kPrepare, height, hash);
  stranger.envelope.signer = NodeId{9};
  h.Give(1, NodeId{4}, stranger);
  EXPECT_TRUE(Rejected(h.at(1), "not a peer"));
  VoteMessage other_epoch = h.Vote(2, Phase::kPrepare, height, hash);
  other_epoch.epoch = Epoch{2};
  h.Give(1, NodeId{3}, other_epoch);
  EXPECT_TRUE(Rejected(h.at(1), "another epoch"));
}

TEST(Replica, ASignatureIsVerifiedOnceAndOnlyIfNeeded) {
  Harness h(4);
  h.Open();
  h.verifier.count = 0;
  h.Submit(0, "a");
  h.Run();
  // Each backup: batch, proposal, one PREPARE beside its own and the primary's, two COMMITs. The primary: two and two.
  EXPECT_LE(h.verifier.count, 3 * 5 + 4);
}

TEST(Replica, AVoteForAnOldHeightIsAnsweredWithTheCertifiedBlock) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) { return l.to == NodeId{4} && std::holds_alternative<VoteMessage>(l.message); };
  h.Submit(0, "a");
  h.Run();
  const Height height = h.at(0).replica->status().committed;
  EXPECT_EQ(h.at(3).replica->status().committed, height.prev());
  h.now += 200'000;
  h.Give(0, NodeId{4}, h.Vote(3, Phase::kPrepare, height, h.at(0).replica->status().committed_hash));
  const auto answers = h.Sent<BlockMessage>(NodeId{1}, NodeId{4});
  ASSERT_EQ(answers.size(), 1u);
  h.Run();
  EXPECT_EQ(h.at(3).replica->status().committed, height);
}

// ---- catching up ---------------------------------------------------------------------------------------------------

TEST(Replica, ALaggardAsksForBlocksAndBelievesTheirCertificates) {
  Harness h(4);
  const Height height = h.LeaveBehind(3);
  h.Start(3);
  h.Run();
  h.Tick(600'000);
  h.Run();
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
}

// Whoever was asked first answers after somebody else was asked; its blocks arrive together, before any step is taken.
TEST(Replica, AnAnswerThatComesLateIsTakenWhole) {
  Harness h(4);
  const Height height = h.LeaveBehind(3);
  std::deque<Letter> held;
  h.lost = [&](const Letter& l) {
    const bool answer = l.to == NodeId{4} && std::holds_alternative<BlockMessage>(l.message);
    if (answer) held.push_back(l);
    return answer;
  };
  h.Start(3);
  h.Run();
  h.Tick(600'000);
  h.Run();
  ASSERT_GE(held.size(), 20u);
  const NodeId first = held.front().from;
  h.Tick(1'000'000);  // the deadline passes, another one is asked
  h.Run();
  ASSERT_TRUE(std::any_of(held.begin(), held.end(), [&](const Letter& l) { return l.from != first; }));
  for (const Letter& l : held)
    if (l.from == first) h.Take(3, h.at(3).replica->OnMessage(l.from, l.message, h.now));
  h.Take(3, h.at(3).replica->OnEventsEnd(h.now));
  EXPECT_GE(h.at(3).replica->status().committed, height.prev());
}

TEST(Replica, ABlockWithAFalseCertificateIsRejected) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  auto certificate = std::make_shared<Certificate>();
  certificate->height = proposal.block->header.height;
  certificate->hash = proposal.block->header.hash();
  for (size_t i = 0; i < 3; i++)
    certificate->votes.push_back(h.SignVote(i, Phase::kPrepare, certificate->height, certificate->hash));
  h.Give(1, NodeId{3}, BlockMessage{proposal.block, certificate, {batch.batch}, 0});
  EXPECT_TRUE(Rejected(h.at(1), "a block: "));
  certificate = std::make_shared<Certificate>(*certificate);
  certificate->votes.clear();
  for (size_t i = 0; i < 2; i++)
    certificate->votes.push_back(h.SignVote(i, Phase::kCommit, certificate->height, certificate->hash));
  h.at(1).rejected.clear();
  h.Give(1, NodeId{3}, BlockMessage{proposal.block, certificate, {batch.batch}, 0});
  EXPECT_TRUE(Rejected(h.at(1), "a quorum has 3"));
  certificate = std::make_shared<Certificate>(*certificate);
  certificate->votes.push_back(h.SignVote(3, Phase::kCommit, certificate->height, certificate->hash));
  h.Give(1, NodeId{3}, BlockMessage{proposal.block, certificate, {batch.batch}, 0});
  h.Sync(1);
  EXPECT_EQ(h.at(1).replica->status().committed_hash, certificate->hash);
}

TEST(Replica, BlocksThatAreNotInMemoryAreServedByTheOwner) {
  ReplicaLimits limits;
  limits.recent_blocks_max = 2;
  Harness two(2, limits);
  two.Open();
  for (int i = 0; i < 5; i++) {
    two.Submit(0, "w");
    two.Run();
  }
  two.Give(0, NodeId{2}, BlockRequest{Height{1}, 100});
  ASSERT_EQ(two.at(0).served.size(), 1u);
  EXPECT_EQ(two.at(0).served[0].from, Height{1});
  EXPECT_EQ(two.at(0).served[0].count, two.at(0).replica->status().delivered.value);  // not only what memory lacks
  two.Give(0, NodeId{2}, BlockRequest{Height{1}, 0});
  EXPECT_TRUE(Rejected(two.at(0), "a request for no block"));
}

// ---- status --------------------------------------------------------------------------------------------------------

TEST(Replica, StatusNamesThoseWhoseVotesAreMissing) {
  Harness h(4);
  h.Open();
  h.Crash(2);
  h.Crash(3);
  h.Submit(0, "a");
  h.Run();
  const ReplicaStatus s = h.at(0).replica->status();
  EXPECT_STREQ(s.phase, "preparing");
  EXPECT_FALSE(s.has_quorum);
  EXPECT_EQ(s.missing, (std::vector<NodeId>{NodeId{3}, NodeId{4}}));
  EXPECT_EQ(s.submitted_waiting, 1u);
}

TEST(Replica, WithoutThePrimaryItSaysSo) {
  Harness h(4);
  h.Open();
  h.Crash(0);
  h.Submit(1, "a");
  h.Run();
  const ReplicaStatus s = h.at(1).replica->status();
  EXPECT_STREQ(s.phase, "waiting");
  EXPECT_FALSE(s.primary_connected);
  EXPECT_EQ(s.missing, std::vector<NodeId>{NodeId{1}});
}

// ---- the journal's fold --------------------------------------------------------------------------------------------

TEST(RecoveredState, RefusesAJournalThatContradictsItself) {
  Harness h(4);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(1, NodeId{1}, batch);
  h.Give(1, NodeId{1}, proposal);
  h.Sync(1);
  RecoveredState state;
  const auto& journal = h.at(1).journal;
  EXPECT_NE(RecoveredState{}.Apply(journal[1], 1), "");  // does not begin with a genesis
  for (size_t i = 0; i < journal.size(); i++) ASSERT_EQ(state.Apply(journal[i], i + 1), "");
  ASSERT_NE(state.prepare, nullptr);
  PrepareRecord other = *state.prepare;
  other.vote.hash.bytes[0] ^= 1;
  EXPECT_NE(state.Apply(other, journal.size() + 1), "");
  PrepareRecord far = *state.prepare;
  far.vote.height = far.vote.height.next();
  EXPECT_NE(state.Apply(far, journal.size() + 1), "");
  Genesis another = h.genesis;
  another.cluster_name = "another";
  EXPECT_NE(state.Apply(GenesisRecord{another.Encode(), NodeId{2}}, journal.size() + 1), "");
}

// A segment may end between PREPARE and COMMIT. When it is cut, for its height is applied, the journal begins with the COMMIT.
TEST(RecoveredState, TheProposalOfACommitMayHaveBeenCut) {
  Harness h(4);
  h.Open();
  h.Submit(0, "a");
  h.Run();
  const auto& journal = h.at(1).journal;
  size_t proposal = journal.size(), commit = journal.size(), committed = journal.size();
  for (size_t i = 0; i < journal.size(); i++) {
    if (std::holds_alternative<ProposalRecord>(journal[i])) proposal = i;
    if (std::holds_alternative<CommitRecord>(journal[i])) commit = i;
    if (std::holds_alternative<CommittedRecord>(journal[i])) committed = i;
  }
  ASSERT_LT(proposal, commit);
  ASSERT_LT(commit, committed);
  ASSERT_LT(committed, journal.size());
  RecoveredState before;
  for (size_t i = 0; i < commit; i++) ASSERT_EQ(before.Apply(journal[i], i + 1), "");
  ASSERT_NE(before.proposal, nullptr);
  const SegmentStateRecord head{before.chain, before.view, before.incarnation, h.genesis.Encode(), before.self};
  RecoveredState cut;
  ASSERT_EQ(cut.Apply(head, commit), "");
  for (size_t i = commit; i < journal.size(); i++) ASSERT_EQ(cut.Apply(journal[i], i + 1), "") << i - commit;
  EXPECT_EQ(cut.End(), "");
  EXPECT_EQ(cut.chain.height, std::get<CommittedRecord>(journal[committed]).block->header.height);
  // Its block must follow: what votes without it would have to show the block.
  RecoveredState damaged;
  ASSERT_EQ(damaged.Apply(head, commit), "");
  for (size_t i = commit; i < committed; i++) ASSERT_EQ(damaged.Apply(journal[i], i + 1), "");
  EXPECT_NE(damaged.End(), "");
  // Where nothing was cut it is damage at once.
  RecoveredState whole;
  for (size_t i = 0; i < commit; i++) {
    if (i == proposal) continue;
    ASSERT_EQ(whole.Apply(journal[i], i + 1), "");
  }
  EXPECT_NE(whole.Apply(journal[commit], commit + 1), "");
}

}  // namespace
}  // namespace dadbs::core
