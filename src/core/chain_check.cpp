/*
 * chain_check.cpp: what can be checked of a batch, a block and its certificate, with the reason when it is wrong.
 *
 * Pure functions of their arguments. The replica uses them before it votes or believes, verify_chain and outsiders
 * afterwards, so one rule decides in both.
 */
#include <map>

#include "dadbs/core/chain.h"
#include "dadbs/core/chain_state.h"
#include "dadbs/core/merkle.h"
#include "dadbs/core/write_set.h"

namespace dadbs::core {
namespace {

bool Refuse(std::string* why, std::string reason) {
  if (why != nullptr) *why = std::move(reason);
  return false;
}

std::string CheckLink(const BlockHeader& header, const BlockHeader* parent, const Digest& parent_hash,
                      const Genesis& genesis, const Digest& chain_id) {
  if (header.format != kBlockFormat) return "unknown block format";
  if (header.chain_id != chain_id) return "the block belongs to another chain";
  if (header.epoch != Epoch{1}) return "unknown membership epoch";
  if (parent == nullptr && parent_hash != chain_id) return "block 1 follows the genesis, not this hash";
  if (parent != nullptr && parent->hash() != parent_hash) return "the parent's header does not have the parent's hash";
  const Height expected = parent == nullptr ? Height{1} : parent->height.next();
  if (header.height != expected) return "the height is not the parent's + 1";
  if (header.previous_hash != parent_hash) return "the previous hash is not the parent's";
  const int64_t parent_time_us = parent == nullptr ? genesis.created_at_us : parent->time_us;
  if (header.time_us <= parent_time_us) return "the time is not after the parent's";
  if (genesis.Find(header.proposer) == nullptr) return "the proposer is not a member";
  return {};
}

// The numbers and incarnations of the origins within one block; across blocks ChainState keeps them.
class OriginOrder {
 public:
  explicit OriginOrder(Height height) : height_(height) {}

  std::string Add(const Item& item) {
    const NodeId origin = std::visit([](const auto& entry) { return entry.origin; }, item);
    auto [seen, is_first] = origins_.try_emplace(origin);
    if (seen->second.has_begun) return "an item of an origin after its incarnation entry";
    if (const auto* entry = std::get_if<IncarnationEntry>(&item)) return Begin(*entry, &seen->second);
    return Continue(std::get<BatchHeader>(item), &seen->second);
  }

 private:
  struct State {
    uint64_t incarnation = 0;
    uint64_t next = 0;
    bool has_begun = false;
  };

  std::string Begin(const IncarnationEntry& entry, State* state) const {
    if (entry.incarnation <= state->incarnation) return "an incarnation that is not above the one before";
    if (entry.recent_height >= height_ || height_.value - entry.recent_height.value > kIncarnationLifetimeBlocks)
      return "an incarnation entry that has expired";
    state->has_begun = true;
    return {};
  }

  static std::string Continue(const BatchHeader& batch, State* state) {
    if (batch.count == 0 || batch.first_number == 0 || batch.incarnation == 0) return "an empty or unnumbered batch";
    if (batch.body_bytes > kBatchBytesMax) return "a batch that is larger than a batch may be";
    if (batch.count > UINT64_MAX - batch.first_number) return "transaction numbers out of range";
    if (state->incarnation == 0) *state = {batch.incarnation, batch.first_number, false};
    if (batch.incarnation != state->incarnation) return "a batch of another incarnation than the one before";
    if (batch.first_number != state->next) return "transaction numbers are not contiguous";
    state->next += batch.count;
    return {};
  }

  Height height_;
  std::map<NodeId, State> origins_;
};

std::string CheckItems(const Block& block, std::span<const Digest> transaction_hashes, const Genesis& genesis,
                       const Digest& chain_id, const Verifier& verifier) {
  const SignContext ctx{chain_id, block.header.epoch};
  OriginOrder order(block.header.height);
  MerkleBuilder items_tree;
  uint64_t body_bytes = 0;
  size_t first = 0;
  for (size_t i = 0; i < block.items.size(); i++) {
    const Item& item = block.items[i];
    const std::string where = "item " + std::to_string(i) + ": ";
    items_tree.Add(ItemLeaf(item));
    if (!VerifyItem(item, ctx, genesis, verifier)) return where + "the origin's signature is wrong";
    if (std::string why = order.Add(item); !why.empty()) return where + why;
    const auto* batch = std::get_if<BatchHeader>(&item);
    if (batch == nullptr) continue;
    if (batch->count > transaction_hashes.size() - first) return where + "transactions are missing";
    if (TransactionTreeRoot(transaction_hashes.subspan(first, batch->count)) != batch->transaction_root)
      return where + "the transactions do not have the batch's Merkle root";
    first += batch->count;
    body_bytes += batch->body_bytes;
  }
  if (first != transaction_hashes.size()) return "transactions that no batch names";
  if (body_bytes != block.header.body_bytes) return "the number of bytes is not the batches' sum";
  if (body_bytes > kBlockBodyBytesMax) return "more bytes than a block may hold";
  if (items_tree.Root() != block.header.items_root) return "the items do not have the block's Merkle root";
  return {};
}

}  // namespace

bool VerifyItem(const Item& item, const SignContext& ctx, const Genesis& genesis, const Verifier& verifier) {
  return std::visit(
      [&](const auto& entry) {
        const Member* origin = genesis.Find(entry.origin);
        return origin != nullptr && verifier.Verify(origin->key, entry.SigningBytes(ctx), entry.signature);
      },
      item);
}

bool Batch::BodyMatches(std::string* why, std::vector<Digest>* hashes) const {
  if (header.count == 0 || header.count != write_sets.size() || header.count > kTransactionsPerBlockMax)
    return Refuse(why, "the number of transactions is not the header's");
  uint64_t body_bytes = 0;
  for (const Bytes& write_set : write_sets) body_bytes += write_set.size();
  if (body_bytes != header.body_bytes || body_bytes > kBatchBytesMax)
    return Refuse(why, "the number of bytes is not the header's");
  std::vector<Digest> computed(write_sets.size());
  for (size_t i = 0; i < write_sets.size(); i++)
    if (!TransactionHash(write_sets[i], &computed[i]))
      return Refuse(why, "transaction " + std::to_string(header.first_number + i) + " is malformed");
  if (TransactionTreeRoot(computed) != header.transaction_root)
    return Refuse(why, "the transactions do not have the header's Merkle root");
  if (hashes != nullptr) *hashes = std::move(computed);
  return true;
}

bool VerifyCertificate(const Certificate& c, const Genesis& genesis, const Verifier& verifier, std::string* why) {
  if (c.phase != Phase::kPrepare && c.phase != Phase::kCommit)
    return Refuse(why, "votes of a phase that certifies nothing");
  if (c.epoch != Epoch{1}) return Refuse(why, "unknown membership epoch");
  if (c.votes.size() < genesis.quorum())
    return Refuse(why, std::to_string(c.votes.size()) + " votes, a quorum has " + std::to_string(genesis.quorum()));
  const SignContext ctx{genesis.chain_id(), c.epoch};
  NodeId last = kNobody;
  for (const Signed& vote : c.votes) {
    const std::string who = "member " + std::to_string(vote.signer.value);
    if (vote.signer <= last) return Refuse(why, "votes are not of distinct members in ascending order");
    last = vote.signer;
    const Member* member = genesis.Find(vote.signer);
    if (member == nullptr) return Refuse(why, who + " does not exist");
    const Bytes message =
        VoteSigningBytes(ctx, c.phase, vote.signer, vote.incarnation, vote.journal_sequence, c.view, c.height, c.hash);
    if (!verifier.Verify(member->key, message, vote.signature))
      return Refuse(why, "the signature of " + who + " is wrong");
  }
  return true;
}

std::string CheckFollows(const BlockHeader& header, const BlockHeader& parent) {
  if (header.height != parent.height.next()) return "the height is not the parent's + 1";
  if (header.time_us <= parent.time_us) return "the time is not after the parent's";
  return {};
}

std::string CheckBlockItself(const Block& block, const Genesis& genesis, const Verifier& verifier) {
  const BlockHeader& h = block.header;
  const SignContext ctx{genesis.chain_id(), Epoch{1}};
  if (h.format != kBlockFormat || h.chain_id != ctx.chain_id || h.epoch != ctx.epoch) return "a block of another chain";
  if (h.height == Height{} || (h.height == Height{1}) != (h.previous_hash == ctx.chain_id)) return "block 1 follows the genesis, and no other does";
  if (h.height == Height{1} && h.time_us <= genesis.created_at_us) return "the time is not after the genesis";
  if (genesis.Find(h.proposer) == nullptr) return "the proposer is not a member";
  if (block.items.empty() || block.items.size() > kItemsPerBlockMax) return "no items, or too many";
  OriginOrder order(h.height);
  uint64_t transactions = 0, body_bytes = 0;
  for (const Item& item : block.items) {
    if (!VerifyItem(item, ctx, genesis, verifier)) return "an origin's signature is wrong";
    if (std::string why = order.Add(item); !why.empty()) return why;
    if (const auto* batch = std::get_if<BatchHeader>(&item)) transactions += batch->count, body_bytes += batch->body_bytes;
  }
  if (h.item_count != block.items.size() || h.transaction_count != transactions || h.body_bytes != body_bytes)
    return "the sums are not those of the items";
  if (transactions > kTransactionsPerBlockMax || body_bytes > kBlockBodyBytesMax) return "more than a block may hold";
  return {};
}

std::string CheckBlock(const Block& block, const BlockHeader* parent, const Digest& parent_hash,
                       const Certificate& certificate, std::span<const Digest> transaction_hashes,
                       const Genesis& genesis, const Verifier& verifier) {
  const BlockHeader& header = block.header;
  const Digest chain_id = genesis.chain_id();
  if (std::string why = CheckLink(header, parent, parent_hash, genesis, chain_id); !why.empty()) return why;
  if (block.items.size() != header.item_count || block.items.size() > kItemsPerBlockMax)
    return "the number of items is not the header's";
  if (block.items.empty()) return "an empty block";
  if (header.transaction_count != transaction_hashes.size() || transaction_hashes.size() > kTransactionsPerBlockMax)
    return "the number of transactions is not the header's";
  if (std::string why = CheckItems(block, transaction_hashes, genesis, chain_id, verifier); !why.empty()) return why;
  if (TransactionTreeRoot(transaction_hashes) != header.transactions_root)
    return "the transactions do not have the block's Merkle root";
  if (certificate.phase != Phase::kCommit) return "certificate: not of COMMIT votes";
  if (certificate.epoch != header.epoch || certificate.height != header.height || certificate.hash != header.hash())
    return "certificate: of another block";
  if (std::string why; !VerifyCertificate(certificate, genesis, verifier, &why)) return "certificate: " + why;
  return {};
}

}  // namespace dadbs::core
