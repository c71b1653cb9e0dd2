/*
 * evidence.cpp: see evidence.h.
 *
 * Whoever checks evidence decides about somebody else's guilt from bytes that an enemy may have put together. So each part is
 * tied to the accused one's signature: the votes and batch headers by themselves; a block's header by the hash that the vote
 * names, its items by the root in that header, its parent by the hash that it names. What is not tied proves nothing.
 */
#include "dadbs/core/evidence.h"

#include <algorithm>

#include "dadbs/core/check.h"
#include "dadbs/core/merkle.h"
#include "dadbs/core/write_set.h"
#include "replica_mutation.h"

namespace dadbs::core {
namespace {

constexpr int64_t kReportAgain_us = 10'000'000, kReportAgainMax_us = 600'000'000;
constexpr int64_t kReportInterval_us = 500'000;  // between the members that may have found the same

// ---- encoding ------------------------------------------------------------------------------------------------------

void Write(Writer& w, const TwoVotes& p) {
  EncodeVote(w, p.first);
  EncodeVote(w, p.second);
}

void Read(Reader& r, TwoVotes* p) {
  DecodeVote(r, &p->first);
  DecodeVote(r, &p->second);
  if (p->first.hash > p->second.hash) r.Fail();
}

void Write(Writer& w, const TwoBatches& p) {
  EncodeItem(w, p.first);
  EncodeItem(w, p.second);
}

void Read(Reader& r, BatchHeader* batch) {
  Item item;
  if (!DecodeItem(r, &item) || !std::holds_alternative<BatchHeader>(item)) return r.Fail();
  *batch = std::get<BatchHeader>(item);
}

void Read(Reader& r, TwoBatches* p) {
  Read(r, &p->first);
  Read(r, &p->second);
  if (p->first.digest() > p->second.digest()) r.Fail();
}

void Write(Writer& w, const InvalidBlock& p) {
  EncodeVote(w, p.vote);
  w.Blob(p.block.Encode());
  w.U8(p.parent ? 1 : 0);
  if (p.parent) w.Blob(p.parent->Encode());
}

void Read(Reader& r, InvalidBlock* p) {
  DecodeVote(r, &p->vote);
  if (!Block::Decode(r.Blob(), &p->block)) r.Fail();
  const uint8_t has_parent = r.U8();
  if (has_parent > 1) r.Fail();
  if (r.ok() && has_parent == 1 && !BlockHeader::Decode(r.Blob(), &p->parent.emplace())) r.Fail();
}

template <class Proof>
bool ReadAll(Reader& r, Evidence* out) {
  Read(r, &out->proof.emplace<Proof>());
  return r.Done();
}

// ---- what is signed ------------------------------------------------------------------------------------------------

bool IsSigned(const VoteMessage& vote, const Member& member, const SignContext& ctx, const Verifier& verifier) {
  if (MUTATED(kEvidenceSignatureUnchecked)) return true;
  const Signed& e = vote.envelope;
  return verifier.Verify(member.key,
                         VoteSigningBytes(ctx, vote.phase, e.signer, e.incarnation, e.journal_sequence, vote.view, vote.height, vote.hash),
                         e.signature);
}

bool IsSigned(const BatchHeader& batch, const Member& member, const SignContext& ctx, const Verifier& verifier) {
  return MUTATED(kEvidenceSignatureUnchecked) || verifier.Verify(member.key, batch.SigningBytes(ctx), batch.signature);
}

Digest ItemsRootOf(const Block& block) {
  MerkleBuilder tree;
  for (const Item& item : block.items) tree.Add(ItemLeaf(item));
  return tree.Root();
}

// One number of both; 0: they have none in common.
uint64_t SharedNumber(const BatchHeader& a, const BatchHeader& b) {
  const auto has = [](const BatchHeader& batch, uint64_t number) {
    return number >= batch.first_number && number - batch.first_number < batch.count;
  };
  const uint64_t number = std::max(a.first_number, b.first_number);
  return has(a, number) && has(b, number) ? number : 0;
}

// ---- checks --------------------------------------------------------------------------------------------------------

std::string CheckProof(const TwoVotes& p, const Member& culprit, const SignContext& ctx, const Verifier& verifier, const Genesis&) {
  const VoteMessage &a = p.first, &b = p.second;
  if (a.envelope.signer != b.envelope.signer) return "the votes are of two members";
  if (a.epoch != ctx.epoch || b.epoch != ctx.epoch) return "a vote is of an epoch that there is not";
  if (a.envelope.incarnation != b.envelope.incarnation && !MUTATED(kEvidenceIncarnationIgnored)) return "the votes are of two incarnations";
  if (a.phase != b.phase) return "the votes are of two phases";
  if (a.view != b.view && !MUTATED(kEvidenceViewIgnored)) return "the votes are of two views";
  if (a.height != b.height) return "the votes are of two heights";
  if (a.hash == b.hash && !MUTATED(kEvidenceSameHashAccepted)) return "the votes are for the same block";
  const bool is_signed = IsSigned(a, culprit, ctx, verifier) && IsSigned(b, culprit, ctx, verifier);
  return is_signed ? "" : "a signature is wrong";
}

std::string CheckProof(const TwoBatches& p, const Member& culprit, const SignContext& ctx, const Verifier& verifier, const Genesis&) {
  const BatchHeader &a = p.first, &b = p.second;
  if (a.origin != b.origin) return "the batches are of two members";
  if (a.incarnation != b.incarnation && !MUTATED(kEvidenceIncarnationIgnored)) return "the batches are of two incarnations";
  if (SharedNumber(a, b) == 0 && !MUTATED(kEvidenceNumbersIgnored)) return "the batches have no number in common";
  if (a.digest() == b.digest() && !MUTATED(kEvidenceSameHashAccepted)) return "it is the same batch twice";
  const bool is_signed = IsSigned(a, culprit, ctx, verifier) && IsSigned(b, culprit, ctx, verifier);
  return is_signed ? "" : "a signature is wrong";
}

std::string CheckProof(const InvalidBlock& p, const Member& culprit, const SignContext& ctx, const Verifier& verifier,
                       const Genesis& genesis) {
  const BlockHeader& h = p.block.header;
  if (p.vote.epoch != ctx.epoch) return "the vote is of an epoch that there is not";
  if (h.hash() != p.vote.hash) return "the vote is for another block";
  if (!IsSigned(p.vote, culprit, ctx, verifier)) return "a signature is wrong";
  if (ItemsRootOf(p.block) != h.items_root && !MUTATED(kEvidenceItemsBelieved)) return "the items are not those of the block";
  if (p.parent && p.parent->hash() != h.previous_hash && !MUTATED(kEvidenceParentBelieved)) return "the parent is not the block's";
  const bool is_wrong = h.height != p.vote.height || !CheckBlockItself(p.block, genesis, verifier).empty();
  if (is_wrong) return p.parent ? "the parent has nothing to do with what is wrong" : "";
  if (p.parent && !CheckFollows(h, *p.parent).empty()) return "";
  return "nothing is wrong with the block";
}

NodeId CulpritOf(const Evidence& evidence) { return SlotOf(evidence).culprit; }

}  // namespace

const char* NameOf(EvidenceKind kind) {
  switch (kind) {
    case EvidenceKind::kVotes:
      return "votes";
    case EvidenceKind::kBatches:
      return "batches";
    default:
      return "invalid block";
  }
}

Bytes Evidence::Encode() const {
  Writer w;
  w.U8(kEvidenceFormat);
  w.U8(static_cast<uint8_t>(kind()));
  w.Fixed(chain_id);
  std::visit([&](const auto& p) { Write(w, p); }, proof);
  return w.Take();
}

bool Evidence::Decode(ByteView bytes, Evidence* out) {
  if (bytes.size() > kEvidenceBytesMax) return false;
  Reader r(bytes);
  if (r.U8() != kEvidenceFormat) return false;
  const uint8_t kind = r.U8();
  r.Fixed(out->chain_id);
  switch (kind) {
    case 1:
      return ReadAll<TwoVotes>(r, out);
    case 2:
      return ReadAll<TwoBatches>(r, out);
    case 3:
      return ReadAll<InvalidBlock>(r, out);
    default:
      return false;
  }
}

Evidence MakeEvidence(const Digest& chain_id, const VoteMessage& a, const VoteMessage& b) {
  return {chain_id, a.hash <= b.hash ? TwoVotes{a, b} : TwoVotes{b, a}};
}

Evidence MakeEvidence(const Digest& chain_id, const BatchHeader& a, const BatchHeader& b) {
  return {chain_id, a.digest() <= b.digest() ? TwoBatches{a, b} : TwoBatches{b, a}};
}

EvidenceSlot SlotOf(const Evidence& evidence) {
  EvidenceSlot slot;
  slot.kind = evidence.kind();
  if (const auto* batches = std::get_if<TwoBatches>(&evidence.proof)) {
    slot.culprit = batches->first.origin;
    slot.incarnation = batches->first.incarnation;
    slot.number = std::max(batches->first.first_number, batches->second.first_number);
    return slot;
  }
  const auto* votes = std::get_if<TwoVotes>(&evidence.proof);
  const VoteMessage& vote = votes ? votes->first : std::get<InvalidBlock>(evidence.proof).vote;
  slot.culprit = vote.envelope.signer;
  slot.incarnation = vote.envelope.incarnation;
  slot.phase = static_cast<uint8_t>(vote.phase);
  slot.view = vote.view;
  slot.height = vote.height;
  return slot;
}

std::string CheckEvidence(const Evidence& evidence, const Genesis& genesis, const Verifier& verifier) {
  const SignContext ctx{genesis.chain_id(), Epoch{1}};
  if (evidence.chain_id != ctx.chain_id) return "it is of another chain";
  const Member* culprit = genesis.Find(CulpritOf(evidence));
  if (!culprit) return "nobody of this cluster is accused";
  return std::visit([&](const auto& p) { return CheckProof(p, *culprit, ctx, verifier, genesis); }, evidence.proof);
}

// ---- on the chain --------------------------------------------------------------------------------------------------

Bytes MakeEvidenceWriteSet(ByteView evidence, Prefix base, const Salt& salt, int64_t now_us) {
  WriteSetBuilder builder(WriteSetKind::kEvidence);
  builder.Add(salt, EncodeChange(EvidenceChange{evidence}));
  WriteSetHeader header;
  header.base = header.schema_base = base;
  header.begun_at_us = now_us;
  header.user = header.application_name = "dadbs";
  return builder.Finish(header);
}

bool IsEvidenceWriteSet(ByteView write_set) {
  return write_set.size() > 1 && write_set[1] == static_cast<uint8_t>(WriteSetKind::kEvidence);
}

std::optional<Evidence> EvidenceOf(ByteView write_set) {
  WriteSetView view;
  if (!IsEvidenceWriteSet(write_set) || !ParseWriteSet(write_set, &view)) return std::nullopt;
  Change change;
  if (!DecodeChange(view.changes[0].bytes, &change)) return std::nullopt;
  std::optional<Evidence> evidence(std::in_place);
  if (!Evidence::Decode(std::get<EvidenceChange>(change).evidence, &*evidence)) evidence.reset();
  return evidence;
}

void EvidenceToReport::Found(const Evidence& evidence, int64_t now_us) {
  const EvidenceSlot slot = SlotOf(evidence);
  if (on_chain_.contains(slot)) return;
  if (Awaits(slot)) return;
  const auto behind = (self_.value + members_ - slot.culprit.value) % members_;  // 1 for who follows it, never 0
  waiting_.push_back({slot, evidence.Encode(), now_us, now_us + static_cast<int64_t>(behind) * kReportInterval_us});
}

bool EvidenceToReport::Awaits(const EvidenceSlot& slot) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return w.slot == slot; });
}

void EvidenceToReport::OnChain(const EvidenceSlot& slot) {
  on_chain_.insert(slot);
  std::erase_if(waiting_, [&](const Waiting& w) { return w.slot == slot; });
}

// A clock that has stepped back makes nobody wait for ever.
std::optional<Bytes> EvidenceToReport::TakeDue(int64_t now_us) {
  const auto due = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return now_us >= w.due_us || now_us < w.since_us; });
  if (due == waiting_.end()) return std::nullopt;
  due->again_us = std::clamp(due->again_us * 2, kReportAgain_us, kReportAgainMax_us);
  due->since_us = now_us;
  due->due_us = now_us + due->again_us;
  return due->evidence;
}

}  // namespace dadbs::core
