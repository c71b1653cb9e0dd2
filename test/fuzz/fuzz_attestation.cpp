// Attestations: none but those that their signers made are believed, and nothing that they show but what the asker signed.
#include "../unit/chain_fixture.h"
#include "dadbs/core/attestation.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

Attestation Made(bool shows) {
  Attestation a;
  a.asker = NodeId{3};
  a.nonce = test::Filled<Nonce>(8);
  a.height = Height{7};
  a.hash = test::Filled<Digest>(5);
  a.view = View{2};
  a.head = Cluster().Certify(Height{7}, a.hash, 3);
  if (shows) {
    a.seen_incarnation = 5, a.seen_sequence = 9;
    Certificate vote{Phase::kPrepare, Epoch{1}, View{0}, Height{8}, test::Filled<Digest>(6), {}};
    vote.votes = {Cluster().Vote(NodeId{3}, Phase::kPrepare, View{0}, Height{8}, vote.hash)};
    a.vote = a.former = vote;
    a.entry = Cluster().MakeIncarnation(NodeId{3}, 5);
  }
  a.envelope = {NodeId{1}, 1, 9, {}};
  a.envelope.signature = Cluster().signer(NodeId{1}).Sign(a.SigningBytes({Cluster().genesis.chain_id(), Epoch{1}}));
  return a;
}

Bytes Encoded(const Attestation& a) {
  Writer w;
  a.Encode(w);
  return w.Take();
}

}  // namespace

void TryInput(ByteView input) {
  Reader r(input);
  Attestation a;
  if (!a.Decode(r) || !r.Done()) return;
  Require(std::ranges::equal(Encoded(a), input), "the encoding is canonical");
  if (!CheckAttestation(a, Cluster().genesis, Ed25519Verifier()).empty()) return;
  Require(a.envelope.signer == NodeId{1} && a.asker == NodeId{3} && a.height == Height{7} && !a.is_learner, "a forged attestation");
  Require(!a.vote || a.vote->hash == test::Filled<Digest>(6), "a forged vote of the asker");
}

std::vector<Bytes> Seeds() { return {Encoded(Made(false)), Encoded(Made(true))}; }

}  // namespace dadbs::core::fuzz
