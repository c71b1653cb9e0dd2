/*
 * merkle.h: Merkle trees over digests.
 *
 * Leaves are made by the caller with their own domain; an inner node is Hash(kMerkleNode, left || right). The
 * tree has the shape of RFC 6962: n leaves split at the largest power of two below n, so an odd leaf moves up
 * unchanged and is never doubled. The root of no leaves is Hash(kMerkleEmpty, "").
 */
#pragma once

#include <optional>

#include "dadbs/core/crypto.h"

namespace dadbs::core {

Digest MerkleRoot(std::span<const Digest> leaves);

// The same root from leaves that come one by one; keeps one digest per level.
class MerkleBuilder {
 public:
  void Add(const Digest& leaf);
  Digest Root() const;
  uint64_t count() const { return count_; }

 private:
  std::vector<Digest> pending_;  // roots of full subtrees, largest first: one per set bit of count_
  uint64_t count_ = 0;
};

struct MerkleStep {
  bool sibling_is_left;
  Digest sibling;
};
using MerklePath = std::vector<MerkleStep>;  // from the leaf upwards

MerklePath MerkleProof(std::span<const Digest> leaves, size_t index);
Digest MerkleRootFrom(const Digest& leaf, const MerklePath& path);

}  // namespace dadbs::core
