/*
 * jury.cpp: see jury.h.
 */
#include "jury.h"

#include <algorithm>

#include "checker.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr size_t kHeardMax = 24;  // members keep more than that of one signer
constexpr size_t kAccusationsMax = 1000;
constexpr int64_t kAnHourUs = 3'600'000'000;

VoteMessage ProposersVote(const ProposalMessage& p) {
  return {Phase::kPrepare, Epoch{1}, p.view, p.block->header.height, p.block->header.hash(), p.envelope};
}

std::optional<VoteMessage> VoteIn(const Message& message) {
  if (const auto* vote = std::get_if<VoteMessage>(&message)) return *vote;
  if (const auto* p = std::get_if<ProposalMessage>(&message)) return ProposersVote(*p);
  return std::nullopt;
}

std::string M(NodeId node) { return "member " + std::to_string(node.value); }

}  // namespace

void Jury::OnVote(const VoteMessage& vote) {
  const Signed& e = vote.envelope;
  if (!KeepsTheRules(e.signer, e.incarnation)) return;
  auto [known, is_new] = votes_.try_emplace({e.signer.value, e.incarnation, vote.phase, vote.view, vote.height}, vote.hash);
  if (!is_new && known->second != vote.hash)
    throw Failure(M(e.signer) + ", which keeps the rules, has signed two votes in one slot, at height " + std::to_string(vote.height.value));
}

void Jury::OnSend(const Message& message) {
  if (const std::optional<VoteMessage> vote = VoteIn(message)) OnVote(*vote);
  const auto* batch = std::get_if<BatchMessage>(&message);
  if (!batch || !KeepsTheRules(batch->batch->header.origin, batch->batch->header.incarnation)) return;
  const BatchHeader& h = batch->batch->header;
  const Digest digest = h.digest();
  for (uint64_t number = h.first_number; number < h.first_number + h.count; number++)
    if (transactions_.try_emplace({h.origin.value, h.incarnation, number}, digest).first->second != digest)
      throw Failure(M(h.origin) + ", which keeps the rules, has signed two batches under one number");
}

void Jury::OnHeard(NodeId receiver, NodeId from, const Message& message) {
  const std::optional<VoteMessage> vote = VoteIn(message);
  if (!vote || vote->envelope.signer != from || !faulty_.contains(from.value) || faulty_.contains(receiver.value)) return;
  if (std::holds_alternative<ProposalMessage>(message) && PrimaryOf(genesis_, vote->view) != from) return;
  const Signed& e = vote->envelope;
  const Bytes signed_bytes = VoteSigningBytes({genesis_.chain_id(), Epoch{1}}, vote->phase, from, e.incarnation, e.journal_sequence,
                                              vote->view, vote->height, vote->hash);
  if (!verifier_->Verify(genesis_.Find(from)->key, signed_bytes, e.signature)) return;
  Heard& heard = heard_[receiver.value];
  const Slot slot{from.value, e.incarnation, vote->phase, vote->view, vote->height};
  auto [known, is_new] = heard.votes.try_emplace(slot, vote->hash);
  if (!is_new && known->second != vote->hash) heard.contradicted.insert(slot);
  if (!is_new) return;
  heard.order.push_back(slot);
  if (heard.order.size() <= kHeardMax) return;
  heard.votes.erase(heard.order.front());
  heard.order.pop_front();
}

void Jury::OnFound(NodeId by, const Evidence& evidence) {
  const EvidenceSlot slot = SlotOf(evidence);
  if (KeepsTheRules(slot.culprit, slot.incarnation)) throw Failure(M(by) + " accuses " + M(slot.culprit) + ", which keeps the rules");
}

// As every member does it at the position.
void Jury::OnOrdered(ByteView write_set) {
  const std::optional<Evidence> evidence = EvidenceOf(write_set);
  if (!evidence || !CheckEvidence(*evidence, genesis_, *verifier_).empty()) return;
  const EvidenceSlot slot = SlotOf(*evidence);
  if (Convictions(slot.culprit) >= kEvidencePerCulpritMax || !on_chain_.insert(slot).second) return;
  if (KeepsTheRules(slot.culprit, slot.incarnation))
    throw Failure(M(slot.culprit) + ", which keeps the rules, is convicted by evidence of kind " + NameOf(slot.kind));
}

size_t Jury::Convictions(NodeId culprit) const {
  return static_cast<size_t>(std::count_if(on_chain_.begin(), on_chain_.end(), [&](const EvidenceSlot& s) { return s.culprit == culprit; }));
}

void Jury::Judge() const {
  for (const auto& [receiver, heard] : heard_)
    for (const auto& [signer, incarnation, phase, view, height] : heard.contradicted) {
      const EvidenceSlot slot{NodeId{signer}, EvidenceKind::kVotes, incarnation, static_cast<uint8_t>(phase), view, height, 0};
      if (!on_chain_.contains(slot) && Convictions(slot.culprit) < kEvidencePerCulpritMax)
        throw Failure(M(slot.culprit) + " has told " + M(NodeId{receiver}) + " two votes in one slot, at height " +
                      std::to_string(height.value) + ", and that is not on the chain");
    }
}

// ---- false accusations ---------------------------------------------------------------------------------------------

namespace {

Evidence OfBlock(const Digest& chain_id, const ProposalMessage& p, std::optional<BlockHeader> parent) {
  return {chain_id, InvalidBlock{ProposersVote(p), *p.block, parent}};
}

// The block as it is, with other items, behind a parent of another time.
std::vector<Evidence> OfBlocks(const Digest& chain_id, const ProposalMessage& p) {
  std::vector<Evidence> made{OfBlock(chain_id, p, std::nullopt)};
  ProposalMessage other = p;
  auto block = std::make_shared<Block>(*p.block);
  std::visit([](auto& item) { item.signature.bytes[7] ^= 1; }, block->items.back());
  other.block = block;
  made.push_back(OfBlock(chain_id, other, std::nullopt));
  BlockHeader parent = p.block->header;
  parent.height = parent.height.prev();
  parent.time_us += kAnHourUs;
  made.push_back(OfBlock(chain_id, p, parent));
  return made;
}

// With a signature that is nobody's.
Evidence Forged(const Digest& chain_id, const VoteMessage& vote) {
  VoteMessage other = vote;
  other.hash.bytes[3] ^= 1;
  return MakeEvidence(chain_id, vote, other);
}

Evidence Forged(const Digest& chain_id, const BatchHeader& batch) {
  BatchHeader other = batch;
  other.body_bytes++;
  return MakeEvidence(chain_id, batch, other);
}

}  // namespace

std::vector<Evidence> FalseAccusations(const Genesis& genesis, const std::vector<Message>& messages) {
  const Digest chain_id = genesis.chain_id();
  std::vector<VoteMessage> votes;
  std::vector<BatchHeader> batches;
  std::set<Digest> blocks;
  std::vector<Evidence> made;
  const auto add = [&](Evidence evidence) {
    if (made.size() < kAccusationsMax) made.push_back(std::move(evidence));
  };
  for (const Message& message : messages) {
    if (const std::optional<VoteMessage> vote = VoteIn(message))
      if (std::none_of(votes.begin(), votes.end(), [&](const VoteMessage& v) { return v.envelope.signature == vote->envelope.signature; }))
        votes.push_back(*vote);
    if (const auto* b = std::get_if<BatchMessage>(&message))
      if (std::none_of(batches.begin(), batches.end(), [&](const BatchHeader& h) { return h.signature == b->batch->header.signature; }))
        batches.push_back(b->batch->header);
    if (const auto* p = std::get_if<ProposalMessage>(&message); p && blocks.insert(p->block->header.hash()).second)
      for (Evidence& evidence : OfBlocks(chain_id, *p)) add(std::move(evidence));
  }
  for (const VoteMessage& a : votes)
    for (const VoteMessage& b : votes)
      if (a.envelope.signer == b.envelope.signer && a.height == b.height && a.hash <= b.hash) add(MakeEvidence(chain_id, a, b));
  for (const BatchHeader& a : batches)
    for (const BatchHeader& b : batches)
      if (a.origin == b.origin && a.digest() <= b.digest()) add(MakeEvidence(chain_id, a, b));
  for (const VoteMessage& vote : votes) add(Forged(chain_id, vote));
  for (const BatchHeader& batch : batches) add(Forged(chain_id, batch));
  return made;
}

std::optional<Evidence> FalseAccusation(const Genesis& genesis, const std::vector<std::pair<NodeId, Message>>& kept, Random* random) {
  if (kept.empty()) return std::nullopt;
  const Message& one = kept[random->Below(kept.size())].second;
  std::vector<Message> some{one};
  const std::optional<VoteMessage> vote = VoteIn(one);
  for (const auto& [from, other] : kept) {  // votes of its signer at its height; batches of its origin
    const std::optional<VoteMessage> its = VoteIn(other);
    if (vote && its && its->envelope.signer == vote->envelope.signer && its->height == vote->height) some.push_back(other);
    const auto *a = std::get_if<BatchMessage>(&one), *b = std::get_if<BatchMessage>(&other);
    if (a && b && a->batch->header.origin == b->batch->header.origin) some.push_back(other);
  }
  const std::vector<Evidence> made = FalseAccusations(genesis, some);
  if (made.empty()) return std::nullopt;
  return made[random->Below(made.size())];
}

}  // namespace dadbs::sim
