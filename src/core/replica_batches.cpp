/*
 * replica_batches.cpp: own write sets become batches; batches of all origins are held, acknowledged, served, selected.
 *
 * An own batch closes when every earlier one is prepared or on the chain and apply keeps up (at once when idle), or at a
 * limit; the primary closes its own when it can propose. So under load each block takes one batch of each origin, as
 * large as the time between two blocks makes it. A batch leaves when its record is durable.
 *
 * Memory: each origin is charged for what it has signed, whoever sent it. What comes next in its numbers pushes out
 * what comes later; a batch that a block in flight names is taken whatever the quota says: quotas are never a reason
 * not to vote.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {
constexpr uint64_t kWriteSetCostBytes = 64;  // beside its own bytes
constexpr int64_t kResendBytesPerUs = 10;    // the bandwidth that resending allows for
constexpr size_t kVotedBlocksMax = 8;
}  // namespace

// ---- own write sets ------------------------------------------------------------------------------------------------

bool Replica::State::HasRoom() const {
  return open && !fenced && own_bytes < limits.pending_bytes_per_origin_max / 2 &&
         own_count < uint64_t{limits.batch_transactions_max} * 64 &&
         delivered.value - std::min(applied, delivered).value <= limits.apply_lag_blocks_max;
}

void Replica::State::Submit(uint64_t ticket, Bytes write_set) {
  DADBS_CHECK(open && !fenced && write_set.size() <= kWriteSetBytesMax);
  const uint64_t bytes = write_set.size();
  if (!gathering.empty() && gathering_bytes + bytes > limits.batch_bytes_max) CloseBatch();
  if (gathering.empty()) gathering_since = clock;
  out.push_back(NumberedEffect{ticket, {self, incarnation, next_number + gathering.size()}});
  gathering.push_back(std::move(write_set));
  gathering_bytes += bytes;
  own_bytes += bytes + kWriteSetCostBytes;
  own_count++;
  if (gathering_bytes >= limits.batch_bytes_max || gathering.size() >= limits.batch_transactions_max) CloseBatch();
  // Otherwise Progress closes it, with what else is at hand.
}

// A block costs all members the same, whatever it holds, and one that is ordered while apply is busy with the last would
// only wait there. So batches and proposals wait here, and gather, until apply is done: for a while, since where apply is
// the slower part the next block is to be there in time.
bool Replica::State::IsPaced() {
  if (applied >= paced_by) return false;
  if (!paced_until) paced_until = clock + limits.pace_us_max;
  return clock < *paced_until;
}

bool Replica::State::MayCloseBatch() {
  if (gathering.empty() || !MaySign()) return false;
  if (entered && IsPrimary() && round.accepted) return false;
  const auto is_prepared = [&](const OwnBatch& b) { return b.in_proposal && round.my_commit; };
  return std::all_of(own.begin(), own.end(), is_prepared) && ((entered && IsPrimary()) || !IsPaced());
}

void Replica::State::CloseBatch() {
  auto batch = std::make_shared<Batch>();
  BatchHeader& h = batch->header;
  h.origin = self;
  h.incarnation = incarnation;
  h.journal_sequence = sequence + 1;
  h.first_number = next_number;
  h.count = static_cast<uint32_t>(gathering.size());
  std::vector<Digest> hashes(gathering.size());
  for (size_t i = 0; i < gathering.size(); i++) {
    DADBS_CHECK(TransactionHash(gathering[i], &hashes[i]));
    h.body_bytes += gathering[i].size();
  }
  h.transaction_root = TransactionTreeRoot(hashes);
  h.signature = signer.Sign(h.SigningBytes(context));
  batch->write_sets = std::exchange(gathering, {});
  gathering_bytes = 0;
  next_number += h.count;
  const Digest digest = h.digest();
  own.push_back({.digest = digest,
                 .first_number = h.first_number,
                 .count = h.count,
                 .bytes = h.body_bytes + h.count * kWriteSetCostBytes,
                 .submitted_at = gathering_since});
  HeldBatch* held = Hold(std::move(batch), digest, std::move(hashes));
  DADBS_CHECK(held != nullptr);
  JournalBatch(*held);
  held->acks.set(Place(self));
  releases.push_back({sequence, OwnBatchLeaves{digest}});
}

void Replica::State::BatchLeaves(const Digest& digest) {
  auto mine = std::find_if(own.begin(), own.end(), [&](const OwnBatch& b) { return b.digest == digest; });
  if (mine == own.end()) return;  // ordered already: somebody else had it
  mine->left = true;
  mine->left_at = clock;
  mine->resend_at = clock + ResendInterval(1, proposed_us) + static_cast<int64_t>(mine->bytes) / kResendBytesPerUs;
  EmitStage(ReplicaStage::kBatch, mine->submitted_at);
  if (const HeldBatch* held = FindHeld(self, digest)) SendNow(kNobody, BatchMessage{held->batch});
}

// What no proposal has named for a while: the primary may not have it; a large one, too few may have it.
void Replica::State::ResendOwnBatches() {
  size_t sent = 0;
  for (OwnBatch& mine : own) {
    if (sent >= kOwnBatchesResentMax) break;
    if (!mine.left || mine.in_proposal || clock < mine.resend_at) continue;
    const HeldBatch* held = FindHeld(self, mine.digest);
    DADBS_CHECK(held != nullptr);
    const bool large = IsLarge(*held->batch);
    for (const auto& [id, peer] : peers) {
      const bool to_all = mine.back_off >= 4 || (!IsPrimary() && !peers.at(primary().value).connected);
      const bool useful = large ? !held->acks.test(Place(NodeId{id})) : to_all || NodeId{id} == primary();
      if (peer.connected && useful) SendNow(NodeId{id}, BatchMessage{held->batch});
    }
    sent += large ? kOwnBatchesResentMax : 1;
    mine.back_off = std::min(mine.back_off * 2, kBackOffMax);
    mine.resend_at = clock + ResendInterval(mine.back_off, proposed_us) + static_cast<int64_t>(mine.bytes) / kResendBytesPerUs;
  }
}

// ---- batches held --------------------------------------------------------------------------------------------------

HeldBatch* Replica::State::FindHeld(NodeId origin, const Digest& digest) {
  auto queue = origins.find(origin.value);
  if (queue == origins.end()) return nullptr;
  auto key = queue->second.by_digest.find(digest);
  return key == queue->second.by_digest.end() ? nullptr : &queue->second.batches.at(key->second);
}

void Replica::State::Drop(OriginQueue* queue, std::map<BatchKey, HeldBatch>::iterator held) {
  queue->bytes -= BodyBytes(*held->second.batch);
  queue->by_digest.erase(held->first.digest);
  queue->batches.erase(held);
}

HeldBatch* Replica::State::Hold(std::shared_ptr<const Batch> batch, const Digest& digest,
                                std::vector<Digest> transaction_hashes) {
  const BatchHeader& h = batch->header;
  OriginQueue& queue = origins[h.origin.value];
  const BatchKey key{h.incarnation, h.first_number, digest};
  auto [it, added] = queue.batches.try_emplace(key);
  if (!added) return &it->second;
  queue.by_digest[digest] = key;
  queue.bytes += BodyBytes(*batch);
  it->second.acks.set(Place(h.origin));
  it->second.digest = digest;
  it->second.batch = std::move(batch);
  it->second.transaction_hashes = std::move(transaction_hashes);
  if (!IsLarge(*it->second.batch)) return &it->second;
  for (auto& [id, peer] : peers)
    if (std::erase(peer.early_acks, digest)) it->second.acks.set(Place(NodeId{id}));
  return &it->second;
}

bool Replica::State::IsInFlight(const Digest& digest) const {
  const auto names = [&](const std::optional<Candidate>& c) {
    return c &&
           std::any_of(c->batches.begin(), c->batches.end(), [&](const BatchRef& b) { return b.digest == digest; });
  };
  const auto are = [&](const BatchRefs& refs) {
    return std::any_of(refs.begin(), refs.end(), [&](const BatchRef& b) { return b.digest == digest; });
  };
  return names(round.candidate) || names(round.accepted) || (prepared && are(prepared->batches)) || are(bound_batches) ||
         std::any_of(voted.begin(), voted.end(), are);
}

// One PREPARE of mine and those of others may have made a certificate that only a faulty member has: a later view may be
// bound to that block, and then the honest have to have its batches. Of how many, memory decides.
void Replica::State::NoteVoted(const BatchRefs& batches) {
  voted.push_back(batches);
  if (voted.size() > kVotedBlocksMax) voted.pop_front();
}

// Admission, by the quota of its origin: what comes later in its numbers has to go first. One batch always fits.
bool Replica::State::MakeRoom(const BatchHeader& header, const Digest& digest) {
  OriginQueue& queue = origins[header.origin.value];
  const BatchKey key{header.incarnation, header.first_number, digest};
  while (!queue.batches.empty() && queue.bytes + header.body_bytes > limits.pending_bytes_per_origin_max) {
    auto last = std::prev(queue.batches.end());
    while (last != queue.batches.begin() && IsInFlight(last->first.digest)) --last;
    if (last->first < key || IsInFlight(last->first.digest)) return false;
    Drop(&queue, last);
  }
  return true;
}

void Replica::State::JournalBatch(HeldBatch& held) {
  if (MUTATED(kBatchUnjournaled) && held.batch->header.origin != self) return;
  const bool there =
      held.journaled_at_byte != 0 && journal_bytes - held.journaled_at_byte <= limits.journal_reappend_bytes;
  if (there) return;
  Append(BatchRecord{held.batch});
  held.journaled_at_byte = journal_bytes;
}

void Replica::State::ReceiveBatch(NodeId from, const BatchMessage& message) {
  const BatchHeader& h = message.batch->header;
  const Member* origin = genesis.Find(h.origin);
  if (!origin) return Reject(from, "a batch of a node that is not a member");
  if (from == h.origin) seen[from.value].Note(h.incarnation, h.journal_sequence);
  const Digest digest = h.digest();
  const bool wanted = wants.contains(digest);
  if (!wanted && (h.origin == self || !chain.CanStillBeOrdered(h))) return NoteLate(h);
  if (HeldBatch* held = FindHeld(h.origin, digest)) {
    if (held->acknowledged && from == h.origin)
      SendWhenDurable(from, BatchAck{h.origin, h.incarnation, h.first_number, digest});
    return;
  }
  if (!verifier.Verify(origin->key, h.SigningBytes(context), h.signature))
    return Reject(from, "a batch with a wrong signature");
  std::vector<Digest> hashes;
  std::string why;
  if (!message.batch->BodyMatches(&why, &hashes) && !MUTATED(kBodyUnchecked)) return Reject(from, "a batch: " + why);
  NoteSigned(h);
  if (!wanted && !MakeRoom(h, digest)) return;
  Hold(message.batch, digest, std::move(hashes));
  wants.erase(digest);
  AcknowledgeLarge(h.origin);
}

// A large batch is acknowledged, once journaled, when all before it of its origin are here: so what is journaled for an
// origin stays within its quota, and one slot is never acknowledged twice.
void Replica::State::AcknowledgeLarge(NodeId origin) {
  auto queue = origins.find(origin.value);
  if (queue == origins.end() || origin == self) return;
  const OriginState begin = chain.origin(origin);
  uint64_t next = begin.last_number + 1;
  auto it = queue->second.batches.lower_bound({begin.incarnation, next, {}});
  while (it != queue->second.batches.end() && it->first.incarnation == begin.incarnation &&
         it->first.first_number == next) {
    const auto same_slot = [&](auto i) {
      return i != queue->second.batches.end() && i->first.incarnation == begin.incarnation &&
             i->first.first_number == next;
    };
    auto chosen = it;
    for (auto other = it; same_slot(other); ++other)
      if (other->second.acknowledged) chosen = other;
    HeldBatch& held = chosen->second;
    if (IsLarge(*held.batch) && !held.acknowledged) {
      JournalBatch(held);
      held.acknowledged = true;
      held.acks.set(Place(self));
      const BatchAck ack{origin, begin.incarnation, next, held.digest};
      SendWhenDurable(origin, ack);
      if (primary() != origin && !IsPrimary()) SendWhenDurable(primary(), ack);
    }
    next += held.batch->header.count;
    it = queue->second.batches.lower_bound({begin.incarnation, next, {}});
  }
}

void Replica::State::ResendAcks() {
  if (clock < acks_resend_at) return;
  acks_resend_at = clock + ResendInterval(2, proposed_us);
  // To all: the primary may name it when q hold it, and the others may blame the primary only from then on.
  for (const auto& [id, queue] : origins)
    for (const auto& [key, held] : queue.batches)
      if (held.acknowledged && !IsInFlight(held.digest))
        SendWhenDurable(kNobody, BatchAck{NodeId{id}, key.incarnation, key.first_number, held.digest});
}

void Replica::State::ReceiveAck(NodeId from, const BatchAck& ack) {
  if (!genesis.Find(ack.origin)) return Reject(from, "an acknowledgement for a node that is not a member");
  if (HeldBatch* held = FindHeld(ack.origin, ack.digest)) {
    held->acks.set(Place(from));
    return;
  }
  const OriginState o = chain.origin(ack.origin);
  if (ack.incarnation < o.incarnation || (ack.incarnation == o.incarnation && ack.first_number <= o.last_number))
    return;
  auto& early = peers.at(from.value).early_acks;
  if (std::find(early.begin(), early.end(), ack.digest) != early.end()) return;
  early.push_back(ack.digest);
  if (early.size() > kEarlyAcksPerPeerMax) early.pop_front();
}

void Replica::State::Serve(NodeId from, const BatchRequest& request) {
  if (request.digests.empty() || request.digests.size() > kDigestsPerRequestMax)
    return Reject(from, "a request for no batch, or for too many");
  PeerState& peer = peers.at(from.value);
  const auto send = [&](const std::shared_ptr<const Batch>& batch) {
    peer.served_bytes += BodyBytes(*batch);
    SendNow(from, BatchMessage{batch});
  };
  for (const Digest& digest : request.digests) {
    if (peer.served_bytes > 4 * limits.fetch_bytes_max) return;
    if (auto old = recent_batches.find(digest); old != recent_batches.end()) {
      send(old->second);
      continue;
    }
    for (const Member& member : genesis.members) {
      const HeldBatch* held = FindHeld(member.id, digest);
      // An own batch leaves only with its record.
      const bool may_leave = held && (member.id != self || IsDurable(held->batch->header.journal_sequence));
      if (may_leave) send(held->batch);
    }
  }
}

// ---- incarnation entries -------------------------------------------------------------------------------------------

bool Replica::State::EntryIsUseful(const IncarnationEntry& pending) const {
  return pending.incarnation > chain.origin(pending.origin).incarnation &&
         chain.height.value < pending.recent_height.value + kIncarnationLifetimeBlocks;
}

void Replica::State::ReceiveEntry(NodeId from, const IncarnationMessage& message) {
  const IncarnationEntry& e = message.entry;
  const Member* origin = genesis.Find(e.origin);
  if (!origin) return Reject(from, "an incarnation of a node that is not a member");
  if (e.origin == self || !EntryIsUseful(e)) return;
  OriginQueue& queue = origins[e.origin.value];
  if (queue.entry && queue.entry->incarnation >= e.incarnation) return;
  if (!verifier.Verify(origin->key, e.SigningBytes(context), e.signature))
    return Reject(from, "an incarnation with a wrong signature");
  queue.entry = e;
  seen[e.origin.value].Note(e);
}

// ---- what a proposal takes -----------------------------------------------------------------------------------------

bool Replica::State::MayBeNamed(const HeldBatch& held) const {
  return MUTATED(kLargeBatchUnacked) || !IsLarge(*held.batch) || held.acks.count() >= q;
}

const HeldBatch* Replica::State::NextBatch(NodeId origin, const OriginState& after) const {
  auto queue = origins.find(origin.value);
  if (queue == origins.end() || after.incarnation == 0) return nullptr;
  const uint64_t number = after.last_number + 1;
  for (auto it = queue->second.batches.lower_bound({after.incarnation, number, {}});
       it != queue->second.batches.end() && it->first.incarnation == after.incarnation &&
       it->first.first_number == number;
       ++it)
    if (MayBeNamed(it->second)) return &it->second;
  return nullptr;
}

// Pending incarnations first, then one batch of each origin in turn until a limit is met. In the block the batches of
// an origin stand together; who begins moves on with the height.
std::vector<Item> Replica::State::SelectItems(std::vector<const HeldBatch*>* batches) const {
  std::vector<Item> items;
  std::map<uint16_t, std::vector<const HeldBatch*>> taken;
  std::map<uint16_t, OriginState> ends;
  std::vector<NodeId> turn;
  for (size_t i = 0; i < n; i++) {
    const NodeId id = genesis.members[(chain.height.value + i) % n].id;
    auto queue = origins.find(id.value);
    if (queue == origins.end()) continue;
    const auto& pending = queue->second.entry;
    if (pending && chain.CheckItem(*pending, genesis).empty()) {
      items.push_back(*pending);
    } else {
      turn.push_back(id);
      ends[id.value] = chain.origin(id);
    }
  }
  uint64_t count = items.size(), transactions = 0, bytes = 0;
  std::vector<NodeId> active = turn;
  while (!active.empty()) {
    std::erase_if(active, [&](NodeId id) {
      OriginState& end = ends[id.value];
      const HeldBatch* next = NextBatch(id, end);
      if (!next) return true;
      const BatchHeader& h = next->batch->header;
      const bool fits = count < limits.block_items_max && transactions + h.count <= limits.block_transactions_max &&
                        bytes + h.body_bytes <= limits.block_bytes_max;
      if (!fits && transactions > 0) return true;
      count++, transactions += h.count, bytes += h.body_bytes;
      end.last_number += h.count;
      taken[id.value].push_back(next);
      return false;
    });
  }
  for (NodeId id : turn)
    for (const HeldBatch* held : taken[id.value]) {
      items.push_back(held->batch->header);
      batches->push_back(held);
    }
  return items;
}

// After the chain has advanced.
void Replica::State::DropOrdered() {
  for (auto& [id, queue] : origins) {
    while (!queue.batches.empty() && !chain.CanStillBeOrdered(queue.batches.begin()->second.batch->header))
      Drop(&queue, queue.batches.begin());
    if (queue.entry && !EntryIsUseful(*queue.entry)) queue.entry.reset();
  }
  const OriginState mine = chain.origin(self);
  if (entry && mine.incarnation >= entry->incarnation) entry.reset();
  while (!own.empty() && mine.incarnation == incarnation && own.front().first_number <= mine.last_number) {
    own_bytes -= own.front().bytes;
    own_count -= own.front().count;
    own.pop_front();
  }
  for (auto queue = origins.begin(); queue != origins.end(); ++queue) AcknowledgeLarge(NodeId{queue->first});
}

}  // namespace dadbs::core
