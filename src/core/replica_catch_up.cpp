/*
 * replica_catch_up.cpp: certified blocks that this member lacks, from several members at once.
 *
 * The heights above the chain that somebody claims are divided among the connected members: a request is for a few blocks
 * (fetch_blocks_max, and the answer ends at fetch_bytes_max), few are out at a time, and fewer while what has come waits
 * for its turn; so memory is bounded by fetch_asks_max answers and one block. Nothing is asked for while apply is behind
 * by more than its limits. Blocks are taken in the order of heights only: parent, roots, certificate, bodies are verified
 * against the chain as it is then, before anything of the block is journaled. Nobody is believed for who he is.
 *
 * Who answers wrongly, without bodies or not at all is left for a while, longer each time (much longer for what cannot
 * have been an accident), and the others are asked for the same. When only such are left, they are asked in turn: an
 * honest member may have been slow. When the next block is what all else waits for, a second member is asked for it.
 *
 * A member votes at the next height as soon as it has caught up: nothing else is needed, since its journal holds what it
 * has signed, and replica_votes signs for the next height only.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {
constexpr size_t kAsksPerPeerMax = 2;
constexpr int kWrongLeaveIntervals = 50;  // resend intervals that a member is left for after a wrong answer ...
constexpr uint32_t kWrongLeaveDoublings = 5;
}  // namespace

// ---- how far behind ------------------------------------------------------------------------------------------------

// One height behind is how things are while votes travel: that waits a little. Two is a gap.
bool Replica::State::IsBehind() const {
  if (highest_claim <= chain.height) return false;
  Height highest = chain.height;
  for (const auto& [id, peer] : peers)
    if (peer.connected) highest = std::max(highest, peer.claimed);
  if (highest == chain.height) return false;
  return highest > next_height() || clock - moved_at >= ResendInterval(1);
}

bool Replica::State::IsApplyBehind() const {
  if (apply_waits_for_more) return false;
  const uint64_t lag = delivered.value - std::min(applied, delivered).value;  // counts what a restart has found in the journal
  return std::max<uint64_t>(lag, unapplied.size()) > limits.apply_lag_blocks_max || unapplied_bytes > limits.unapplied_bytes_max;
}

void Replica::State::NoteUnapplied(const Block& block) {
  if (block.header.height <= applied) return;  // the tables are further than the journal was
  const uint64_t bytes = block.header.body_bytes + 1024;
  unapplied.emplace_back(block.header.height, bytes);
  unapplied_bytes += bytes;
}

// At the start it is not known how much of the journal is applied; the first word of it may be lower than what was taken,
// or higher than the journal reaches, where that is a copy of an older one.
void Replica::State::Applied(Height height) {
  applied = is_applied_known ? std::max(applied, height) : height;
  is_applied_known = true;
  while (!unapplied.empty() && unapplied.front().first <= applied) {
    unapplied_bytes -= unapplied.front().second;
    unapplied.pop_front();
  }
}

// ---- answers -------------------------------------------------------------------------------------------------------

void Replica::State::DropAsks(NodeId peer) {
  std::erase_if(asks, [&](const BlockAsk& ask) { return ask.peer == peer; });
}

// What it has given and nobody has looked at yet goes too, if it lied.
void Replica::State::LeaveServer(NodeId peer, const char* why, bool is_wrong) {
  PeerState& server = peers.at(peer.value);
  for (const BlockAsk& ask : asks)
    if (ask.peer == peer) server.late_from = ask.next, server.late_end = ask.end;
  DropAsks(peer);
  if (is_wrong) {
    const uint32_t doublings = std::min(server.wrong_answers, kWrongLeaveDoublings);
    server.ask_again_at = clock + ResendInterval(kWrongLeaveIntervals << doublings);
    server.wrong_answers++;
    server.late_end = 0;
    std::vector<uint64_t> its;
    for (const auto& [height, block] : certified)
      if (block.from == peer && !block.checked) its.push_back(height);
    for (uint64_t height : its) DropCertified(height);
  } else {
    server.ask_again_at = std::max(server.ask_again_at, clock + ResendInterval(2 * server.patience));
    server.patience = std::min(server.patience * 2, kBackOffMax);
    server.missed_answers++;
  }
  out.push_back(ServerLeftEffect{peer, why, is_wrong});
}

// Whether `from` was asked for it. An answer that comes after its deadline is as good as any.
bool Replica::State::NoteAnswer(NodeId from, const BlockMessage& message) {
  const uint64_t height = message.block->header.height.value;
  PeerState& server = peers.at(from.value);
  const bool has_batches = std::any_of(message.block->items.begin(), message.block->items.end(),
                                       [](const Item& item) { return std::holds_alternative<BatchHeader>(item); });
  if (has_batches && message.batches.empty()) return false;  // no answer: what a voter for an old height is sent
  for (auto ask = asks.begin(); ask != asks.end(); ++ask) {
    if (ask->peer != from || height < ask->next || height >= ask->end) continue;
    server.patience = 1;
    ask->next = height + 1;
    for (BlockAsk& other : asks)  // it answers one after the other
      if (other.peer == from) other.deadline = clock + ResendInterval(2);
    if (message.remaining == 0 || ask->next == ask->end) asks.erase(ask);
    return true;
  }
  return height >= server.late_from && height < server.late_end;
}

void Replica::State::ReceiveBlock(NodeId from, BlockMessage& message) {
  const Height height = message.block->header.height;
  const bool asked = NoteAnswer(from, message);
  if (height == chain.height && !head && message.block->header.hash() == chain.hash &&
      CheckCertificate(message).empty())
    head = message.certificate;
  if (height <= chain.height) return;
  const bool is_next = height == next_height();
  if (!is_next && (!asked || height.value > chain.height.value + kBlocksPerRequestMax)) return;
  uint64_t bytes = 1024 + message.block->items.size() * sizeof(Item);
  for (const auto& batch : message.batches)
    for (const Bytes& write_set : batch->write_sets) bytes += write_set.size() + sizeof(Bytes);
  if (auto known = certified.find(height.value); known != certified.end()) {
    if (known->second.checked) {  // it waits for bodies
      known->second.message.batches = std::move(message.batches);
      TakeBodies(known->second);
      known->second.message.batches.clear();
      std::vector<HeldBatch*> held;
      if (asked && !FindAll(known->second.batches, &held)) LeaveServer(from, "a block without its transactions", true);
      return;
    }
    if (!asked || known->second.asked) return;
    DropCertified(height.value);
  }
  if (!is_next && certified_bytes + bytes > limits.fetch_asks_max * limits.fetch_bytes_max) return;
  certified_bytes += bytes;
  certified[height.value] = {std::move(message), from, bytes, asked, false, {}, 0};
}

void Replica::State::DropCertified(uint64_t height) {
  auto it = certified.find(height);
  if (it == certified.end()) return;
  certified_bytes -= it->second.bytes;
  certified.erase(it);
}

// ---- verification --------------------------------------------------------------------------------------------------

std::string Replica::State::CheckCertificate(const BlockMessage& message) const {
  const Certificate& c = *message.certificate;
  if (c.phase != Phase::kCommit || c.epoch != context.epoch) return "not a certificate of COMMITs of this epoch";
  if (c.height != message.block->header.height || c.hash != message.block->header.hash())
    return "another block's certificate";
  std::string why;
  return VerifyCertificate(c, genesis, verifier, &why) ? "" : why;
}

std::string Replica::State::CheckCertified(const BlockMessage& message) const {
  if (MUTATED(kFetchedUnchecked) && asks_made > 0) return "";
  if (std::string why = chain.Check(*message.block, genesis); !why.empty()) return why;
  return MUTATED(kCertificateUnchecked) ? "" : CheckCertificate(message);
}

// The block says by digest and root what its bodies are.
void Replica::State::TakeBodies(const CertifiedBlock& block) {
  for (const auto& batch : block.message.batches) {
    const Digest digest = batch->header.digest();
    const bool named = std::any_of(block.batches.begin(), block.batches.end(),
                                   [&](const BatchRef& ref) { return ref.digest == digest; });
    if (!named || FindHeld(batch->header.origin, digest)) continue;
    std::vector<Digest> hashes;
    if (!batch->BodyMatches(nullptr, &hashes) && !MUTATED(kFetchedUnchecked)) continue;
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
    certified[next_height().value] = {std::move(block), v.envelope.signer, 0, false, false, {}};
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
  const NodeId from = block.from;
  const bool asked = block.asked;
  if (!block.checked) {
    if (std::string why = CheckCertified(block.message); !why.empty()) {
      Reject(from, "a block: " + why);
      DropCertified(it->first);
      if (asked) LeaveServer(from, "a block that is not valid", true);
      return false;
    }
    block.checked = true;
    block.checked_at = clock;
    block.batches = RefsOf(*block.message.block);
    TakeBodies(block);
    block.message.batches.clear();
  }
  std::vector<HeldBatch*> held;
  if (!FindAll(block.batches, &held)) {
    if (!std::exchange(block.asked, false)) return false;
    LeaveServer(from, "a block without its transactions", true);
    return false;
  }
  const std::shared_ptr<const Block> next = block.message.block;
  const Certificate certificate = *block.message.certificate;
  DropCertified(it->first);
  Commit(next, certificate, held);
  return true;
}

// ---- questions -----------------------------------------------------------------------------------------------------

// What the chain has passed is not waited for any more; what was not answered in time is asked elsewhere.
void Replica::State::TrimAsks() {
  std::vector<std::pair<NodeId, const char*>> left;
  for (BlockAsk& ask : asks) {
    ask.next = std::max(ask.next, next_height().value);
    if (ask.next >= ask.end) {
      if (ask.is_doubled) left.emplace_back(ask.peer, "blocks that another member gave sooner");
    } else if (clock >= ask.deadline) {
      left.emplace_back(ask.peer, "no blocks in time");
    }
  }
  std::erase_if(asks, [](const BlockAsk& ask) { return ask.next >= ask.end; });
  for (const auto& [peer, why] : left) LeaveServer(peer, why, false);
}

// Heights that are neither here nor asked for, from the lowest on. A block that waits for its bodies is not here: after
// a while they are in nobody's memory, but in the tables.
std::optional<std::pair<uint64_t, uint64_t>> Replica::State::FirstGap() const {
  Height highest;
  for (const auto& [id, peer] : peers)
    if (peer.connected) highest = std::max(highest, peer.claimed);
  uint64_t from = next_height().value;
  const uint64_t limit = std::min(highest.value, chain.height.value + kBlocksPerRequestMax) + 1;  // a claim may be any number
  const auto asked_to = [&](uint64_t height) -> uint64_t {  // 0: nobody was asked for it
    for (const BlockAsk& ask : asks)
      if (height >= ask.next && height < ask.end) return ask.end;
    return 0;
  };
  const auto is_here = [&](uint64_t height) {
    auto it = certified.find(height);
    return it != certified.end() && (!it->second.checked || clock - it->second.checked_at < ResendInterval(1));
  };
  while (from < limit) {
    if (const uint64_t end = asked_to(from)) {
      from = end;
    } else if (is_here(from)) {
      from++;
    } else {
      uint64_t end = from + 1;
      while (end < limit && end - from < limits.fetch_blocks_max && !asked_to(end) && !is_here(end)) end++;
      return std::pair{from, end};
    }
  }
  return std::nullopt;
}

// Of those that claim to have it: who has given no reason to be left, and has the fewest requests. Where there is nobody
// like that, whoever was left for the shortest time. Nobody twice for the same.
PeerState* Replica::State::ChooseServer(Height needed, NodeId* chosen) {
  PeerState* best = nullptr;
  std::tuple<bool, int64_t, size_t, size_t> best_rank;
  for (size_t i = 0; i < n; i++) {
    const NodeId id = genesis.members[(next_server + i) % n].id;
    auto peer = peers.find(id.value);
    if (peer == peers.end() || !peer->second.connected || peer->second.claimed < needed) continue;
    if (std::any_of(asks.begin(), asks.end(), [&](const BlockAsk& ask) { return ask.peer == id && Covers(ask, needed); })) continue;
    const auto out_now = static_cast<size_t>(
        std::count_if(asks.begin(), asks.end(), [&](const BlockAsk& ask) { return ask.peer == id; }));
    const bool left = clock < peer->second.ask_again_at;
    if (out_now >= (left ? 1 : kAsksPerPeerMax)) continue;
    const std::tuple rank{left, left ? peer->second.ask_again_at : 0, out_now, i};
    if (best && rank >= best_rank) continue;
    best = &peer->second;
    best_rank = rank;
    *chosen = id;
  }
  return best;
}

bool Replica::State::AskServer(uint64_t from, uint64_t end) {
  NodeId whom;
  PeerState* server = ChooseServer(Height{from}, &whom);
  if (!server) return false;
  // One that was left is asked only where nobody else is busy with anything.
  if (clock < server->ask_again_at && !asks.empty()) return false;
  end = std::min(end - 1, server->claimed.value) + 1;
  asks.push_back({whom, from, end, clock, clock + ResendInterval(2 * server->patience)});
  next_server = static_cast<uint16_t>(whom.value % n);
  asks_made++;
  SendNow(whom, BlockRequest{Height{from}, static_cast<uint32_t>(end - from)});
  return true;
}

// All that there is room for is asked for, and it is the next block that does not come: from none of those who were asked
// for it. Again for the block behind that, since an answer may be shorter than what was asked for.
void Replica::State::DoubleHead() {
  const auto is_slow = [&](const BlockAsk& ask) { return clock - ask.asked_at >= ResendInterval(2); };
  const auto covers = [&](const BlockAsk& ask) { return Covers(ask, next_height()); };
  uint64_t end = 0;
  for (BlockAsk& ask : asks) {
    if (!covers(ask)) continue;
    if (!is_slow(ask)) return;
    end = std::max(end, ask.end);
  }
  if (end == 0 || !AskServer(next_height().value, end)) return;
  for (size_t i = 0; i + 1 < asks.size(); i++) asks[i].is_doubled = asks[i].is_doubled || covers(asks[i]);
}

void Replica::State::AskForBlocks() {
  TrimAsks();
  if (fenced) return;
  AskForHead();
  if (!IsBehind() || IsApplyBehind()) return;
  // The next block always has room: all else waits for it.
  const auto has_room = [&](uint64_t from) {
    const uint64_t waiting = certified_bytes / limits.fetch_bytes_max;
    return asks.size() + (from == next_height().value ? 0 : waiting) < limits.fetch_asks_max;
  };
  while (const auto gap = FirstGap()) {
    if (!has_room(gap->first)) break;
    if (!AskServer(gap->first, gap->second)) break;
  }
  if (asks.size() <= limits.fetch_asks_max) DoubleHead();
}

// A journal of an older build may not hold the certificate of the last block: without it no view can be asked for.
void Replica::State::AskForHead() {
  if (head || chain.height == Height{} || clock < probe_at) return;
  NodeId whom;
  if (!ChooseServer(chain.height, &whom)) return;
  next_server = static_cast<uint16_t>(whom.value % n);
  probe_at = clock + ResendInterval(2);
  SendNow(whom, BlockRequest{chain.height, 1});
}

}  // namespace dadbs::core
