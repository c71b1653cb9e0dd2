/*
 * attestation.cpp: see attestation.h. The bytes are in docs/chain-format.md, "attestations".
 *
 * It comes from anybody: a decoder checks limits before it takes memory, a check believes nothing. What proves itself
 * (certificate, vote, entry) is not covered by the signature.
 */
#include "dadbs/core/attestation.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "dadbs/core/messages.h"

namespace dadbs::core {
namespace {

constexpr uint64_t kClaimMax = uint64_t{1} << 60;  // what is added to it stays a number

void ReadEntry(Reader& r, std::optional<IncarnationEntry>* out) {
  out->reset();
  const uint8_t tag = r.U8();
  if (tag > 1) r.Fail();
  if (tag != 1) return;
  Item item;
  if (!DecodeItem(r, &item) || !std::holds_alternative<IncarnationEntry>(item)) return r.Fail();
  *out = std::get<IncarnationEntry>(std::move(item));
}

void WriteFields(Writer& w, const Attestation& a) {
  w.Num(a.asker);
  w.Fixed(a.nonce);
  w.U8(a.is_learner ? 1 : 0);
  w.Num(a.height);
  w.Fixed(a.hash);
  w.Num(a.view);
  w.U64(a.seen_incarnation);
  w.U64(a.seen_sequence);
}

std::string CheckHead(const Attestation& a, const Genesis& genesis, const Verifier& verifier) {
  if (a.height == Height{}) return !a.head && a.hash == genesis.chain_id() ? "" : "another beginning of the chain";
  if (!a.head) return "";  // counts for what it shows of the asker, not for where its signer stands
  if (a.head->phase != Phase::kCommit || a.head->height != a.height || a.head->hash != a.hash)
    return "a head with another block's certificate";
  std::string why;
  return VerifyCertificate(*a.head, genesis, verifier, &why) ? "" : "the head's certificate: " + why;
}

std::string CheckVote(const Certificate& c, NodeId asker, const Member& member, const SignContext& ctx,
                      const Verifier& verifier) {
  if (c.phase != Phase::kPrepare && c.phase != Phase::kCommit) return "a vote of an unknown phase";
  if (c.epoch != ctx.epoch || c.votes.size() != 1 || c.votes[0].signer != asker) return "a vote that is not the asker's";
  const Signed& s = c.votes[0];
  const Bytes bytes =
      VoteSigningBytes(ctx, c.phase, s.signer, s.incarnation, s.journal_sequence, c.view, c.height, c.hash);
  return verifier.Verify(member.key, bytes, s.signature) ? "" : "a vote that the asker has not signed";
}

}  // namespace

// ---- what was seen -------------------------------------------------------------------------------------------------

// Within an era journal sequences only grow. Where they do not, the lower one of the later incarnation hides nothing: what
// the signer has to be shown is the higher one, which it may have forgotten.
void SeenOf::Note(uint64_t incarnation, uint64_t sequence) {
  const auto order = [](const std::pair<uint64_t, uint64_t>& s) { return std::tuple(EraOf(s.first), s.second, s.first); };
  const std::pair<uint64_t, uint64_t> seen{incarnation, sequence};
  if (order(seen) > order(newest)) newest = seen;
}

void SeenOf::Note(const VoteMessage& its_vote) {
  Note(its_vote.envelope.incarnation, its_vote.envelope.journal_sequence);
  if (!vote) {
    vote = its_vote;
  } else if (its_vote.envelope.incarnation > vote->envelope.incarnation) {
    NoteFormer(*std::exchange(vote, its_vote));
  } else if (its_vote.envelope.incarnation < vote->envelope.incarnation) {
    NoteFormer(its_vote);
  } else if (its_vote.envelope.journal_sequence > vote->envelope.journal_sequence) {
    vote = its_vote;
  }
}

void SeenOf::NoteFormer(const VoteMessage& its_vote) {
  const auto order = [](const VoteMessage& v) { return std::pair(EraOf(v.envelope.incarnation), v.envelope.journal_sequence); };
  if (!former || order(its_vote) > order(*former)) former = its_vote;
}

void SeenOf::Note(const IncarnationEntry& begun) {
  Note(begun.incarnation, begun.journal_sequence);
  if (!entry || begun.incarnation > entry->incarnation) entry = begun;
}

void NoteSeen(const Certificate& c, SeenOfAll* seen) {
  for (const Signed& vote : c.votes) (*seen)[vote.signer.value].Note(VoteMessage{c.phase, c.epoch, c.view, c.height, c.hash, vote});
}

void NoteSeen(const Block& block, SeenOfAll* seen) {
  for (const Item& item : block.items) {
    if (const auto* batch = std::get_if<BatchHeader>(&item))
      (*seen)[batch->origin.value].Note(batch->incarnation, batch->journal_sequence);
    if (const auto* begun = std::get_if<IncarnationEntry>(&item)) (*seen)[begun->origin.value].Note(*begun);
  }
}

// ---- the message ---------------------------------------------------------------------------------------------------

Bytes Attestation::SigningBytes(const SignContext& ctx) const {
  Writer w = BeginSigned(Domain::kSignRejoin, ctx, envelope);
  WriteFields(w, *this);
  return w.Take();
}

void Attestation::Encode(Writer& w) const {
  WriteFields(w, *this);
  WriteOptional(w, head);
  WriteOptional(w, vote);
  WriteOptional(w, former);
  w.U8(entry ? 1 : 0);
  if (entry) EncodeItem(w, *entry);
  envelope.Encode(w);
}

bool Attestation::Decode(Reader& r) {
  r.Num(asker);
  r.Fixed(nonce);
  const uint8_t learner = r.U8();
  if (learner > 1) r.Fail();
  is_learner = learner == 1;
  r.Num(height);
  r.Fixed(hash);
  r.Num(view);
  seen_incarnation = r.U64();
  seen_sequence = r.U64();
  ReadOptional(r, &head);
  ReadOptional(r, &vote);
  ReadOptional(r, &former);
  ReadEntry(r, &entry);
  envelope.Decode(r);
  return r.ok();
}

std::string CheckAttestation(const Attestation& a, const Genesis& genesis, const Verifier& verifier) {
  const SignContext ctx{genesis.chain_id(), Epoch{1}};
  const Member* signer = genesis.Find(a.envelope.signer);
  const Member* asker = genesis.Find(a.asker);
  if (!signer || !asker || signer == asker) return "not of one member to another";
  if (!verifier.Verify(signer->key, a.SigningBytes(ctx), a.envelope.signature)) return "a wrong signature";
  if (std::max({a.view.value, a.seen_incarnation, a.seen_sequence}) > kClaimMax) return "a number that nobody can have reached";
  if (std::string why = CheckHead(a, genesis, verifier); !why.empty()) return why;
  for (const auto& vote : {a.vote, a.former})
    if (std::string why = vote ? CheckVote(*vote, a.asker, *asker, ctx, verifier) : ""; !why.empty()) return why;
  if (!a.entry) return "";
  if (a.entry->origin != a.asker) return "an incarnation that is not the asker's";
  return verifier.Verify(asker->key, a.entry->SigningBytes(ctx), a.entry->signature)
             ? ""
             : "an incarnation that the asker has not signed";
}

}  // namespace dadbs::core
