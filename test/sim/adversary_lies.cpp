/*
 * adversary_lies.cpp: how the faulty member of a scenario lies: in the ways that the scenario names, and in no other.
 */
#include "adversary.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {
constexpr int64_t kAnHourUs = 3'600'000'000;
}

ProposalMessage Adversary::FalseProposal(NodeId self, const Signer& signer, NodeId to, const ProposalMessage& m) {
  const bool is_second = Tells(Lie::kEquivocate) && to.value % 2 == 1;
  if (!is_second && !Tells(Lie::kWrongTime) && !Tells(Lie::kOldBatch)) return m;
  auto [it, is_new] = others_.try_emplace({m.view, m.block->header.hash()});
  if (!is_new) return it->second;
  auto block = std::make_shared<Block>(*m.block);
  if (is_second) block->header.time_us += 1;
  if (Tells(Lie::kWrongTime)) block->header.time_us += kAnHourUs;
  if (Tells(Lie::kOldBatch) && !batches_.empty()) {
    block->items.push_back(batches_.begin()->second.batch->header);
    MakeHeader(block.get());
  }
  const Digest hash = block->header.hash();
  it->second = {m.view, block, Vote(self, signer, Phase::kPrepare, m.view, block->header.height, hash).envelope};
  hashes_[block->header.height].push_back(hash);
  return it->second;
}

ViewChangeMessage Adversary::FalseViewChange(const Signer& signer, ViewChangeMessage m) {
  if (Tells(Lie::kHidePrepared)) m.change.prepared.reset(), m.block.reset();
  if (Tells(Lie::kInventPrepared) && last_proposal_ && m.change.view > View{}) {
    auto block = std::make_shared<Block>(*last_proposal_->block);
    block->header.time_us += 7;
    block->header.height = m.change.height.next();
    block->header.previous_hash = m.change.hash;
    Certificate invented{Phase::kPrepare, Epoch{1}, m.change.view.prev(), m.change.height.next(), block->header.hash(), {}};
    for (size_t i = 0; i < genesis_.quorum(); i++)
      invented.votes.push_back({genesis_.members[i].id, 1, 7, last_proposal_->envelope.signature});
    m.change.prepared = invented;
    m.block = block;
  }
  m.change.envelope.signature = signer.Sign(m.change.SigningBytes({genesis_.chain_id(), Epoch{1}}));
  return m;
}

Message Adversary::FalseBlock(const BlockMessage& original) {
  BlockMessage m = original;
  if (Tells(Lie::kTwistBlocks)) {
    auto block = std::make_shared<Block>(*m.block);
    block->header.time_us++;
    m.block = block;
  }
  if (Tells(Lie::kOtherBodies) && !m.batches.empty()) {
    auto batch = std::make_shared<Batch>(*m.batches.front());
    if (!batch->write_sets.empty()) batch->write_sets.front() = MakeWriteSet(batch->header.origin, 1, 20, random_);
    m.batches.front() = batch;
  }
  return m;
}

std::vector<Message> Adversary::TellLies(NodeId self, const Signer& signer, NodeId to, const Message& message, const Made& made) {
  const SignContext context{genesis_.chain_id(), Epoch{1}};
  if (const auto* m = std::get_if<ProposalMessage>(&message); m && m->envelope.signer == self)
    return {FalseProposal(self, signer, to, *m)};
  if (const auto* m = std::get_if<VoteMessage>(&message)) {
    made(*m);
    std::vector<Message> result{message};
    if (!Tells(Lie::kVoteForAll)) return result;
    for (const Digest& hash : hashes_[m->height])
      for (Phase phase : {Phase::kPrepare, Phase::kCommit}) {
        if (hash == m->hash && phase == m->phase) continue;
        VoteMessage other = Vote(self, signer, phase, m->view, m->height, hash);
        made(other);
        result.push_back(std::move(other));
      }
    return result;
  }
  if (const auto* m = std::get_if<ViewChangeMessage>(&message); m && m->change.envelope.signer == self)
    return {FalseViewChange(signer, *m)};
  if (const auto* m = std::get_if<NewViewMessage>(&message); m && m->start.envelope.signer == self) {
    NewViewMessage other = *m;
    if (Tells(Lie::kTooFewPromises)) other.start.proof.pop_back();
    if (Tells(Lie::kPromiseTwice)) other.start.proof.back() = other.start.proof.front();
    other.start.envelope.signature = signer.Sign(other.start.SigningBytes(context));
    return {other};
  }
  if (const auto* m = std::get_if<AttestationMessage>(&message)) {
    AttestationMessage other = *m;
    Attestation& a = other.attestation;
    if (Tells(Lie::kClaimForgotten)) a.seen_incarnation += 1000, a.seen_sequence += 1000;
    if (Tells(Lie::kHideSignatures)) a.vote.reset(), a.entry.reset(), a.seen_incarnation = a.seen_sequence = 0;
    a.envelope.signature = signer.Sign(a.SigningBytes(context));
    return {other};
  }
  if (const auto* m = std::get_if<StatusMessage>(&message); m && Tells(Lie::kClaimHeight)) {
    StatusMessage other = *m;
    other.committed.value += 1000;
    return {other};
  }
  if (const auto* m = std::get_if<BlockMessage>(&message)) return {FalseBlock(*m)};
  if (const auto* m = std::get_if<BatchMessage>(&message); m && m->batch->header.origin == self && Tells(Lie::kTwoBatches))
    if (to.value % 2 == 0) return {OtherBatch(signer, *m)};
  return {message};
}

}  // namespace dadbs::sim
