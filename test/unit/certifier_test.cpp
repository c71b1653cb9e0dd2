#include "dadbs/core/certifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "chain_fixture.h"
#include "dadbs/core/check.h"

namespace dadbs::core {
namespace {

using Kind = Conflict::Kind;
using test::Random;

constexpr uint8_t kExistence = static_cast<uint8_t>(KeyUse::kExistence);
constexpr uint8_t kContent = static_cast<uint8_t>(KeyUse::kContent);
constexpr uint8_t kReference = static_cast<uint8_t>(KeyUse::kReference);

KeyList One(uint64_t key, uint8_t uses) { return {{{0, key}, uses}}; }
Position At(uint64_t height, uint32_t index = 0) { return {Height{height}, index}; }
Prefix Whole(uint64_t height) { return PrefixWholeBlock(Height{height}); }

// ---- key lists -----------------------------------------------------------------------------------------------------

TEST(Keys, NormalizeSortsAndMerges) {
  KeyList keys = {
      {{2, 0}, kContent}, {{1, 9}, kReference}, {{2, 0}, kExistence}, {{1, 8}, kContent}, {{2, 0}, kContent}};
  NormalizeKeys(&keys);
  const KeyList expected = {{{1, 8}, kContent}, {{1, 9}, kReference}, {{2, 0}, kContent | kExistence}};
  EXPECT_EQ(keys, expected);
}

TEST(Keys, NormalizeOfManyIsTheSame) {
  Random random(1);
  KeyList keys;
  for (int i = 0; i < 50'000; i++) {
    const uint64_t hi = i % 3 == 0 ? random() : i % 3 == 1 ? random() % 7 : UINT64_MAX - random() % 7;
    keys.push_back({{hi, random() % 4}, static_cast<uint8_t>(1 + random() % 7)});
  }
  std::map<KeyHash, uint8_t> expected;
  for (const KeyEntry& e : keys) expected[e.key] |= e.uses;
  NormalizeKeys(&keys);
  ASSERT_EQ(keys.size(), expected.size());
  size_t i = 0;
  for (const auto& [key, uses] : expected) ASSERT_EQ(keys[i++], (KeyEntry{key, uses}));
}

TEST(Keys, RoundTripAndRefusals) {
  KeyList keys;
  for (uint64_t i = 0; i < 100; i++) keys.push_back({{i, ~i}, static_cast<uint8_t>(1 + i % 7)});
  const Bytes bytes = EncodeKeys(keys);
  KeyList read;
  ASSERT_TRUE(DecodeKeys(bytes, &read));
  EXPECT_EQ(read, keys);
  ASSERT_TRUE(DecodeKeys(EncodeKeys({}), &read));
  EXPECT_TRUE(read.empty());
  for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(DecodeKeys(ByteView(bytes).first(size), &read));
  Bytes bad = bytes;
  bad.back() = 0;  // no use
  EXPECT_FALSE(DecodeKeys(bad, &read));
  bad.back() = 8;
  EXPECT_FALSE(DecodeKeys(bad, &read));
  bad = bytes;
  std::swap_ranges(bad.begin() + 4, bad.begin() + 20, bad.begin() + 21);  // not ascending
  EXPECT_FALSE(DecodeKeys(bad, &read));
  const Bytes lying = {0xff, 0xff, 0xff, 0xff};
  EXPECT_FALSE(DecodeKeys(lying, &read));
  EXPECT_THROW(EncodeKeys({{{1, 1}, kContent}, {{1, 1}, kContent}}), BrokenInvariant);
}

// ---- rules ---------------------------------------------------------------------------------------------------------

TEST(Certifier, RulesTable) {
  struct Rule {
    uint8_t mine, theirs;
    bool conflict;
  };
  const Rule rules[] = {
      {kExistence, kExistence, true}, {kExistence, kContent, true},  {kExistence, kReference, true},
      {kContent, kExistence, true},   {kContent, kContent, true},    {kContent, kReference, false},
      {kReference, kExistence, true}, {kReference, kContent, false}, {kReference, kReference, false},
  };
  for (const Rule& rule : rules) {
    Certifier c;
    c.BeginBlock(Height{1});
    c.Record(One(1, rule.theirs), At(1, 3));
    c.BeginBlock(Height{2});
    const Conflict found = c.Check(One(1, rule.mine), PrefixAfter(At(1, 2)), At(2));
    EXPECT_EQ(static_cast<bool>(found), rule.conflict) << int(rule.mine) << " against " << int(rule.theirs);
    if (found) {
      EXPECT_EQ(found.kind, Kind::kKey);
      EXPECT_EQ(found.with, At(1, 3));
      EXPECT_EQ(found.key, (KeyHash{0, 1}));
    }
    EXPECT_FALSE(c.Check(One(1, rule.mine), PrefixAfter(At(1, 3)), At(2)));  // the base covers it
    EXPECT_FALSE(c.Check(One(2, rule.mine), Whole(0), At(2)));               // another key
  }
}

TEST(Certifier, EntriesOfTheOwnBlockCount) {
  Certifier c;
  c.BeginBlock(Height{1});
  c.Record(One(1, kContent), At(1, 0));
  EXPECT_EQ(c.Check(One(1, kContent), Whole(0), At(1, 1)).with, At(1, 0));
}

TEST(Certifier, AnOlderEntryOfAnotherSideStaysKnown) {
  Certifier c;
  c.BeginBlock(Height{1});
  c.Record(One(1, kExistence), At(1, 0));
  c.BeginBlock(Height{2});
  c.Record(One(1, kReference), At(2, 0));
  c.BeginBlock(Height{3});
  EXPECT_EQ(c.Check(One(1, kReference), Whole(0), At(3)).with, At(1, 0));
  EXPECT_FALSE(c.Check(One(1, kReference), Whole(1), At(3)));
  EXPECT_EQ(c.Check(One(1, kExistence), Whole(1), At(3)).with, At(2, 0));
}

TEST(Certifier, BasesInTheFutureLose) {
  Certifier c;
  c.BeginBlock(Height{5});
  EXPECT_EQ(c.Check({}, Whole(4), At(5)).kind, Kind::kNone);
  EXPECT_EQ(c.Check({}, PrefixAfter(At(5, 0)), At(5, 0)).kind, Kind::kBaseInFuture);
  EXPECT_EQ(c.Check({}, PrefixAfter(At(5, 0)), At(5, 1)).kind, Kind::kBaseInFuture);  // nobody had applied block 5
  EXPECT_EQ(c.Check({}, Prefix{5ull << 20}, At(5, 1)).kind, Kind::kBaseInFuture);
  EXPECT_EQ(c.Check({}, Prefix{UINT64_MAX}, At(5, 1)).kind, Kind::kBaseInFuture);
}

TEST(Certifier, NothingIsTooOldBeforeAnythingIsForgotten) {
  Certifier c(4, 1000);
  c.BeginBlock(Height{1});
  EXPECT_FALSE(c.Check({}, Prefix{0}, At(1)));
  c.BeginBlock(Height{5});
  EXPECT_FALSE(c.Check({}, Prefix{0}, At(5)));
  c.BeginBlock(Height{6});
  EXPECT_EQ(c.Check({}, Prefix{0}, At(6)).kind, Kind::kBaseTooOld);
}

TEST(Certifier, WindowOfBlocks) {
  Certifier c(4, 1000);
  for (uint64_t h = 1; h <= 10; h++) {
    c.BeginBlock(Height{h});
    c.Record(One(h, kContent), At(h));
  }
  c.BeginBlock(Height{11});
  EXPECT_EQ(c.oldest(), Height{7});
  EXPECT_EQ(c.size(), 4u);
  EXPECT_EQ(c.Check({}, PrefixAfter(At(6, 0)), At(11)).kind, Kind::kBaseTooOld);
  EXPECT_EQ(c.Check(One(7, kContent), Whole(6), At(11)).with, At(7));
  EXPECT_FALSE(c.Check(One(6, kContent), Whole(6), At(11)));
}

TEST(Certifier, WindowOfKeysForgetsWholeBlocks) {
  Certifier c(100, 10);
  uint64_t key = 0;
  for (uint64_t h = 1; h <= 5; h++) {  // 4 entries in each
    c.BeginBlock(Height{h});
    for (uint32_t i = 0; i < 4; i++) c.Record(One(key++, kExistence), At(h, i));
  }
  EXPECT_EQ(c.oldest(), Height{3});  // blocks 3 and 4 hold 8, with block 2 it would be 12
  EXPECT_EQ(c.recorded(), 12u);      // and the current one
  c.BeginBlock(Height{6});
  EXPECT_EQ(c.oldest(), Height{4});
  EXPECT_EQ(c.recorded(), 8u);
  // A bulk load larger than the window: it alone is forgotten at the next block, and whoever has applied it goes on.
  KeyList bulk;
  for (uint64_t i = 0; i < 50; i++) bulk.push_back({{7, i}, kExistence});
  c.Record(bulk, At(6));
  EXPECT_TRUE(c.Check(One(0, kReference), Whole(2), At(6, 1)));
  c.BeginBlock(Height{7});
  EXPECT_EQ(c.oldest(), Height{7});
  EXPECT_EQ(c.size(), 0u);
  EXPECT_EQ(c.Check({}, Whole(5), At(7)).kind, Kind::kBaseTooOld);
  EXPECT_FALSE(c.Check({}, Whole(6), At(7)));
}

// H40: a position that is executed again must not meet itself.
TEST(Certifier, RewindTakesBackAPosition) {
  Certifier c;
  c.BeginBlock(Height{1});
  c.Record(One(1, kContent), At(1, 0));
  c.Record(One(1, kContent), At(1, 1));
  EXPECT_THROW(c.Check(One(1, kContent), PrefixAfter(At(1, 0)), At(1, 1)), BrokenInvariant);
  EXPECT_THROW(c.Record(One(1, kContent), At(1, 1)), BrokenInvariant);
  c.Rewind(At(1, 1));
  EXPECT_EQ(c.Check(One(1, kContent), Whole(0), At(1, 1)).with, At(1, 0));
  c.Rewind(At(1, 0));
  EXPECT_FALSE(c.Check(One(1, kContent), Whole(0), At(1, 0)));
  EXPECT_EQ(c.size(), 0u);
  EXPECT_EQ(c.recorded(), 0u);
}

TEST(Certifier, RewindReachesBackBeyondTheEndOfTheCount) {
  Certifier c(16, 1000, UINT32_MAX - 2);
  c.BeginBlock(Height{1});
  for (uint32_t i = 0; i < 3; i++) c.Record(One(1, kContent), At(1, i));
  c.Rewind(At(1, 1));
  EXPECT_EQ(c.Check(One(1, kContent), Whole(0), At(1, 1)).with, At(1, 0));
  c.BeginBlock(Height{2});
  EXPECT_FALSE(c.Check(One(1, kContent), PrefixAfter(At(1, 0)), At(2)));
}

TEST(Certifier, RebuildFrom) {
  EXPECT_EQ(Certifier::RebuildFrom(Height{1}, 10), Height{1});
  EXPECT_EQ(Certifier::RebuildFrom(Height{11}, 10), Height{1});
  EXPECT_EQ(Certifier::RebuildFrom(Height{12}, 10), Height{2});
}

// ---- against a naive model -----------------------------------------------------------------------------------------

// Keeps everything and reads the rules and the window's definition off the header, word by word.
class Model {
 public:
  Model(uint64_t window_blocks, uint64_t window_keys) : window_blocks_(window_blocks), window_keys_(window_keys) {}

  void Record(const KeyList& keys, Position position) { positions_[position] = keys; }
  void Forget(Position from) { positions_.erase(positions_.lower_bound(from), positions_.end()); }

  uint64_t Oldest(uint64_t next) const {
    for (uint64_t o = next > window_blocks_ ? next - window_blocks_ : 1;; o++) {
      uint64_t sum = 0;
      for (auto it = positions_.lower_bound(At(o)); it != positions_.end() && it->first.height.value < next; ++it)
        sum += it->second.size();
      if (sum <= window_keys_) return o;
    }
  }

  Conflict Check(const KeyList& keys, Prefix base, Position position) const {
    if (PrefixHeight(base) >= position.height) return {{}, {}, Kind::kBaseInFuture};
    const uint64_t oldest = Oldest(position.height.value);
    if (oldest > 1 && base < Whole(oldest - 1)) return {{}, {}, Kind::kBaseTooOld};
    for (const KeyEntry& mine : keys) {
      Conflict found;
      for (const auto& [at, recorded] : positions_) {
        if (at >= position || PrefixAfter(at) <= base) continue;
        for (const KeyEntry& theirs : recorded)
          if (theirs.key == mine.key && Meets(mine.uses, theirs.uses)) found = {mine.key, at, Kind::kKey};
      }
      if (found) return found;
    }
    return {};
  }

  const std::map<Position, KeyList>& positions() const { return positions_; }

 private:
  static bool Meets(uint8_t mine, uint8_t theirs) {
    return ((mine & kExistence) && theirs) || ((mine & kContent) && (theirs & (kExistence | kContent))) ||
           ((mine & kReference) && (theirs & kExistence));
  }
  uint64_t window_blocks_, window_keys_;
  std::map<Position, KeyList> positions_;
};

KeyList RandomKeys(Random& random, size_t count_max) {
  KeyList keys;
  for (uint64_t n = random() % (count_max + 1); n > 0; n--)
    keys.push_back({{random() % 3, random() % 20}, static_cast<uint8_t>(1 + random() % 7)});
  NormalizeKeys(&keys);
  return keys;
}

bool operator==(const Conflict& a, const Conflict& b) { return a.kind == b.kind && a.key == b.key && a.with == b.with; }

// What a restart does: the history's key lists of the window, decoded, recorded again.
Certifier Rebuild(const Model& model, Random& random, uint64_t current, uint32_t window_blocks, uint64_t window_keys) {
  Certifier c(window_blocks, window_keys);
  const uint64_t from = Certifier::RebuildFrom(Height{current}, window_blocks).value;
  const uint64_t start = from - random() % from;  // or earlier: gives the same
  for (auto it = model.positions().lower_bound(At(start)); it != model.positions().end(); ++it) {
    KeyList keys;
    EXPECT_TRUE(DecodeKeys(EncodeKeys(it->second), &keys));
    c.BeginBlock(it->first.height);
    c.Record(keys, it->first);
  }
  c.BeginBlock(Height{current});
  return c;
}

TEST(Certifier, RandomHistoriesAgainstTheModelAndItsRebuiltTwin) {
  size_t asked[4] = {};
  for (uint64_t seed = 1; seed <= 150; seed++) {
    Random random(seed);
    const uint32_t window_blocks = static_cast<uint32_t>(1 + random() % 12);
    const uint64_t window_keys = 5 + random() % 60;
    // One begins to count near the end of the count.
    Certifier lived(window_blocks, window_keys, UINT32_MAX - static_cast<uint32_t>(random() % 100));
    Certifier rebuilt(window_blocks, window_keys);
    Model model(window_blocks, window_keys);
    uint64_t height = 0;
    for (int block = 0; block < 25; block++) {
      height += 1 + (random() % 4 == 0 ? random() % 4 : 0);  // some blocks commit nothing
      lived.BeginBlock(Height{height});
      rebuilt.BeginBlock(Height{height});
      ASSERT_EQ(lived.oldest().value, model.Oldest(height)) << seed;
      uint32_t index = 0;
      for (uint64_t n = random() % 6; n > 0; n--, index += 1 + random() % 3) {
        const Position position = At(height, index);
        const KeyList keys = RandomKeys(random, random() % 40 == 0 ? 80 : 6);
        const uint64_t back = std::min<uint64_t>(height - 1, random() % 14);
        const Prefix base = random() % 20 == 0 ? PrefixAfter(At(height, random() % 3))
                            : random() % 2     ? Whole(height - 1 - back)
                                               : PrefixAfter(At(height - 1 - back, random() % 5));
        const Conflict expected = model.Check(keys, base, position);
        ASSERT_TRUE(lived.Check(keys, base, position) == expected) << seed << " at " << height << "." << index;
        ASSERT_TRUE(rebuilt.Check(keys, base, position) == expected) << seed << " at " << height << "." << index;
        asked[static_cast<int>(expected.kind)]++;
        if (expected && random() % 4) continue;  // a conflict is not recorded; some are, to move the index
        lived.Record(keys, position);
        rebuilt.Record(keys, position);
        model.Record(keys, position);
        if (random() % 5 == 0) {  // the execution is retried, perhaps with another outcome
          const Position from = At(height, static_cast<uint32_t>(random() % (index + 1)));
          lived.Rewind(from);
          rebuilt.Rewind(from);
          model.Forget(from);
          index = from.index;
        }
        if (random() % 8 == 0) rebuilt = Rebuild(model, random, height, window_blocks, window_keys);
      }
      ASSERT_EQ(lived.size(), rebuilt.size());
      ASSERT_EQ(lived.recorded(), rebuilt.recorded());
      if (random() % 3 == 0) rebuilt = Rebuild(model, random, height, window_blocks, window_keys);
    }
  }
  for (size_t count : asked) EXPECT_GT(count, 100u);  // every answer was seen often enough to mean something
}

// Growth, a steady state at a full window, and shrinking.
TEST(Certifier, ManyKeysKeepTheIndexBounded) {
  constexpr uint64_t kKeysMax = 100'000;
  Certifier c(kCertificationWindowBlocks, kKeysMax);
  Random random(7);
  uint64_t height = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; i++) {
    c.BeginBlock(Height{++height});
    KeyList keys;
    for (int k = 0; k < 1000; k++) keys.push_back({{random(), random()}, kContent});
    NormalizeKeys(&keys);
    ASSERT_FALSE(c.Check(keys, Whole(height - 1), At(height)));
    c.Record(keys, At(height));
  }
  c.BeginBlock(Height{++height});
  EXPECT_EQ(c.size(), kKeysMax);
  EXPECT_EQ(c.recorded(), kKeysMax);
  EXPECT_EQ(c.oldest(), Height{201});
  const auto taken = std::chrono::steady_clock::now() - start;
  RecordProperty("ns_per_key", static_cast<int>(taken / std::chrono::nanoseconds(1) / 300'000));
  c.BeginBlock(Height{height + kCertificationWindowBlocks + 1});
  EXPECT_EQ(c.size(), 0u);
}

}  // namespace
}  // namespace dadbs::core
