// Digests on their way: when they are said, what is taken from whom, and what is skipped.
#include "dadbs/core/digest_exchange.h"

#include <gtest/gtest.h>

#include "chain_fixture.h"

namespace dadbs::core {
namespace {

constexpr auto D = test::Filled<Digest>;

class DigestExchangeTest : public ::testing::Test {
 protected:
  DigestExchange Member(uint16_t id) { return {NodeId{id}, chain_.genesis, *chain_.signers[id - 1u], Ed25519Verifier()}; }
  StateDigest Said(uint16_t member, uint64_t height, uint8_t digest) {
    StateDigest d{Height{height}, D(digest), {NodeId{member}, 1, 1, {}}};
    d.envelope.signature = chain_.signers[member - 1u]->Sign(d.SigningBytes({chain_.genesis.chain_id(), Epoch{1}}));
    return d;
  }
  std::string Hear(DigestExchange* by, uint16_t from, const StateDigest& state) { return by->Receive(NodeId{from}, state, delivered_, now_ += 50'000); }

  test::TestCluster chain_{4};
  Height delivered_{64};
  int64_t now_ = 1'000'000'000;
};

TEST_F(DigestExchangeTest, TheOwnOneIsSaidWhenItIsNewAndAgainFromTimeToTime) {
  DigestExchange e = Member(1);
  EXPECT_FALSE(e.Due(Height{0}, now_));
  EXPECT_FALSE(e.Say(Height{0}, D(0), {}, now_));
  EXPECT_TRUE(e.Due(Height{64}, now_));
  const StateDigest said = *e.Say(Height{64}, D(1), {7, 9}, now_);
  EXPECT_EQ(CheckStateDigest(said, chain_.genesis, Ed25519Verifier()), "");
  EXPECT_EQ(said.envelope.signer, NodeId{1});
  EXPECT_EQ(said.envelope.incarnation, 7u);
  EXPECT_EQ(said.envelope.journal_sequence, 9u);
  EXPECT_FALSE(e.Due(Height{64}, now_ + 4'999'999));
  EXPECT_TRUE(e.Due(Height{64}, now_ + 5'000'000));
  EXPECT_TRUE(e.Due(Height{64}, now_ - 3'600'000'000)) << "the clock was set back";
  EXPECT_TRUE(e.Due(Height{70}, now_));
  EXPECT_EQ(e.Say(Height{64}, D(1), {8, 99}, now_ + 5'000'000)->envelope.signature, said.envelope.signature) << "as it was";
}

TEST_F(DigestExchangeTest, OnlyItsSignerSaysIt) {
  DigestExchange e = Member(1);
  EXPECT_EQ(Hear(&e, 2, Said(2, 64, 1)), "");
  EXPECT_NE(Hear(&e, 3, Said(2, 64, 2)), "");
  StateDigest twisted = Said(3, 64, 1);
  twisted.digest = D(2);
  EXPECT_NE(Hear(&e, 3, twisted), "");
  EXPECT_EQ(e.Latest(NodeId{2})->second, D(1));
  EXPECT_FALSE(e.Latest(NodeId{3}));
}

TEST_F(DigestExchangeTest, HeightsThatThereCannotBeAreForgotten) {
  DigestExchange e = Member(1);
  EXPECT_EQ(Hear(&e, 2, Said(2, 97, 1)), "");
  EXPECT_FALSE(e.Latest(NodeId{2}));
  e.NoteClaim(NodeId{2}, Height{1000});
  EXPECT_EQ(Hear(&e, 2, Said(2, 97, 1)), "");
  EXPECT_FALSE(e.Latest(NodeId{2})) << "the word of one";
  e.NoteClaim(NodeId{3}, Height{500});
  EXPECT_EQ(Hear(&e, 2, Said(2, 532, 1)), "");
  EXPECT_EQ(e.Latest(NodeId{2})->first, Height{532});
  EXPECT_EQ(Hear(&e, 2, Said(2, 533, 1)), "");
  EXPECT_EQ(e.Latest(NodeId{2})->first, Height{532});
}

TEST_F(DigestExchangeTest, SignaturesOfOneMemberAreCheckedNowAndThen) {
  DigestExchange e = Member(1);
  EXPECT_EQ(e.Receive(NodeId{2}, Said(2, 64, 1), delivered_, now_), "");
  EXPECT_EQ(e.Receive(NodeId{2}, Said(2, 65, 1), delivered_, now_ + 19'999), "");
  EXPECT_EQ(e.Receive(NodeId{3}, Said(3, 64, 1), delivered_, now_ + 19'999), "");
  EXPECT_EQ(e.Latest(NodeId{2})->first, Height{64});
  EXPECT_EQ(e.Latest(NodeId{3})->first, Height{64});
  EXPECT_EQ(e.Receive(NodeId{2}, Said(2, 65, 1), delivered_, now_ + 20'000), "");
  EXPECT_EQ(e.Latest(NodeId{2})->first, Height{65});
}

TEST_F(DigestExchangeTest, WhoDiffersFindsOutAndSeesWhoHasAnother) {
  DigestExchange e = Member(4);
  e.Say(Height{32}, D(1), {}, now_);
  for (uint16_t m : {1, 2, 3}) Hear(&e, m, Said(m, 32, 1));
  EXPECT_TRUE(e.TakeDiffering().empty());
  EXPECT_EQ(e.agreed(), Height{32});
  for (uint16_t m : {1, 2}) Hear(&e, m, Said(m, 64, 1));
  e.Say(Height{64}, D(2), {}, now_);
  EXPECT_FALSE(e.finding());
  Hear(&e, 3, Said(3, 64, 1));
  EXPECT_EQ(e.finding(), (DigestComparison::Finding{false, Height{64}, Height{32}}));
  EXPECT_EQ(e.TakeDiffering(), (std::vector{NodeId{1}, NodeId{2}, NodeId{3}}));
  EXPECT_TRUE(e.TakeDiffering().empty());
}

}  // namespace
}  // namespace dadbs::core
