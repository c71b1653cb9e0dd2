// VIEW-CHANGE and NEW-VIEW: none but those that their signers made are believed.
#include "../unit/chain_fixture.h"
#include "dadbs/core/view_change.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

SignContext Context() { return {Cluster().genesis.chain_id(), Epoch{1}}; }

ViewChange Asked(uint16_t member, bool prepared) {
  const Digest head = test::Filled<Digest>(5);
  ViewChange v{View{3}, Height{7}, head, Cluster().Certify(Height{7}, head, 3), std::nullopt, {}};
  if (prepared) v.prepared = Cluster().Certify(Height{8}, test::Filled<Digest>(6), 3, Phase::kPrepare, View{2});
  v.envelope = {NodeId{member}, 1, 9, {}};
  v.envelope.signature = Cluster().signer(NodeId{member}).Sign(v.SigningBytes(Context()));
  return v;
}

NewView Begun() {
  NewView v{View{3}, {Asked(1, false), Asked(2, true), Asked(4, false)}, {NodeId{4}, 1, 10, {}}};
  v.envelope.signature = Cluster().signer(NodeId{4}).Sign(v.SigningBytes(Context()));
  return v;
}

template <class Part>
Bytes Encoded(const Part& part) {
  Writer w;
  part.Encode(w);
  return w.Take();
}

template <class Part>
bool Decoded(ByteView input, Part* out) {
  Reader r(input);
  if (!out->Decode(r) || !r.Done()) return false;
  Require(std::ranges::equal(Encoded(*out), input), "the encoding is canonical");
  return true;
}

}  // namespace

void TryInput(ByteView input) {
  ViewChange change;
  if (Decoded(input, &change) && CheckViewChange(change, Cluster().genesis, Ed25519Verifier()).empty())
    Require(change.view == View{3} && change.height == Height{7}, "a forged VIEW-CHANGE");
  NewView start;
  if (!Decoded(input, &start)) return;
  StartOf(start);
  const auto unknown = [](const ViewChange&) { return false; };
  if (!CheckNewView(start, Cluster().genesis, Ed25519Verifier(), unknown).empty()) return;
  const ViewStart outcome = StartOf(start);
  Require(start.view == View{3} && outcome.height == Height{7} && outcome.prepared, "a forged NEW-VIEW");
}

std::vector<Bytes> Seeds() {
  return {Encoded(Asked(1, false)), Encoded(Asked(2, true)), Encoded(Begun())};
}

}  // namespace dadbs::core::fuzz
