/*
 * replica_evidence.cpp: what members have signed, kept as long as it may be contradicted, and what proves that one has.
 *
 * Of each other member the newest votes and batch headers that came from it or were verified are kept, by slot; what comes
 * later for a known slot and is not the same is verified, and both together are evidence. Nothing is verified for this but
 * such pairs. The owner puts what is found onto the chain (EvidenceEffect); nothing of consensus waits for it or looks at it.
 *
 * A primary that proposes different blocks to different members may show no member both. But the members' votes show that
 * there are two: who has accepted one block and gets a PREPARE for another one shows its sender the primary's signature.
 */
#include "dadbs/core/evidence.h"

#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {

constexpr size_t kVotesKeptMax = 64;     // of each member
constexpr size_t kBatchesKeptMax = 128;
constexpr size_t kBlocksAccusedMax = 1024;

bool Overlap(const BatchHeader& a, const BatchHeader& b) {
  return a.incarnation == b.incarnation && a.first_number < b.first_number + b.count && b.first_number < a.first_number + a.count;
}

}  // namespace

// `is_its_own`: it came over its signer's connection, or was verified. Anything else is only compared.
void Replica::State::NoteSigned(const VoteMessage& vote, bool is_its_own) {
  const NodeId signer = vote.envelope.signer;
  if (signer == self || vote.epoch != context.epoch || !genesis.Find(signer)) return;
  SignedBy& of = signed_by[signer.value];
  const SignedBy::VoteKey key{vote.envelope.incarnation, vote.phase, vote.view, vote.height};
  auto known = of.votes.find(key);
  if (known == of.votes.end()) {
    if (!is_its_own) return;
    of.votes.emplace(key, VoteSlot{vote, false});
    of.votes_order.push_back(key);
    if (of.votes_order.size() <= kVotesKeptMax) return;
    of.votes.erase(of.votes_order.front());
    of.votes_order.pop_front();
    return;
  }
  VoteSlot& slot = known->second;
  if (slot.vote.hash == vote.hash || MUTATED(kEvidenceDropped)) return;
  if (accused.contains(SlotOf(MakeEvidence(context.chain_id, slot.vote, vote)))) return;
  if (!VerifyVote(vote)) return;
  if (!slot.verified && !VerifyVote(slot.vote)) {
    slot = {vote, true};
    return;
  }
  slot.verified = true;
  Accuse(MakeEvidence(context.chain_id, slot.vote, vote));
}

void Replica::State::NoteSigned(const Certificate& certificate) {
  for (const Signed& vote : certificate.votes)
    NoteSigned({certificate.phase, certificate.epoch, certificate.view, certificate.height, certificate.hash, vote}, true);
}

// Its signature is right: the caller has checked that.
void Replica::State::NoteSigned(const BatchHeader& batch) {
  if (batch.origin == self || batch.count == 0 || batch.count > UINT64_MAX - batch.first_number) return;
  if (const BatchHeader* other = FindContradicted(batch)) return Accuse(MakeEvidence(context.chain_id, *other, batch));
  SignedBy& of = signed_by[batch.origin.value];
  const SignedBy::BatchNumber key{batch.incarnation, batch.first_number};
  if (!of.batches.try_emplace(key, batch).second) return;
  of.batches_order.push_back(key);
  if (of.batches_order.size() <= kBatchesKeptMax) return;
  of.batches.erase(of.batches_order.front());
  of.batches_order.pop_front();
}

// One that shares a number with it and is not the same.
const BatchHeader* Replica::State::FindContradicted(const BatchHeader& batch) const {
  auto of = signed_by.find(batch.origin.value);
  if (of == signed_by.end()) return nullptr;
  const auto& batches = of->second.batches;
  const auto contradicts = [&](const BatchHeader& other) { return Overlap(other, batch) && other.EncodeUnsigned() != batch.EncodeUnsigned(); };
  auto at = batches.lower_bound({batch.incarnation, batch.first_number});
  if (at != batches.begin() && contradicts(std::prev(at)->second)) return &std::prev(at)->second;
  if (at != batches.end() && contradicts(at->second)) return &at->second;
  return nullptr;
}

// A batch that is not held, since it can't be ordered any more: its signature has not been looked at.
void Replica::State::NoteLate(const BatchHeader& batch) {
  const Member* origin = genesis.Find(batch.origin);
  const BatchHeader* other = origin && batch.origin != self ? FindContradicted(batch) : nullptr;
  if (!other || accused.contains(SlotOf(MakeEvidence(context.chain_id, *other, batch)))) return;
  if (verifier.Verify(origin->key, batch.SigningBytes(context), batch.signature)) NoteSigned(batch);
}

// The proposal's signature is right, and the block is not valid: perhaps by its own bytes.
void Replica::State::AccuseOfBlock(const VoteMessage& its_vote, const Block& block) {
  // Reading it may take thousands of signatures: once for each view and height of a signer, who has to be their primary.
  if (blocks_accused.size() >= kBlocksAccusedMax) blocks_accused.clear();
  if (!blocks_accused.insert({its_vote.envelope.signer, its_vote.view, its_vote.height}).second) return;
  InvalidBlock proof{its_vote, block, std::nullopt};
  if (CheckBlockItself(block, genesis, verifier).empty() && !recent.empty() &&
      recent.back().block->header.hash() == block.header.previous_hash)
    proof.parent = recent.back().block->header;
  Accuse({context.chain_id, std::move(proof)});
}

// To who votes for another block than the primary has proposed here: the primary's signature. If it has another one, it has both.
void Replica::State::ShowPrimarysVote(const VoteMessage& others) {
  if (!entered || !round.accepted || others.phase != Phase::kPrepare || others.view != view || others.height != next_height()) return;
  const Signed& primarys = round.accepted->message->envelope;
  const NodeId to = others.envelope.signer;
  if (others.hash == round.accepted->hash || primarys.signer == self || primarys.signer == to || MUTATED(kPrimarysVoteUntold)) return;
  if (!round.shown_to.insert(to.value).second) return;
  SendNow(to, VoteMessage{Phase::kPrepare, context.epoch, view, next_height(), round.accepted->hash, primarys});
}

// Each slot once, and of one member no more than the chain takes. What does not prove itself is nobody's guilt.
void Replica::State::Accuse(const Evidence& evidence) {
  const EvidenceSlot slot = SlotOf(evidence);
  if (slot.culprit == self || accused.contains(slot)) return;
  const auto is_his = [&](const EvidenceSlot& s) { return s.culprit == slot.culprit; };
  if (static_cast<size_t>(std::count_if(accused.begin(), accused.end(), is_his)) >= kEvidencePerCulpritMax) return;
  if (!CheckEvidence(evidence, genesis, verifier).empty()) return;
  if (evidence.Encode().size() > kEvidenceBytesMax) return;
  accused.insert(slot);
  out.push_back(EvidenceEffect{std::make_shared<const Evidence>(evidence)});
}

}  // namespace dadbs::core
