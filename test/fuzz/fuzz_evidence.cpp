// Evidence: one encoding of each, and no bytes convict a member that has not signed them.
#include "../unit/chain_fixture.h"
#include "dadbs/core/evidence.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

VoteMessage Vote(NodeId signer, uint8_t hash, View view = View{0}) {
  VoteMessage vote{Phase::kPrepare, Epoch{1}, view, Height{3}, test::Filled<Digest>(hash), {}};
  vote.envelope = Cluster().Vote(signer, vote.phase, view, vote.height, vote.hash);
  return vote;
}

// Member 2 is guilty in one slot each; 1, 3 and 4 have signed what is no guilt.
std::vector<Evidence> Made() {
  const Digest chain_id = Cluster().genesis.chain_id();
  const auto block = Cluster().MakeBlock(nullptr, {Cluster().MakeIncarnation(NodeId{1})}, {}).block;
  InvalidBlock sound{{Phase::kPrepare, Epoch{1}, View{0}, Height{1}, block.header.hash(), {}}, block, {}};
  sound.vote.envelope = Cluster().Vote(NodeId{3}, Phase::kPrepare, View{0}, Height{1}, sound.vote.hash);
  const auto batch = [](NodeId origin, uint64_t first, const char* what) {
    return Cluster().MakeBatch(origin, first, {test::InsertWriteSet(what)}).header;
  };
  return {MakeEvidence(chain_id, Vote(NodeId{2}, 1), Vote(NodeId{2}, 9)), MakeEvidence(chain_id, Vote(NodeId{1}, 1), Vote(NodeId{1}, 9, View{1})),
          MakeEvidence(chain_id, batch(NodeId{2}, 5, "a"), batch(NodeId{2}, 5, "b")),
          MakeEvidence(chain_id, batch(NodeId{4}, 5, "a"), batch(NodeId{4}, 6, "b")), {chain_id, sound}};
}

}  // namespace

void TryInput(ByteView input) {
  Evidence e;
  if (!Evidence::Decode(input, &e)) return;
  Require(std::ranges::equal(e.Encode(), input), "the encoding is canonical");
  if (!CheckEvidence(e, Cluster().genesis, Ed25519Verifier()).empty()) return;
  Require(SlotOf(e).culprit == NodeId{2}, "an innocent one is convicted");
}

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds;
  for (const Evidence& e : Made()) seeds.push_back(e.Encode());
  return seeds;
}

}  // namespace dadbs::core::fuzz
