#include "dadbs/core/merkle.h"

#include <gtest/gtest.h>

namespace dadbs::core {
namespace {

std::vector<Digest> Leaves(size_t n) {
  std::vector<Digest> leaves;
  for (size_t i = 0; i < n; i++) {
    const uint8_t byte = static_cast<uint8_t>(i);
    leaves.push_back(Hash(Domain::kChangeLeaf, ByteView(&byte, 1)));
  }
  return leaves;
}

Digest Node(const Digest& l, const Digest& r) { return Hash(Domain::kMerkleNode, {l.view(), r.view()}); }

// RFC 6962, section 2.1, as it is written there.
Digest Reference(std::span<const Digest> leaves) {
  if (leaves.empty()) return Hash(Domain::kMerkleEmpty, ByteView{});
  if (leaves.size() == 1) return leaves[0];
  size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  return Node(Reference(leaves.first(k)), Reference(leaves.subspan(k)));
}

TEST(Merkle, ShapesOfRfc6962) {
  const auto l = Leaves(7);
  EXPECT_EQ(MerkleRoot({}), Hash(Domain::kMerkleEmpty, ByteView{}));
  EXPECT_EQ(MerkleRoot(std::span(l).first(1)), l[0]);
  EXPECT_EQ(MerkleRoot(std::span(l).first(3)), Node(Node(l[0], l[1]), l[2]));
  EXPECT_EQ(MerkleRoot(std::span(l).first(5)), Node(Node(Node(l[0], l[1]), Node(l[2], l[3])), l[4]));
  EXPECT_EQ(MerkleRoot(l), Node(Node(Node(l[0], l[1]), Node(l[2], l[3])), Node(Node(l[4], l[5]), l[6])));
}

TEST(Merkle, RootAndProofsOfEverySize) {
  for (size_t n = 0; n <= 70; n++) {
    const auto leaves = Leaves(n);
    const Digest root = MerkleRoot(leaves);
    ASSERT_EQ(root, Reference(leaves)) << n;
    for (size_t i = 0; i < n; i++) {
      const MerklePath path = MerkleProof(leaves, i);
      ASSERT_LE(path.size(), 7u);
      ASSERT_EQ(MerkleRootFrom(leaves[i], path), root) << n << " " << i;
      ASSERT_NE(MerkleRootFrom(Hash(Domain::kItemLeaf, ByteView{}), path), root) << n << " " << i;
      for (size_t step = 0; step < path.size(); step++) {
        MerklePath bad = path;
        bad[step].sibling.bytes[0] ^= 1;
        ASSERT_NE(MerkleRootFrom(leaves[i], bad), root);
        bad = path;
        bad[step].sibling_is_left = !bad[step].sibling_is_left;
        ASSERT_NE(MerkleRootFrom(leaves[i], bad), root);
      }
    }
  }
}

// Bitcoin's CVE-2012-2459: a tree that doubles an odd leaf gives n leaves and n leaves + the last one the same root.
TEST(Merkle, NoLeafIsDoubled) {
  for (size_t n = 1; n <= 70; n++) {
    auto leaves = Leaves(n);
    const Digest root = MerkleRoot(leaves);
    for (size_t again = 1; again <= n && again <= 8; again *= 2) {
      auto longer = leaves;
      longer.insert(longer.end(), leaves.end() - static_cast<ptrdiff_t>(again), leaves.end());
      ASSERT_NE(MerkleRoot(longer), root) << n << " " << again;
    }
  }
}

TEST(Merkle, OrderAndCountMatter) {
  for (size_t n = 2; n <= 20; n++) {
    auto leaves = Leaves(n);
    const Digest root = MerkleRoot(leaves);
    std::swap(leaves[0], leaves[n - 1]);
    EXPECT_NE(MerkleRoot(leaves), root);
    leaves.pop_back();
    EXPECT_NE(MerkleRoot(leaves), root);
  }
}

TEST(Merkle, BuilderMayBeAskedInBetween) {
  const auto leaves = Leaves(33);
  MerkleBuilder builder;
  for (size_t i = 0; i <= leaves.size(); i++) {
    ASSERT_EQ(builder.Root(), MerkleRoot(std::span(leaves).first(i)));
    ASSERT_EQ(builder.count(), i);
    if (i < leaves.size()) builder.Add(leaves[i]);
  }
}

}  // namespace
}  // namespace dadbs::core
