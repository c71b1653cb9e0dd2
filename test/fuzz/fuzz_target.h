/*
 * fuzz_target.h: what every fuzz target has in common.
 *
 * A target is one file: TryInput gets any bytes and must return; what it accepts must be spelled as the encoder spells
 * it. Seeds gives valid encodings to start from. With libFuzzer the seeds are put into the corpus directory when it is
 * empty; without it driver.cpp mutates them by itself. `test/fuzz/run` builds and runs them.
 */
#pragma once

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "dadbs/core/types.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input);
std::vector<Bytes> Seeds();

// An assertion that also holds in release builds, and that a sanitizer's report shows.
inline void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

}  // namespace dadbs::core::fuzz
