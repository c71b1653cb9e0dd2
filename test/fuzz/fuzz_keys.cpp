// Key lists, as the history keeps them for certification after a start.
#include "../unit/chain_fixture.h"
#include "dadbs/core/certifier.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  KeyList keys;
  if (DecodeKeys(input, &keys)) Require(std::ranges::equal(EncodeKeys(keys), input), "the encoding is canonical");
}

std::vector<Bytes> Seeds() { return {EncodeKeys({{{1, 2}, 1}, {{1, 3}, 6}, {{4, 0}, 7}}), EncodeKeys({})}; }

}  // namespace dadbs::core::fuzz
