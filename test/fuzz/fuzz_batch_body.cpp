// Bodies of batches, and whether they are what a header names.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

Batch SoundBatch() {
  static const test::TestCluster cluster(1);
  return cluster.MakeBatch(NodeId{1}, 1, {test::InsertWriteSet("a"), test::InsertWriteSet("b")});
}

}  // namespace

void TryInput(ByteView input) {
  static const Batch sound = SoundBatch();
  Batch batch;
  batch.header = sound.header;
  if (!DecodeBatchBody(input, &batch.write_sets)) return;
  Require(std::ranges::equal(EncodeBatchBody(batch.write_sets), input), "the encoding is canonical");
  Require(batch.BodyMatches() == (batch.write_sets == sound.write_sets), "a header names one body");
}

std::vector<Bytes> Seeds() { return {EncodeBatchBody(SoundBatch().write_sets), EncodeBatchBody({})}; }

}  // namespace dadbs::core::fuzz
