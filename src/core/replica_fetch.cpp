/*
 * replica_fetch.cpp: what is missing is asked for, from one member after the other: batches by digest, blocks by
 * height.
 *
 * A member that is behind asks; nobody pushes, but for the answer to a vote for an old height. A block that comes is
 * believed for its certificate and its content, a batch for its digest, so it doesn't matter who sends it. What peers
 * say of their height is a hint only. Blocks that are not in memory any more are served by the owner
 * (ServeBlocksEffect).
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

// ---- who is where --------------------------------------------------------------------------------------------------

void Replica::State::Claim(NodeId peer, Height committed) {
  auto it = peers.find(peer.value);
  if (it != peers.end()) it->second.claimed = std::max(it->second.claimed, committed);
}

void Replica::State::ReceiveStatus(NodeId from, const StatusMessage& status) {
  Claim(from, status.committed);
  if (status.view < view) HelpWithView(from);
}

// One height behind is how things are while votes travel: that waits a little. Two is a gap.
bool Replica::State::IsBehind() const {
  Height highest = chain.height;
  for (const auto& [id, peer] : peers)
    if (peer.connected) highest = std::max(highest, peer.claimed);
  if (highest == chain.height) return false;
  return highest > next_height() || clock - moved_at >= ResendInterval(1);
}

// ---- serving -------------------------------------------------------------------------------------------------------

void Replica::State::Remember(const DeliverEffect& delivered_block) {
  BlockMessage message{delivered_block.block, delivered_block.certificate, delivered_block.batches, 0};
  KeepRecent(std::move(message));
}

void Replica::State::KeepRecent(BlockMessage message) {
  for (const auto& batch : message.batches) recent_batches[batch->header.digest()] = batch;
  recent_bytes += BodyBytes(message);
  recent.push_back(std::move(message));
  while (recent.size() > limits.recent_blocks_max || (recent_bytes > limits.recent_bytes_max && recent.size() > 1)) {
    for (const auto& batch : recent.front().batches) recent_batches.erase(batch->header.digest());
    recent_bytes -= BodyBytes(recent.front());
    recent.pop_front();
  }
}

// A voter for an old height has the batches: the certificate is what it lacks.
void Replica::State::AnswerOld(NodeId to, Height height) {
  PeerState& peer = peers.at(to.value);
  if (recent.empty() || clock - peer.old_answered_at < limits.resend_interval_us / 2) return;
  const Height oldest = recent.front().block->header.height;
  if (height < oldest || height > delivered) return;
  peer.old_answered_at = clock;
  const BlockMessage& block = recent[height.value - oldest.value];
  SendNow(to, BlockMessage{block.block, block.certificate, {}, 0});
}

void Replica::State::ReceiveBlockRequest(NodeId from, const BlockRequest& request) {
  if (request.count == 0 || request.count > kBlocksPerRequestMax || request.from.value == 0)
    return Reject(from, "a request for no block, or for too many");
  PeerState& peer = peers.at(from.value);
  if (request.from > delivered || peer.served_bytes > 4 * limits.fetch_bytes_max) return;
  const Height oldest = recent.empty() ? delivered.next() : recent.front().block->header.height;
  const uint64_t count =
      std::min<uint64_t>({request.count, limits.fetch_blocks_max, delivered.value - request.from.value + 1});
  if (request.from < oldest) {  // also what follows: the few that are just not in memory would make an answer too short
    out.push_back(ServeBlocksEffect{from, request.from, static_cast<uint32_t>(count)});  // to catch up by
    return;
  }
  uint64_t bytes = 0;
  std::vector<const BlockMessage*> answer;
  for (uint64_t i = 0; i < count; i++) {
    const BlockMessage& block = recent[request.from.value - oldest.value + i];
    bytes += BodyBytes(block);
    if (bytes > limits.fetch_bytes_max && !answer.empty()) break;
    answer.push_back(&block);
  }
  peer.served_bytes += bytes;
  for (size_t i = 0; i < answer.size(); i++) {
    BlockMessage block = *answer[i];
    block.remaining = static_cast<uint32_t>(answer.size() - 1 - i);
    SendNow(from, std::move(block));
  }
}

// ---- blocks that I lack --------------------------------------------------------------------------------------------

void Replica::State::ReceiveBlock(NodeId from, BlockMessage& message) {
  const Height height = message.block->header.height;
  const bool asked = fetch.active && fetch.peer == from;
  // An answer that comes after its deadline is as good as any: who serves old blocks reads them from its journal first.
  const uint64_t asked_from = peers.at(from.value).asked_from;
  const bool late = asked_from != 0 && height.value >= asked_from && height.value < asked_from + kBlocksPerRequestMax;
  if (asked || late) fetch.patience = 1;
  if (asked) {
    fetch.deadline = clock + ResendInterval(2);
    if (message.remaining == 0) fetch.active = false;
    const bool useful = height == next_height() || chain.height > fetch.asked_at_height;
    if (!fetch.active && !useful) fetch.not_before = clock + ResendInterval(1);
  }
  if (height <= chain.height) return;
  const bool is_wanted = (asked || late) && height.value <= chain.height.value + 2 * kBlocksPerRequestMax;
  if (height != next_height() && !is_wanted) return;
  uint64_t bytes = 1024 + message.block->items.size() * sizeof(Item);
  for (const auto& batch : message.batches)
    for (const Bytes& write_set : batch->write_sets) bytes += write_set.size() + sizeof(Bytes);
  if (auto known = certified.find(height.value); known != certified.end()) {
    if (known->second.checked) {  // it waits for bodies
      known->second.message.batches = std::move(message.batches);
      TakeBodies(known->second);
      return;
    }
    if (!asked && height != next_height()) return;
    DropCertified(height.value);
  }
  if (height != next_height() && certified_bytes + bytes > 4 * limits.fetch_bytes_max) return;
  certified_bytes += bytes;
  certified[height.value] = {std::move(message), from, bytes, false, {}, 0};
}

void Replica::State::DropCertified(uint64_t height) {
  auto it = certified.find(height);
  if (it == certified.end()) return;
  certified_bytes -= it->second.bytes;
  certified.erase(it);
}

std::string Replica::State::CheckCertified(const BlockMessage& message) const {
  const Certificate& c = *message.certificate;
  if (std::string why = chain.Check(*message.block, genesis); !why.empty()) return why;
  if (MUTATED(kCertificateUnchecked)) return "";
  if (c.phase != Phase::kCommit || c.epoch != context.epoch) return "not a certificate of COMMITs of this epoch";
  if (c.height != message.block->header.height || c.hash != message.block->header.hash())
    return "another block's certificate";
  std::string why;
  return VerifyCertificate(c, genesis, verifier, &why) ? "" : why;
}

// The block says by digest and root what its bodies are.
void Replica::State::TakeBodies(const CertifiedBlock& block) {
  for (const auto& batch : block.message.batches) {
    const Digest digest = batch->header.digest();
    const bool named = std::any_of(block.batches.begin(), block.batches.end(),
                                   [&](const BatchRef& ref) { return ref.digest == digest; });
    if (!named || FindHeld(batch->header.origin, digest)) continue;
    std::vector<Digest> hashes;
    if (!batch->BodyMatches(nullptr, &hashes)) continue;
    auto vouched_for = batch;
    for (const Item& item : block.message.block->items) {
      const auto* header = std::get_if<BatchHeader>(&item);
      if (header && header->digest() == digest && header->signature != batch->header.signature)
        vouched_for = std::make_shared<Batch>(Batch{*header, batch->write_sets});
    }
    Hold(std::move(vouched_for), digest, std::move(hashes));
  }
}

// The certificate that a VIEW-CHANGE shows of the block that this member has prepared. Its signer may be the only one who
// has it, and tell nobody otherwise; and in a view that begins above the block nobody may vote for it again.
void Replica::State::TakeProvedHead() {
  if (!prepared || certified.contains(next_height().value)) return;
  const auto take = [&](const ViewChange& v) {
    if (!v.head || v.head->height != next_height() || v.head->hash != prepared->certificate.hash) return false;
    BlockMessage block{prepared->block, std::make_shared<const Certificate>(*v.head), {}, 0};
    certified[next_height().value] = {std::move(block), v.envelope.signer, 0, false, {}};
    return true;
  };
  for (const auto& [id, v] : view_changes)
    if (take(v.change)) return;
  if (!new_view) return;
  for (const ViewChange& v : new_view->start.proof)
    if (take(v)) return;
}

bool Replica::State::TryCertified() {
  TakeProvedHead();
  auto it = certified.find(next_height().value);
  if (it == certified.end()) return false;
  CertifiedBlock& block = it->second;
  if (!block.checked) {
    if (std::string why = CheckCertified(block.message); !why.empty()) {
      Reject(block.from, "a block: " + why);
      DropCertified(it->first);
      return false;
    }
    block.checked = true;
    block.checked_at = clock;
    block.batches = RefsOf(*block.message.block);
    TakeBodies(block);
    block.message.batches.clear();
  }
  std::vector<HeldBatch*> held;
  if (!FindAll(block.batches, &held)) return false;
  const std::shared_ptr<const Block> next = block.message.block;
  const Certificate certificate = *block.message.certificate;
  DropCertified(it->first);
  Commit(next, certificate, held);
  return true;
}

void Replica::State::AskForBlocks() {
  if (fetch.active && clock >= fetch.deadline) {
    fetch.active = false;
    fetch.not_before = clock;
    fetch.patience = std::min(fetch.patience * 2, kBackOffMax);
  }
  if (fenced || fetch.active || clock < fetch.not_before || !IsBehind()) return;
  // A block that came without its bodies: the others may have them in their tables only, and serve them with the block.
  if (auto next = certified.find(next_height().value); next != certified.end())
    if (!next->second.checked || clock - next->second.checked_at < ResendInterval(4)) return;
  uint64_t from = next_height().value;
  for (size_t i = 0; i < n; i++) {
    const NodeId id = genesis.members[(fetch.next_peer + i) % n].id;
    auto peer = peers.find(id.value);
    if (peer == peers.end() || !peer->second.connected || peer->second.claimed <= chain.height) continue;
    fetch = {true,
             id,
             chain.height,
             clock + ResendInterval(2 * fetch.patience),
             clock,
             static_cast<uint16_t>((fetch.next_peer + i + 1) % n),
             fetch.patience};
    peer->second.asked_from = from;
    SendNow(id, BlockRequest{Height{from}, limits.fetch_blocks_max});
    return;
  }
}

// ---- batches that I lack -------------------------------------------------------------------------------------------

const BatchRefs* Replica::State::NeededBatches() const {
  auto it = certified.find(next_height().value);
  if (it != certified.end() && it->second.checked) return &it->second.batches;
  if (round.candidate) return &round.candidate->batches;
  if (round.accepted) return &round.accepted->batches;
  if (entered && IsPrimary() && IsBound()) return &bound_batches;
  return nullptr;
}

// Its origin first, then the primary, which has named it, then everybody in turn.
NodeId Replica::State::WhomToAsk(const Want& want) const {
  std::vector<NodeId> order{want.origin, primary()};
  for (const Member& member : genesis.members) order.push_back(member.id);
  std::erase_if(order, [&](NodeId id) { return id == self || !peers.at(id.value).connected; });
  return order.empty() ? kNobody : order[want.attempts % order.size()];
}

void Replica::State::AskForBatches() {
  const BatchRefs* needed = fenced ? nullptr : NeededBatches();
  std::map<Digest, Want> still_wanted;
  std::map<NodeId, BatchRequest> requests;
  if (needed) {
    for (const BatchRef& ref : *needed) {
      if (FindHeld(ref.origin, ref.digest)) continue;
      const bool large = ref.bytes > limits.inline_batch_bytes_max;
      auto known = wants.find(ref.digest);
      Want want = known != wants.end() ? known->second
                                       : Want{ref.origin, 0, large ? clock + limits.resend_interval_us / 4 : clock};
      const NodeId whom = clock >= want.ask_at ? WhomToAsk(want) : kNobody;
      if (whom != kNobody && requests[whom].digests.size() < kDigestsPerRequestMax) {
        requests[whom].digests.push_back(ref.digest);
        want.attempts++;
        const int times = std::min<int>(static_cast<int>(want.attempts), kBackOffMax);
        want.ask_at = clock + ResendInterval(times) + static_cast<int64_t>(ref.bytes / 10);
      }
      still_wanted[ref.digest] = want;
    }
  }
  wants = std::move(still_wanted);
  for (auto& [whom, request] : requests) SendNow(whom, std::move(request));
}

}  // namespace dadbs::core
