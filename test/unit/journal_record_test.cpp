#include <gtest/gtest.h>

#include "chain_fixture.h"
#include "dadbs/core/messages.h"

namespace dadbs::core {
namespace {

using test::InsertWriteSet;
using test::TestBlock;
using test::TestCluster;

class JournalRecordTest : public ::testing::Test {
 protected:
  JournalRecordTest() {
    first_ = c_.MakeBlock(nullptr, {c_.MakeIncarnation(NodeId{1})}, {});
    second_ = c_.MakeBlock(&first_, {}, {c_.MakeBatch(NodeId{1}, 1, {InsertWriteSet("a"), InsertWriteSet("b")})});
  }

  VoteMessage Vote(Phase phase) const {
    VoteMessage vote;
    vote.phase = phase;
    vote.view = View{3};
    vote.height = Height{2};
    vote.hash = second_.block.header.hash();
    vote.envelope = c_.Vote(NodeId{2}, phase, vote.view, vote.height, vote.hash);
    return vote;
  }

  ViewChange Asked() const {
    ViewChange v{View{4}, Height{1}, first_.block.header.hash(), first_.certificate, std::nullopt, {}};
    v.prepared = c_.Certify(Height{2}, second_.block.header.hash(), 3, Phase::kPrepare);
    v.envelope = c_.Vote(NodeId{2}, Phase::kPrepare, View{3}, Height{2}, v.hash);
    return v;
  }

  ChainState State() const {
    ChainState state;
    state.chain_id = c_.genesis.chain_id();
    state.height = Height{2};
    state.hash = second_.block.header.hash();
    state.time_us = second_.block.header.time_us;
    state.origins = {{1, {1, 2}}, {4, {7, 0}}};
    state.recent_hashes = {state.chain_id, first_.block.header.hash(), state.hash};
    return state;
  }

  std::vector<JournalRecord> EveryRecord() const {
    const auto block = std::make_shared<const Block>(second_.block);
    const auto batch = std::make_shared<const Batch>(second_.batches[0]);
    ProposalMessage proposal{View{3}, block,
                             c_.Vote(NodeId{1}, Phase::kPrepare, View{3}, Height{2}, block->header.hash())};
    return {GenesisRecord{c_.genesis.Encode(), NodeId{2}},
            IncarnationRecord{c_.MakeIncarnation(NodeId{2}, 5)},
            BatchRecord{batch},
            ProposalRecord{proposal},
            PrepareRecord{Vote(Phase::kPrepare)},
            CommitRecord{Vote(Phase::kCommit), c_.Certify(Height{2}, block->header.hash(), 3, Phase::kPrepare)},
            CommittedRecord{block, second_.certificate},
            SegmentStateRecord{State(), View{3}, 5, c_.genesis.Encode(), NodeId{2}},
            SegmentStateRecord{},
            ViewChangeRecord{{Asked(), nullptr}},
            ViewChangeRecord{{Asked(), block}},
            NewViewRecord{{{View{4}, {Asked()}, c_.Vote(NodeId{1}, Phase::kPrepare, View{3}, Height{2}, {})}, block}},
            MemoryRecord{{Memory::kLearner, 7, 0}}};
  }

  TestCluster c_{4};
  TestBlock first_, second_;
};

TEST_F(JournalRecordTest, RoundTrip) {
  for (const JournalRecord& record : EveryRecord()) {
    const Bytes bytes = EncodeRecord(record);
    JournalRecord read;
    ASSERT_TRUE(DecodeRecord(bytes, &read)) << record.index();
    EXPECT_EQ(read.index(), record.index());
    EXPECT_EQ(bytes[0], record.index() + 1);
    EXPECT_EQ(EncodeRecord(read), bytes) << record.index();
  }
}

TEST_F(JournalRecordTest, KeepsTheFields) {
  JournalRecord read;
  ASSERT_TRUE(DecodeRecord(EncodeRecord(EveryRecord()[7]), &read));
  const auto& state = std::get<SegmentStateRecord>(read);
  EXPECT_EQ(state.chain, State());
  EXPECT_EQ(state.view, View{3});
  EXPECT_EQ(state.incarnation, 5u);
  EXPECT_EQ(state.self, NodeId{2});
  ASSERT_TRUE(DecodeRecord(EncodeRecord(EveryRecord()[2]), &read));
  EXPECT_TRUE(std::get<BatchRecord>(read).batch->BodyMatches());
  ASSERT_TRUE(DecodeRecord(EncodeRecord(EveryRecord()[5]), &read));
  std::string why;
  EXPECT_TRUE(VerifyCertificate(std::get<CommitRecord>(read).prepared, c_.genesis, Ed25519Verifier(), &why)) << why;
}

TEST_F(JournalRecordTest, EveryTruncationAndEveryExtensionIsRefused) {
  for (const JournalRecord& record : EveryRecord()) {
    Bytes bytes = EncodeRecord(record);
    JournalRecord read;
    for (size_t size = 0; size < bytes.size(); size++)
      ASSERT_FALSE(DecodeRecord(ByteView(bytes).first(size), &read)) << record.index() << " " << size;
    bytes.push_back(0);
    ASSERT_FALSE(DecodeRecord(bytes, &read)) << record.index();
  }
}

// Whatever is accepted has no other spelling.
TEST_F(JournalRecordTest, DamagedRecordsAreRefusedOrCanonical) {
  test::Random random(3);
  for (const JournalRecord& record : EveryRecord()) {
    const Bytes bytes = EncodeRecord(record);
    for (size_t i = 0; i < bytes.size(); i++) {
      Bytes bad = bytes;
      bad[i] ^= static_cast<uint8_t>(1 << random() % 8);
      JournalRecord read;
      if (DecodeRecord(bad, &read)) {
        ASSERT_EQ(EncodeRecord(read), bad) << record.index() << " " << i;
      }
    }
  }
  for (int i = 0; i < 20'000; i++) {
    Bytes noise = test::RandomBytes(random, 1 + random() % 300);
    noise[0] = static_cast<uint8_t>(random() % 10);
    JournalRecord read;
    if (DecodeRecord(noise, &read)) {
      ASSERT_EQ(EncodeRecord(read), noise);
    }
  }
}

TEST_F(JournalRecordTest, AVoteIsOfItsRecordsPhase) {
  JournalRecord read;
  Bytes prepare = EncodeRecord(PrepareRecord{Vote(Phase::kPrepare)});
  prepare[1] = static_cast<uint8_t>(Phase::kCommit);
  EXPECT_FALSE(DecodeRecord(prepare, &read));
  Bytes commit = EncodeRecord(CommitRecord{Vote(Phase::kCommit), second_.certificate});
  commit[1] = static_cast<uint8_t>(Phase::kPrepare);
  EXPECT_FALSE(DecodeRecord(commit, &read));
}

TEST_F(JournalRecordTest, ABatchHasAsManyWriteSetsAsItsHeaderSays) {
  Batch batch = second_.batches[0];
  batch.write_sets.pop_back();
  JournalRecord read;
  EXPECT_FALSE(DecodeRecord(EncodeRecord(BatchRecord{std::make_shared<const Batch>(batch)}), &read));
}

}  // namespace
}  // namespace dadbs::core
