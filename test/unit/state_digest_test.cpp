// The effects digest, its signature, and what a member concludes from the others' digests.
#include "dadbs/core/state_digest.h"

#include <gtest/gtest.h>

#include <set>

#include "chain_fixture.h"

namespace dadbs::core {
namespace {

constexpr auto D = test::Filled<Digest>;

EffectsDigest Example() {
  EffectsDigest d(Height{0}, D(1));
  Bytes const keys{1, 2, 3}, change{4, 5};
  d.BeginBlock(Height{1});
  d.AddTransaction(0, Verdict::kCommitted, keys);
  d.AddTransaction(1, Verdict::kConflict, {});
  d.AddEffect(0, "audit", change);
  d.BeginBlock(Height{2});
  return d;
}

TEST(StateDigestTest, EveryPartCounts) {
  std::set<Digest> seen{Example().digest()};
  auto differs = [&](const EffectsDigest& d) { EXPECT_TRUE(seen.insert(d.digest()).second); };
  Bytes const keys{1, 2, 3}, other{1, 2}, change{4, 5};
  auto with = [&](Verdict verdict, ByteView k, uint32_t index, std::string_view name, ByteView c) {
    EffectsDigest d(Height{0}, D(1));
    d.BeginBlock(Height{1});
    d.AddTransaction(0, verdict, k);
    d.AddTransaction(1, Verdict::kConflict, {});
    d.AddEffect(index, name, c);
    d.BeginBlock(Height{2});
    differs(d);
  };
  with(Verdict::kRejected, keys, 0, "audit", change);
  with(Verdict::kCommitted, other, 0, "audit", change);
  with(Verdict::kCommitted, keys, 1, "audit", change);
  with(Verdict::kCommitted, keys, 0, "audi", change);
  with(Verdict::kCommitted, keys, 0, "audit", other);
  EffectsDigest longer = Example();
  longer.BeginBlock(Height{3});  // an empty block is one, too
  differs(longer);
  EffectsDigest elsewhere(Height{0}, D(2));  // another chain
  elsewhere.BeginBlock(Height{1});
  differs(elsewhere);
}

TEST(StateDigestTest, ItDoesNotMatterWhereItWasInterrupted) {
  EffectsDigest all = Example();
  EffectsDigest part = Example();
  EffectsDigest resumed(part.height(), part.digest());
  for (EffectsDigest* d : {&all, &resumed}) {
    d->BeginBlock(Height{3});
    d->AddTransaction(0, Verdict::kInvalid, {});
  }
  EXPECT_EQ(all.digest(), resumed.digest());
}

TEST(StateDigestTest, OnlyItsSignerCanSignIt) {
  test::TestCluster chain(4);
  StateDigest d{Height{64}, D(7), {NodeId{2}, 5, 9, {}}};
  d.envelope.signature = chain.signers[1]->Sign(d.SigningBytes({chain.genesis.chain_id(), Epoch{1}}));
  EXPECT_EQ(CheckStateDigest(d, chain.genesis, Ed25519Verifier()), "");
  Writer w;
  d.Encode(w);
  Bytes const bytes = w.Take();
  Reader r(bytes);
  StateDigest back;
  ASSERT_TRUE(back.Decode(r) && r.Done());
  EXPECT_EQ(CheckStateDigest(back, chain.genesis, Ed25519Verifier()), "");
  auto refused = [&](auto&& twist) {
    StateDigest twisted = d;
    twist(twisted);
    EXPECT_NE(CheckStateDigest(twisted, chain.genesis, Ed25519Verifier()), "");
  };
  refused([](StateDigest& t) { t.height = Height{65}; });
  refused([](StateDigest& t) { t.digest = D(8); });
  refused([](StateDigest& t) { t.envelope.signer = NodeId{3}; });
  refused([](StateDigest& t) { t.envelope.signer = NodeId{9}; });
  refused([](StateDigest& t) { t.envelope.incarnation++; });
  refused([](StateDigest& t) { t.envelope.journal_sequence++; });
}

class Comparison {
 public:
  Comparison(uint16_t self, size_t members) : comparison_(NodeId{self}, members) {}
  Comparison& Say(uint16_t member, uint64_t height, uint8_t digest) {
    comparison_.Note(NodeId{member}, Height{height}, D(digest));
    return *this;
  }
  std::string Found() const {
    const auto& finding = comparison_.finding();
    if (!finding) return "";
    return (finding->no_quorum ? "nobody " : "differs ") + std::to_string(finding->agreed.value) + ".." + std::to_string(finding->height.value);
  }

 private:
  DigestComparison comparison_;
};

TEST(StateDigestTest, WhoDiffersFromAQuorumHasDiverged) {
  EXPECT_EQ(Comparison(4, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 64, 1).Found(), "");
  EXPECT_EQ(Comparison(4, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 64, 2).Found(), "differs 0..64");
  EXPECT_EQ(Comparison(4, 4).Say(4, 64, 2).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Found(), "differs 0..64") << "the order of arrival";
  EXPECT_EQ(Comparison(1, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 64, 2).Found(), "") << "the others go on";
  EXPECT_EQ(Comparison(4, 4).Say(1, 64, 1).Say(2, 64, 1).Say(4, 64, 2).Found(), "") << "two of four may be two liars";
  EXPECT_EQ(Comparison(4, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 65, 2).Found(), "") << "another height says nothing";
  EXPECT_EQ(Comparison(4, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 64, 1)
                .Say(1, 128, 3).Say(2, 128, 3).Say(3, 128, 3).Say(4, 128, 4).Found(), "differs 64..128");
}

TEST(StateDigestTest, OneLiarStopsNobody) {
  for (uint16_t down : {2, 3})
    EXPECT_EQ(Comparison(1, 4).Say(1, 64, 1).Say(down == 2 ? 3 : 2, 64, 1).Say(4, 64, 9).Found(), "");
  EXPECT_EQ(Comparison(1, 7).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 1).Say(4, 64, 8).Say(5, 64, 9).Found(), "");
}

TEST(StateDigestTest, WhereNoneCanReachAQuorumAllStop) {
  EXPECT_EQ(Comparison(1, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 2).Found(), "") << "the fourth may decide";
  EXPECT_EQ(Comparison(1, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 2).Say(4, 64, 2).Found(), "nobody 0..64");
  EXPECT_EQ(Comparison(3, 4).Say(1, 64, 1).Say(2, 64, 1).Say(3, 64, 2).Say(4, 64, 2).Found(), "nobody 0..64");
  EXPECT_EQ(Comparison(1, 2).Say(1, 64, 1).Say(2, 64, 2).Found(), "nobody 0..64");
}

TEST(StateDigestTest, MemoryIsBounded) {
  DigestComparison c(NodeId{1}, 4);
  for (uint64_t h = 1; h <= 10 * DigestComparison::kKept; h++) c.Note(NodeId{2}, Height{h}, D(1));
  EXPECT_FALSE(c.Knows(NodeId{2}, Height{1}, D(1)));
  EXPECT_TRUE(c.Knows(NodeId{2}, Height{10 * DigestComparison::kKept}, D(1)));
  EXPECT_EQ(c.Latest(NodeId{2})->first, Height{10 * DigestComparison::kKept});
  EXPECT_FALSE(c.Latest(NodeId{3}));
}

}  // namespace
}  // namespace dadbs::core
