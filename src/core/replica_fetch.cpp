/*
 * replica_fetch.cpp: what others lack is served, and batches that are missing are asked for by digest, from one member
 * after the other.
 *
 * A member that is behind asks (replica_catch_up); nobody pushes, but for the answer to a vote for an old height. A batch
 * is believed for its digest, so it doesn't matter who sends it. What peers say of their height is a hint only. Blocks
 * that are not in memory any more are served by the owner (ServeBlocksEffect).
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

// ---- who is where --------------------------------------------------------------------------------------------------

void Replica::State::Claim(NodeId peer, Height committed) {
  auto it = peers.find(peer.value);
  if (it == peers.end()) return;
  it->second.claimed = std::max(it->second.claimed, committed);
  highest_claim = std::max(highest_claim, committed);
}

void Replica::State::ReceiveStatus(NodeId from, const StatusMessage& status) {
  Claim(from, status.committed);
  if (status.view < view) HelpWithView(from);
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
