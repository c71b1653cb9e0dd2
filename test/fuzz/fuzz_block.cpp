// Blocks, and their check against a parent.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

test::TestBlock SoundBlock() {
  const test::TestCluster& c = Cluster();
  return c.MakeBlock(nullptr, {c.MakeIncarnation(NodeId{1}), c.MakeIncarnation(NodeId{2})},
                     {c.MakeBatch(NodeId{3}, 1, {test::InsertWriteSet("a"), test::InsertWriteSet("b")})});
}

}  // namespace

void TryInput(ByteView input) {
  static const test::TestBlock sound = SoundBlock();
  Block block;
  if (!Block::Decode(input, &block)) return;
  Require(std::ranges::equal(block.Encode(), input), "the encoding is canonical");
  const std::string why = CheckBlock(block, nullptr, Cluster().genesis.chain_id(), sound.certificate,
                                     sound.transaction_hashes, Cluster().genesis, Ed25519Verifier());
  Require(why.empty() == std::ranges::equal(sound.block.Encode(), input), "only the certified block is sound");
}

std::vector<Bytes> Seeds() {
  const test::TestBlock sound = SoundBlock();
  const test::TestBlock next = Cluster().MakeBlock(&sound, {Cluster().MakeIncarnation(NodeId{4})}, {});
  return {sound.block.Encode(), next.block.Encode()};
}

}  // namespace dadbs::core::fuzz
