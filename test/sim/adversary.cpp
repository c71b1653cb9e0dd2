/*
 * adversary.cpp: see adversary.h.
 */
#include "adversary.h"

#include <algorithm>

#include "dadbs/core/write_set.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr size_t kKeptMax = 256;

void Remember(std::vector<Digest>* hashes, const Digest& hash) {
  for (const Digest& known : *hashes)
    if (known == hash) return;
  hashes->push_back(hash);
}

}  // namespace

Bytes MakeWriteSet(NodeId origin, uint64_t ticket, size_t size, Random* random) {
  std::string text = std::to_string(origin.value) + "/" + std::to_string(ticket) + "/";
  text.resize(std::max(text.size(), size), 'x');
  RowChange row;
  row.relation = {"public", "t"};
  row.row.push_back({'t', AsBytes(text)});
  Salt salt;
  for (uint8_t& byte : salt.bytes) byte = static_cast<uint8_t>(random->Next());
  WriteSetBuilder builder(WriteSetKind::kRows);
  builder.Add(salt, EncodeChange(row));
  return builder.Finish({.user = "sim", .application_name = "sim"});
}

// ---- the network ---------------------------------------------------------------------------------------------------

void Adversary::Observe(NodeId from, const Message& message) {
  if (const auto* m = std::get_if<ProposalMessage>(&message)) {
    last_proposal_ = *m;
    Remember(&hashes_[m->block->header.height], m->block->header.hash());
  }
  if (const auto* m = std::get_if<ViewChangeMessage>(&message))
    if (m->change.head) heads_[m->change.height] = *m->change.head;
  if (const auto* m = std::get_if<BatchMessage>(&message)) batches_.try_emplace(m->batch->header.digest(), *m);
  if (std::holds_alternative<StatusMessage>(message) && !random_->Chance(0.1)) return;
  if (kept_.size() < kKeptMax) {
    kept_.emplace_back(from, message);
  } else if (random_->Chance(0.2)) {
    kept_[random_->Below(kKeptMax)] = {from, message};
  }
}

std::optional<Attack> Adversary::Forge() {
  if (kept_.empty()) return std::nullopt;
  if (last_proposal_ && random_->Chance(0.15)) return FakeCertified();
  const auto& [from, message] = kept_[random_->Below(kept_.size())];
  const NodeId to = AnyMember();
  // A vote counts as from its signer's own connection only if the signer sent it.
  if (random_->Chance(0.5)) return Attack{from, to, message};
  if (std::holds_alternative<BatchAck>(message)) return std::nullopt;  // not signed: the connection says who speaks
  NodeId liar = AnyMember();
  if (const auto* vote = std::get_if<VoteMessage>(&message); vote && vote->envelope.signer == liar) return std::nullopt;
  if (const auto* p = std::get_if<ProposalMessage>(&message); p && p->envelope.signer == liar) return std::nullopt;
  Message altered = Alter(message);
  if (const auto* vote = std::get_if<VoteMessage>(&altered); vote && vote->envelope.signer == liar) return std::nullopt;
  return Attack{liar, to, std::move(altered)};
}

// A block that follows all rules of the chain, with a certificate that somebody has made up.
std::optional<Attack> Adversary::FakeCertified() {
  auto block = std::make_shared<Block>(*last_proposal_->block);
  block->header.time_us += static_cast<int64_t>(random_->Below(2));
  auto certificate = std::make_shared<Certificate>();
  certificate->height = block->header.height;
  certificate->hash = block->header.hash();
  const size_t count = random_->Chance(0.7) ? genesis_.quorum() : random_->Below(genesis_.quorum());
  for (size_t i = 0; i < count; i++)
    certificate->votes.push_back({genesis_.members[i].id, 1, 7, last_proposal_->envelope.signature});
  BlockMessage message{block, certificate, {}, 0};
  return Attack{AnyMember(), AnyMember(), message};
}

Message Adversary::Alter(const Message& original) {
  Message message = original;
  const uint64_t how = random_->Below(4);
  if (auto* m = std::get_if<VoteMessage>(&message)) {
    if (how == 0) m->hash.bytes[random_->Below(32)] ^= 1;
    if (how == 1) m->height = m->height.next();
    if (how == 2) m->phase = m->phase == Phase::kPrepare ? Phase::kCommit : Phase::kPrepare;
    if (how == 3) m->envelope.signer = AnyMember();
  } else if (auto* m = std::get_if<ProposalMessage>(&message)) {
    auto block = std::make_shared<Block>(*m->block);
    if (how == 0) block->header.time_us++;
    if (how == 1 && !block->items.empty()) block->items.pop_back();
    if (how == 2) block->header.height = block->header.height.next();
    if (how == 3) m->envelope.signature.bytes[5] ^= 1;
    m->block = block;
  } else if (auto* m = std::get_if<BatchMessage>(&message)) {
    auto batch = std::make_shared<Batch>(*m->batch);
    if (how == 0) batch->header.signature.bytes[5] ^= 1;
    if (how == 1 && !batch->write_sets.empty()) batch->write_sets.back().back() ^= 1;
    if (how == 2) batch->header.first_number++;
    if (how == 3 && !batch->write_sets.empty()) batch->write_sets.pop_back();
    m->batch = batch;
  } else if (auto* m = std::get_if<BlockMessage>(&message)) {
    auto certificate = std::make_shared<Certificate>(*m->certificate);
    if (how == 0 && !certificate->votes.empty()) certificate->votes.pop_back();
    if (how == 1 && !certificate->votes.empty()) certificate->votes.back() = certificate->votes.front();
    if (how == 2) m->batches.clear();
    if (how == 3) certificate->hash.bytes[0] ^= 1;
    m->certificate = certificate;
  } else if (auto* m = std::get_if<IncarnationMessage>(&message)) {
    if (how < 2) m->entry.incarnation++;
    if (how >= 2) m->entry.recent_hash.bytes[0] ^= 1;
  } else if (auto* m = std::get_if<ViewChangeMessage>(&message)) {
    if (how == 0) m->change.view = m->change.view.next();
    if (how == 1) m->change.prepared.reset(), m->block.reset();
    if (how == 2) m->change.hash.bytes[3] ^= 1;
    if (how == 3 && m->change.head) m->change.head->votes.back() = m->change.head->votes.front();
  } else if (auto* m = std::get_if<NewViewMessage>(&message)) {
    if (how == 0) m->start.view = m->start.view.next();
    if (how == 1) m->start.proof.pop_back();
    if (how == 2) m->start.proof.back() = m->start.proof.front();
    if (how == 3) m->start.proof.back().prepared.reset();
  } else if (auto* m = std::get_if<AttestationMessage>(&message)) {
    if (how == 0) m->attestation.height = m->attestation.height.next();
    if (how == 1) m->attestation.seen_sequence += 1000;
    if (how == 2 && m->attestation.vote) m->attestation.vote->votes[0].journal_sequence += 1000;
    if (how == 3 && m->attestation.entry) m->attestation.entry->incarnation++;
  } else if (auto* m = std::get_if<BlockRequest>(&message)) {
    m->count = static_cast<uint32_t>(random_->Below(2000));
    m->from.value = random_->Below(50);
  }
  return message;
}

// ---- the faulty member ---------------------------------------------------------------------------------------------

VoteMessage Adversary::Vote(NodeId self, const Signer& signer, Phase phase, View view, Height height,
                            const Digest& hash) {
  VoteMessage vote{phase, Epoch{1}, view, height, hash, {self, 1, 1, {}}};
  const SignContext context{genesis_.chain_id(), Epoch{1}};
  vote.envelope.signature = signer.Sign(VoteSigningBytes(context, phase, self, 1, 1, view, height, hash));
  return vote;
}

// It may hide what it has prepared, or show an old head; with others' signatures on what they have not signed, it lies.
ViewChangeMessage Adversary::OtherViewChange(NodeId self, const Signer& signer, ViewChangeMessage m) {
  const uint64_t how = random_->Below(5);
  if (how <= 1) m.change.prepared.reset(), m.block.reset();
  if (how == 2 && !heads_.empty()) {
    const auto& [height, head] = *std::next(heads_.begin(), static_cast<int64_t>(random_->Below(heads_.size())));
    m.change = {m.change.view, height, head.hash, head, std::nullopt, m.change.envelope};
    m.block.reset();
  }
  if (how == 3 && last_proposal_ && last_proposal_->block->header.height == m.change.height.next() &&
      m.change.view > View{}) {
    auto block = std::make_shared<Block>(*last_proposal_->block);
    block->header.time_us += static_cast<int64_t>(random_->Below(2));
    Certificate invented{Phase::kPrepare, Epoch{1}, m.change.view.prev(), block->header.height, block->header.hash(), {}};
    for (size_t i = 0; i < genesis_.quorum(); i++)
      invented.votes.push_back({genesis_.members[i].id, 1, 7, last_proposal_->envelope.signature});
    m.change.prepared = invented;
    m.block = block;
  }
  if (how == 4) m.change.view.value += 1 + random_->Below(3);
  m.change.envelope = {self, 1, 1, {}};
  m.change.envelope.signature = signer.Sign(m.change.SigningBytes({genesis_.chain_id(), Epoch{1}}));
  return m;
}

// With its own VIEW-CHANGE twisted, with too few, or one twice.
NewViewMessage Adversary::OtherNewView(NodeId self, const Signer& signer, NewViewMessage m) {
  const uint64_t how = random_->Below(4);
  if (how <= 1) {
    for (ViewChange& part : m.start.proof) {
      if (part.envelope.signer != self) continue;
      ViewChangeMessage mine{part, nullptr};
      part = OtherViewChange(self, signer, std::move(mine)).change;
    }
  }
  if (how == 2) m.start.proof.erase(m.start.proof.begin() + static_cast<int64_t>(random_->Below(m.start.proof.size())));
  if (how == 3) m.start.proof.back() = m.start.proof.front();
  if (!StartOf(m.start).prepared) m.block.reset();
  m.start.envelope = {self, 1, 1, {}};
  m.start.envelope.signature = signer.Sign(m.start.SigningBytes({genesis_.chain_id(), Epoch{1}}));
  return m;
}

void Adversary::ChangeItems(Block* block) {
  if (!batches_.empty() && random_->Chance(0.6)) {
    auto old = std::next(batches_.begin(), static_cast<int64_t>(random_->Below(batches_.size())));
    block->items.push_back(old->second.batch->header);
  } else {
    std::reverse(block->items.begin(), block->items.end());
  }
  MakeHeader(block);
}

void Adversary::MakeHeader(Block* block) const {
  std::vector<Digest> hashes;
  for (const Item& item : block->items) {
    const auto* header = std::get_if<BatchHeader>(&item);
    auto known = header ? batches_.find(header->digest()) : batches_.end();
    std::vector<Digest> its_hashes;
    if (known != batches_.end()) known->second.batch->BodyMatches(nullptr, &its_hashes);
    hashes.insert(hashes.end(), its_hashes.begin(), its_hashes.end());
  }
  const BlockHeader& h = block->header;
  BlockHeader parent;
  parent.height = h.height.prev();
  block->header =
      Block::MakeHeader(h.chain_id, h.epoch, &parent, h.previous_hash, h.time_us, h.proposer, block->items, hashes);
}

ProposalMessage Adversary::OtherProposal(NodeId self, const Signer& signer, const ProposalMessage& proposal) {
  auto [it, is_new] = others_.try_emplace({proposal.view, proposal.block->header.hash()});
  if (is_new) {
    auto block = std::make_shared<Block>(*proposal.block);
    block->header.time_us += 1 + static_cast<int64_t>(random_->Below(3));
    if (random_->Chance(0.7)) ChangeItems(block.get());
    const Digest hash = block->header.hash();
    it->second = {proposal.view, block, Vote(self, signer, Phase::kPrepare, proposal.view, block->header.height, hash).envelope};
    Remember(&hashes_[block->header.height], hash);
  }
  return it->second;
}

BatchMessage Adversary::OtherBatch(const Signer& signer, const BatchMessage& message) {
  auto [it, is_new] = other_batches_.try_emplace(message.batch->header.digest());
  if (is_new) {
    auto batch = std::make_shared<Batch>(*message.batch);
    std::vector<Digest> hashes;
    batch->header.body_bytes = 0;
    for (Bytes& write_set : batch->write_sets) {
      write_set = MakeWriteSet(batch->header.origin, random_->Next(), 20, random_);
      batch->header.body_bytes += write_set.size();
      TransactionHash(write_set, &hashes.emplace_back());
    }
    batch->header.transaction_root = TransactionTreeRoot(hashes);
    batch->header.signature = signer.Sign(batch->header.SigningBytes({genesis_.chain_id(), Epoch{1}}));
    it->second = {batch};
  }
  return it->second;
}

// For every block that it has seen, in both phases, in its view and sometimes in those around it.
void Adversary::CorruptVote(NodeId self, const Signer& signer, const VoteMessage& vote, const Made& made,
                            std::vector<Message>* result) {
  for (const Digest& hash : hashes_[vote.height])
    for (Phase phase : {Phase::kPrepare, Phase::kCommit}) {
      if (random_->Chance(0.3)) continue;
      View view = vote.view;
      if (random_->Chance(0.1)) view = view.next();
      if (view > View{} && random_->Chance(0.1)) view = view.prev();
      result->push_back(Vote(self, signer, phase, view, vote.height, hash));
      made(std::get<VoteMessage>(result->back()));
    }
}

// It claims too much or too little, or says nothing.
std::vector<Message> Adversary::CorruptAttestation(NodeId self, const Signer& signer, AttestationMessage m) {
  const uint64_t how = random_->Below(6);
  Attestation& a = m.attestation;
  if (how == 0) return {};
  if (how == 1) a.seen_incarnation += 1000, a.seen_sequence += 1000;
  if (how == 2) a.vote.reset(), a.entry.reset(), a.seen_incarnation = a.seen_sequence = 0;
  if (how == 3) a.is_learner = !a.is_learner;
  if (how == 4) a.view.value += 1000;
  if (how == 5) a.height = a.height.next();
  a.envelope.signer = self;
  a.envelope.signature = signer.Sign(a.SigningBytes({genesis_.chain_id(), Epoch{1}}));
  return {m};
}

// As it should; never; every block twisted; now and then; each under the height of another; slowly.
std::vector<Message> Adversary::CorruptBlock(const BlockMessage& message) {
  if (!serves_) serves_ = random_->Below(6);
  if (*serves_ == 1) return {};
  if (*serves_ == 2) return {Alter(message)};
  if (*serves_ == 3 && random_->Chance(0.5)) return {random_->Chance(0.5) ? Message(message) : Alter(message)};
  if (*serves_ == 4) {
    BlockMessage twisted = message;
    auto block = std::make_shared<Block>(*message.block);
    block->header.time_us++;
    twisted.block = block;
    if (!message.batches.empty()) {
      auto batch = std::make_shared<Batch>(*message.batches.front());
      if (!batch->write_sets.empty()) batch->write_sets.front() = MakeWriteSet(batch->header.origin, 1, 20, random_);
      twisted.batches.front() = batch;
    }
    if (random_->Chance(0.7)) twisted.block = message.block;  // only the bodies are wrong then
    return {twisted};
  }
  if (*serves_ == 5 && random_->Chance(0.8)) return {};
  return {message};
}

std::vector<Message> Adversary::Corrupt(NodeId self, const Signer& signer, NodeId to, const Message& message,
                                        const Made& made) {
  if (is_scripted_) return TellLies(self, signer, to, message, made);
  if (!is_silent_) is_silent_ = random_->Chance(0.2);
  std::vector<Message> result;
  if (const auto* m = std::get_if<ProposalMessage>(&message)) {
    if (*is_silent_) return result;
    const uint64_t height = m->block->header.height.value;
    if (height % 3 == 0 || to.value % 2 == height % 2) {  // to all, or to every other one
      result.push_back(OtherProposal(self, signer, *m));
      if (random_->Chance(0.3)) result.push_back(*m);
      return result;
    }
  } else if (const auto* m = std::get_if<VoteMessage>(&message)) {
    CorruptVote(self, signer, *m, made, &result);
    return result;
  } else if (const auto* m = std::get_if<ViewChangeMessage>(&message); m && m->change.envelope.signer == self) {
    if (random_->Chance(0.7)) result.push_back(OtherViewChange(self, signer, *m));
    if (random_->Chance(0.3)) result.push_back(*m);
    return result;
  } else if (const auto* m = std::get_if<NewViewMessage>(&message); m && m->start.envelope.signer == self) {
    if (random_->Chance(0.6)) result.push_back(OtherNewView(self, signer, *m));
    if (random_->Chance(0.5)) result.push_back(*m);
    return result;
  } else if (const auto* m = std::get_if<AttestationMessage>(&message)) {
    return CorruptAttestation(self, signer, *m);
  } else if (const auto* m = std::get_if<BlockMessage>(&message)) {
    return CorruptBlock(*m);
  } else if (const auto* m = std::get_if<BatchMessage>(&message); m && m->batch->header.origin == self) {
    if (to.value % 2 == 0) return {OtherBatch(signer, *m)};
  }
  return {message};
}

}  // namespace dadbs::sim
