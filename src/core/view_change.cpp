/*
 * view_change.cpp: see view_change.h. The bytes are in docs/chain-format.md, "views".
 *
 * Both messages come from anybody: a decoder checks limits before it takes memory, a check believes nothing. Content is
 * compared, never only counted: of a certificate phase, epoch, height, view, hash; of a NEW-VIEW each part's view.
 */
#include "dadbs/core/view_change.h"

#include "dadbs/core/check.h"
#include "replica_mutation.h"

namespace dadbs::core {
namespace {

void WriteStart(Writer& w, Height height, const Digest& hash, const Certificate* prepared) {
  w.Num(height);
  w.Fixed(hash);
  w.U8(prepared ? 1 : 0);
  if (!prepared) return;
  w.Num(prepared->view);
  w.Fixed(prepared->hash);
}

SignContext ContextOf(const Genesis& genesis) { return {genesis.chain_id(), Epoch{1}}; }

bool SignatureIsRight(const Signed& envelope, const Bytes& bytes, const Genesis& genesis, const Verifier& verifier) {
  const Member* member = genesis.Find(envelope.signer);
  return member && verifier.Verify(member->key, bytes, envelope.signature);
}

std::string CheckHead(const ViewChange& v, const Genesis& genesis, const Verifier& verifier) {
  if (v.height == Height{}) return !v.head && v.hash == genesis.chain_id() ? "" : "another beginning of the chain";
  if (!v.head) return "a head without its certificate";
  if (v.head->phase != Phase::kCommit || v.head->height != v.height || v.head->hash != v.hash)
    return "a head with another block's certificate";
  std::string why;
  return VerifyCertificate(*v.head, genesis, verifier, &why) ? "" : "the head's certificate: " + why;
}

std::string CheckPrepared(const ViewChange& v, const Genesis& genesis, const Verifier& verifier) {
  if (!v.prepared || MUTATED(kPreparedUnchecked)) return "";
  if (v.prepared->phase != Phase::kPrepare || v.prepared->height != v.height.next())
    return "a prepare certificate of another height";
  if (v.prepared->view >= v.view) return "a prepare certificate that is not of an older view";
  std::string why;
  return VerifyCertificate(*v.prepared, genesis, verifier, &why) ? "" : "the prepare certificate: " + why;
}

}  // namespace

Bytes ViewChange::SigningBytes(const SignContext& ctx) const {
  Writer w = BeginSigned(Domain::kSignViewChange, ctx, envelope);
  w.Num(view);
  WriteStart(w, height, hash, prepared ? &*prepared : nullptr);
  return w.Take();
}

void ViewChange::Encode(Writer& w) const {
  w.Num(view);
  w.Num(height);
  w.Fixed(hash);
  WriteOptional(w, head);
  WriteOptional(w, prepared);
  envelope.Encode(w);
}

bool ViewChange::Decode(Reader& r) {
  r.Num(view);
  r.Num(height);
  r.Fixed(hash);
  ReadOptional(r, &head);
  ReadOptional(r, &prepared);
  envelope.Decode(r);
  return r.ok();
}

Bytes NewView::SigningBytes(const SignContext& ctx) const {
  Writer w = BeginSigned(Domain::kSignNewView, ctx, envelope);
  w.Num(view);
  const ViewStart start = StartOf(*this);
  WriteStart(w, start.height, start.hash, start.prepared);
  return w.Take();
}

void NewView::Encode(Writer& w) const {
  DADBS_CHECK(proof.size() <= kNodesMax);
  w.Num(view);
  w.U16(static_cast<uint16_t>(proof.size()));
  for (const ViewChange& v : proof) v.Encode(w);
  envelope.Encode(w);
}

bool NewView::Decode(Reader& r) {
  proof.clear();
  r.Num(view);
  const size_t count = r.U16();
  if (count > kNodesMax) r.Fail();
  for (size_t i = 0; r.ok() && i < count; i++) proof.emplace_back().Decode(r);
  envelope.Decode(r);
  return r.ok();
}

ViewStart StartOf(const NewView& new_view) {
  ViewStart start;
  for (const ViewChange& v : new_view.proof)
    if (start.hash.is_zero() || v.height > start.height) start = {v.height, v.hash, nullptr};
  for (const ViewChange& v : new_view.proof)
    if (v.height == start.height && v.prepared && (!start.prepared || (v.prepared->view > start.prepared->view && !MUTATED(kFirstPreparedWins))))
      start.prepared = &*v.prepared;
  return start;
}

NodeId PrimaryOf(const Genesis& genesis, View view) { return genesis.members[view.value % genesis.members.size()].id; }

std::string CheckViewChange(const ViewChange& v, const Genesis& genesis, const Verifier& verifier) {
  if (!SignatureIsRight(v.envelope, v.SigningBytes(ContextOf(genesis)), genesis, verifier)) return "a wrong signature";
  if (std::string why = CheckHead(v, genesis, verifier); !why.empty()) return why;
  return CheckPrepared(v, genesis, verifier);
}

std::string CheckNewView(const NewView& v, const Genesis& genesis, const Verifier& verifier, const IsKnown& is_known) {
  if (v.envelope.signer != PrimaryOf(genesis, v.view)) return "it is not of the view's primary";
  const size_t needed = genesis.quorum() - (MUTATED(kNewViewQuorumOffByOne) ? 1 : 0);
  if (v.proof.size() < needed) return "fewer VIEW-CHANGEs than a quorum";
  if (!SignatureIsRight(v.envelope, v.SigningBytes(ContextOf(genesis)), genesis, verifier)) return "a wrong signature";
  NodeId last = kNobody;
  for (const ViewChange& part : v.proof) {
    if (part.envelope.signer <= last && !MUTATED(kPromisesCounted)) return "VIEW-CHANGEs that are not of distinct members in ascending order";
    last = part.envelope.signer;
    if (part.view != v.view) return "a VIEW-CHANGE for another view";
    if (is_known(part)) continue;
    if (std::string why = CheckViewChange(part, genesis, verifier); !why.empty())
      return "the VIEW-CHANGE of member " + std::to_string(last.value) + ": " + why;
  }
  return "";
}

}  // namespace dadbs::core
