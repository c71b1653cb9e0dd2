/*
 * chain_state.h: what the chain alone says about the next block.
 *
 * A pure function of the blocks up to `height`: the same on every member, whatever it has seen of the network. It is
 * kept by the replica, repeated at the head of each journal segment, and is what a chain verifier needs beside the
 * blocks. Whether a block is valid is a function of this state and of the block's bytes (ADR: validity never depends on
 * a member's settings, clock or memory).
 */
#pragma once

#include <deque>
#include <map>

#include "dadbs/core/chain.h"

namespace dadbs::core {

// An incarnation entry names a block at most this many heights below its own; so it expires.
// Long enough for a member that restarts under load to reach the head.
inline constexpr uint32_t kIncarnationLifetimeBlocks = 1024;
inline constexpr uint64_t kBlockBodyBytesMax = kBatchBytesMax;

struct OriginState {
  uint64_t incarnation = 0;  // open on the chain; 0: none yet
  uint64_t last_number = 0;  // of the open incarnation
  auto operator<=>(const OriginState&) const = default;
};

struct ChainState {
  Digest chain_id;
  Epoch epoch{1};
  Height height;                           // of the last block
  Digest hash;
  int64_t time_us = 0;
  std::map<uint16_t, OriginState> origins; // by node id; absent: no incarnation yet
  std::deque<Digest> recent_hashes;        // of the last blocks, the newest last; at most kIncarnationLifetimeBlocks

  static ChainState AtGenesis(const Genesis& genesis);
  // Is `block` a valid successor, but for signatures and for what the bodies say (transactions_root)? Empty: yes.
  std::string Check(const Block& block, const Genesis& genesis) const;
  // Would this item be valid as the first one at height + 1? Empty: yes.
  std::string CheckItem(const Item& item, const Genesis& genesis) const;
  void Advance(const Block& block);        // after Check
  const Digest* HashAt(Height h) const;    // null: not among the recent ones
  OriginState origin(NodeId id) const;
  // A batch that the chain can still take, now or later: not of a closed incarnation, not below the last number.
  bool CanStillBeOrdered(const BatchHeader& batch) const;
  bool operator==(const ChainState&) const = default;
};

}  // namespace dadbs::core
