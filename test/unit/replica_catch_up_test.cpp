/*
 * replica_catch_up_test.cpp: how blocks are fetched, one rule at a time: from several at once, verified, bounded, away from
 * who does not serve; and what a member does that hears of the others' votes only.
 */
#include <gtest/gtest.h>

#include <set>

#include "replica_fixture.h"

namespace dadbs::core {
namespace {

using test::Harness;
using test::Letter;
using test::Rejected;
using test::WriteSet;

ReplicaLimits SmallRequests() {
  ReplicaLimits limits;
  limits.fetch_blocks_max = 4;
  return limits;
}

// Member 4 gets what `twist` makes of each block that `liar` sends it; null: nothing.
void TwistBlocks(Harness& h, size_t liar, std::function<std::shared_ptr<BlockMessage>(const BlockMessage&)> twist) {
  h.lost = [&h, liar, twist](const Letter& l) {
    const auto* block = std::get_if<BlockMessage>(&l.message);
    if (!block || l.from != Harness::Id(liar) || l.to != NodeId{4}) return false;
    if (auto twisted = twist(*block)) h.Give(3, l.from, *twisted);
    return true;
  };
}

bool Left(Harness& h, size_t server, bool wrongly) {
  const auto& left = h.at(3).left;
  return std::any_of(left.begin(), left.end(), [&](const ServerLeftEffect& e) {
    return e.peer == Harness::Id(server) && e.is_wrong == wrongly;
  });
}

TEST(CatchUp, SeveralMembersAreAskedForDifferentBlocksAtOnce) {
  Harness h(4, SmallRequests());
  h.LeaveBehind(3);
  std::map<NodeId, std::set<uint64_t>> asked;
  size_t out = 0, out_max = 0;
  h.lost = [&](const Letter& l) {
    if (const auto* r = std::get_if<BlockRequest>(&l.message)) {
      for (uint64_t i = 0; i < r->count; i++) {
        for (const auto& [id, heights] : asked) EXPECT_FALSE(heights.contains(r->from.value + i)) << "asked twice";
        asked[l.to].insert(r->from.value + i);
      }
      out_max = std::max(out_max, ++out);
    }
    const auto* block = std::get_if<BlockMessage>(&l.message);
    if (block && block->remaining == 0) out--;
    return false;
  };
  h.Start(3);
  h.Run();
  h.Wait(600'000);
  EXPECT_EQ(asked.size(), 3u);
  EXPECT_GT(out_max, 1u);
  EXPECT_LE(out_max, ReplicaLimits{}.fetch_asks_max);
  EXPECT_EQ(h.at(3).replica->status().committed, h.at(0).replica->status().committed);
  EXPECT_TRUE(h.at(3).left.empty());
}

TEST(CatchUp, WhoServesFalseCertificatesIsLeft) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  int given = 0;
  TwistBlocks(h, 1, [&](const BlockMessage& block) {
    auto twisted = std::make_shared<BlockMessage>(block);
    auto certificate = std::make_shared<Certificate>(*block.certificate);
    certificate->votes.pop_back();
    twisted->certificate = certificate;
    given++;
    return twisted;
  });
  h.Start(3);
  h.Run();
  h.Wait(2'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(Rejected(h.at(3), "a block: "));
  EXPECT_TRUE(Left(h, 1, true));
  EXPECT_LE(given, 8);  // what it was asked for before the first was looked at
  EXPECT_FALSE(Left(h, 0, true) || Left(h, 2, true));
}

TEST(CatchUp, WhoServesAnotherHistoryIsLeft) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  TwistBlocks(h, 2, [&](const BlockMessage& block) {
    auto twisted = std::make_shared<BlockMessage>(block);
    auto other = std::make_shared<Block>(*block.block);
    other->header.previous_hash.bytes[0] ^= 1;
    twisted->block = other;
    return twisted;
  });
  h.Start(3);
  h.Run();
  h.Wait(2'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(Left(h, 2, true));
}

TEST(CatchUp, WhoServesOtherTransactionsIsLeft) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  TwistBlocks(h, 0, [&](const BlockMessage& block) {
    auto twisted = std::make_shared<BlockMessage>(block);
    for (auto& batch : twisted->batches) {
      auto other = std::make_shared<Batch>(*batch);
      other->write_sets.front() = WriteSet("mine instead");
      batch = other;
    }
    return twisted;
  });
  // Nobody has old bodies in memory: they come with the blocks or not at all.
  const auto twist = h.lost;
  h.lost = [&](const Letter& l) { return std::holds_alternative<BatchRequest>(l.message) || twist(l); };
  h.Start(3);
  h.Run();
  h.Wait(2'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(Left(h, 0, true));
}

TEST(CatchUp, WhoServesNothingIsLeftForAWhile) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  int requests = 0;
  h.lost = [&](const Letter& l) {
    requests += l.to == Harness::Id(1) && std::holds_alternative<BlockRequest>(l.message);
    return l.from == Harness::Id(1) && std::holds_alternative<BlockMessage>(l.message);
  };
  h.Start(3);
  h.Run();
  h.Wait(1'500'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(Left(h, 1, false));
  EXPECT_FALSE(Left(h, 1, true));
  EXPECT_LE(requests, 4);
}

// Whom else could it ask?
TEST(CatchUp, TheOnlyOneThereIsAskedAgain) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  int lost = 0;
  h.lost = [&](const Letter& l) {
    if (l.to == NodeId{4} && l.from != NodeId{1}) return true;
    return l.to == NodeId{4} && std::holds_alternative<BlockMessage>(l.message) && lost++ < 12;
  };
  h.Start(3);
  h.Run();
  h.Wait(8'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(Left(h, 0, false));
}

TEST(CatchUp, ASlowServerOfTheNextBlockIsOvertaken) {
  ReplicaLimits limits;
  limits.fetch_blocks_max = 16;
  Harness h(4, limits);
  const Height height = h.LeaveBehind(3);
  std::deque<Letter> slow;
  h.lost = [&](const Letter& l) {
    const bool is_slow = l.to == NodeId{4} && l.from == NodeId{1} && std::holds_alternative<BlockMessage>(l.message);
    if (is_slow) slow.push_back(l);
    return is_slow;
  };
  h.Start(3);
  for (int i = 0; i < 8; i++) {  // one block each 0.15 s: always in time
    h.Run();
    h.Tick(150'000);
    if (slow.empty()) continue;
    h.Give(3, slow.front().from, slow.front().message);
    slow.pop_front();
  }
  EXPECT_GE(h.at(3).replica->status().committed, height);
}

TEST(CatchUp, NothingIsAskedForWhileApplyIsBehind) {
  ReplicaLimits limits = SmallRequests();
  limits.apply_lag_blocks_max = 6;
  Harness h(4, limits);
  const Height height = h.LeaveBehind(3);
  const Height before = h.at(3).delivered.back().block->header.height;
  h.applies = false;
  h.Start(3);
  h.Run();
  h.Wait(3'000'000);
  const Height stopped = h.at(3).replica->status().committed;
  EXPECT_LT(stopped, height);
  EXPECT_LE(stopped.value, before.value + limits.apply_lag_blocks_max + limits.fetch_asks_max * limits.fetch_blocks_max);
  EXPECT_TRUE(h.at(3).replica->status().waits_for_apply);
  h.applies = true;
  h.Take(3, h.at(3).replica->OnApplied(h.at(3).delivered.back().block->header.height, h.now));
  h.Run();
  h.Wait(1'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
}

TEST(CatchUp, WhoClaimsWhatNobodyHasIsAskedLessAndLess) {
  Harness h(4);
  h.Open();
  int requests = 0;
  h.lost = [&](const Letter& l) {
    requests += std::holds_alternative<BlockRequest>(l.message);
    return false;
  };
  for (int i = 0; i < 100; i++) {
    h.Give(3, NodeId{2}, StatusMessage{Height{1'000'000}, Height{1}, View{0}, 1, 1, 0});
    h.Wait(100'000);
  }
  EXPECT_LE(requests, 12);
  EXPECT_STREQ(h.at(3).replica->status().phase, "idle");
  h.Submit(3, "goes on");
  h.Run();
  EXPECT_EQ(h.at(3).replica->status().delivered, h.at(0).replica->status().delivered);
}

// One more than that is 0: nothing would be asked of anybody any more.
TEST(CatchUp, AClaimOfTheHighestNumberOfAllStopsNothing) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  h.lost = [](const Letter& l) {
    return l.from == Harness::Id(1) && l.to == NodeId{4} && std::holds_alternative<BlockMessage>(l.message);
  };
  h.Start(3);
  h.Give(3, Harness::Id(1), StatusMessage{Height{UINT64_MAX}, Height{1}, View{0}, 1, 1, 0});
  h.Run();
  h.Wait(3'000'000);
  EXPECT_GE(h.at(3).replica->status().committed, height);
}

// Where nobody else was there when it became slow.
TEST(CatchUp, ASlowServerIsOvertakenByWhoComesLater) {
  ReplicaLimits limits;
  limits.fetch_blocks_max = 32;
  Harness h(4, limits);
  const Height height = h.LeaveBehind(3);
  std::deque<Letter> slow;
  bool alone = true;
  h.lost = [&](const Letter& l) {
    if (l.to != NodeId{4}) return false;
    if (l.from != Harness::Id(1)) return alone;
    if (!std::holds_alternative<BlockMessage>(l.message)) return false;
    slow.push_back(l);
    return true;
  };
  h.Start(3);
  for (int i = 0; i < 18; i++) {  // one block each 0.15 s: always in time
    h.Run();
    h.Tick(150'000);
    alone = i < 6;
    if (slow.empty()) continue;
    h.Give(3, slow.front().from, slow.front().message);
    slow.pop_front();
  }
  h.Run();
  EXPECT_GE(h.at(3).replica->status().committed, height);
}

// It gives one answer after the other: the second request waits for the first.
TEST(CatchUp, WhoAnswersOneRequestAfterTheOtherIsNotLeft) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  std::deque<Letter> slow;
  h.lost = [&](const Letter& l) {
    if (l.to != NodeId{4}) return false;
    if (l.from != Harness::Id(0)) return true;
    if (!std::holds_alternative<BlockMessage>(l.message)) return false;
    slow.push_back(l);
    return true;
  };
  h.Start(3);
  for (int i = 0; i < 40; i++) {
    h.Run();
    h.Tick(300'000);
    if (slow.empty()) continue;
    h.Give(3, slow.front().from, slow.front().message);
    slow.pop_front();
  }
  EXPECT_GE(h.at(3).replica->status().committed, height);
  EXPECT_TRUE(h.at(3).left.empty());
}

// What member 1 gives first is lost; member 2 gives what comes later, slowly, and there is no room for more of that.
TEST(CatchUp, ThereIsAlwaysRoomForTheNextBlock) {
  ReplicaLimits limits;
  limits.fetch_blocks_max = 16;
  limits.fetch_bytes_max = 8'000;
  limits.fetch_asks_max = 2;
  Harness h(4, limits);
  const Height height = h.LeaveBehind(3);
  const int64_t started = h.now;
  const uint64_t begin = h.at(3).delivered.back().block->header.height.value + 1;
  uint64_t next = begin + 16;
  h.lost = [&](const Letter& l) {
    if (l.to != NodeId{4} || h.now == started) return l.to == NodeId{4};
    const bool is_lost = l.from == Harness::Id(1) || (l.from == Harness::Id(0) && h.now < started + 500'000);
    return is_lost && std::holds_alternative<BlockMessage>(l.message);
  };
  const auto give = [&] {
    const DeliverEffect& d = h.at(1).delivered.at(next++ - 1);
    ASSERT_EQ(d.block->header.height.value, next - 1);
    h.Give(3, Harness::Id(1), BlockMessage{d.block, d.certificate, d.batches, 1});
  };
  h.Start(3);
  h.Give(3, Harness::Id(0), StatusMessage{Height{next - 1}, Height{next - 1}, View{0}, 1, 1, 0});
  h.Give(3, Harness::Id(1), StatusMessage{height, height, View{0}, 1, 1, 0});
  EXPECT_EQ(h.Sent<BlockRequest>(NodeId{4}, Harness::Id(0)).at(0).from, Height{begin});
  EXPECT_EQ(h.Sent<BlockRequest>(NodeId{4}, Harness::Id(1)).at(0).from, Height{next});
  h.Run();
  for (int i = 0; i < 9; i++) give();
  for (int i = 0; i < 5; i++) {
    h.Wait(300'000);
    if (next <= height.value) give();
  }
  EXPECT_GE(h.at(3).replica->status().committed, height);
}

TEST(CatchUp, NothingIsAskedForAfterARestartWhileApplyIsBehind) {
  ReplicaLimits limits = SmallRequests();
  limits.apply_lag_blocks_max = 3;
  limits.fetch_asks_max = 1;
  Harness h(4, limits);
  const Height height = h.LeaveBehind(3);
  const Height applied = h.at(3).applied;
  h.applies = false;
  for (int i = 0; i < 3; i++) {
    h.Start(3);
    h.Take(3, h.at(3).replica->OnApplied(applied, h.now));
    h.Run();
    h.Wait(2'000'000);
    EXPECT_LE(h.at(3).replica->status().committed.value, applied.value + 3 + 4);
    EXPECT_TRUE(h.at(3).replica->status().waits_for_apply);
    h.Crash(3);
  }
  ASSERT_LT(applied.value + 7, height.value);
}

TEST(CatchUp, FromAnEmptyChain) {
  Harness h(4, SmallRequests());
  for (size_t i = 0; i < 3; i++) h.Start(i);
  h.Run();
  for (int k = 0; k < 30; k++) {
    h.Submit(0, "w" + std::to_string(k));
    h.Run();
  }
  h.Start(3);
  h.Run();
  h.Wait(1'000'000);
  EXPECT_EQ(h.at(3).delivered.front().block->header.height, Height{1});
  EXPECT_EQ(h.at(3).replica->status().committed, h.at(0).replica->status().committed);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
}

// It has forgotten what it signed, and which of its numbers are used: it learns, and comes back in a new era.
TEST(CatchUp, FromAnEmptyChainWithAnOldKey) {
  Harness h(4, SmallRequests());
  const Height height = h.LeaveBehind(3);
  h.at(3).journal.resize(1);
  h.at(3).durable = 1;
  h.at(3).delivered.clear();
  h.at(3).applied = Height{};
  h.Start(3);
  h.Run();
  h.Wait(3'000'000);
  EXPECT_FALSE(h.at(3).replica->status().fenced);
  EXPECT_EQ(h.at(3).replica->status().rejoined, 1u);
  EXPECT_EQ(EraOf(h.at(3).replica->status().incarnation), 1u);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
  EXPECT_GE(h.at(3).replica->status().committed, Height{height.value + 2});
}

// ---- without a link to the primary, without a certificate, without room --------------------------------------------

TEST(CatchUp, WithoutALinkToThePrimaryOthersAreAskedForItsBlocks) {
  Harness h(4);
  h.Open();
  h.lost = [](const Letter& l) {
    return (l.from == NodeId{1} && l.to == NodeId{4}) || (l.from == NodeId{4} && l.to == NodeId{1});
  };
  h.Take(3, h.at(3).replica->OnDisconnected(NodeId{1}, h.now));
  h.Take(0, h.at(0).replica->OnDisconnected(NodeId{4}, h.now));
  h.Wait(500'000);  // heartbeats are over for now
  for (int i = 0; i < 5; i++) {
    h.Submit(3, "w");
    h.Wait(400'000);
    EXPECT_EQ(h.at(3).replica->status().view_changes, 0u);
    EXPECT_EQ(h.at(3).replica->status().submitted_waiting, 0u);
    EXPECT_EQ(h.at(3).replica->status().delivered, h.at(1).replica->status().delivered);
  }
}

TEST(CatchUp, WhatWasVotedForIsKeptThoughItsOriginSignsMore) {
  ReplicaLimits limits;
  limits.pending_bytes_per_origin_max = 2'000;
  Harness h(4, limits);
  h.Open();
  const auto [proposal, batch] = h.HeldBack();
  h.Give(2, NodeId{1}, batch);
  h.Give(2, NodeId{1}, proposal);
  h.Sync(2);
  ASSERT_EQ(h.Sent<VoteMessage>(NodeId{3}, NodeId{2}).size(), 1u);
  h.lost = [](const Letter& l) {  // and nobody hands the others what they lack
    return l.from == NodeId{1} || l.to == NodeId{1} || std::holds_alternative<BatchRequest>(l.message) ||
           std::holds_alternative<BatchMessage>(l.message);
  };
  h.Crash(0);
  h.Submit(1, "a reason");
  h.Wait(900'000);
  ASSERT_GT(h.at(2).replica->status().view, View{0});
  // The origin is faulty: other batches under the same numbers, until there is no room.
  for (int i = 0; i < 100; i++) {
    auto other = std::make_shared<Batch>(*batch.batch);
    other->write_sets.front() = WriteSet("other" + std::to_string(i));
    other->header.body_bytes = other->write_sets.front().size();
    std::vector<Digest> hashes(1);
    ASSERT_TRUE(TransactionHash(other->write_sets.front(), &hashes[0]));
    other->header.transaction_root = TransactionTreeRoot(hashes);
    other->header.signature = h.at(0).signer->Sign(other->header.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
    h.Give(2, NodeId{2}, BatchMessage{other});
  }
  h.letters.clear();
  ASSERT_LT(h.at(2).replica->status().pending_bytes, 3'000u);
  h.Give(2, NodeId{2}, BatchRequest{{batch.batch->header.digest()}});
  EXPECT_EQ(h.Sent<BatchMessage>(NodeId{3}, NodeId{2}).size(), 1u);
}

// One block, and member 4 is down with a journal that knows of it, but has no certificate.
void StopWithoutCertificate(Harness* h) {
  h->Open();
  h->Submit(0, "w");
  h->Run();
  h->Crash(3);
  RecoveredState state;
  for (size_t k = 0; k < h->at(3).journal.size(); k++) ASSERT_EQ(state.Apply(h->at(3).journal[k], k + 1), "");
  for (JournalRecord& record : h->at(3).journal)  // as many as before: it remembers up to where it was
    record = SegmentStateRecord{state.chain, state.view, state.incarnation, h->genesis.Encode(), NodeId{4}, {}};
}

TEST(CatchUp, TheCertificateOfTheHeadIsAskedForWhereTheJournalLacksIt) {
  Harness h(4);
  ASSERT_NO_FATAL_FAILURE(StopWithoutCertificate(&h));
  h.Crash(0);  // the primary: the others need member 4's VIEW-CHANGE
  h.Start(3);
  h.Submit(1, "v");
  h.Wait(3'000'000);
  EXPECT_GT(h.at(3).replica->status().view, View{0});
  EXPECT_TRUE(h.at(3).replica->status().view_entered);
  EXPECT_EQ(h.at(1).replica->status().submitted_waiting, 0u);
}

TEST(CatchUp, TheCertificateOfTheHeadIsAskedForElsewhereIfItDoesNotCome) {
  Harness h(4);
  ASSERT_NO_FATAL_FAILURE(StopWithoutCertificate(&h));
  h.Crash(0);
  h.lost = [](const Letter& l) {
    return l.from == NodeId{2} && l.to == NodeId{4} && std::holds_alternative<BlockMessage>(l.message);
  };
  h.Start(3);
  h.Submit(1, "v");
  h.Wait(3'000'000);
  EXPECT_TRUE(h.at(3).replica->status().view_entered);
  EXPECT_EQ(h.at(1).replica->status().submitted_waiting, 0u);
}

}  // namespace
}  // namespace dadbs::core
