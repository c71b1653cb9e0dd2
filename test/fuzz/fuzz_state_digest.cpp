// State digests: none but those that their signers made are believed.
#include "../unit/chain_fixture.h"
#include "dadbs/core/state_digest.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

StateDigest Said(uint16_t member) {
  StateDigest d{Height{64}, test::Filled<Digest>(5), {NodeId{member}, 3, 9, {}}};
  d.envelope.signature = Cluster().signer(NodeId{member}).Sign(d.SigningBytes({Cluster().genesis.chain_id(), Epoch{1}}));
  return d;
}

Bytes Encoded(const StateDigest& d) {
  Writer w;
  d.Encode(w);
  return w.Take();
}

}  // namespace

void TryInput(ByteView input) {
  StateDigest d;
  Reader r(input);
  if (!d.Decode(r) || !r.Done()) return;
  Require(std::ranges::equal(Encoded(d), input), "the encoding is canonical");
  if (!CheckStateDigest(d, Cluster().genesis, Ed25519Verifier()).empty()) return;
  Require(d.height == Height{64} && d.digest == test::Filled<Digest>(5), "a forged digest");
}

std::vector<Bytes> Seeds() { return {Encoded(Said(1)), Encoded(Said(4))}; }

}  // namespace dadbs::core::fuzz
