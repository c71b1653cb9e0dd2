// merkle.cpp: Merkle trees of RFC 6962's shape. A tree is built from left to right with one pending root per set bit
// of the leaf count, so a root needs no more memory than the height of the tree.
#include "dadbs/core/merkle.h"

#include <bit>

#include "dadbs/core/check.h"

namespace dadbs::core {
namespace {

Digest Parent(const Digest& left, const Digest& right) {
  return Hash(Domain::kMerkleNode, {left.view(), right.view()});
}

}  // namespace

void MerkleBuilder::Add(const Digest& leaf) {
  Digest root = leaf;
  for (uint64_t full = count_; full & 1; full >>= 1) {  // as adding one carries through the set bits
    root = Parent(pending_.back(), root);
    pending_.pop_back();
  }
  pending_.push_back(root);
  count_++;
}

Digest MerkleBuilder::Root() const {
  if (pending_.empty()) return Hash(Domain::kMerkleEmpty, ByteView{});
  Digest root = pending_.back();
  for (size_t i = pending_.size() - 1; i > 0; i--) root = Parent(pending_[i - 1], root);
  return root;
}

Digest MerkleRoot(std::span<const Digest> leaves) {
  MerkleBuilder builder;
  for (const Digest& leaf : leaves) builder.Add(leaf);
  return builder.Root();
}

MerklePath MerkleProof(std::span<const Digest> leaves, size_t index) {
  DADBS_CHECK(index < leaves.size());
  MerklePath path;  // collected from the root downwards
  while (leaves.size() > 1) {
    const size_t split = std::bit_floor(leaves.size() - 1);
    if (index < split) {
      path.push_back({false, MerkleRoot(leaves.subspan(split))});
      leaves = leaves.first(split);
    } else {
      path.push_back({true, MerkleRoot(leaves.first(split))});
      leaves = leaves.subspan(split);
      index -= split;
    }
  }
  return {path.rbegin(), path.rend()};
}

Digest MerkleRootFrom(const Digest& leaf, const MerklePath& path) {
  Digest root = leaf;
  for (const MerkleStep& step : path)
    root = step.sibling_is_left ? Parent(step.sibling, root) : Parent(root, step.sibling);
  return root;
}

}  // namespace dadbs::core
