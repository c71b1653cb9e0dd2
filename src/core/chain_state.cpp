/*
 * chain_state.cpp: the rules for the next block that follow from the chain alone.
 *
 * Per origin the chain knows one open incarnation and its last number. A batch continues exactly there; an incarnation
 * entry opens a higher one and by its position closes what was open. Everything else is invalid, on every member alike.
 */
#include "dadbs/core/chain_state.h"

#include "dadbs/core/merkle.h"
#include "replica_mutation.h"

namespace dadbs::core {

namespace {

std::string CheckBatch(const BatchHeader& batch, const OriginState& origin, const Genesis& genesis) {
  if (!genesis.Find(batch.origin)) return "a batch of a node that is not a member";
  if (batch.count == 0) return "a batch without transactions";
  if (batch.body_bytes > kBatchBytesMax) return "a batch larger than the limit";
  if (MUTATED(kIncarnationUnchecked)) return "";
  if (batch.incarnation == 0 || batch.incarnation != origin.incarnation)
    return "a batch of an incarnation that is not open";
  if (batch.first_number != origin.last_number + 1) return "a batch that does not continue its origin's numbers";
  return "";
}

std::string CheckEntry(const IncarnationEntry& entry, const OriginState& origin, const ChainState& chain,
                       const Genesis& genesis) {
  if (!genesis.Find(entry.origin)) return "an incarnation of a node that is not a member";
  if (entry.incarnation <= origin.incarnation) return "an incarnation that is not newer than the open one";
  if (entry.recent_height > chain.height) return "an incarnation that names a block to come";
  if (chain.height.value + 1 - entry.recent_height.value > kIncarnationLifetimeBlocks)
    return "an incarnation that has expired";
  const Digest* recent = chain.HashAt(entry.recent_height);
  if (!recent || *recent != entry.recent_hash) return "an incarnation that names another chain's block";
  return "";
}

std::string CheckFrame(const Block& block, const ChainState& chain, const Genesis& genesis) {
  const BlockHeader& h = block.header;
  if (h.format != kBlockFormat) return "an unknown block format";
  if (h.chain_id != chain.chain_id) return "a block of another chain";
  if (h.epoch != chain.epoch) return "a block of another epoch";
  if (h.height != chain.height.next()) return "not the next height";
  if (h.previous_hash != chain.hash) return "a block that does not follow the last one";
  if (h.time_us <= chain.time_us) return "a block that is not later than its parent";
  if (!genesis.Find(h.proposer)) return "a proposer that is not a member";
  if (block.items.empty()) return "an empty block";
  if (block.items.size() > kItemsPerBlockMax) return "a block with too many items";
  if (h.item_count != block.items.size()) return "a wrong item count";
  return "";
}

}  // namespace

ChainState ChainState::AtGenesis(const Genesis& genesis) {
  ChainState s;
  s.chain_id = s.hash = genesis.chain_id();
  s.time_us = genesis.created_at_us;
  s.recent_hashes.push_back(s.hash);
  return s;
}

OriginState ChainState::origin(NodeId id) const {
  auto it = origins.find(id.value);
  return it == origins.end() ? OriginState{} : it->second;
}

const Digest* ChainState::HashAt(Height h) const {
  if (h > height || height.value - h.value >= recent_hashes.size()) return nullptr;
  return &recent_hashes[recent_hashes.size() - 1 - (height.value - h.value)];
}

bool ChainState::CanStillBeOrdered(const BatchHeader& batch) const {
  const OriginState o = origin(batch.origin);
  if (batch.incarnation != o.incarnation) return batch.incarnation > o.incarnation;
  return batch.first_number > o.last_number;
}

std::string ChainState::CheckItem(const Item& item, const Genesis& genesis) const {
  if (const auto* batch = std::get_if<BatchHeader>(&item)) return CheckBatch(*batch, origin(batch->origin), genesis);
  const auto& entry = std::get<IncarnationEntry>(item);
  return CheckEntry(entry, origin(entry.origin), *this, genesis);
}

std::string ChainState::Check(const Block& block, const Genesis& genesis) const {
  if (std::string why = CheckFrame(block, *this, genesis); !why.empty()) return why;
  std::map<uint16_t, OriginState> changed;  // origins that this block has touched so far
  std::map<uint16_t, bool> restarted;       // ... with an incarnation entry: nothing more of them in this block
  uint64_t transactions = 0, body_bytes = 0;
  std::vector<Digest> leaves;
  leaves.reserve(block.items.size());
  for (const Item& item : block.items) {
    leaves.push_back(ItemLeaf(item));
    const NodeId id = std::visit([](const auto& i) { return i.origin; }, item);
    if (restarted[id.value]) return "an item of an origin after its incarnation entry";
    OriginState& o = changed.try_emplace(id.value, origin(id)).first->second;
    if (const auto* batch = std::get_if<BatchHeader>(&item)) {
      if (std::string why = CheckBatch(*batch, o, genesis); !why.empty()) return why;
      o.last_number += batch->count;
      transactions += batch->count;
      body_bytes += batch->body_bytes;
    } else {
      const auto& entry = std::get<IncarnationEntry>(item);
      if (std::string why = CheckEntry(entry, o, *this, genesis); !why.empty()) return why;
      restarted[id.value] = true;
    }
  }
  if (transactions > kTransactionsPerBlockMax) return "a block with too many transactions";
  if (body_bytes > kBlockBodyBytesMax) return "a block larger than the limit";
  if (block.header.transaction_count != transactions) return "a wrong transaction count";
  if (block.header.body_bytes != body_bytes) return "a wrong body size";
  if (block.header.items_root != MerkleRoot(leaves)) return "a wrong items root";
  return "";
}

void ChainState::Advance(const Block& block) {
  for (const Item& item : block.items) {
    if (const auto* batch = std::get_if<BatchHeader>(&item)) {
      origins[batch->origin.value] = {batch->incarnation, batch->first_number + batch->count - 1};
    } else {
      const auto& entry = std::get<IncarnationEntry>(item);
      origins[entry.origin.value] = {entry.incarnation, 0};
    }
  }
  height = block.header.height;
  hash = block.header.hash();
  time_us = block.header.time_us;
  recent_hashes.push_back(hash);
  if (recent_hashes.size() > kIncarnationLifetimeBlocks) recent_hashes.pop_front();
}

}  // namespace dadbs::core
