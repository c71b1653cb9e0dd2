// The genesis, which a member that joins gets from somebody.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  Genesis genesis;
  if (!Genesis::Decode(input, &genesis)) return;
  Require(std::ranges::equal(genesis.Encode(), input), "the encoding is canonical");
  Require(genesis.Find(NodeId{1}) != nullptr && genesis.quorum() <= genesis.members.size(), "members are sound");
}

std::vector<Bytes> Seeds() {
  test::TestCluster cluster(4);
  cluster.genesis.schemas = {"public", "shop"};
  return {cluster.genesis.Encode(), test::TestCluster(1).genesis.Encode()};
}

}  // namespace dadbs::core::fuzz
