#include "dadbs/core/outcomes.h"

#include <gtest/gtest.h>

namespace dadbs::core {
namespace {

BlockOutcomes SomeOutcomes() {
  BlockOutcomes o;
  o.height = Height{7};
  o.transactions = {{0, Verdict::kCommitted, {1, 2, 3}}, {1, Verdict::kConflict, {}}};
  o.effects = {{0, 1, "billed", {4, 5}}, {0, 0, "logged", {6}}};
  return o;
}

TEST(BlockOutcomes, RoundTripAndNothingElse) {
  const BlockOutcomes o = SomeOutcomes();
  const Bytes bytes = o.Encode();
  BlockOutcomes back;
  ASSERT_TRUE(BlockOutcomes::Decode(bytes, &back));
  EXPECT_EQ(back, o);
  for (size_t n = 0; n < bytes.size(); n++) EXPECT_FALSE(BlockOutcomes::Decode(ByteView(bytes).first(n), &back)) << n;
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(BlockOutcomes::Decode(longer, &back));
  Bytes unknown = bytes;
  unknown[8 + 4 + 4] = 0;  // the first verdict
  EXPECT_FALSE(BlockOutcomes::Decode(unknown, &back));
}

// What the digest is folded from, in its order; the ordinals of effects are no part of it.
TEST(BlockOutcomes, FoldsAsTheHistoryDoes) {
  const Digest before = Hash(Domain::kEffects, Bytes{9});
  EffectsDigest by_hand(Height{6}, before), folded(Height{6}, before), reordered(Height{6}, before), changed(Height{6}, before);
  by_hand.BeginBlock(Height{7});
  by_hand.AddTransaction(0, Verdict::kCommitted, Bytes{1, 2, 3});
  by_hand.AddTransaction(1, Verdict::kConflict, {});
  by_hand.AddEffect(0, "billed", Bytes{4, 5});
  by_hand.AddEffect(0, "logged", Bytes{6});
  BlockOutcomes o = SomeOutcomes();
  o.FoldInto(&folded);
  EXPECT_EQ(folded.digest(), by_hand.digest());
  std::swap(o.effects[0].ordinal, o.effects[1].ordinal);
  o.FoldInto(&reordered);
  EXPECT_EQ(reordered.digest(), by_hand.digest());
  o.effects[1].change = {7};
  o.FoldInto(&changed);
  EXPECT_NE(changed.digest(), by_hand.digest());
}

TEST(StoredBlock, RoundTrip) {
  const StoredBlock b{{1, 2}, {3}, {{4}, {}, {5, 6}}};
  StoredBlock back;
  ASSERT_TRUE(StoredBlock::Decode(b.Encode(), &back));
  EXPECT_EQ(back.Encode(), b.Encode());
  Bytes bytes = b.Encode();
  bytes.pop_back();
  EXPECT_FALSE(StoredBlock::Decode(bytes, &back));
}

}  // namespace
}  // namespace dadbs::core
