/*
 * checker.cpp: see checker.h.
 */
#include "checker.h"

#include <utility>

#include "dadbs/core/write_set.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

[[noreturn]] void Fail(NodeId node, const std::string& what) {
  throw Failure("member " + std::to_string(node.value) + " " + what);
}

std::string At(Height height) { return " at height " + std::to_string(height.value); }

VoteMessage ProposersVote(const ProposalMessage& p) {
  return {Phase::kPrepare, p.block->header.epoch, p.view, p.block->header.height, p.block->header.hash(), p.envelope};
}

}  // namespace

Height Checker::delivered(NodeId node) const {
  auto it = members_.find(node.value);
  return it == members_.end() ? Height{} : it->second.delivered;
}

bool Checker::IsClosed(const TransactionId& id) const {
  auto origin = origins_.find(id.origin.value);
  return !IsOrdered(id) && origin != origins_.end() && origin->second.incarnation > id.incarnation;
}

void Checker::KnowBlock(const Block& block) {
  auto [it, is_new] = block_batches_.try_emplace(block.header.hash());
  if (!is_new) return;
  for (const Item& item : block.items)
    if (const auto* batch = std::get_if<BatchHeader>(&item)) it->second.push_back(batch->digest());
}

// ---- journal -------------------------------------------------------------------------------------------------------

void Checker::OnDurable(NodeId node, const JournalRecord& record) {
  Member& m = members_[node.value];
  if (const auto* r = std::get_if<IncarnationRecord>(&record)) {
    auto [it, is_new] = m.entries.try_emplace(r->entry.incarnation, ItemLeaf(r->entry));
    if (!is_new && it->second != ItemLeaf(r->entry)) Fail(node, "has two entries for one incarnation");
  }
  if (const auto* r = std::get_if<BatchRecord>(&record)) m.batches.insert(r->batch->header.digest());
  if (const auto* r = std::get_if<ProposalRecord>(&record)) {
    KnowBlock(*r->proposal.block);
    m.proposals.insert(r->proposal.block->header.hash());
    if (r->proposal.envelope.signer == IdOf(node)) DurableVote(node, ProposersVote(r->proposal));
  }
  if (const auto* r = std::get_if<PrepareRecord>(&record)) DurableVote(node, r->vote);
  if (const auto* r = std::get_if<CommitRecord>(&record)) DurableCommit(node, *r);
  if (const auto* r = std::get_if<CommittedRecord>(&record)) {
    KnowBlock(*r->block);
    m.committed.insert(r->block->header.height);
    m.begun.insert(r->certificate.view);
    m.promised = std::max(m.promised, r->certificate.view);
  }
  if (const auto* r = std::get_if<ViewChangeRecord>(&record)) {
    if (r->message.change.view < m.promised && !IsFaulty(node)) Fail(node, "goes back to an older view");
    m.promised = r->message.change.view;
    m.asked.insert(m.promised);
  }
  if (const auto* r = std::get_if<NewViewRecord>(&record)) DurableView(node, r->message.start);
  if (const auto* r = std::get_if<MemoryRecord>(&record)) m.knows_durably |= r->state.memory == Memory::kLearner;
}

void Checker::DurableView(NodeId node, const NewView& start) {
  Member& m = members_[node.value];
  if (start.view < m.promised && !IsFaulty(node)) Fail(node, "begins an older view than it has promised");
  m.promised = start.view;
  m.begun.insert(start.view);
  std::set<uint16_t> askers;
  for (const ViewChange& v : start.proof)
    if (v.view == start.view && v.envelope.signer.value <= genesis_.members.size()) askers.insert(v.envelope.signer.value);
  if (IsFaulty(node)) return;
  if (askers.size() < genesis_.quorum()) Fail(node, "begins a view without a quorum's promises");
  for (const ViewChange& v : start.proof) {
    std::string why;
    const auto proves = [&](const std::optional<Certificate>& c, Phase phase, Height height) {
      return !c || (c->phase == phase && c->height == height && VerifyCertificate(*c, genesis_, *verifier_, &why));
    };
    if (!proves(v.head, Phase::kCommit, v.height) || !proves(v.prepared, Phase::kPrepare, v.height.next()))
      Fail(node, "begins a view with something that nobody has signed: " + why);
  }
}

void Checker::DurableVote(NodeId node, const VoteMessage& v) {
  const Member& m = members_[node.value];
  if (v.view < m.promised && !IsFaulty(node)) Fail(node, "votes in a view that it had left" + At(v.height));
  if (v.view > View{} && !m.begun.contains(v.view) && !IsFaulty(node))
    Fail(node, "votes in a view that has not begun" + At(v.height));
  auto [it, is_new] = members_[node.value].votes.try_emplace({v.phase, v.view, v.height}, v.hash);
  if (!is_new && it->second != v.hash && !IsFaulty(node))
    Fail(node, "has two votes of one phase in its journal" + At(v.height));
}

void Checker::DurableCommit(NodeId node, const CommitRecord& r) {
  DurableVote(node, r.vote);
  const Certificate& c = r.prepared;
  const bool same =
      c.phase == Phase::kPrepare && c.view == r.vote.view && c.height == r.vote.height && c.hash == r.vote.hash;
  if (!same) Fail(node, "journals a COMMIT with another block's prepare certificate" + At(r.vote.height));
  std::string why;
  if (!VerifyCertificate(c, genesis_, *verifier_, &why))
    Fail(node, "journals a COMMIT without a prepare certificate: " + why);
}

void Checker::OnRestart(NodeId node, const RecoveredState& recovered) {
  const Height height = recovered.chain.height;
  if (height < members_[node.value].delivered) Fail(node, "forgot a block that it had delivered");
  if (height <= top() && recovered.chain.hash != hashes_[height.value]) Fail(node, "came back with another chain");
}

void Checker::OnRollBack(NodeId node, const std::vector<JournalRecord>& kept, const RecoveredState& recovered) {
  Member& m = members_[node.value];
  Member now = m;
  now.votes.clear();
  now.proposals.clear();
  now.entries.clear();
  now.promised = {};
  members_[node.value] = now;
  for (const JournalRecord& record : kept) OnDurable(node, record);
  Member& again = members_[node.value];
  again.promised = std::max(again.promised, recovered.view);
  std::erase_if(again.committed, [&](Height height) { return height > recovered.chain.height; });
  again.delivered = std::min(again.delivered, recovered.chain.height);
  again.incarnation_delivered = std::min(again.incarnation_delivered, recovered.chain.origin(IdOf(node)).incarnation);
  again.has_voted_since = again.must_know = again.knows_durably = false;
  for (const auto& [slot, hash] : again.left)
    if (std::get<Height>(slot) > recovered.chain.height && !again.votes.contains(slot))
      again.forgotten = std::max(again.forgotten, std::get<Height>(slot));
}

void Checker::OnClone(NodeId clone, NodeId original) {
  members_[clone.value] = members_[original.value];
  clones_[clone.value] = original;
}

bool Checker::MustKnow(NodeId node) {
  Member& m = members_[node.value];
  return !m.has_voted_since && !std::exchange(m.must_know, true);
}

void Checker::MayNotKnow(NodeId node) {
  Member& m = members_[node.value];
  m.must_know = m.must_know && m.knows_durably;
}

// ---- what leaves ---------------------------------------------------------------------------------------------------

void Checker::OnSend(NodeId node, const Message& message) {
  if (IsFaulty(node)) return;
  if (const auto* m = std::get_if<VoteMessage>(&message)) VoteLeaves(node, *m);
  if (const auto* m = std::get_if<ProposalMessage>(&message)) ProposalLeaves(node, *m);
  if (const auto* m = std::get_if<BatchMessage>(&message)) BatchLeaves(node, *m->batch);
  if (const auto* m = std::get_if<IncarnationMessage>(&message)) EntryLeaves(node, m->entry);
  if (const auto* m = std::get_if<ViewChangeMessage>(&message))
    if (m->change.envelope.signer == IdOf(node) && !members_[node.value].asked.contains(m->change.view))
      Fail(node, "asks for a view before that is durable");
  if (const auto* m = std::get_if<NewViewMessage>(&message)) ViewLeaves(node, m->start);
  if (const auto* m = std::get_if<BlockMessage>(&message))
    if (!members_[node.value].committed.contains(m->block->header.height))
      Fail(node, "serves a block that isn't durable");
  if (const auto* m = std::get_if<BatchAck>(&message))
    if (!members_[node.value].batches.contains(m->digest)) Fail(node, "acknowledges a batch that isn't durable");
}

void Checker::ViewLeaves(NodeId node, const NewView& start) {
  if (!members_[node.value].begun.contains(start.view)) Fail(node, "shows the beginning of a view before that is durable");
}

void Checker::BatchesAreDurable(NodeId node, const Digest& block_hash, const char* what) {
  auto known = block_batches_.find(block_hash);
  if (known == block_batches_.end()) Fail(node, std::string(what) + " a block that nobody has proposed");
  for (const Digest& digest : known->second)
    if (!members_[node.value].batches.contains(digest))
      Fail(node, std::string(what) + " a block, a batch of which isn't durable");
}

void Checker::VoteLeaves(NodeId node, const VoteMessage& vote) {
  if (vote.envelope.signer != IdOf(node)) return;
  Count(vote);
  InItsEra(vote.envelope, vote.height);
  Member& m = members_[node.value];
  if (m.must_know && vote.height <= m.forgotten) Fail(node, "votes where it has forgotten what it voted" + At(vote.height));
  m.has_voted_since = true;
  m.left.try_emplace({vote.phase, vote.view, vote.height}, vote.hash);
  auto it = m.votes.find({vote.phase, vote.view, vote.height});
  if (it == m.votes.end() || it->second != vote.hash) Fail(node, "sends a vote that isn't durable" + At(vote.height));
  BatchesAreDurable(node, vote.hash, "votes for");
}

void Checker::ProposalLeaves(NodeId node, const ProposalMessage& p) {
  KnowBlock(*p.block);
  if (p.envelope.signer != IdOf(node)) return;
  Member& m = members_[node.value];
  const Height height = p.block->header.height;
  InItsEra(p.envelope, height);
  if (m.must_know && height <= m.forgotten) Fail(node, "proposes where it has forgotten what it voted" + At(height));
  m.has_voted_since = true;
  m.left.try_emplace({Phase::kPrepare, p.view, height}, p.block->header.hash());
  const Digest hash = p.block->header.hash();
  if (!members_[node.value].proposals.contains(hash))
    Fail(node, "sends a proposal that isn't durable" + At(p.block->header.height));
  BatchesAreDurable(node, hash, "proposes");
}

void Checker::BatchLeaves(NodeId node, const Batch& batch) {
  if (batch.header.origin != IdOf(node)) return;
  const Member& m = members_[node.value];
  const bool has_twin = std::any_of(clones_.begin(), clones_.end(), [&](const auto& c) { return c.first == node.value || c.second == node; });
  if (!m.batches.contains(batch.header.digest())) {
    if (has_twin) return;  // the other server's, passed on
    Fail(node, "sends an own batch that isn't durable");
  }
  if (batch.header.incarnation > m.incarnation_delivered)
    Fail(node, "sends a batch before its incarnation is delivered");
}

void Checker::EntryLeaves(NodeId node, const IncarnationEntry& entry) {
  if (entry.origin != IdOf(node)) return;
  const Member& m = members_[node.value];
  auto it = m.entries.find(entry.incarnation);
  if (it == m.entries.end() || it->second != ItemLeaf(entry)) Fail(node, "sends an incarnation that isn't durable");
}

// Of two members certificates need both: there a later era votes in higher views, perhaps at the same height.
void Checker::InItsEra(const Signed& envelope, Height height) {
  if (genesis_.members.size() < 3) return;
  auto& eras = eras_[envelope.signer.value];
  auto [mine, is_new] = eras.try_emplace(EraOf(envelope.incarnation), height, height);
  mine->second = {std::min(mine->second.first, height), std::max(mine->second.second, height)};
  const auto clash = [&](auto lower, auto higher) {
    if (lower->second.second >= higher->second.first)
      Fail(envelope.signer, "signs in two eras" + At(height));
  };
  if (mine != eras.begin()) clash(std::prev(mine), mine);
  if (std::next(mine) != eras.end()) clash(mine, std::next(mine));
}

// Every vote that has left its signer counts for ever, whether it arrived or not.
void Checker::Count(const VoteMessage& vote) {
  if (vote.phase != Phase::kCommit) return;
  auto& signers = commits_[{vote.height, vote.view, vote.hash}];
  signers.insert(vote.envelope.signer.value);
  if (signers.size() < genesis_.quorum()) return;
  auto& hashes = certifiable_[vote.height];
  hashes.insert(vote.hash);
  if (hashes.size() > 1) throw Failure("two certificates can be made" + At(vote.height));
}

// ---- deliveries ----------------------------------------------------------------------------------------------------

void Checker::OnNumbered(NodeId node, const TransactionId& id, const Digest& identity) {
  if (id.origin != IdOf(node)) Fail(node, "numbers a transaction as another's");
  if (!numbered_.try_emplace(id, identity).second) Fail(node, "numbers a second transaction " + ToString(id));
}

void Checker::OnDeliver(NodeId node, const DeliverEffect& delivered) {
  Member& m = members_[node.value];
  const Height height = delivered.block->header.height;
  if (height != m.delivered.next()) Fail(node, "leaves out a height");
  m.delivered = height;
  for (const Item& item : delivered.block->items)
    if (const auto* entry = std::get_if<IncarnationEntry>(&item); entry && entry->origin == IdOf(node))
      m.incarnation_delivered = entry->incarnation;
  if (IsFaulty(node)) return;
  if (!m.committed.contains(height)) Fail(node, "delivers a block that isn't durable" + At(height));
  for (const auto& batch : delivered.batches)
    if (!m.batches.contains(batch->header.digest())) Fail(node, "delivers a batch that isn't durable" + At(height));
  if (height > top()) return NewBlock(delivered);
  if (delivered.block->header.hash() != hashes_[height.value]) Fail(node, "delivers another block" + At(height));
  std::string why;
  const Certificate& c = *delivered.certificate;
  const bool same = c.phase == Phase::kCommit && c.height == height && c.hash == hashes_[height.value];
  if (!same || !VerifyCertificate(c, genesis_, *verifier_, &why)) Fail(node, "delivers with a bad certificate: " + why);
}

void Checker::NewBlock(const DeliverEffect& delivered) {
  const Block& block = *delivered.block;
  const Height height = block.header.height;
  std::vector<Digest> transaction_hashes;
  for (const auto& batch : delivered.batches)
    for (const Bytes& write_set : batch->write_sets)
      if (!TransactionHash(write_set, &transaction_hashes.emplace_back()))
        throw Failure("a malformed write set" + At(height));
  const BlockHeader* parent = height.value == 1 ? nullptr : &blocks_.at(height.value - 1).block->header;
  const std::string why =
      CheckBlock(block, parent, hashes_.back(), *delivered.certificate, transaction_hashes, genesis_, *verifier_);
  if (!why.empty()) throw Failure("an unsound block" + At(height) + ": " + why);
  NewItems(delivered);
  hashes_.push_back(block.header.hash());
  blocks_[height.value] = {delivered.block, delivered.certificate, delivered.batches, 0};
}

void Checker::NewItems(const DeliverEffect& delivered) {
  size_t next = 0;
  for (const Item& item : delivered.block->items) {
    if (const auto* entry = std::get_if<IncarnationEntry>(&item)) {
      Origin& origin = origins_[entry->origin.value];
      if (entry->incarnation <= origin.incarnation) throw Failure("an incarnation that isn't newer");
      origin = {entry->incarnation, 0};
      continue;
    }
    const auto& header = std::get<BatchHeader>(item);
    Origin& origin = origins_[header.origin.value];
    if (header.incarnation != origin.incarnation) throw Failure("a batch of an incarnation that isn't open");
    if (header.first_number != origin.last_number + 1) throw Failure("numbers that aren't contiguous");
    if (next >= delivered.batches.size()) throw Failure("a delivery without one of its batches");
    const Batch& batch = *delivered.batches[next++];
    if (batch.header.digest() != header.digest()) throw Failure("a delivery with another batch than the block's");
    for (const Bytes& write_set : batch.write_sets) {
      const TransactionId id{header.origin, header.incarnation, ++origin.last_number};
      ordered_.emplace(id, ordered_.size());
      if (IsFaulty(header.origin)) continue;
      auto known = numbered_.find(id);
      if (known == numbered_.end()) throw Failure("a transaction that its origin has never numbered");
      if (known->second != WriteSetIdentity(write_set)) throw Failure("another payload than " + ToString(id) + " had");
    }
    if (origin.last_number != header.first_number + header.count - 1) throw Failure("a wrong count");
  }
}

}  // namespace dadbs::sim
