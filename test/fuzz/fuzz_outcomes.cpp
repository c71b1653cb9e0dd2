// Pieces of another member's history: what is decoded has one encoding.
#include "dadbs/core/outcomes.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  BlockOutcomes outcomes;
  if (BlockOutcomes::Decode(input, &outcomes)) {
    Require(std::ranges::equal(outcomes.Encode(), input), "the encoding of outcomes is canonical");
    EffectsDigest digest(Height{outcomes.height.value - 1}, Digest{});
    if (outcomes.height.value > 0) outcomes.FoldInto(&digest);
  }
  StoredBlock block;
  if (StoredBlock::Decode(input, &block)) Require(std::ranges::equal(block.Encode(), input), "the encoding of stored blocks is canonical");
}

std::vector<Bytes> Seeds() {
  BlockOutcomes outcomes;
  outcomes.height = Height{3};
  outcomes.transactions = {{0, Verdict::kCommitted, {1, 2, 3}}, {1, Verdict::kRejected, {}}};
  outcomes.effects = {{0, 0, "c", {4, 5}}};
  return {outcomes.Encode(), StoredBlock{{1, 2}, {3}, {{4}, {5, 6}}}.Encode()};
}

}  // namespace dadbs::core::fuzz
