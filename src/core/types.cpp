// types.cpp: text forms of the core's vocabulary, and how a broken invariant is raised.
#include "dadbs/core/types.h"

#include "dadbs/core/check.h"

namespace dadbs::core {

std::string ToHex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t b : bytes) {
    text.push_back(kDigits[b >> 4]);
    text.push_back(kDigits[b & 15]);
  }
  return text;
}

void FailCheck(const char* condition, const char* file, int line) {
  throw BrokenInvariant(std::string("dadbs: broken invariant: ") + condition + " at " + file + ":" +
                        std::to_string(line));
}

}  // namespace dadbs::core
